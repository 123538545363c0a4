//! The run manifest: what is needed to say how a result came about, as JSON.
//!
//! Holds no file name, no free text from the file and no patient data, so that it can
//! be shared with a result.

use serde::{Deserialize, Serialize};

use super::{
    ComparisonFacts, DeviceFacts, HeadAnswer, PackFacts, Report, ReportInput, SoftwareFacts,
    StageTime,
};
use crate::identify::Identification;
use crate::lesions::Summary;
use crate::measure::cardiac::Function;
use crate::measure::{Judgement, Totals};

/// Version of the manifest's layout.
pub const SCHEMA: u32 = 1;

/// A run, to be written as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunManifest {
    /// Version of this layout.
    pub schema: u32,
    /// The program.
    pub software: SoftwareFacts,
    /// Start: ISO 8601, UTC.
    pub started: String,
    /// The weights.
    pub pack: PackEntry,
    /// The weights that marked lesions, where they were looked for.
    #[serde(default)]
    pub lesion_pack: Option<PackEntry>,
    /// The weights that outlined the heart's phases, where they were measured.
    #[serde(default)]
    pub heart_pack: Option<PackEntry>,
    /// What worded findings and impression, where that was not the program itself.
    #[serde(default)]
    pub worded_by: Option<PackEntry>,
    /// The scan.
    pub input: InputEntry,
    /// What computed.
    pub device: DeviceFacts,
    /// Duration of each stage.
    pub timings: Vec<StageTime>,
    /// Sum of the stages in seconds.
    pub total_seconds: f64,
    /// Results in short.
    pub results: Results,
    /// Warnings from reading, run and image quality.
    pub warnings: Vec<String>,
    /// That it is no medical device.
    pub notice: String,
}

/// The weights of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackEntry {
    /// Short name.
    pub name: String,
    /// Version.
    pub version: String,
    /// SHA-256 of its tensors, in hex.
    pub sha256: String,
    /// What its maker says of it.
    pub note: String,
}

/// Facts of the scan that identify nobody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputEntry {
    /// Name of the format.
    pub format: String,
    /// Voxels along x, y, z.
    pub dims: [usize; 3],
    /// Distance between voxel centres in millimetres.
    pub spacing_mm: [f64; 3],
    /// Whether that is assumed, as the file does not state it or its unit.
    #[serde(default)]
    pub unit_assumed: bool,
    /// Letters of the directions of the voxel axes.
    pub orientation: String,
    /// Volumes in the file.
    pub volumes: usize,
    /// The volume read, counted from 0.
    pub volume: usize,
}

/// Results in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Sums and their definitions.
    pub totals: Totals,
    /// Volume of every structure.
    pub structures: Vec<StructureEntry>,
    /// Every measure of image quality.
    pub quality: Vec<QualityEntry>,
    /// What the pack's other heads estimate.
    #[serde(default)]
    pub answers: Vec<HeadAnswer>,
    /// What the image shows.
    #[serde(default)]
    pub identified: Option<Identification>,
    /// Lesions in numbers, where they were looked for.
    #[serde(default)]
    pub lesions: Option<Summary>,
    /// Function of the heart, where its phases were measured.
    #[serde(default)]
    pub function: Option<Function>,
    /// Whether its right ejection fraction is to be used.
    #[serde(default)]
    pub right_usable: Option<bool>,
    /// Change until a second scan, where there is one.
    #[serde(default)]
    pub comparison: Option<ComparisonFacts>,
}

/// A structure's volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StructureEntry {
    /// Number in files (FreeSurfer id for the brain).
    pub id: u16,
    /// Name in files.
    pub name: String,
    /// Voxels.
    pub voxels: u64,
    /// Volume in millilitres.
    pub millilitres: f64,
}

/// A measure's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QualityEntry {
    /// Stable name.
    pub key: String,
    /// Value, where there is one.
    pub value: Option<f64>,
    /// Unit; empty for ratios.
    pub unit: String,
    /// What it says.
    pub judgement: Judgement,
}

impl PackEntry {
    fn of(pack: &PackFacts) -> Self {
        Self {
            name: pack.name.clone(),
            version: pack.version.clone(),
            sha256: pack.sha256.clone(),
            note: pack.note.clone(),
        }
    }
}

impl RunManifest {
    /// With what worded a report of the run.
    #[must_use]
    pub fn with_wording_of(mut self, report: &Report) -> Self {
        self.worded_by = report.worded_by.as_ref().map(PackEntry::of);
        self
    }

    /// The manifest of a run.
    pub fn of(input: &ReportInput) -> Self {
        let (scan, pack) = (&input.scan, &input.pack);
        let warnings = input
            .warnings
            .iter()
            .chain(&input.quality.warnings)
            .map(|warning| super::sentence::without_file_name(warning).to_owned())
            .collect();
        Self {
            schema: SCHEMA,
            software: input.software.clone(),
            started: input.started.clone(),
            pack: PackEntry::of(pack),
            lesion_pack: input.lesions.as_ref().map(|lesions| PackEntry::of(&lesions.pack)),
            heart_pack: input.heart.as_ref().map(|heart| PackEntry::of(&heart.pack)),
            worded_by: None,
            input: InputEntry {
                format: scan.format.clone(),
                dims: scan.dims,
                spacing_mm: scan.spacing_mm,
                unit_assumed: scan.unit_assumed,
                orientation: scan.orientation.clone(),
                volumes: scan.volumes,
                volume: scan.volume,
            },
            device: input.device.clone(),
            timings: input.timings.clone(),
            total_seconds: input.timings.iter().map(|time| time.seconds).sum(),
            results: Results {
                answers: input.answers.clone(),
                identified: input.identified.clone(),
                lesions: input.lesions.as_ref().map(|lesions| lesions.summary.clone()),
                function: input.heart.as_ref().and_then(|heart| heart.report.function),
                right_usable: input.heart.as_ref().map(|heart| heart.report.right_usable),
                comparison: input.comparison.clone(),
                totals: Totals::of(&input.structures),
                structures: input
                    .structures
                    .iter()
                    .map(|row| StructureEntry {
                        id: row.id,
                        name: row.name.clone(),
                        voxels: row.voxels,
                        millilitres: row.millilitres,
                    })
                    .collect(),
                quality: input
                    .quality
                    .measures
                    .iter()
                    .map(|measure| QualityEntry {
                        key: measure.key.clone(),
                        value: measure.value,
                        unit: measure.unit.clone(),
                        judgement: measure.judgement,
                    })
                    .collect(),
            },
            warnings,
            notice: super::NOT_A_DEVICE.into(),
        }
    }

    /// Indented JSON with a line feed at its end.
    ///
    /// # Errors
    /// As `serde_json`; none is expected, as every field is plain data.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|json| json + "\n")
    }
}
