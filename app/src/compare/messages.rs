//! What page and worker say to each other about a second scan (see `protocol`).

use prism_core::formats::Date;
use prism_core::volume::Affine;
use serde::{Deserialize, Serialize};

use crate::protocol::Grid;

/// How far the second scan may be moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Turned and shifted: the same person.
    Rigid,
    /// Any affine map.
    Affine,
    /// Every place on its own.
    #[default]
    Deformable,
}

/// A picture of the second scan on the grid of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Picture {
    /// Its greys.
    Greys,
    /// Its greys in every other cube.
    Checkerboard,
    /// Cubes that were straight before it was deformed.
    Cells,
    /// How much larger or smaller each place is in it (see `local`): computed when it is
    /// first asked for.
    LocalChange,
}

/// What the page asks. The pack (a `Blob`) is beside each, first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// Read the second scan (its `File` handles beside) and align it with the loaded one.
    Align {
        /// How far it may be moved.
        kind: Kind,
        /// Whether it is an atlas, whose points are wanted for those of the loaded scan.
        atlas: bool,
    },
    /// Draw it.
    Draw(Picture),
    /// Segment both several times and compare volumes.
    Change,
}

/// What the worker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Aligned. Beside: its greys, as in [`Answer::Drawn`]; then, where `standard` has a
    /// grid, the displacements on it (f32; x, y, z in mm a voxel).
    Aligned {
        /// Grid of the picture.
        grid: Grid,
        /// Seconds it took.
        seconds: f64,
        /// Mean squared difference of the features after the affine part, and in the end.
        differences: (f64, f64),
        /// Share of places where space folds, for a deformable alignment.
        folded: Option<f64>,
        /// Day of the second scan's study.
        date: Option<Date>,
        /// The way to the atlas.
        standard: Option<Box<Standard>>,
    },
    /// Beside: red, green, blue, alpha a voxel, x fastest, colours multiplied by alpha.
    Drawn {
        /// Grid of the picture.
        grid: Grid,
        /// Which.
        picture: Picture,
    },
    /// The change of each structure.
    Changed {
        /// In the order of the label table.
        rows: Vec<Row>,
    },
}

/// The way from points of the loaded scan to those of an atlas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standard {
    /// After the displacements.
    pub affine: Affine,
    /// Grid of the displacements, where there are any.
    pub grid: Option<Grid>,
}

/// The change of one structure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its value in the label map.
    pub index: u8,
    /// Name in prose.
    pub name: String,
    /// Millilitres in the loaded scan, and in the second one.
    pub millilitres: (f64, f64),
    /// Their difference.
    pub change: f64,
    /// Half of its interval.
    pub interval: f64,
    /// Half of the interval around each volume.
    pub intervals: (f64, f64),
    /// Whether the difference lies outside the interval.
    pub changed: bool,
}
