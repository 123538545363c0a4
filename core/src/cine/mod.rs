//! A cine series: the phases of one heartbeat, read, measured phase by phase.
//!
//! Phases come from one 4-D file, from several 3-D files, or from a DICOM series with
//! several images at each position. They have one grid, so that a place in one is the
//! same place in all.
//!
//! | module | what |
//! | --- | --- |
//! | `read` | which volumes of some files are the phases |
//! | `measure` | a phase through a heart pack: labels, volumes, or why there are none |

mod measure;
mod read;

pub use measure::chambers;
pub use read::phases_of;

use serde_json::Value;

use crate::formats::{FormatError, MAX_VOXELS, Scan};
use crate::measure::cardiac::{Implausible, Measured};
use crate::model::PackError;
use crate::pipeline::PipelineError;
use crate::report::CineReport;
use crate::volume::{Affine, LabelMap, Volume};

/// Grids whose corners are nearer than this are one (mm).
const SAME_GRID_MM: f64 = 0.5;

/// Phases that form no cine series, or cannot be measured.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CineError {
    /// The files cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A phase has another grid.
    #[error(
        "phase {phase} does not lie on the grid of the first one ({expected} voxels, this one {actual}): \
         phases of one heartbeat have the same slices; give those of one series"
    )]
    Grid {
        /// Its number, from 1.
        phase: usize,
        /// Voxels of the first phase.
        expected: String,
        /// Voxels of this one.
        actual: String,
    },
    /// More than is held at once.
    #[error(
        "these are {phases} phases of {voxels} voxels each, more than the {MAX_VOXELS} voxels \
         that are held at once: give fewer phases"
    )]
    TooLarge {
        /// Number of phases.
        phases: usize,
        /// Voxels of one.
        voxels: usize,
    },
    /// The scan is no short-axis stack.
    #[error(transparent)]
    Stack(#[from] Implausible),
    /// The pack outlines no heart.
    #[error("the model \"{0}\" outlines no heart; choose one for the heart")]
    NoHeart(String),
    /// The pack does not fit its network.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The network did not finish.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// One phase.
#[derive(Clone, Debug)]
pub struct CinePhase {
    /// Its voxels.
    pub volume: Volume,
    /// Its time, where the files state one ([`Scan::time_ms`]).
    pub time_ms: Option<f64>,
    /// Whether its files state spacing and unit of length ([`crate::formats::Series`]).
    pub unit_stated: bool,
    /// Its structures, once they were outlined.
    pub labels: Option<LabelMap>,
    /// Its volumes, or why it has none, once it was measured.
    pub measured: Option<Measured>,
}

/// The phases of one heartbeat, in order, on one grid.
#[derive(Clone, Debug, Default)]
pub struct Cine {
    phases: Vec<CinePhase>,
}

impl Cine {
    /// The phases, in order.
    pub fn phases(&self) -> &[CinePhase] {
        &self.phases
    }

    /// Adds a phase behind the others.
    ///
    /// # Errors
    /// [`CineError::Grid`] or [`CineError::TooLarge`]; the series is unchanged then.
    pub fn push(&mut self, scan: Scan) -> Result<(), CineError> {
        let Scan { volume, series, time_ms, .. } = scan;
        let phases = self.phases.len() + 1;
        if let Some(CinePhase { volume: first, .. }) = self.phases.first()
            && !same_grid(first, &volume)
        {
            let words = |[x, y, z]: [usize; 3]| format!("{x} x {y} x {z}");
            return Err(CineError::Grid {
                phase: phases,
                expected: words(first.dims),
                actual: words(volume.dims),
            });
        }
        let voxels = volume.voxels();
        if voxels as u64 * phases as u64 > MAX_VOXELS {
            return Err(CineError::TooLarge { phases, voxels });
        }
        let unit_stated = series.unit_stated;
        self.phases.push(CinePhase { volume, time_ms, unit_stated, labels: None, measured: None });
        Ok(())
    }

    /// Volumes of the phases that were measured with a pack of these scores, and the function
    /// they give.
    pub fn report(&self, scores: &Value) -> CineReport {
        CineReport::of(
            self.phases.iter().all(|phase| phase.unit_stated),
            &self.phases.iter().map(|phase| phase.time_ms).collect::<Vec<_>>(),
            self.phases.iter().map(|phase| phase.measured.clone()).collect(),
            scores,
        )
    }
}

/// Whether two volumes have the same voxels at the same places.
fn same_grid(a: &Volume, b: &Volume) -> bool {
    let corner = |affine: &Affine, at: usize| {
        affine.apply(
            [0, 1, 2].map(|axis| if at >> axis & 1 == 1 { a.dims[axis] as f64 } else { 0.0 }),
        )
    };
    a.dims == b.dims
        && (0..8).all(|at| {
            let (p, q) = (corner(&a.affine, at), corner(&b.affine, at));
            (0..3).all(|axis| (p[axis] - q[axis]).abs() < SAME_GRID_MM)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Acquisition, Format, Series};

    fn scan(dims: [usize; 3], spacing: [f64; 3]) -> Scan {
        let affine = Affine::from_spacing(spacing);
        let data = vec![0.0; dims.iter().product()];
        let series = Series {
            key: "file-1".into(),
            title: "cine".into(),
            format: Format::Nifti1,
            dims,
            spacing_mm: spacing,
            unit_stated: true,
            volumes: 1,
            files: 1,
            acquisition: Acquisition::default(),
        };
        let volume = Volume { data, dims, affine };
        Scan { volume, series, time_ms: None, warnings: Vec::new() }
    }

    #[test]
    fn phases_have_one_grid() {
        let mut cine = Cine::default();
        assert_eq!(cine.push(scan([6, 5, 4], [1.5, 1.5, 10.0])), Ok(()));
        assert_eq!(cine.push(scan([6, 5, 4], [1.5, 1.5, 10.01])), Ok(()));
        let shorter = cine.push(scan([6, 5, 3], [1.5, 1.5, 10.0]));
        assert!(matches!(shorter, Err(CineError::Grid { phase: 3, .. })), "{shorter:?}");
        let wider = cine.push(scan([6, 5, 4], [1.7, 1.5, 10.0]));
        assert!(matches!(wider, Err(CineError::Grid { .. })), "{wider:?}");
        assert_eq!(cine.phases().len(), 2);
    }
}
