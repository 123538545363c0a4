//! Ridge regression in closed form on standardised features.
//!
//! With indicators of the classes as targets this is the least-squares classifier,
//! for two classes Fisher's linear discriminant (Hastie, Tibshirani and Friedman, The
//! Elements of Statistical Learning, 4.2 and 4.3); lambda shrinks the covariance
//! towards the unit matrix. Only second moments enter, so those of each group are made
//! once and added in any combination.

use burn::tensor::{Device, Tensor, TensorData};

use super::FeatureError;
use super::linalg::solve;
use super::readout::Readout;
use super::samples::Samples;
use crate::pipeline::read;

/// Rows multiplied at a time, so that single-precision sums stay short.
const CHUNK: usize = 2048;

/// Shrinkage values that cross-validation chooses from.
pub(super) const LAMBDAS: [f64; 4] = [1e-3, 1e-2, 1e-1, 1.0];

/// Sums of weighted products of (features, targets, 1).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moments {
    channels: usize,
    targets: usize,
    /// Symmetric, side `channels + targets + 1`.
    sums: Vec<f64>,
}

impl Moments {
    /// None yet.
    pub(super) fn zero(channels: usize, targets: usize) -> Self {
        let side = channels + targets + 1;
        Self { channels, targets, sums: vec![0.0; side * side] }
    }

    /// Of rows with their targets and weights. Products are taken of what features differ from
    /// their mean: in single precision a channel that hardly varies would drown in its mean.
    ///
    /// # Shapes
    /// `rows` `[n, channels]`, `targets` `[n, count]`, `weights` `[n]`
    pub(super) async fn of(
        rows: &[f32],
        channels: usize,
        targets: &[f32],
        count: usize,
        weights: &[f64],
    ) -> Result<Self, FeatureError> {
        let mut moments = Self::zero(channels, count);
        let side = channels + count + 1;
        let device = Device::flex();
        let centre = means(rows, channels);
        let chunks = rows.chunks(CHUNK * channels).zip(targets.chunks((CHUNK * count).max(1)));
        for ((rows, targets), weights) in chunks.zip(weights.chunks(CHUNK)) {
            let n = weights.len();
            let mut joined = Vec::with_capacity(n * side);
            for (at, weight) in weights.iter().enumerate() {
                // The root, since each row is multiplied with itself.
                let root = weight.sqrt() as f32;
                let feature = &rows[at * channels..(at + 1) * channels];
                let target = &targets[at * count..(at + 1) * count];
                joined.extend(feature.iter().zip(&centre).map(|(value, c)| (value - c) * root));
                joined.extend(target.iter().map(|value| value * root));
                joined.push(root);
            }
            let joined = Tensor::<2>::from_data(TensorData::new(joined, [n, side]), &device);
            let product = read(joined.clone().transpose().matmul(joined)).await?;
            moments.sums.iter_mut().zip(product).for_each(|(sum, v)| *sum += f64::from(v));
        }
        moments.move_by(&centre);
        Ok(moments)
    }

    /// The moments of features that are larger by `centre`.
    fn move_by(&mut self, centre: &[f32]) {
        let side = self.channels + self.targets + 1;
        let by = |at: usize| centre.get(at).map_or(0.0, |&value| f64::from(value));
        let first: Vec<f64> = (0..side).map(|row| self.sums[row * side + side - 1]).collect();
        for (at, sum) in self.sums.iter_mut().enumerate() {
            let (row, column) = (at / side, at % side);
            *sum += by(row) * first[column] + first[row] * by(column);
            *sum += by(row) * by(column) * first[side - 1];
        }
    }

    /// Of voxels with one class each, as indicators of `classes` classes. Every class
    /// weighs its voxels to the power `1 - balance` (0: as frequent as it is, 1: all
    /// alike); `totals` are the voxels of each class over all samples.
    pub(super) async fn of_classes(
        samples: &Samples,
        channels: usize,
        classes: usize,
        totals: &[f64],
        balance: f64,
    ) -> Result<Self, FeatureError> {
        let mut targets = vec![0.0; samples.classes.len() * classes];
        let mut weights = Vec::with_capacity(samples.weights.len());
        for (at, (&class, weight)) in samples.classes.iter().zip(&samples.weights).enumerate() {
            targets[at * classes + usize::from(class)] = 1.0;
            weights.push(weight * totals[usize::from(class)].max(1.0).powf(-balance));
        }
        Self::of(&samples.rows, channels, &targets, classes, &weights).await
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.sums.iter_mut().zip(&other.sums).for_each(|(a, b)| *a += b);
    }

    /// The regression: weights and bias on features as they are.
    ///
    /// # Errors
    /// [`FeatureError::Singular`] when there is nothing to fit.
    pub(super) fn ridge(&self, lambda: f64) -> Result<Readout, FeatureError> {
        let (channels, targets) = (self.channels, self.targets);
        let side = channels + targets + 1;
        let at = |row: usize, column: usize| self.sums[row * side + column];
        let total = at(side - 1, side - 1);
        if total <= 0.0 {
            return Err(FeatureError::Singular("no example has any weight"));
        }
        let mean: Vec<f64> = (0..side).map(|row| at(row, side - 1) / total).collect();
        let covariance =
            |row: usize, column: usize| at(row, column) / total - mean[row] * mean[column];
        let deviation: Vec<f64> =
            (0..channels).map(|row| covariance(row, row).max(0.0).sqrt()).collect();
        // A channel that never varies says nothing and must not be divided by.
        let widest = deviation.iter().fold(0.0, |a: f64, &b| a.max(b));
        let scale: Vec<f64> =
            deviation.iter().map(|&d| if d > 1e-5 * widest { 1.0 / d } else { 0.0 }).collect();
        let mut matrix = vec![0.0; channels * channels];
        let mut right = vec![0.0; channels * targets];
        for row in 0..channels {
            for column in 0..channels {
                matrix[row * channels + column] =
                    covariance(row, column) * scale[row] * scale[column];
            }
            matrix[row * channels + row] += lambda;
            for target in 0..targets {
                right[row * targets + target] = covariance(row, channels + target) * scale[row];
            }
        }
        let solution = solve(&matrix, channels, &right)
            .ok_or(FeatureError::Singular("their features all coincide"))?;
        let mut readout = Readout { weights: Vec::new(), bias: Vec::new() };
        for target in 0..targets {
            let weights: Vec<f64> =
                (0..channels).map(|row| solution[row * targets + target] * scale[row]).collect();
            let shift: f64 = weights.iter().zip(&mean).map(|(w, m)| w * m).sum();
            readout.weights.extend(weights.iter().map(|&w| w as f32));
            readout.bias.push((mean[channels + target] - shift) as f32);
        }
        Ok(readout)
    }
}

/// Mean of each channel of rows.
fn means(rows: &[f32], channels: usize) -> Vec<f32> {
    let mut sums = vec![0.0; channels];
    for row in rows.chunks_exact(channels) {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let count = (rows.len() / channels.max(1)).max(1) as f64;
    sums.iter().map(|sum| (sum / count) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_far_from_zero_counts_as_one_around_it() {
        // Multiples of a power of two, so that the offset rounds nothing.
        let near = [1.0, 2.0, 2.0, 1.0, 3.0, 5.0, 4.0, 2.0, 0.0, 1.0].map(|v: f32| v / 1024.0);
        let far = near.map(|value| value + 64.0);
        let fit = |rows: &[f32]| {
            let moments = Moments::of(rows, 2, &[1.0, 2.0, 2.0, 4.0, 0.0], 1, &[1.0; 5]);
            pollster::block_on(moments).and_then(|moments| moments.ridge(1e-3))
        };
        let (Ok(near), Ok(far)) = (fit(&near), fit(&far)) else {
            unreachable!("positive definite")
        };
        for (a, b) in near.weights.iter().zip(&far.weights) {
            assert!((a - b).abs() < 1e-3 * a.abs(), "{near:?} {far:?}");
        }
    }

    #[test]
    fn weights_are_those_of_scikit_learn() {
        // numpy: X standardised with weights w, (X'WX / sum(w) + 0.1 I)^-1 X'W(y - mean);
        // the same as sklearn.linear_model.Ridge(alpha=0.1 * w.sum()) on standardised X.
        let rows = [1.0, 2.0, 2.0, 1.0, 3.0, 5.0, 4.0, 2.0, 0.0, 1.0];
        let targets = [1.0, 2.0, 2.0, 4.0, 0.0];
        let weights = [1.0, 2.0, 1.0, 0.5, 1.0];
        let moments = pollster::block_on(Moments::of(&rows, 2, &targets, 1, &weights));
        let Ok(found) = moments.and_then(|moments| moments.ridge(0.1)) else {
            unreachable!("positive definite")
        };
        for (value, expected) in found.weights.iter().chain(&found.bias).zip(EXPECTED) {
            assert!((value - expected).abs() < 1e-5, "{found:?}");
        }
    }

    const EXPECTED: [f32; 3] = [0.876638, -0.1805447, 0.4035657];
}
