//! What is said about device, pack and run: the page's own copies of core's types.
//!
//! The page's module is built without core's feature `network`, which holds the
//! originals; the worker translates (`worker/translate`).

use prism_core::card::{Measured, trained_on};
use prism_core::identify::Fits;
use prism_core::report::{PackFacts, SideAgreement, SideErrors};
use prism_core::volume::LabelTable;
use serde::{Deserialize, Serialize};

/// Where to compute, as the user wants it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A hardware GPU where there is one, otherwise the CPU.
    #[default]
    Auto,
    /// WebGPU, also where it is software.
    Gpu,
    /// The CPU.
    Cpu,
}

impl DeviceChoice {
    /// The word in storage and in attributes.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
        }
    }

    /// The choice of a word; `Auto` for words that are none.
    pub fn of(key: &str) -> Self {
        match key {
            "gpu" => Self::Gpu,
            "cpu" => Self::Cpu,
            _ => Self::Auto,
        }
    }
}

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// WebGPU.
    Gpu,
    /// WebAssembly.
    Cpu,
}

/// The device in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// What computes.
    pub kind: DeviceKind,
    /// Name of the adapter, or "CPU".
    pub adapter: String,
    /// WebGPU computed by the CPU: correct and slow.
    pub software: bool,
    /// Why it is not the device that was asked for first.
    pub note: Option<String>,
    /// Encoder and decoder keep their maps and weights in 16 bits a number.
    pub half_precision: bool,
}

/// The pack in use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackCard {
    /// Short name, as in the file name; empty on a card that an earlier page kept.
    #[serde(default)]
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Version of the weights.
    pub version: String,
    /// SHA-256 of the tensors, hexadecimal.
    pub sha256: String,
    /// What label indices stand for.
    pub labels: LabelTable,
    /// Which scans it is for.
    #[serde(default)]
    pub fits: Option<Fits>,
    /// Spacing of the grid it works on, in millimetres; `None` along an axis that keeps the
    /// scan's own.
    pub spacing_mm: [Option<f64>; 3],
    /// Data, licences, training.
    pub provenance: serde_json::Value,
    /// Measured scores.
    pub scores: serde_json::Value,
    /// Number of weights.
    pub parameters: usize,
    /// Size of the file in bytes.
    pub bytes: usize,
    /// What it can say of a scan.
    pub heads: Vec<HeadFacts>,
}

/// A pack that lies beside the page, as `packs/index.json` lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shipped {
    /// Its file's name; the card for people has the same name with `.md`.
    pub file: String,
    /// What the list shows, without the weights having been fetched.
    #[serde(flatten)]
    pub card: PackCard,
}

/// A head of a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadFacts {
    /// Its name.
    pub name: String,
    /// What it gives.
    pub kind: HeadKind,
    /// Number of classes or values.
    pub outputs: usize,
}

/// What a head gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadKind {
    /// A class a voxel.
    Segmentation,
    /// A class a scan.
    Classification,
    /// Numbers a scan.
    Regression,
}

impl PackCard {
    /// What a report says of it.
    pub fn facts(&self) -> PackFacts {
        let note = self.provenance.get("note").and_then(serde_json::Value::as_str);
        PackFacts {
            name: if self.name.is_empty() { &self.title } else { &self.name }.clone(),
            title: self.title.clone(),
            version: self.version.clone(),
            sha256: self.sha256.clone(),
            note: note.unwrap_or_default().to_owned(),
            trained_on: trained_on(&self.provenance),
            sides: SideAgreement::of(&self.scores),
            side_errors: SideErrors::of(&self.scores),
        }
    }

    /// Whether it can segment.
    pub fn segments(&self) -> bool {
        self.heads.iter().any(|head| head.kind == HeadKind::Segmentation)
    }

    /// Whether it can give single answers for a scan.
    pub fn answers(&self) -> bool {
        self.heads.iter().any(|head| head.kind != HeadKind::Segmentation)
    }

    /// Whether `prism convert` made it of a checkpoint of others.
    pub fn imported(&self) -> bool {
        self.provenance.get("imported").is_some()
    }
}

/// Seconds of each stage of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Opening device and pack, with the self-test.
    pub open: f64,
    /// Turning, resampling, intensities.
    pub prepare: f64,
    /// The network.
    pub network: f64,
    /// Islands, back to the scan's grid.
    pub labels: f64,
    /// Measures and report.
    pub measure: f64,
    /// All of it.
    pub total: f64,
    /// Windows the network ran over.
    pub windows: usize,
}

/// What a head says that reads single answers from a scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Name of the head.
    pub head: String,
    /// What each value stands for.
    pub outputs: Vec<String>,
    /// Probabilities or values.
    pub values: Vec<f32>,
    /// Whether they are probabilities.
    pub probabilities: bool,
    /// How well the head was measured, and whether its answers may be told.
    pub measured: Measured,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_survive_storage() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Gpu, DeviceChoice::Cpu] {
            assert_eq!(DeviceChoice::of(choice.key()), choice);
        }
        assert_eq!(DeviceChoice::of("abacus"), DeviceChoice::Auto);
    }
}
