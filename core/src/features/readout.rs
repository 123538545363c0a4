//! Linear functions of the maps on the network's grid, and features of single voxels.
//!
//! Maps are upsampled by two, trilinearly, as often as needed ([`crate::kernels`]); a
//! feature at an input voxel is what the maps would hold there. Since that is linear
//! too, a function of the stacked feature is applied to each map at its own
//! resolution and only the outputs are upsampled.

use super::dense::{DenseFeatures, Level};
use crate::kernels::cpu::upsample_add;

/// `outputs` linear functions of the stacked feature (finest level first).
#[derive(Clone, Debug, PartialEq)]
pub struct Readout {
    /// `[outputs, channels]`.
    pub weights: Vec<f32>,
    /// One a function.
    pub bias: Vec<f32>,
}

impl DenseFeatures {
    /// The functions at every input voxel: `[outputs, x, y, z]`, z fastest.
    pub fn read_out(&self, readout: &Readout) -> Vec<f32> {
        let outputs = readout.bias.len();
        let channels = self.channels();
        let mut first = 0;
        let planes = self.levels.iter().map(|level| {
            let mut plane = vec![0.0; outputs * level.dims.iter().product::<usize>()];
            let voxels = plane.len() / outputs.max(1);
            for (voxel, feature) in level.values.chunks_exact(level.channels).enumerate() {
                for output in 0..outputs {
                    let row = output * channels + first;
                    let weights = &readout.weights[row..row + level.channels];
                    plane[output * voxels + voxel] = dot(weights, feature);
                }
            }
            first += level.channels;
            plane
        });
        let mut sum = self.assemble(planes.collect());
        let voxels = self.foreground.len().max(1);
        for (values, bias) in sum.chunks_exact_mut(voxels).zip(&readout.bias) {
            values.iter_mut().for_each(|value| *value += bias);
        }
        sum
    }

    /// Sum of one plane a level (`[outputs, x, y, z]` at the level's resolution), each
    /// upsampled to the input's grid.
    pub(super) fn assemble(&self, planes: Vec<Vec<f32>>) -> Vec<f32> {
        let mut current: Option<(usize, Vec<f32>)> = None;
        for (level, plane) in self.levels.iter().zip(planes).rev() {
            let sum = match current {
                None => plane,
                Some((stride, coarse)) => self.raise(coarse, stride, plane, level.stride),
            };
            current = Some((level.stride, sum));
        }
        let Some((stride, sum)) = current else { return Vec::new() };
        if stride == 1 {
            return sum;
        }
        let coarse: usize = self.dims.iter().map(|side| side / stride).product();
        let outputs = sum.len() / coarse.max(1);
        let target = vec![0.0; outputs * self.dims.iter().product::<usize>()];
        self.raise(sum, stride, target, 1)
    }

    /// `coarse` at stride `from`, upsampled and added to `target` at stride `to`.
    fn raise(&self, coarse: Vec<f32>, from: usize, target: Vec<f32>, to: usize) -> Vec<f32> {
        let (mut coarse, mut from, mut target) = (coarse, from, Some(target));
        while from > to {
            let dims = self.dims.map(|side| side / from);
            let mut finer = match target.take_if(|_| from == 2 * to) {
                Some(target) => target,
                None => vec![0.0; 8 * coarse.len()],
            };
            upsample_add(&coarse, dims, &mut finer);
            (coarse, from) = (finer, from / 2);
        }
        coarse
    }
}

pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Eight sums, so that the compiler may keep them in one register.
    let mut sums = [0.0_f32; 8];
    let (a_rows, b_rows) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_rows.remainder().iter().zip(b_rows.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_rows.zip(b_rows) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Reads stacked features at input voxels.
pub(super) struct Sampler<'a> {
    features: &'a DenseFeatures,
    /// For each level and axis, the taps of each input voxel.
    taps: Vec<[Vec<Taps>; 3]>,
}

/// Consecutive voxels and their weights.
#[derive(Clone, Debug, PartialEq)]
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl<'a> Sampler<'a> {
    pub(super) fn new(features: &'a DenseFeatures) -> Self {
        let of = |level: &Level| level.dims.map(|side| taps(side, level.stride));
        Self { features, taps: features.levels.iter().map(of).collect() }
    }

    /// Writes the stacked feature of a voxel to `feature`.
    pub(super) fn read(&self, voxel: [usize; 3], feature: &mut [f32]) {
        feature.fill(0.0);
        let mut rest = feature;
        for (level, taps) in self.features.levels.iter().zip(&self.taps) {
            let (part, behind) = rest.split_at_mut(level.channels);
            let [tx, ty, tz] = [0, 1, 2].map(|axis| &taps[axis][voxel[axis]]);
            for (x, wx) in (tx.first..).zip(&tx.weights) {
                for (y, wy) in (ty.first..).zip(&ty.weights) {
                    for (z, wz) in (tz.first..).zip(&tz.weights) {
                        let weight = wx * wy * wz;
                        for (sum, value) in part.iter_mut().zip(level.at([x, y, z])) {
                            *sum += weight * value;
                        }
                    }
                }
            }
            rest = behind;
        }
    }
}

/// What repeated upsampling by two takes from `side` voxels for each of `side * stride`.
fn taps(side: usize, stride: usize) -> Vec<Taps> {
    let mut rows: Vec<Taps> = (0..side).map(|first| Taps { first, weights: vec![1.0] }).collect();
    while rows.len() < side * stride {
        let n = rows.len();
        rows = (0..2 * n)
            .map(|output| {
                let near = output / 2;
                let far =
                    if output % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min(n - 1) };
                merge(&rows[near], 0.75, &rows[far], 0.25)
            })
            .collect();
    }
    rows
}

fn merge(a: &Taps, wa: f32, b: &Taps, wb: f32) -> Taps {
    let first = a.first.min(b.first);
    let end = (a.first + a.weights.len()).max(b.first + b.weights.len());
    let mut weights = vec![0.0; end - first];
    for (taps, weight) in [(a, wa), (b, wb)] {
        for (place, value) in (taps.first - first..).zip(&taps.weights) {
            weights[place] += weight * value;
        }
    }
    Taps { first, weights }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::volume::Affine;

    /// Two levels (strides 2 and 4) with made-up values over an 8 x 8 x 8 input.
    pub(in crate::features) fn features(seed: u32) -> DenseFeatures {
        let mut state = seed;
        let mut level = |map: usize, stride: usize, channels: usize| {
            let dims = [8 / stride; 3];
            let values = (0..dims.iter().product::<usize>() * channels)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 8) as f32 / (1 << 24) as f32 - 0.5
                })
                .collect();
            Level { map, stride, channels, dims, values }
        };
        DenseFeatures {
            levels: vec![level(1, 2, 3), level(2, 4, 5)],
            dims: [8; 3],
            affine: Affine::from_spacing([2.0; 3]),
            foreground: vec![true; 512],
        }
    }

    #[test]
    fn taps_are_those_of_torch() {
        // x = torch.zeros(1, 1, 4); x[0, 0, 1] = 1; twice
        // torch.nn.functional.interpolate(x, scale_factor=2, mode="linear", align_corners=False)
        let expected = [
            0.0, 0.0625, 0.1875, 0.375, 0.625, 0.75, 0.75, 0.625, 0.375, 0.1875, 0.0625, 0.0, 0.0,
            0.0, 0.0, 0.0,
        ];
        let column: Vec<f32> = taps(4, 4)
            .iter()
            .map(|row| {
                1_usize
                    .checked_sub(row.first)
                    .and_then(|at| row.weights.get(at).copied())
                    .unwrap_or(0.0)
            })
            .collect();
        assert_eq!(column, expected);
    }

    #[test]
    fn a_voxel_reads_what_the_whole_map_holds() {
        let features = features(1);
        // Output k is channel k of the stack.
        let weights = (0..64).map(|i| if i / 8 == i % 8 { 1.0 } else { 0.0 }).collect();
        let whole = features.read_out(&Readout { weights, bias: vec![0.0; 8] });
        let sampler = Sampler::new(&features);
        let mut feature = [0.0; 8];
        for index in [0, 77, 300, 511] {
            sampler.read(features.voxel(index), &mut feature);
            for (channel, value) in feature.iter().enumerate() {
                assert!((value - whole[channel * 512 + index]).abs() < 1e-6);
            }
        }
    }
}
