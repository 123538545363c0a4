//! Features at labelled voxels: drawn by strata from whole label maps, or all that a
//! brush touched, blob by blob.

use super::readout::Sampler;
use super::{DenseFeatures, FeatureError};
use crate::volume::pieces::pieces;
use crate::volume::{LabelMap, offset};

/// Most voxels drawn from each class of a scan.
const PER_CLASS: usize = 5000;

/// Most voxels drawn from each kind of background.
const OF_BACKGROUND: usize = 10_000;

/// Background up to this many network voxels from a class counts as near: it is where
/// the border is decided, so as much is drawn from it as from all the rest.
const NEAR: usize = 4;

/// Rows of features with what they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Samples {
    /// `[rows, channels]`.
    pub(super) rows: Vec<f32>,
    /// Class of each row.
    pub(super) classes: Vec<u8>,
    /// Voxels that each row stands for.
    pub(super) weights: Vec<f64>,
}

/// Class of each network voxel (z fastest) by the nearest voxel of a label map; 0 outside.
pub(super) fn classes_on_grid(
    features: &DenseFeatures,
    labels: &LabelMap,
) -> Result<Vec<u8>, FeatureError> {
    let from_world = labels.affine.inverse()?;
    let [nx, ny, nz] = labels.dims;
    let class = |index: usize| {
        let point = features.affine.apply(features.voxel(index).map(|v| v as f64));
        let [x, y, z] = from_world.apply(point).map(f64::round);
        let inside = x >= 0.0 && y >= 0.0 && z >= 0.0;
        let [x, y, z] = [x as usize, y as usize, z as usize];
        if inside && x < nx && y < ny && z < nz {
            labels.data[offset(labels.dims, [x, y, z])]
        } else {
            0
        }
    };
    Ok((0..features.foreground.len()).map(class).collect())
}

/// Draws from a scan whose every voxel is labelled: `grid` as [`classes_on_grid`] gives it.
pub(super) fn from_scan(features: &DenseFeatures, grid: &[u8], classes: usize) -> Samples {
    let near = dilated(grid, features.dims, NEAR);
    let mut strata: Vec<Vec<usize>> = vec![Vec::new(); classes + 1];
    for (index, &class) in grid.iter().enumerate() {
        // The last stratum is the background far from every class.
        let stratum = if class == 0 && !near[index] { classes } else { usize::from(class) };
        if let Some(stratum) = strata.get_mut(stratum) {
            stratum.push(index);
        }
    }
    let mut samples = Samples::default();
    let sampler = Sampler::new(features);
    for (stratum, places) in strata.iter().enumerate() {
        let background = stratum == 0 || stratum == classes;
        let count = places.len().min(if background { OF_BACKGROUND } else { PER_CLASS });
        let class = if stratum == classes { 0 } else { stratum as u8 };
        for at in 0..count {
            let index = places[at * places.len() / count];
            samples.push(&sampler, features, index, class, places.len() as f64 / count as f64);
        }
    }
    samples
}

/// The blobs of a painted map, in which 0 is not painted and value v means class v - 1:
/// pieces of one class that touch each other, as one set of samples each.
pub(super) fn from_paint(
    features: &DenseFeatures,
    painted: &LabelMap,
) -> Result<Vec<(u8, Samples)>, FeatureError> {
    let (piece_of, values) = pieces(&painted.data, painted.dims);
    let mut places: Vec<Vec<usize>> = vec![Vec::new(); values.len()];
    let [nx, ny, _] = painted.dims;
    for (at, &piece) in piece_of.iter().enumerate() {
        if painted.data[at] == 0 {
            continue;
        }
        let voxel = [at % nx, at / nx % ny, at / (nx * ny)].map(|v| v as f64);
        if let Some(voxel) = features.nearest(painted.affine.apply(voxel)) {
            places[piece as usize].push(features.index(voxel));
        }
    }
    let sampler = Sampler::new(features);
    let mut blobs = Vec::new();
    for (value, mut places) in values.into_iter().zip(places) {
        // Several painted voxels may fall into one voxel of the network.
        places.sort_unstable();
        places.dedup();
        if value == 0 || places.is_empty() {
            continue;
        }
        let count = places.len().min(PER_CLASS);
        let mut samples = Samples::default();
        for at in 0..count {
            samples.push(&sampler, features, places[at * places.len() / count], value - 1, 1.0);
        }
        blobs.push((value - 1, samples));
    }
    Ok(blobs)
}

impl Samples {
    /// Length of a row; `None` without rows.
    pub(super) fn channels(&self) -> Option<usize> {
        self.rows.len().checked_div(self.classes.len())
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.classes.extend(other.classes);
        self.weights.extend(other.weights);
    }

    fn push(
        &mut self,
        sampler: &Sampler,
        features: &DenseFeatures,
        index: usize,
        class: u8,
        weight: f64,
    ) {
        let start = self.rows.len();
        self.rows.resize(start + features.channels(), 0.0);
        sampler.read(features.voxel(index), &mut self.rows[start..]);
        self.classes.push(class);
        self.weights.push(weight);
    }
}

/// Voxels within `reach` of a non-zero one along each axis (a cube).
fn dilated(grid: &[u8], dims: [usize; 3], reach: usize) -> Vec<bool> {
    let mut mask: Vec<bool> = grid.iter().map(|&class| class != 0).collect();
    let strides = [dims[1] * dims[2], dims[2], 1];
    for (axis, stride) in strides.into_iter().enumerate() {
        let before = mask.clone();
        for (index, _) in before.iter().enumerate().filter(|(_, inside)| **inside) {
            let place = index / stride % dims[axis];
            let first = place.saturating_sub(reach);
            for other in first..=(place + reach).min(dims[axis] - 1) {
                mask[index - place * stride + other * stride] = true;
            }
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::readout::tests::features;
    use crate::volume::Affine;

    fn painted(places: &[([usize; 3], u8)]) -> LabelMap {
        let mut data = vec![0; 16 * 16 * 16];
        places.iter().for_each(|&(place, value)| data[offset([16; 3], place)] = value);
        // 1 mm voxels: two along each axis fall into one of the network's of 2 mm.
        LabelMap { data, dims: [16; 3], affine: Affine::from_spacing([1.0; 3]) }
    }

    #[test]
    fn touching_strokes_are_one_blob_and_voxels_count_once() {
        let features = features(2);
        let map = painted(&[([4, 4, 4], 2), ([4, 4, 5], 2), ([12, 4, 4], 2), ([4, 12, 4], 1)]);
        let Ok(blobs) = from_paint(&features, &map) else { unreachable!("on the grid") };
        let mut classes: Vec<(u8, usize)> =
            blobs.iter().map(|(class, samples)| (*class, samples.classes.len())).collect();
        classes.sort_unstable();
        // z 4 and 5 lie 2 and 2.5 network voxels along, which rounds to 2 and 3.
        assert_eq!(classes, [(0, 1), (1, 1), (1, 2)]);
    }

    #[test]
    fn weights_stand_for_all_voxels() {
        let features = features(2);
        let map = painted(&[([8, 8, 8], 1), ([9, 9, 9], 1)]);
        let Ok(grid) = classes_on_grid(&features, &map) else { unreachable!("spans space") };
        let samples = from_scan(&features, &grid, 2);
        assert!((samples.weights.iter().sum::<f64>() - 512.0).abs() < 1e-9);
        assert_eq!(samples.classes.iter().filter(|&&class| class == 1).count(), 1);
    }
}
