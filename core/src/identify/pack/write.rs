//! Writing packs of heads: what [`HeadsPack::read`] reads.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView, serialize};
use sha2::{Digest, Sha256};

use super::{HeadsError, HeadsInfo, HeadsPack};
use crate::identify::heads::{Head, HeadInfo};

/// A linear head that judges no distance.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearHead {
    /// What it is.
    pub info: HeadInfo,
    /// `[outputs, inputs]` on standardised inputs.
    pub weight: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
    /// `[inputs]`.
    pub mean: Vec<f32>,
    /// `[inputs]`, above zero.
    pub deviation: Vec<f32>,
}

impl From<LinearHead> for Head {
    fn from(LinearHead { info, weight, bias, mean, deviation }: LinearHead) -> Self {
        Self { info, weight, bias, mean, deviation, whitening: Vec::new(), centres: Vec::new() }
    }
}

impl HeadsPack {
    /// The file of these heads; `info.heads` and `info.sha256` are set here.
    ///
    /// # Errors
    /// [`HeadsError`] when values and shapes disagree, or what is written could not be read.
    pub fn write(mut info: HeadsInfo, heads: &[Head]) -> Result<Vec<u8>, HeadsError> {
        let container =
            |error: safetensors::SafeTensorError| HeadsError::Container(error.to_string());
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for head in heads {
            let (outputs, inputs) = (head.bias.len(), head.mean.len());
            let directions = head.centres.len().checked_div(outputs).unwrap_or(0);
            let mut add = |part: &str, shape: Vec<usize>, values: &[f32]| {
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                tensors.push((format!("heads.{}.{part}", head.info.name), shape, bytes));
            };
            add("weight", vec![outputs, inputs], &head.weight);
            add("bias", vec![outputs], &head.bias);
            add("mean", vec![inputs], &head.mean);
            add("deviation", vec![inputs], &head.deviation);
            if directions > 0 {
                add("whitening", vec![directions, inputs], &head.whitening);
                add("centres", vec![outputs, directions], &head.centres);
            }
        }
        let file = |metadata: Option<HashMap<String, String>>| {
            let views = tensors
                .iter()
                .map(|(name, shape, data)| {
                    Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?))
                })
                .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
                .map_err(container)?;
            serialize(views, metadata).map_err(container)
        };
        let alone = file(None)?;
        let (header, _) = safetensors::SafeTensors::read_metadata(&alone).map_err(container)?;
        let digest = Sha256::digest(&alone[8 + header..]);
        info.sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        info.heads = heads.iter().map(|head| head.info.clone()).collect();
        let json = serde_json::to_string(&info)
            .map_err(|error| HeadsError::Metadata(error.to_string()))?;
        let bytes = file(Some(HashMap::from([("prism_heads".to_owned(), json)])))?;
        Self::read(&bytes)?;
        Ok(bytes)
    }
}
