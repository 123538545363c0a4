//! Softmax attention within windows in one pass: no score is ever written.
//!
//! A thread owns a few queries of one head and goes through the window's keys, holding the
//! largest score so far, the sum of the exponentials and the mix of the values; when a larger
//! score comes, sum and mix are scaled down (Milakov and Gimelshein, arXiv 1805.02867). The
//! threads of a workgroup read the same keys at the same time, so nothing is shared by hand.

use burn::tensor::{DType, Int, Tensor};
use burn_wgpu::{CubeTensor, Wgpu};
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{DISPATCH_WORK, UNITS, element, empty, groups, kept, single, tensor};
use crate::kernels::WindowPlaces;
use crate::kernels::attention::APART;

/// Most keys whose scores a thread holds at once.
const MOST_KEYS: usize = 8;

/// Values of queries that a thread holds, and as many of mixed values.
const QUERY_VALUES: usize = 64;

/// Most queries a thread owns.
const MOST_QUERIES: usize = 3;

/// Bound on the workgroups along z (WebGPU's default).
const MOST_GROUPS: usize = 65_535;

/// Multiplications that an exponential and a bias cost, about.
const SCORE_WORK: usize = 16;

/// Sizes of the windows.
#[derive(CubeLaunch, CubeType, Clone, Copy)]
struct Sizes {
    tokens: u32,
    heads: u32,
    /// Numbers in a head's table of biases.
    positions: u32,
    /// Windows that `regions` has.
    count: u32,
    /// Place of the first window among those that `regions` counts.
    offset: u32,
    /// First window of this dispatch.
    first: u32,
    /// Threads that share the queries of a window's head.
    threads: u32,
}

/// What is fixed when a kernel is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Plan {
    /// A head's channels, and vectors of them.
    each: usize,
    parts: usize,
    queries: usize,
    keys: usize,
    masked: bool,
}

/// As [`crate::kernels::window_attention`].
pub fn window_attention(
    joint: Tensor<3>,
    bias: &Tensor<2>,
    places: &WindowPlaces,
    first: usize,
) -> Tensor<3> {
    let [windows, tokens, width] = joint.dims();
    let [heads, positions] = bias.dims();
    let (channels, each) = (width / 3, width / 3 / heads);
    let lanes = [4, 2, 1].into_iter().find(|&lanes| each.is_multiple_of(lanes)).unwrap_or(1);
    let keys = (1..=MOST_KEYS).rev().find(|&keys| tokens.is_multiple_of(keys)).unwrap_or(1);
    let queries = (QUERY_VALUES / each).clamp(1, MOST_QUERIES);
    let masked = places.regions.is_some();
    let plan = Plan { each, parts: each / lanes, queries, keys, masked };
    let joint = kept(joint);
    let bias = single(bias.clone());
    let codes = integers(places.codes.clone());
    let count = places.regions.as_ref().map_or(1, |regions| regions.dims()[0]);
    // What is not read still has to be bound, and no buffer may be bound twice.
    let regions = places.regions.clone().map(integers);
    let output = empty(&joint, &[windows, tokens, channels]);
    let threads = tokens.div_ceil(queries);
    let work = [heads, tokens, tokens, 2 * each + SCORE_WORK].map(|n| n as u64);
    let work = work.iter().product::<u64>().max(1);
    let step = (DISPATCH_WORK / work).clamp(1, windows.clamp(1, MOST_GROUPS) as u64) as usize;
    for start in (0..windows).step_by(step) {
        let sizes = [tokens, heads, positions, count, first % count, start, threads];
        let [tokens, heads, positions, count, offset, start, threads] = sizes.map(|n| n as u32);
        let regions = regions.clone();
        let regions = regions.map_or_else(|| codes.as_tensor_alias(2), CubeTensor::into_tensor_arg);
        attention_kernel::launch(
            &joint.client,
            groups(threads as usize, heads as usize, step.min(windows - start as usize)),
            CubeDim::new_1d(UNITS as u32),
            lanes,
            joint.clone().into_buffer_arg(),
            bias.clone().into_buffer_arg(),
            codes.clone().into_buffer_arg(),
            regions.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            SizesLaunch::new(tokens, heads, positions, count, offset, start, threads),
            plan,
            element(&joint),
        );
    }
    tensor(output)
}

/// The GPU tensor behind a handle of whole numbers, as 32 bits.
#[allow(
    clippy::expect_used,
    reason = "there are tensors of the CPU and of the GPU, and `flex` has the former"
)]
pub(super) fn integers<const D: usize>(tensor: Tensor<D, Int>) -> CubeTensor {
    tensor.cast(DType::I32).try_into_primitive::<Wgpu>().expect("a tensor on the GPU")
}

/// Queries along x, heads along y, windows along z; `joint` `[windows, tokens, 3, heads, parts]`,
/// `bias` `[heads, positions]`, `codes` `[tokens]`, `regions` `[count, tokens]`.
#[cube(launch)]
fn attention_kernel<S: Float, N: Size>(
    joint: &[Vector<S, N>],
    bias: &[f32],
    codes: &[i32],
    regions: &[i32],
    output: &mut [Vector<S, N>],
    sizes: Sizes,
    #[comptime] plan: Plan,
    #[define(S)] _element: ElemType,
) {
    let at = ABSOLUTE_POS_X;
    if at >= sizes.threads {
        terminate!();
    }
    let parts = comptime!(plan.parts);
    let queries = comptime!(plan.queries);
    let keys = comptime!(plan.keys);
    let head = CUBE_POS_Y;
    let window = sizes.first + CUBE_POS_Z;
    // Vectors of a token's queries, as many of its keys and of its values.
    let width = sizes.heads * comptime!(parts as u32);
    let start = window * sizes.tokens * 3 * width + head * comptime!(parts as u32);
    let first_region = (sizes.offset + window) % sizes.count * sizes.tokens;
    let table = head * sizes.positions + sizes.positions / 2;

    let scale = comptime!((plan.each as f32).powf(-0.5));
    let mut query = Sequence::<Vector<f32, N>>::new();
    let mut row = Sequence::<u32>::new();
    let mut region = Sequence::<i32>::new();
    let mut best = Sequence::<RuntimeCell<f32>>::new();
    let mut total = Sequence::<RuntimeCell<f32>>::new();
    let mut mixed = Sequence::<RuntimeCell<Vector<f32, N>>>::new();
    #[unroll]
    for i in 0..queries {
        let token = min(at + comptime!(i as u32) * sizes.threads, sizes.tokens - 1);
        let from = (start + token * 3 * width) as usize;
        row.push(table + u32::cast_from(codes[token as usize]));
        if comptime!(plan.masked) {
            region.push(regions[(first_region + token) as usize]);
        }
        best.push(RuntimeCell::<f32>::new(-1e30f32));
        total.push(RuntimeCell::<f32>::new(0.0f32));
        #[unroll]
        for v in 0..parts {
            query.push(Vector::<f32, N>::cast_from(joint[from + v]) * Vector::new(scale));
            mixed.push(RuntimeCell::<Vector<f32, N>>::new(Vector::new(0.0f32)));
        }
    }

    for block in 0..sizes.tokens / comptime!(keys as u32) {
        let first = block * comptime!(keys as u32);
        let mut scores = Sequence::<f32>::new();
        #[unroll]
        for k in 0..keys {
            let key = first + comptime!(k as u32);
            let from = (start + key * 3 * width + width) as usize;
            let code = u32::cast_from(codes[key as usize]);
            let mut values = Sequence::<Vector<f32, N>>::new();
            #[unroll]
            for v in 0..parts {
                values.push(Vector::<f32, N>::cast_from(joint[from + v]));
            }
            let mut there = Sequence::<i32>::new();
            if comptime!(plan.masked) {
                there.push(regions[(first_region + key) as usize]);
            }
            #[unroll]
            for i in 0..queries {
                let mut sum = query[comptime!(i * plan.parts)] * values[0usize];
                #[unroll]
                for v in 1..parts {
                    sum += query[comptime!(i * plan.parts + v)] * values[v];
                }
                let score = sum.vector_sum() + bias[(row[i] - code) as usize];
                if comptime!(plan.masked) {
                    scores.push(select(region[i] == there[0usize], score, score + APART));
                } else {
                    scores.push(score);
                }
            }
        }
        let mut weights = Sequence::<f32>::new();
        #[unroll]
        for i in 0..queries {
            let before = best[i].read();
            let highest = RuntimeCell::<f32>::new(before);
            #[unroll]
            for k in 0..keys {
                highest.store(max(highest.read(), scores[comptime!(k * plan.queries + i)]));
            }
            let highest = highest.read();
            let shrink = (before - highest).exp();
            let sum = RuntimeCell::<f32>::new(total[i].read() * shrink);
            #[unroll]
            for k in 0..keys {
                let weight = (scores[comptime!(k * plan.queries + i)] - highest).exp();
                sum.store(sum.read() + weight);
                weights.push(weight);
            }
            best[i].store(highest);
            total[i].store(sum.read());
            #[unroll]
            for v in 0..parts {
                let cell = &mixed[comptime!(i * plan.parts + v)];
                cell.store(cell.read() * Vector::new(shrink));
            }
        }
        #[unroll]
        for k in 0..keys {
            let key = first + comptime!(k as u32);
            let from = (start + key * 3 * width + 2 * width) as usize;
            #[unroll]
            for v in 0..parts {
                let value = Vector::<f32, N>::cast_from(joint[from + v]);
                #[unroll]
                for i in 0..queries {
                    let weight = weights[comptime!(i * plan.keys + k)];
                    let cell = &mixed[comptime!(i * plan.parts + v)];
                    cell.store(cell.read() + value * Vector::new(weight));
                }
            }
        }
    }

    #[unroll]
    for i in 0..queries {
        let token = at + comptime!(i as u32) * sizes.threads;
        if token < sizes.tokens {
            let share = 1.0f32 / total[i].read();
            let to = (window * sizes.tokens + token) * width + head * comptime!(parts as u32);
            #[unroll]
            for v in 0..parts {
                let value = mixed[comptime!(i * plan.parts + v)].read();
                output[to as usize + v] = Vector::<S, N>::cast_from(value * Vector::new(share));
            }
        }
    }
}
