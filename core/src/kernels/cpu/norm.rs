//! Instance norm, residual and leaky ReLU in two passes over memory.

use pulp::Arch;

use super::for_each;
use crate::kernels::{LEAKY_SLOPE, NORM_EPSILON};

/// Values summed in single precision before they join the double-precision sum.
const RUN: usize = 1024;

/// `leaky(scale * (x - mean) / sqrt(var + eps) + shift + residual)` in place, channel
/// by channel; `values` `[channels, voxels]`.
pub fn instance_norm(
    values: &mut [f32],
    voxels: usize,
    scale: &[f32],
    shift: &[f32],
    residual: Option<&[f32]>,
    activate: bool,
) {
    let slope = if activate { LEAKY_SLOPE as f32 } else { 1.0 };
    let jobs: Vec<_> = values
        .chunks_mut(voxels)
        .enumerate()
        .map(|(at, channel)| {
            let residual = residual.map(|values| &values[at * voxels..(at + 1) * voxels]);
            (channel, scale[at % scale.len()], shift[at % shift.len()], residual)
        })
        .collect();
    for_each(jobs, |(channel, scale, shift, residual)| {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let count = channel.len() as f64;
                let mean =
                    channel.chunks(RUN).map(|run| f64::from(sum(run, |v| v))).sum::<f64>() / count;
                let centre = mean as f32;
                let squares = channel
                    .chunks(RUN)
                    .map(|run| f64::from(sum(run, |v| (v - centre) * (v - centre))))
                    .sum::<f64>();
                // The rounding of the centre is taken out again.
                let variance = squares / count - (mean - f64::from(centre)).powi(2);
                let gain = f64::from(scale) / (variance + f64::from(NORM_EPSILON)).sqrt();
                let offset = (f64::from(shift) - mean * gain) as f32;
                let gain = gain as f32;
                match residual {
                    Some(residual) => {
                        for (value, &residual) in channel.iter_mut().zip(residual) {
                            let y = *value * gain + offset + residual;
                            *value = if y < 0.0 { y * slope } else { y };
                        }
                    }
                    None => {
                        for value in channel.iter_mut() {
                            let y = *value * gain + offset;
                            *value = if y < 0.0 { y * slope } else { y };
                        }
                    }
                }
            },
        );
    });
}

/// Sum of `term` over a run, in eight lanes so that it vectorises.
#[inline(always)]
fn sum(run: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let chunks = run.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(|&v| term(v)).sum();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += term(value);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_torch() {
        // torch.nn.functional.leaky_relu(torch.nn.functional.instance_norm(
        //   torch.tensor([[[1., 2., 3., 6.], [0., 0., 4., -4.]]]),
        //   weight=torch.tensor([2., .4]), bias=torch.tensor([.1, -1.])) + 1, .01)
        let mut values = [1.0, 2.0, 3.0, 6.0, 0.0, 0.0, 4.0, -4.0];
        instance_norm(&mut values, 4, &[2.0, 0.4], &[0.1, -1.0], Some(&[1.0; 8]), true);
        let expected =
            [-0.010_380_87, 0.030_956_63, 1.1, 4.307_13, 0.0, 0.0, 0.565_685, -0.005_656_85];
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-5, "{values:?}");
        }
    }
}
