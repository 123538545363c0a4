//! Principal components of the features as colours: places that look alike to the
//! encoder get the same colour.

use super::linalg::leading;
use super::readout::{Readout, Sampler};
use super::{DenseFeatures, FeatureError};
use crate::volume::{Affine, offset, percentile};

/// Voxels from which the components are computed.
const SAMPLES: usize = 4096;

/// Percentiles of a component that become black and full brightness.
const RANGE: (f64, f64) = (2.0, 98.0);

/// The first three principal components over the foreground.
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    /// Red, green, blue (first, second, third component) and 255, four bytes a voxel,
    /// x fastest; all zero in the background.
    pub rgba: Vec<u8>,
    /// Voxels along x, y, z.
    pub dims: [usize; 3],
    /// World (RAS+, mm) from voxel indices.
    pub affine: Affine,
    /// Share of the features' variance in each component, 0 to 1.
    pub explained: [f64; 3],
}

/// Computes them on the network's grid. Each level counts the same: its channels are
/// divided by the root of their summed variance. The sign of a component is that of
/// its largest weight, so equal scans give equal colours.
///
/// # Errors
/// [`FeatureError::Foreground`] when fewer than four voxels are foreground.
pub fn principal_components(features: &DenseFeatures) -> Result<Principal, FeatureError> {
    let channels = features.channels();
    let (mean, covariance) = moments(features)?;
    let scale = level_scales(features, &covariance);
    let scaled: Vec<f64> = (0..channels * channels)
        .map(|at| covariance[at] * scale[at / channels] * scale[at % channels])
        .collect();
    let total: f64 = (0..channels).map(|c| scaled[c * channels + c]).sum();
    let components = leading(&scaled, channels, 3);
    let mut readout = Readout { weights: Vec::new(), bias: Vec::new() };
    let mut explained = [0.0; 3];
    for (output, (value, vector)) in components.iter().enumerate() {
        explained[output] = if total > 0.0 { value / total } else { 0.0 };
        let weights: Vec<f64> = vector.iter().zip(&scale).map(|(v, s)| v * s).collect();
        let bias: f64 = weights.iter().zip(&mean).map(|(w, m)| -w * m).sum();
        readout.weights.extend(weights.iter().map(|&w| w as f32));
        readout.bias.push(bias as f32);
    }
    let values = features.read_out(&readout);
    Ok(Principal {
        rgba: colours(features, &values),
        dims: features.dims,
        affine: features.affine,
        explained,
    })
}

/// Mean and covariance of the stacked feature over the foreground, from at most [`SAMPLES`]
/// of its voxels.
///
/// # Errors
/// [`FeatureError::Foreground`] when fewer than four voxels are foreground.
pub(super) fn moments(features: &DenseFeatures) -> Result<(Vec<f64>, Vec<f64>), FeatureError> {
    let inside: Vec<usize> =
        (0..features.foreground.len()).filter(|&at| features.foreground[at]).collect();
    if inside.len() < 4 {
        return Err(FeatureError::Foreground(inside.len()));
    }
    let channels = features.channels();
    let sampler = Sampler::new(features);
    let count = inside.len().min(SAMPLES);
    let mut rows = vec![0.0_f32; count * channels];
    for (at, row) in rows.chunks_exact_mut(channels).enumerate() {
        sampler.read(features.voxel(inside[at * inside.len() / count]), row);
    }
    Ok(covariance(&rows, channels))
}

/// Mean and covariance of rows.
fn covariance(rows: &[f32], channels: usize) -> (Vec<f64>, Vec<f64>) {
    let count = (rows.len() / channels) as f64;
    let mut mean = vec![0.0; channels];
    for row in rows.chunks_exact(channels) {
        mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v) / count);
    }
    let mut covariance = vec![0.0; channels * channels];
    let mut centred = vec![0.0; channels];
    for row in rows.chunks_exact(channels) {
        for ((c, &v), m) in centred.iter_mut().zip(row).zip(&mean) {
            *c = f64::from(v) - m;
        }
        for (a, sums) in centred.iter().zip(covariance.chunks_exact_mut(channels)) {
            sums.iter_mut().zip(&centred).for_each(|(sum, b)| *sum += a * b / count);
        }
    }
    (mean, covariance)
}

/// For each channel, one over the root of its level's summed variance.
fn level_scales(features: &DenseFeatures, covariance: &[f64]) -> Vec<f64> {
    let channels = features.channels();
    let mut scale = Vec::with_capacity(channels);
    for level in &features.levels {
        let first = scale.len();
        let variance: f64 =
            (first..first + level.channels).map(|c| covariance[c * channels + c]).sum();
        let factor = if variance > 0.0 { 1.0 / variance.sqrt() } else { 0.0 };
        scale.resize(first + level.channels, factor);
    }
    scale
}

fn colours(features: &DenseFeatures, values: &[f32]) -> Vec<u8> {
    let voxels = features.foreground.len();
    let mut rgba = vec![0_u8; 4 * voxels];
    for (output, plane) in values.chunks_exact(voxels).enumerate() {
        let inside = plane.iter().zip(&features.foreground).filter(|(_, inside)| **inside);
        let mut inside: Vec<f32> = inside.map(|(&value, _)| value).collect();
        let low = percentile(&mut inside, RANGE.0);
        let range = percentile(&mut inside, RANGE.1) - low;
        for (index, (&value, &inside)) in plane.iter().zip(&features.foreground).enumerate() {
            if inside && range > 0.0 {
                let at = 4 * offset(features.dims, features.voxel(index));
                rgba[at + output] = (255.0 * (value - low) / range).round().clamp(0.0, 255.0) as u8;
                rgba[at + 3] = 255;
            }
        }
    }
    rgba
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::readout::tests::features;

    #[test]
    fn components_are_in_order_and_the_same_each_time() {
        let features = features(3);
        let Ok(first) = principal_components(&features) else { unreachable!("foreground") };
        let [a, b, c] = first.explained;
        assert!(a >= b && b >= c && c > 0.0 && a + b + c <= 1.0 + 1e-9);
        assert_eq!(principal_components(&features), Ok(first.clone()));
        assert!(first.rgba.chunks_exact(4).all(|voxel| voxel[3] == 255));
    }

    #[test]
    fn without_foreground_there_are_none() {
        let mut features = features(3);
        features.foreground = vec![false; 512];
        assert_eq!(principal_components(&features), Err(FeatureError::Foreground(0)));
    }
}
