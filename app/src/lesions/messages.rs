//! What page and worker say to each other about lesions (see `protocol`).

use prism_core::identify::Fits;
use prism_core::lesions::{Lesion, Summary};
use prism_core::volume::LabelTable;
use serde::{Deserialize, Serialize};

use crate::facts::DeviceReport;
use crate::protocol::Grid;

/// Most sequences that are taken of one choice of files.
pub const MOST_SEQUENCES: u32 = prism_core::lesions::MOST_SEQUENCES as u32;

/// What the page asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// Read further sequences of the loaded scan's study, identify them and bring those that
    /// fit onto its grid. Beside: the pack whose encoder identifies, the heads (`Blob`s), then
    /// `File` handles.
    Add {
        /// Key of the first of them; others follow, at most [`MOST_SEQUENCES`].
        key: u32,
        /// Keys of the sequences that are there already.
        beside: Vec<u32>,
        /// What the lesion pack is for.
        fits: Option<Fits>,
    },
    /// Give a restarted worker a sequence again (`File` handles beside).
    Again {
        /// Its key.
        key: u32,
        /// Its series in the files.
        series: String,
    },
    /// Look for lesions in the loaded scan and these sequences. Beside: the brain pack and
    /// the lesion pack (`Blob`s).
    Find {
        /// SHA-256 of the lesion pack.
        pack: String,
        /// Keys of the sequences; others are dropped.
        keys: Vec<u32>,
    },
    /// Compare the loaded scan with its rendering. Beside: the brain pack and the pretrained
    /// pack (`Blob`s).
    Abnormality {
        /// SHA-256 of the pretrained pack.
        pack: String,
    },
    /// Make the file of the map of abnormality.
    ExportMap,
    /// Make the mask's file (label indices beside).
    Export {
        /// Their grid.
        grid: Grid,
        /// What they stand for.
        table: LabelTable,
    },
}

/// What the worker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The sequences lie on the loaded scan's grid.
    Added {
        /// Those that do.
        sequences: Vec<Sequence>,
        /// The others, each with the reason in brackets.
        left_out: Vec<String>,
    },
    /// The sequence is there again.
    Again,
    /// What was found. Beside: one label index (u8) a voxel of the scan, x fastest.
    Found(Box<Found>),
    /// The mask (NIfTI) is beside.
    Exported,
    /// The map of abnormality. Beside: red, green, blue, alpha a voxel of the scan, x fastest,
    /// colours multiplied by alpha.
    Mapped(Box<Mapped>),
    /// The map of abnormality (NIfTI) is beside.
    MapExported,
}

/// What goes with a map of abnormality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mapped {
    /// Grid of the colours beside: the scan's.
    pub grid: Grid,
    /// Robust deviations from which on there is colour.
    pub begins: f64,
    /// The largest deviation, either way.
    pub largest: f64,
    /// Where it is (RAS+, mm).
    pub largest_mm: [f64; 3],
    /// How far the scan was blurred, standard deviation in mm.
    pub blur_mm: f64,
    /// Correlation of scan and rendering in the brain.
    pub correlation: f64,
    /// Where it ran.
    pub device: DeviceReport,
    /// Seconds it took.
    pub seconds: f64,
}

/// A further sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequence {
    /// Names it between page and worker.
    pub key: u32,
    /// Its series in the files.
    pub series: String,
    /// What the files call it.
    pub title: String,
    /// Which sequence it is by the file or the image, where that is known.
    pub shows: Option<String>,
    /// Why it is not known whether it is one for the lesion pack, where it is not.
    pub doubt: Option<String>,
    /// How far it was moved onto the loaded scan, in millimetres; `None` where it lay there.
    pub moved_mm: Option<f64>,
}

/// Lesions of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Grid of the label indices beside: the scan's.
    pub grid: Grid,
    /// What they stand for. The indices lie above those of structures, so that what is
    /// hidden or lit among structures says nothing about lesions.
    pub table: LabelTable,
    /// Added to a lesion's class to give its index.
    pub above: u8,
    /// One row a lesion, largest first.
    pub lesions: Vec<Lesion>,
    /// All of them.
    pub summary: Summary,
    /// Where it ran.
    pub device: DeviceReport,
    /// Seconds it took.
    pub seconds: f64,
}
