//! Features on a regular grid, their channels together, read between voxels.
//!
//! Both optimisers spend their time here: a trilinear value of some twenty channels and
//! its derivative at a million places. Channels are padded to whole vector registers.

use pulp::Arch;

use crate::kernels::cpu::for_each;
use crate::volume::Affine;

/// Channels come in multiples of this.
pub const LANES: usize = 8;

/// Most channels, padding counted: what a place's value holds on the stack.
pub const MOST_CHANNELS: usize = 64;

/// Features of one scan.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureGrid {
    /// `[z, y, x, channels]`, channels fastest.
    pub values: Vec<f32>,
    /// Channels, a multiple of [`LANES`]; those beyond the features are zero.
    pub channels: usize,
    /// Sides along x, y, z.
    pub dims: [usize; 3],
    /// World (RAS+, mm) from voxel.
    pub affine: Affine,
    /// Where there is something to align: the foreground and a margin around it.
    pub mask: Vec<bool>,
}

/// The eight voxels around a place, and the fractions between them.
#[derive(Clone, Copy)]
pub struct Corners {
    /// Their numbers: x fastest, then y, then z.
    pub at: [usize; 8],
    /// Weights of the eight.
    pub weights: [f32; 8],
    /// Derivatives of the weights along x, y, z; zero where the place was moved inside.
    pub slopes: [[f32; 8]; 3],
}

/// Corners of a place in voxels; outside, those of the nearest place inside.
#[inline(always)]
pub fn corners(dims: [usize; 3], place: [f32; 3]) -> Corners {
    let mut low = [0; 3];
    let mut high = [0; 3];
    let mut fraction = [0.0_f32; 3];
    let mut slope = [0.0_f32; 3];
    for axis in 0..3 {
        let last = dims[axis] - 1;
        let inside = place[axis].clamp(0.0, last as f32);
        let below = (inside as usize).min(last.saturating_sub(1));
        low[axis] = below;
        high[axis] = (below + 1).min(last);
        fraction[axis] = inside - below as f32;
        slope[axis] = if inside == place[axis] { 1.0 } else { 0.0 };
    }
    let [fx, fy, fz] = fraction;
    let (wx, wy, wz) = ([1.0 - fx, fx], [1.0 - fy, fy], [1.0 - fz, fz]);
    let mut result = Corners { at: [0; 8], weights: [0.0; 8], slopes: [[0.0; 8]; 3] };
    for corner in 0..8 {
        let (i, j, k) = (corner & 1, corner >> 1 & 1, corner >> 2);
        let x = if i == 0 { low[0] } else { high[0] };
        let y = if j == 0 { low[1] } else { high[1] };
        let z = if k == 0 { low[2] } else { high[2] };
        result.at[corner] = x + dims[0] * (y + dims[1] * z);
        result.weights[corner] = wx[i] * wy[j] * wz[k];
        let sign = |bit: usize| if bit == 0 { -1.0 } else { 1.0 };
        result.slopes[0][corner] = slope[0] * sign(i) * wy[j] * wz[k];
        result.slopes[1][corner] = slope[1] * sign(j) * wx[i] * wz[k];
        result.slopes[2][corner] = slope[2] * sign(k) * wx[i] * wy[j];
    }
    result
}

impl FeatureGrid {
    /// Number of voxels.
    pub fn voxels(&self) -> usize {
        self.dims.iter().product()
    }

    /// Features of a voxel.
    #[inline(always)]
    pub fn at(&self, voxel: usize) -> &[f32] {
        &self.values[voxel * self.channels..(voxel + 1) * self.channels]
    }

    /// Trilinear value at a place, into `value` (as long as the channels).
    #[inline(always)]
    pub fn read(&self, corners: &Corners, value: &mut [f32]) {
        value.fill(0.0);
        for (&at, &weight) in corners.at.iter().zip(&corners.weights) {
            for (sum, &feature) in value.iter_mut().zip(self.at(at)) {
                *sum += weight * feature;
            }
        }
    }

    /// Derivative along x, y, z of the trilinear value's product with `factor`.
    #[inline(always)]
    pub fn slope(&self, corners: &Corners, factor: &[f32]) -> [f32; 3] {
        let mut result = [0.0; 3];
        for (corner, &at) in corners.at.iter().enumerate() {
            let mut lanes = [0.0_f32; LANES];
            for (f, v) in factor.chunks_exact(LANES).zip(self.at(at).chunks_exact(LANES)) {
                for lane in 0..LANES {
                    lanes[lane] += f[lane] * v[lane];
                }
            }
            let product: f32 = lanes.iter().sum();
            for axis in 0..3 {
                result[axis] += corners.slopes[axis][corner] * product;
            }
        }
        result
    }

    /// Means over blocks of `step` voxels a side; voxels left over at the high end are
    /// dropped. A block is in the mask if one of its voxels is.
    pub fn pooled(&self, step: usize) -> Self {
        let dims = self.dims.map(|side| (side / step).max(1));
        let channels = self.channels;
        let mut values = vec![0.0; dims.iter().product::<usize>() * channels];
        let mut mask = vec![false; dims.iter().product()];
        let scale = 1.0 / (step * step * step) as f32;
        let slab = dims[0] * dims[1];
        let slabs = values.chunks_mut(slab * channels).zip(mask.chunks_mut(slab)).enumerate();
        for_each(slabs.collect(), |(z, (values, mask))| {
            for cell in 0..slab {
                let sum = &mut values[cell * channels..(cell + 1) * channels];
                for part in 0..step * step * step {
                    let x = cell % dims[0] * step + part % step;
                    let y = cell / dims[0] * step + part / step % step;
                    let z = z * step + part / (step * step);
                    if x >= self.dims[0] || y >= self.dims[1] || z >= self.dims[2] {
                        continue;
                    }
                    let voxel = x + self.dims[0] * (y + self.dims[1] * z);
                    mask[cell] |= self.mask[voxel];
                    for (sum, &value) in sum.iter_mut().zip(self.at(voxel)) {
                        *sum += scale * value;
                    }
                }
            }
        });
        let shift = 0.5 * (step as f64 - 1.0);
        let affine = self.affine.rescaled([step as f64; 3], [shift; 3]);
        Self { values, channels, dims, affine, mask }
    }

    /// These features on another grid, whose voxels `to_voxel` takes to voxels of this one.
    pub fn resampled(&self, dims: [usize; 3], affine: Affine, to_voxel: &Affine) -> Self {
        let channels = self.channels;
        let slab = dims[0] * dims[1];
        let mut values = vec![0.0; slab * dims[2] * channels];
        let mut mask = vec![false; slab * dims[2]];
        let slabs = values.chunks_mut(slab * channels).zip(mask.chunks_mut(slab)).enumerate();
        for_each(slabs.collect(), |(z, (values, mask))| {
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    for voxel in 0..slab {
                        let (x, y) = (voxel % dims[0], voxel / dims[0]);
                        let place = to_voxel.apply([x, y, z].map(|v| v as f64));
                        let corners = corners(self.dims, place.map(|v| v as f32));
                        self.read(&corners, &mut values[voxel * channels..(voxel + 1) * channels]);
                        mask[voxel] = corners.at.iter().any(|&at| self.mask[at]);
                    }
                },
            );
        });
        Self { values, channels, dims, affine, mask }
    }
}

/// A mask grown by `radius` voxels along each axis.
pub fn grown(mask: &[bool], dims: [usize; 3], radius: usize) -> Vec<bool> {
    let mut result = mask.to_vec();
    let strides = [1, dims[0], dims[0] * dims[1]];
    for axis in 0..3 {
        let before = result.clone();
        for (voxel, value) in result.iter_mut().enumerate() {
            let place = voxel / strides[axis] % dims[axis];
            let (from, to) = (place.saturating_sub(radius), (place + radius).min(dims[axis] - 1));
            let first = voxel - (place - from) * strides[axis];
            *value = (0..=to - from).any(|step| before[first + step * strides[axis]]);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> FeatureGrid {
        // Channel 0: x + 10 y + 100 z; channel 1: x y.
        let dims = [5, 4, 3];
        let mut values = vec![0.0; 60 * LANES];
        for voxel in 0..60 {
            let (x, y, z) = (voxel % 5, voxel / 5 % 4, voxel / 20);
            values[voxel * LANES] = (x + 10 * y + 100 * z) as f32;
            values[voxel * LANES + 1] = (x * y) as f32;
        }
        let affine = Affine::from_spacing([2.0; 3]);
        FeatureGrid { values, channels: LANES, dims, affine, mask: vec![true; 60] }
    }

    #[test]
    fn trilinear_reading_is_exact_for_what_is_trilinear() {
        let grid = ramp();
        let place = corners(grid.dims, [1.25, 2.5, 0.75]);
        let mut value = [0.0; LANES];
        grid.read(&place, &mut value);
        assert!((value[0] - 101.25).abs() < 1e-4 && (value[1] - 3.125).abs() < 1e-5, "{value:?}");
        let slope = grid.slope(&place, &[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert!((slope[0] - 2.5).abs() < 1e-5 && (slope[1] - 1.25).abs() < 1e-5, "{slope:?}");
        assert!(slope[2].abs() < 1e-6);
        // Beyond the border: its value, and no slope across it.
        let outside = corners(grid.dims, [-3.0, 1.0, 1.0]);
        grid.read(&outside, &mut value);
        assert_eq!((value[0], outside.slopes[0]), (110.0, [0.0; 8]));
    }

    #[test]
    fn pooling_is_the_mean_and_keeps_the_place() {
        let coarse = ramp().pooled(2);
        assert_eq!(coarse.dims, [2, 2, 1]);
        // Mean of x + 10 y + 100 z over 0..2 each.
        assert_eq!(coarse.at(0)[0], 55.5);
        assert_eq!(coarse.affine.apply([0.0; 3]), [1.0; 3]);
    }

    #[test]
    fn growing_reaches_a_box() {
        let mut mask = vec![false; 60];
        mask[2 + 5 * (2 + 4)] = true;
        let grown = grown(&mask, [5, 4, 3], 1);
        assert_eq!(grown.iter().filter(|&&inside| inside).count(), 27);
    }
}
