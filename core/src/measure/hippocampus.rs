//! Whether labels can be a hippocampus in its two parts.
//!
//! A network answers whatever it is given, also where the crop holds no hippocampus, so its
//! labels are asked. The limits come from the 120 training crops (Medical Segmentation
//! Decathlon, 1 mm), drawn by hand; each is far outside of what
//! they have:
//!
//! | what | training crops | limit |
//! | --- | --- | --- |
//! | both parts together | 2.38 to 4.03 mL | 1.2 to 6.0 mL |
//! | a part in its largest piece | 0.996 or more | 0.8 |
//! | contact of the parts | 58 mm2 or more | 14 mm2 |
//! | way between the parts' centres, along the axis to the front | cosine of 0.78 or more | 0.4 |
//! | spread along the axis to the front, of the spread in all directions | 0.48 to 0.85 | 0.34 |
//! | volume, of the ellipsoid's with the same spread | 0.55 to 0.77 | 0.45 |
//! | voxels along each axis | 14 or more | 4 |
//! | outermost layer of the grid, against the fullest layer | 0 | 0.5 |

use std::f64::consts::PI;

use crate::volume::neighbours::faces;
use crate::volume::pieces::Pieces;
use crate::volume::{LabelMap, LabelTable};

/// Volume of both parts together, mL: half of the smallest and one and a half times the
/// largest in training.
const MILLILITRES: [f64; 2] = [1.2, 6.0];

/// Least share of a part that lies in its largest piece.
const LEAST_PIECE: f64 = 0.8;

/// Least area in which the parts touch, mm2: a quarter of the smallest in training.
const LEAST_CONTACT: f64 = 14.0;

/// Least cosine between the way from the posterior to the anterior part and the front: half
/// of the smallest in training.
const LEAST_FORWARD: f64 = 0.4;

/// Least share of the spread (variance) that lies along the axis to the front: crops turned by
/// 37 degrees still have 0.38, turned by 90 degrees 0.17 to 0.30.
const LEAST_ALONG: f64 = 0.34;

/// Least volume against that of an ellipsoid with the same spread. What the network makes of
/// crops turned by 180 degrees has 0.27 to 0.38 in four of five.
const LEAST_COMPACT: f64 = 0.45;

/// Fewest voxels along each axis.
const FEWEST_SLICES: usize = 4;

/// Voxels in an outermost layer of the grid, against those in the fullest layer along that
/// axis, from which on the hippocampus is cut there.
const CUT: f64 = 0.5;

/// Label indices of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Head of the hippocampus.
    pub anterior: u8,
    /// Body and tail.
    pub posterior: u8,
}

impl Parts {
    /// Those of a table; `None` where it does not name each once.
    pub fn of(table: &LabelTable) -> Option<Self> {
        let named = |part: &str| {
            let fits = |name: &str| name.contains("hippocampus") && name.contains(part);
            let mut labels = table.labels.iter().filter(|l| fits(&l.name.to_lowercase()));
            // A pack of both sides has two of each.
            labels.next().filter(|_| labels.next().is_none()).map(|label| label.index)
        };
        Some(Self { anterior: named("anterior")?, posterior: named("posterior")? })
    }
}

/// Why labels are no hippocampus.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Implausible {
    /// A part is missing.
    #[error(
        "no hippocampus was found: the network outlined no {0} part. This pack knows crops \
         around one hippocampus only; nothing is given for other places"
    )]
    Missing(&'static str),
    /// A part lies in pieces.
    #[error(
        "what the network outlined is not built like a hippocampus: only {percent:.0} % of its \
         {part} part is one piece (at least {} % are needed). Nothing is given for it; give a \
         crop around one hippocampus", 100.0 * LEAST_PIECE
    )]
    Scattered {
        /// Anterior or posterior.
        part: &'static str,
        /// Percent in the largest piece.
        percent: f64,
    },
    /// The parts do not touch.
    #[error(
        "what the network outlined is not built like a hippocampus: its parts touch on \
         {mm2:.0} mm2, and {LEAST_CONTACT} are needed. Nothing is given for it; give a crop \
         around one hippocampus"
    )]
    Apart {
        /// Area of contact.
        mm2: f64,
    },
    /// The anterior part is not in front.
    #[error(
        "what the network outlined is not built like a hippocampus: its anterior part does not \
         lie in front of its posterior one. Nothing is given for it; check the scan's \
         orientation, and give a crop around one hippocampus"
    )]
    Turned,
    /// It lies across.
    #[error(
        "what the network outlined does not lie like a hippocampus: only {percent:.0} % of its \
         spread is from back to front (at least {:.0} % are needed). Nothing is given for it; \
         check the scan's orientation, and give a crop around one hippocampus",
        100.0 * LEAST_ALONG
    )]
    Across {
        /// Percent of the variance along the axis to the front.
        percent: f64,
    },
    /// It is ragged or bent.
    #[error(
        "what the network outlined is not built like a hippocampus: it fills only {percent:.0} % \
         of an ellipsoid as long, wide and high (at least {:.0} % are needed). Nothing is given \
         for it; check the scan's orientation, and give a crop around one hippocampus",
        100.0 * LEAST_COMPACT
    )]
    Ragged {
        /// Percent of the ellipsoid's volume.
        percent: f64,
    },
    /// Too small or too large.
    #[error(
        "what the network outlined is not of the size of a hippocampus: {millilitres:.2} mL, \
         where one has {} to {} mL. Nothing is given for it; give a crop around one \
         hippocampus", MILLILITRES[0], MILLILITRES[1]
    )]
    Size {
        /// Both parts together.
        millilitres: f64,
    },
    /// Too few slices.
    #[error(
        "what the network outlined has {slices} slice(s) along one axis, and {FEWEST_SLICES} \
         are needed. Nothing is given for it; give thinner slices, or a crop around the whole \
         hippocampus"
    )]
    Flat {
        /// Their number.
        slices: usize,
    },
    /// Cut by the border of the scan.
    #[error(
        "the hippocampus is cut by the border of the scan. Nothing is given for it; give a \
         crop around the whole hippocampus"
    )]
    Cut,
}

/// Checks labels on the scan's own grid.
///
/// # Errors
/// [`Implausible`].
pub fn check_labels(labels: &LabelMap, parts: Parts) -> Result<(), Implausible> {
    let named = [(parts.anterior, "anterior"), (parts.posterior, "posterior")];
    let counts = labels.counts();
    for (index, name) in named {
        if counts[usize::from(index)] == 0 {
            return Err(Implausible::Missing(name));
        }
    }
    let pieces = Pieces::find(&labels.data, labels.dims);
    for (index, part) in named {
        let share = pieces.largest(index) as f64 / counts[usize::from(index)] as f64;
        if share < LEAST_PIECE {
            return Err(Implausible::Scattered { part, percent: 100.0 * share });
        }
    }
    let mm2 = contact(labels, parts);
    if mm2 < LEAST_CONTACT {
        return Err(Implausible::Apart { mm2 });
    }
    if forward(labels, parts) < LEAST_FORWARD {
        return Err(Implausible::Turned);
    }
    let voxels: usize = named.iter().map(|&(index, _)| counts[usize::from(index)]).sum();
    let millilitres = voxels as f64 * labels.affine.determinant().abs() / 1000.0;
    if !(MILLILITRES[0]..=MILLILITRES[1]).contains(&millilitres) {
        return Err(Implausible::Size { millilitres });
    }
    let spread = spread(labels, parts);
    let along = spread[1][1] / (0..3).map(|axis| spread[axis][axis]).sum::<f64>();
    if along < LEAST_ALONG {
        return Err(Implausible::Across { percent: 100.0 * along });
    }
    // A solid ellipsoid's semi-axes are sqrt(5) times the standard deviations along them.
    let ellipsoid = 4.0 / 3.0 * PI * 5.0_f64.powf(1.5) * determinant(&spread).sqrt();
    let compact = 1000.0 * millilitres / ellipsoid;
    if compact < LEAST_COMPACT {
        return Err(Implausible::Ragged { percent: 100.0 * compact });
    }
    for layers in layers(labels, parts) {
        let slices = layers.iter().filter(|&&count| count > 0).count();
        if slices < FEWEST_SLICES {
            return Err(Implausible::Flat { slices });
        }
        let fullest = layers.iter().copied().max().unwrap_or(0);
        let outermost = [layers.first(), layers.last()].into_iter().flatten().copied();
        if outermost.max().unwrap_or(0) as f64 >= CUT * fullest as f64 {
            return Err(Implausible::Cut);
        }
    }
    Ok(())
}

/// Area of the voxel faces between the parts, mm2.
fn contact(labels: &LabelMap, parts: Parts) -> f64 {
    let spacing = labels.spacing_mm();
    let area = |axis: usize| spacing[(axis + 1) % 3] * spacing[(axis + 2) % 3];
    let anterior = labels.data.iter().enumerate().filter(|(_, label)| **label == parts.anterior);
    let touching = anterior.flat_map(|(at, _)| faces(at, labels.dims).into_iter().enumerate());
    touching
        .filter(|(_, next)| next.is_some_and(|next| labels.data[next] == parts.posterior))
        .map(|(face, _)| area(face / 2))
        .sum()
}

/// Cosine between the way from the posterior part's centre to the anterior one's and the
/// front (world A).
fn forward(labels: &LabelMap, parts: Parts) -> f64 {
    let [front, back] = [parts.anterior, parts.posterior].map(|index| centre(labels, index));
    let way = [0, 1, 2].map(|axis| front[axis] - back[axis]);
    let length = way.iter().map(|step| step * step).sum::<f64>().sqrt();
    if length > 0.0 { way[1] / length } else { 0.0 }
}

/// Centre of a label in world millimetres.
fn centre(labels: &LabelMap, index: u8) -> [f64; 3] {
    let (mut sum, mut count) = ([0.0; 3], 0_usize);
    for place in labels.places(index) {
        (0..3).for_each(|axis| sum[axis] += place[axis] as f64);
        count += 1;
    }
    labels.affine.apply(sum.map(|sum| sum / count.max(1) as f64))
}

/// Covariance of the places of both parts' voxels, world mm2.
fn spread(labels: &LabelMap, parts: Parts) -> [[f64; 3]; 3] {
    let (mut sum, mut products, mut count) = ([0.0; 3], [[0.0; 3]; 3], 0.0);
    for place in [parts.anterior, parts.posterior].into_iter().flat_map(|i| labels.places(i)) {
        let world = labels.affine.apply(place.map(|at| at as f64));
        for row in 0..3 {
            sum[row] += world[row];
            (0..3).for_each(|column| products[row][column] += world[row] * world[column]);
        }
        count += 1.0;
    }
    let mean = sum.map(|sum| sum / count);
    [0, 1, 2]
        .map(|row| [0, 1, 2].map(|column| products[row][column] / count - mean[row] * mean[column]))
}

fn determinant(m: &[[f64; 3]; 3]) -> f64 {
    let minor = |a: usize, b: usize| m[1][a] * m[2][b] - m[1][b] * m[2][a];
    m[0][0] * minor(1, 2) - m[0][1] * minor(0, 2) + m[0][2] * minor(0, 1)
}

/// Voxels of both parts in each layer along each axis.
fn layers(labels: &LabelMap, parts: Parts) -> [Vec<usize>; 3] {
    let mut layers = labels.dims.map(|side| vec![0; side]);
    for place in [parts.anterior, parts.posterior].into_iter().flat_map(|i| labels.places(i)) {
        (0..3).for_each(|axis| layers[axis][place[axis]] += 1);
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, Label, offset};

    const PARTS: Parts = Parts { anterior: 1, posterior: 2 };

    /// Boxes of 10 x 16 x 10 mm one behind the other along y, the anterior one in front:
    /// 3.2 mL in a grid of 40 x 60 x 40 mm.
    fn parts() -> LabelMap {
        parts_in([40, 60, 40])
    }

    fn parts_in(dims: [usize; 3]) -> LabelMap {
        let data = vec![0; dims.iter().product()];
        let mut labels = LabelMap { data, dims, affine: Affine::from_spacing([1.0; 3]) };
        fill(&mut labels, 2, [15, 14, 15], [10, 16, 10]);
        fill(&mut labels, 1, [15, 30, 15], [10, 16, 10]);
        labels
    }

    fn fill(labels: &mut LabelMap, index: u8, from: [usize; 3], sides: [usize; 3]) {
        for z in from[2]..from[2] + sides[2] {
            for y in from[1]..from[1] + sides[1] {
                for x in from[0]..from[0] + sides[0] {
                    labels.data[offset(labels.dims, [x, y, z])] = index;
                }
            }
        }
    }

    fn check(labels: &LabelMap) -> Result<(), Implausible> {
        check_labels(labels, PARTS)
    }

    #[test]
    fn a_hippocampus_passes_and_a_part_alone_does_not() {
        let mut labels = parts();
        assert_eq!(check(&labels), Ok(()));
        fill(&mut labels, 0, [15, 30, 15], [10, 16, 10]);
        assert_eq!(check(&labels), Err(Implausible::Missing("anterior")));
    }

    #[test]
    fn each_part_is_one_piece() {
        let mut labels = parts();
        // A slab of 4 mm out of 16: pieces of 10 and 2 mm.
        fill(&mut labels, 0, [15, 40, 15], [10, 4, 10]);
        assert_eq!(check(&labels), Ok(()));
        fill(&mut labels, 0, [15, 36, 15], [10, 4, 10]);
        fill(&mut labels, 1, [15, 40, 15], [10, 4, 10]);
        let percent = 50.0;
        assert_eq!(check(&labels), Err(Implausible::Scattered { part: "anterior", percent }));
    }

    #[test]
    fn the_parts_touch_and_the_anterior_one_is_in_front() {
        let mut labels = parts();
        fill(&mut labels, 0, [15, 30, 15], [10, 1, 10]);
        assert_eq!(check(&labels), Err(Implausible::Apart { mm2: 0.0 }));
        // The same voxels with the second axis to the back.
        let mut labels = parts();
        labels.affine.0[1][1] = -1.0;
        assert_eq!(check(&labels), Err(Implausible::Turned));
        let swapped = Parts { anterior: 2, posterior: 1 };
        assert_eq!(check_labels(&labels, swapped), Ok(()));
    }

    #[test]
    fn it_runs_from_back_to_front_and_is_compact() {
        // One behind the other, but wide: 30 mm across, 2 x 7 mm to the front.
        let mut labels = parts_in([40, 60, 40]);
        labels.data.fill(0);
        fill(&mut labels, 2, [5, 20, 15], [30, 7, 8]);
        fill(&mut labels, 1, [5, 27, 15], [30, 7, 8]);
        // Variances of a box are (side^2 - 1) / 12.
        let [wide, long, high] = [30.0, 14.0, 8.0].map(|side: f64| (side * side - 1.0) / 12.0);
        let Err(Implausible::Across { percent }) = check(&labels) else { panic!("not across") };
        assert!((percent - 100.0 * long / (wide + long + high)).abs() < 1e-6, "{percent}");
        // Two plates at a right angle fill little of their ellipsoid.
        let mut labels = parts_in([40, 60, 40]);
        labels.data.fill(0);
        for (index, from) in [(2, 14), (1, 30)] {
            fill(&mut labels, index, [8, from, 8], [3, 16, 24]);
            fill(&mut labels, index, [8, from, 8], [24, 16, 3]);
        }
        assert!(matches!(check(&labels), Err(Implausible::Ragged { percent }) if percent < 45.0));
    }

    #[test]
    fn size_slices_and_border_count() {
        let mut labels = parts();
        labels.affine = Affine::from_spacing([1.5; 3]);
        assert_eq!(check(&labels), Err(Implausible::Size { millilitres: 10.8 }));
        // Slices of 4 mm: 10 mm are 3 of them.
        let mut thick = parts();
        thick.data.fill(0);
        thick.affine = Affine::from_spacing([1.0, 1.0, 4.0]);
        fill(&mut thick, 2, [15, 14, 15], [10, 16, 3]);
        fill(&mut thick, 1, [15, 30, 15], [10, 16, 3]);
        assert_eq!(check(&thick), Err(Implausible::Flat { slices: 3 }));
        // The last layer along y is as full as any.
        assert_eq!(check(&parts_in([40, 46, 40])), Err(Implausible::Cut));
        assert_eq!(check(&parts_in([40, 47, 40])), Ok(()));
    }

    #[test]
    fn a_brain_is_no_hippocampus_in_parts() {
        let table = |names: &[&str]| {
            let label = |(at, name): (usize, &&str)| Label {
                index: at as u8 + 1,
                id: at as u16 + 1,
                name: (*name).into(),
                color: [0; 3],
                side: None,
                pair: None,
            };
            LabelTable { labels: names.iter().enumerate().map(label).collect() }
        };
        assert_eq!(Parts::of(&table(&["Left-Hippocampus", "Right-Hippocampus"])), None);
        let both = table(&["Hippocampus-Anterior", "Hippocampus-Posterior"]);
        assert_eq!(Parts::of(&both), Some(PARTS));
    }
}
