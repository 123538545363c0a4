//! The brush: which voxels a touch covers, and strokes that can be taken back.
//!
//! The brush is a disc in its plane, one slice thick, so what is painted is what is
//! seen. No browser in it.

use prism_core::volume::{Affine, offset};

/// What a stroke changed: voxel and the value it had before.
pub type Stroke = Vec<(u32, u8)>;

/// Strokes that can be taken back.
pub const MOST_STROKES: usize = 100;

/// Numbers of the voxels within `radius_mm` of a world point, on its slice across the
/// voxel axis that is nearest to world axis `through` (0 right, 1 front, 2 head).
/// The nearest voxel is always among them, if it is inside.
pub fn disc(
    dims: [usize; 3],
    affine: &Affine,
    through: usize,
    centre_mm: [f64; 3],
    radius_mm: f64,
) -> Vec<u32> {
    let Ok(from_world) = affine.inverse() else { return Vec::new() };
    let centre = from_world.apply(centre_mm);
    let spacing = affine.spacing_mm();
    let axes = affine.closest_axes();
    let nearest = centre.map(f64::round);
    let ranges = [0, 1, 2].map(|axis| {
        let reach = if axes[axis].0 == through { 0.0 } else { radius_mm / spacing[axis] };
        let last = dims[axis] as f64 - 1.0;
        let (low, high) = if reach > 0.0 {
            ((centre[axis] - reach).ceil(), (centre[axis] + reach).floor())
        } else {
            (nearest[axis], nearest[axis])
        };
        (low.min(nearest[axis]).max(0.0), high.max(nearest[axis]).min(last))
    });
    if ranges.iter().any(|(low, high)| low > high) {
        return Vec::new();
    }
    let [xs, ys, zs] = ranges.map(|(low, high)| low as usize..=high as usize);
    let mut voxels = Vec::new();
    for z in zs {
        for y in ys.clone() {
            for x in xs.clone() {
                let voxel = [x, y, z];
                let square: f64 = (0..3)
                    .filter(|&axis| axes[axis].0 != through)
                    .map(|axis| ((voxel[axis] as f64 - centre[axis]) * spacing[axis]).powi(2))
                    .sum();
                let is_nearest = voxel.map(|v| v as f64) == nearest;
                if square <= radius_mm * radius_mm || is_nearest {
                    voxels.push(offset(dims, voxel) as u32);
                }
            }
        }
    }
    voxels
}

/// Points from `from` to `to`, close enough that discs of this radius leave no gap;
/// `from` is not among them.
pub fn along(from: [f64; 3], to: [f64; 3], radius_mm: f64) -> Vec<[f64; 3]> {
    let way = (0..3).map(|axis| (to[axis] - from[axis]).powi(2)).sum::<f64>().sqrt();
    let steps = (way / (radius_mm / 2.0).max(0.25)).ceil().clamp(1.0, 2000.0) as usize;
    (1..=steps)
        .map(|step| {
            let part = step as f64 / steps as f64;
            [0, 1, 2].map(|axis| from[axis] + part * (to[axis] - from[axis]))
        })
        .collect()
}

/// Smallest box of these voxels, `[first, end)` along x, y, z.
pub fn bounds(dims: [usize; 3], voxels: impl Iterator<Item = u32>) -> Option<[[usize; 2]; 3]> {
    let mut result: Option<[[usize; 2]; 3]> = None;
    for voxel in voxels {
        let at = voxel as usize;
        let place = [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])];
        let held = result.unwrap_or(place.map(|v| [v, v + 1]));
        result = Some(
            [0, 1, 2]
                .map(|axis| [held[axis][0].min(place[axis]), held[axis][1].max(place[axis] + 1)]),
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: [usize; 3] = [20, 20, 10];

    fn places(voxels: &[u32]) -> Vec<[usize; 3]> {
        voxels.iter().map(|&v| v as usize).map(|v| [v % 20, v / 20 % 20, v / 400]).collect()
    }

    #[test]
    fn a_disc_is_round_in_millimetres_and_one_slice_thick() {
        let affine = Affine::from_spacing([1.0, 2.0, 3.0]);
        let found = places(&disc(DIMS, &affine, 2, [10.0, 20.0, 15.2], 2.0));
        assert!(found.iter().all(|place| place[2] == 5));
        // 5 along x at 1 mm, 3 along y at 2 mm: the cross of an ellipse in voxels.
        let mut expected = vec![[10, 9, 5], [10, 11, 5]];
        expected.extend((8..=12).map(|x| [x, 10, 5]));
        expected.sort_unstable();
        let mut found = found;
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_brush_smaller_than_a_voxel_paints_one_and_none_outside() {
        let affine = Affine::from_spacing([1.0; 3]);
        assert_eq!(places(&disc(DIMS, &affine, 0, [3.4, 4.4, 5.4], 0.1)), [[3, 4, 5]]);
        assert!(disc(DIMS, &affine, 0, [-9.0, 4.0, 5.0], 2.0).is_empty());
    }

    #[test]
    fn strokes_have_no_gaps_and_a_box() {
        let points = along([0.0; 3], [10.0, 0.0, 0.0], 2.0);
        assert_eq!(points.len(), 10);
        assert_eq!(points.last(), Some(&[10.0, 0.0, 0.0]));
        let voxels = [offset(DIMS, [3, 4, 5]), offset(DIMS, [6, 2, 5])];
        let found = bounds(DIMS, voxels.iter().map(|&v| v as u32));
        assert_eq!(found, Some([[3, 7], [2, 5], [5, 6]]));
        assert_eq!(bounds(DIMS, std::iter::empty()), None);
    }
}
