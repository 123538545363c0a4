//! Ridge regression where channels are many and examples few, in closed form through the
//! products of the examples (the dual form: Saunders, Gammerman and Vovk, Ridge Regression
//! Learning Algorithm in Dual Variables, 1998).
//!
//! Channels are standardised over the examples with their weights. With the weights'
//! square roots `r`, `d` channels that vary, and `G[i][j] = r_i r_j (z_i . z_j) / d`, the
//! coefficients are `a = (G + lambda)^-1 r (y - mean)`. The trace of `G` is 1, so `lambda`
//! means the same whatever the encoder.

use super::linalg::solve;

/// Examples, standardised.
pub(super) struct Dual {
    channels: usize,
    mean: Vec<f64>,
    /// Standard deviations; 1 for a channel that never varies, whose values are then all 0.
    deviation: Vec<f64>,
    /// How many channels vary.
    varying: f64,
    /// `[examples, channels]`.
    rows: Vec<f64>,
    /// Roots of the weights, whose sum is 1.
    roots: Vec<f64>,
    /// `[examples, examples]`.
    gram: Vec<f64>,
}

/// A linear function of standardised channels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Linear {
    /// `[targets, channels]`.
    pub(super) weight: Vec<f64>,
    /// `[targets]`.
    pub(super) bias: Vec<f64>,
    /// `[channels]`.
    pub(super) mean: Vec<f64>,
    /// `[channels]`, above zero.
    pub(super) deviation: Vec<f64>,
}

/// What one shrinkage gives.
struct Solution {
    /// Weighted means, one a target.
    bias: Vec<f64>,
    /// Coefficients `[examples, targets]`.
    coefficients: Vec<f64>,
    /// Diagonal of `(G + lambda)^-1`.
    diagonal: Vec<f64>,
}

impl Dual {
    /// Of examples of one length, their weights above zero.
    pub(super) fn new(examples: &[Vec<f32>], weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        let weights: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
        let channels = examples.first().map_or(0, Vec::len);
        let mut mean = vec![0.0; channels];
        for (example, weight) in examples.iter().zip(&weights) {
            mean.iter_mut().zip(example).for_each(|(m, &v)| *m += weight * f64::from(v));
        }
        let mut deviation = vec![0.0; channels];
        for (example, weight) in examples.iter().zip(&weights) {
            for ((sum, &v), m) in deviation.iter_mut().zip(example).zip(&mean) {
                *sum += weight * (f64::from(v) - m).powi(2);
            }
        }
        deviation.iter_mut().for_each(|value| *value = value.sqrt());
        // A channel that never varies says nothing and must not be divided by.
        let widest = deviation.iter().fold(0.0, |a: f64, &b| a.max(b));
        let varies: Vec<bool> = deviation.iter().map(|&d| d > 1e-5 * widest).collect();
        let varying = varies.iter().filter(|&&varies| varies).count().max(1) as f64;
        for (value, &varies) in deviation.iter_mut().zip(&varies) {
            *value = if varies { *value } else { 1.0 };
        }
        let mut rows = Vec::with_capacity(examples.len() * channels);
        for example in examples {
            for (channel, &value) in example.iter().enumerate() {
                let z = (f64::from(value) - mean[channel]) / deviation[channel];
                rows.push(if varies[channel] { z } else { 0.0 });
            }
        }
        let roots: Vec<f64> = weights.iter().map(|weight| weight.sqrt()).collect();
        let n = roots.len();
        let mut gram = vec![0.0; n * n];
        let row = |at: usize| &rows[at * channels..(at + 1) * channels];
        for a in 0..n {
            for b in 0..=a {
                let product: f64 = row(a).iter().zip(row(b)).map(|(x, y)| x * y).sum();
                let value = roots[a] * roots[b] * product / varying;
                gram[a * n + b] = value;
                gram[b * n + a] = value;
            }
        }
        Self { channels, mean, deviation, varying, rows, roots, gram }
    }

    /// `targets` `[examples, count]`; `None` when `lambda` is not above zero.
    fn solve(&self, targets: &[f64], count: usize, lambda: f64) -> Option<Solution> {
        let n = self.roots.len();
        let mut bias = vec![0.0; count];
        for (row, root) in targets.chunks_exact(count).zip(&self.roots) {
            bias.iter_mut().zip(row).for_each(|(sum, y)| *sum += root * root * y);
        }
        let mut matrix = self.gram.clone();
        // The unit matrix behind the targets gives the inverse's diagonal, too.
        let side = count + n;
        let mut right = vec![0.0; n * side];
        for (at, row) in targets.chunks_exact(count).enumerate() {
            matrix[at * n + at] += lambda;
            for target in 0..count {
                right[at * side + target] = self.roots[at] * (row[target] - bias[target]);
            }
            right[at * side + count + at] = 1.0;
        }
        let solution = solve(&matrix, n, &right)?;
        let rows = solution.chunks_exact(side);
        let coefficients = rows.clone().flat_map(|row| row[..count].to_vec()).collect();
        let diagonal = rows.enumerate().map(|(at, row)| row[count + at]).collect();
        Some(Solution { bias, coefficients, diagonal })
    }

    /// Weighted mean of squares of what is wrong at each example when it is left out
    /// (PRESS: Allen, Technometrics 16, 1974), with the scales of all. An example's own
    /// share of its fit is `1 - lambda (G + lambda)^-1[i][i] + r_i^2`.
    pub(super) fn press(&self, targets: &[f64], count: usize, lambda: f64) -> Option<f64> {
        let Solution { coefficients, diagonal, .. } = self.solve(targets, count, lambda)?;
        let mut sum = 0.0;
        for ((row, inverse), root) in
            coefficients.chunks_exact(count).zip(diagonal).zip(&self.roots)
        {
            let rest = (lambda * inverse - root * root).max(1e-12);
            // The residual in the fit is `lambda * row / root`; its square weighs `root^2`.
            sum += row.iter().map(|a| (lambda * a / rest).powi(2)).sum::<f64>();
        }
        Some(sum)
    }

    /// The regression.
    pub(super) fn fit(&self, targets: &[f64], count: usize, lambda: f64) -> Option<Linear> {
        let Solution { bias, coefficients, .. } = self.solve(targets, count, lambda)?;
        let mut weight = vec![0.0; count * self.channels];
        for (at, row) in self.rows.chunks_exact(self.channels.max(1)).enumerate() {
            for target in 0..count {
                let factor = self.roots[at] * coefficients[at * count + target] / self.varying;
                let sums = &mut weight[target * self.channels..(target + 1) * self.channels];
                sums.iter_mut().zip(row).for_each(|(sum, z)| *sum += factor * z);
            }
        }
        Some(Linear { weight, bias, mean: self.mean.clone(), deviation: self.deviation.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five examples of three channels, the last one constant.
    fn dual() -> Dual {
        let rows: [[f32; 3]; 5] =
            [[1.0, 2.0, 7.0], [2.0, 1.0, 7.0], [3.0, 5.0, 7.0], [4.0, 2.0, 7.0], [0.0, 1.0, 7.0]];
        Dual::new(&rows.map(|row| row.to_vec()), &[1.0, 2.0, 1.0, 0.5, 1.0])
    }

    const TARGETS: [f64; 5] = [1.0, 2.0, 2.0, 4.0, 0.0];

    #[test]
    fn the_dual_form_is_ridge_regression() {
        // numpy: X standardised with weights w / sum(w), the constant channel left out,
        // (Z'WZ + 0.1 * 2 I)^-1 Z'W(y - mean), as sklearn.linear_model.Ridge gives it.
        let found = dual().fit(&TARGETS, 1, 0.1).expect("above zero");
        let [a, b, c] = found.weight[..] else { unreachable!("three channels") };
        assert!((a - EXPECTED[0]).abs() < 1e-6 && (b - EXPECTED[1]).abs() < 1e-6, "{a} {b}");
        assert_eq!((c, found.deviation[2]), (0.0, 1.0));
        assert!((found.bias[0] - EXPECTED[2]).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn press_is_what_leaving_out_gives() {
        // numpy: the same regression solved five times without one row, an intercept that is
        // not shrunk beside it, on channels standardised once; sum(w * error ** 2) / sum(w).
        let found = dual().press(&TARGETS, 1, 0.1).expect("above zero");
        assert!((found - PRESS).abs() < 1e-6, "{found}");
    }

    const EXPECTED: [f64; 3] = [0.926_575_1, -0.193_437_04, 1.636_363_636];
    const PRESS: f64 = 0.366_867_81;
}
