//! Principal components of two scans together, for features that are compared place by place.
//!
//! What a sequence does to a channel is first of all its mean and its deviation over the
//! scan (the style of Huang and Belongie, arXiv 1703.06868), so each scan's own are taken
//! off before the components are fitted.

use super::linalg::leading;
use super::principal::moments;
use super::readout::Readout;
use super::{DenseFeatures, FeatureError};

/// The leading `count` components (all, where the encoder has fewer channels) at every input
/// voxel of both scans. Each channel has mean 0 and variance 1 over its scan's foreground and
/// each level of the maps the same weight; the covariance is the mean of both scans'.
///
/// # Shapes
/// of each `[components, x, y, z]`, z fastest
///
/// # Errors
/// [`FeatureError::OtherEncoder`] for features of two encoders, [`FeatureError::Foreground`]
/// when fewer than four voxels of a scan are foreground.
pub(crate) fn shared_components(
    pair: [&DenseFeatures; 2],
    count: usize,
) -> Result<[Vec<f32>; 2], FeatureError> {
    let [first, second] = pair;
    if !first.same_encoder(second) {
        return Err(FeatureError::OtherEncoder);
    }
    let channels = first.channels();
    let moments = [moments(first)?, moments(second)?];
    let weights: Vec<f64> = first
        .levels
        .iter()
        .flat_map(|level| vec![1.0 / (level.channels as f64).sqrt(); level.channels])
        .collect();
    let scales = [0, 1].map(|scan| -> Vec<f64> {
        let covariance: &[f64] = &moments[scan].1;
        (0..channels)
            .map(|c| match covariance[c * channels + c].sqrt() {
                deviation if deviation > 0.0 => weights[c] / deviation,
                _ => 0.0,
            })
            .collect()
    });
    let mut pooled = vec![0.0; channels * channels];
    for ((_, covariance), scale) in moments.iter().zip(&scales) {
        for (at, sum) in pooled.iter_mut().enumerate() {
            *sum += 0.5 * covariance[at] * scale[at / channels] * scale[at % channels];
        }
    }
    let components = leading(&pooled, channels, count.min(channels));
    Ok([0, 1].map(|scan| {
        let (mean, scale) = (&moments[scan].0, &scales[scan]);
        let mut readout = Readout { weights: Vec::new(), bias: Vec::new() };
        for (_, vector) in &components {
            let row: Vec<f64> = vector.iter().zip(scale).map(|(v, s)| v * s).collect();
            let bias: f64 = row.iter().zip(mean).map(|(w, m)| -w * m).sum();
            readout.weights.extend(row.iter().map(|&w| w as f32));
            readout.bias.push(bias as f32);
        }
        pair[scan].read_out(&readout)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::readout::tests::features;

    #[test]
    fn another_contrast_of_each_channel_changes_nothing() {
        let first = features(3);
        let mut second = first.clone();
        for level in &mut second.levels {
            for row in level.values.chunks_exact_mut(level.channels) {
                for (channel, value) in row.iter_mut().enumerate() {
                    *value = (0.5 + channel as f32) * *value - 0.3 * channel as f32;
                }
            }
        }
        let Ok([a, b]) = shared_components([&first, &second], 4) else { unreachable!("alike") };
        assert_eq!(a.len(), 4 * 512);
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3));
        // Uncorrelated over the scan, the first with the largest variance.
        let product = |i: usize, j: usize| -> f32 {
            a[i * 512..][..512].iter().zip(&a[j * 512..][..512]).map(|(x, y)| x * y).sum()
        };
        assert!(product(0, 0) >= product(1, 1) && product(1, 1) >= product(3, 3));
        assert!(product(3, 3) > 0.0);
        assert!(product(0, 1).abs() < 1e-2 * product(0, 0), "{}", product(0, 1));
    }

    #[test]
    fn another_encoder_is_refused() {
        let mut other = features(3);
        other.levels.remove(0);
        let refused = shared_components([&features(3), &other], 4);
        assert_eq!(refused, Err(FeatureError::OtherEncoder));
    }
}
