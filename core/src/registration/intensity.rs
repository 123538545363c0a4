//! Alignment by intensities: normalised mutual information.
//!
//! For scans without a network, and for the last tenths of a millimetre of a rigid
//! alignment, where the scan's own grid knows more than features at 2 mm. The joint
//! histogram shares each sample among the four nearest bins; (H(F) + H(M)) / H(F, M)
//! (Studholme et al., Pattern Recognition 32, 1999) is climbed one direction at a time.

use super::RegistrationError;
use super::grid::corners;
use super::motion::{Freedom, about, moved, rotation};
use crate::kernels::cpu::for_each;
use crate::volume::{Affine, Volume};

/// Bins of each scan's intensities.
const BINS: usize = 40;

/// Most voxels of the fixed scan that are looked at.
const SAMPLES: usize = 40_000;

/// A millimetre of a turn or a stretch is one at this distance from the centre.
const REACH_MM: f64 = 60.0;

/// Angles of the first search, degrees.
const ANGLES: [f64; 3] = [-20.0, 0.0, 20.0];

/// Two scans, intensities in 0..1, and where the fixed one is looked at.
pub struct Intensities<'a> {
    moving: &'a Volume,
    to_voxel: Affine,
    /// World points and intensities of the fixed scan.
    samples: Vec<([f64; 3], f32)>,
    centre: [f64; 3],
}

impl<'a> Intensities<'a> {
    /// Looks at the voxels of `mask`.
    ///
    /// # Errors
    /// [`RegistrationError`] for grids that lie nowhere, and masks without voxels.
    pub fn new(
        fixed: &Volume,
        mask: &[bool],
        moving: &'a Volume,
    ) -> Result<Self, RegistrationError> {
        let inside = || mask.iter().enumerate().filter(|(_, inside)| **inside);
        let count = inside().count();
        if count == 0 {
            return Err(RegistrationError::Empty);
        }
        let step = count.div_ceil(SAMPLES).max(1) | 1;
        let [nx, ny, _] = fixed.dims;
        let samples: Vec<([f64; 3], f32)> = inside()
            .step_by(step)
            .map(|(at, _)| {
                let voxel = [at % nx, at / nx % ny, at / (nx * ny)].map(|v| v as f64);
                (fixed.affine.apply(voxel), fixed.data[at])
            })
            .collect();
        let centre = [0, 1, 2].map(|axis| {
            samples.iter().map(|(point, _)| point[axis]).sum::<f64>() / samples.len() as f64
        });
        Ok(Self { moving, to_voxel: moving.affine.inverse()?, samples, centre })
    }

    /// Normalised mutual information under a map from fixed to moving points, 1 to 2; 0
    /// where less than half of the samples meet the moving scan.
    pub fn similarity(&self, map: &Affine) -> f64 {
        let to_moving = self.to_voxel.after(map);
        let dims = self.moving.dims;
        let high = dims.map(|side| side as f64 - 1.0);
        let mut parts: Vec<Vec<f32>> = vec![Vec::new(); self.samples.len().div_ceil(8192)];
        let work = parts.iter_mut().zip(self.samples.chunks(8192)).collect();
        for_each(work, |(counts, samples): (&mut Vec<f32>, &[([f64; 3], f32)])| {
            counts.resize(BINS * BINS, 0.0);
            for &(point, fixed) in samples {
                let place = to_moving.apply(point);
                if (0..3).any(|axis| place[axis] < 0.0 || place[axis] > high[axis]) {
                    continue;
                }
                let corners = corners(dims, place.map(|v| v as f32));
                let value: f32 = corners
                    .at
                    .iter()
                    .zip(&corners.weights)
                    .map(|(&at, weight)| weight * self.moving.data[at])
                    .sum();
                let ((row, fr), (column, fc)) = (bin(fixed), bin(value));
                let at = row * BINS + column;
                counts[at] += (1.0 - fr) * (1.0 - fc);
                counts[at + 1] += (1.0 - fr) * fc;
                counts[at + BINS] += fr * (1.0 - fc);
                counts[at + BINS + 1] += fr * fc;
            }
        });
        let mut joint = vec![0.0_f64; BINS * BINS];
        for part in &parts {
            joint.iter_mut().zip(part).for_each(|(sum, &count)| *sum += f64::from(count));
        }
        if joint.iter().sum::<f64>() < 0.5 * self.samples.len() as f64 {
            return 0.0;
        }
        normalised(&joint)
    }

    /// The start without anything known: mean points of bright voxels onto each other, and
    /// the best of a few turns about them.
    pub fn first(&self) -> Affine {
        let [nx, ny, _] = self.moving.dims;
        let mut sum = [0.0; 4];
        for (at, &value) in self.moving.data.iter().enumerate().filter(|(_, v)| **v > 0.1) {
            let voxel = [at % nx, at / nx % ny, at / (nx * ny)].map(|v| v as f64);
            let point = self.moving.affine.apply(voxel);
            (0..3).for_each(|axis| sum[axis] += f64::from(value) * point[axis]);
            sum[3] += f64::from(value);
        }
        let mut fixed = [0.0; 4];
        for &(point, value) in &self.samples {
            (0..3).for_each(|axis| fixed[axis] += f64::from(value) * point[axis]);
            fixed[3] += f64::from(value);
        }
        let mut shift = Affine::IDENTITY;
        if sum[3] > 0.0 && fixed[3] > 0.0 {
            (0..3).for_each(|k| shift.0[k][3] = sum[k] / sum[3] - fixed[k] / fixed[3]);
        }
        let mut best = (f64::NEG_INFINITY, Affine::IDENTITY);
        for start in [Affine::IDENTITY, shift] {
            for at in 0..27 {
                let angles = [at % 3, at / 3 % 3, at / 9].map(|k| ANGLES[k].to_radians());
                let map = start.after(&about(&rotation(angles), self.centre));
                let similarity = self.similarity(&map);
                if similarity > best.0 {
                    best = (similarity, map);
                }
            }
        }
        best.1
    }

    /// Climbs from `start`, steps from `first_mm` down to `last_mm`.
    pub fn climb(&self, start: Affine, freedom: Freedom, first_mm: f64, last_mm: f64) -> Affine {
        let count = match freedom {
            Freedom::Rigid => 6,
            Freedom::Affine => 12,
        };
        // Rigid: turns, then shifts. Affine: each fourth entry is a shift.
        let scale = |at: usize| match freedom {
            Freedom::Rigid if at < 3 => 1.0 / REACH_MM,
            Freedom::Affine if at % 4 != 3 => 1.0 / REACH_MM,
            _ => 1.0,
        };
        let mut current = start;
        let mut best = self.similarity(&start);
        let mut step_mm = first_mm;
        while step_mm >= last_mm {
            let before = (best, current);
            for at in 0..count {
                for sign in [1.0, -1.0] {
                    let mut step = vec![0.0; count];
                    step[at] = sign * step_mm * scale(at);
                    let next = moved(freedom, &current, &step, self.centre);
                    let similarity = self.similarity(&next);
                    if similarity > best {
                        (best, current) = (similarity, next);
                        break;
                    }
                }
            }
            if best <= before.0 + 1e-7 {
                step_mm *= 0.5;
            }
        }
        current
    }
}

/// Lower bin and the share of the upper one, for an intensity in 0..1.
fn bin(value: f32) -> (usize, f32) {
    let place = value.clamp(0.0, 1.0) * (BINS - 1) as f32;
    let below = (place as usize).min(BINS - 2);
    (below, place - below as f32)
}

/// (H(F) + H(M)) / H(F, M) of a joint histogram, rows the first scan's bins.
fn normalised(joint: &[f64]) -> f64 {
    let total: f64 = joint.iter().sum();
    let entropy = |counts: &mut dyn Iterator<Item = f64>| -> f64 {
        counts.filter(|&c| c > 0.0).map(|c| -(c / total) * (c / total).ln()).sum()
    };
    let both = entropy(&mut joint.iter().copied());
    let rows = entropy(&mut joint.chunks_exact(BINS).map(|row| row.iter().sum()));
    let columns =
        entropy(&mut (0..BINS).map(|column| joint.iter().skip(column).step_by(BINS).sum::<f64>()));
    if both > 0.0 { (rows + columns) / both } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Smooth blobs of several grey values.
    fn blobs(invert: bool) -> Volume {
        let dims = [40, 44, 36];
        let mut data = vec![0.0; 40 * 44 * 36];
        for (at, value) in data.iter_mut().enumerate() {
            let place = [at % 40, at / 40 % 44, at / 1760].map(|v| v as f64);
            for (centre, radius, grey) in [
                ([20.0, 22.0, 18.0], 14.0, 0.4),
                ([25.0, 25.0, 20.0], 6.0, 0.3),
                ([14.0, 18.0, 15.0], 4.0, -0.25),
                ([20.0, 30.0, 12.0], 5.0, 0.2),
            ] {
                let distance: f64 =
                    (0..3).map(|k| (place[k] - centre[k]).powi(2)).sum::<f64>().sqrt();
                let edge = 1.0 / (1.0 + (2.0 * (distance - radius)).exp());
                *value += (grey * edge) as f32;
            }
            // Another sequence: other greys, bright where the first is dark inside.
            if invert && *value > 0.02 {
                *value = 0.9 - *value;
            }
        }
        Volume { data, dims, affine: Affine::from_spacing([2.0; 3]) }
    }

    #[test]
    fn two_independent_scans_share_nothing_and_equal_ones_all() {
        let mut joint = vec![1.0; BINS * BINS];
        assert!((normalised(&joint) - 1.0).abs() < 1e-9);
        joint.fill(0.0);
        (0..BINS).for_each(|bin| joint[bin * BINS + bin] = 3.0);
        assert!((normalised(&joint) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_known_motion_is_found_across_contrasts() {
        let fixed = blobs(false);
        let mut moving = blobs(true);
        let motion = about(&rotation([0.1, -0.05, 0.12]), [40.0, 44.0, 36.0]);
        // The moving scan lies elsewhere: what was at p is now at motion(p).
        moving.affine = motion.after(&moving.affine);
        let mask = vec![true; fixed.data.len()];
        let intensities = Intensities::new(&fixed, &mask, &moving).expect("not empty");
        let found = intensities.climb(intensities.first(), Freedom::Rigid, 4.0, 0.05);
        for point in [[40.0, 44.0, 36.0], [60.0, 50.0, 30.0], [30.0, 60.0, 50.0]] {
            let (a, b) = (found.apply(point), motion.apply(point));
            let error: f64 = (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt();
            assert!(error < 0.5, "{error}");
        }
    }
}
