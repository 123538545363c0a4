//! The residual convolution block that MONAI's SwinUNETR is built from, in its encoder
//! (`use_v2`), on its skips and in its decoder: `UnetResBlock` with instance norm.

use burn::tensor::{Device, Tensor};

use super::conv_weight::ConvWeight;
use super::groups::ChannelGroups;
use super::pack::{PackError, TensorSource};
use super::prism::{Pace, Stopped, WORK};

/// Output channels are convolved in multiples of this many: all kernels' tiles are smaller.
const PART: usize = 8;

/// `leaky(x' + IN(conv(leaky(IN(conv(x))))))`, where `x'` is `x`, or `IN(1x1x1 conv(x))`
/// when the number of channels changes. The norms have no affine.
#[derive(Clone, Debug)]
pub struct UnetrBlock {
    first: ConvWeight,
    second: ConvWeight,
    skip: Option<ConvWeight>,
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
            ConvWeight::load(source, &format!("{name}.{conv}.conv.weight"), shape, device)
        };
        Ok(Self {
            first: weight("conv1", inputs, 3)?,
            second: weight("conv2", outputs, 3)?,
            skip: if inputs == outputs { None } else { Some(weight("conv3", inputs, 1)?) },
        })
    }

    /// # Shapes
    /// `[batch, inputs, x, y, z]` to `[batch, outputs, x, y, z]`
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn forward<P: Pace>(
        &self,
        x: ChannelGroups,
        pace: &mut P,
    ) -> Result<ChannelGroups, Stopped> {
        let inner = x.convolve(&self.first, pace).await?;
        let residual = match &self.skip {
            Some(weight) => x.convolve(weight, pace).await?.normalise(None, false),
            None => x,
        };
        finish(inner, &self.second, residual, pace).await
    }

    /// As [`UnetrBlock::forward`] for equal inputs and outputs in one tensor, a few channels at
    /// a time, so that a slow device can be stopped.
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn in_parts<P: Pace>(
        &self,
        x: Tensor<5>,
        pace: &mut P,
    ) -> Result<Tensor<5>, Stopped> {
        let inner = convolve(&x, &self.first, pace).await?;
        let inner = ChannelGroups::from(inner).normalise(None, true).whole();
        let inner = convolve(&inner, &self.second, pace).await?;
        Ok(ChannelGroups::from(inner).normalise(Some(x.into()), true).whole())
    }
}

/// Convolves without bias, some output channels at a time.
async fn convolve<P: Pace>(
    x: &Tensor<5>,
    weight: &ConvWeight,
    pace: &mut P,
) -> Result<Tensor<5>, Stopped> {
    let [batch, _, nx, ny, nz] = x.dims();
    let outputs = weight.dims()[0];
    let voxels = [batch, nx, ny, nz].map(|n| n as u64).iter().product::<u64>();
    let work = voxels * weight.dims().iter().product::<usize>() as u64;
    let each = outputs.div_ceil(work.div_ceil(WORK).max(1) as usize).next_multiple_of(PART);
    let mut maps = Vec::new();
    for start in (0..outputs).step_by(each) {
        let length = each.min(outputs - start);
        let map = weight.of_outputs(start, length).convolve(x, 1);
        pace.wait(&map, work * length as u64 / outputs as u64).await?;
        maps.push(map);
    }
    Ok(if maps.len() == 1 { maps.remove(0) } else { Tensor::cat(maps, 1) })
}

/// The same block on two maps of equal channels joined, which it halves again.
#[derive(Clone, Debug)]
pub struct UnetrJoin {
    first: ConvWeight,
    second: ConvWeight,
    skip: ConvWeight,
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
            ConvWeight::load(source, &format!("{name}.{conv}.conv.weight"), shape, device)
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
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn forward<P: Pace>(
        &self,
        front: impl FnOnce() -> ChannelGroups,
        back: ChannelGroups,
        pace: &mut P,
    ) -> Result<ChannelGroups, Stopped> {
        let channels = self.second.dims()[0];
        let half = |weight: &ConvWeight, start: usize| weight.of_inputs(start, channels);
        let inner = back.convolve(&half(&self.first, channels), pace).await?;
        let residual = back.convolve(&half(&self.skip, channels), pace).await?;
        drop(back);
        let front = front();
        let inner = inner.add_convolved(&front, &half(&self.first, 0), pace).await?;
        let residual = residual.add_convolved(&front, &half(&self.skip, 0), pace).await?;
        drop(front);
        finish(inner, &self.second, residual.normalise(None, false), pace).await
    }
}

async fn finish<P: Pace>(
    inner: ChannelGroups,
    second: &ConvWeight,
    residual: ChannelGroups,
    pace: &mut P,
) -> Result<ChannelGroups, Stopped> {
    let inner = inner.normalise(None, true).convolve(second, pace).await?;
    Ok(inner.normalise(Some(residual), true))
}
