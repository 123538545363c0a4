//! Whether a scan can be a stack of short-axis slices, and labels on it a heart.
//!
//! A network answers whatever it is given, so both are asked: the geometry before the
//! network runs, the labels after. What the in-plane directions are is not asked: the
//! pack is trained on any rotation and mirroring, and neither changes a volume.
//!
//! The limits come from the training patients and from brains; the pack's card has the
//! figures.

use super::Chambers;
use crate::volume::{Affine, LabelMap, Reorientation, offset};

/// Fewest slices: training leaves no stack shorter.
const FEWEST_SLICES: usize = 3;

/// Most slices: stacks of 8 to 10 mm that cover a heart have 6 to 18.
const MOST_SLICES: usize = 24;

/// A short-axis slice is several times as thick as its pixels are wide (5 to 8 in ACDC).
const THIN_RATIO: f64 = 2.5;

/// Part of the left cavity's in-plane border that has to be myocardium: at least 0.95 in 18
/// training scans (drawn: 0.999), at most 0.70 in five brains and a hippocampus crop.
const LEAST_WALL: f64 = 0.8;

/// Slices with a left cavity that are needed in one run.
const LEAST_RUN: usize = 3;

/// From this part of its fullest slice on, the left cavity in the smaller of a stack's two end
/// slices shows that the apex is not in it. Drawn at end-diastole the part is at most 0.42 in
/// 50 training patients of ACDC (the next 0.31), and the four middle slices of 47 of them have
/// 0.5 or more. The base alone shows nothing: often the stack ends there at full width.
const CUT_SHARE: f64 = 0.5;

/// Why something is no heart on short-axis slices.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Implausible {
    /// Too few or too many slices.
    #[error(
        "this is no stack that a heart pack can outline: it has {slices} slice(s) along its \
         thickest axis, and {FEWEST_SLICES} to {MOST_SLICES} short-axis slices are needed. \
         Give the whole stack of one phase, or use another model"
    )]
    Slices {
        /// Their number.
        slices: usize,
    },
    /// Voxels that are nearly cubes.
    #[error(
        "this is no short-axis stack: a slice is {ratio:.1} times as thick as its pixels are \
         wide, where cine slices are at least {THIN_RATIO} times. Use another model for \
         scans of other kinds"
    )]
    Cubes {
        /// Thickness over the larger in-plane spacing.
        ratio: f64,
    },
    /// Nothing says how thick its slices are.
    #[error(
        "the file states no spacing of its voxels (1 is taken without one, or it states 1 \
         without a unit), so that nothing shows whether this is a short-axis stack. Give the \
         scan as a file that has the spacing, or use another model"
    )]
    Unspaced,
    /// A structure is missing.
    #[error(
        "no heart was found: the network outlined no {0}. This pack knows short-axis cine \
         slices only; nothing is given for other views and other parts of the body"
    )]
    Missing(&'static str),
    /// The left cavity has no wall.
    #[error(
        "what the network outlined is not built like a heart: only {percent:.0} % of the left \
         ventricle's border is myocardium (a heart has at least {} %). Nothing is given for \
         it; this pack knows short-axis cine slices only", 100.0 * LEAST_WALL
    )]
    Open {
        /// Percent of the border.
        percent: f64,
    },
    /// The left cavity is not in enough slices in a row.
    #[error(
        "what the network outlined is not built like a heart: the left ventricle appears in \
         {slices} slice(s) in a row, and {LEAST_RUN} are needed. Nothing is given for it"
    )]
    Scattered {
        /// Longest run.
        slices: usize,
    },
}

/// Checks a scan's geometry, with whether its file states spacing and unit.
///
/// # Errors
/// [`Implausible::Slices`], [`Implausible::Cubes`] or [`Implausible::Unspaced`].
pub fn check_stack(
    dims: [usize; 3],
    affine: &Affine,
    unit_stated: bool,
) -> Result<(), Implausible> {
    // A single slice may be thinner than its pixels are wide.
    let single = dims.iter().position(|&n| n == 1);
    let through = single.unwrap_or_else(|| Reorientation::slices_last(affine, dims).slice_axis());
    let spacing = affine.spacing_mm();
    let plane = (0..3).filter(|&axis| axis != through).map(|axis| spacing[axis]);
    let ratio = spacing[through] / plane.fold(0.0, f64::max);
    let slices = dims[through];
    // One slice has no distance to the next: its thickness means little.
    if slices > 1 && ratio < THIN_RATIO {
        // Readers take 1 where a file states none.
        let taken = spacing.iter().any(|length| (length - 1.0).abs() < 1e-9);
        return Err(if taken && !unit_stated {
            Implausible::Unspaced
        } else {
            Implausible::Cubes { ratio }
        });
    }
    if !(FEWEST_SLICES..=MOST_SLICES).contains(&slices) {
        return Err(Implausible::Slices { slices });
    }
    Ok(())
}

/// Checks labels on the scan's own grid.
///
/// # Errors
/// [`Implausible`].
pub fn check_labels(labels: &LabelMap, chambers: Chambers) -> Result<(), Implausible> {
    let counts = labels.counts();
    let found = |index: u8| counts[usize::from(index)] > 0;
    for (index, name) in [(chambers.left, "left ventricle"), (chambers.myocardium, "myocardium")] {
        if !found(index) {
            return Err(Implausible::Missing(name));
        }
    }
    let through = Reorientation::slices_last(&labels.affine, labels.dims).slice_axis();
    let slices = longest_run(labels, chambers.left, through);
    if slices < LEAST_RUN {
        return Err(Implausible::Scattered { slices });
    }
    let wall = wall_share(labels, chambers, through);
    if wall < LEAST_WALL {
        return Err(Implausible::Open { percent: 100.0 * wall });
    }
    Ok(())
}

/// Whether the stack ends inside the left ventricle: its cavity is nearly as large as anywhere in
/// both end slices (`CUT_SHARE`). To be asked of end-diastole.
pub fn is_cut(labels: &LabelMap, chambers: Chambers) -> bool {
    let through = Reorientation::slices_last(&labels.affine, labels.dims).slice_axis();
    let mut voxels = vec![0_u64; labels.dims[through]];
    for_each_voxel(labels, chambers.left, |place| voxels[place[through]] += 1);
    let (Some(&first), Some(&last)) = (voxels.first(), voxels.last()) else { return false };
    let fullest = voxels.iter().copied().max().unwrap_or(0);
    fullest > 0 && first.min(last) as f64 >= CUT_SHARE * fullest as f64
}

/// Part of the in-plane faces between the left cavity and anything else, the edge of the
/// image included, that are faces to myocardium.
fn wall_share(labels: &LabelMap, chambers: Chambers, through: usize) -> f64 {
    let dims = labels.dims;
    let (mut faces, mut wall) = (0_u64, 0_u64);
    for_each_voxel(labels, chambers.left, |place| {
        for axis in (0..3).filter(|&axis| axis != through) {
            for up in [false, true] {
                let at = if up { place[axis] + 1 } else { place[axis].wrapping_sub(1) };
                let mut next = place;
                next[axis] = at;
                let other = (at < dims[axis]).then(|| labels.data[offset(dims, next)]);
                faces += u64::from(other != Some(chambers.left));
                wall += u64::from(other == Some(chambers.myocardium));
            }
        }
    });
    wall as f64 / faces.max(1) as f64
}

/// Most slices in a row that hold a label.
fn longest_run(labels: &LabelMap, index: u8, through: usize) -> usize {
    let mut held = vec![false; labels.dims[through]];
    for_each_voxel(labels, index, |place| held[place[through]] = true);
    held.split(|held| !held).map(<[bool]>::len).max().unwrap_or(0)
}

fn for_each_voxel(labels: &LabelMap, index: u8, mut visit: impl FnMut([usize; 3])) {
    let [nx, ny, _] = labels.dims;
    for (at, _) in labels.data.iter().enumerate().filter(|(_, label)| **label == index) {
        visit([at % nx, at / nx % ny, at / (nx * ny)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAMBERS: Chambers = Chambers { right: 1, myocardium: 2, left: 3 };

    /// Square cavities of 4 x 4 with a wall of one voxel on `sides` of their four sides.
    fn heart(slices: usize, sides: usize) -> LabelMap {
        let dims = [8, 8, slices];
        let mut data = vec![0; 64 * slices];
        for z in 0..slices {
            for along in 2..6 {
                for at in 2..6 {
                    data[offset(dims, [along, at, z])] = 3;
                }
                let wall = [[along, 1, z], [along, 6, z], [1, along, z], [6, along, z]];
                wall.iter().take(sides).for_each(|&place| data[offset(dims, place)] = 2);
            }
        }
        LabelMap { data, dims, affine: Affine::from_spacing([1.5, 1.5, 10.0]) }
    }

    #[test]
    fn geometry_of_other_scans_is_refused() {
        let check = |dims, spacing| check_stack(dims, &Affine::from_spacing(spacing), true);
        assert_eq!(check([216, 256, 10], [1.5, 1.5, 10.0]), Ok(()));
        // Slices along the first axis.
        assert_eq!(check([10, 216, 256], [8.0, 1.3, 1.3]), Ok(()));
        let cubes = check([176, 256, 256], [1.0, 1.0, 1.0]);
        assert_eq!(cubes, Err(Implausible::Cubes { ratio: 1.0 }));
        let one = check([216, 256, 1], [1.5, 1.5, 1.0]);
        assert_eq!(one, Err(Implausible::Slices { slices: 1 }));
        let head = check([256, 256, 46], [0.9, 0.9, 3.0]);
        assert_eq!(head, Err(Implausible::Slices { slices: 46 }));
    }

    #[test]
    fn a_file_without_spacing_is_not_said_to_have_cubes() {
        let affine = Affine::from_spacing([1.0; 3]);
        let check = |stated| check_stack([216, 256, 10], &affine, stated);
        assert_eq!(check(false), Err(Implausible::Unspaced));
        assert_eq!(check(true), Err(Implausible::Cubes { ratio: 1.0 }));
        // ACDC states spacing and no unit.
        let nominal = Affine::from_spacing([1.5, 1.5, 10.0]);
        assert_eq!(check_stack([216, 256, 10], &nominal, false), Ok(()));
    }

    #[test]
    fn a_stack_that_ends_inside_the_ventricle_is_cut() {
        // 16 voxels in every slice.
        let mut labels = heart(6, 4);
        assert!(is_cut(&labels, CHAMBERS));
        // At the apex 8 of 16 are as many as that takes, 7 are fewer.
        let apex: Vec<usize> = (0..64).filter(|&at| labels.data[at] == 3).collect();
        apex[8..].iter().for_each(|&at| labels.data[at] = 2);
        assert!(is_cut(&labels, CHAMBERS));
        labels.data[apex[7]] = 2;
        assert!(!is_cut(&labels, CHAMBERS));
        labels.data.fill(0);
        assert!(!is_cut(&labels, CHAMBERS));
    }

    #[test]
    fn a_cavity_needs_its_wall() {
        assert_eq!(check_labels(&heart(6, 4), CHAMBERS), Ok(()));
        let open = check_labels(&heart(6, 3), CHAMBERS);
        assert_eq!(open, Err(Implausible::Open { percent: 75.0 }));
    }

    #[test]
    fn a_cavity_needs_slices() {
        let two = check_labels(&heart(2, 4), CHAMBERS);
        assert_eq!(two, Err(Implausible::Scattered { slices: 2 }));
        let mut none = heart(6, 4);
        none.data.fill(0);
        assert_eq!(check_labels(&none, CHAMBERS), Err(Implausible::Missing("left ventricle")));
    }
}
