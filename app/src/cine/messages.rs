//! What page and worker say to each other about the phases of a heartbeat (see `protocol`).

use prism_core::measure::cardiac::Measured;
use serde::{Deserialize, Serialize};

use crate::protocol::Grid;

/// What the page asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// Read the phases in the files beside (`File` handles): first `own` files of the shown
    /// scan, then further files.
    Open {
        /// Series and volume that are shown.
        series: Option<String>,
        /// How many of the files are those of the shown scan.
        own: usize,
        /// Whether to take the other series of the shown one's size as phases, too.
        alike: bool,
        /// Whether to send voxels for display: a restarted worker only reads again.
        display: bool,
    },
    /// Outline and measure one phase, counted from 0. Beside: the pack (a `Blob`).
    Measure {
        /// Which.
        phase: usize,
    },
}

/// What the worker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The phases are read. Beside, if display was asked for: half floats of each phase in
    /// order, as in [`Loaded`](crate::protocol::FromWorker::Loaded).
    Opened(Opened),
    /// A phase was measured. Beside, unless it was refused: its label indices (u8), x fastest.
    Measured {
        /// Which, counted from 0.
        phase: usize,
        /// Its volumes, or why it has none.
        measured: Measured,
    },
}

/// What the phases have in common, and their times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// Their grid.
    pub grid: Grid,
    /// Lowest and highest value of all phases, in scan units.
    pub range: (f32, f32),
    /// Whether every file states its spacing and the unit of length.
    pub unit_stated: bool,
    /// Time of each phase in milliseconds, where its files state one.
    pub times_ms: Vec<Option<f64>>,
    /// A sentence about phases that look unlike the first one.
    pub unlike: Option<String>,
}
