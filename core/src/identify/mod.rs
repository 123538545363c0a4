//! What a scan shows: sequence, body part, plane, skull, and which pack fits it.
//!
//! Small heads ([`heads`], read from a pack of heads, [`pack`]) look at the pooled vectors
//! that one pass of the brain pack's encoder gives. Plane and field of view come from the
//! affine ([`geometry`]), never from a network. Once the pack has labelled a head, the
//! contrast between its tissues ([`TISSUES`]) decides the sequence. What the file says of itself
//! is held against the image ([`fields`]) and names what no head knows, and [`routing`] asks
//! every pack whether it fits.
//! Maps that were computed from a scan are told from one by their values ([`computed`]).
//! [`taught`] are heads that a person fitted on scans of their own.
//! [`estimate`] reads age and sex from the same vectors, or from what a segmentation measured
//! ([`volumes`]), with the interval they deserve.

pub mod computed;
pub mod estimate;
pub mod fields;
pub mod geometry;
pub mod heads;
pub mod pack;
pub mod routing;
pub mod taught;
pub mod volumes;

use serde::{Deserialize, Serialize};

use crate::formats::Acquisition;
use crate::volume::Affine;
pub use computed::Computed;
pub use estimate::{Estimate, Estimates};
pub use geometry::{Plane, Stack};
pub use heads::{Answer, Head};
pub use pack::{HeadsError, HeadsPack};
pub use routing::{Fits, Route, Routing};

/// Names of the heads that identify a scan.
pub mod names {
    /// T1w, T2w, FLAIR, ...
    pub const SEQUENCE: &str = "sequence";
    /// The same by the contrast between a brain's tissues, surer than [`SEQUENCE`].
    pub const SEQUENCE_BY_TISSUES: &str = "sequence_by_tissues";
    /// head, heart, ...
    pub const BODY_PART: &str = "body_part";
    /// "stripped" or "whole".
    pub const SKULL: &str = "skull";
}

/// What a T1w scan is called whose file says that contrast agent was given: no head can tell.
pub const AFTER_CONTRAST: &str = "T1w post-contrast";

const T1W: &str = "T1w";

/// Name of the vector that [`crate::pipeline::contrast`] gives.
pub const TISSUES: &str = "tissues";

/// A vector of a scan by name: pooled ones of an encoder, as [`crate::pipeline::encode`] gives
/// them, and [`TISSUES`].
pub type NamedVector<'a> = (&'a str, &'a [f32]);

/// What a scan shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identification {
    /// The sequence by the image; of heads and of cardiac cine only, for others it stays unknown.
    pub sequence: Answer,
    /// What the file adds to the sequence: a contrast agent, or why an answer was withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_note: Option<String>,
    /// The sequence where only the file says it: one that no head knows ("diffusion", "PD",
    /// "T2*"), one of an image of which the heads say none, or [`AFTER_CONTRAST`] of a T1w scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_by_file: Option<String>,
    /// The body part.
    pub body_part: Answer,
    /// Whether the skull was removed; only of whole heads.
    pub skull: Option<Answer>,
    /// Plane of the slices.
    pub plane: Plane,
    /// Sides of the field of view along the voxel axes, mm.
    pub extent_mm: [f64; 3],
    /// Number and thickness of its slices, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Stack>,
    /// What the file says and the image does not, a sentence each.
    pub warnings: Vec<String>,
}

impl Identification {
    /// Whether it shows a whole head, whose tissues can be told apart.
    pub fn is_whole_head(&self) -> bool {
        self.skull.is_some()
    }

    /// The sequence in words: as [`Answer::words`], with what the file adds. What only the file
    /// says has no probability.
    pub fn sequence_words(&self) -> String {
        let image = &self.sequence;
        let note = self.sequence_note.as_deref();
        match (&self.sequence_by_file, &image.given) {
            (Some(named), Some(given)) => {
                let p = image.probability().map(|p| format!(", {p:.2}")).unwrap_or_default();
                format!("{named} (contrast by the file; {given} by the image{p})")
            }
            (Some(named), None) => {
                let note = note.map(|note| format!("; {note}")).unwrap_or_default();
                format!("{named} (by the file{note})")
            }
            (None, given) => match note {
                None => image.words(),
                Some(note) if given.is_some() => format!("{} ({note})", image.words()),
                Some(note) => format!("unknown ({note})"),
            },
        }
    }

    /// The sequence in one name, and that it is by the file where it is: "T2w", "diffusion (by
    /// the file)", "T1w post-contrast (contrast by the file)", "unknown".
    pub fn sequence_name(&self) -> String {
        match (&self.sequence_by_file, &self.sequence.given) {
            (Some(named), Some(_)) => format!("{named} (contrast by the file)"),
            (Some(named), None) => format!("{named} (by the file)"),
            (None, Some(given)) => given.clone(),
            (None, None) => "unknown".into(),
        }
    }
}

/// What image and file together say of the sequence.
struct Settled {
    sequence: Answer,
    note: Option<String>,
    by_file: Option<String>,
}

/// Holds the sequence that a head gives against the body part and the file's fields.
fn settled(mut sequence: Answer, part: Option<&str>, acquisition: &Acquisition) -> Settled {
    let Some(looks) = sequence.given.take() else {
        let by_file = fields::by_file(acquisition).map(Into::into);
        return Settled { sequence, note: None, by_file };
    };
    if let Some(fields::Withheld { why, by_file }) = fields::withheld(acquisition, &looks) {
        return Settled { sequence, note: Some(why), by_file: by_file.map(Into::into) };
    }
    if let Some(why) = impossible(part, &looks) {
        return Settled { sequence, note: Some(why), by_file: None };
    }
    let contrast = if looks == T1W { fields::after_contrast(acquisition) } else { None };
    sequence.given = Some(looks);
    Settled {
        sequence,
        note: contrast.map(Into::into),
        by_file: contrast.map(|_| AFTER_CONTRAST.into()),
    }
}

/// Why a body part cannot have been taken with a sequence, as far as the heads know both: hearts
/// with nothing but cine, heads with all but cine.
fn impossible(part: Option<&str>, looks: &str) -> Option<String> {
    let cine = looks == "cine";
    match part {
        Some("heart") if !cine => {
            Some(format!("it looks {looks}, but a heart is known as cine only"))
        }
        Some("head") if cine => Some("it looks cine, but like a head, which is never cine".into()),
        _ => None,
    }
}

/// Identifies a scan from the encoder's pooled vectors; the sequence of a head from
/// [`TISSUES`] where they are there, for the pooled ones mix contrast with anatomy.
///
/// # Errors
/// [`HeadsError`] when the pack lacks one of the four heads or wants vectors that are not
/// there.
pub fn identify(
    heads: &HeadsPack,
    vectors: &[NamedVector<'_>],
    affine: &Affine,
    dims: [usize; 3],
    acquisition: &Acquisition,
) -> Result<Identification, HeadsError> {
    let extent_mm = geometry::extent_mm(affine, dims);
    let body_part = heads.head(names::BODY_PART)?.answer(vectors)?;
    let largest = extent_mm.iter().copied().fold(0.0, f64::max);
    let whole = largest >= heads.info.whole_head_mm;
    let by_tissues = heads.head(names::SEQUENCE_BY_TISSUES)?;
    let known = vectors.iter().any(|(name, _)| *name == TISSUES);
    let surer = known && whole && by_tissues.speaks_of(body_part.given.as_deref());
    let sequence_head = if surer { by_tissues } else { heads.head(names::SEQUENCE)? };
    let mut sequence = sequence_head.answer(vectors)?;
    if !sequence_head.speaks_of(body_part.given.as_deref()) {
        sequence.given = None;
    }
    let Settled { sequence, note: sequence_note, by_file: sequence_by_file } =
        settled(sequence, body_part.given.as_deref(), acquisition);
    let skull = heads.head(names::SKULL)?;
    let skull = if whole && skull.speaks_of(body_part.given.as_deref()) {
        Some(skull.answer(vectors)?)
    } else {
        None
    };
    let plane = geometry::plane(affine);
    let warnings = fields::contradictions(acquisition, &sequence, &body_part, &plane);
    Ok(Identification {
        sequence,
        sequence_note,
        sequence_by_file,
        body_part,
        skull,
        plane,
        extent_mm,
        stack: Some(geometry::stack(affine, dims)),
        warnings,
    })
}

#[cfg(test)]
mod tests {
    use super::geometry::Direction;
    use super::*;

    fn answer(given: Option<&str>) -> Answer {
        Answer {
            given: given.map(Into::into),
            probabilities: given.map(|class| (class.into(), 0.77)).into_iter().collect(),
            distance: None,
            most_distance: None,
        }
    }

    /// Of a scan that looks so, with a file that describes the series so.
    fn seen(part: Option<&str>, looks: Option<&str>, description: &str) -> Identification {
        let description = Some(description.into());
        let acquisition = Acquisition { description, ..Acquisition::default() };
        let Settled { sequence, note, by_file } = settled(answer(looks), part, &acquisition);
        Identification {
            sequence,
            sequence_note: note,
            sequence_by_file: by_file,
            body_part: answer(part),
            skull: None,
            plane: Plane { direction: Direction::Isotropic, tilt_degrees: 0.0 },
            extent_mm: [200.0; 3],
            stack: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_heart_is_only_cine_and_a_head_never() {
        for (part, looks) in [("heart", "T2w"), ("heart", "T1w"), ("head", "cine")] {
            let found = seen(Some(part), Some(looks), "series 3");
            assert_eq!(found.sequence.given, None, "{part}, {looks}");
            let words = found.sequence_words();
            assert!(words.starts_with(&format!("unknown (it looks {looks}, but")), "{words}");
        }
        for (part, looks) in [(Some("heart"), "cine"), (Some("head"), "T2w"), (None, "cine")] {
            let found = seen(part, Some(looks), "series 3");
            assert_eq!(found.sequence_words(), format!("{looks} (0.77)"));
            assert_eq!(found.sequence_name(), looks);
        }
    }

    #[test]
    fn what_only_the_file_says_is_told_apart_and_has_no_probability() {
        let head = Some("head");
        let diffusion = seen(head, Some("T2w"), "AX DWI");
        assert_eq!(diffusion.sequence_by_file.as_deref(), Some("diffusion"));
        assert_eq!(diffusion.sequence.given, None);
        assert_eq!(diffusion.sequence_name(), "diffusion (by the file)");
        assert_eq!(
            diffusion.sequence_words(),
            "diffusion (by the file; it looks T2w, but the file names it diffusion)"
        );
        // The heads say nothing of this one.
        let knee = seen(Some("other"), None, "SAG T1");
        assert_eq!(knee.sequence_words(), "T1w (by the file)");
        let post = seen(head, Some("T1w"), "AX T1 POST");
        assert!(post.sequence.is("T1w"));
        assert_eq!(post.sequence_name(), "T1w post-contrast (contrast by the file)");
        assert_eq!(
            post.sequence_words(),
            "T1w post-contrast (contrast by the file; T1w by the image, 0.77)"
        );
        // Contrast agent makes no FLAIR of another kind.
        let flair = seen(head, Some("FLAIR"), "AX FLAIR POST");
        assert_eq!((flair.sequence_name().as_str(), &flair.sequence_by_file), ("FLAIR", &None));
        assert_eq!(seen(head, None, "series 3").sequence_name(), "unknown");
    }
}
