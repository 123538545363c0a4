//! What page and worker say to each other about a second scan (see `protocol`).

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
}

/// What the page asks. The pack (a `Blob`) is beside each, first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// Read the second scan (its `File` handles beside) and align it with the loaded one.
    Align(Kind),
    /// Draw it.
    Draw(Picture),
    /// Segment both several times and compare volumes.
    Change {
        /// Years from the loaded scan to the second one, where known.
        years: Option<f64>,
    },
}

/// What the worker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Aligned. Beside: its greys, as in [`Answer::Drawn`].
    Aligned {
        /// Grid of the picture.
        grid: Grid,
        /// Seconds it took.
        seconds: f64,
        /// Mean squared difference of the features after the affine part, and in the end.
        differences: (f64, f64),
        /// Share of places where space folds, for a deformable alignment.
        folded: Option<f64>,
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
    /// Percent a year, or in all where the time is not known.
    pub percent: f64,
    /// Whether the difference lies outside the interval.
    pub changed: bool,
}
