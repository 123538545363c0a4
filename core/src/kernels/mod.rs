//! The operations the network is made of, on every device.
//!
//! Each function has one meaning and may have several implementations; the model
//! never knows which one runs. On the CPU they are ours (`cpu`, tied to burn's
//! tensors in `flex`), elsewhere burn's operations.

mod cpu;
mod flex;
mod rows;

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, activation, module};
pub use rows::{gelu, layer_norm};

/// Slope of the leaky ReLU for negative inputs, everywhere in the network.
pub const LEAKY_SLOPE: f64 = 0.01;

/// Epsilon of the instance norm, PyTorch's default.
pub const NORM_EPSILON: f32 = 1e-5;

/// Cubic convolution that keeps the size (stride 1) or halves it (stride 2).
///
/// # Shapes
/// `x` `[batch, inputs, x, y, z]`, `weight` `[outputs, inputs, k, k, k]` with k 1 or
/// 3, to `[batch, outputs, x / stride, y / stride, z / stride]`
pub fn conv3d(
    x: Tensor<5>,
    weight: &Tensor<5>,
    bias: Option<&Tensor<1>>,
    stride: usize,
) -> Tensor<5> {
    let padding = weight.dims()[2] / 2;
    if padding == 1 && bias.is_none() && flex::runs_on(&x.device()) {
        return flex::conv3d(x, weight, stride);
    }
    let options = ConvOptions::new([stride; 3], [padding; 3], [1; 3], 1);
    module::conv3d(x, weight.clone(), bias.cloned(), options)
}

/// Instance norm with affine, then an optional residual added, then an optional
/// leaky ReLU: `leaky(scale * (x - mean) / sqrt(var + eps) + shift + residual)`
/// (arXiv 1607.08022).
///
/// # Shapes
/// `x` and `residual` `[batch, channels, x, y, z]`, `scale` and `shift` `[channels]`
pub fn instance_norm(
    x: Tensor<5>,
    scale: &Tensor<1>,
    shift: &Tensor<1>,
    residual: Option<Tensor<5>>,
    activate: bool,
) -> Tensor<5> {
    if flex::runs_on(&x.device()) {
        return flex::instance_norm(x, scale, shift, residual, activate);
    }
    let shape = x.dims();
    let [batch, channels, nx, ny, nz] = shape;
    // Mean in two steps: one reduction over all voxels of a whole head comes out wrong
    // on the GPU (burn 0.22.1, 96^3 and up).
    let mean = |x: Tensor<4>| x.mean_dim(3).mean_dim(2);
    let x = x.reshape([batch, channels, nx, ny * nz]);
    let centred = x.clone() - mean(x);
    let variance = mean(centred.clone().powi_scalar(2));
    let gain = scale.clone().reshape([1, channels, 1, 1]) / (variance + NORM_EPSILON).sqrt();
    let shift = shift.clone().reshape([1, channels, 1, 1]);
    let mut x = (centred * gain + shift).reshape(shape);
    if let Some(residual) = residual {
        x = x + residual;
    }
    if activate { activation::leaky_relu(x, LEAKY_SLOPE) } else { x }
}

/// Trilinear upsampling by two (voxel centres as in `align_corners=False`), then
/// `skip` added.
///
/// # Shapes
/// `x` `[batch, channels, x, y, z]`, `skip` `[batch, channels, 2x, 2y, 2z]`
pub fn upsample_add(x: Tensor<5>, skip: Tensor<5>) -> Tensor<5> {
    if flex::runs_on(&x.device()) {
        return flex::upsample_add(x, skip);
    }
    let mut x = x;
    for axis in 2..5 {
        x = upsample_axis(x, axis);
    }
    x + skip
}

fn upsample_axis(x: Tensor<5>, axis: usize) -> Tensor<5> {
    let mut shape = x.dims();
    let n = shape[axis];
    let first = x.clone().narrow(axis, 0, 1);
    let last = x.clone().narrow(axis, n - 1, 1);
    let before = Tensor::cat(vec![first, x.clone().narrow(axis, 0, n - 1)], axis);
    let after = Tensor::cat(vec![x.clone().narrow(axis, 1, n - 1), last], axis);
    let even = x.clone() * 0.75 + before * 0.25;
    let odd = x * 0.75 + after * 0.25;
    shape[axis] = 2 * n;
    // Interleave: stack behind the axis and merge the two.
    Tensor::stack::<6>(vec![even, odd], axis + 1).reshape(shape)
}
