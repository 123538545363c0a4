//! Maps whose channels are spread over several tensors.
//!
//! At 96x96x96 the published decoder has maps of 48 channels, 170 MB each, and joins two of
//! them; a WebGPU buffer holds 128 MiB by default. Convolution is linear in its input
//! channels and instance norm works channel by channel, so neither needs them in one piece.

use burn::tensor::Tensor;

use super::conv_weight::ConvWeight;
use super::prism::{Pace, Stopped};
use crate::kernels;

/// Most bytes of one group.
const LARGEST: usize = 64 << 20;

/// A map `[batch, channels, x, y, z]`, cut along its channels.
#[derive(Clone, Debug)]
pub struct ChannelGroups(Vec<Tensor<5>>);

impl From<Tensor<5>> for ChannelGroups {
    fn from(map: Tensor<5>) -> Self {
        Self(vec![map])
    }
}

impl ChannelGroups {
    /// Builds a map group by group: `part` is given first channel and number of channels.
    ///
    /// `others` is the product of the map's other sides.
    pub fn build(
        channels: usize,
        others: usize,
        part: impl FnMut((usize, usize)) -> Tensor<5>,
    ) -> Self {
        Self(ranges(channels, others).map(part).collect())
    }

    /// Convolves without bias, stride 1, with a [`Pace::wait`] after each pair of groups;
    /// `weight` `[outputs, channels, k, k, k]`.
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn convolve<P: Pace>(
        &self,
        weight: &ConvWeight,
        pace: &mut P,
    ) -> Result<Self, Stopped> {
        let [batch, _, nx, ny, nz] = self.0[0].dims();
        let mut groups = Vec::new();
        for (start, length) in ranges(weight.dims()[0], batch * nx * ny * nz) {
            groups.push(self.paced(&weight.of_outputs(start, length), None, pace).await?);
        }
        Ok(Self(groups))
    }

    /// Adds what the convolution of `x` gives, group by group: of full maps, only `self`
    /// and `x` are held.
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn add_convolved<P: Pace>(
        self,
        x: &Self,
        weight: &ConvWeight,
        pace: &mut P,
    ) -> Result<Self, Stopped> {
        let mut first = 0;
        let mut groups = Vec::with_capacity(self.0.len());
        for sum in self.0 {
            let length = sum.dims()[1];
            groups.push(x.paced(&weight.of_outputs(first, length), Some(sum), pace).await?);
            first += length;
        }
        Ok(Self(groups))
    }

    /// Convolution of all groups, added to `sum`, with a [`Pace::wait`] after each; one tensor.
    async fn paced<P: Pace>(
        &self,
        weight: &ConvWeight,
        mut sum: Option<Tensor<5>>,
        pace: &mut P,
    ) -> Result<Tensor<5>, Stopped> {
        let mut first = 0;
        for x in &self.0 {
            let [batch, channels, nx, ny, nz] = x.dims();
            let weight = weight.of_inputs(first, channels);
            first += channels;
            let part = weight.convolve(x, 1);
            let added = match sum {
                Some(sum) => sum + part,
                None => part,
            };
            let taps = weight.dims().iter().product::<usize>();
            pace.wait(&added, (batch * nx * ny * nz) as u64 * taps as u64).await?;
            sum = Some(added);
        }
        // There is a group: maps have channels.
        sum.ok_or(Stopped)
    }

    /// 1x1x1 convolution of all groups without bias; one tensor.
    pub fn pass(&self, weight: &ConvWeight) -> Tensor<5> {
        let mut first = 0;
        let parts = self.0.iter().map(|x| {
            let weight = weight.of_inputs(first, x.dims()[1]);
            first += x.dims()[1];
            weight.convolve(x, 1)
        });
        let sum = parts.reduce(|sum, part| sum + part);
        // There is a group: maps have channels.
        sum.unwrap_or_else(|| self.0[0].clone())
    }

    /// Instance norm without affine, `residual` added, leaky ReLU if `activate`.
    pub fn normalise(self, residual: Option<Self>, activate: bool) -> Self {
        let mut residuals = residual.into_iter().flat_map(|residual| residual.0);
        let norm = |x: Tensor<5>| {
            let (channels, device) = (x.dims()[1], x.device());
            let (ones, zeros) =
                (Tensor::ones([channels], &device), Tensor::zeros([channels], &device));
            kernels::instance_norm(x, &ones, &zeros, residuals.next(), activate)
        };
        Self(self.0.into_iter().map(norm).collect())
    }

    /// The map in one tensor.
    pub fn whole(mut self) -> Tensor<5> {
        if self.0.len() == 1 { self.0.remove(0) } else { Tensor::cat(self.0, 1) }
    }

    /// A tensor that the device may still be computing, to wait for.
    pub fn latest(&self) -> &Tensor<5> {
        &self.0[self.0.len() - 1]
    }
}

/// First channel and number of channels of each group.
fn ranges(channels: usize, others: usize) -> impl Iterator<Item = (usize, usize)> {
    let groups = (4 * channels * others).div_ceil(LARGEST).clamp(1, channels);
    let each = channels.div_ceil(groups);
    (0..channels).step_by(each).map(move |start| (start, each.min(channels - start)))
}
