//! The affine that places voxels in the world.

use serde::{Deserialize, Serialize};

/// World (RAS+, millimetres) from voxel indices: rows x, y, z of a 4 x 4 matrix
/// whose last row is 0 0 0 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affine(pub [[f64; 4]; 3]);

/// An affine that places no volume.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum AffineError {
    /// Two axes coincide, or a spacing is zero: determinant (mm^3 a voxel) too near zero.
    #[error(
        "the scan's orientation matrix is singular (determinant {0:e}): its axes do not span space"
    )]
    Singular(f64),
    /// An entry is NaN or infinite.
    #[error("the scan's orientation matrix holds a value that is not a number")]
    NotFinite,
}

impl Affine {
    /// Unit axes with the given spacing in millimetres and the origin at voxel 0.
    pub fn from_spacing(spacing_mm: [f64; 3]) -> Self {
        let mut rows = [[0.0; 4]; 3];
        for (axis, row) in rows.iter_mut().enumerate() {
            row[axis] = spacing_mm[axis];
        }
        Self(rows)
    }

    /// World point (mm) of a voxel index (fractions allowed).
    pub fn apply(&self, voxel: [f64; 3]) -> [f64; 3] {
        self.0.map(|row| row[0] * voxel[0] + row[1] * voxel[1] + row[2] * voxel[2] + row[3])
    }

    /// Length of each voxel axis in millimetres.
    pub fn spacing_mm(&self) -> [f64; 3] {
        [0, 1, 2].map(|axis| self.0.iter().map(|row| row[axis] * row[axis]).sum::<f64>().sqrt())
    }

    /// Signed volume of a voxel in mm^3; negative when the axes are left-handed.
    pub fn determinant(&self) -> f64 {
        let [a, b, c] = self.0;
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
            + a[2] * (b[0] * c[1] - b[1] * c[0])
    }

    /// Checks that the affine places a volume.
    ///
    /// # Errors
    /// [`AffineError`] for entries that are not finite and for singular matrices.
    pub fn check(&self) -> Result<(), AffineError> {
        if self.0.iter().flatten().any(|value| !value.is_finite()) {
            return Err(AffineError::NotFinite);
        }
        let determinant = self.determinant();
        let scale: f64 = self.spacing_mm().iter().product();
        if determinant.abs() <= 1e-6 * scale || determinant == 0.0 {
            return Err(AffineError::Singular(determinant));
        }
        Ok(())
    }

    /// Voxel from world.
    ///
    /// # Errors
    /// As [`Affine::check`].
    pub fn inverse(&self) -> Result<Self, AffineError> {
        self.check()?;
        let m = self.0;
        let d = 1.0 / self.determinant();
        let cofactor = |r0: usize, r1: usize, c0: usize, c1: usize| {
            (m[r0][c0] * m[r1][c1] - m[r0][c1] * m[r1][c0]) * d
        };
        let mut rows = [
            [cofactor(1, 2, 1, 2), cofactor(2, 0, 1, 2), cofactor(0, 1, 1, 2), 0.0],
            [cofactor(1, 2, 2, 0), cofactor(2, 0, 2, 0), cofactor(0, 1, 2, 0), 0.0],
            [cofactor(1, 2, 0, 1), cofactor(2, 0, 0, 1), cofactor(0, 1, 0, 1), 0.0],
        ];
        for row in &mut rows {
            row[3] = -(row[0] * m[0][3] + row[1] * m[1][3] + row[2] * m[2][3]);
        }
        Ok(Self(rows))
    }

    /// How far the voxels of a grid with the other affine lie from where this one has them, at
    /// most, in voxels along one of this one's axes. Affines are linear: a corner lies farthest.
    ///
    /// # Errors
    /// As [`Affine::check`], of either.
    pub fn voxels_apart(&self, other: &Self, dims: [usize; 3]) -> Result<f64, AffineError> {
        other.check()?;
        let between = self.inverse()?.after(other);
        let mut most = 0.0_f64;
        for corner in 0..8_usize {
            let voxel = [0, 1, 2].map(|axis| match (corner >> axis) % 2 {
                1 => dims[axis] as f64 - 1.0,
                _ => 0.0,
            });
            let there = between.apply(voxel);
            most = (0..3).map(|axis| (there[axis] - voxel[axis]).abs()).fold(most, f64::max);
        }
        Ok(most)
    }

    /// Leaves every point where it is.
    pub const IDENTITY: Self =
        Self([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);

    /// This one after another: `self(first(point))`.
    pub fn after(&self, first: &Self) -> Self {
        let m = self.0;
        Self([0, 1, 2].map(|row| {
            [0, 1, 2, 3].map(|column| {
                let sum: f64 = (0..3).map(|k| m[row][k] * first.0[k][column]).sum();
                if column == 3 { sum + m[row][3] } else { sum }
            })
        }))
    }

    /// The affine of a grid whose voxel `v` is voxel `scale * v + shift` of this one.
    pub fn rescaled(&self, scale: [f64; 3], shift: [f64; 3]) -> Self {
        let origin = self.apply(shift);
        let mut rows = self.0;
        for (axis, row) in rows.iter_mut().enumerate() {
            for column in 0..3 {
                row[column] *= scale[column];
            }
            row[3] = origin[axis];
        }
        Self(rows)
    }

    /// For each voxel axis, the nearest world axis (0 = R, 1 = A, 2 = S) and whether
    /// the voxel axis points along it (`true`) or against it. Each world axis is
    /// taken once; axes are assigned in the order of how well they fit, as nibabel's
    /// `io_orientation` does for axes that are not degenerate.
    pub fn closest_axes(&self) -> [(usize, bool); 3] {
        let spacing = self.spacing_mm();
        let mut result = [(0, true); 3];
        let mut voxel_free = [true; 3];
        let mut world_free = [true; 3];
        for _ in 0..3 {
            let mut best = (f64::NEG_INFINITY, 0, 0);
            for voxel in (0..3).filter(|&v| voxel_free[v]) {
                for world in (0..3).filter(|&w| world_free[w]) {
                    let length = if spacing[voxel] > 0.0 { spacing[voxel] } else { 1.0 };
                    let cosine = (self.0[world][voxel] / length).abs();
                    if cosine > best.0 {
                        best = (cosine, voxel, world);
                    }
                }
            }
            let (_, voxel, world) = best;
            voxel_free[voxel] = false;
            world_free[world] = false;
            result[voxel] = (world, self.0[world][voxel] >= 0.0);
        }
        result
    }

    /// Letters of the directions in which the voxel axes increase, e.g. `RAS`.
    pub fn orientation(&self) -> String {
        self.closest_axes()
            .iter()
            .map(|&(world, positive)| match (world, positive) {
                (0, true) => 'R',
                (0, false) => 'L',
                (1, true) => 'A',
                (1, false) => 'P',
                (_, true) => 'S',
                (_, false) => 'I',
            })
            .collect()
    }

    /// Largest angle in degrees between a voxel axis and its nearest world axis.
    pub fn obliquity_degrees(&self) -> f64 {
        let spacing = self.spacing_mm();
        self.closest_axes()
            .iter()
            .enumerate()
            .map(|(voxel, &(world, _))| (self.0[world][voxel].abs() / spacing[voxel]).min(1.0))
            .map(|cosine| cosine.acos().to_degrees())
            .fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Directions of nibabel's own documentation example: an LAS image, 3 mm.
    const LAS: Affine =
        Affine([[-3.0, 0.0, 0.0, 78.0], [0.0, 3.0, 0.0, -76.0], [0.0, 0.0, 3.0, -64.0]]);

    #[test]
    fn inverse_undoes_apply() {
        let affine =
            Affine([[0.1, -2.0, 0.3, 5.0], [1.1, 0.2, -0.1, -7.0], [0.05, 0.1, 2.9, 11.0]]);
        let back = affine.inverse().map(|i| i.apply(affine.apply([3.0, -4.0, 5.5])));
        let Ok(back) = back else { unreachable!("not singular") };
        for (value, expected) in back.iter().zip([3.0, -4.0, 5.5]) {
            assert!((value - expected).abs() < 1e-9, "{back:?}");
        }
    }

    #[test]
    fn one_after_the_other_is_the_product_of_matrices() {
        // numpy: (A @ B)[:3] with 0 0 0 1 as last rows
        let a = Affine([[1.0, 2.0, 0.0, 3.0], [0.0, 1.0, -1.0, 4.0], [2.0, 0.0, 1.0, 5.0]]);
        let b = Affine([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 3.0, -1.0]]);
        let expected = [[2.0, 1.0, 0.0, 8.0], [1.0, 0.0, -3.0, 7.0], [0.0, 2.0, 3.0, 6.0]];
        assert_eq!(a.after(&b), Affine(expected));
        assert_eq!(a.after(&Affine::IDENTITY), a);
    }

    #[test]
    fn letters_follow_the_direction_of_increase() {
        assert_eq!(LAS.orientation(), "LAS");
        assert_eq!(LAS.spacing_mm(), [3.0; 3]);
        let sagittal = Affine([[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0]]);
        assert_eq!(sagittal.orientation(), "PIR");
    }

    #[test]
    fn the_distance_of_two_grids_is_that_of_the_farthest_corner() {
        let (mut shifted, mut stretched, mut broken) = (LAS, LAS, LAS);
        shifted.0[1][3] += 1.5;
        stretched.0[2][2] = 3.3;
        broken.0[1][3] = f64::NAN;
        let apart = |other: &Affine| LAS.voxels_apart(other, [10, 20, 30]);
        // 1.5 mm of 3 mm; a tenth of 29 voxels.
        for (other, expected) in [(&LAS, 0.0), (&shifted, 0.5), (&stretched, 2.9)] {
            let Ok(found) = apart(other) else { unreachable!("not singular") };
            assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        }
        assert_eq!(apart(&broken), Err(AffineError::NotFinite));
    }

    #[test]
    fn singular_and_not_finite_are_told_apart() {
        let mut flat = LAS;
        flat.0[2][2] = 0.0;
        assert_eq!(flat.check(), Err(AffineError::Singular(0.0)));
        let mut broken = LAS;
        broken.0[0][3] = f64::NAN;
        assert_eq!(broken.inverse(), Err(AffineError::NotFinite));
    }
}
