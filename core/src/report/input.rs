//! What a report is written from.
//!
//! Small values of our own, so that the report does not depend on formats, model or
//! pipeline; whoever runs the segmentation fills them in.

use serde::{Deserialize, Serialize};

use super::{CineReport, SideErrors, StructureMaps};
use crate::follow_up::{Change, ChangedLesions, Fate};
use crate::identify::Identification;
use crate::lesions::{FalseAlarms, Lesion, Summary};
use crate::measure::{Quality, StructureVolume};
use crate::volume::Affine;

/// Everything a report, its table and the run manifest are written from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportInput {
    /// The scan.
    pub scan: ScanFacts,
    /// Measured structures; empty where nothing was segmented.
    pub structures: Vec<StructureVolume>,
    /// Measured image quality.
    pub quality: Quality,
    /// What the pack's other heads estimate, e.g. the sequence; empty without any.
    #[serde(default)]
    pub answers: Vec<HeadAnswer>,
    /// What the image shows: sequence, body part, skull, plane; `None` where it was not
    /// asked.
    #[serde(default)]
    pub identified: Option<Identification>,
    /// Lesions; `None` where they were not looked for.
    #[serde(default)]
    pub lesions: Option<LesionFacts>,
    /// The heart over its phases; `None` where they were not measured.
    #[serde(default)]
    pub heart: Option<HeartFacts>,
    /// The second scan; `None` where there is none.
    #[serde(default)]
    pub comparison: Option<ComparisonFacts>,
    /// The encoder's maps inside each structure, for another wording; `None` where they were not
    /// kept.
    #[serde(default)]
    pub maps: Option<StructureMaps>,
    /// The weights.
    pub pack: PackFacts,
    /// What computed.
    pub device: DeviceFacts,
    /// How long each stage took, in order.
    pub timings: Vec<StageTime>,
    /// What wrote it.
    pub software: SoftwareFacts,
    /// Start of the run: ISO 8601, UTC, e.g. `2026-01-31T12:00:00Z`.
    pub started: String,
    /// Warnings from reading the scan and from the run.
    pub warnings: Vec<String>,
}

/// What is known of a scan; no file name and no patient data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScanFacts {
    /// Name of the format, e.g. `NIfTI-1`.
    pub format: String,
    /// Voxels along x, y, z.
    pub dims: [usize; 3],
    /// Distance between voxel centres in millimetres.
    pub spacing_mm: [f64; 3],
    /// Whether that is assumed, as the file does not state it or its unit.
    #[serde(default)]
    pub unit_assumed: bool,
    /// Letters of the directions in which the voxel axes increase, e.g. `RAS`.
    pub orientation: String,
    /// Largest angle in degrees between a voxel axis and its nearest body axis.
    pub obliquity_degrees: f64,
    /// Volumes in the file (1 unless it is 4-D).
    pub volumes: usize,
    /// The volume that was read, counted from 0.
    pub volume: usize,
    /// Echo time in milliseconds.
    pub echo_time_ms: Option<f64>,
    /// Repetition time in milliseconds.
    pub repetition_time_ms: Option<f64>,
    /// Inversion time in milliseconds.
    pub inversion_time_ms: Option<f64>,
    /// Flip angle in degrees.
    pub flip_angle_deg: Option<f64>,
    /// Field strength in tesla.
    pub field_strength_t: Option<f64>,
    /// Name of the pulse sequence, from the file.
    pub sequence_name: Option<String>,
    /// Description of the series: free text from the file, which may say anything;
    /// shown in the report, left out of the manifest.
    pub description: Option<String>,
    /// Body part, from the file.
    pub body_part: Option<String>,
    /// Maker of the scanner.
    pub manufacturer: Option<String>,
    /// Contrast agent, from the file.
    pub contrast_agent: Option<String>,
}

impl ScanFacts {
    /// Geometry of a grid; the rest is left empty.
    pub fn of_grid(format: &str, dims: [usize; 3], affine: &Affine) -> Self {
        Self {
            format: format.into(),
            dims,
            spacing_mm: affine.spacing_mm(),
            orientation: affine.orientation(),
            obliquity_degrees: affine.obliquity_degrees(),
            volumes: 1,
            ..Self::default()
        }
    }
}

/// Lesions of the study of a scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LesionFacts {
    /// One row a lesion, largest first.
    pub lesions: Vec<Lesion>,
    /// All of them.
    pub summary: Summary,
    /// Sequences that were read beside the scan.
    pub sequences: Vec<SequenceFacts>,
    /// How much the pack marks in healthy heads; `None` where that was not measured.
    pub false_alarms: Option<FalseAlarms>,
    /// The weights that marked them.
    pub pack: PackFacts,
}

/// A sequence beside the scan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SequenceFacts {
    /// What it shows, e.g. `FLAIR`, or what is known of it; no file name.
    pub name: String,
    /// How far it was moved onto the scan in millimetres; `None` where it lay there.
    pub moved_mm: Option<f64>,
}

/// The heart over the phases of a heartbeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeartFacts {
    /// Phases and function.
    pub report: CineReport,
    /// How far the pack is from hearts drawn by hand, a sentence each.
    pub cautions: Vec<String>,
    /// The weights that outlined it.
    pub pack: PackFacts,
}

/// A second scan of the same person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ComparisonFacts {
    /// Years between this scan and the second one, where known.
    pub years: Option<f64>,
    /// Whether the second scan is the earlier one of the two.
    #[serde(default)]
    pub earlier: bool,
    /// The change of each structure; `None` where only the places were compared.
    pub changes: Option<Vec<ChangeFacts>>,
    /// Whether the second scan is an atlas, which is nobody's head.
    pub atlas: bool,
    /// Whether the size of a scan's voxels is assumed, as its file does not state it or its unit.
    #[serde(default)]
    pub unit_assumed: bool,
    /// Lesions that changed between the scans; `None` where they were not looked for.
    #[serde(default)]
    pub lesions: Option<LesionChangeFacts>,
}

/// Lesions that changed, with what the first scan against its own repeats shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LesionChangeFacts {
    /// What became of them from the earlier to the later scan (new, enlarged, shrunken), how
    /// many and how many millilitres; only those that are larger than anything that repeats
    /// show.
    pub changed: Vec<(String, usize, f64)>,
    /// Spots that are no larger than that.
    pub smaller: usize,
    /// Largest spot that repeats show, millilitres.
    pub largest_null_ml: f64,
}

impl From<ChangedLesions> for LesionChangeFacts {
    fn from(found: ChangedLesions) -> Self {
        let ChangedLesions { changed, smaller, largest_null_ml } = found;
        let told = |(fate, count, ml): (Fate, usize, f64)| (fate.word().to_owned(), count, ml);
        Self { changed: changed.into_iter().map(told).collect(), smaller, largest_null_ml }
    }
}

/// The change of one structure, with what repeated measurements alone may do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChangeFacts {
    /// Its value in the label map.
    pub index: u8,
    /// Name in prose.
    pub name: String,
    /// Millilitres in this scan and in the second one.
    pub millilitres: [f64; 2],
    /// Half of the interval around the difference, millilitres.
    pub interval_ml: f64,
    /// Whether the difference lies outside it.
    pub changed: bool,
}

impl From<Change> for ChangeFacts {
    fn from(change: Change) -> Self {
        Self {
            index: change.index,
            name: change.name,
            millilitres: [change.baseline_ml, change.later_ml],
            interval_ml: change.interval_ml,
            changed: change.changed,
        }
    }
}

/// Output of a classification or regression head of the pack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadAnswer {
    /// Name of the head.
    pub head: String,
    /// What each value stands for.
    pub outputs: Vec<String>,
    /// Probabilities (classification) or estimates (regression), one for each output.
    pub values: Vec<f64>,
    /// Whether the values are probabilities.
    pub probabilities: bool,
    /// Whether they are no finding, as real scans did not bear out the head.
    #[serde(default)]
    pub unscored: bool,
}

/// The pack whose weights made the labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PackFacts {
    /// Short name, e.g. `brain`.
    pub name: String,
    /// Name shown.
    pub title: String,
    /// Version.
    pub version: String,
    /// SHA-256 of its tensors, in hex.
    pub sha256: String,
    /// What its maker says of it, e.g. that its weights are not the published ones.
    pub note: String,
    /// Names of the data it was trained on.
    pub trained_on: Vec<String>,
    /// How far its differences between the sides can be relied on; `None` where that was not
    /// measured.
    #[serde(default)]
    pub sides: Option<SideAgreement>,
    /// How far they are off, by structure; `None` where that was not measured.
    #[serde(default)]
    pub side_errors: Option<SideErrors>,
}

/// Differences between the sides that reports of a pack name, against outlines drawn by hand; of each
/// scan by the pack's errors on the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideAgreement {
    /// Scans that were looked at.
    pub scans: usize,
    /// Differences that the reports named.
    pub named: usize,
    /// Those of them that the outlines have, on the same side.
    pub right: usize,
    /// Differences that the outlines have.
    pub drawn: usize,
}

impl SideAgreement {
    /// That of a pack's scores (`training.report.truth --describe`); `None` where it was not
    /// measured.
    pub fn of(scores: &serde_json::Value) -> Option<Self> {
        let count = |name: &str| usize::try_from(scores["sides"][name].as_u64()?).ok();
        Some(Self {
            scans: count("scans")?,
            named: count("named")?,
            right: count("right")?,
            drawn: count("drawn")?,
        })
    }
}

/// What computed the labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// `GPU` or `CPU`.
    pub kind: String,
    /// Name of the adapter, as the system gives it.
    pub adapter: String,
    /// Whether a GPU is only emulated in software.
    pub software: bool,
    /// Whether encoder and decoder kept their maps in half precision.
    #[serde(default)]
    pub half_precision: bool,
    /// Why another device than the one asked for was used.
    pub fallback: Option<String>,
}

/// Duration of one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// Name of the stage, e.g. `network`.
    pub stage: String,
    /// Seconds.
    pub seconds: f64,
}

/// The program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftwareFacts {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// What tells one build of the page from another, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
}

impl SoftwareFacts {
    /// Version and build as they are printed.
    pub fn full_version(&self) -> String {
        match &self.build {
            Some(build) => format!("{} (build {build})", self.version),
            None => self.version.clone(),
        }
    }
}

impl Default for SoftwareFacts {
    /// This crate.
    fn default() -> Self {
        Self { name: "Prism".into(), version: env!("CARGO_PKG_VERSION").into(), build: None }
    }
}
