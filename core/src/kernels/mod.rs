//! The operations the network is made of, on every device.
//!
//! Each function has one meaning and may have several implementations; the model
//! never knows which one runs. On the CPU they are ours (`cpu`, tied to burn's tensors
//! in `flex`) but for matrix products, which 1x1x1 convolutions are, too; on the GPU ours
//! (`gpu`).

mod attention;
pub(crate) mod cpu;
mod flex;
mod gpu;
mod rows;

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Int, Tensor, module};

pub use attention::{WindowPlaces, window_attention};
pub use gpu::DISPATCH_WORK;
pub use rows::{gelu, layer_norm, linear, take_rows};

/// Slope of the leaky ReLU for negative inputs, everywhere in the network.
pub const LEAKY_SLOPE: f64 = 0.01;

/// Epsilon of the instance norm, PyTorch's default.
pub const NORM_EPSILON: f32 = 1e-5;

/// Most bytes of class values to hold at once.
const SLAB_BYTES: usize = 64 << 20;

/// Whether a device keeps numbers in half precision: the GPU, where its adapter offers them.
pub fn has_halves(device: &Device) -> bool {
    !flex::runs_on(device) && gpu::has_halves(device)
}

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
    if !flex::runs_on(&x.device()) {
        return gpu::conv3d(x, weight, bias, stride);
    }
    let padding = weight.dims()[2] / 2;
    if padding == 1 && bias.is_none() {
        return flex::conv3d(x, weight, stride);
    }
    let options = ConvOptions::new([stride; 3], [padding; 3], [1; 3], 1);
    module::conv3d(x, weight.clone(), bias.cloned(), options)
}

/// Channel with the largest value after a 1x1x1 convolution, the first of equals; the
/// values of all channels never exist at once.
///
/// # Shapes
/// `x` `[1, inputs, x, y, z]`, `weight` `[outputs, inputs, 1, 1, 1]`, to a list of
/// `[1, 1, slab, y, z]` that make up x in order
pub fn classify(x: &Tensor<5>, weight: &Tensor<5>, bias: &Tensor<1>) -> Vec<Tensor<5, Int>> {
    if !flex::runs_on(&x.device()) {
        return vec![gpu::classify(x, weight, bias)];
    }
    let [_, _, nx, ny, nz] = x.dims();
    let slab = (SLAB_BYTES / (4 * weight.dims()[0] * ny * nz).max(1)).clamp(1, nx.max(1));
    (0..nx)
        .step_by(slab)
        .map(|start| {
            let x = x.clone().narrow(2, start, slab.min(nx - start));
            conv3d(x, weight, Some(bias), 1).argmax(1)
        })
        .collect()
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
        flex::instance_norm(x, scale, shift, residual, activate)
    } else {
        gpu::instance_norm(x, scale, shift, residual, activate)
    }
}

/// Trilinear upsampling by two (voxel centres as in `align_corners=False`), then
/// `skip` added.
///
/// # Shapes
/// `x` `[batch, channels, x, y, z]`, `skip` `[batch, channels, 2x, 2y, 2z]`
pub fn upsample_add(x: Tensor<5>, skip: Tensor<5>) -> Tensor<5> {
    if flex::runs_on(&x.device()) {
        flex::upsample_add(x, skip)
    } else {
        gpu::upsample_add(x, skip)
    }
}
