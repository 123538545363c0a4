//! What page and worker say to each other about features (see `protocol`).

use prism_core::volume::LabelTable;
use serde::{Deserialize, Serialize};

use crate::protocol::Grid;

/// A place to look for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Place {
    /// A world point (RAS+, mm) of the loaded scan.
    Here([f64; 3]),
    /// The place that was kept, of this or an earlier scan.
    Kept,
}

/// What the page asks. The pack (a `Blob`) is beside each, first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// The principal components of the features as colours.
    Colours,
    /// How much every place looks like this one.
    Similar(Place),
    /// Keep a world point (RAS+, mm) to look for in another scan.
    Keep([f64; 3]),
    /// Fit a head on what was painted (value u8 a voxel of the scan beside, 0: nothing,
    /// else class + 1).
    Fit {
        /// The classes without background, which is class 0.
        table: LabelTable,
    },
    /// Segment the loaded scan with the head that was fitted last; answered as any
    /// segmentation.
    Segment,
}

/// What the worker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Beside: red, green, blue, alpha a voxel, x fastest, colours multiplied by alpha.
    Colours {
        /// Their grid.
        grid: Grid,
        /// Share of the features' variance in red, green and blue.
        explained: [f64; 3],
    },
    /// Beside: a heat map, as the colours.
    Similar {
        /// Its grid.
        grid: Grid,
        /// What was looked for.
        place: Place,
        /// The most similar place (RAS+, mm).
        best_mm: [f64; 3],
        /// Its similarity, at most 1.
        score: f32,
    },
    /// The place is kept.
    Kept,
    /// A head is fitted. Beside: the pack as a file.
    Fitted(Fit),
}

/// How a fit went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Name and score of each class, background first: the share of its voxels
    /// recognised in places left out; none where it could not be scored.
    pub classes: Vec<(String, Option<f64>)>,
    /// Mean of the scores that are there.
    pub mean: Option<f64>,
    /// How often places were left out.
    pub folds: usize,
    /// Why scores are missing.
    pub note: Option<String>,
    /// Voxels of the network's grid that were painted.
    pub voxels: usize,
}
