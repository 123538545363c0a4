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

use crate::formats::{Date, FormatError, MAX_VOXELS, Scan};
use crate::measure::cardiac::{Implausible, Measured};
use crate::model::PackError;
use crate::pipeline::PipelineError;
use crate::report::CineReport;
use crate::volume::{Affine, LabelMap, Volume};

/// Grids whose corners are nearer than this are one (mm).
const SAME_GRID_MM: f64 = 0.5;

/// Phases whose voxels correlate less than this with the first one's are hardly of one heart.
/// In ACDC (60 patients) end-diastole and end-systole of one patient correlate by 0.88 or more,
/// phases of different patients on grids of one size (272 pairs) by 0.43 at most.
const SAME_HEART: f64 = 0.65;

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
    /// A phase was acquired on another day.
    #[error(
        "phase {phase} was acquired on another day than those before it: phases of one \
         heartbeat are of one scan of one person; give those of one series"
    )]
    Day {
        /// Its number, from 1.
        phase: usize,
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
    /// Day of the first phase that states one.
    day: Option<Date>,
}

impl Cine {
    /// The phases, in order.
    pub fn phases(&self) -> &[CinePhase] {
        &self.phases
    }

    /// Adds a phase behind the others.
    ///
    /// # Errors
    /// [`CineError::Grid`], [`CineError::Day`] or [`CineError::TooLarge`]; the series is
    /// unchanged then.
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
        let day = self.day.or(series.acquisition.study_date);
        if series.acquisition.study_date.is_some_and(|date| day != Some(date)) {
            return Err(CineError::Day { phase: phases });
        }
        let voxels = volume.voxels();
        if voxels as u64 * phases as u64 > MAX_VOXELS {
            return Err(CineError::TooLarge { phases, voxels });
        }
        self.day = day;
        let unit_stated = series.unit_stated;
        self.phases.push(CinePhase { volume, time_ms, unit_stated, labels: None, measured: None });
        Ok(())
    }

    /// A sentence about phases that look unlike the first one; `None` where none does.
    pub fn unlike(&self) -> Option<String> {
        let (first, others) = self.phases.split_first()?;
        let unlike = |phase: &CinePhase| {
            correlation(&first.volume.data, &phase.volume.data).is_some_and(|r| r < SAME_HEART)
        };
        let numbers: Vec<String> = others
            .iter()
            .enumerate()
            .filter(|(_, phase)| unlike(phase))
            .map(|(at, _)| (at + 2).to_string())
            .collect();
        let verb = if numbers.len() == 1 { " looks" } else { "s look" };
        (!numbers.is_empty()).then(|| {
            format!(
                "Phase{verb} unlike phase 1: {}. They may be of different people or scans; the \
                 function of the heart holds for phases of one heartbeat only.",
                numbers.join(", ")
            )
        })
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

/// Pearson's correlation of voxel values; `None` where one side is constant.
fn correlation(a: &[f32], b: &[f32]) -> Option<f64> {
    let mean = |data: &[f32]| {
        data.iter().map(|&value| f64::from(value)).sum::<f64>() / data.len().max(1) as f64
    };
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (&x, &y) in a.iter().zip(b) {
        let (x, y) = (f64::from(x) - mean_a, f64::from(y) - mean_b);
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
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
        Scan { volume, series, time_ms: None, sides_assumed: false, warnings: Vec::new() }
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

    #[test]
    fn phases_of_other_people_are_told() {
        let mut cine = Cine::default();
        let mut push = |value: fn(usize) -> f32| {
            let mut scan = scan([6, 5, 4], [1.5, 1.5, 10.0]);
            scan.volume.data = (0..120).map(value).collect();
            assert_eq!(cine.push(scan), Ok(()));
            cine.unlike()
        };
        assert_eq!(push(|at| at as f32), None);
        // The same heart, brighter, and a phase without any contrast.
        assert_eq!(push(|at| 2.0 * at as f32 + 5.0), None);
        assert_eq!(push(|_| 7.0), None);
        let other = push(|at| (at % 2) as f32).unwrap_or_default();
        assert!(other.starts_with("Phase looks unlike phase 1: 4."), "{other}");
        let others = push(|at| 120.0 - at as f32).unwrap_or_default();
        assert!(others.starts_with("Phases look unlike phase 1: 4, 5."), "{others}");
    }

    #[test]
    fn phases_are_of_one_day() {
        let of = |day: Option<u8>| {
            let mut scan = scan([6, 5, 4], [1.5, 1.5, 10.0]);
            scan.series.acquisition.study_date = day.and_then(|day| Date::new(2019, 3, day));
            scan
        };
        let mut cine = Cine::default();
        for day in [None, Some(7), Some(7), None] {
            assert_eq!(cine.push(of(day)), Ok(()));
        }
        assert_eq!(cine.push(of(Some(8))), Err(CineError::Day { phase: 5 }));
        assert_eq!(cine.phases().len(), 4);
    }
}
