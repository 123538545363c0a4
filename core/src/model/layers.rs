//! The blocks that encoder, decoder and disentangling share.

use burn::tensor::{Device, Int, Tensor};

use super::conv_weight::ConvWeight;
use super::groups::ChannelGroups;
use super::pack::{PackError, TensorSource};
use crate::kernels;

/// Convolution without bias, instance norm with affine.
#[derive(Clone, Debug)]
pub struct ConvNorm {
    weight: ConvWeight,
    scale: Tensor<1>,
    shift: Tensor<1>,
    stride: usize,
}

impl ConvNorm {
    /// Takes `{name}.conv.weight` and `{name}.norm.*` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        name: &str,
        shape: ConvShape,
        device: &Device,
    ) -> Result<Self, PackError> {
        let ConvShape { inputs, outputs, kernel, stride } = shape;
        Ok(Self {
            weight: ConvWeight::load(
                source,
                &format!("{name}.conv.weight"),
                [outputs, inputs, kernel, kernel, kernel],
                device,
            )?,
            scale: source.take(&format!("{name}.norm.weight"), [outputs], device)?,
            shift: source.take(&format!("{name}.norm.bias"), [outputs], device)?,
            stride,
        })
    }

    /// Convolves and normalises.
    ///
    /// # Shapes
    /// `[batch, inputs, x, y, z]` to `[batch, outputs, x / stride, y / stride, z / stride]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        kernels::instance_norm(self.convolve(x), &self.scale, &self.shift, None, false)
    }

    /// Convolves, normalises, leaky ReLU. Shapes as [`ConvNorm::forward`].
    pub fn activated(&self, x: Tensor<5>) -> Tensor<5> {
        kernels::instance_norm(self.convolve(x), &self.scale, &self.shift, None, true)
    }

    /// Convolves, normalises, adds `residual`, leaky ReLU.
    pub fn joined(&self, x: Tensor<5>, residual: Tensor<5>) -> Tensor<5> {
        kernels::instance_norm(self.convolve(x), &self.scale, &self.shift, Some(residual), true)
    }

    /// Convolves only. Shapes as [`ConvNorm::forward`].
    pub fn convolve(&self, x: Tensor<5>) -> Tensor<5> {
        self.weight.convolve(&x, self.stride)
    }
}

/// Geometry of a cubic convolution.
#[derive(Clone, Copy, Debug)]
pub struct ConvShape {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Side of the kernel, 1 or 3; padding keeps the size.
    pub kernel: usize,
    /// 1 or 2.
    pub stride: usize,
}

impl ConvShape {
    /// 3x3x3, stride 1, as many channels out as in.
    pub fn same(channels: usize) -> Self {
        Self { inputs: channels, outputs: channels, kernel: 3, stride: 1 }
    }

    /// 1x1x1.
    pub fn pointwise(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, kernel: 1, stride: 1 }
    }
}

/// A 1x1x1 convolution with bias.
#[derive(Clone, Debug)]
pub struct Pointwise {
    weight: Tensor<5>,
    bias: Tensor<1>,
}

impl Pointwise {
    /// Takes `{name}.weight` and `{name}.bias` from the pack.
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
        Ok(Self {
            weight: source.take(&format!("{name}.weight"), [outputs, inputs, 1, 1, 1], device)?,
            bias: source.take(&format!("{name}.bias"), [outputs], device)?,
        })
    }

    /// # Shapes
    /// `[batch, inputs, x, y, z]` to `[batch, outputs, x, y, z]`
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        kernels::conv3d(x, &self.weight, Some(&self.bias), 1)
    }

    /// As [`kernels::classify`].
    pub fn classify(&self, x: &Tensor<5>) -> Vec<Tensor<5, Int>> {
        kernels::classify(x, &self.weight, &self.bias)
    }

    /// As [`Pointwise::forward`], on a map in several tensors.
    pub fn on_groups(&self, x: &ChannelGroups) -> Tensor<5> {
        let bias = self.bias.clone().reshape([1, self.bias.dims()[0], 1, 1, 1]);
        let sum = x.pass(&ConvWeight::from(self.weight.clone()));
        let bias = bias.cast(sum.dtype());
        sum + bias
    }
}

/// Residual block: `leaky(x + CN_n(leaky(... CN_1(x))))`.
#[derive(Clone, Debug)]
pub struct ResidualBlock {
    convs: Vec<ConvNorm>,
}

impl ResidualBlock {
    /// Takes `{name}.convs.{i}` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        name: &str,
        channels: usize,
        convs: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        let convs = (0..convs)
            .map(|i| {
                ConvNorm::load(
                    source,
                    &format!("{name}.convs.{i}"),
                    ConvShape::same(channels),
                    device,
                )
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { convs })
    }

    /// # Shapes
    /// `[batch, channels, x, y, z]`, unchanged
    pub fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let Some((last, first)) = self.convs.split_last() else { return x };
        let mut inner = x.clone();
        for conv in first {
            inner = conv.activated(inner);
        }
        last.joined(inner, x)
    }
}
