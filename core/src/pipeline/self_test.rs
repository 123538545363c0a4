//! Known-answer self-test: a small net on the device, compared with stored numbers.
//!
//! On wasm a shader that fails to compile is only logged and leaves stale buffers,
//! and some drivers miscompile; a wrong mask must never come from that. The pack and
//! its answers are the golden reference that training/golden.py writes with PyTorch.

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;

use super::device::DeviceError;
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
    let error = deviation(device).await.unwrap_or(f32::NAN);
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

fn stored(tensors: &SafeTensors, name: &str) -> Option<(Vec<f32>, Vec<usize>)> {
    let view = tensors.tensor(name).ok()?;
    let values =
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Some((values, view.shape().to_vec()))
}
