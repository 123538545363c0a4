//! Sequences of one study on one grid, and a check that they lie on each other.
//!
//! The check needs no contrast in common: normalised mutual information (Studholme et al.
//! 1999, [H(A) + H(B)] / H(A, B)) of scans that lie on each other falls when one of them is
//! shifted, in every direction.

use crate::volume::{Affine, AffineError, Volume, offset, percentile};

/// How far the second scan is shifted for the check, in millimetres.
const SHIFT_MM: f64 = 8.0;

/// Grey levels of each scan in the joint histogram.
const BINS: usize = 32;

/// Most voxels that are compared.
const SAMPLES: usize = 100_000;

/// Normalised mutual information of two scans on one grid, and of the same with one shifted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alignment {
    /// As they lie; 1 means nothing in common.
    pub here: f64,
    /// The best of the shifts along the axes, both ways.
    pub shifted: f64,
}

impl Alignment {
    /// Whether no shift fits better.
    pub fn holds(&self) -> bool {
        self.here >= self.shifted
    }
}

/// `moving` on the grid of `fixed` (trilinear, 0 outside). `motion` takes world points of
/// `fixed` to those of `moving`, as a registration gives it; `None` where they share one
/// world.
///
/// # Errors
/// [`AffineError`] when the moving scan lies nowhere.
pub fn onto(
    fixed: &Volume,
    moving: &Volume,
    motion: Option<&Affine>,
) -> Result<Volume, AffineError> {
    if motion.is_none() && fixed.dims == moving.dims && close(&fixed.affine, &moving.affine) {
        return Ok(Volume { affine: fixed.affine, ..moving.clone() });
    }
    let to_voxel = moving.affine.inverse()?;
    let mut data = Vec::with_capacity(fixed.data.len());
    let [nx, ny, nz] = fixed.dims;
    for z in 0..nz {
        for y in 0..ny {
            for x in 0..nx {
                let world = fixed.affine.apply([x as f64, y as f64, z as f64]);
                let world = motion.map_or(world, |motion| motion.apply(world));
                data.push(read(moving, to_voxel.apply(world)));
            }
        }
    }
    Ok(Volume { data, dims: fixed.dims, affine: fixed.affine })
}

/// Whether two affines agree to a hundredth of a millimetre.
fn close(a: &Affine, b: &Affine) -> bool {
    a.0.iter().flatten().zip(b.0.iter().flatten()).all(|(a, b)| (a - b).abs() < 0.01)
}

fn read(volume: &Volume, place: [f64; 3]) -> f32 {
    let low = place.map(f64::floor);
    let mut sum = 0.0;
    for corner in 0..8_usize {
        let mut weight = 1.0;
        let mut voxel = [0; 3];
        for axis in 0..3 {
            let above = corner >> axis & 1;
            let at = low[axis] + above as f64;
            let part = place[axis] - low[axis];
            weight *= if above == 1 { part } else { 1.0 - part };
            if at < 0.0 || at >= volume.dims[axis] as f64 {
                weight = 0.0;
            } else {
                voxel[axis] = at as usize;
            }
        }
        if weight > 0.0 {
            sum += weight * f64::from(volume.data[offset(volume.dims, voxel)]);
        }
    }
    sum as f32
}

/// Compares two scans on one grid.
pub fn check(fixed: &Volume, moving: &Volume) -> Alignment {
    let levels = [levels(&fixed.data), levels(&moving.data)];
    let spacing = fixed.spacing_mm();
    let here = information(&levels, fixed.dims, [0; 3]);
    let mut shifted = 0.0_f64;
    for axis in 0..3 {
        let voxels = (SHIFT_MM / spacing[axis]).round().max(1.0) as isize;
        for sign in [-1, 1] {
            let mut shift = [0; 3];
            shift[axis] = sign * voxels;
            shifted = shifted.max(information(&levels, fixed.dims, shift));
        }
    }
    Alignment { here, shifted }
}

/// Grey levels 0..[`BINS`] between the 1st and the 99th percentile.
fn levels(data: &[f32]) -> Vec<u8> {
    let mut some: Vec<f32> = data.iter().copied().step_by((data.len() / SAMPLES).max(1)).collect();
    let low = percentile(&mut some, 1.0);
    let high = percentile(&mut some, 99.0);
    let scale = BINS as f32 / (high - low).max(f32::MIN_POSITIVE);
    let level = |value: f32| ((value - low) * scale).clamp(0.0, BINS as f32 - 1.0) as u8;
    data.iter().map(|&value| level(value)).collect()
}

fn information(levels: &[Vec<u8>; 2], dims: [usize; 3], shift: [isize; 3]) -> f64 {
    let mut joint = [0_u32; BINS * BINS];
    let step = (dims.iter().product::<usize>() / SAMPLES).max(1);
    for at in (0..levels[0].len()).step_by(step) {
        let place = [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])];
        let moved = [0, 1, 2].map(|axis| place[axis].checked_add_signed(shift[axis]));
        let [Some(x), Some(y), Some(z)] = moved else { continue };
        if x < dims[0] && y < dims[1] && z < dims[2] {
            let other = levels[1][offset(dims, [x, y, z])];
            joint[usize::from(levels[0][at]) * BINS + usize::from(other)] += 1;
        }
    }
    let total: u32 = joint.iter().sum();
    let entropy = |counts: &[u32]| -> f64 {
        let share = |&count: &u32| f64::from(count) / f64::from(total.max(1));
        counts.iter().map(share).filter(|&p| p > 0.0).map(|p| -p * p.ln()).sum()
    };
    let sums = |of: fn(usize) -> usize| {
        let mut sums = [0; BINS];
        (0..BINS * BINS).for_each(|cell| sums[of(cell)] += joint[cell]);
        sums
    };
    let both = entropy(&joint);
    if both == 0.0 {
        return 1.0;
    }
    (entropy(&sums(|cell| cell / BINS)) + entropy(&sums(|cell| cell % BINS))) / both
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(shift: f64) -> Volume {
        let dims = [40, 36, 32];
        let mut data = Vec::new();
        for z in 0..dims[2] {
            for y in 0..dims[1] {
                for x in 0..dims[0] {
                    let (x, y, z) = (x as f64 + shift, y as f64, z as f64);
                    data.push((100.0 + 60.0 * (x / 4.0).sin() * (y / 5.0).cos() + 3.0 * z) as f32);
                }
            }
        }
        Volume { data, dims, affine: Affine::from_spacing([1.0; 3]) }
    }

    #[test]
    fn the_negative_of_a_scan_lies_on_it_and_a_shifted_one_does_not() {
        let fixed = pattern(0.0);
        let negative =
            Volume { data: fixed.data.iter().map(|v| 300.0 - v).collect(), ..fixed.clone() };
        assert!(check(&fixed, &negative).holds());
        assert!(!check(&fixed, &pattern(8.0)).holds());
    }

    #[test]
    fn a_scan_goes_to_another_grid_by_its_place_in_the_world() {
        // Twice the spacing, origin at voxel (2, 4, 6): voxel v is voxel 2 v + (2, 4, 6).
        let moving = pattern(0.0);
        let fixed = Volume {
            data: vec![0.0; 125],
            dims: [5; 3],
            affine: moving.affine.rescaled([2.0; 3], [2.0, 4.0, 6.0]),
        };
        let placed = onto(&fixed, &moving, None).unwrap();
        let expected = moving.data[offset(moving.dims, [4, 8, 12])];
        assert_eq!(placed.data[offset(fixed.dims, [1, 2, 3])], expected);
    }
}
