//! A scan measured again: on the half-way grid, jolted a little, with noise.

use super::compare::FollowUpError;
use crate::registration::motion::{about, rotation, rotation_vector};
use crate::registration::{RegistrationError, Transform};
use crate::volume::{Affine, IntensityRule, Volume, foreground_box, offset};

/// Voxels of the half-way grid, mm.
const SPACING_MM: f64 = 1.0;

/// Space around the head, mm.
const MARGIN_MM: f64 = 6.0;

/// Most degrees and millimetres of a jolt.
const JOLT: (f64, f64) = (1.0, 0.5);

/// Most degrees and millimetres that an alignment of one head leaves.
const LEFT: (f64, f64) = (0.2, 0.15);

/// The grid on which both scans are looked at.
pub struct Halfway {
    dims: [usize; 3],
    affine: Affine,
    centre: [f64; 3],
}

impl Halfway {
    /// The box in which both heads lie; `None` where they do not overlap.
    pub fn of(scans: [&Volume; 2], maps: &[Affine; 2]) -> Option<Self> {
        let mut low = [f64::NEG_INFINITY; 3];
        let mut high = [f64::INFINITY; 3];
        for (scan, map) in scans.into_iter().zip(maps) {
            let from_scan = map.inverse().ok()?;
            let (a, b) = extent(scan, &from_scan);
            for axis in 0..3 {
                low[axis] = low[axis].max(a[axis] - MARGIN_MM);
                high[axis] = high[axis].min(b[axis] + MARGIN_MM);
            }
        }
        let dims = [0, 1, 2].map(|axis| ((high[axis] - low[axis]) / SPACING_MM).ceil());
        if dims.iter().any(|&side| !(16.0..=512.0).contains(&side)) {
            return None;
        }
        let mut affine = Affine::from_spacing([SPACING_MM; 3]);
        (0..3).for_each(|axis| affine.0[axis][3] = low[axis]);
        let centre = [0, 1, 2].map(|axis| 0.5 * (low[axis] + high[axis]));
        Some(Self { dims: dims.map(|side| side as usize), affine, centre })
    }

    /// The scan half-way.
    ///
    /// # Errors
    /// [`FollowUpError`] for scans that lie nowhere.
    pub fn shown(&self, scan: &Volume, map: &Affine) -> Result<Volume, FollowUpError> {
        let transform = Transform { affine: *map, deformation: None };
        Ok(transform.warp(scan, self.dims, &self.affine)?)
    }

    /// The scan half-way; from the second turn on jolted, with as much noise added as it
    /// has already, and every second time resampled twice.
    ///
    /// # Errors
    /// [`FollowUpError`] for scans that lie nowhere.
    pub fn measured(
        &self,
        scan: &Volume,
        map: &Affine,
        turn: usize,
        noise: f32,
    ) -> Result<Volume, FollowUpError> {
        let mut random = Random(0x9e37_79b9 ^ (turn as u64 + 1));
        if turn == 0 {
            return self.shown(scan, map);
        }
        let mut noisy = scan.clone();
        // Before resampling, as a scanner would; air of a stripped scan stays empty.
        for value in noisy.data.iter_mut().filter(|value| **value != 0.0) {
            *value = (*value + noise * random.normal() as f32).max(0.0);
        }
        let mut shown = map.after(&random.jolt(self.centre));
        if turn % 2 == 1 {
            // Every second time resampled once more on the scan's own grid: nobody knows
            // how often either scan was before, and each time blurs its borders.
            let before = random.jolt(map.apply(self.centre));
            let once = Transform { affine: before, deformation: None };
            noisy = once.warp(&noisy, scan.dims, &scan.affine)?;
            shown = before.inverse().map_err(RegistrationError::from)?.after(&shown);
        }
        self.shown(&noisy, &shown)
    }

    /// The scan half-way as another of the same head would look there, nothing having
    /// changed: noise added, taken once more at another position and on other slices, and
    /// brought back but for what an alignment leaves.
    ///
    /// # Errors
    /// [`FollowUpError`] for scans that lie nowhere.
    pub fn again(
        &self,
        scan: &Volume,
        map: &Affine,
        turn: usize,
        noise: f32,
    ) -> Result<Volume, FollowUpError> {
        let mut random = Random(0x2545_f491 ^ (turn as u64 + 1));
        let mut noisy = scan.clone();
        for value in noisy.data.iter_mut().filter(|value| **value != 0.0) {
            *value = (*value + noise * random.normal() as f32).max(0.0);
        }
        let mut moved = random.jolt(map.apply(self.centre));
        // Up to half a voxel along each side of one.
        for axis in 0..3 {
            let part = random.uniform() - 0.5;
            (0..3).for_each(|row| moved.0[row][3] += part * scan.affine.0[row][axis]);
        }
        let once = Transform { affine: moved, deformation: None };
        let taken = once.warp(&noisy, scan.dims, &scan.affine)?;
        let back = moved.inverse().map_err(RegistrationError::from)?;
        let left = random.moved(self.centre, [LEFT.0.to_radians(), LEFT.1]);
        self.shown(&taken, &back.after(&map.after(&left)))
    }
}

/// Corners of the box around a scan's foreground after a map.
fn extent(scan: &Volume, map: &Affine) -> ([f64; 3], [f64; 3]) {
    let mut grey = scan.data.clone();
    IntensityRule::Percentile { low: 0.5, high: 99.5 }.apply(&mut grey);
    let sides = foreground_box(&grey, scan.dims, 0.1, 0);
    let mut low = [f64::INFINITY; 3];
    let mut high = [f64::NEG_INFINITY; 3];
    for corner in 0..8 {
        let voxel = [0, 1, 2].map(|axis| {
            let (start, end) = sides[axis];
            if corner >> axis & 1 == 0 { start as f64 } else { end as f64 - 1.0 }
        });
        let point = map.apply(scan.affine.apply(voxel));
        for axis in 0..3 {
            low[axis] = low[axis].min(point[axis]);
            high[axis] = high[axis].max(point[axis]);
        }
    }
    (low, high)
}

/// Standard deviation of the noise in scan units: from the difference of a voxel to the
/// mean of its two neighbours along x, whose variance is 1.5 times the noise's; the
/// median, so that edges do not count.
pub fn noise(scan: &Volume) -> f32 {
    let [nx, ny, nz] = scan.dims;
    let mut differences = Vec::new();
    for z in 0..nz {
        for y in 0..ny {
            let row = &scan.data[offset(scan.dims, [0, y, z])..][..nx];
            for three in row.windows(3).step_by(3).filter(|three| three.iter().all(|&v| v > 0.0)) {
                differences.push((three[1] - 0.5 * (three[0] + three[2])).abs());
            }
        }
    }
    1.4826 * crate::volume::percentile(&mut differences, 50.0) / 1.5_f32.sqrt()
}

/// Degrees and millimetres of a motion, the shift that of the world's origin.
pub fn size(motion: &Affine) -> (f64, f64) {
    let length = |v: [f64; 3]| v.iter().map(|part| part * part).sum::<f64>().sqrt();
    (length(rotation_vector(motion)).to_degrees(), length(motion.0.map(|row| row[3])))
}

/// A small generator (Steele et al., OOPSLA 2014: SplitMix), the same everywhere.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A small rigid motion about a point.
    fn jolt(&mut self, centre: [f64; 3]) -> Affine {
        self.moved(centre, [JOLT.0.to_radians(), JOLT.1])
    }

    /// A rigid motion about a point, of at most these radians and millimetres an axis.
    fn moved(&mut self, centre: [f64; 3], most: [f64; 2]) -> Affine {
        let mut draw = |most: f64| most * (2.0 * self.uniform() - 1.0);
        let turned = rotation([(); 3].map(|()| draw(most[0])));
        let mut jolt = about(&turned, centre);
        (0..3).for_each(|axis| jolt.0[axis][3] += draw(most[1]));
        jolt
    }

    /// Box and Muller, Ann. Math. Stat. 29, 1958.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (core::f64::consts::TAU * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_found_beside_a_ramp() {
        let mut random = Random(7);
        let data = (0..64_000).map(|at| 100.0 + (at % 40) as f32 + 3.0 * random.normal() as f32);
        let scan = Volume {
            data: data.collect(),
            dims: [40, 40, 40],
            affine: Affine::from_spacing([1.0; 3]),
        };
        let found = noise(&scan);
        assert!((found - 3.0).abs() < 0.15, "{found}");
    }

    #[test]
    fn random_numbers_are_splitmix() {
        // SplitMix64 with seed 1234567: the first output is 6457827717110365317.
        let expected = (6_457_827_717_110_365_317_u64 >> 11) as f64 / (1_u64 << 53) as f64;
        assert_eq!(Random(1_234_567).uniform(), expected);
    }
}
