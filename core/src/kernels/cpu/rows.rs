//! Layer norm and GELU over rows, in place.

use pulp::Arch;

use super::for_each;
use crate::kernels::NORM_EPSILON;

/// Values a job handles, about 64 KiB.
const JOB: usize = 1 << 14;

/// Layer norm of each row of `scale.len()` values.
pub fn layer_norm(values: &mut [f32], scale: &[f32], shift: &[f32]) {
    let channels = scale.len();
    let rows = (JOB / channels).max(1);
    for_each(values.chunks_mut(rows * channels).collect(), |rows: &mut [f32]| {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for row in rows.chunks_exact_mut(channels) {
                    let mean = sum(row, |v| v) / channels as f32;
                    let variance = sum(row, |v| (v - mean) * (v - mean)) / channels as f32;
                    let gain = 1.0 / (variance + NORM_EPSILON).sqrt();
                    for ((value, &scale), &shift) in row.iter_mut().zip(scale).zip(shift) {
                        *value = (*value - mean) * gain * scale + shift;
                    }
                }
            },
        );
    });
}

/// Sum of `term` over a row, in eight lanes so that it vectorises.
#[inline(always)]
fn sum(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let chunks = row.chunks_exact(8);
    let rest: f32 = chunks.remainder().iter().map(|&v| term(v)).sum();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += term(value);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// `x * (1 + erf(x / sqrt 2)) / 2`.
pub fn gelu(values: &mut [f32]) {
    for_each(values.chunks_mut(JOB).collect(), |values: &mut [f32]| {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for value in values {
                    let x = *value;
                    *value = 0.5 * x * (1.0 + erf(x * core::f32::consts::FRAC_1_SQRT_2));
                }
            },
        );
    });
}

/// Coefficients of the error function as an odd over an even polynomial, highest power first
/// (the minimax ones of Eigen's and XNNPACK's `erf`).
pub const ERF_ODD: [f32; 7] = [
    -2.726_142_3e-10,
    2.770_681_5e-8,
    -2.101_024e-6,
    -5.692_506_4e-5,
    -7.349_906_5e-4,
    -2.954_6e-3,
    -1.609_603_3e-2,
];

/// As [`ERF_ODD`], of the even one.
pub const ERF_EVEN: [f32; 5] =
    [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];

/// Where the error function ends within single precision.
pub const ERF_END: f32 = 4.0;

/// Error function without a branch.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-ERF_END, ERF_END);
    let square = x * x;
    let odd = ERF_ODD.iter().fold(0.0, |sum, &c| sum * square + c);
    let even = ERF_EVEN.iter().fold(0.0, |sum, &c| sum * square + c);
    x * odd / even
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_agrees_with_scipy() {
        // scipy.special.erf
        for (x, expected) in [
            (0.0, 0.0),
            (0.1, 0.112_462_916),
            (0.5, 0.520_499_9),
            (1.0, 0.842_700_8),
            (1.7, 0.983_790_46),
            (2.5, 0.999_593_1),
            (3.5, 0.999_999_3),
            (9.0, 1.0),
        ] {
            for sign in [-1.0, 1.0] {
                assert!((erf(sign * x) - sign * expected).abs() < 5e-7, "{x}: {}", erf(x));
            }
        }
    }

    #[test]
    fn layer_norm_agrees_with_torch() {
        // torch.nn.functional.layer_norm(torch.tensor([[1., 2., 3., 6.], [0., 0., 4., -4.]]),
        //   (4,), torch.tensor([2., .4, 1., 1.]), torch.tensor([.1, -1., 0., 0.]))
        let mut values = [1.0, 2.0, 3.0, 6.0, 0.0, 0.0, 4.0, -4.0];
        layer_norm(&mut values, &[2.0, 0.4, 1.0, 1.0], &[0.1, -1.0, 0.0, 0.0]);
        let expected =
            [-2.038_086, -1.213_808_5, 0.0, 1.603_564, 0.1, -1.0, 1.414_212_7, -1.414_212_7];
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-5, "{values:?}");
        }
    }
}
