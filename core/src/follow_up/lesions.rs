//! New and larger bright spots between two scans of one sequence.
//!
//! Greys are brought onto each other inside the brain (median and spread), the scans
//! subtracted, the difference smoothed over neighbours; what rises far above the rest of
//! the brain's differences, and is large enough to be no noise, is listed. It is a hint
//! where to look: sequences or slices that differ between the times look like change.

use serde::{Deserialize, Serialize};

use crate::volume::{LabelMap, LabelTable, Volume, percentile};

/// Robust standard deviations above the median difference.
const THRESHOLD: f32 = 4.0;

/// At the edge of a spot the threshold is this much lower.
const EDGE: f32 = 2.5;

/// Smallest spot, mm^3.
const SMALLEST_MM3: f64 = 15.0;

/// Voxels along each axis over which differences are averaged, each way.
const SMOOTH: usize = 1;

/// Voxels at the brain's border that are not looked at: there, motion looks like change.
const BORDER: usize = 3;

/// One spot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lesion {
    /// Volume in millilitres.
    pub millilitres: f64,
    /// Its middle half-way, world millimetres (RAS+).
    pub centre_mm: [f64; 3],
    /// Mean difference in robust standard deviations.
    pub strength: f64,
}

/// All spots, largest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesions {
    /// What is known of each.
    pub spots: Vec<Lesion>,
    /// 1 where there is one, on the half-way grid.
    pub mask: LabelMap,
}

/// Finds spots that are brighter in the second scan. Both lie on one grid with labels of
/// the brain.
pub fn new_lesions(scans: &[Volume; 2], labels: &[LabelMap; 2], table: &LabelTable) -> Lesions {
    let dims = scans[0].dims;
    let mask: Vec<bool> =
        labels[0].data.iter().zip(&labels[1].data).map(|(&a, &b)| a != 0 && b != 0).collect();
    let inside = shrunk(&mask, dims, BORDER);
    let fluid = fluid(labels, table);
    let greys = [0, 1].map(|time| normalised(&scans[time].data, &inside));
    let difference: Vec<f32> = greys[1].iter().zip(&greys[0]).map(|(b, a)| b - a).collect();
    let difference = smoothed(&difference, dims);
    let look: Vec<usize> = (0..mask.len()).filter(|&at| inside[at] && !fluid[at]).collect();
    let mut values: Vec<f32> = look.iter().map(|&at| difference[at]).collect();
    let middle = percentile(&mut values, 50.0);
    values.iter_mut().for_each(|value| *value = (*value - middle).abs());
    let spread = 1.4826 * percentile(&mut values, 50.0);
    let mut strength = vec![0.0_f32; mask.len()];
    if spread > 0.0 {
        look.iter().for_each(|&at| strength[at] = (difference[at] - middle) / spread);
    }
    spots(&strength, &scans[0])
}

/// Voxels of ventricles and fluid at both times, whose greys change with the pulse.
fn fluid(labels: &[LabelMap; 2], table: &LabelTable) -> Vec<bool> {
    let is_fluid = |index: u8| {
        table.get(index).is_some_and(|label| {
            let name = label.name.to_ascii_lowercase();
            name.contains("vent") && !name.contains("dc") || name == "csf"
        })
    };
    let kinds: Vec<bool> = (0..=u8::MAX).map(is_fluid).collect();
    let pairs = labels[0].data.iter().zip(&labels[1].data);
    pairs.map(|(&a, &b)| kinds[usize::from(a)] || kinds[usize::from(b)]).collect()
}

/// Greys less their median, over their spread, inside the brain.
fn normalised(data: &[f32], inside: &[bool]) -> Vec<f32> {
    let brain = || data.iter().zip(inside).filter(|(_, inside)| **inside).map(|(v, _)| *v);
    let mut values: Vec<f32> = brain().collect();
    let middle = percentile(&mut values, 50.0);
    let mut away: Vec<f32> = brain().map(|value| (value - middle).abs()).collect();
    let spread = (1.4826 * percentile(&mut away, 50.0)).max(1e-6);
    data.iter().map(|value| (value - middle) / spread).collect()
}

/// Each axis in turn: a function of the neighbours within `radius`.
fn along_axes<T: Copy>(
    data: &[T],
    dims: [usize; 3],
    radius: usize,
    of: impl Fn(&mut dyn Iterator<Item = T>, usize) -> T,
) -> Vec<T> {
    let strides = [1, dims[0], dims[0] * dims[1]];
    let mut current = data.to_vec();
    for axis in 0..3 {
        let next = (0..current.len())
            .map(|at| {
                let place = at / strides[axis] % dims[axis];
                let (low, high) =
                    (place.saturating_sub(radius), (place + radius).min(dims[axis] - 1));
                let first = at - (place - low) * strides[axis];
                let count = high - low + 1;
                of(&mut (0..count).map(|step| current[first + step * strides[axis]]), count)
            })
            .collect();
        current = next;
    }
    current
}

fn smoothed(data: &[f32], dims: [usize; 3]) -> Vec<f32> {
    along_axes(data, dims, SMOOTH, |values, count| values.sum::<f32>() / count as f32)
}

fn shrunk(mask: &[bool], dims: [usize; 3], radius: usize) -> Vec<bool> {
    along_axes(mask, dims, radius, |values, count| {
        count == 2 * radius + 1 && values.filter(|&inside| inside).count() == count
    })
}

/// Connected places (by faces) above the edge's threshold that somewhere reach the full one.
fn spots(strength: &[f32], grid: &Volume) -> Lesions {
    let dims = grid.dims;
    let strides = [1, dims[0], dims[0] * dims[1]];
    let voxel_mm3 = grid.affine.determinant().abs();
    let mut seen = vec![false; strength.len()];
    let mut data = vec![0_u8; strength.len()];
    let mut spots = Vec::new();
    for start in 0..strength.len() {
        if seen[start] || strength[start] < THRESHOLD {
            continue;
        }
        seen[start] = true;
        let mut members = vec![start];
        let mut next = 0;
        while let Some(&at) = members.get(next) {
            next += 1;
            for axis in 0..3 {
                let place = at / strides[axis] % dims[axis];
                let below = (place > 0).then(|| at - strides[axis]);
                let above = (place + 1 < dims[axis]).then(|| at + strides[axis]);
                for other in [below, above].into_iter().flatten() {
                    if !seen[other] && strength[other] >= EDGE {
                        seen[other] = true;
                        members.push(other);
                    }
                }
            }
        }
        if members.len() as f64 * voxel_mm3 < SMALLEST_MM3 {
            continue;
        }
        let count = members.len() as f64;
        let mut middle = [0.0; 3];
        for &at in &members {
            data[at] = 1;
            let voxel = [0, 1, 2].map(|axis| (at / strides[axis] % dims[axis]) as f64);
            (0..3).for_each(|axis| middle[axis] += voxel[axis] / count);
        }
        let strength = members.iter().map(|&at| f64::from(strength[at])).sum::<f64>() / count;
        let centre_mm = grid.affine.apply(middle);
        spots.push(Lesion { millilitres: count * voxel_mm3 / 1000.0, centre_mm, strength });
    }
    spots.sort_by(|a, b| b.millilitres.total_cmp(&a.millilitres));
    Lesions { spots, mask: LabelMap { data, dims, affine: grid.affine } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, offset};

    #[test]
    fn a_new_spot_is_found_and_a_brighter_scan_is_none() {
        let dims = [30, 30, 30];
        let affine = Affine::from_spacing([1.0; 3]);
        let grey = |at: usize| 100.0 + ((at * 7919) % 101) as f32 * 0.1;
        let before: Vec<f32> = (0..27_000).map(grey).collect();
        // Another scale and offset, other noise, and a cube of 4 mm.
        let mut after: Vec<f32> = (0..27_000).map(|at| 20.0 + 3.0 * grey(at + 13)).collect();
        for at in 0..64 {
            let place = [13 + at % 4, 12 + at / 4 % 4, 14 + at / 16];
            after[offset(dims, place)] += 90.0;
        }
        let volume = |data| Volume { data, dims, affine };
        let labels = LabelMap { data: vec![1; 27_000], dims, affine };
        let scans = [volume(before), volume(after)];
        let found = new_lesions(&scans, &[labels.clone(), labels], &LabelTable::default());
        assert_eq!(found.spots.len(), 1, "{:?}", found.spots);
        let spot = &found.spots[0];
        for (value, expected) in spot.centre_mm.iter().zip([14.5, 13.5, 15.5]) {
            assert!((value - expected).abs() < 0.6, "{spot:?}");
        }
    }
}
