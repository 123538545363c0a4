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
        joined(maps.collect(), 1)
    }

    /// Convolves without bias, stride 1, each output's weights multiplied by a number for every
    /// place along the kernel's last axis: `gains` `[outputs, k]`.
    pub fn convolve_weighed(&self, x: &Tensor<5>, gains: &Tensor<2>) -> Tensor<5> {
        let mut first = 0;
        let maps = self.0.iter().map(|part| {
            let [outputs, _, _, _, taps] = part.dims();
            let gains = gains.clone().narrow(0, first, outputs);
            first += outputs;
            let weighed = part.clone() * gains.reshape([outputs, 1, 1, 1, taps]);
            kernels::conv3d(x.clone(), &weighed, None, 1)
        });
        joined(maps.collect(), 1)
    }

    /// Sum of squares over the taps: `[outputs, inputs]`.
    pub fn energy(&self) -> Tensor<2> {
        let [outputs, inputs, ..] = self.dims();
        self.energy_by_last_tap().sum_dim(2).reshape([outputs, inputs])
    }

    /// Sum of squares over the taps of the kernel's first two axes: `[outputs, inputs, k]`.
    pub fn energy_by_last_tap(&self) -> Tensor<3> {
        let sums = self.0.iter().map(|part| {
            let [outputs, inputs, x, y, z] = part.dims();
            let taps = part.clone().powi_scalar(2).reshape([outputs, inputs, x * y, z]);
            taps.sum_dim(2).reshape([outputs, inputs, z])
        });
        joined(sums.collect(), 0)
    }
}

/// Tensors one after the other along an axis.
fn joined<const D: usize>(mut parts: Vec<Tensor<D>>, axis: usize) -> Tensor<D> {
    if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, axis) }
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
    use burn::tensor::{Distribution, TensorData};

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
        let one = ConvWeight::from(whole.clone());
        assert_same(parts.energy_by_last_tap(), one.energy_by_last_tap());
        let gains = random([20, 1, 1, 1, 3]);
        let weighed = kernels::conv3d(x.clone(), &(whole.clone() * gains.clone()), None, 1);
        assert_same(parts.convolve_weighed(&x, &gains.reshape([20, 3])), weighed);

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

    #[test]
    fn energy_is_summed_over_the_first_two_axes_and_kept_along_the_last() {
        // Along the last axis the taps of one input are 1, 0, 0, of the other 0, 2, 0; there are
        // nine of each.
        let taps = |at: usize, value: f32| {
            let tap = move |i: usize| if i % 3 == at { value } else { 0.0 };
            (0..27).map(tap).collect::<Vec<f32>>()
        };
        let values = [taps(0, 1.0), taps(1, 2.0)].concat();
        let data = TensorData::new(values, [1, 2, 3, 3, 3]);
        let weight = ConvWeight::from(Tensor::<5>::from_data(data, &Device::flex()));
        let by_tap: Vec<f32> = weight.energy_by_last_tap().into_data().try_into_vec().unwrap();
        assert_eq!(by_tap, [9.0, 0.0, 0.0, 0.0, 36.0, 0.0]);
        let energy: Vec<f32> = weight.energy().into_data().try_into_vec().unwrap();
        assert_eq!(energy, [9.0, 36.0]);
    }
}
