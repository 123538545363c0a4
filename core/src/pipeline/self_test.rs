//! Known-answer self-test: a small net on the device, compared with stored numbers.
//!
//! On wasm a shader that fails to compile is only logged and leaves stale buffers,
//! and some drivers miscompile; a wrong mask must never come from that. The pack and
//! its answers are the golden reference that training/golden.py writes with PyTorch.

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;

use super::device::DeviceError;
use crate::kernels;
use crate::model::{Pack, Prism, Unpaced};

const PACK: &[u8] = include_bytes!("../../../tests/golden/model/tiny.safetensors");
const ANSWERS: &[u8] = include_bytes!("../../../tests/golden/model/tiny_io.safetensors");

/// Allowed deviation, in standard deviations of the expected logits.
const TOLERANCE: f32 = 1e-3;

/// Runs the small net and compares its logits.
///
/// # Errors
/// [`DeviceError::SelfTest`] with the deviation.
pub async fn check(device: &Device, adapter: &str) -> Result<(), DeviceError> {
    let errors = [deviation(device).await, long_reduction(device).await];
    let error = errors.into_iter().fold(0.0, |worst: f32, error| match error {
        Some(error) if !worst.is_nan() => worst.max(error),
        _ => f32::NAN,
    });
    // NaN is not within the tolerance either.
    if error <= TOLERANCE {
        Ok(())
    } else {
        Err(DeviceError::SelfTest { adapter: adapter.to_owned(), error })
    }
}

/// Largest deviation of the logits in standard deviations; `None` when nothing came back.
async fn deviation(device: &Device) -> Option<f32> {
    let pack = Pack::read(PACK).ok()?;
    let model = Prism::load(&pack, device).ok()?;
    let answers = SafeTensors::deserialize(ANSWERS).ok()?;
    let (input, shape) = stored(&answers, "input")?;
    let input = Tensor::<5>::from_data(TensorData::new(input, shape), device);
    let features = model.encode(input, &mut Unpaced).await.ok()?;
    let decoded = model.decode(features, &mut Unpaced).await.ok()??;
    let logits = model.segmentation()?.logits(decoded);
    let [_, _, nx, ny, nz] = logits.dims();
    let all: Vec<f32> = logits.into_data_async().await.ok()?.try_into_vec().ok()?;
    // The reference keeps every second voxel.
    let (expected, _) = stored(&answers, "logits.every2")?;
    let mut actual = Vec::with_capacity(expected.len());
    for class in all.chunks_exact(nx * ny * nz) {
        for x in (0..nx).step_by(2) {
            for y in (0..ny).step_by(2) {
                actual.extend((0..nz).step_by(2).map(|z| class[(x * ny + y) * nz + z]));
            }
        }
    }
    if actual.len() != expected.len() || actual.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let count = expected.len() as f32;
    let mean = expected.iter().sum::<f32>() / count;
    let deviation =
        (expected.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / count).sqrt().max(1e-6);
    let largest = actual.iter().zip(&expected).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max);
    Some(largest / deviation)
}

/// Instance norm of a ramp over as many voxels as a whole head has, where the small net
/// cannot reach: largest deviation from `(i - (n - 1) / 2) / sqrt((n^2 - 1) / 12)`.
async fn long_reduction(device: &Device) -> Option<f32> {
    const SIDE: usize = 96;
    let count = SIDE * SIDE * SIDE;
    let ramp = (0..count).map(|i| i as f32 / count as f32).collect::<Vec<_>>();
    let ramp = Tensor::<5>::from_data(TensorData::new(ramp, [1, 1, SIDE, SIDE, SIDE]), device);
    let one = Tensor::<1>::ones([1], device);
    let normed = kernels::instance_norm(ramp, &one, &Tensor::zeros([1], device), None, false);
    // A plane holds enough of the ramp: the first, a middle and the last voxels.
    let plane = normed.narrow(3, SIDE / 2, 1);
    let values: Vec<f32> = plane.into_data_async().await.ok()?.try_into_vec().ok()?;
    let n = count as f64;
    // The norm's epsilon acts on the ramp's own variance.
    let variance = (n * n - 1.0) / (12.0 * n * n) + f64::from(kernels::NORM_EPSILON);
    let largest = values.iter().enumerate().map(|(at, &value)| {
        let (x, z) = (at / SIDE, at % SIDE);
        let i = ((x * SIDE + SIDE / 2) * SIDE + z) as f64;
        (value - (((i - (n - 1.0) / 2.0) / n) / variance.sqrt()) as f32).abs()
    });
    let largest = largest.fold(0.0, f32::max);
    (values.len() == SIDE * SIDE && values.iter().all(|v| v.is_finite())).then_some(largest)
}

fn stored(tensors: &SafeTensors, name: &str) -> Option<(Vec<f32>, Vec<usize>)> {
    let view = tensors.tensor(name).ok()?;
    let values =
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Some((values, view.shape().to_vec()))
}
