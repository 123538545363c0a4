//! Maps whose channels are spread over several tensors.
//!
//! At 96x96x96 the published decoder has maps of 48 channels, 170 MB each, and joins two of
//! them; a WebGPU buffer holds 128 MiB by default. Convolution is linear in its input
//! channels and instance norm works channel by channel, so neither needs them in one piece.

use burn::tensor::Tensor;

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
        let groups = (4 * channels * others).div_ceil(LARGEST).clamp(1, channels);
        let each = channels.div_ceil(groups);
        let ranges = (0..channels).step_by(each).map(|start| (start, each.min(channels - start)));
        Self(ranges.map(part).collect())
    }

    /// Convolves without bias, stride 1; `weight` `[outputs, channels, k, k, k]`.
    pub fn convolve(&self, weight: &Tensor<5>) -> Self {
        let [batch, _, nx, ny, nz] = self.0[0].dims();
        let outputs = weight.dims()[0];
        Self::build(outputs, batch * nx * ny * nz, |(start, length)| {
            self.pass(&cut(weight, 0, start, length), None)
        })
    }

    /// Adds what the convolution of `x` gives, group by group: of full maps, only `self`
    /// and `x` are held.
    pub fn add_convolved(self, x: &Self, weight: &Tensor<5>) -> Self {
        let mut first = 0;
        let add = |sum: Tensor<5>| {
            let length = sum.dims()[1];
            let weight = cut(weight, 0, first, length);
            first += length;
            x.pass(&weight, Some(sum))
        };
        Self(self.0.into_iter().map(add).collect())
    }

    /// Convolution of all groups, added to `sum`; one tensor.
    pub fn pass(&self, weight: &Tensor<5>, sum: Option<Tensor<5>>) -> Tensor<5> {
        let (x, rest) = (&self.0[0], &self.0[1..]);
        let mut first = x.dims()[1];
        let part = |x: &Tensor<5>, first: usize| {
            kernels::conv3d(x.clone(), &cut(weight, 1, first, x.dims()[1]), None, 1)
        };
        let start = match sum {
            Some(sum) => sum + part(x, 0),
            None => part(x, 0),
        };
        rest.iter().fold(start, |sum, x| {
            let sum = sum + part(x, first);
            first += x.dims()[1];
            sum
        })
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

/// Part of a weight along one axis; the weight itself where that is all of it.
pub fn cut(weight: &Tensor<5>, axis: usize, start: usize, length: usize) -> Tensor<5> {
    if length == weight.dims()[axis] {
        weight.clone()
    } else {
        weight.clone().narrow(axis, start, length)
    }
}
