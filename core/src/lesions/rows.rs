//! Rows from labels: connected voxels of one lesion class, measured and placed. A mass in its
//! oedema is two rows, each with a volume and a diameter of its own; the mass names its oedema.

use std::collections::HashSet;

use super::signal::signal;
use super::table::{Lesion, Place, SMALLEST_ML};
use crate::measure::display_name;
use crate::volume::pieces::pieces;
use crate::volume::{Affine, LabelMap, LabelTable, offset};

/// How near a lesion is to what it "touches", in millimetres.
const NEAR_MM: f64 = 2.5;

/// FreeSurfer ids: lateral ventricles, cerebral cortex, cerebellum and brainstem.
const VENTRICLES: [u16; 4] = [4, 5, 43, 44];
const CORTEX: [u16; 2] = [3, 42];
const INFRATENTORIAL: [u16; 6] = [7, 8, 16, 46, 47, 15];

/// Classes of the lesion pack that belong together.
const MASS: &str = "Mass";
const OEDEMA: &str = "Oedema";

/// Finds the lesions in `classes` (0 = none), removes from it what is too small or outside
/// the brain, and returns the rows, largest first.
///
/// `probability` is that of any lesion, `brain` the labels of a brain pack on the same grid
/// with their table, `grey` the first sequence there.
pub(super) fn lesions(
    classes: &mut LabelMap,
    probability: &[f32],
    kinds: &LabelTable,
    (brain, table): (&LabelMap, &LabelTable),
    grey: &[f32],
) -> Vec<Lesion> {
    let any: Vec<u8> = classes.data.iter().map(|&class| u8::from(class != 0)).collect();
    let voxel_ml = classes.affine.determinant().abs() / 1000.0;
    join_crumbs(classes, voxel_ml);
    let hull = Hull::of(brain);
    let mut rows = Vec::new();
    for voxels in voxels_of_pieces(classes) {
        let millilitres = voxels.len() as f64 * voxel_ml;
        let inside = voxels.iter().filter(|&&at| hull.holds(at as usize)).count();
        if millilitres < SMALLEST_ML || 2 * inside < voxels.len() {
            voxels.iter().for_each(|&at| classes.data[at as usize] = 0);
            continue;
        }
        let mut row = row(&voxels, millilitres, classes, probability, kinds, brain, table);
        row.signal = signal(&voxels, grey, &any, brain);
        rows.push((row, voxels));
    }
    let oedema = oedema_around(&rows, kinds, classes.dims);
    let mut rows: Vec<Lesion> = rows
        .into_iter()
        .zip(oedema)
        .map(|((row, _), oedema_ml)| Lesion { oedema_ml, ..row })
        .collect();
    rows.sort_by(|a, b| b.millilitres.total_cmp(&a.millilitres));
    for (number, row) in rows.iter_mut().enumerate() {
        row.number = number + 1;
    }
    rows
}

/// Of each row that is a mass, the volume of the rows of oedema that share a face with it, if
/// any. Oedema between two masses counts for both.
fn oedema_around(
    rows: &[(Lesion, Vec<u32>)],
    kinds: &LabelTable,
    dims: [usize; 3],
) -> Vec<Option<f64>> {
    let class =
        |name: &str| kinds.labels.iter().find(|label| label.name == name).map(|label| label.index);
    let (Some(mass), Some(oedema)) = (class(MASS), class(OEDEMA)) else {
        return vec![None; rows.len()];
    };
    let around = |(row, voxels): &(Lesion, Vec<u32>)| {
        if row.class != mass {
            return None;
        }
        let near: HashSet<usize> = voxels.iter().flat_map(|&at| neighbours(dims, at)).collect();
        let touches = |voxels: &[u32]| voxels.iter().any(|&at| near.contains(&(at as usize)));
        let touching =
            rows.iter().filter(|(other, voxels)| other.class == oedema && touches(voxels));
        let millilitres: f64 = touching.map(|(other, _)| other.millilitres).sum();
        (millilitres > 0.0).then_some(millilitres)
    };
    rows.iter().map(around).collect()
}

/// The voxels that share a face with one.
fn neighbours(dims: [usize; 3], at: u32) -> impl Iterator<Item = usize> {
    let place = place_of(dims, at);
    let steps = (0..3_usize).flat_map(|axis| [-1_isize, 1].map(|step| (axis, step)));
    steps.filter_map(move |(axis, step)| {
        let mut there = place;
        there[axis] = place[axis].checked_add_signed(step).filter(|&moved| moved < dims[axis])?;
        Some(offset(dims, there))
    })
}

/// Voxels of each connected piece of one class, in the order of the grid.
fn voxels_of_pieces(classes: &LabelMap) -> Vec<Vec<u32>> {
    let (of, list) = pieces(&classes.data, classes.dims);
    let mut voxels: Vec<Vec<u32>> = vec![Vec::new(); list.len()];
    for (at, &piece) in of.iter().enumerate() {
        if list[piece as usize] != 0 {
            voxels[piece as usize].push(at as u32);
        }
    }
    voxels.retain(|voxels| !voxels.is_empty());
    voxels
}

/// Pieces too small for a row that touch another class become part of it, the smallest first:
/// a few voxels of another kind in a mass are no hole in it. Of several classes the one with
/// most faces in common.
fn join_crumbs(classes: &mut LabelMap, voxel_ml: f64) {
    let mut crumbs = voxels_of_pieces(classes);
    crumbs.retain(|voxels| (voxels.len() as f64) * voxel_ml < SMALLEST_ML);
    crumbs.sort_by_key(Vec::len);
    let dims = classes.dims;
    for voxels in crumbs {
        let Some(&first) = voxels.first() else { continue };
        let own = classes.data[first as usize];
        let mut faces = [0_usize; 256];
        for &at in &voxels {
            for there in neighbours(dims, at) {
                faces[usize::from(classes.data[there])] += 1;
            }
        }
        let others = (1..=255_u8).filter(|&class| class != own && faces[usize::from(class)] > 0);
        if let Some(class) = others.max_by_key(|&class| faces[usize::from(class)]) {
            voxels.iter().for_each(|&at| classes.data[at as usize] = class);
        }
    }
}

pub(super) fn place_of(dims: [usize; 3], at: u32) -> [usize; 3] {
    let at = at as usize;
    [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])]
}

#[allow(clippy::too_many_arguments, reason = "one call")]
fn row(
    voxels: &[u32],
    millilitres: f64,
    classes: &LabelMap,
    probability: &[f32],
    kinds: &LabelTable,
    brain: &LabelMap,
    table: &LabelTable,
) -> Lesion {
    let (dims, affine) = (classes.dims, &classes.affine);
    let count = voxels.len() as f64;
    let mut structures = [0_usize; 256];
    let mut mean = [0.0; 3];
    let mut sure = 0.0;
    for &at in voxels {
        structures[usize::from(brain.data[at as usize])] += 1;
        sure += f64::from(probability[at as usize]);
        let place = place_of(dims, at);
        (0..3).for_each(|axis| mean[axis] += place[axis] as f64 / count);
    }
    let most = |votes: &[usize; 256]| (1..=255_u8).max_by_key(|&l| votes[usize::from(l)]);
    let class = voxels.first().map_or(0, |&at| classes.data[at as usize]);
    let around = surroundings(voxels, brain, table);
    // A lesion the brain pack took for nothing is named after what lies around it.
    let labelled = structures[1..].iter().any(|&votes| votes > 0);
    let structure = if labelled { most(&structures) } else { most(&around.votes) };
    let structure = structure.filter(|_| labelled || around.votes.iter().any(|&v| v > 0));
    let structure = structure.and_then(|index| table.get(index));
    let middle = affine.apply(mean);
    let nearest = voxels
        .iter()
        .map(|&at| place_of(dims, at))
        .min_by(|a, b| squared(affine, *a, middle).total_cmp(&squared(affine, *b, middle)))
        .unwrap_or([0; 3]);
    let place = match structure {
        None => Place::Unknown,
        Some(label) if INFRATENTORIAL.contains(&label.id) => Place::Infratentorial,
        Some(_) if around.ventricle => Place::Periventricular,
        Some(_) if around.cortex => Place::Juxtacortical,
        Some(_) => Place::Deep,
    };
    Lesion {
        number: 0,
        kind: kinds.get(class).map_or_else(String::new, |label| display_name(&label.name)),
        class,
        millilitres,
        diameter_mm: diameter(voxels, dims, affine),
        place,
        region: structure.map(|label| display_name(&label.name)),
        side: structure.and_then(|label| label.side),
        probability: (sure / count) as f32,
        centre_mm: middle,
        voxel: nearest,
        inside_mm: affine.apply(nearest.map(|v| v as f64)),
        signal: None,
        oedema_ml: None,
    }
}

fn squared(affine: &Affine, voxel: [usize; 3], to: [f64; 3]) -> f64 {
    let at = affine.apply(voxel.map(|v| v as f64));
    (0..3).map(|axis| (at[axis] - to[axis]).powi(2)).sum()
}

struct Surroundings {
    ventricle: bool,
    cortex: bool,
    votes: [usize; 256],
}

/// Labels of the brain in and within [`NEAR_MM`] of the voxels, looked at along the axes.
fn surroundings(voxels: &[u32], brain: &LabelMap, table: &LabelTable) -> Surroundings {
    let ids = table.ids();
    let spacing = brain.spacing_mm();
    let reach = spacing.map(|mm| (NEAR_MM / mm).round().max(1.0) as isize);
    let mut found = Surroundings { ventricle: false, cortex: false, votes: [0; 256] };
    for &at in voxels {
        let place = place_of(brain.dims, at);
        for axis in 0..3 {
            for step in -reach[axis]..=reach[axis] {
                let mut there = place;
                let Some(moved) = there[axis].checked_add_signed(step) else { continue };
                if moved >= brain.dims[axis] {
                    continue;
                }
                there[axis] = moved;
                let label = usize::from(brain.data[offset(brain.dims, there)]);
                if label != 0 {
                    found.votes[label] += 1;
                    found.ventricle |= VENTRICLES.contains(&ids[label]);
                    found.cortex |= CORTEX.contains(&ids[label]);
                }
            }
        }
    }
    found
}

/// Largest distance between voxels that are outermost along one of 49 directions.
fn diameter(voxels: &[u32], dims: [usize; 3], affine: &Affine) -> f64 {
    let points: Vec<[f64; 3]> =
        voxels.iter().map(|&at| affine.apply(place_of(dims, at).map(|v| v as f64))).collect();
    let mut outermost = Vec::new();
    for i in -3_i32..=3 {
        for j in -3_i32..=3 {
            let height = f64::from(9 - (i * i + j * j).min(9)).sqrt();
            let along = |p: &[f64; 3]| f64::from(i) * p[0] + f64::from(j) * p[1] + height * p[2];
            let ends = points.iter().fold(None, |ends: Option<([f64; 3], [f64; 3])>, point| {
                let (low, high) = ends.unwrap_or((*point, *point));
                Some((
                    if along(point) < along(&low) { *point } else { low },
                    if along(point) > along(&high) { *point } else { high },
                ))
            });
            outermost.extend(ends.map(|(low, high)| [low, high]).into_iter().flatten());
        }
    }
    let mut longest = 0.0_f64;
    for (index, a) in outermost.iter().enumerate() {
        for b in &outermost[index + 1..] {
            let square: f64 = (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum();
            longest = longest.max(square);
        }
    }
    longest.sqrt()
}

/// What lies between labelled voxels along every axis: the brain with its gaps.
struct Hull {
    dims: [usize; 3],
    /// First and last labelled voxel of every line, by axis.
    lines: [Vec<(u32, u32)>; 3],
}

impl Hull {
    fn of(labels: &LabelMap) -> Self {
        let dims = labels.dims;
        let empty = (u32::MAX, 0);
        let mut lines = [
            vec![empty; dims[1] * dims[2]],
            vec![empty; dims[0] * dims[2]],
            vec![empty; dims[0] * dims[1]],
        ];
        for (at, _) in labels.data.iter().enumerate().filter(|(_, label)| **label != 0) {
            let place = place_of(dims, at as u32);
            for axis in 0..3 {
                let line = &mut lines[axis][Self::line(dims, axis, place)];
                line.0 = line.0.min(place[axis] as u32);
                line.1 = line.1.max(place[axis] as u32);
            }
        }
        Self { dims, lines }
    }

    fn line(dims: [usize; 3], axis: usize, [x, y, z]: [usize; 3]) -> usize {
        match axis {
            0 => y + dims[1] * z,
            1 => x + dims[0] * z,
            _ => x + dims[0] * y,
        }
    }

    fn holds(&self, at: usize) -> bool {
        let place = place_of(self.dims, at as u32);
        (0..3).all(|axis| {
            let (first, last) = self.lines[axis][Self::line(self.dims, axis, place)];
            (first..=last).contains(&(place[axis] as u32))
        })
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
