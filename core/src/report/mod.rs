//! From measurements to a report: sections of plain sentences, and the files of a run.
//!
//! Every sentence is made from measurements and carries them, so that a reader can go
//! from a number in the text to the structure or the quality measure it came from.
//! The report states what was measured and how. It applies no norm and makes no
//! diagnosis; where a limit decides whether something is named, the limit is given.
//!
//! | module | what |
//! | --- | --- |
//! | [`input`] | what a report is written from; filled in by whoever ran the segmentation |
//! | [`sentence`] | a sentence with its numbers |
//! | `technique`, `comparison`, `findings`, `lesions`, `heart`, `closing` | the sections |
//! | `sides` | which differences between the sides are named |
//! | [`sums`] | sums over structures that sentences name |
//! | [`wording`] | the same facts in the words of a small network, checked |
//! | [`edits`] | what the reader put in the place of sentences |
//! | [`text`], [`html`], [`csv`], [`fhir`] | the report and its table as files |
//! | [`timeline`] | structures of one person over time, drawn |
//! | [`manifest`] | the run as JSON: versions, hashes, device, timings, results |

mod cine;
mod closing;
mod comparison;
pub mod csv;
pub mod edits;
pub mod fhir;
mod findings;
mod heart;
pub mod html;
pub mod input;
mod lesions;
pub mod manifest;
pub mod sentence;
mod sides;
pub mod sums;
mod technique;
pub mod text;
pub mod timeline;
pub mod wording;

use serde::{Deserialize, Serialize};

pub use cine::{
    CinePhaseReport, CineReport, FRACTION_STANDS, FunctionRow, NO_FUNCTION, NOT_USABLE,
    UNIT_ASSUMED, cine_cautions,
};
pub use csv::structures_csv;
pub use edits::Edits;
pub use html::Picture;
pub use input::{
    ChangeFacts, ComparisonFacts, DeviceFacts, HeadAnswer, HeartFacts, LesionChangeFacts,
    LesionFacts, PackFacts, ReportInput, ScanFacts, SequenceFacts, SideAgreement, SoftwareFacts,
    StageTime,
};
pub use lesions::caution as lesion_caution;
pub use manifest::RunManifest;
pub use sentence::{Sentence, SentenceKind, Source, Value};
pub use sides::SideErrors;
pub use sums::Sum;
pub use timeline::{Course, Timeline};
pub use wording::{StructureMaps, Wording, WordingCount};

use crate::measure::{Quality, StructureVolume, Totals};
use crate::volume::Side;

/// Left/right difference in percent from which the report names it.
///
/// Not a norm. Repeated scans of one head, segmented by FreeSurfer, differ by a
/// coefficient of variation of up to 6.1 % in a structure (Maclaren et al., Scientific
/// Data 1, 2014, 140037), which for the difference of two sides is
/// 6.1 % * sqrt(2) = 8.6 %: below 10 % a difference may be nothing but repetition.
pub const ASYMMETRY_NAMED_PERCENT: f64 = 10.0;

/// Volume in millilitres that both sides must have before their difference is named:
/// the surface of smaller structures holds most of their voxels.
pub const ASYMMETRY_SMALLEST_MILLILITRES: f64 = 0.5;

/// The line that no report goes without.
pub const NOT_A_DEVICE: &str = "For research and education only; not a medical device.";

/// A written report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Heading.
    pub title: String,
    /// Time of the run, as given.
    pub started: String,
    /// Sections in the order of a radiology report: Technique, Comparison, Findings by
    /// region, of the heart, lesions, Image quality, Impression, Method.
    pub sections: Vec<Section>,
    /// The structures the sentences refer to.
    pub structures: Vec<StructureVolume>,
    /// Whether their millilitres rest on a size of the voxels that the file does not state.
    #[serde(default)]
    pub unit_assumed: bool,
    /// Sums and definitions.
    pub totals: Totals,
    /// The sums the sentences refer to.
    #[serde(default)]
    pub sums: Vec<Sum>,
    /// The measures the sentences refer to.
    pub quality: Quality,
    /// The lesions the sentences refer to.
    #[serde(default)]
    pub lesions: Option<LesionFacts>,
    /// The heart over its phases.
    #[serde(default)]
    pub heart: Option<HeartFacts>,
    /// The second scan.
    #[serde(default)]
    pub comparison: Option<ComparisonFacts>,
    /// How far the pack's differences between the sides are off.
    #[serde(default)]
    pub side_errors: Option<SideErrors>,
    /// The encoder's maps inside each structure, for [`Wording`]; not written to files.
    #[serde(skip)]
    pub maps: Option<StructureMaps>,
    /// What worded findings and impression, where that was not the program itself.
    #[serde(default)]
    pub worded_by: Option<PackFacts>,
}

/// A section of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Stable name, e.g. `impression`, `findings_deep_grey_matter`.
    pub key: String,
    /// Heading.
    pub title: String,
    /// Sentences, in order.
    pub sentences: Vec<Sentence>,
}

impl Report {
    /// Writes the report of a run.
    pub fn write(input: &ReportInput) -> Self {
        let totals = Totals::of(&input.structures);
        let mut sections = vec![technique::technique(input), comparison::comparison(input)];
        sections.extend(findings::findings(
            &input.structures,
            &totals,
            input.pack.side_errors.as_ref(),
        ));
        sections.extend(heart::heart(input));
        sections.extend(lesions::lesions(input));
        sections.push(closing::image_quality(input));
        sections.push(closing::impression(input, &totals));
        sections.push(closing::method(input, &totals));
        if input.scan.unit_assumed {
            let all = sections.iter_mut().flat_map(|section| &mut section.sentences);
            all.for_each(Sentence::assume_unit);
        }
        Self {
            title: format!("{}: report of measurements", subject(input)),
            started: input.started.clone(),
            sections,
            sums: sums::sums(&input.structures, &totals),
            structures: input.structures.clone(),
            unit_assumed: input.scan.unit_assumed,
            totals,
            quality: input.quality.clone(),
            lesions: input.lesions.clone(),
            heart: input.heart.clone(),
            comparison: input.comparison.clone(),
            side_errors: input.pack.side_errors.clone(),
            maps: input.maps.clone(),
            worded_by: None,
        }
    }

    /// The section of a key.
    pub fn section(&self, key: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.key == key)
    }

    /// Structures as tables show them: by region, sides next to each other.
    pub fn arranged(&self) -> Vec<&StructureVolume> {
        let mut rows: Vec<&StructureVolume> = self.structures.iter().collect();
        rows.sort_by_key(|row| {
            let first = row.pair.map_or(row.index, |pair| pair.min(row.index));
            (row.region, first, row.side == Some(Side::Right))
        });
        rows
    }

    /// The note on sentences that are the reader's, where there are any.
    pub fn note_on_edits(&self) -> Option<String> {
        let edited = self.sentences().filter(|sentence| sentence.edited.is_some()).count();
        (edited > 0).then(|| {
            format!(
                "{edited} of {} sentences {} by the reader and {} marked {}; all others are as \
                 the program wrote them.",
                self.sentences().count(),
                sentence::plural(edited, "was changed or added", "were changed or added"),
                sentence::plural(edited, "is", "are"),
                sentence::EDITED,
            )
        })
    }

    /// All sentences in order.
    pub fn sentences(&self) -> impl Iterator<Item = &Sentence> {
        self.sections.iter().flat_map(|section| &section.sentences)
    }
}

/// What the pack is about: its title up to the first comma or bracket.
fn subject(input: &ReportInput) -> &str {
    let subject = input.pack.title.split([',', '(']).next().unwrap_or_default().trim();
    if subject.is_empty() { "MRI" } else { subject }
}

#[cfg(test)]
mod tests;
