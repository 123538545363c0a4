//! Our GPU kernels on burn's GPU tensors: `[batch, channels, x, y, z]`, z fastest.
//!
//! Written in CubeCL, which turns them into WGSL for browsers and native drivers alike.
//! They stay within WebGPU's default limits and use no optional feature. burn's own
//! convolution computes one output a thread; here a thread keeps a tile of voxels times
//! output channels in registers, which is what pays on every device.
//!
//! Maps are kept as they come, in single or half precision, and weights are brought to the
//! precision of the map they meet; every sum is in single precision. What a vector holds
//! (biases, scales, moments) is single precision throughout.

mod attention;
mod classify;
mod conv;
mod norm;
mod rows;
mod upsample;

use burn::tensor::{DType, Device, Float, Shape, Tensor};
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

/// Most multiplications in one dispatch.
pub const DISPATCH_WORK: u64 = 1 << 28;

/// Largest finite number in half precision; what is larger is kept as this.
const LARGEST_HALF: f32 = 65_504.0;

/// The GPU tensor behind a handle, contiguous, in half precision where it is kept so.
fn kept<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    let dtype = tensor.dtype();
    contiguous(tensor, if dtype == DType::F16 { dtype } else { DType::F32 })
}

/// As [`kept`], in single precision.
fn single<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    contiguous(tensor, DType::F32)
}

#[allow(
    clippy::expect_used,
    reason = "there are tensors of the CPU and of the GPU, and `flex` has the former"
)]
fn contiguous<const D: usize>(tensor: Tensor<D>, dtype: DType) -> CubeTensor {
    let tensor = tensor.cast(dtype);
    let tensor = tensor.try_into_primitive::<Wgpu>().expect("a tensor on the GPU");
    if tensor.is_contiguous() {
        return tensor;
    }
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    let shape = Shape::from(tensor.meta.shape().to_vec());
    let element = element(&tensor);
    let copy = into_contiguous(&client, tensor.binding(), element);
    CubeTensor::new_contiguous(client, device, shape, copy.handle, dtype)
}

/// What a kernel is compiled for.
fn element(tensor: &CubeTensor) -> ElemType {
    let half = tensor.dtype == DType::F16;
    ElemType::Float(if half { FloatKind::F16 } else { FloatKind::F32 })
}

/// Room for a tensor on the device of `like` and in its precision, its values not set.
fn empty(like: &CubeTensor, shape: &[usize]) -> CubeTensor {
    room(like, shape, like.dtype)
}

/// As [`empty`], in single precision.
fn empty_single(like: &CubeTensor, shape: &[usize]) -> CubeTensor {
    room(like, shape, DType::F32)
}

fn room(like: &CubeTensor, shape: &[usize], dtype: DType) -> CubeTensor {
    let handle = like.client.empty(shape.iter().product::<usize>() * dtype.size());
    let shape = Shape::from(shape.to_vec());
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, dtype)
}

/// Whether a device's adapter offers numbers in half precision.
pub fn has_halves(device: &Device) -> bool {
    let half = ElemType::Float(FloatKind::F16);
    single(Tensor::<1>::zeros([1], device)).client.features().supports_type(half)
}

fn tensor<const D: usize>(primitive: CubeTensor) -> Tensor<D> {
    Tensor::<D, Float>::from_primitive::<Wgpu>(primitive)
}

/// Workgroups for `units` threads along x, and as many as asked along y and z.
fn groups(units: usize, y: usize, z: usize) -> CubeCount {
    CubeCount::Static(units.div_ceil(UNITS) as u32, y as u32, z as u32)
}
