//! Classification and regression head as PRISM publishes it (arXiv 2508.07165): on pooled
//! features ([`crate::model::disentangle::vector`]), several sequences fused, linear to half the channels, layer norm,
//! GELU, linear.

use burn::tensor::{DType, Device, Tensor};

use super::fusion::SequenceFusion;
use crate::kernels;
use crate::model::config::{EncoderConfig, PooledHeadConfig, PooledInput};
use crate::model::dense::{LayerNorm, Linear};
use crate::model::pack::{PackError, TensorSource};

/// A head on one pooled feature.
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
        encoder: &EncoderConfig,
        device: &Device,
    ) -> Result<Self, PackError> {
        let name = format!("heads.{}", config.name);
        let channels = encoder.vector_channels(config.input);
        let (hidden, outputs) = (encoder.deepest_channels() / 2, config.outputs.len());
        let fusion = format!("{name}.fusion");
        Ok(Self {
            input: config.input,
            fusion: SequenceFusion::load(source, &fusion, config.fusion, channels, device)?,
            hidden: Linear::load(source, &format!("{name}.hidden"), channels, hidden, device)?,
            norm: LayerNorm::load(source, &format!("{name}.norm"), hidden, device)?,
            output: Linear::load(source, &format!("{name}.output"), hidden, outputs, device)?,
        })
    }

    /// The feature that it reads.
    pub fn input(&self) -> PooledInput {
        self.input
    }

    /// Logits or numbers of an examination, from the features of its sequences; `None` where
    /// the head wants another number of sequences.
    ///
    /// # Shapes
    /// each `[batch, channels]`, to `[batch, outputs]`
    pub fn forward(&self, sequences: Vec<Tensor<2>>) -> Option<Tensor<2>> {
        let x = self.hidden.forward(self.fusion.forward(sequences)?);
        Some(self.output.forward(kernels::gelu(self.norm.forward(x))))
    }
}

/// Mean over all voxels: `[batch, channels, x, y, z]` to `[batch, channels]`. Axis by axis,
/// because one reduction over a whole head comes out wrong on the GPU (burn 0.22.1), and in
/// single precision.
pub fn pool(map: &Tensor<5>) -> Tensor<2> {
    let [batch, channels, ..] = map.dims();
    map.clone().cast(DType::F32).mean_dim(4).mean_dim(3).mean_dim(2).reshape([batch, channels])
}
