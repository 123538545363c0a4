//! How far two segmentations of the same scan agree.

use std::collections::BTreeMap;

use prism_core::volume::Volume;

/// Structures smaller than this in both segmentations are too small for a stable coefficient, in voxels.
const SMALLEST: usize = 30;

/// Dice coefficients (Dice 1945): twice the shared voxels over the sum of both.
#[derive(Debug)]
pub struct Agreement {
    /// Over all structures at once: shared voxels of equal label.
    pub overall: f64,
    /// Mean over the structures that are large enough.
    pub mean: f64,
    /// The structure that agrees least, and its coefficient.
    pub worst: Option<(i32, f64)>,
    /// How many structures were compared.
    pub structures: usize,
}

/// Compares two label volumes voxel by voxel; 0 is background.
///
/// # Panics
/// When the grids differ: labels come back on the scan's own grid, so they must not.
pub fn agreement(left: &Volume, right: &Volume) -> Agreement {
    assert_eq!(left.dims, right.dims, "the grids differ");
    for (row_left, row_right) in left.affine.0.iter().zip(&right.affine.0) {
        for (a, b) in row_left.iter().zip(row_right) {
            assert!(
                (a - b).abs() < 1e-3,
                "the affines differ: {:?} {:?}",
                left.affine,
                right.affine
            );
        }
    }
    // label -> (left, right, shared)
    let mut counts: BTreeMap<i32, [usize; 3]> = BTreeMap::new();
    for (a, b) in left.data.iter().zip(&right.data) {
        let (a, b) = (a.round() as i32, b.round() as i32);
        counts.entry(a).or_default()[0] += 1;
        counts.entry(b).or_default()[1] += 1;
        if a == b {
            counts.entry(a).or_default()[2] += 1;
        }
    }
    counts.remove(&0);
    let dice = |[left, right, shared]: [usize; 3]| 2.0 * shared as f64 / (left + right) as f64;
    let total = counts.values().fold([0; 3], |sum, count| [0, 1, 2].map(|n| sum[n] + count[n]));
    let compared: Vec<(i32, f64)> = counts
        .iter()
        .filter(|(_, count)| count[0].max(count[1]) >= SMALLEST)
        .map(|(label, count)| (*label, dice(*count)))
        .collect();
    Agreement {
        overall: dice(total),
        mean: compared.iter().map(|(_, dice)| dice).sum::<f64>() / compared.len() as f64,
        worst: compared.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)),
        structures: compared.len(),
    }
}

#[cfg(test)]
mod tests {
    use prism_core::volume::Affine;

    use super::*;

    fn volume(data: Vec<f32>) -> Volume {
        let dims = [data.len(), 1, 1];
        Volume::new(data, dims, Affine::from_spacing([1.0; 3])).unwrap()
    }

    #[test]
    fn half_of_one_structure_shared_is_a_dice_of_one_half() {
        let left = volume([vec![4.0; 40], vec![4.0; 40], vec![0.0; 40]].concat());
        let right = volume([vec![0.0; 40], vec![4.0; 40], vec![4.0; 40]].concat());
        let found = agreement(&left, &right);
        assert_eq!((found.overall, found.mean, found.worst), (0.5, 0.5, Some((4, 0.5))));
        assert_eq!(agreement(&left, &left).overall, 1.0);
    }
}
