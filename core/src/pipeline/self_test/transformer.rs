//! A shallow Swin encoder whose answer MONAI gave (training/golden_swin.py).
//!
//! Its weights are no file: each is a hash of its tensor's name and its place, which the
//! script computes alike.

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;

use super::arithmetic::noise;
use super::{deviation, stored};
use crate::model::pack::{NamedTensor, Precision};
use crate::model::{Pack, PackError, PackInfo, Prism, Storage, Unpaced};
use crate::pipeline::read;

const ANSWERS: &[u8] = include_bytes!("../../../../tests/golden/swin/self_test.safetensors");

/// Side of the input: the smallest that four stages halve.
const SIDE: usize = 32;

/// Deviation of the encoder's deepest map; `None` when nothing came back.
pub async fn deepest_map(device: &Device, storage: Storage) -> Option<f32> {
    let pack = pack().ok()?;
    let model = Prism::load_as(&pack, device, storage).ok()?;
    let input = noise("input", SIDE * SIDE * SIDE);
    let input = TensorData::new(input, [1, 1, SIDE, SIDE, SIDE]);
    let features = model.encode(Tensor::<5>::from_data(input, device), &mut Unpaced).await.ok()?;
    let actual = read(features.maps.last()?.clone()).await.ok()?;
    let answers = SafeTensors::deserialize(ANSWERS).ok()?;
    deviation(&actual, &stored(&answers, "maps.4")?.0)
}

/// Windows, heads and merging as published, a quarter of the channels of Swin-B.
fn pack() -> Result<Pack, PackError> {
    let info: PackInfo = serde_json::from_value(serde_json::json!({
        "schema": 1, "name": "self-test", "title": "Self-test", "version": "0", "sha256": "",
        "architecture": {
            "encoder": {
                "kind": "swin", "in_channels": 1, "dim": 12, "depths": [2, 1, 1, 1],
                "heads": [3, 6, 12, 24], "window": 7, "merging": "repeated",
            },
            "branches": false,
        },
        "preprocessing": {
            "orientation": "RAS", "spacing_mm": [1.0, 1.0, 1.0],
            "intensity": { "rule": "zscore_nonzero" }, "window": [64, 64, 64],
            "overlap": 0.5,
        },
    }))
    .map_err(|error| PackError::Metadata(error.to_string()))?;
    let tensors = Prism::tensors(&info.architecture)?
        .into_iter()
        .map(|(name, shape)| NamedTensor { values: weight(&name, &shape), name, shape })
        .collect();
    Pack::build(info, tensors, Precision::Float32)
}

/// Unit gain for matrices and kernels, norms around 1, biases around 0.
fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let values = noise(name, shape.iter().product());
    if shape.len() > 1 {
        let gain = (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt() as f32;
        values.into_iter().map(|value| value * gain).collect()
    } else if name.ends_with(".weight") {
        values.into_iter().map(|value| 1.0 + 0.5 * value).collect()
    } else {
        values.into_iter().map(|value| 0.3 * value).collect()
    }
}
