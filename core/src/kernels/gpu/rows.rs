//! Rows of channels: layer norm, linear layers with their bias and GELU, rows picked by index.

use burn::tensor::{DType, Int, Tensor};
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::attention::integers;
use super::conv::{LANES, Lanes, fit};
use super::{DISPATCH_WORK, UNITS, element, empty, empty_single, groups, kept, single, tensor};
use crate::kernels::NORM_EPSILON;
use crate::kernels::cpu::{ERF_END, ERF_EVEN, ERF_ODD};

/// Rows in a tile of a linear layer.
const ROWS: usize = 8;

/// Most threads along x: WebGPU's default bound on workgroups.
const MOST_THREADS: usize = 65_535 * UNITS;

/// What is fixed when a linear layer is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Plan {
    /// Vectors of outputs in a tile.
    vectors: usize,
    has_bias: bool,
    activate: bool,
    /// Kept in half precision.
    half: bool,
}

/// As [`crate::kernels::layer_norm`]; in place where nobody else holds the tensor.
pub fn layer_norm(x: Tensor<2>, scale: &Tensor<1>, shift: &Tensor<1>) -> Tensor<2> {
    let [rows, channels] = x.dims();
    let x = kept(x);
    let (scale, shift) = (single(scale.clone()), single(shift.clone()));
    let element = element(&x);
    let client = x.client.clone();
    let lanes = if channels.is_multiple_of(LANES) { LANES } else { 1 };
    let in_place = x.can_mut();
    let output = if in_place { x.clone() } else { empty(&x, &[rows, channels]) };
    let written = if in_place { x.as_tensor_alias(0) } else { output.clone().into_tensor_arg() };
    let across = rows.min(MOST_THREADS);
    layer_norm_kernel::launch(
        &client,
        groups(across, rows.div_ceil(across.max(1)), 1),
        CubeDim::new_1d(UNITS as u32),
        lanes,
        x.into_buffer_arg(),
        written.into_buffer_arg(),
        scale.into_buffer_arg(),
        shift.into_buffer_arg(),
        rows as u32,
        (channels / lanes) as u32,
        across as u32,
        element,
    );
    tensor(output)
}

/// As [`crate::kernels::linear`]; the outputs must be a multiple of [`LANES`].
pub fn linear(
    x: Tensor<2>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    activate: bool,
) -> Tensor<2> {
    let [rows, inputs] = x.dims();
    let outputs = weight.dims()[1];
    let lanes = if inputs.is_multiple_of(LANES) { LANES } else { 1 };
    let vectors = if outputs.is_multiple_of(2 * LANES) { 2 } else { 1 };
    let x = kept(x);
    let half = x.dtype == DType::F16;
    let plan = Plan { vectors, has_bias: bias.is_some(), activate, half };
    let weight = kept(weight.clone().cast(x.dtype));
    // What is not read still has to be bound.
    let bias = bias.map_or_else(|| empty_single(&x, &[LANES]), |bias| single(bias.clone()));
    let output = empty(&x, &[rows, outputs]);
    let (tiles, blocks) = (rows.div_ceil(ROWS), outputs / (vectors * LANES));
    let work = ROWS as u64 * inputs as u64 * outputs as u64;
    let step = (DISPATCH_WORK / work.max(1)).clamp(1, tiles.max(1) as u64) as usize;
    let step = step.min(MOST_THREADS / blocks);
    for first in (0..tiles).step_by(step) {
        linear_kernel::launch(
            &x.client,
            groups(step.min(tiles - first) * blocks, 1, 1),
            CubeDim::new_1d(UNITS as u32),
            lanes,
            weight.clone().into_buffer_arg(),
            bias.clone().into_buffer_arg(),
            x.clone().into_buffer_arg(),
            output.clone().into_buffer_arg(),
            rows as u32,
            (inputs / lanes) as u32,
            (outputs / LANES) as u32,
            first as u32,
            plan,
            element(&x),
        );
    }
    tensor(output)
}

/// As [`crate::kernels::take_rows`].
pub fn take_rows(x: Tensor<3>, index: &Tensor<1, Int>) -> Tensor<3> {
    let [batch, rows, channels] = x.dims();
    let taken = index.dims()[0];
    let x = kept(x);
    let element = element(&x);
    let lanes = if channels.is_multiple_of(LANES) { LANES } else { 1 };
    let output = empty(&x, &[batch, taken, channels]);
    let values = taken * channels / lanes;
    let across = values.min(MOST_THREADS);
    take_rows_kernel::launch(
        &x.client.clone(),
        groups(across, values.div_ceil(across.max(1)), batch),
        CubeDim::new_1d(UNITS as u32),
        lanes,
        x.into_buffer_arg(),
        integers(index.clone()).into_buffer_arg(),
        output.clone().into_buffer_arg(),
        rows as u32,
        (channels / lanes) as u32,
        values as u32,
        across as u32,
        element,
    );
    tensor(output)
}

/// A thread norms a row.
#[cube(launch)]
fn layer_norm_kernel<S: Float, N: Size>(
    x: &[Vector<S, N>],
    output: &mut [Vector<S, N>],
    scale: &[Vector<f32, N>],
    shift: &[Vector<f32, N>],
    rows: u32,
    vectors: u32,
    across: u32,
    #[define(S)] _element: ElemType,
) {
    let row = CUBE_POS_Y * across + ABSOLUTE_POS_X;
    if ABSOLUTE_POS_X >= across || row >= rows {
        terminate!();
    }
    let start = row * vectors;
    let count = f32::cast_from(vectors * N::value() as u32);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for v in 0..vectors {
        sum += Vector::<f32, N>::cast_from(x[(start + v) as usize]);
    }
    let mean = Vector::<f32, N>::new(sum.vector_sum() / count);
    let mut squares = Vector::<f32, N>::new(0.0f32);
    for v in 0..vectors {
        let distance = Vector::<f32, N>::cast_from(x[(start + v) as usize]) - mean;
        squares += distance * distance;
    }
    let variance = squares.vector_sum() / count;
    let gain = Vector::<f32, N>::new(1.0f32 / (variance + NORM_EPSILON).sqrt());
    for v in 0..vectors {
        let at = (start + v) as usize;
        let centred = Vector::<f32, N>::cast_from(x[at]) - mean;
        let y = centred * gain * scale[v as usize] + shift[v as usize];
        output[at] = Vector::<S, N>::cast_from(y);
    }
}

/// A thread computes a tile of rows times outputs, held in registers while inputs pass by;
/// `weight` `[inputs, outputs]`.
#[cube(launch)]
fn linear_kernel<S: Float, N: Size>(
    weight: &[Vector<S, Const<4>>],
    bias: &[Lanes],
    x: &[Vector<S, N>],
    output: &mut [Vector<S, Const<4>>],
    rows: u32,
    inputs: u32,
    outputs: u32,
    first: u32,
    #[comptime] plan: Plan,
    #[define(S)] _element: ElemType,
) {
    let vectors = comptime!(plan.vectors);
    let blocks = outputs / comptime!(vectors as u32);
    let row = (first + ABSOLUTE_POS_X / blocks) * comptime!(ROWS as u32);
    if row >= rows {
        terminate!();
    }
    let block = ABSOLUTE_POS_X % blocks * comptime!(vectors as u32);
    let mut starts = Sequence::<u32>::new();
    let mut sums = Sequence::<RuntimeCell<Lanes>>::new();
    #[unroll]
    for r in 0..comptime!(ROWS) {
        starts.push(min(row + comptime!(r as u32), rows - 1) * inputs);
        #[unroll]
        for v in 0..vectors {
            if comptime!(plan.has_bias) {
                sums.push(RuntimeCell::<Lanes>::new(bias[block as usize + v]));
            } else {
                sums.push(RuntimeCell::<Lanes>::new(Lanes::new(0.0f32)));
            }
        }
    }
    for i in 0..inputs {
        let mut values = Sequence::<Vector<f32, N>>::new();
        #[unroll]
        for r in 0..comptime!(ROWS) {
            values.push(Vector::<f32, N>::cast_from(x[(starts[r] + i) as usize]));
        }
        #[unroll]
        for lane in 0..N::value() {
            let at = (i * N::value() as u32 + comptime!(lane as u32)) * outputs + block;
            #[unroll]
            for v in 0..vectors {
                let w = Lanes::cast_from(weight[at as usize + v]);
                #[unroll]
                for r in 0..comptime!(ROWS) {
                    let sum = &sums[comptime!(r * plan.vectors + v)];
                    sum.store(sum.read() + Lanes::new(values[r].extract(lane)) * w);
                }
            }
        }
    }
    #[unroll]
    for r in 0..comptime!(ROWS) {
        let at = row + comptime!(r as u32);
        if at < rows {
            #[unroll]
            for v in 0..vectors {
                let to = (at * outputs + block) as usize + v;
                let sum = sums[comptime!(r * plan.vectors + v)].read();
                if comptime!(plan.activate) {
                    let sum = fit(gelu(sum), plan.half);
                    output[to] = Vector::<S, Const<4>>::cast_from(sum);
                } else {
                    let sum = fit(sum, plan.half);
                    output[to] = Vector::<S, Const<4>>::cast_from(sum);
                }
            }
        }
    }
}

/// `x * (1 + erf(x / sqrt 2)) / 2`, with the error function of the CPU.
#[allow(clippy::needless_range_loop)] // loops that a shader unrolls
#[cube]
fn gelu(x: Lanes) -> Lanes {
    let end = Lanes::new(comptime!(ERF_END));
    let scaled = x * Lanes::new(comptime!(core::f32::consts::FRAC_1_SQRT_2));
    let scaled = max(min(scaled, end), Lanes::new(comptime!(-ERF_END)));
    let square = scaled * scaled;
    let mut odd = Lanes::new(comptime!(ERF_ODD[0]));
    #[unroll]
    for i in 1..comptime!(ERF_ODD.len()) {
        odd = odd * square + Lanes::new(comptime!(ERF_ODD[i]));
    }
    let mut even = Lanes::new(comptime!(ERF_EVEN[0]));
    #[unroll]
    for i in 1..comptime!(ERF_EVEN.len()) {
        even = even * square + Lanes::new(comptime!(ERF_EVEN[i]));
    }
    x * Lanes::new(0.5f32) * (Lanes::new(1.0f32) + scaled * odd / even)
}

/// A thread copies a vector of a row, or sets it to 0 where the index is no row's.
#[cube(launch)]
fn take_rows_kernel<S: Float, N: Size>(
    x: &[Vector<S, N>],
    index: &[i32],
    output: &mut [Vector<S, N>],
    rows: u32,
    vectors: u32,
    values: u32,
    across: u32,
    #[define(S)] _element: ElemType,
) {
    let at = CUBE_POS_Y * across + ABSOLUTE_POS_X;
    if ABSOLUTE_POS_X >= across || at >= values {
        terminate!();
    }
    let row = u32::cast_from(index[(at / vectors) as usize]);
    let to = (CUBE_POS_Z * values + at) as usize;
    if row < rows {
        output[to] = x[((CUBE_POS_Z * rows + row) * vectors + at % vectors) as usize];
    } else {
        output[to] = Vector::new(S::from_int(0));
    }
}
