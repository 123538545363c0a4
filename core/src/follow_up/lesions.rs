//! New, larger and shrunken lesions between two scans of one sequence.
//!
//! A lesion is new where the lesion pack sees one at the second time and the grey has risen
//! from what lay there, and close by, at the first: either alone is wrong too often. Greys
//! are counted in standard deviations of normal white matter, both scans are blurred to one
//! slice thickness, and what rises smoothly everywhere is taken for a bias field. What was
//! there before within reach is an enlarged lesion. What is dark, as lesions are in T1w scans,
//! is not looked for (`bright`). The numbers were chosen on lesions painted into scans
//! (training/lesions/change.py).

use serde::{Deserialize, Serialize};

use crate::volume::neighbours::{balls_largest, boxed, faces, smoothed_along, within};
use crate::volume::{Label, LabelMap, LabelTable, Volume, class_color, percentile};

/// Probability of a lesion that a spot reaches somewhere, and has everywhere.
const SEED_PROBABILITY: f32 = 0.5;
const EDGE_PROBABILITY: f32 = 0.3;

/// Rise of the grey that a spot reaches somewhere, and has everywhere; standard deviations
/// of the rise in normal white matter.
const SEED_RISE: f32 = 3.0;
const EDGE_RISE: f32 = 1.5;

/// The first scan's greys within this count as what lay there: borders move by less, mm.
const REACH_MM: f64 = 1.5;

/// A spot this near to a lesion of before belongs to it, mm.
const TOUCH_MM: f64 = 2.0;

/// Slice thickness that both scans are blurred to where one has thick slices, mm.
const THICKNESS_MM: f64 = 4.0;

/// Slices thicker than this are thick, mm.
const THICK_MM: f64 = 2.0;

/// Half the width of a box; three of them one after another are a Gaussian whose standard
/// deviation is as long, mm.
const BIAS_MM: f64 = 15.0;

/// Smallest spot, mm^3.
const SMALLEST_MM3: f64 = 14.0;

/// Where the lesion pack sees less than this, white matter is normal.
const NORMAL: f32 = 0.1;

/// Fewest voxels of normal white matter that greys are counted by.
const FEWEST_NORMAL: usize = 1000;

/// FreeSurfer ids of cerebral white matter, and of fluid, whose greys change with the pulse.
const WHITE: [u16; 2] = [2, 41];
const FLUID: [u16; 7] = [4, 5, 14, 15, 24, 43, 44];

/// What became of a lesion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Nothing was there before.
    New,
    /// A lesion of before is larger; the spot is what came to it.
    Enlarged,
    /// The spot is what went.
    Shrunken,
}

impl Fate {
    /// All, in the order of their values in masks, from 1.
    pub const ALL: [Self; 3] = [Self::New, Self::Enlarged, Self::Shrunken];

    /// The word in prose and tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Enlarged => "enlarged",
            Self::Shrunken => "shrunken",
        }
    }

    /// Value in masks.
    pub const fn index(self) -> u8 {
        self as u8 + 1
    }

    /// Labels of masks.
    pub fn table() -> LabelTable {
        let label = |fate: Self| Label {
            index: fate.index(),
            id: u16::from(fate.index()),
            name: fate.word().into(),
            color: class_color(usize::from(fate.index()) - 1),
            side: None,
            pair: None,
        };
        LabelTable { labels: Self::ALL.map(label).into() }
    }
}

/// One spot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lesion {
    /// What became of it.
    pub fate: Fate,
    /// Volume in millilitres.
    pub millilitres: f64,
    /// A place inside it, the nearest to its middle, world millimetres (RAS+) half-way.
    pub inside_mm: [f64; 3],
    /// Mean rise of its grey (or fall, for shrunken ones) in standard deviations.
    pub strength: f64,
}

/// All spots, largest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesions {
    /// What is known of each.
    pub spots: Vec<Lesion>,
    /// The voxels of each, on the half-way grid.
    pub members: Vec<Vec<usize>>,
    /// [`Fate::index`] where there is one, on the half-way grid.
    pub mask: LabelMap,
}

/// Slices of a scan, on the half-way grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slices {
    /// Axis of the grid that is nearest to the slices' normal.
    pub axis: usize,
    /// Their thickness, mm.
    pub thickness_mm: f64,
}

/// One time, half-way.
#[derive(Clone, Copy, Debug)]
pub struct Time<'a> {
    /// The scan.
    pub scan: &'a Volume,
    /// Labels of the brain.
    pub labels: &'a LabelMap,
    /// Probability of a lesion at each voxel.
    pub odds: &'a [f32],
    /// Its slices as they were taken.
    pub slices: Slices,
}

/// Finds what is brighter in the second scan and looks like a lesion there, and the same the
/// other way round. Both lie on one grid of equal spacings; `table` is that of the labels.
pub fn lesion_changes(times: [Time<'_>; 2], table: &LabelTable) -> Lesions {
    let known = Known::of(&times, table);
    let grid = times[0].scan;
    let greys = greys(&times, &known);
    let mut all = Vec::new();
    for (from, to) in [(0, 1), (1, 0)] {
        let rise = rise([&greys[from], &greys[to]], grid, &known);
        let before = within(
            &times[from].odds.iter().map(|&p| p >= SEED_PROBABILITY).collect::<Vec<_>>(),
            grid.dims,
            TOUCH_MM / spacing(grid),
        );
        let (odds, look) = (times[to].odds, &known.look);
        for members in spots(&rise, odds, look, grid) {
            let fate = match from {
                1 => Fate::Shrunken,
                _ if members.iter().any(|&at| before[at]) => Fate::Enlarged,
                _ => Fate::New,
            };
            all.push((lesion(fate, &members, &rise, grid), members));
        }
    }
    all.sort_by(|(a, _), (b, _)| b.millilitres.total_cmp(&a.millilitres));
    let mut data = vec![0; grid.data.len()];
    for (spot, members) in &all {
        members.iter().for_each(|&at| data[at] = spot.fate.index());
    }
    let (spots, members) = all.into_iter().unzip();
    let mask = LabelMap { data, dims: grid.dims, affine: grid.affine };
    Lesions { spots, members, mask }
}

/// Where to look, and what is normal there.
struct Known {
    /// Brain at either time that is no fluid at either.
    look: Vec<bool>,
    /// Voxels of white matter at both times, one away from its border, without a lesion.
    normal: Vec<usize>,
}

impl Known {
    fn of(times: &[Time<'_>; 2], table: &LabelTable) -> Self {
        let ids = table.ids();
        let at_both = |at: usize| times.map(|time| ids[usize::from(time.labels.data[at])]);
        let voxels = times[0].scan.data.len();
        let look: Vec<bool> = (0..voxels)
            .map(|at| {
                let both = at_both(at);
                both.iter().any(|&id| id != 0) && !both.iter().any(|id| FLUID.contains(id))
            })
            .collect();
        let white: Vec<bool> =
            (0..voxels).map(|at| at_both(at).iter().all(|id| WHITE.contains(id))).collect();
        let dims = times[0].scan.dims;
        let calm = |&at: &usize| times.iter().all(|time| time.odds[at] < NORMAL);
        let mut normal: Vec<usize> = (0..voxels)
            .filter(|&at| white[at] && faces(at, dims).iter().all(|&n| n.is_some_and(|n| white[n])))
            .filter(calm)
            .collect();
        if normal.len() < FEWEST_NORMAL {
            normal = (0..voxels).filter(|&at| look[at]).filter(calm).collect();
        }
        Self { look, normal }
    }

    /// Median and robust standard deviation over what is normal.
    fn spread(&self, values: &[f32]) -> (f32, f32) {
        let mut some: Vec<f32> = self.normal.iter().map(|&at| values[at]).collect();
        let middle = percentile(&mut some, 50.0);
        some.iter_mut().for_each(|value| *value = (*value - middle).abs());
        (middle, (1.4826 * percentile(&mut some, 50.0)).max(1e-6))
    }
}

/// Side of a voxel, mm.
fn spacing(grid: &Volume) -> f64 {
    grid.affine.determinant().abs().cbrt()
}

/// Both scans in standard deviations of normal white matter, slices equally thick, without
/// the difference that is smooth over the brain.
fn greys(times: &[Time<'_>; 2], known: &Known) -> [Vec<f32>; 2] {
    let grid = times[0].scan;
    let mut greys = times.map(|time| {
        let mut data = time.scan.data.clone();
        for slices in times.map(|time| time.slices) {
            if slices.thickness_mm < THICK_MM {
                continue;
            }
            let own = if slices.axis == time.slices.axis { time.slices.thickness_mm } else { 0.0 };
            let missing = (THICKNESS_MM.powi(2) - own.powi(2)).max(0.0).sqrt();
            // Half of its height a Gaussian is 2.355 standard deviations wide.
            data = smoothed_along(&data, grid.dims, slices.axis, missing / 2.355 / spacing(grid));
            if times[0].slices.axis == times[1].slices.axis {
                break;
            }
        }
        let (middle, spread) = known.spread(&data);
        data.iter_mut().for_each(|value| *value = (*value - middle) / spread);
        data
    });
    // What is beyond three deviations is no bias.
    let weight: Vec<f32> = known.look.iter().map(|&look| f32::from(look)).collect();
    let difference = |at: usize| (greys[1][at] - greys[0][at]).clamp(-3.0, 3.0) * weight[at];
    let mut bias: Vec<f32> = (0..weight.len()).map(difference).collect();
    let mut weight = weight;
    let radius = (BIAS_MM / spacing(grid)).round() as usize;
    for _ in 0..3 {
        bias = boxed(&bias, grid.dims, radius);
        weight = boxed(&weight, grid.dims, radius);
    }
    for ((value, bias), weight) in greys[1].iter_mut().zip(&bias).zip(&weight) {
        *value -= bias / weight.max(1e-3);
    }
    greys
}

/// How far the second greys lie above what was near at the first time, in standard
/// deviations of that over normal white matter.
fn rise(greys: [&Vec<f32>; 2], grid: &Volume, known: &Known) -> Vec<f32> {
    let near = balls_largest(greys[0], grid.dims, REACH_MM / spacing(grid));
    let mut rise: Vec<f32> = greys[1].iter().zip(&near).map(|(b, a)| b - a).collect();
    let spread = known.spread(&rise).1;
    rise.iter_mut().for_each(|value| *value /= spread);
    rise
}

/// Connected places (by faces) that look like a lesion and have risen, and somewhere clearly.
fn spots(rise: &[f32], odds: &[f32], look: &[bool], grid: &Volume) -> Vec<Vec<usize>> {
    let edge = |at: usize| look[at] && odds[at] >= EDGE_PROBABILITY && rise[at] >= EDGE_RISE;
    let seed = |at: usize| edge(at) && odds[at] >= SEED_PROBABILITY && rise[at] >= SEED_RISE;
    let voxel_mm3 = grid.affine.determinant().abs();
    let mut seen = vec![false; rise.len()];
    let mut all = Vec::new();
    for start in 0..rise.len() {
        if seen[start] || !seed(start) {
            continue;
        }
        seen[start] = true;
        let mut members = vec![start];
        let mut next = 0;
        while let Some(&at) = members.get(next) {
            next += 1;
            for other in faces(at, grid.dims).into_iter().flatten() {
                if !seen[other] && edge(other) {
                    seen[other] = true;
                    members.push(other);
                }
            }
        }
        if members.len() as f64 * voxel_mm3 >= SMALLEST_MM3 {
            all.push(members);
        }
    }
    all
}

fn lesion(fate: Fate, members: &[usize], rise: &[f32], grid: &Volume) -> Lesion {
    let [nx, ny, _] = grid.dims;
    let place = |at: usize| [at % nx, at / nx % ny, at / (nx * ny)].map(|v| v as f64);
    let count = members.len() as f64;
    let mut middle = [0.0; 3];
    for &at in members {
        (0..3).for_each(|axis| middle[axis] += place(at)[axis] / count);
    }
    let away = |at: usize| -> f64 {
        place(at).iter().zip(&middle).map(|(a, b)| (a - b).powi(2)).sum::<f64>()
    };
    let nearest = members.iter().copied().min_by(|&a, &b| away(a).total_cmp(&away(b)));
    let strength = members.iter().map(|&at| f64::from(rise[at])).sum::<f64>() / count;
    Lesion {
        fate,
        millilitres: count * grid.affine.determinant().abs() / 1000.0,
        inside_mm: grid.affine.apply(nearest.map_or(middle, place)),
        strength,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, offset};

    const DIMS: [usize; 3] = [40, 40, 40];

    fn table() -> LabelTable {
        let label = |index: u8, id: u16| Label {
            index,
            id,
            name: id.to_string(),
            color: [0; 3],
            side: None,
            pair: None,
        };
        LabelTable { labels: vec![label(1, 2), label(2, 4)] }
    }

    /// White matter around a ventricle, with cubes of 4 mm at these corners.
    fn scene(cubes: &[[usize; 3]], scale: f32, turn: usize) -> (Volume, LabelMap, Vec<f32>) {
        let grey = |at: usize| 100.0 + (((at + turn) * 7919) % 101) as f32 * 0.1;
        let mut data: Vec<f32> = (0..64_000).map(grey).collect();
        let mut odds = vec![0.0; 64_000];
        let mut labels = vec![1; 64_000];
        for corner in cubes {
            for at in 0..64 {
                let place = [corner[0] + at % 4, corner[1] + at / 4 % 4, corner[2] + at / 16];
                data[offset(DIMS, place)] += 60.0;
                odds[offset(DIMS, place)] = 0.8;
            }
        }
        for (at, label) in labels.iter_mut().enumerate() {
            if at % 40 >= 36 {
                *label = 2;
            }
        }
        // Another scale, and a field that rises along y.
        let field = |at: usize| 1.0 + 0.002 * turn as f32 * (at / 40 % 40) as f32;
        let data = data.iter().enumerate().map(|(at, v)| scale * v * field(at)).collect();
        let affine = Affine::from_spacing([1.0; 3]);
        (Volume { data, dims: DIMS, affine }, LabelMap { data: labels, dims: DIMS, affine }, odds)
    }

    fn found(first: &[[usize; 3]], second: &[[usize; 3]]) -> Lesions {
        let (a, b) = (scene(first, 1.0, 0), scene(second, 3.0, 1));
        let time = |scene: &'static (Volume, LabelMap, Vec<f32>)| Time {
            scan: &scene.0,
            labels: &scene.1,
            odds: &scene.2,
            slices: Slices { axis: 2, thickness_mm: 1.0 },
        };
        let (a, b) = (Box::leak(Box::new(a)), Box::leak(Box::new(b)));
        lesion_changes([time(a), time(b)], &table())
    }

    #[test]
    fn nothing_is_new_in_a_brighter_scan_with_a_bias_field() {
        let old = [[8, 8, 8], [20, 30, 12]];
        let found = found(&old, &old);
        assert!(found.spots.is_empty(), "{:?}", found.spots);
    }

    #[test]
    fn new_larger_and_shrunken_are_told_apart_and_fluid_is_none() {
        let (stays, goes, comes) = ([8, 8, 8], [20, 30, 12], [20, 10, 28]);
        // Beside the one that stays; and one in the ventricle.
        let (beside, fluid) = ([12, 8, 8], [36, 20, 20]);
        let there = found(&[stays, goes], &[stays, comes, beside, fluid]);
        let fates = |found: &Lesions| {
            let mut rows: Vec<_> = found
                .spots
                .iter()
                .map(|spot| (spot.fate.word(), spot.inside_mm.map(|v| (v / 4.0) as usize)))
                .collect();
            rows.sort_unstable();
            rows
        };
        assert_eq!(
            fates(&there),
            [("enlarged", [3, 2, 2]), ("new", [5, 2, 7]), ("shrunken", [5, 7, 3])]
        );
        let count = |fate: Fate| there.mask.data.iter().filter(|&&v| v == fate.index()).count();
        assert_eq!((count(Fate::New), count(Fate::Shrunken)), (64, 64));
        assert!((there.spots[0].millilitres - 0.064).abs() < 1e-9, "{there:?}");
        // The times swapped: what came went.
        let back = found(&[stays, comes, beside, fluid], &[stays, goes]);
        let rows = fates(&back);
        assert!(rows.contains(&("new", [5, 7, 3])) && rows.contains(&("shrunken", [5, 2, 7])));
        assert_eq!(rows.len(), 3, "{rows:?}");
    }
}
