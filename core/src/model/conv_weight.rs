//! Weights of convolutions, in several tensors where they are large.
//!
//! WebGPU binds 128 MiB of a buffer by default; the largest published encoder has
//! convolutions of 243 MiB, its decoder one of 972 MiB. Every output channel has weights of
//! its own, so that a weight can be cut along them and convolved part by part.

use burn::tensor::{Device, Tensor};

use super::pack::{PackError, TensorSource};
use crate::kernels;

/// A weight `[outputs, inputs, k, k, k]`, cut along its outputs.
#[derive(Clone, Debug)]
pub struct ConvWeight(Vec<Tensor<5>>);

impl From<Tensor<5>> for ConvWeight {
    fn from(weight: Tensor<5>) -> Self {
        Self(vec![weight])
    }
}

impl ConvWeight {
    /// Takes `name` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when it is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        name: &str,
        shape: [usize; 5],
        device: &Device,
    ) -> Result<Self, PackError> {
        source.take_parts(name, shape, device).map(Self)
    }

    /// Of values that are at hand, kept as `source` keeps its own.
    pub fn of_values(
        source: &TensorSource,
        values: Vec<f32>,
        shape: [usize; 5],
        device: &Device,
    ) -> Self {
        Self(source.parts(values, shape, device))
    }

    /// Shape of all parts together.
    pub fn dims(&self) -> [usize; 5] {
        // There is a part: convolutions have outputs.
        let mut dims = self.0[0].dims();
        dims[0] = self.0.iter().map(|part| part.dims()[0]).sum();
        dims
    }

    /// The weights for some of the inputs.
    pub fn of_inputs(&self, start: usize, length: usize) -> Self {
        Self(self.0.iter().map(|part| cut(part, 1, start, length)).collect())
    }

    /// The weights of some of the outputs.
    pub fn of_outputs(&self, start: usize, length: usize) -> Self {
        let mut first = 0;
        let mut parts = Vec::new();
        for part in &self.0 {
            let outputs = part.dims()[0];
            let (from, to) = (start.max(first), (start + length).min(first + outputs));
            if from < to {
                parts.push(cut(part, 0, from - first, to - from));
            }
            first += outputs;
        }
        Self(parts)
    }

    /// Convolves without bias, see [`kernels::conv3d`].
    pub fn convolve(&self, x: &Tensor<5>, stride: usize) -> Tensor<5> {
        let maps = self.0.iter().map(|part| kernels::conv3d(x.clone(), part, None, stride));
        let mut maps: Vec<Tensor<5>> = maps.collect();
        if maps.len() == 1 { maps.remove(0) } else { Tensor::cat(maps, 1) }
    }

    /// Sum of squares over the taps: `[outputs, inputs]`.
    pub fn energy(&self) -> Tensor<2> {
        let sums = self.0.iter().map(|part| {
            let [outputs, inputs, x, y, z] = part.dims();
            let taps = part.clone().powi_scalar(2).reshape([outputs, inputs, x * y * z]);
            taps.sum_dim(2).reshape([outputs, inputs])
        });
        let mut sums: Vec<Tensor<2>> = sums.collect();
        if sums.len() == 1 { sums.remove(0) } else { Tensor::cat(sums, 0) }
    }
}

/// Part of a weight along one axis; the weight itself where that is all of it.
fn cut(weight: &Tensor<5>, axis: usize, start: usize, length: usize) -> Tensor<5> {
    if length == weight.dims()[axis] {
        weight.clone()
    } else {
        weight.clone().narrow(axis, start, length)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    fn random(shape: [usize; 5]) -> Tensor<5> {
        Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), &Device::flex())
    }

    fn assert_same<const D: usize>(actual: Tensor<D>, expected: Tensor<D>) {
        assert_eq!(actual.dims(), expected.dims());
        let actual: Vec<f32> = actual.into_data().try_into_vec().unwrap();
        let expected: Vec<f32> = expected.into_data().try_into_vec().unwrap();
        let off = actual.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f32::max) < 1e-4);
    }

    #[test]
    fn a_weight_in_parts_is_the_weight() {
        let (whole, x) = (random([20, 6, 3, 3, 3]), random([1, 6, 5, 4, 3]));
        let parts = [(0, 8), (8, 8), (16, 4)].map(|(start, length)| cut(&whole, 0, start, length));
        let parts = ConvWeight(Vec::from(parts));
        assert_eq!(parts.dims(), [20, 6, 3, 3, 3]);
        assert_same(parts.convolve(&x, 1), kernels::conv3d(x.clone(), &whole, None, 1));
        assert_same(parts.energy(), ConvWeight::from(whole.clone()).energy());

        // Outputs 5 to 17 lie in all three parts, 9 to 12 in one.
        let some = x.narrow(1, 2, 3);
        for (start, length, count) in [(5, 13, 3), (9, 4, 1), (16, 4, 1), (0, 20, 3)] {
            let part = parts.of_outputs(start, length).of_inputs(2, 3);
            assert_eq!((part.0.len(), part.dims()), (count, [length, 3, 3, 3, 3]));
            let weight = whole.clone().narrow(0, start, length).narrow(1, 2, 3);
            let expected = kernels::conv3d(some.clone(), &weight, None, 1);
            assert_same(part.convolve(&some, 1), expected);
        }
    }
}
