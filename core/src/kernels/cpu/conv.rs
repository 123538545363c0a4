//! 3x3x3 convolution, directly: no patch is ever written out.
//!
//! Six output voxels along z times two vectors of output channels are held in
//! registers while all inputs and taps pass by; the input is padded once.

use pulp::{Arch, Simd, WithSimd};

use super::for_each;

/// Output voxels along z in registers at a time.
const VOXELS: usize = 6;

/// Vectors of output channels in registers at a time.
const VECTORS: usize = 2;

/// Geometry of a 3x3x3 convolution with padding 1.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Input sides.
    pub dims: [usize; 3],
    /// 1 or 2.
    pub stride: usize,
}

impl Conv {
    /// Output sides.
    pub fn output_dims(&self) -> [usize; 3] {
        self.dims.map(|side| (side - 1) / self.stride + 1)
    }
}

/// Convolves `input` `[inputs, x, y, z]` with `weight` `[outputs, inputs, 3, 3, 3]`
/// to `[outputs, x', y', z']`.
pub fn conv3d(conv: Conv, input: &[f32], weight: &[f32]) -> Vec<f32> {
    Arch::new().dispatch(Whole { conv, input, weight })
}

struct Whole<'a> {
    conv: Conv,
    input: &'a [f32],
    weight: &'a [f32],
}

impl WithSimd for Whole<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f32> {
        let Self { conv, input, weight } = self;
        let block = VECTORS * S::F32_LANES;
        let weight = pack_weight(weight, conv, block);
        let out_dims = conv.output_dims();
        // The last voxels of a row are computed in a full group; what sticks out reads padding.
        let row = conv.stride * (out_dims[2].next_multiple_of(VOXELS) - 1) + 3;
        let padded = Padded::new(input, conv, row);
        let plane = out_dims[1] * out_dims[2];
        let mut output = vec![0.0; conv.outputs * out_dims[0] * plane];
        // One job a plane of x: its part of every output channel.
        let mut jobs: Vec<(usize, Vec<&mut [f32]>)> =
            (0..out_dims[0]).map(|x| (x, Vec::with_capacity(conv.outputs))).collect();
        for channel in output.chunks_mut(out_dims[0] * plane) {
            for (job, part) in jobs.iter_mut().zip(channel.chunks_mut(plane)) {
                job.1.push(part);
            }
        }
        for_each(jobs, |(x, mut channels)| {
            let plane =
                Plane { conv, padded: &padded, weight: &weight, x, channels: &mut channels };
            Arch::new().dispatch(plane);
        });
        output
    }
}

/// Weights as `[outputs / block][inputs * 27][block]`, zeros where outputs end.
fn pack_weight(weight: &[f32], conv: Conv, block: usize) -> Vec<f32> {
    let taps = conv.inputs * 27;
    let blocks = conv.outputs.div_ceil(block);
    let mut packed = vec![0.0; blocks * taps * block];
    for (output, row) in weight.chunks_exact(taps).enumerate() {
        let start = output / block * taps * block + output % block;
        for (tap, &value) in row.iter().enumerate() {
            packed[start + tap * block] = value;
        }
    }
    packed
}

/// Input with one zero before and behind each axis, and zeros up to `row` along z.
struct Padded {
    data: Vec<f32>,
    sides: [usize; 3],
}

impl Padded {
    fn new(input: &[f32], conv: Conv, row: usize) -> Self {
        let [nx, ny, nz] = conv.dims;
        let sides = [nx + 2, ny + 2, row.max(nz + 2)];
        let channel = sides.iter().product::<usize>();
        let mut data = vec![0.0; conv.inputs * channel];
        let jobs: Vec<_> = data.chunks_mut(channel).zip(input.chunks_exact(nx * ny * nz)).collect();
        for_each(jobs, |(to, from)| {
            for (at, run) in from.chunks_exact(nz).enumerate() {
                let start = ((at / ny + 1) * sides[1] + at % ny + 1) * sides[2] + 1;
                to[start..start + nz].copy_from_slice(run);
            }
        });
        Self { data, sides }
    }
}

/// One plane of x of every output channel.
struct Plane<'a, 'b> {
    conv: Conv,
    padded: &'a Padded,
    weight: &'a [f32],
    x: usize,
    channels: &'a mut [&'b mut [f32]],
}

impl WithSimd for Plane<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.conv.stride {
            1 => self.run::<S, 1>(simd),
            _ => self.run::<S, 2>(simd),
        }
    }
}

impl Plane<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, const STRIDE: usize>(self, simd: S) {
        let block = VECTORS * S::F32_LANES;
        let taps = self.conv.inputs * 27;
        let [_, ny, nz] = self.conv.output_dims();
        for (weight, channels) in
            self.weight.chunks_exact(taps * block).zip(self.channels.chunks_mut(block))
        {
            let (weight, _) = S::as_simd_f32s(weight);
            for y in 0..ny {
                for z in (0..nz).step_by(VOXELS) {
                    let sums = self.padded.group::<S, STRIDE>(
                        simd,
                        self.conv.inputs,
                        [STRIDE * self.x, STRIDE * y, STRIDE * z],
                        weight,
                    );
                    let count = VOXELS.min(nz - z);
                    for (voxel, sums) in sums.iter().enumerate().take(count) {
                        let at = y * nz + z + voxel;
                        let values: &[f32] = pulp::bytemuck::cast_slice(sums);
                        for (channel, &value) in channels.iter_mut().zip(values) {
                            channel[at] = value;
                        }
                    }
                }
            }
        }
    }
}

impl Padded {
    /// Sums of a group of output voxels along z for one block of output channels.
    #[inline(always)]
    fn group<S: Simd, const STRIDE: usize>(
        &self,
        simd: S,
        inputs: usize,
        [x, y, z]: [usize; 3],
        weight: &[S::f32s],
    ) -> [[S::f32s; VECTORS]; VOXELS] {
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; VOXELS];
        let [sx, sy, sz] = self.sides;
        let mut weight = weight.chunks_exact(3 * VECTORS);
        for input in 0..inputs {
            for kx in 0..3 {
                for ky in 0..3 {
                    let start = ((input * sx + x + kx) * sy + y + ky) * sz + z;
                    let row = &self.data[start..start + STRIDE * (VOXELS - 1) + 3];
                    let Some(weight) = weight.next() else { return sums };
                    for kz in 0..3 {
                        let first = weight[kz * VECTORS];
                        let second = weight[kz * VECTORS + 1];
                        for voxel in 0..VOXELS {
                            let value = simd.splat_f32s(row[STRIDE * voxel + kz]);
                            let [a, b] = sums[voxel];
                            sums[voxel] = [
                                simd.mul_add_e_f32s(value, first, a),
                                simd.mul_add_e_f32s(value, second, b),
                            ];
                        }
                    }
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    /// The definition, voxel by voxel in double precision.
    fn definition(conv: Conv, input: &[f32], weight: &[f32]) -> Vec<f64> {
        let [nx, ny, nz] = conv.dims;
        let [ox, oy, oz] = conv.output_dims();
        let mut output = vec![0.0; conv.outputs * ox * oy * oz];
        for (at, sum) in output.iter_mut().enumerate() {
            let (z, y, x, o) = (at % oz, at / oz % oy, at / (oz * oy) % ox, at / (oz * oy * ox));
            for i in 0..conv.inputs {
                for tap in 0..27 {
                    let place = [x, y, z].map(|v| v * conv.stride);
                    let [px, py, pz] =
                        [place[0] + tap / 9, place[1] + tap / 3 % 3, place[2] + tap % 3];
                    if (1..=nx).contains(&px) && (1..=ny).contains(&py) && (1..=nz).contains(&pz) {
                        let value = input[((i * nx + px - 1) * ny + py - 1) * nz + pz - 1];
                        *sum +=
                            f64::from(value) * f64::from(weight[(o * conv.inputs + i) * 27 + tap]);
                    }
                }
            }
        }
        output
    }

    #[test]
    fn agrees_with_the_definition_on_uneven_shapes() {
        for (inputs, outputs, dims, stride) in [
            (1, 16, [5, 4, 7], 1),
            (3, 5, [2, 3, 1], 1),
            (16, 33, [4, 6, 13], 1),
            (4, 8, [6, 8, 14], 2),
            (2, 20, [5, 7, 9], 2),
        ] {
            let conv = Conv { inputs, outputs, dims, stride };
            let input = numbers(inputs * dims.iter().product::<usize>(), 1);
            let weight = numbers(outputs * inputs * 27, 2);
            let actual = conv3d(conv, &input, &weight);
            let expected = definition(conv, &input, &weight);
            assert_eq!(actual.len(), expected.len());
            for (actual, expected) in actual.iter().zip(&expected) {
                assert!((f64::from(*actual) - expected).abs() < 1e-4, "{conv:?}");
            }
        }
    }
}
