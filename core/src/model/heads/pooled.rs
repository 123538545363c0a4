//! Classification and regression head as PRISM publishes it (arXiv 2508.07165):
//! global average pool, several sequences fused, linear to half the channels, layer norm,
//! GELU, linear.

use burn::tensor::{Device, Tensor};

use super::fusion::SequenceFusion;
use crate::kernels;
use crate::model::config::{PooledHeadConfig, PooledInput};
use crate::model::dense::{LayerNorm, Linear};
use crate::model::disentangle::Disentangled;
use crate::model::pack::{PackError, TensorSource};

/// A head on one pooled map.
#[derive(Clone, Debug)]
pub struct PooledHead {
    input: PooledInput,
    fusion: SequenceFusion,
    hidden: Linear,
    norm: LayerNorm,
    output: Linear,
}

impl PooledHead {
    /// Takes `heads.{name}.{hidden,norm,output}` from the pack, and `heads.{name}.fusion`
    /// where the fusion has weights. In the published code these are `cls_head.{name}.0`,
    /// `.1` and `.4`, and `latent_agg` with `cls_token`, shared by all heads.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        config: &PooledHeadConfig,
        channels: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        let name = format!("heads.{}", config.name);
        let (hidden, outputs) = (channels / 2, config.outputs.len());
        let fusion = format!("{name}.fusion");
        Ok(Self {
            input: config.input,
            fusion: SequenceFusion::load(source, &fusion, config.fusion, channels, device)?,
            hidden: Linear::load(source, &format!("{name}.hidden"), channels, hidden, device)?,
            norm: LayerNorm::load(source, &format!("{name}.norm"), hidden, device)?,
            output: Linear::load(source, &format!("{name}.output"), hidden, outputs, device)?,
        })
    }

    /// Logits or numbers of an examination, from the maps of its sequences; `None` where a
    /// map is not there or the head wants another number of sequences.
    ///
    /// # Shapes
    /// maps `[batch, channels, x, y, z]` to `[batch, outputs]`
    pub fn forward(&self, sequences: &[Disentangled]) -> Option<Tensor<2>> {
        let pooled = sequences
            .iter()
            .map(|maps| {
                Some(pool(match self.input {
                    PooledInput::Structure => maps.structure.as_ref()?,
                    PooledInput::Sequence => maps.sequence.as_ref()?,
                    PooledInput::Fused => &maps.fused,
                }))
            })
            .collect::<Option<_>>()?;
        self.from_pooled(pooled)
    }

    /// As [`PooledHead::forward`], from features that are pooled already.
    ///
    /// # Shapes
    /// each `[batch, channels]`, to `[batch, outputs]`
    pub fn from_pooled(&self, sequences: Vec<Tensor<2>>) -> Option<Tensor<2>> {
        let x = self.hidden.forward(self.fusion.forward(sequences)?);
        Some(self.output.forward(kernels::gelu(self.norm.forward(x))))
    }
}

/// Global average pool: `[batch, channels, x, y, z]` to `[batch, channels]`.
pub fn pool(map: &Tensor<5>) -> Tensor<2> {
    let [batch, channels, x, y, z] = map.dims();
    map.clone().reshape([batch, channels, x * y * z]).mean_dim(2).reshape([batch, channels])
}
