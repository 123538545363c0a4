//! A lesion as a row, and the study in numbers.

use serde::{Deserialize, Serialize};

use crate::volume::Side;

/// A sphere of 3 mm across; smaller spots do not count as lesions (Filippi et al. 2019,
/// Brain 142:1858: a lesion is at least 3 mm long).
pub const SMALLEST_ML: f64 = 0.014;

/// Where in the brain, in the words of the criteria for multiple sclerosis (McDonald 2017).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the cerebellum or brainstem.
    Infratentorial,
    /// At the lateral ventricles.
    Periventricular,
    /// At or in the cortex.
    Juxtacortical,
    /// Elsewhere in the hemispheres.
    Deep,
    /// No labels of the brain around it.
    Unknown,
}

impl Place {
    /// One word.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Infratentorial => "infratentorial",
            Self::Periventricular => "periventricular",
            Self::Juxtacortical => "juxtacortical",
            Self::Deep => "deep",
            Self::Unknown => "unknown",
        }
    }
}

/// Grey of a lesion beside what lies around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Brighter.
    Bright,
    /// Darker.
    Dark,
}

impl Signal {
    /// One word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bright => "bright",
            Self::Dark => "dark",
        }
    }

    /// In prose.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Bright => "brighter than its surroundings",
            Self::Dark => "darker than its surroundings",
        }
    }
}

/// One lesion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lesion {
    /// From 1, the largest first.
    pub number: usize,
    /// Name of the class that all of its voxels have.
    pub kind: String,
    /// Index of that class.
    pub class: u8,
    /// Volume.
    pub millilitres: f64,
    /// Largest distance between two of its voxels' centres (along 49 directions).
    pub diameter_mm: f64,
    /// Where it lies.
    pub place: Place,
    /// The brain structure most of its voxels are labelled as.
    pub region: Option<String>,
    /// Side of that structure.
    pub side: Option<Side>,
    /// Mean probability of its voxels.
    pub probability: f32,
    /// Mean position (world, RAS+).
    pub centre_mm: [f64; 3],
    /// Its voxel nearest to the mean position, on the scan's grid.
    pub voxel: [usize; 3],
    /// That voxel's position (world, RAS+): always inside.
    pub inside_mm: [f64; 3],
    /// Its grey in the first sequence; `None` where it is much like its surroundings, or where
    /// they are not known.
    #[serde(default)]
    pub signal: Option<Signal>,
    /// Of a mass, the volume of the oedema that shares a face with it, in millilitres; `None` of
    /// other kinds, and where there is no such oedema.
    #[serde(default)]
    pub oedema_ml: Option<f64>,
}

impl Lesion {
    /// The oedema that touches it, in prose: `with 9.7 mL of oedema around it`.
    pub fn oedema_words(&self) -> Option<String> {
        let millilitres = self.oedema_ml?;
        let decimals = if millilitres < 1.0 { 2 } else { 1 };
        Some(format!("with {millilitres:.decimals$} mL of oedema around it"))
    }
}

/// The study in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Lesions of at least [`SMALLEST_ML`].
    pub lesions: usize,
    /// All of them together.
    pub millilitres: f64,
    /// By class name.
    pub by_class: Vec<(String, f64)>,
    /// Volume weighted by how far the probability lies above one half, in millilitres: what
    /// `probability` is calculated from.
    pub evidence_ml: f64,
    /// Probability that the study shows any lesion; `None` where the pack is not calibrated.
    pub probability: Option<f64>,
    /// Sequences that were fused.
    pub sequences: usize,
}
