//! Plane and field of view, from the affine alone.

use serde::{Deserialize, Serialize};

use crate::volume::{Affine, Reorientation};

/// From this ratio of the largest to the smallest spacing on, a scan was acquired as slices.
const SLICES: f64 = 1.5;

/// From this angle on, in degrees, a plane is called oblique.
const OBLIQUE: f64 = 20.0;

/// How the slices lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Slices follow one another towards the head.
    Axial,
    /// Towards the front.
    Coronal,
    /// Towards the right.
    Sagittal,
    /// Voxels about as long as wide: no plane is special.
    Isotropic,
}

impl Direction {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
            Self::Isotropic => "3D (isotropic)",
        }
    }
}

/// Plane of a scan's slices.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plane {
    /// Which.
    pub direction: Direction,
    /// Angle between the slices' axis and the body's, degrees; 0 where no plane is special.
    pub tilt_degrees: f64,
}

impl Plane {
    /// In words: "axial", "oblique coronal", "3D (isotropic)".
    pub fn words(&self) -> String {
        let name = self.direction.words();
        let oblique = self.direction != Direction::Isotropic && self.tilt_degrees >= OBLIQUE;
        if oblique { format!("oblique {name}") } else { name.into() }
    }
}

/// The plane whose slices are thickest. The slices' axis is the voxel axis with the largest
/// spacing, if that is 1.5 times the smallest or more.
pub fn plane(affine: &Affine) -> Plane {
    let spacing = affine.spacing_mm();
    let mut thickest = 0;
    for axis in 1..3 {
        if spacing[axis] > spacing[thickest] {
            thickest = axis;
        }
    }
    let smallest = spacing.iter().copied().fold(f64::INFINITY, f64::min);
    if spacing[thickest] < SLICES * smallest || smallest <= 0.0 {
        return Plane { direction: Direction::Isotropic, tilt_degrees: 0.0 };
    }
    let (world, _) = affine.closest_axes()[thickest];
    let direction = match world {
        0 => Direction::Sagittal,
        1 => Direction::Coronal,
        _ => Direction::Axial,
    };
    let cosine = (affine.0[world][thickest].abs() / spacing[thickest]).min(1.0);
    Plane { direction, tilt_degrees: cosine.acos().to_degrees() }
}

/// How many slices a scan has, and how thick they are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    /// Voxels along the axis of the largest spacing.
    pub slices: usize,
    /// That spacing over the larger one in the plane.
    pub thickness: f64,
}

/// The slices along the thickest axis; a single slice may be thinner than its pixels are wide.
pub fn stack(affine: &Affine, dims: [usize; 3]) -> Stack {
    let single = dims.iter().position(|&n| n == 1);
    let through = single.unwrap_or_else(|| Reorientation::slices_last(affine, dims).slice_axis());
    let spacing = affine.spacing_mm();
    let plane = (0..3).filter(|&axis| axis != through).map(|axis| spacing[axis]);
    Stack { slices: dims[through], thickness: spacing[through] / plane.fold(0.0, f64::max) }
}

/// Sides of the field of view along the voxel axes, mm.
pub fn extent_mm(affine: &Affine, dims: [usize; 3]) -> [f64; 3] {
    let spacing = affine.spacing_mm();
    [0, 1, 2].map(|axis| spacing[axis] * dims[axis] as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_those_of_the_files() {
        // nibabel: ms_longitudinal-like (LPS axes, 4 mm along z), a sagittal MPRAGE stack
        // (PIR, 1.5 mm apart at 0.9), and the DICOM axes 0.999679 0.02533 0 /
        // -0.0244148 0.963561 -0.26637 with slices 6.5 mm apart (nibabel.affines.obliquity:
        // 15.5 degrees).
        let axial = Affine([[-0.72, 0.0, 0.0, 1.0], [0.0, -0.72, 0.0, 2.0], [0.0, 0.0, 4.0, -3.0]]);
        assert_eq!(plane(&axial).words(), "axial");
        let sagittal = Affine([[0.0, 0.0, 1.5, 0.0], [-0.9, 0.0, 0.0, 0.0], [0.0, -0.9, 0.0, 0.0]]);
        assert_eq!(plane(&sagittal).words(), "sagittal");
        let tilted = Affine([
            [-0.42956, 0.01049, 0.0443, 0.0],
            [-0.01088, -0.41404, 1.7316, 0.0],
            [0.0, -0.11446, 6.2630, 0.0],
        ]);
        let found = plane(&tilted);
        assert_eq!(found.words(), "axial");
        assert!((found.tilt_degrees - 15.46).abs() < 0.05, "{found:?}");
        let cube = Affine::from_spacing([1.0, 1.0, 1.2]);
        assert_eq!(plane(&cube).direction, Direction::Isotropic);
    }

    #[test]
    fn slices_are_counted_along_the_thickest_axis() {
        let slices = |dims, spacing| stack(&Affine::from_spacing(spacing), dims);
        let first = slices([10, 216, 256], [9.0, 1.2, 1.5]);
        assert_eq!(first, Stack { slices: 10, thickness: 6.0 });
        let one = slices([216, 1, 256], [1.5, 1.0, 1.5]);
        assert_eq!(one.slices, 1);
        assert_eq!(slices([160, 170, 180], [1.0; 3]), Stack { slices: 180, thickness: 1.0 });
    }

    #[test]
    fn oblique_is_said_from_twenty_degrees_on() {
        let (sine, cosine) = 30.0_f64.to_radians().sin_cos();
        let turned = Affine([
            [1.0, 0.0, 0.0, 0.0],
            [0.0, cosine, -5.0 * sine, 0.0],
            [0.0, sine, 5.0 * cosine, 0.0],
        ]);
        assert_eq!(plane(&turned).words(), "oblique axial");
        assert!((plane(&turned).tilt_degrees - 30.0).abs() < 1e-9);
        assert_eq!(extent_mm(&turned, [10, 20, 3]).map(f64::round), [10.0, 20.0, 15.0]);
    }
}
