//! A fitted head as a pack: the encoder of the pack it was fitted on, and the head.

use serde_json::json;

use super::few_shot::Fitted;
use crate::model::pack::NamedTensor;
use crate::model::{HeadConfig, Pack, PackError, PackInfo};
use crate::volume::LabelTable;

/// Name of the head's tensors under `heads.`
const HEAD: &str = "fitted";

/// What the person calls it.
#[derive(Clone, Debug, PartialEq)]
pub struct Naming {
    /// Short name, as in a file name.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// The classes, in the order of their indices, without background.
    pub labels: LabelTable,
}

impl Fitted {
    /// The pack: weights, scores, and where both come from.
    ///
    /// # Errors
    /// [`PackError`] when the labels are not one a class.
    pub fn to_pack(
        &self,
        encoder: &Pack,
        naming: Naming,
        examples: usize,
    ) -> Result<Pack, PackError> {
        let mut architecture = encoder.info.architecture.clone();
        architecture.heads = vec![HeadConfig::LinearSegmentation {
            name: HEAD.into(),
            classes: self.classes,
            maps: self.levels.iter().map(|&(map, _)| map).collect(),
        }];
        let stacked: usize = self.levels.iter().map(|(_, channels)| channels).sum();
        let mut tensors = Vec::new();
        let mut first = 0;
        for &(map, channels) in &self.levels {
            let rows = self.readout.weights.chunks_exact(stacked);
            let values = rows.flat_map(|row| &row[first..first + channels]).copied().collect();
            let name = format!("heads.{HEAD}.maps.{map}");
            let shape = vec![self.classes, channels, 1, 1, 1];
            tensors.push(NamedTensor { name: format!("{name}.weight"), shape, values });
            // The maps' results are added, so the bias counts once.
            let bias = if first == 0 { self.readout.bias.clone() } else { vec![0.0; self.classes] };
            let shape = vec![self.classes];
            tensors.push(NamedTensor { name: format!("{name}.bias"), shape, values: bias });
            first += channels;
        }
        let source = &encoder.info;
        let info = PackInfo {
            name: naming.name,
            title: naming.title,
            version: "1".into(),
            architecture,
            labels: naming.labels,
            fits: None,
            one_organ: false,
            mirrors: Vec::new(),
            provenance: json!({
                "note": "a linear head fitted on frozen features by the person who uses it",
                "examples": examples,
                "voxels": self.voxels,
                "lambda": self.lambda,
                "shift": self.shift,
                "encoder": {
                    "name": source.name,
                    "version": source.version,
                    "sha256": source.sha256,
                    "provenance": source.provenance,
                },
            }),
            scores: json!({ "cross_validation": self.scores }),
            ..source.clone()
        };
        encoder.with_heads(info, tensors)
    }
}
