//! Instance norm, residual and leaky ReLU: moments of parts of each channel, the parts
//! merged to one gain and offset a channel, one pass that applies them.
//!
//! A thread sums distances from its first value, and moments are merged as Chan, Golub
//! and LeVeque do (Stanford STAN-CS-79-773), so that neither the length of a channel
//! nor a large mean costs digits.

use burn::tensor::Tensor;
use burn_wgpu::CubeTensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{UNITS, element, empty, empty_single, kept, single, tensor};
use crate::kernels::{LEAKY_SLOPE, NORM_EPSILON};

/// Vectors a thread of the first kernel reads.
const READS: usize = 32;

/// Numbers kept of a part: count, mean, sum of squared distances from the mean.
const MOMENTS: usize = 3;

/// Numbers kept of a channel: mean, gain, shift.
const AFFINE: usize = 3;

/// As [`crate::kernels::instance_norm`]; in place where nobody else holds the tensor.
pub fn instance_norm(
    x: Tensor<5>,
    scale: &Tensor<1>,
    shift: &Tensor<1>,
    residual: Option<Tensor<5>>,
    activate: bool,
) -> Tensor<5> {
    let [batch, channels, nx, ny, nz] = x.dims();
    let x = kept(x);
    let (scale, shift) = (single(scale.clone()), single(shift.clone()));
    let precision = x.dtype;
    let residual = residual.map(|residual| kept(residual.cast(precision)));
    let element = element(&x);
    let client = x.client.clone();
    let voxels = nx * ny * nz;
    let lanes = if voxels.is_multiple_of(4) { 4 } else { 1 };
    let vectors = voxels / lanes;
    let parts = vectors.div_ceil(UNITS * READS);
    let moments = empty_single(&x, &[batch * channels, parts, MOMENTS]);
    let affine = empty_single(&x, &[batch * channels, AFFINE]);
    let in_place = x.can_mut();
    let output = if in_place { x.clone() } else { empty(&x, &[batch, channels, nx, ny, nz]) };
    let (vectors, maps) = (vectors as u32, (batch * channels) as u32);
    let units = CubeDim::new_1d(UNITS as u32);
    let joined = residual.is_some();
    moments_kernel::launch(
        &client,
        CubeCount::Static(parts as u32, maps, 1),
        units,
        lanes,
        x.clone().into_buffer_arg(),
        moments.clone().into_buffer_arg(),
        vectors,
        element,
    );
    affine_kernel::launch(
        &client,
        CubeCount::Static(1, maps, 1),
        units,
        moments.into_buffer_arg(),
        scale.into_buffer_arg(),
        shift.into_buffer_arg(),
        affine.clone().into_buffer_arg(),
        parts as u32,
        channels as u32,
    );
    let written = if in_place { x.as_tensor_alias(0) } else { output.clone().into_tensor_arg() };
    // What is not read still has to be bound, and no buffer may be bound twice.
    let residual = residual.map_or_else(|| x.as_tensor_alias(0), CubeTensor::into_tensor_arg);
    apply_kernel::launch(
        &client,
        CubeCount::Static(vectors.div_ceil(UNITS as u32), maps, 1),
        units,
        lanes,
        x.into_buffer_arg(),
        written.into_buffer_arg(),
        affine.into_buffer_arg(),
        residual.into_buffer_arg(),
        vectors,
        joined,
        activate,
        element,
    );
    tensor(output)
}

/// Moments of the values seen by one thread or by several.
#[derive(CubeType, Clone, Copy)]
struct Moments {
    count: f32,
    mean: f32,
    squares: f32,
}

#[cube]
fn merge(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    let share = b.count / max(count, 1.0f32);
    let distance = b.mean - a.mean;
    Moments {
        count,
        mean: a.mean + distance * share,
        squares: a.squares + b.squares + distance * distance * a.count * share,
    }
}

/// Moments over all threads of a workgroup, valid in the first.
#[cube]
fn merge_units(own: Moments) -> Moments {
    let mut shared = Shared::<[f32]>::new_slice(comptime!(UNITS * MOMENTS));
    let at = UNIT_POS as usize * 3;
    shared[at] = own.count;
    shared[at + 1] = own.mean;
    shared[at + 2] = own.squares;
    let mut width = comptime!(UNITS as u32 / 2).runtime();
    while width > 0 {
        sync_cube();
        if UNIT_POS < width {
            let other = at + width as usize * 3;
            let a = Moments { count: shared[at], mean: shared[at + 1], squares: shared[at + 2] };
            let b = Moments {
                count: shared[other],
                mean: shared[other + 1],
                squares: shared[other + 2],
            };
            let merged = merge(a, b);
            shared[at] = merged.count;
            shared[at + 1] = merged.mean;
            shared[at + 2] = merged.squares;
        }
        width /= 2;
    }
    Moments { count: shared[0], mean: shared[1], squares: shared[2] }
}

/// Moments of each part (x) of each channel (y): `[channels, parts, 3]`.
#[cube(launch)]
fn moments_kernel<S: Float, N: Size>(
    values: &[Vector<S, N>],
    moments: &mut [f32],
    vectors: u32,
    #[define(S)] _element: ElemType,
) {
    let first = CUBE_POS_X * comptime!((UNITS * READS) as u32) + UNIT_POS;
    let channel = CUBE_POS_Y * vectors;
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut squares = Vector::<f32, N>::new(0.0f32);
    let mut centre = Vector::<f32, N>::new(0.0f32);
    let mut count = 0u32;
    if first < vectors {
        centre = Vector::new(f32::cast_from(values[(channel + first) as usize].extract(0usize)));
    }
    for i in 0..comptime!(READS as u32) {
        let at = first + i * comptime!(UNITS as u32);
        if at < vectors {
            let distance = Vector::<f32, N>::cast_from(values[(channel + at) as usize]) - centre;
            sum += distance;
            squares += distance * distance;
            count += 1;
        }
    }
    let mut total = 0.0f32;
    let mut total_squares = 0.0f32;
    #[unroll]
    for lane in 0..N::value() {
        total += sum.extract(lane);
        total_squares += squares.extract(lane);
    }
    let count = f32::cast_from(count * N::value() as u32);
    let distance = total / max(count, 1.0f32);
    let own = Moments {
        count,
        mean: centre.extract(0usize) + distance,
        squares: max(total_squares - total * distance, 0.0f32),
    };
    let merged = merge_units(own);
    if UNIT_POS == 0 {
        let to = ((CUBE_POS_Y * CUBE_COUNT_X + CUBE_POS_X) * 3) as usize;
        moments[to] = merged.count;
        moments[to + 1] = merged.mean;
        moments[to + 2] = merged.squares;
    }
}

/// Mean, gain and shift of each channel (y): `[channels, 3]`.
#[cube(launch)]
fn affine_kernel(
    moments: &[f32],
    scale: &[f32],
    shift: &[f32],
    affine: &mut [f32],
    parts: u32,
    channels: u32,
) {
    let mut count = 0.0f32;
    let mut mean = 0.0f32;
    let mut squares = 0.0f32;
    for part in range_stepped(UNIT_POS, parts, comptime!(UNITS as u32)) {
        let from = ((CUBE_POS_Y * parts + part) * 3) as usize;
        let merged = merge(
            Moments { count, mean, squares },
            Moments { count: moments[from], mean: moments[from + 1], squares: moments[from + 2] },
        );
        count = merged.count;
        mean = merged.mean;
        squares = merged.squares;
    }
    let own = Moments { count, mean, squares };
    let merged = merge_units(own);
    if UNIT_POS == 0 {
        let channel = (CUBE_POS_Y % channels) as usize;
        let variance = merged.squares / merged.count;
        let to = (CUBE_POS_Y * 3) as usize;
        affine[to] = merged.mean;
        affine[to + 1] = scale[channel] / (variance + NORM_EPSILON).sqrt();
        affine[to + 2] = shift[channel];
    }
}

/// Each channel (y) centred, scaled, shifted, joined, activated.
#[cube(launch)]
fn apply_kernel<S: Float, N: Size>(
    values: &[Vector<S, N>],
    output: &mut [Vector<S, N>],
    affine: &[f32],
    residual: &[Vector<S, N>],
    vectors: u32,
    #[comptime] joined: bool,
    #[comptime] activate: bool,
    #[define(S)] _element: ElemType,
) {
    if ABSOLUTE_POS_X >= vectors {
        terminate!();
    }
    let at = (CUBE_POS_Y * vectors + ABSOLUTE_POS_X) as usize;
    let from = (CUBE_POS_Y * 3) as usize;
    let centred = Vector::<f32, N>::cast_from(values[at]) - Vector::new(affine[from]);
    let mut y = centred * Vector::new(affine[from + 1]) + Vector::new(affine[from + 2]);
    if joined {
        y += Vector::<f32, N>::cast_from(residual[at]);
    }
    if activate {
        // The slope is below one, so this is the leaky ReLU.
        y = max(y, y * Vector::new(comptime!(LEAKY_SLOPE as f32)));
    }
    output[at] = Vector::<S, N>::cast_from(y);
}
