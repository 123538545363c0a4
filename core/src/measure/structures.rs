//! Volume, share, asymmetry, position and completeness of every structure.
//!
//! Definitions, as they also stand in the report:
//! - volume: number of voxels times the absolute determinant of the affine (mm^3 a
//!   voxel), in millilitres; no correction for partial volume;
//! - share of the brain: of all labelled brain tissue without ventricles and fluid,
//!   or, for packs without FreeSurfer brain labels, of all labelled voxels;
//! - share of the intracranial volume: of brain, ventricles and fluid together, only
//!   where the pack labels the fluid around the brain (see [`Totals`]);
//! - asymmetry: 100 (L - R) / ((L + R) / 2), positive where the left is larger.
//!
//! Voxels are read twice as runs along x (first sums, then the voxel nearest to each
//! centroid), so the cost grows with the number of voxels and not of structures.

use serde::{Deserialize, Serialize};

use super::anatomy::{Region, Tissue, anatomy, display_name};
use super::caution::Caution;
use crate::volume::{Affine, LabelMap, LabelTable, Side};

/// Share of fluid outside the ventricles from which it is taken to fill the cranium.
/// Labels drawn around the whole brain hold a quarter of the total there; FreeSurfer's
/// own id 24 is a sliver of a millilitre or two, under 1 %.
const FLUID_SHARE: f64 = 0.02;

/// A side of the field of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Face {
    /// Towards the patient's left.
    Left,
    /// Towards the patient's right.
    Right,
    /// Towards the back.
    Posterior,
    /// Towards the front.
    Anterior,
    /// Towards the feet.
    Inferior,
    /// Towards the head.
    Superior,
}

impl Face {
    /// The word used in sentences.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Posterior => "posterior",
            Self::Anterior => "anterior",
            Self::Inferior => "inferior",
            Self::Superior => "superior",
        }
    }

    /// Faces at the low and high end of each voxel axis, by its nearest world axis.
    pub fn of_axes(affine: &Affine) -> [[Self; 2]; 3] {
        affine.closest_axes().map(|(world, positive)| {
            let faces = match world {
                0 => [Self::Left, Self::Right],
                1 => [Self::Posterior, Self::Anterior],
                _ => [Self::Inferior, Self::Superior],
            };
            if positive { faces } else { [faces[1], faces[0]] }
        })
    }
}

/// One structure, measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StructureVolume {
    /// Value in the label map.
    pub index: u8,
    /// Number in files (FreeSurfer id for the brain).
    pub id: u16,
    /// Name in files.
    pub name: String,
    /// Name in prose, with its side.
    pub display_name: String,
    /// Red, green, blue.
    pub color: [u8; 3],
    /// Side of the body, for paired structures.
    pub side: Option<Side>,
    /// Index of the same structure on the other side.
    pub pair: Option<u8>,
    /// Where the report describes it.
    pub region: Region,
    /// What it is made of, for brain labels.
    pub tissue: Option<Tissue>,
    /// Number of voxels; 0 where the structure was not found.
    pub voxels: u64,
    /// Volume in millilitres.
    pub millilitres: f64,
    /// Volume in percent of the brain (see [`Totals::brain_definition`]); for
    /// ventricles and fluid, which are no part of the brain, their ratio to it.
    /// 0 where no brain was found.
    pub percent_of_brain: f64,
    /// Volume in percent of the intracranial volume, where that is known.
    pub percent_of_icv: Option<f64>,
    /// 100 (L - R) / ((L + R) / 2) of the pair, the same on both sides; `None` where
    /// there is no pair or a side was not found.
    pub asymmetry_percent: Option<f64>,
    /// Mean position of its voxels in the world (RAS+, mm).
    pub centroid_mm: Option<[f64; 3]>,
    /// The voxel of the structure nearest to the centroid in millimetres: unlike the
    /// centroid it always lies inside.
    pub nearest_voxel: Option<[usize; 3]>,
    /// Voxels in the outermost layer of the field of view; above 0 the structure is
    /// probably cut and its volume too small.
    pub edge_voxels: u64,
    /// The sides of the field of view it touches.
    pub edge_faces: Vec<Face>,
    /// Why its volume is not to be read as a measurement, by the pack's scores (see
    /// [`StructureVolume::judge`]); `None` where nothing is known against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caution: Option<Caution>,
}

impl StructureVolume {
    /// Marks the structure where the pack with these scores is known to get its volume wrong.
    pub fn judge(&mut self, scores: &serde_json::Value) {
        self.caution = Caution::of(scores, &self.display_name);
    }
}

/// Sums over the structures, with the words that define them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Volume that `percent_of_brain` refers to, in millilitres.
    pub brain_millilitres: f64,
    /// Whether that is the brain (`true`) or all labelled voxels.
    pub is_brain: bool,
    /// What it is made of, in words.
    pub brain_definition: String,
    /// Ventricles and choroid plexus, where the pack labels them.
    pub ventricles_millilitres: Option<f64>,
    /// Brain, ventricles and fluid together, where the pack labels the fluid around
    /// the brain.
    pub icv_millilitres: Option<f64>,
    /// What it is made of, or why it is not given.
    pub icv_definition: String,
    /// Structures of the pack.
    pub structures: usize,
    /// Structures with at least one voxel.
    pub found: usize,
    /// Structures that touch the edge of the field of view.
    pub cut: usize,
}

impl Totals {
    /// Sums over measured structures.
    pub fn of(structures: &[StructureVolume]) -> Self {
        let sum = |keep: &dyn Fn(&StructureVolume) -> bool| -> f64 {
            structures.iter().filter(|s| keep(s)).map(|s| s.millilitres).sum()
        };
        let is_brain = structures.iter().any(|s| s.tissue.is_some_and(Tissue::is_brain));
        let (brain_millilitres, brain_definition) = if is_brain {
            (
                sum(&|s| s.tissue.is_some_and(Tissue::is_brain)),
                "all labelled brain tissue (cerebrum, deep grey matter, cerebellum and brainstem) \
                 without ventricles, choroid plexus and cerebrospinal fluid",
            )
        } else {
            (sum(&|_| true), "all labelled structures together")
        };
        let has = |tissue| structures.iter().any(|s| s.tissue == Some(tissue));
        let cranium = sum(&|s| s.tissue.is_some());
        let fluid = sum(&|s| s.tissue == Some(Tissue::Fluid));
        let (icv_millilitres, icv_definition) = if !is_brain || !has(Tissue::Fluid) {
            (None, "not given: the pack does not label the cerebrospinal fluid around the brain")
        } else if cranium <= 0.0 || fluid < FLUID_SHARE * cranium {
            (
                None,
                "not given: too little fluid was labelled around the brain to stand for the cranium",
            )
        } else {
            (
                Some(cranium),
                "brain, ventricles and the labelled cerebrospinal fluid around the brain together; \
                 without meninges and the inner table of the skull",
            )
        };
        Self {
            brain_millilitres,
            is_brain,
            brain_definition: brain_definition.into(),
            ventricles_millilitres: has(Tissue::Ventricle)
                .then(|| sum(&|s| s.tissue == Some(Tissue::Ventricle))),
            icv_millilitres,
            icv_definition: icv_definition.into(),
            structures: structures.len(),
            found: structures.iter().filter(|s| s.voxels > 0).count(),
            cut: structures.iter().filter(|s| s.edge_voxels > 0).count(),
        }
    }
}

/// Asymmetry index in percent: 100 (L - R) / ((L + R) / 2); `None` unless both
/// volumes are above 0.
pub fn asymmetry_percent(left: f64, right: f64) -> Option<f64> {
    (left > 0.0 && right > 0.0).then(|| 100.0 * (left - right) / (0.5 * (left + right)))
}

#[derive(Clone, Copy, Default)]
struct Sums {
    voxels: u64,
    position: [u64; 3],
    edge_voxels: u64,
    faces: [[bool; 2]; 3],
}

#[derive(Clone, Copy)]
struct Nearest {
    distance: f64,
    voxel: [usize; 3],
}

/// Visits every run of equal, non-zero labels along x: `(label, start, end, y, z)`,
/// end exclusive.
fn for_each_run(labels: &LabelMap, mut visit: impl FnMut(u8, usize, usize, usize, usize)) {
    let [nx, ny, nz] = labels.dims;
    if nx == 0 || ny == 0 {
        return;
    }
    for (row, values) in labels.data.chunks_exact(nx).take(ny * nz).enumerate() {
        let (y, z) = (row % ny, row / ny);
        let mut start = 0;
        while start < nx {
            let label = values[start];
            let end = start + values[start..].iter().take_while(|&&v| v == label).count();
            if label != 0 {
                visit(label, start, end, y, z);
            }
            start = end;
        }
    }
}

/// Measures every structure of `table` in `labels`, in the table's order; structures
/// without a voxel are listed with volume 0. Labels that are not in the table are not
/// counted. Linear in the number of voxels.
pub fn structures(labels: &LabelMap, table: &LabelTable) -> Vec<StructureVolume> {
    let sums = sum_runs(labels);
    let nearest = nearest_voxels(labels, &sums);
    let millilitres_per_voxel = labels.affine.determinant().abs() / 1000.0;
    let faces = Face::of_axes(&labels.affine);

    let mut rows: Vec<StructureVolume> = table
        .labels
        .iter()
        .map(|label| {
            let at = usize::from(label.index);
            let sum = &sums[at];
            let role = anatomy(label);
            let mut edge_faces: Vec<Face> = (0..3)
                .flat_map(|axis| [0, 1].map(|end| (sum.faces[axis][end], faces[axis][end])))
                .filter_map(|(touched, face)| touched.then_some(face))
                .collect();
            edge_faces.sort_unstable();
            StructureVolume {
                index: label.index,
                id: label.id,
                name: label.name.clone(),
                display_name: display_name(&label.name),
                color: label.color,
                side: label.side,
                pair: label.pair,
                region: role.map_or(Region::Other, |(region, _)| region),
                tissue: role.map(|(_, tissue)| tissue),
                voxels: sum.voxels,
                millilitres: sum.voxels as f64 * millilitres_per_voxel,
                percent_of_brain: 0.0,
                percent_of_icv: None,
                asymmetry_percent: None,
                centroid_mm: centroid(sum).map(|voxel| labels.affine.apply(voxel)),
                nearest_voxel: nearest[at].map(|nearest| nearest.voxel),
                edge_voxels: sum.edge_voxels,
                edge_faces,
                caution: None,
            }
        })
        .collect();
    add_ratios(&mut rows);
    rows
}

/// Fills in shares and asymmetries, which need all volumes.
fn add_ratios(rows: &mut [StructureVolume]) {
    let totals = Totals::of(rows);
    let mut millilitres = [0.0; 256];
    for row in rows.iter() {
        millilitres[usize::from(row.index)] = row.millilitres;
    }
    for row in rows {
        if totals.brain_millilitres > 0.0 {
            row.percent_of_brain = 100.0 * row.millilitres / totals.brain_millilitres;
        }
        row.percent_of_icv = totals
            .icv_millilitres
            .filter(|_| row.tissue.is_some())
            .map(|icv| 100.0 * row.millilitres / icv);
        if let (Some(side), Some(pair)) = (row.side, row.pair) {
            let other = millilitres[usize::from(pair)];
            row.asymmetry_percent = match side {
                Side::Left => asymmetry_percent(row.millilitres, other),
                Side::Right => asymmetry_percent(other, row.millilitres),
            };
        }
    }
}

fn sum_runs(labels: &LabelMap) -> Vec<Sums> {
    let [nx, ny, nz] = labels.dims;
    let mut sums = vec![Sums::default(); 256];
    for_each_run(labels, |label, start, end, y, z| {
        let sum = &mut sums[usize::from(label)];
        let count = (end - start) as u64;
        sum.voxels += count;
        // x from start to end - 1; the product is even.
        sum.position[0] += count * (start + end - 1) as u64 / 2;
        sum.position[1] += count * y as u64;
        sum.position[2] += count * z as u64;
        let touches = [[start == 0, end == nx], [y == 0, y + 1 == ny], [z == 0, z + 1 == nz]];
        sum.edge_voxels += if touches[1].contains(&true) || touches[2].contains(&true) {
            count
        } else {
            (u64::from(touches[0][0]) + u64::from(touches[0][1])).min(count)
        };
        for (faces, touched) in sum.faces.iter_mut().zip(touches) {
            faces[0] |= touched[0];
            faces[1] |= touched[1];
        }
    });
    sums
}

fn centroid(sum: &Sums) -> Option<[f64; 3]> {
    (sum.voxels > 0).then(|| sum.position.map(|s| s as f64 / sum.voxels as f64))
}

/// For every label, its voxel nearest to its centroid in millimetres (the first in
/// the order of the data where several are equally near). Along a run the squared
/// distance is a parabola in x, so the best voxel of a run is found at once.
fn nearest_voxels(labels: &LabelMap, sums: &[Sums]) -> Vec<Option<Nearest>> {
    let matrix = labels.affine.0;
    let gram = |a: usize, b: usize| matrix.iter().map(|row| row[a] * row[b]).sum::<f64>();
    let gram = [0, 1, 2].map(|a| [0, 1, 2].map(|b| gram(a, b)));
    let centroids: Vec<[f64; 3]> =
        sums.iter().map(|sum| centroid(sum).unwrap_or_default()).collect();
    let mut nearest: Vec<Option<Nearest>> = vec![None; 256];
    for_each_run(labels, |label, start, end, y, z| {
        let centroid = centroids[usize::from(label)];
        let dy = y as f64 - centroid[1];
        let dz = z as f64 - centroid[2];
        let across = gram[1][1] * dy * dy + 2.0 * gram[1][2] * dy * dz + gram[2][2] * dz * dz;
        let slope = gram[0][1] * dy + gram[0][2] * dz;
        let vertex = if gram[0][0] > 0.0 { centroid[0] - slope / gram[0][0] } else { centroid[0] };
        let x = vertex.clamp(start as f64, (end - 1) as f64).round() as usize;
        let dx = x as f64 - centroid[0];
        let distance = gram[0][0] * dx * dx + 2.0 * slope * dx + across;
        let best = &mut nearest[usize::from(label)];
        if best.is_none_or(|best| distance < best.distance) {
            *best = Some(Nearest { distance, voxel: [x, y, z] });
        }
    });
    nearest
}

#[cfg(test)]
#[path = "structures_tests.rs"]
mod tests;
