//! The residual convolution block that MONAI's SwinUNETR is built from, in its encoder
//! (`use_v2`), on its skips and in its decoder: `UnetResBlock` with instance norm.

use burn::tensor::{Device, Tensor};

use super::groups::ChannelGroups;
use super::pack::{PackError, TensorSource};

/// `leaky(x' + IN(conv(leaky(IN(conv(x))))))`, where `x'` is `x`, or `IN(1x1x1 conv(x))`
/// when the number of channels changes. The norms have no affine.
#[derive(Clone, Debug)]
pub struct UnetrBlock {
    first: Tensor<5>,
    second: Tensor<5>,
    skip: Option<Tensor<5>>,
}

impl UnetrBlock {
    /// Takes `{name}.conv1.conv.weight`, `.conv2` and, where `inputs` and `outputs` differ,
    /// `.conv3` from the pack.
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
        let mut weight = |conv: &str, inputs: usize, kernel: usize| {
            let shape = [outputs, inputs, kernel, kernel, kernel];
            source.take(&format!("{name}.{conv}.conv.weight"), shape, device)
        };
        Ok(Self {
            first: weight("conv1", inputs, 3)?,
            second: weight("conv2", outputs, 3)?,
            skip: if inputs == outputs { None } else { Some(weight("conv3", inputs, 1)?) },
        })
    }

    /// # Shapes
    /// `[batch, inputs, x, y, z]` to `[batch, outputs, x, y, z]`
    pub fn forward(&self, x: ChannelGroups) -> ChannelGroups {
        let inner = x.convolve(&self.first);
        let residual = match &self.skip {
            Some(weight) => x.convolve(weight).normalise(None, false),
            None => x,
        };
        self.finish(inner, residual)
    }

    fn finish(&self, inner: ChannelGroups, residual: ChannelGroups) -> ChannelGroups {
        finish(inner, &self.second, residual)
    }
}

/// The same block on two maps of equal channels joined, which it halves again.
#[derive(Clone, Debug)]
pub struct UnetrJoin {
    first: Tensor<5>,
    second: Tensor<5>,
    skip: Tensor<5>,
}

impl UnetrJoin {
    /// Takes `{name}.{conv1,conv2,conv3}.conv.weight` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        name: &str,
        channels: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        let mut weight = |conv: &str, inputs: usize, kernel: usize| {
            let shape = [channels, inputs, kernel, kernel, kernel];
            source.take(&format!("{name}.{conv}.conv.weight"), shape, device)
        };
        Ok(Self {
            first: weight("conv1", 2 * channels, 3)?,
            second: weight("conv2", channels, 3)?,
            skip: weight("conv3", 2 * channels, 1)?,
        })
    }

    /// The maps are never joined in memory, and `front` is made when `back` is gone: at full
    /// resolution there is room for few.
    ///
    /// # Shapes
    /// two of `[batch, channels, x, y, z]` to one
    pub fn forward(
        &self,
        front: impl FnOnce() -> ChannelGroups,
        back: ChannelGroups,
    ) -> ChannelGroups {
        let channels = self.second.dims()[0];
        let half = |weight: &Tensor<5>, start: usize| weight.clone().narrow(1, start, channels);
        let inner = back.convolve(&half(&self.first, channels));
        let residual = back.convolve(&half(&self.skip, channels));
        drop(back);
        let front = front();
        let inner = inner.add_convolved(&front, &half(&self.first, 0));
        let residual = residual.add_convolved(&front, &half(&self.skip, 0));
        drop(front);
        finish(inner, &self.second, residual.normalise(None, false))
    }
}

fn finish(inner: ChannelGroups, second: &Tensor<5>, residual: ChannelGroups) -> ChannelGroups {
    inner.normalise(None, true).convolve(second).normalise(Some(residual), true)
}
