//! How a NIfTI scan was acquired: from its JSON sidecar, else from its `descrip` field.
//!
//! NIfTI has no place for it. Converters write a `.json` of the same name beside the
//! scan (BIDS, "Magnetic Resonance Imaging" metadata fields: times in seconds), and some
//! put a few numbers into `descrip`: SPM `TR=2300ms/TE=2.98ms/FA=9deg`, dcm2niix `TE=3;`
//! in milliseconds. Only the fields named here are taken; patient fields are not looked at.

use serde_json::Value;

use super::{folder, has_namesake, stem};
use crate::formats::{Acquisition, InputFile};

/// Sidecars are a few kilobytes.
const MOST_BYTES: usize = 1 << 20;
/// Longest text that is shown.
const MOST_SHOWN: usize = 64;

/// The sidecar of a scan, in the same folder: which file it is, and what it says.
pub(super) fn find(files: &[InputFile], scan: &InputFile) -> Option<(usize, Acquisition)> {
    let index = files.iter().position(|file| {
        let base = file.base_name();
        let json = base.len().checked_sub(5).and_then(|at| base.split_at_checked(at));
        folder(&file.name) == folder(&scan.name)
            && json.is_some_and(|(front, end)| {
                end.eq_ignore_ascii_case(".json") && front == stem(&scan.name)
            })
    })?;
    if has_namesake(files, scan) || has_namesake(files, &files[index]) {
        return None;
    }
    let bytes = files[index].bytes.get(..files[index].bytes.len().min(MOST_BYTES))?;
    let json: Value = serde_json::from_slice(bytes).ok()?;
    json.is_object().then(|| (index, from_json(&json)))
}

fn from_json(json: &Value) -> Acquisition {
    let number = |field: &str| json[field].as_f64().filter(|number| *number > 0.0);
    let milliseconds = |field: &str| number(field).map(|seconds| seconds * 1000.0);
    let text = |field: &str| {
        let text = json[field].as_str()?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let shown: String =
            words.join(" ").chars().filter(|c| !c.is_control()).take(MOST_SHOWN).collect();
        (!shown.is_empty()).then_some(shown)
    };
    Acquisition {
        echo_time_ms: milliseconds("EchoTime"),
        repetition_time_ms: milliseconds("RepetitionTime"),
        inversion_time_ms: milliseconds("InversionTime"),
        flip_angle_deg: number("FlipAngle"),
        sequence_name: text("SequenceName")
            .or_else(|| text("PulseSequenceName"))
            .or_else(|| text("ProtocolName")),
        protocol_name: text("ProtocolName"),
        description: text("SeriesDescription"),
        body_part: text("BodyPartExamined").or_else(|| text("BodyPart")),
        manufacturer: text("Manufacturer"),
        field_strength_t: number("MagneticFieldStrength"),
        contrast_agent: text("ContrastBolusIngredient"),
        // Sidecars that are shared hold none of these.
        study_date: None,
        b_value: None,
        age_years: None,
    }
}

/// Times and flip angle in a `descrip` field.
pub(super) fn from_description(descrip: &[u8]) -> Acquisition {
    let text = String::from_utf8_lossy(descrip);
    let number = |key: &str| -> Option<f64> {
        // The key begins the text or follows a separator: "TE=" is not the end of "DATE=".
        let at = text
            .match_indices(key)
            .map(|(at, _)| at)
            .find(|&at| !text[..at].ends_with(|before: char| before.is_ascii_alphanumeric()))?;
        let rest = &text[at + key.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        rest[..end].parse().ok().filter(|number: &f64| *number > 0.0)
    };
    Acquisition {
        echo_time_ms: number("TE="),
        repetition_time_ms: number("TR="),
        inversion_time_ms: number("TI="),
        flip_angle_deg: number("FA="),
        ..Acquisition::default()
    }
}
