//! A shallow Swin encoder whose answer MONAI gave (training/golden_swin.py).

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;

use super::hashed::noise;
use super::{deviation, seeded, stored};
use crate::model::{Pack, PackError, Prism, Storage, Unpaced};
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
    deviation(&actual, &stored(&answers, "maps.4")?)
}

/// Windows, heads and merging as published, a quarter of the channels of Swin-B.
fn pack() -> Result<Pack, PackError> {
    seeded::pack(serde_json::json!({
        "architecture": {
            "encoder": {
                "kind": "swin", "in_channels": 1, "dim": 12, "depths": [2, 1, 1, 1],
                "heads": [3, 6, 12, 24], "window": 7, "merging": "repeated",
            },
            "branches": false,
        },
    }))
}
