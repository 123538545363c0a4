//! What an encoder without heads is good for.
//!
//! An encoder says of every place in a scan what it looks like, as a vector of some
//! hundred numbers. That is enough for three things, none of which needs a head:
//!
//! | module | what |
//! | --- | --- |
//! | `dense` | the encoder's maps over a whole scan, each at its own resolution |
//! | `readout` | linear functions of the maps, summed on the network's grid |
//! | [`principal`] | the three directions in which features vary most, as colours |
//! | `shared` | the components of two scans together, each scan's own contrast taken off |
//! | [`similarity`] | where in this or another scan it looks like here |
//! | `samples` | features at labelled or painted voxels, drawn by strata |
//! | `ridge` | linear classifiers and regressions in closed form |
//! | [`few_shot`] | a head fitted on a handful of examples |
//! | `painted` | examples painted in one or several scans |
//! | `folds`, `scores` | cross-validation: what is left out, what is counted |
//! | `classifier`, `dual` | a head on the pooled features of labelled scans |
//! | `fitted` | a fitted head as a pack |
//! | `linalg` | the two solvers: Cholesky, leading eigenvectors |
//!
//! All of it is linear in the maps, so maps are never brought to full resolution:
//! the function is applied to each and its result is upsampled.
//!
//! Inside this module voxels lie as the network's do: `[x, y, z]`, z fastest.

mod classifier;
mod dense;
mod dual;
pub mod few_shot;
mod fitted;
mod folds;
pub(crate) mod linalg;
mod painted;
pub mod principal;
mod readout;
mod ridge;
mod samples;
mod scores;
mod shared;
pub mod similarity;

pub use classifier::{Taught, teach};
pub use dense::{DenseFeatures, Level, extract, extract_anatomy};
pub use few_shot::{Fitted, Labelled, fit_scans};
pub use fitted::Naming;
pub use painted::{Painted, fit_painted};
pub use principal::{Principal, principal_components};
pub use readout::Readout;
pub use scores::{LeftOut, Metric, Scores};
pub(crate) use shared::shared_components;
pub use similarity::{Query, Similarity, query, similarity};

use crate::identify::HeadsError;
use crate::model::PackError;
use crate::pipeline::PipelineError;
use crate::volume::AffineError;

/// Features cannot be had, or not be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FeatureError {
    /// The scan did not run through the encoder.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// Labels that lie nowhere in the world.
    #[error(transparent)]
    Affine(#[from] AffineError),
    /// The fitted head of whole scans cannot be written.
    #[error(transparent)]
    Heads(#[from] HeadsError),
    /// Kept examples cannot be read or written.
    #[error("the kept examples cannot be used: {0}")]
    Kept(String),
    /// The fitted pack cannot be written.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// No map is coarser than the scan and small enough.
    #[error("the encoder gives no map that can be held for this scan; crop the scan")]
    NoMaps,
    /// A point outside of what the network saw.
    #[error("the point {0:?} mm lies outside the scanned head; choose a place inside it")]
    Outside([f64; 3]),
    /// Two scans whose features come from different encoders.
    #[error("the two scans were encoded by different packs; encode both with the same one")]
    OtherEncoder,
    /// The foreground is empty or too small to say anything.
    #[error("only {0} voxels of the scan are foreground, too few")]
    Foreground(usize),
    /// Not enough examples to fit at all.
    #[error("too few examples: {0}")]
    Examples(String),
    /// More classes than a head on the maps can hold.
    #[error("{0} classes, more than the {most} that a fitted head holds", most = few_shot::MOST_CLASSES)]
    Classes(usize),
    /// Scan and labels are not on the same grid.
    #[error("the labels have {labels:?} voxels, their scan {scan:?}; both must be on one grid")]
    Grid {
        /// Sides of the label map.
        labels: [usize; 3],
        /// Sides of the scan.
        scan: [usize; 3],
    },
    /// Scan and labels have as many voxels, but not in the same places.
    #[error(
        "the labels lie up to {0:.2} voxels from where their scan has these voxels; bring both onto \
         one grid"
    )]
    Place(f64),
    /// The normal equations have no solution.
    #[error("the examples do not determine a head: {0}")]
    Singular(&'static str),
}
