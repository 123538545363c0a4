//! Classification and regression head as PRISM publishes it (arXiv 2508.07165):
//! global average pool, linear to half the channels, layer norm, GELU, linear.

use burn::tensor::{Device, Tensor, activation};

use crate::model::config::{PooledHeadConfig, PooledInput};
use crate::model::disentangle::Disentangled;
use crate::model::pack::{PackError, TensorSource};

const LAYER_NORM_EPSILON: f32 = 1e-5;

/// A head on one pooled map.
#[derive(Clone, Debug)]
pub struct PooledHead {
    input: PooledInput,
    hidden: Linear,
    scale: Tensor<1>,
    shift: Tensor<1>,
    output: Linear,
}

#[derive(Clone, Debug)]
struct Linear {
    weight: Tensor<2>,
    bias: Tensor<1>,
}

impl Linear {
    fn load(
        source: &mut TensorSource,
        name: &str,
        inputs: usize,
        outputs: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        Ok(Self {
            weight: source.take(&format!("{name}.weight"), [outputs, inputs], device)?,
            bias: source.take(&format!("{name}.bias"), [outputs], device)?,
        })
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.clone().transpose()) + self.bias.clone().unsqueeze()
    }
}

impl PooledHead {
    /// Takes `heads.{name}.*` from the pack.
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
        let hidden = channels / 2;
        Ok(Self {
            input: config.input,
            hidden: Linear::load(source, &format!("{name}.hidden"), channels, hidden, device)?,
            scale: source.take(&format!("{name}.norm.weight"), [hidden], device)?,
            shift: source.take(&format!("{name}.norm.bias"), [hidden], device)?,
            output: Linear::load(
                source,
                &format!("{name}.output"),
                hidden,
                config.outputs.len(),
                device,
            )?,
        })
    }

    /// Logits or numbers of a scan.
    ///
    /// # Shapes
    /// maps `[batch, channels, x, y, z]` to `[batch, outputs]`
    pub fn forward(&self, maps: &Disentangled) -> Tensor<2> {
        let map = match self.input {
            PooledInput::Structure => &maps.structure,
            PooledInput::Sequence => &maps.sequence,
            PooledInput::Fused => &maps.fused,
        };
        self.from_pooled(pool(map))
    }

    /// As [`PooledHead::forward`], from features that are pooled already.
    ///
    /// # Shapes
    /// `[batch, channels]` to `[batch, outputs]`
    pub fn from_pooled(&self, pooled: Tensor<2>) -> Tensor<2> {
        let x = self.hidden.forward(pooled);
        let centred = x.clone() - x.mean_dim(1);
        let variance = centred.clone().powi_scalar(2).mean_dim(1);
        let normed = centred / (variance + LAYER_NORM_EPSILON).sqrt();
        let x = normed * self.scale.clone().unsqueeze() + self.shift.clone().unsqueeze();
        self.output.forward(activation::gelu(x))
    }
}

/// Global average pool: `[batch, channels, x, y, z]` to `[batch, channels]`.
pub fn pool(map: &Tensor<5>) -> Tensor<2> {
    let [batch, channels, x, y, z] = map.dims();
    map.clone().reshape([batch, channels, x * y * z]).mean_dim(2).reshape([batch, channels])
}
