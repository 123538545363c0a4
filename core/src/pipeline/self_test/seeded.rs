//! Packs whose weights are no file: each value is a hash of its tensor's name and its place, as
//! training/golden_swin.py computes them, too.

use serde_json::{Value, json};

use super::hashed::weight;
use crate::model::pack::{NamedTensor, Precision};
use crate::model::{Pack, PackError, PackInfo, Prism};

/// A pack of such weights; `document` holds what a pack's document says of its network
/// (`architecture`, `labels`).
pub fn pack(mut document: Value) -> Result<Pack, PackError> {
    let rest = json!({
        "schema": 1, "name": "self-test", "title": "Self-test", "version": "0", "sha256": "",
        "preprocessing": {
            "orientation": "RAS", "spacing_mm": [1.0, 1.0, 1.0],
            "intensity": { "rule": "zscore_nonzero" }, "window": [64, 64, 64],
            "overlap": 0.5,
        },
    });
    if let (Some(document), Value::Object(rest)) = (document.as_object_mut(), rest) {
        document.extend(rest);
    }
    let info: PackInfo =
        serde_json::from_value(document).map_err(|error| PackError::Metadata(error.to_string()))?;
    let tensors = Prism::tensors(&info.architecture)?
        .into_iter()
        .map(|(name, shape)| NamedTensor { values: weight(&name, &shape), name, shape })
        .collect();
    Pack::build(info, tensors, Precision::Float32)
}
