//! A further sequence of a study onto the first one's grid.
//!
//! Scanners place the sequences of one visit in one world, and the head moves between them.
//! A sequence that lies where its header says is only resampled; one that does not is
//! registered rigidly by normalised mutual information, and refused where that fails, too.

use super::alignment::{check, onto};
use super::{FAR_MM, LesionError};
use crate::model::Stopped;
use crate::pipeline::{PipelineError, Stage, Watch};
use crate::registration::intensity::Intensities;
use crate::registration::{Freedom, intensities};
use crate::volume::{Affine, Volume};

/// Motions below this stay as the header has them, in millimetres: half a voxel of the grid
/// that they are measured on, and less than resampling twice would blur.
const LEAST_MM: f64 = 1.0;

/// Steps of the climb, first and last, in millimetres.
const CLIMBS: [(f64, f64); 3] = [(4.0, 1.0), (1.0, 0.25), (0.25, 0.05)];

/// A sequence on the first scan's grid.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its voxels there.
    pub volume: Volume,
    /// How far it was moved, in millimetres; `None` where its header was right.
    pub moved_mm: Option<f64>,
}

impl Placed {
    /// Whether it was moved further than a head moves within one visit ([`FAR_MM`]).
    pub fn is_far(&self) -> bool {
        self.moved_mm.is_some_and(|mm| mm >= FAR_MM)
    }
}

/// Brings a sequence onto the grid of the first scan.
///
/// # Errors
/// [`LesionError`]: nothing in the scan, registered in vain, stopped.
pub async fn place<W: Watch>(
    first: &Volume,
    scan: &Volume,
    watch: &mut W,
) -> Result<Placed, LesionError> {
    let mut steps = Steps { watch, done: 0 };
    let there = onto(first, scan, None)?;
    let lies = check(first, &there).holds();
    steps.step().await?;
    let (fixed, mask) = intensities(first)?;
    let (moving, _) = intensities(scan)?;
    steps.step().await?;
    let found = Intensities::new(&fixed, &mask, &moving)?;
    let mut motion = if lies { Affine::IDENTITY } else { found.first() };
    for (largest, least) in CLIMBS {
        motion = found.climb(motion, Freedom::Rigid, largest, least);
        steps.step().await?;
    }
    let moved_mm = distance(&motion, first);
    if lies && moved_mm < LEAST_MM {
        return Ok(Placed { volume: there, moved_mm: None });
    }
    settled(first, onto(first, scan, Some(&motion))?, moved_mm)
}

/// A sequence that was moved onto the first scan, unless another position still fits better.
fn settled(first: &Volume, volume: Volume, moved_mm: f64) -> Result<Placed, LesionError> {
    if !check(first, &volume).holds() {
        return Err(LesionError::NotAligned);
    }
    Ok(Placed { volume, moved_mm: Some(moved_mm) })
}

/// Mean distance that a motion moves the corners of the middle half of a scan.
fn distance(motion: &Affine, scan: &Volume) -> f64 {
    let corners = (0..8_usize).map(|corner| {
        let part = |axis: usize| if corner >> axis & 1 == 1 { 0.75 } else { 0.25 };
        let voxel = [0, 1, 2].map(|axis| part(axis) * (scan.dims[axis] as f64 - 1.0));
        let from = scan.affine.apply(voxel);
        let to = motion.apply(from);
        (0..3).map(|axis| (to[axis] - from[axis]).powi(2)).sum::<f64>().sqrt()
    });
    corners.sum::<f64>() / 8.0
}

/// Counts steps and lets a cancel through.
struct Steps<'a, W> {
    watch: &'a mut W,
    done: usize,
}

impl<W: Watch> Steps<'_, W> {
    async fn step(&mut self) -> Result<(), LesionError> {
        self.done += 1;
        self.watch.progress(Stage::Register, self.done, CLIMBS.len() + 2);
        self.watch.breathe().await;
        if self.watch.cancelled() { Err(PipelineError::from(Stopped).into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Quiet;

    /// Blobs of several greys at 2 mm; `negative` is another sequence of them.
    fn blobs(negative: bool) -> Volume {
        let dims = [48, 52, 44];
        let data = (0..dims.iter().product::<usize>())
            .map(|at| {
                let place = [at % 48, at / 48 % 52, at / 2496].map(|v| v as f64);
                let parts = [
                    ([24.0, 26.0, 22.0], 17.0, 0.4),
                    ([30.0, 30.0, 24.0], 7.0, 0.3),
                    ([17.0, 21.0, 18.0], 5.0, -0.25),
                    ([24.0, 36.0, 15.0], 6.0, 0.2),
                ];
                let value: f64 = parts
                    .iter()
                    .map(|(centre, radius, grey)| {
                        let far = (0..3).map(|k| (place[k] - centre[k]).powi(2)).sum::<f64>();
                        grey / (1.0 + (2.0 * (far.sqrt() - radius)).exp())
                    })
                    .sum();
                (if negative && value > 0.02 { 0.95 - value } else { value }) as f32
            })
            .collect();
        Volume { data, dims, affine: Affine::from_spacing([2.0; 3]) }
    }

    fn placed(shift_mm: [f64; 3]) -> Placed {
        let mut scan = blobs(true);
        (0..3).for_each(|axis| scan.affine.0[axis][3] += shift_mm[axis]);
        pollster::block_on(place(&blobs(false), &scan, &mut Quiet)).unwrap()
    }

    #[test]
    fn a_sequence_that_lies_on_the_first_one_stays() {
        let there = placed([0.0; 3]);
        assert_eq!(there.moved_mm, None);
        assert_eq!(there.volume.data, blobs(true).data);
    }

    #[test]
    fn a_turned_sequence_is_turned_back() {
        let (fixed, mut scan) = (blobs(false), blobs(true));
        // 8 degrees about the middle of the grid, along z.
        let (sin, cos) = 8.0_f64.to_radians().sin_cos();
        let middle = fixed.affine.apply(fixed.dims.map(|side| (side as f64 - 1.0) / 2.0));
        let [x, y, _] = scan.affine.0;
        for column in 0..4 {
            let from = if column == 3 { [middle[0], middle[1]] } else { [0.0; 2] };
            let (u, v) = (x[column] - from[0], y[column] - from[1]);
            scan.affine.0[0][column] = cos * u - sin * v + from[0];
            scan.affine.0[1][column] = sin * u + cos * v + from[1];
        }
        let there = pollster::block_on(place(&fixed, &scan, &mut Quiet)).unwrap();
        // Corners of the middle half lie 34.7 mm from the axis: 2 * 34.7 * sin(4 degrees).
        let moved = there.moved_mm.unwrap();
        assert!((moved - 4.84).abs() < 1.0, "{moved}");
        let error = |volume: &Volume| {
            let pairs = volume.data.iter().zip(&scan.data);
            pairs.map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / scan.data.len() as f64
        };
        let before = onto(&fixed, &scan, None).unwrap();
        assert!(error(&there.volume) < 0.5 * error(&before), "{}", error(&there.volume));
    }

    #[test]
    fn a_sequence_that_fits_better_elsewhere_is_refused() {
        let fixed = blobs(false);
        let mut scan = blobs(true);
        scan.affine.0[0][3] += 8.0;
        let elsewhere = onto(&fixed, &scan, None).unwrap();
        assert!(matches!(settled(&fixed, elsewhere, 3.0), Err(LesionError::NotAligned)));
        let there = settled(&fixed, blobs(true), FAR_MM).unwrap();
        assert!(there.is_far());
        assert!(!settled(&fixed, blobs(true), 3.0).unwrap().is_far());
    }

    #[test]
    fn moved_sequences_are_moved_back_and_it_is_said_how_far() {
        // Lengths of the shifts: 3 mm and 13 mm.
        for (shift, length) in [([2.0, -1.0, 2.0], 3.0), ([12.0, 3.0, -4.0], 13.0)] {
            let there = placed(shift);
            let moved = there.moved_mm.unwrap();
            assert!((moved - length).abs() < 0.6, "{moved} {length}");
            let expected = blobs(true).data;
            let pairs = there.volume.data.iter().zip(&expected);
            let error = pairs.map(|(a, b)| f64::from((a - b).abs())).sum::<f64>();
            assert!(error / (expected.len() as f64) < 0.02, "{error}");
        }
    }
}
