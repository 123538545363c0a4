//! Cubic convolution, 3x3x3 or 1x1x1: a thread computes a tile of voxels along x times
//! output channels, held in registers while inputs and taps pass by.

use burn::tensor::{DType, Tensor};
use burn_wgpu::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{
    DISPATCH_WORK, LARGEST_HALF, UNITS, element, empty, empty_single, groups, kept, room, single,
    tensor,
};

/// Output channels in a vector.
pub const LANES: usize = 4;

pub(super) type Lanes = Vector<f32, Const<4>>;

/// Most voxels along x in a tile.
const MOST_VOXELS: usize = 8;

/// Vectors of output channels in a tile.
const VECTORS: usize = 2;

/// Sizes of a convolution.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Sizes {
    inputs: u32,
    outputs: u32,
    nx: u32,
    ny: u32,
    nz: u32,
    ox: u32,
    oy: u32,
    oz: u32,
    /// First tile along x of this dispatch.
    first: u32,
    /// First place in the plane of y and z.
    from: u32,
}

/// What is fixed when a kernel is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Plan {
    kernel: usize,
    stride: usize,
    voxels: usize,
    vectors: usize,
    /// The last tile sticks out.
    ragged: bool,
    /// Kept in half precision.
    half: bool,
}

impl Plan {
    /// Inputs along x under a tile.
    fn span(&self) -> usize {
        self.stride * (self.voxels - 1) + self.kernel
    }

    /// Whether an input under a tile may lie outside the volume.
    fn may_miss(&self, at: usize) -> bool {
        let pad = self.kernel / 2;
        self.ragged || at < pad || at >= self.stride * self.voxels + pad
    }
}

/// As [`crate::kernels::conv3d`].
pub fn conv3d(
    x: Tensor<5>,
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
    stride: usize,
) -> Tensor<5> {
    let [batch, inputs, nx, ny, nz] = x.dims();
    let [outputs, _, kernel, _, _] = weight.dims();
    let [ox, oy, oz] = [nx, ny, nz].map(|side| (side - 1) / stride + 1);
    let x = kept(x);
    let output = empty(&x, &[batch, outputs, ox, oy, oz]);
    let ([nx, ny, nz], [ox, oy, oz]) = if kernel == 1 && stride == 1 {
        let flat = flat(nx * ny * nz);
        (flat, flat)
    } else {
        ([nx, ny, nz], [ox, oy, oz])
    };
    let taps = inputs * kernel * kernel * kernel;
    let blocks = outputs.div_ceil(VECTORS * LANES);
    let packed = pack(weight, bias, VECTORS, x.dtype);
    // Tiles of equal length.
    let tiles = ox.div_ceil(MOST_VOXELS);
    let voxels = ox.div_ceil(tiles);
    let ragged = !ox.is_multiple_of(voxels) || nx != ox * stride;
    let half = x.dtype == DType::F16;
    let plan = Plan { kernel, stride, voxels, vectors: VECTORS, ragged, half };
    // In 64 bits: the product of a large map does not fit wasm's 32.
    let work = [batch, outputs, voxels, taps].map(|n| n as u64).iter().product::<u64>().max(1);
    let parts = split(work, oy * oz, tiles);
    let sizes = [inputs, outputs, nx, ny, nz, ox, oy, oz].map(|size| size as u32);
    let [inputs, outputs, nx, ny, nz, ox, oy, oz] = sizes;
    for Part { first, tiles, from, places } in parts {
        let (first, from) = (first as u32, from as u32);
        conv_kernel::launch(
            &x.client,
            groups(places, tiles, batch * blocks),
            CubeDim::new_1d(UNITS as u32),
            x.clone().into_buffer_arg(),
            packed.clone().into_buffer_arg(),
            output.clone().into_buffer_arg(),
            SizesLaunch::new(inputs, outputs, nx, ny, nz, ox, oy, oz, first, from),
            plan,
            element(&x),
        );
    }
    tensor(output)
}

/// What one dispatch computes: tiles along x, places of the plane of y and z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    first: usize,
    tiles: usize,
    from: usize,
    places: usize,
}

/// Parts of at most [`DISPATCH_WORK`], where a place of one tile takes `work` multiplications:
/// whole tiles, or shares of one where a tile is too much.
fn split(work: u64, plane: usize, tiles: usize) -> Vec<Part> {
    let most = (DISPATCH_WORK / work).max(1) as usize;
    let along = (most / plane).clamp(1, tiles);
    // A workgroup is not split.
    let across = plane.min((most / UNITS).max(1) * UNITS);
    let starts = (0..tiles).step_by(along);
    let parts = starts.flat_map(|first| (0..plane).step_by(across).map(move |from| (first, from)));
    let part = |(first, from)| {
        let (tiles, places) = (along.min(tiles - first), across.min(plane - from));
        Part { first, tiles, from, places }
    };
    parts.map(part).collect()
}

/// Sides for voxels that have no neighbours to look at: full tiles whatever the shape.
fn flat(voxels: usize) -> [usize; 3] {
    let tile = (1..=MOST_VOXELS).rev().find(|&tile| voxels.is_multiple_of(tile)).unwrap_or(1);
    [tile, 1, voxels / tile]
}

/// Bias (or zeros) and weights in the order in which tiles read them:
/// `[blocks of outputs][1 + inputs * y * z * x][outputs of a block]`, kept as `dtype`.
pub(super) fn pack(
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
    vectors: usize,
    dtype: DType,
) -> CubeTensor {
    let [outputs, inputs, kernel, _, _] = weight.dims();
    let weight = kept(weight.clone());
    let taps = inputs * kernel * kernel * kernel;
    let block = vectors * LANES;
    let shape = [outputs.div_ceil(block), 1 + taps, block];
    let packed = room(&weight, &shape, dtype);
    let client = weight.client.clone();
    let has_bias = bias.is_some();
    let elements = [element(&weight), element(&packed)];
    // What is not read still has to be bound.
    let bias = bias.map_or_else(|| empty_single(&weight, &[1]), |bias| single(bias.clone()));
    pack_kernel::launch(
        &client,
        groups(block, 1 + taps, shape[0]),
        CubeDim::new_1d(UNITS as u32),
        weight.into_buffer_arg(),
        bias.into_buffer_arg(),
        packed.clone().into_buffer_arg(),
        taps as u32,
        outputs as u32,
        block,
        kernel,
        has_bias,
        elements,
    );
    packed
}

#[cube(launch)]
fn pack_kernel<W: Float, P: Float>(
    weight: &[W],
    bias: &[f32],
    packed: &mut [P],
    taps: u32,
    outputs: u32,
    #[comptime] block: usize,
    #[comptime] kernel: usize,
    #[comptime] has_bias: bool,
    #[define(W, P)] _elements: [ElemType; 2],
) {
    let block = comptime!(block as u32);
    let kernel = comptime!(kernel as u32);
    let lane = ABSOLUTE_POS_X;
    if lane >= block {
        terminate!();
    }
    let row = CUBE_POS_Y;
    let output = CUBE_POS_Z * block + lane;
    let to = (CUBE_POS_Z * (taps + 1) + row) * block + lane;
    let mut value = 0.0f32;
    if output < outputs {
        if row == 0 {
            if has_bias {
                value = bias[output as usize];
            }
        } else {
            // From x, y, z to y, z, x: a thread's voxels lie along x.
            let tap = row - 1;
            let x = tap % kernel;
            let z = tap / kernel % kernel;
            let y = tap / (kernel * kernel) % kernel;
            let input = tap / (kernel * kernel * kernel);
            let from = ((input * kernel + x) * kernel + y) * kernel + z;
            value = f32::cast_from(weight[(output * taps + from) as usize]);
        }
    }
    packed[to as usize] = P::cast_from(value);
}

#[cube(launch)]
fn conv_kernel<S: Float>(
    input: &[S],
    weight: &[Vector<S, Const<4>>],
    output: &mut [S],
    sizes: Sizes,
    #[comptime] plan: Plan,
    #[define(S)] _element: ElemType,
) {
    let kernel = comptime!(plan.kernel as u32);
    let stride = comptime!(plan.stride as u32);
    let pad = comptime!(plan.kernel as u32 / 2);
    let vectors = comptime!(plan.vectors);
    let voxels = comptime!(plan.voxels);
    let span = comptime!(plan.span());

    let plane = sizes.oy * sizes.oz;
    let at = sizes.from + ABSOLUTE_POS_X;
    if at >= plane {
        terminate!();
    }
    let y = at / sizes.oz;
    let z = at % sizes.oz;
    let x = (sizes.first + CUBE_POS_Y) * comptime!(plan.voxels as u32);
    let block = comptime!(vectors as u32 * 4);
    let blocks = sizes.outputs.div_ceil(block);
    let batch = CUBE_POS_Z / blocks;
    let block_at = CUBE_POS_Z % blocks;

    // Coordinates outside wrap around to large numbers and fail the comparison with the side.
    let step = sizes.ny * sizes.nz;
    let mut offsets = Sequence::<u32>::new();
    let mut inside = Sequence::<f32>::new();
    #[unroll]
    for i in 0..span {
        let ix = x * stride + comptime!(i as u32) - pad;
        let hit = ix < sizes.nx;
        if comptime!(plan.may_miss(i)) {
            offsets.push(select(hit, ix, 0) * step);
            inside.push(select(hit, 1.0f32, 0.0f32));
        } else {
            offsets.push(ix * step);
            inside.push(1.0f32.runtime());
        }
    }

    let taps = sizes.inputs * comptime!(kernel * kernel * kernel);
    let mut at_weight = block_at * (taps + 1) * comptime!(vectors as u32);
    let mut sums = Sequence::<RuntimeCell<Lanes>>::new();
    #[unroll]
    for _ in 0..voxels {
        #[unroll]
        for v in 0..vectors {
            sums.push(RuntimeCell::<Lanes>::new(Lanes::cast_from(weight[at_weight as usize + v])));
        }
    }
    at_weight += comptime!(vectors as u32);

    for channel in 0..sizes.inputs {
        let start = (batch * sizes.inputs + channel) * sizes.nx * step;
        for ky in 0..kernel {
            let iy = y * stride + ky - pad;
            for kz in 0..kernel {
                let iz = z * stride + kz - pad;
                if iy < sizes.ny && iz < sizes.nz {
                    let row = start + iy * sizes.nz + iz;
                    let mut values = Sequence::<f32>::new();
                    #[unroll]
                    for i in 0..span {
                        let value = f32::cast_from(input[(row + offsets[i]) as usize]);
                        if comptime!(plan.may_miss(i)) {
                            values.push(value * inside[i]);
                        } else {
                            values.push(value);
                        }
                    }
                    #[unroll]
                    for kx in 0..comptime!(plan.kernel) {
                        #[unroll]
                        for v in 0..vectors {
                            let w = Lanes::cast_from(
                                weight[at_weight as usize + comptime!(kx * vectors + v)],
                            );
                            #[unroll]
                            for i in 0..voxels {
                                let value = values[comptime!(i * plan.stride + kx)];
                                let sum = &sums[comptime!(i * vectors + v)];
                                sum.store(sum.read() + Lanes::new(value) * w);
                            }
                        }
                    }
                }
                at_weight += comptime!(vectors as u32) * kernel;
            }
        }
    }

    let first = block_at * block;
    #[unroll]
    for i in 0..voxels {
        let ox = x + comptime!(i as u32);
        if ox < sizes.ox {
            #[unroll]
            for v in 0..vectors {
                let sum = fit(sums[comptime!(i * vectors + v)].read(), plan.half);
                #[unroll]
                for lane in 0..4usize {
                    let channel = first + comptime!((v * 4 + lane) as u32);
                    if channel < sizes.outputs {
                        let to = ((batch * sizes.outputs + channel) * sizes.ox + ox) * plane + at;
                        output[to as usize] = S::cast_from(sum.extract(lane));
                    }
                }
            }
        }
    }
}

/// Values that half precision can keep, where they are kept so.
#[cube]
pub(super) fn fit(values: Lanes, #[comptime] half: bool) -> Lanes {
    if comptime!(half) {
        max(min(values, Lanes::new(comptime!(LARGEST_HALF))), Lanes::new(comptime!(-LARGEST_HALF)))
    } else {
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_every_place_of_every_tile_once_and_none_is_too_much() {
        // Tiny; whole tiles together; a tile of its own; a tile that is too much for one dispatch.
        for (work, plane, tiles) in
            [(1, 5, 1), (3_456, 700, 12), (20_000, 9_000, 3), (331_776, 9_216, 12)]
        {
            let mut seen = vec![0; plane * tiles];
            for part in split(work, plane, tiles) {
                assert!(work * (part.tiles * part.places) as u64 <= DISPATCH_WORK);
                assert!(part.from.is_multiple_of(UNITS));
                for tile in part.first..part.first + part.tiles {
                    for place in part.from..part.from + part.places {
                        seen[tile * plane + place] += 1;
                    }
                }
            }
            assert!(seen.iter().all(|&times| times == 1), "{work} {plane} {tiles}");
        }
    }
}
