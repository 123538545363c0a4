//! Separable resampling to another spacing on the same axes.
//!
//! Each axis is filtered with a triangle as wide as the coarser of the two grids:
//! linear interpolation when refining, an antialiased average when coarsening. The
//! field of view is kept: centre of output voxel i lies at
//! `(i + 0.5) * ratio - 0.5` input voxels.

use super::Affine;

/// Weights of one axis: output voxel `i` is the weighted sum of the inputs from
/// `first[i]` on.
#[derive(Clone, Debug)]
pub struct AxisFilter {
    first: Vec<usize>,
    weights: Vec<Vec<f32>>,
}

impl AxisFilter {
    /// Filter from `inputs` voxels to `outputs` voxels that lie `ratio` input voxels
    /// apart (ratio = output spacing / input spacing).
    pub fn triangle(inputs: usize, outputs: usize, ratio: f64) -> Self {
        let radius = f64::max(1.0, ratio);
        let last = inputs.saturating_sub(1) as f64;
        let mut first = Vec::with_capacity(outputs);
        let mut weights = Vec::with_capacity(outputs);
        for output in 0..outputs {
            let centre = (output as f64 + 0.5) * ratio - 0.5;
            let from = (centre - radius).ceil().clamp(0.0, last) as usize;
            let to = (centre + radius).floor().clamp(0.0, last) as usize;
            let mut row: Vec<f64> = (from..=to)
                .map(|input| f64::max(0.0, 1.0 - (input as f64 - centre).abs() / radius))
                .collect();
            let sum: f64 = row.iter().sum();
            if sum > 0.0 {
                row.iter_mut().for_each(|weight| *weight /= sum);
            } else {
                // Beyond the field of view: the nearest voxel.
                let nearest = (centre.round().clamp(0.0, last) as usize).clamp(from, to) - from;
                row[nearest] = 1.0;
            }
            first.push(from);
            weights.push(row.into_iter().map(|weight| weight as f32).collect());
        }
        Self { first, weights }
    }

    /// Number of output voxels.
    pub fn outputs(&self) -> usize {
        self.first.len()
    }

    /// First input and weights of output voxel `output`.
    pub fn taps(&self, output: usize) -> (usize, &[f32]) {
        (self.first[output], &self.weights[output])
    }
}

/// Dimensions of a grid of `dims` voxels at `from_mm` resampled to `to_mm`:
/// `max(1, round(n * from / to))`.
pub fn resampled_dims(dims: [usize; 3], from_mm: [f64; 3], to_mm: [f64; 3]) -> [usize; 3] {
    [0, 1, 2]
        .map(|axis| ((dims[axis] as f64 * from_mm[axis] / to_mm[axis]).round() as usize).max(1))
}

/// Affine of the grid resampled from `from_mm` to `to_mm`.
pub fn resampled_affine(affine: &Affine, from_mm: [f64; 3], to_mm: [f64; 3]) -> Affine {
    let ratio = [0, 1, 2].map(|axis| to_mm[axis] / from_mm[axis]);
    affine.rescaled(ratio, ratio.map(|r| 0.5 * r - 0.5))
}

/// Resamples every axis of `data` (x fastest) with its filter.
pub fn resample_axes(
    data: &[f32],
    dims: [usize; 3],
    filters: &[AxisFilter; 3],
) -> (Vec<f32>, [usize; 3]) {
    let mut dims = dims;
    let mut current: Option<Vec<f32>> = None;
    // The axis that shrinks most first, so that the later ones have less to do.
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| {
        let shrink = |axis: usize| filters[axis].outputs() as f64 / dims[axis].max(1) as f64;
        shrink(a).total_cmp(&shrink(b))
    });
    for axis in order {
        let next = resample_axis(current.as_deref().unwrap_or(data), dims, axis, &filters[axis]);
        dims[axis] = filters[axis].outputs();
        current = Some(next);
    }
    (current.unwrap_or_default(), dims)
}

fn resample_axis(data: &[f32], dims: [usize; 3], axis: usize, filter: &AxisFilter) -> Vec<f32> {
    let outputs = filter.outputs();
    // Voxels before the axis are contiguous; those after it are repeated blocks.
    let inner: usize = dims[..axis].iter().product();
    let outer: usize = dims[axis + 1..].iter().product();
    let mut result = vec![0.0; inner * outputs * outer];
    for block in 0..outer {
        let input = &data[block * inner * dims[axis]..(block + 1) * inner * dims[axis]];
        let output = &mut result[block * inner * outputs..(block + 1) * inner * outputs];
        for (at, row) in output.chunks_exact_mut(inner.max(1)).enumerate() {
            let (first, weights) = filter.taps(at);
            if inner == 1 {
                row[0] = weights.iter().zip(&input[first..]).map(|(w, v)| w * v).sum();
                continue;
            }
            for (tap, &weight) in weights.iter().enumerate() {
                let source = &input[(first + tap) * inner..(first + tap + 1) * inner];
                for (value, &voxel) in row.iter_mut().zip(source) {
                    *value += weight * voxel;
                }
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(dims: [usize; 3], out: [usize; 3], ratio: [f64; 3]) -> [AxisFilter; 3] {
        [0, 1, 2].map(|axis| AxisFilter::triangle(dims[axis], out[axis], ratio[axis]))
    }

    #[test]
    fn same_spacing_changes_nothing() {
        let data: Vec<f32> = (0..60).map(|v| (v * v % 17) as f32).collect();
        let (result, dims) =
            resample_axes(&data, [3, 4, 5], &filters([3, 4, 5], [3, 4, 5], [1.0; 3]));
        assert_eq!((result, dims), (data, [3, 4, 5]));
    }

    #[test]
    fn a_ramp_stays_a_ramp_inside() {
        // x = index; half the spacing: centre of output i is (i + 0.5) / 2 - 0.5.
        let data: Vec<f32> = (0..8).map(|v| v as f32).collect();
        let (result, _) =
            resample_axes(&data, [8, 1, 1], &filters([8, 1, 1], [16, 1, 1], [0.5, 1.0, 1.0]));
        for (at, value) in result.iter().enumerate().take(15).skip(1) {
            assert!((value - ((at as f32 + 0.5) * 0.5 - 0.5)).abs() < 1e-6, "{at}: {value}");
        }
    }

    #[test]
    fn coarsening_keeps_the_mean_and_the_field_of_view() {
        let data: Vec<f32> = (0..64).map(|v| (v % 4) as f32).collect();
        let (result, dims) =
            resample_axes(&data, [64, 1, 1], &filters([64, 1, 1], [16, 1, 1], [4.0, 1.0, 1.0]));
        assert_eq!(dims, [16, 1, 1]);
        assert!(result[1..15].iter().all(|v| (v - 1.5).abs() < 0.2), "{result:?}");
        let affine = Affine::from_spacing([1.0; 3]);
        let coarse = resampled_affine(&affine, [1.0; 3], [4.0, 1.0, 1.0]);
        // Left edge of the first voxel: -0.5 mm in both grids.
        assert!((coarse.apply([-0.5, 0.0, 0.0])[0] + 0.5).abs() < 1e-12);
    }
}
