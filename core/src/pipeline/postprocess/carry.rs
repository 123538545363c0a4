//! Labels of a grid carried to another grid on the same axes.

use crate::volume::offset;

/// The two source voxels around a target voxel along an axis, and the weight of the second.
#[derive(Clone, Copy, Debug)]
struct Tap {
    below: usize,
    above: usize,
    weight: f32,
}

/// Where the voxels of a target grid lie between those of a source grid on the same axes.
///
/// Target voxel `i` along an axis lies at `(i + 0.5) * ratio - 0.5` source voxels
/// (ratio = target spacing / source spacing), within the source's ends.
#[derive(Clone, Debug)]
pub struct Between {
    dims: [usize; 3],
    taps: [Vec<Tap>; 3],
}

impl Between {
    /// From a grid of `dims` voxels to one of `target`.
    pub fn new(dims: [usize; 3], target: [usize; 3], ratio: [f64; 3]) -> Self {
        let taps = [0, 1, 2].map(|axis| {
            let last = dims[axis] - 1;
            (0..target[axis])
                .map(|i| {
                    let centre = ((i as f64 + 0.5) * ratio[axis] - 0.5).clamp(0.0, last as f64);
                    let below = centre.floor() as usize;
                    Tap {
                        below,
                        above: (below + 1).min(last),
                        weight: (centre - below as f64) as f32,
                    }
                })
                .collect()
        });
        Self { dims, taps }
    }

    /// The eight source voxels around a target voxel (x fastest) with their trilinear weights.
    pub fn corners(&self, target: usize) -> [([usize; 3], f32); 8] {
        let [nx, ny] = [self.taps[0].len(), self.taps[1].len()];
        let [x, y, z] = [target % nx, target / nx % ny, target / (nx * ny)];
        let [x, y, z] = [self.taps[0][x], self.taps[1][y], self.taps[2][z]];
        core::array::from_fn(|corner| {
            let side = |tap: Tap, above: bool| {
                if above { (tap.above, tap.weight) } else { (tap.below, 1.0 - tap.weight) }
            };
            let (x, wx) = side(x, corner & 1 == 1);
            let (y, wy) = side(y, corner & 2 == 2);
            let (z, wz) = side(z, corner & 4 == 4);
            ([x, y, z], wx * wy * wz)
        })
    }
}

/// Labels on the target grid: each voxel takes the label with the most trilinear weight
/// among the eight around it. Second, the target voxels around which the eight differ.
pub fn carry_labels(labels: &[u8], between: &Between) -> (Vec<u8>, Vec<u32>) {
    let dims = between.dims;
    let mut result = Vec::with_capacity(between.taps.iter().map(Vec::len).product());
    let mut mixed = Vec::new();
    for z in &between.taps[2] {
        for y in &between.taps[1] {
            let rows =
                [(y.below, z.below), (y.above, z.below), (y.below, z.above), (y.above, z.above)]
                    .map(|(y, z)| offset(dims, [0, y, z]));
            for x in &between.taps[0] {
                let first = labels[rows[0] + x.below];
                let same =
                    |row: &usize| labels[row + x.below] == first && labels[row + x.above] == first;
                if rows.iter().all(same) {
                    result.push(first);
                } else {
                    let at = result.len();
                    mixed.push(at as u32);
                    result.push(vote(labels, dims, &between.corners(at)));
                }
            }
        }
    }
    (result, mixed)
}

/// The label with the most weight.
fn vote(labels: &[u8], dims: [usize; 3], corners: &[([usize; 3], f32); 8]) -> u8 {
    let mut seen = [(0_u8, 0.0_f32); 8];
    let mut count = 0;
    for &(voxel, weight) in corners {
        let label = labels[offset(dims, voxel)];
        match seen[..count].iter_mut().find(|(l, _)| *l == label) {
            Some((_, sum)) => *sum += weight,
            None => {
                seen[count] = (label, weight);
                count += 1;
            }
        }
    }
    let best = seen[..count].iter().max_by(|a, b| a.1.total_cmp(&b.1));
    best.map_or(0, |(label, _)| *label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carrying_to_half_spacing_moves_the_border_by_less_than_a_voxel() {
        // Border between 0 and 3 at 4 of 8 voxels; at half the spacing at 8 of 16.
        let labels: Vec<u8> = [0, 0, 0, 0, 3, 3, 3, 3].to_vec();
        let fine = carry_labels(&labels, &Between::new([8, 1, 1], [16, 1, 1], [0.5, 1.0, 1.0])).0;
        assert_eq!(fine, [0, 0, 0, 0, 0, 0, 0, 0, 3, 3, 3, 3, 3, 3, 3, 3]);
    }

    #[test]
    fn same_grid_is_unchanged() {
        let labels: Vec<u8> = (0..60).map(|v| v % 7).collect();
        let between = Between::new([3, 4, 5], [3, 4, 5], [1.0; 3]);
        assert_eq!(carry_labels(&labels, &between).0, labels);
    }
}
