//! MIND-SSC: what a place looks like through its neighbours' differences.
//!
//! Heinrich et al., MICCAI 2013: the squared differences of patches between pairs of the
//! six neighbours that lie at right angles, twelve in all, less the smallest, over their
//! mean, as exp(-x). Here for comparison with features of a network, and for scans that
//! no network knows.

use super::grid::LANES;
use crate::kernels::cpu::for_each;

/// Descriptors of a voxel.
pub const DESCRIPTORS: usize = 12;

/// The channels of a voxel: twelve, padded.
pub const CHANNELS: usize = DESCRIPTORS.next_multiple_of(LANES);

/// Voxels to a neighbour.
const DILATION: isize = 2;

/// Voxels from a patch's centre to its side.
const RADIUS: isize = 1;

const NEIGHBOURS: [[isize; 3]; 6] =
    [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]];

/// MIND-SSC of intensities that lie x fastest: `[z, y, x, channels]`.
pub fn mind_ssc(data: &[f32], dims: [usize; 3]) -> Vec<f32> {
    let mut planes = vec![Vec::new(); DESCRIPTORS];
    for_each(pairs().into_iter().zip(&mut planes).collect(), |((a, b), plane)| {
        let squares = squared_difference(data, dims, a, b);
        *plane = box_mean(squares, dims);
    });
    let mut values = vec![0.0; data.len() * CHANNELS];
    let mut scale = vec![0.0_f32; data.len()];
    for (voxel, row) in values.chunks_exact_mut(CHANNELS).enumerate() {
        let least = planes.iter().map(|plane| plane[voxel]).fold(f32::INFINITY, f32::min);
        for (value, plane) in row.iter_mut().zip(&planes) {
            *value = plane[voxel] - least;
        }
        scale[voxel] = row.iter().sum::<f32>() / DESCRIPTORS as f32;
    }
    let mean = scale.iter().map(|&v| f64::from(v)).sum::<f64>() / scale.len().max(1) as f64;
    let (low, high) = ((mean * 1e-3).max(1e-12) as f32, (mean * 1e3).max(1e-12) as f32);
    for (row, &scale) in values.chunks_exact_mut(CHANNELS).zip(&scale) {
        let scale = scale.clamp(low, high);
        row[..DESCRIPTORS].iter_mut().for_each(|value| *value = (-*value / scale).exp());
    }
    values
}

/// Pairs of neighbours at right angles.
fn pairs() -> Vec<([isize; 3], [isize; 3])> {
    let mut result = Vec::new();
    for (at, &a) in NEIGHBOURS.iter().enumerate() {
        for &b in &NEIGHBOURS[at + 1..] {
            let product: isize = (0..3).map(|axis| a[axis] * b[axis]).sum();
            if product == 0 {
                result.push((a, b));
            }
        }
    }
    result
}

fn squared_difference(data: &[f32], dims: [usize; 3], a: [isize; 3], b: [isize; 3]) -> Vec<f32> {
    let value = |place: [usize; 3], step: [isize; 3]| {
        let [x, y, z] = [0, 1, 2].map(|axis| {
            let last = dims[axis] as isize - 1;
            (place[axis] as isize + DILATION * step[axis]).clamp(0, last) as usize
        });
        data[x + dims[0] * (y + dims[1] * z)]
    };
    let (nx, ny) = (dims[0], dims[1]);
    (0..data.len())
        .map(|at| {
            let place = [at % nx, at / nx % ny, at / (nx * ny)];
            let difference = value(place, a) - value(place, b);
            difference * difference
        })
        .collect()
}

/// Mean over a patch, the border's value repeated outside.
fn box_mean(data: Vec<f32>, dims: [usize; 3]) -> Vec<f32> {
    let strides = [1, dims[0], dims[0] * dims[1]];
    let mut current = data;
    for axis in 0..3 {
        let last = dims[axis] as isize - 1;
        let next = (0..current.len())
            .map(|at| {
                let place = (at / strides[axis] % dims[axis]) as isize;
                let first = at - place as usize * strides[axis];
                let sum: f32 = (-RADIUS..=RADIUS)
                    .map(|step| {
                        current[first + (place + step).clamp(0, last) as usize * strides[axis]]
                    })
                    .sum();
                sum / (2 * RADIUS + 1) as f32
            })
            .collect();
        current = next;
    }
    current
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: [usize; 3] = [9, 8, 7];

    fn texture() -> Vec<f32> {
        (0..504).map(|at| ((at * at * 7919 % 1009) as f32 / 1009.0).sqrt()).collect()
    }

    #[test]
    fn twelve_pairs_at_right_angles() {
        assert_eq!(pairs().len(), DESCRIPTORS);
    }

    #[test]
    fn greys_stretched_or_turned_round_change_nothing() {
        let scan = texture();
        let inverted: Vec<f32> = scan.iter().map(|v| 3.0 - 2.0 * v).collect();
        let (a, b) = (mind_ssc(&scan, DIMS), mind_ssc(&inverted, DIMS));
        assert!(a.iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-3));
        let row = &a[250 * CHANNELS..251 * CHANNELS];
        assert!(row[..DESCRIPTORS].contains(&1.0), "the least difference is 1: {row:?}");
        assert_eq!(row[DESCRIPTORS..], [0.0; CHANNELS - DESCRIPTORS]);
    }
}
