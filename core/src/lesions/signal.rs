//! Whether a lesion is brighter or darker than what lies around it.

use super::rows::place_of;
use super::table::Signal;
use crate::volume::{LabelMap, offset, percentile};

/// Where the surroundings begin and end, millimetres from the nearest voxel of the lesion: past
/// its blurred border, and near.
const RING_MM: (f64, f64) = (1.5, 4.0);

/// Fewest voxels that surroundings are judged by.
const FEWEST: usize = 20;

/// Standard deviations of normal values in a median absolute deviation.
const DEVIATION: f32 = 1.4826;

/// Grey of the lesion with these `voxels`: the median inside against that of the labelled brain
/// in a ring around, without the voxels of other lesions (`any` is not 0). `None` where they
/// differ by no more than the ring's spread (1.4826 median absolute deviations), and where too
/// little of the brain is around. All on one grid, x fastest.
pub(super) fn signal(voxels: &[u32], grey: &[f32], any: &[u8], brain: &LabelMap) -> Option<Signal> {
    let mut around: Vec<f32> = ring(voxels, brain)
        .into_iter()
        .filter(|&at| any[at] == 0 && brain.data[at] != 0)
        .map(|at| grey[at])
        .collect();
    if around.len() < FEWEST {
        return None;
    }
    let mut inside: Vec<f32> = voxels.iter().map(|&at| grey[at as usize]).collect();
    let middle = percentile(&mut around, 50.0);
    let difference = percentile(&mut inside, 50.0) - middle;
    around.iter_mut().for_each(|value| *value = (*value - middle).abs());
    let spread = DEVIATION * percentile(&mut around, 50.0);
    match difference {
        _ if difference > spread => Some(Signal::Bright),
        _ if difference < -spread => Some(Signal::Dark),
        _ => None,
    }
}

/// The voxels of the ring, in the order of the grid.
fn ring(voxels: &[u32], brain: &LabelMap) -> Vec<usize> {
    let (dims, spacing) = (brain.dims, brain.spacing_mm());
    let reach = spacing.map(|mm| (RING_MM.1 / mm) as usize);
    let (mut low, mut high) = (dims, [0; 3]);
    for &at in voxels {
        let place = place_of(dims, at);
        for axis in 0..3 {
            low[axis] = low[axis].min(place[axis].saturating_sub(reach[axis]));
            high[axis] = high[axis].max((place[axis] + reach[axis] + 1).min(dims[axis]));
        }
    }
    let sides = [0, 1, 2].map(|axis| high[axis].saturating_sub(low[axis]));
    // Millimetres to the lesion, up to the ring's end.
    let mut distance = vec![f64::INFINITY; sides.iter().product()];
    let steps = steps(reach, spacing);
    for &at in voxels {
        let place = place_of(dims, at);
        for (step, millimetres) in &steps {
            let mut there = [0; 3];
            let inside = (0..3).all(|axis| {
                let moved = place[axis].checked_add_signed(step[axis]);
                let moved = moved.filter(|&moved| moved < dims[axis]);
                moved.is_some_and(|moved| {
                    there[axis] = moved - low[axis];
                    true
                })
            });
            if inside {
                let known = &mut distance[offset(sides, there)];
                *known = known.min(*millimetres);
            }
        }
    }
    let near = RING_MM.0..=RING_MM.1;
    let members =
        distance.iter().enumerate().filter(|(_, millimetres)| near.contains(*millimetres));
    members
        .map(|(at, _)| {
            let place = place_of(sides, at as u32);
            offset(dims, [0, 1, 2].map(|axis| low[axis] + place[axis]))
        })
        .collect()
}

/// Steps that lead no further than the ring's end, and their length in millimetres.
fn steps(reach: [usize; 3], spacing: [f64; 3]) -> Vec<([isize; 3], f64)> {
    let side = |axis: usize| {
        let far = reach[axis] as isize;
        -far..=far
    };
    let mut steps = Vec::new();
    for z in side(2) {
        for y in side(1) {
            for x in side(0) {
                let step = [x, y, z];
                let squares = (0..3).map(|axis| (step[axis] as f64 * spacing[axis]).powi(2));
                let length = squares.sum::<f64>().sqrt();
                if length <= RING_MM.1 {
                    steps.push((step, length));
                }
            }
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;

    const DIMS: [usize; 3] = [24, 20, 20];

    fn brain() -> LabelMap {
        let affine = Affine::from_spacing([1.0, 1.0, 2.0]);
        LabelMap { data: vec![1; DIMS.iter().product()], dims: DIMS, affine }
    }

    /// Voxels of a box, its first corner inside and its last one outside.
    fn boxed(low: [usize; 3], high: [usize; 3]) -> Vec<u32> {
        let all = (0..brain().data.len() as u32).filter(|&at| {
            let place = place_of(DIMS, at);
            (0..3).all(|axis| (low[axis]..high[axis]).contains(&place[axis]))
        });
        all.collect()
    }

    #[test]
    fn the_ring_goes_by_millimetres() {
        let at = offset(DIMS, [10, 10, 10]) as u32;
        let ring = ring(&[at], &brain());
        let has = |place: [usize; 3]| ring.contains(&offset(DIMS, place));
        // 1, 2, 4 and 5 mm along x; 2, 4 and 6 mm along z, whose slices are 2 mm apart.
        assert_eq!([11, 12, 14, 15].map(|x| has([x, 10, 10])), [false, true, true, false]);
        assert_eq!([11, 12, 13].map(|z| has([10, 10, z])), [true, true, false]);
        // sqrt(2) mm.
        assert!(!has([11, 11, 10]) && !has([10, 10, 10]));
    }

    #[test]
    fn a_lesion_is_told_from_its_surroundings_without_its_neighbours() {
        let lesion = boxed([8, 8, 8], [12, 12, 11]);
        // Most of the ring: all but a column.
        let sides = [([0; 3], [7, 20, 20]), ([13, 0, 0], DIMS)];
        let ends = [([7, 0, 0], [13, 7, 20]), ([7, 13, 0], [13, 20, 20])];
        let other: Vec<u32> =
            sides.into_iter().chain(ends).flat_map(|(low, high)| boxed(low, high)).collect();
        let mut any = vec![0; brain().data.len()];
        lesion.iter().chain(&other).for_each(|&at| any[at as usize] = 1);
        // Greys of 90 to 110 around, 300 in the other lesion.
        let mut grey: Vec<f32> = (0..any.len()).map(|at| 90.0 + (at * 7 % 21) as f32).collect();
        other.iter().for_each(|&at| grey[at as usize] = 300.0);
        let mut told = |value: f32, brain: &LabelMap| {
            lesion.iter().for_each(|&at| grey[at as usize] = value);
            signal(&lesion, &grey, &any, brain)
        };
        assert_eq!(told(130.0, &brain()), Some(Signal::Bright));
        assert_eq!(told(70.0, &brain()), Some(Signal::Dark));
        // Within the spread: half of the greys lie within some 5 of 100.
        assert_eq!(told(104.0, &brain()), None);
        // Nothing of the brain around.
        let nothing = LabelMap { data: vec![0; any.len()], ..brain() };
        assert_eq!(told(130.0, &nothing), None);
    }
}
