//! Where it looks like here: cosine similarity of one place's features with all places.
//!
//! Each level of the maps is compared on its own, at its own resolution (the angle
//! between two features, whatever their lengths), then upsampled, and the levels are
//! averaged: fine ones tell tissue and edges, coarse ones which part of the head. The
//! choice of levels was made by measurement: training/results/similarity.json.

use super::readout::{Sampler, dot};
use super::{DenseFeatures, FeatureError};
use crate::volume::Volume;

/// Smallest length of a feature that has a direction.
const SHORTEST: f32 = 1e-6;

/// The features of one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// For each level its map, stride and the unit vector.
    levels: Vec<(usize, usize, Vec<f32>)>,
}

/// How much every place looks like the query.
#[derive(Clone, Debug, PartialEq)]
pub struct Similarity {
    /// Mean cosine over the levels, -1 to 1, on the network's grid; -1 in the background.
    pub map: Volume,
    /// World point (mm) of the most similar foreground voxel.
    pub best_mm: [f64; 3],
    /// Its similarity.
    pub score: f32,
}

/// The features at the voxel nearest to a world point (mm).
///
/// # Errors
/// [`FeatureError::Outside`] when the point is not on the network's grid.
pub fn query(features: &DenseFeatures, point_mm: [f64; 3]) -> Result<Query, FeatureError> {
    let voxel = features.nearest(point_mm).ok_or(FeatureError::Outside(point_mm))?;
    let mut feature = vec![0.0; features.channels()];
    Sampler::new(features).read(voxel, &mut feature);
    let mut rest = feature.as_slice();
    let levels = features.levels.iter().map(|level| {
        let (part, behind) = rest.split_at(level.channels);
        rest = behind;
        let length = dot(part, part).sqrt().max(SHORTEST);
        (level.map, level.stride, part.iter().map(|v| v / length).collect())
    });
    Ok(Query { levels: levels.collect() })
}

/// Compares every place of a scan with the query.
///
/// # Errors
/// [`FeatureError::OtherEncoder`] when the query comes from another encoder,
/// [`FeatureError::Foreground`] when the scan is empty.
pub fn similarity(query: &Query, scan: &DenseFeatures) -> Result<Similarity, FeatureError> {
    let same = query.levels.len() == scan.levels.len()
        && query.levels.iter().zip(&scan.levels).all(|((map, stride, feature), level)| {
            (*map, *stride, feature.len()) == (level.map, level.stride, level.channels)
        });
    if !same {
        return Err(FeatureError::OtherEncoder);
    }
    let share = 1.0 / query.levels.len() as f32;
    let planes = query.levels.iter().zip(&scan.levels).map(|((_, _, wanted), level)| {
        let cosine = |feature: &[f32]| {
            share * dot(wanted, feature) / dot(feature, feature).sqrt().max(SHORTEST)
        };
        level.values.chunks_exact(level.channels).map(cosine).collect()
    });
    let mut values = scan.assemble(planes.collect());
    for (value, _) in values.iter_mut().zip(&scan.foreground).filter(|(_, inside)| !**inside) {
        *value = -1.0;
    }
    let inside = values.iter().zip(&scan.foreground).enumerate().filter(|(_, (_, fg))| **fg);
    let (at, (&score, _)) = inside
        .max_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b))
        .ok_or(FeatureError::Foreground(0))?;
    let best_mm = scan.affine.apply(scan.voxel(at).map(|v| v as f64));
    Ok(Similarity { map: scan.volume(&values), best_mm, score })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::readout::tests::features;

    /// Levels in which every voxel has a channel of its own.
    fn one_hot() -> DenseFeatures {
        let mut features = features(5);
        for level in &mut features.levels {
            let voxels: usize = level.dims.iter().product();
            level.channels = voxels;
            level.values = vec![0.0; voxels * voxels];
            (0..voxels).for_each(|voxel| level.values[voxel * (voxels + 1)] = 1.0);
        }
        features
    }

    #[test]
    fn a_place_looks_most_like_itself() {
        let features = one_hot();
        // Voxel (3, 4, 2) of a grid of 2 mm.
        let point = [6.0, 8.0, 4.0];
        let Ok(found) = query(&features, point).and_then(|query| similarity(&query, &features))
        else {
            unreachable!("inside")
        };
        assert_eq!(found.best_mm, point);
        // torch: eye(n ** 3) as maps for strides 2 and 4, upsampled by two as often as
        // needed with interpolate(mode="trilinear"); their normalised values at the
        // voxel times the maps, upsampled alike, mean of the two: largest value.
        assert!((found.score - 0.4685).abs() < 1e-4, "{}", found.score);
    }

    #[test]
    fn points_outside_and_other_encoders_are_refused() {
        let features = features(5);
        let far = [100.0, 0.0, 0.0];
        assert_eq!(query(&features, far), Err(FeatureError::Outside(far)));
        let mut other = features.clone();
        other.levels.remove(0);
        let Ok(query) = query(&features, [0.0; 3]) else { unreachable!("inside") };
        assert_eq!(similarity(&query, &other), Err(FeatureError::OtherEncoder));
    }
}
