//! Layers on the last axis: linear and layer norm, as PyTorch has them.

use burn::tensor::{Device, Tensor};

use super::pack::{PackError, TensorSource};
use crate::kernels;

/// `x W^T + b` on the last axis (`torch.nn.Linear`).
#[derive(Clone, Debug)]
pub struct Linear {
    /// Weights `[inputs, outputs]`, the other way round than in the pack, and biases of some
    /// outputs after the other: one pair, unless they are large.
    parts: Vec<(Tensor<2>, Option<Tensor<1>>)>,
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
        let all: Tensor<1> = source.take(&format!("{name}.bias"), [outputs], device)?;
        let mut first = 0;
        for (weight, bias) in &mut linear.parts {
            let length = weight.dims()[1];
            let all = all.clone();
            *bias = Some(if length == outputs { all } else { all.narrow(0, first, length) });
            first += length;
        }
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
        let parts = source.take_parts(&format!("{name}.weight"), [outputs, inputs], device)?;
        Ok(Self { parts: parts.into_iter().map(|part| (part.transpose(), None)).collect() })
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
        let inputs = shape[D - 1];
        let rows = shape.iter().product::<usize>() / inputs;
        let x = x.reshape([rows, inputs]);
        let y = match self.parts.as_slice() {
            [(weight, bias)] => kernels::linear(x, weight, bias.as_ref(), activate),
            parts => {
                let parts = parts.iter().map(|(weight, bias)| {
                    kernels::linear(x.clone(), weight, bias.as_ref(), activate)
                });
                Tensor::cat(parts.collect(), 1)
            }
        };
        shape[D - 1] = y.dims()[1];
        y.reshape(shape)
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
