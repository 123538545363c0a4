//! The first, large displacements: every one of a cube of displacements is tried at
//! every cell, then the choices are made smooth together.
//!
//! Coupled convex optimisation as in ConvexAdam (Siebert et al., arXiv 2306.08302, after Heinrich et al.,
//! MICCAI 2014): in turn, each cell takes the displacement with the least cost plus a
//! penalty for leaving the smooth field, and the field is smoothed; the penalty grows.

use super::grid::{FeatureGrid, LANES};
use super::instance::smoothed;
use super::velocity::Vectors;
use crate::kernels::cpu::for_each;

/// Voxels a cell is wide.
pub const CELL: usize = 3;

/// Displacements tried reach this many cells each way (18 mm at 2 mm).
const RADIUS: isize = 3;

/// Penalty per squared cell away from the smooth field, round by round.
const COUPLING: [f32; 6] = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0];

/// Displacement of each cell (in cells), and the cells' grid.
pub fn search(fixed: &FeatureGrid, moving: &FeatureGrid) -> (Vectors, [usize; 3]) {
    let (fixed, moving) = (fixed.pooled(CELL), moving.pooled(CELL));
    let dims = fixed.dims;
    let tried = displacements();
    let costs = costs(&fixed, &moving, &tried);
    let mut smooth: Vectors = vec![[0.0; 3]; fixed.voxels()];
    for penalty in COUPLING {
        let mut chosen = smooth.clone();
        let slab = dims[0] * dims[1];
        let work = chosen.chunks_mut(slab).zip(costs.chunks(slab * tried.len())).collect();
        for_each(work, |(rows, costs): (&mut [[f32; 3]], &[f32])| {
            for (row, costs) in rows.iter_mut().zip(costs.chunks_exact(tried.len())) {
                let near = *row;
                let mut best = (f32::INFINITY, near);
                for (&cost, step) in costs.iter().zip(&tried) {
                    let away: f32 = (0..3).map(|axis| (step[axis] - near[axis]).powi(2)).sum();
                    let cost = cost + penalty * away;
                    if cost < best.0 {
                        best = (cost, *step);
                    }
                }
                *row = best.1;
            }
        });
        smooth = inside_mean(&chosen, &fixed);
    }
    (smooth, dims)
}

/// The cube of displacements, in cells.
fn displacements() -> Vec<[f32; 3]> {
    let side = (2 * RADIUS + 1) as usize;
    (0..side * side * side)
        .map(|at| {
            [at % side, at / side % side, at / (side * side)].map(|v| v as f32 - RADIUS as f32)
        })
        .collect()
}

/// Cost of each displacement at each cell, displacements fastest: squared difference of
/// features, in units of the mean over all that differs. Cells outside the mask cost
/// nothing: they follow.
fn costs(fixed: &FeatureGrid, moving: &FeatureGrid, tried: &[[f32; 3]]) -> Vec<f32> {
    let dims = fixed.dims;
    let slab = dims[0] * dims[1];
    let mut costs = vec![0.0_f32; fixed.voxels() * tried.len()];
    for_each(
        costs.chunks_mut(slab * tried.len()).enumerate().collect(),
        |(z, rows): (usize, &mut [f32])| {
            for (at, row) in rows.chunks_exact_mut(tried.len()).enumerate() {
                let cell = z * slab + at;
                if !fixed.mask[cell] {
                    continue;
                }
                let here = [at % dims[0], at / dims[0], z];
                let feature = fixed.at(cell);
                for (cost, step) in row.iter_mut().zip(tried) {
                    let [x, y, w] = [0, 1, 2].map(|axis| {
                        (here[axis] as f32 + step[axis]).clamp(0.0, (dims[axis] - 1) as f32)
                            as usize
                    });
                    let other = moving.at(x + dims[0] * (y + dims[1] * w));
                    let mut lanes = [0.0_f32; LANES];
                    for (f, m) in feature.chunks_exact(LANES).zip(other.chunks_exact(LANES)) {
                        for lane in 0..LANES {
                            let difference = f[lane] - m[lane];
                            lanes[lane] += difference * difference;
                        }
                    }
                    *cost = lanes.iter().sum();
                }
            }
        },
    );
    let inside = fixed.mask.iter().filter(|&&inside| inside).count().max(1) * tried.len();
    let mean = costs.iter().map(|&cost| f64::from(cost)).sum::<f64>() / inside as f64;
    let scale = if mean > 0.0 { (1.0 / mean) as f32 } else { 0.0 };
    costs.iter_mut().for_each(|cost| *cost *= scale);
    costs
}

/// Mean of the neighbours that lie in the mask, near the mask; towards zero away from it.
fn inside_mean(field: &[[f32; 3]], grid: &FeatureGrid) -> Vectors {
    let weights: Vectors =
        grid.mask.iter().map(|&inside| [if inside { 1.0 } else { 0.0 }; 3]).collect();
    let weighted: Vectors =
        field.iter().zip(&weights).map(|(v, w)| [0, 1, 2].map(|axis| v[axis] * w[axis])).collect();
    let sums = smoothed(&weighted, grid.dims);
    let weights = smoothed(&weights, grid.dims);
    sums.iter().zip(&weights).map(|(v, w)| v.map(|part| part / w[0].max(0.1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;

    /// A ball of one channel and a smaller one of another beside it.
    fn balls(shift: f32) -> FeatureGrid {
        let dims = [48, 42, 42];
        let count: usize = dims.iter().product();
        let mut values = vec![0.0; count * LANES];
        for voxel in 0..count {
            let place = [voxel % 48, voxel / 48 % 42, voxel / (48 * 42)].map(|v| v as f32);
            let distance = |centre: [f32; 3]| -> f32 {
                (0..3).map(|axis| (place[axis] - centre[axis]).powi(2)).sum::<f32>().sqrt()
            };
            values[voxel * LANES] = f32::from(distance([22.0 + shift, 20.0, 21.0]) < 13.0);
            values[voxel * LANES + 1] = f32::from(distance([27.0 + shift, 20.0, 21.0]) < 5.0);
        }
        let affine = Affine::from_spacing([2.0; 3]);
        FeatureGrid { values, channels: LANES, dims, affine, mask: vec![true; count] }
    }

    #[test]
    fn a_shift_of_two_cells_is_found() {
        let (field, dims) = search(&balls(0.0), &balls(2.0 * CELL as f32));
        assert_eq!(dims, [16, 14, 14]);
        // At the border of the small ball, where the features say most.
        let moved = field[9 + 16 * (6 + 14 * 7)];
        assert!((moved[0] - 2.0).abs() < 0.4, "{moved:?}");
        assert!(moved[1].abs() < 0.4 && moved[2].abs() < 0.4, "{moved:?}");
    }
}
