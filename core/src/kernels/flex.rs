//! Our CPU kernels on burn's CPU tensors.

use burn::backend::flex::FlexTensor;
use burn::backend::{DispatchDevice, Flex};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::cpu;

/// Whether tensors on this device are burn's CPU tensors; else they are the GPU's.
pub(super) fn runs_on(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}

/// The CPU tensor behind a handle, contiguous single precision from its first element.
#[allow(clippy::disallowed_methods, reason = "a CPU tensor's values are at hand, so nothing waits")]
fn primitive<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    let spare = tensor.clone();
    let tensor = match tensor.try_into_primitive::<Flex>() {
        Ok(tensor) if tensor.dtype() == DType::F32 => tensor,
        _ => FlexTensor::from_data(spare.clone().into_data().convert::<f32>()),
    };
    // A second handle would make the kernels copy before they write in place.
    drop(spare);
    let whole = tensor.layout().contiguous_offsets() == Some((0, tensor.storage::<f32>().len()));
    if whole { tensor } else { tensor.to_contiguous() }
}

/// A CPU tensor's whole numbers.
#[allow(clippy::disallowed_methods, reason = "a CPU tensor's values are at hand, so nothing waits")]
pub(super) fn integers<const D: usize>(tensor: Tensor<D, Int>) -> Vec<i32> {
    tensor.into_data().iter::<i32>().collect()
}

/// As [`super::conv3d`] for 3x3x3 kernels.
pub(super) fn conv3d(x: Tensor<5>, weight: &Tensor<5>, stride: usize) -> Tensor<5> {
    let [batch, inputs, nx, ny, nz] = x.dims();
    let outputs = weight.dims()[0];
    let conv = cpu::Conv { inputs, outputs, dims: [nx, ny, nz], stride };
    let [ox, oy, oz] = conv.output_dims();
    let x = primitive(x);
    let weight = primitive(weight.clone());
    let mut output = Vec::new();
    for sample in x.storage::<f32>().chunks_exact(inputs * nx * ny * nz) {
        let values = cpu::conv3d(conv, sample, weight.storage());
        if batch == 1 {
            output = values;
        } else {
            output.extend(values);
        }
    }
    let data = TensorData::new(output, [batch, outputs, ox, oy, oz]);
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(data))
}

/// As [`super::instance_norm`]; in place where nobody else holds the tensor.
pub(super) fn instance_norm(
    x: Tensor<5>,
    scale: &Tensor<1>,
    shift: &Tensor<1>,
    residual: Option<Tensor<5>>,
    activate: bool,
) -> Tensor<5> {
    let [_, _, nx, ny, nz] = x.dims();
    let mut x = primitive(x);
    let scale = primitive(scale.clone());
    let shift = primitive(shift.clone());
    let residual = residual.map(primitive);
    cpu::instance_norm(
        x.storage_mut::<f32>(),
        nx * ny * nz,
        scale.storage(),
        shift.storage(),
        residual.as_ref().map(FlexTensor::storage),
        activate,
    );
    Tensor::from_primitive::<Flex>(x)
}

/// As [`super::upsample_add`]; in place where nobody else holds the skip.
pub(super) fn upsample_add(x: Tensor<5>, skip: Tensor<5>) -> Tensor<5> {
    let [_, _, nx, ny, nz] = x.dims();
    let x = primitive(x);
    let mut skip = primitive(skip);
    cpu::upsample_add(x.storage(), [nx, ny, nz], skip.storage_mut::<f32>());
    Tensor::from_primitive::<Flex>(skip)
}

/// As [`super::layer_norm`]; in place where nobody else holds the tensor.
pub(super) fn layer_norm(x: Tensor<2>, scale: &Tensor<1>, shift: &Tensor<1>) -> Tensor<2> {
    let mut x = primitive(x);
    let scale = primitive(scale.clone());
    let shift = primitive(shift.clone());
    cpu::layer_norm(x.storage_mut::<f32>(), scale.storage(), shift.storage());
    Tensor::from_primitive::<Flex>(x)
}

/// As [`super::gelu`]; in place where nobody else holds the tensor.
pub(super) fn gelu(x: Tensor<2>) -> Tensor<2> {
    let mut x = primitive(x);
    cpu::gelu(x.storage_mut::<f32>());
    Tensor::from_primitive::<Flex>(x)
}
