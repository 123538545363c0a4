//! Layers on the last axis: linear and layer norm, as PyTorch has them.

use burn::tensor::{Device, Tensor};

use super::pack::{PackError, TensorSource};
use crate::kernels;

/// `x W^T + b` on the last axis (`torch.nn.Linear`).
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[inputs, outputs]`, the other way round than in the pack.
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
}

impl Linear {
    /// Takes `{name}.weight` `[outputs, inputs]` and `{name}.bias` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        name: &str,
        inputs: usize,
        outputs: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        let mut linear = Self::without_bias(source, name, inputs, outputs, device)?;
        linear.bias = Some(source.take(&format!("{name}.bias"), [outputs], device)?);
        Ok(linear)
    }

    /// As [`Linear::load`], the weight alone.
    ///
    /// # Errors
    /// [`PackError`] when it is missing or has another shape.
    pub fn without_bias(
        source: &mut TensorSource,
        name: &str,
        inputs: usize,
        outputs: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        let weight: Tensor<2> =
            source.take(&format!("{name}.weight"), [outputs, inputs], device)?;
        Ok(Self { weight: weight.transpose(), bias: None })
    }

    /// # Shapes
    /// `[..., inputs]` to `[..., outputs]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.run(x, false)
    }

    /// As [`Linear::forward`], then [`kernels::gelu`].
    ///
    /// # Shapes
    /// `[..., inputs]` to `[..., outputs]`
    pub fn activated<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.run(x, true)
    }

    fn run<const D: usize>(&self, x: Tensor<D>, activate: bool) -> Tensor<D> {
        let mut shape = x.dims();
        let [inputs, outputs] = self.weight.dims();
        let rows = shape.iter().product::<usize>() / inputs;
        let x = x.reshape([rows, inputs]);
        shape[D - 1] = outputs;
        kernels::linear(x, &self.weight, self.bias.as_ref(), activate).reshape(shape)
    }
}

/// Mean 0 and variance 1 along the last axis, then scale and shift (arXiv 1607.06450).
#[derive(Clone, Debug)]
pub struct LayerNorm {
    scale: Tensor<1>,
    shift: Tensor<1>,
}

impl LayerNorm {
    /// Takes `{name}.weight` and `{name}.bias` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        name: &str,
        channels: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        Ok(Self {
            scale: source.take(&format!("{name}.weight"), [channels], device)?,
            shift: source.take(&format!("{name}.bias"), [channels], device)?,
        })
    }

    /// Scale 1 and shift 0: the norm alone.
    pub fn plain(channels: usize, device: &Device) -> Self {
        Self { scale: Tensor::ones([channels], device), shift: Tensor::zeros([channels], device) }
    }

    /// # Shapes
    /// `[..., channels]`, unchanged
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let shape = x.dims();
        let channels = shape[D - 1];
        let rows = shape.iter().product::<usize>() / channels;
        kernels::layer_norm(x.reshape([rows, channels]), &self.scale, &self.shift).reshape(shape)
    }
}
