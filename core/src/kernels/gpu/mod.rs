//! Our GPU kernels on burn's GPU tensors: `[batch, channels, x, y, z]`, z fastest.
//!
//! Written in CubeCL, which turns them into WGSL for browsers and native drivers alike.
//! They stay within WebGPU's default limits and use no optional feature. burn's own
//! convolution computes one output a thread; here a thread keeps a tile of voxels times
//! output channels in registers, which is what pays on every device.

mod attention;
mod classify;
mod conv;
mod norm;
mod rows;
mod upsample;

use burn::tensor::{DType, Float, Shape, Tensor};
use burn_wgpu::{CubeTensor, Wgpu};
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::CubeCount;
use cubecl::std::tensor::into_contiguous;

pub use attention::window_attention;
pub use classify::classify;
pub use conv::{LANES, conv3d};
pub use norm::instance_norm;
pub use rows::{layer_norm, linear, take_rows};
pub use upsample::upsample_add;

/// Threads a workgroup.
const UNITS: usize = 64;

/// Most multiplications in one dispatch: slow adapters must answer within a second.
const DISPATCH_WORK: u64 = 1 << 30;

/// The GPU tensor behind a handle, contiguous single precision.
#[allow(
    clippy::expect_used,
    reason = "there are tensors of the CPU and of the GPU, and `flex` has the former"
)]
fn primitive<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    let tensor = tensor.cast(DType::F32);
    let tensor = tensor.try_into_primitive::<Wgpu>().expect("a tensor on the GPU");
    if tensor.is_contiguous() {
        return tensor;
    }
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    let shape = Shape::from(tensor.meta.shape().to_vec());
    let copy = into_contiguous(&client, tensor.binding(), ElemType::Float(FloatKind::F32));
    CubeTensor::new_contiguous(client, device, shape, copy.handle, DType::F32)
}

/// Room for a tensor on the device of `like`, its values not set.
fn empty(like: &CubeTensor, shape: &[usize]) -> CubeTensor {
    let handle = like.client.empty(shape.iter().product::<usize>() * size_of::<f32>());
    let shape = Shape::from(shape.to_vec());
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, DType::F32)
}

fn tensor<const D: usize>(primitive: CubeTensor) -> Tensor<D> {
    Tensor::<D, Float>::from_primitive::<Wgpu>(primitive)
}

/// Workgroups for `units` threads along x, and as many as asked along y and z.
fn groups(units: usize, y: usize, z: usize) -> CubeCount {
    CubeCount::Static(units.div_ceil(UNITS) as u32, y as u32, z as u32)
}
