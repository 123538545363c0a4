//! What a transform does: scans and labels onto the fixed grid, displacements, Jacobians.

use super::RegistrationError;
use super::grid::corners;
use super::velocity::read;
use crate::kernels::cpu::for_each;
use crate::volume::{Affine, LabelMap, Volume};

/// Displacements on the fixed scan's network grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Deformation {
    /// Displacement of each voxel, world millimetres (RAS+), x fastest.
    pub displacement: Vec<[f32; 3]>,
    /// Sides of the grid.
    pub dims: [usize; 3],
    /// World (RAS+, mm) from voxel.
    pub affine: Affine,
    /// Where something was aligned.
    pub mask: Vec<bool>,
}

/// Takes world points of the fixed scan to those of the moving scan that show the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// After the deformation.
    pub affine: Affine,
    /// First the displacement, if there is one.
    pub deformation: Option<Deformation>,
}

/// A transform ready for many points.
pub struct Mapper<'a> {
    transform: &'a Transform,
    to_voxel: Affine,
}

impl Transform {
    /// Ready for many points.
    ///
    /// # Errors
    /// [`RegistrationError`] for a deformation that lies nowhere.
    pub fn mapper(&self) -> Result<Mapper<'_>, RegistrationError> {
        let to_voxel = match &self.deformation {
            Some(deformation) => deformation.affine.inverse()?,
            None => Affine::IDENTITY,
        };
        Ok(Mapper { transform: self, to_voxel })
    }

    /// The moving scan on a grid of the fixed one, trilinear; 0 beyond its field of view.
    ///
    /// # Errors
    /// [`RegistrationError`] for grids that lie nowhere.
    pub fn warp(
        &self,
        moving: &Volume,
        dims: [usize; 3],
        affine: &Affine,
    ) -> Result<Volume, RegistrationError> {
        let to_voxel = moving.affine.inverse()?;
        let data = self.sampled(dims, affine, |point| {
            let place = to_voxel.apply(point);
            if outside(place, moving.dims) {
                return 0.0;
            }
            let corners = corners(moving.dims, place.map(|v| v as f32));
            let parts = corners.at.iter().zip(&corners.weights);
            parts.map(|(&at, weight)| weight * moving.data[at]).sum()
        })?;
        Ok(Volume { data, dims, affine: *affine })
    }

    /// Labels of the moving scan on a grid of the fixed one: of the eight voxels around a
    /// place, the label with the most weight; background beyond the field of view.
    ///
    /// # Errors
    /// [`RegistrationError`] for grids that lie nowhere.
    pub fn warp_labels(
        &self,
        moving: &LabelMap,
        dims: [usize; 3],
        affine: &Affine,
    ) -> Result<LabelMap, RegistrationError> {
        let to_voxel = moving.affine.inverse()?;
        let data = self.sampled(dims, affine, |point| {
            let place = to_voxel.apply(point);
            if outside(place, moving.dims) {
                return 0;
            }
            let corners = corners(moving.dims, place.map(|v| v as f32));
            let labels = corners.at.map(|at| moving.data[at]);
            let mut best = (0.0, 0);
            for &label in &labels {
                let votes =
                    labels.iter().zip(&corners.weights).filter(|(other, _)| **other == label);
                let weight: f32 = votes.map(|(_, weight)| weight).sum();
                if weight > best.0 {
                    best = (weight, label);
                }
            }
            best.1
        })?;
        Ok(LabelMap { data, dims, affine: *affine })
    }

    /// Displacement from fixed to moving points (RAS+ mm, affine and deformation together)
    /// at each voxel of a grid.
    ///
    /// # Errors
    /// [`RegistrationError`] for grids that lie nowhere.
    pub fn field(
        &self,
        dims: [usize; 3],
        affine: &Affine,
    ) -> Result<Vec<[f32; 3]>, RegistrationError> {
        let mapper = self.mapper()?;
        let mut result = vec![[0.0; 3]; dims.iter().product()];
        visit(&mut result, dims, affine, |point| {
            let there = mapper.apply(point);
            [0, 1, 2].map(|axis| (there[axis] - point[axis]) as f32)
        });
        Ok(result)
    }

    fn sampled<T: Copy + Default + Send>(
        &self,
        dims: [usize; 3],
        affine: &Affine,
        value: impl Fn([f64; 3]) -> T + Sync + Send,
    ) -> Result<Vec<T>, RegistrationError> {
        let mapper = self.mapper()?;
        let mut result = vec![T::default(); dims.iter().product()];
        visit(&mut result, dims, affine, |point| value(mapper.apply(point)));
        Ok(result)
    }
}

impl Mapper<'_> {
    /// The moving scan's point (mm) for one of the fixed scan's.
    pub fn apply(&self, point: [f64; 3]) -> [f64; 3] {
        let mut point = point;
        if let Some(deformation) = &self.transform.deformation {
            let place = self.to_voxel.apply(point).map(|v| v as f32);
            let moved = read(&deformation.displacement, deformation.dims, place);
            (0..3).for_each(|axis| point[axis] += f64::from(moved[axis]));
        }
        self.transform.affine.apply(point)
    }
}

impl Deformation {
    /// Determinant of the Jacobian of x + u(x) at each voxel, central differences: the
    /// factor by which the moving scan's volume is larger there.
    pub fn jacobians(&self) -> Vec<f32> {
        let strides = [1, self.dims[0], self.dims[0] * self.dims[1]];
        let axes = self.affine.0;
        (0..self.displacement.len())
            .map(|at| {
                // Columns: how the displacement changes along each voxel axis, per mm.
                let mut m = [[0.0_f64; 3]; 3];
                for axis in 0..3 {
                    let place = at / strides[axis] % self.dims[axis];
                    let low = if place > 0 { at - strides[axis] } else { at };
                    let high = if place + 1 < self.dims[axis] { at + strides[axis] } else { at };
                    let steps = ((high - low) / strides[axis]).max(1) as f64;
                    for row in 0..3 {
                        let change = self.displacement[high][row] - self.displacement[low][row];
                        m[row][axis] = f64::from(change) / steps + axes[row][axis];
                    }
                }
                let matrix = Affine(m.map(|row| [row[0], row[1], row[2], 0.0]));
                (matrix.determinant() / self.affine.determinant()) as f32
            })
            .collect()
    }

    /// Share of the aligned voxels where space folds (determinant not above zero).
    pub fn folded(&self) -> f64 {
        let inside = self.jacobians().into_iter().zip(&self.mask).filter(|(_, inside)| **inside);
        let (folded, all) =
            inside.fold((0, 0), |(folded, all), (j, _)| (folded + usize::from(j <= 0.0), all + 1));
        f64::from(folded as u32) / f64::from(all.max(1))
    }
}

/// Half a voxel beyond the outermost centres, space ends.
pub(super) fn outside(place: [f64; 3], dims: [usize; 3]) -> bool {
    (0..3).any(|axis| place[axis] < -0.5 || place[axis] > dims[axis] as f64 - 0.5)
}

/// Fills a grid's values from the world points of its voxels.
fn visit<T: Send>(
    values: &mut [T],
    dims: [usize; 3],
    affine: &Affine,
    value: impl Fn([f64; 3]) -> T + Sync + Send,
) {
    let slab = dims[0] * dims[1];
    for_each(
        values.chunks_mut(slab.max(1)).enumerate().collect(),
        |(z, rows): (usize, &mut [T])| {
            for (at, target) in rows.iter_mut().enumerate() {
                let voxel = [at % dims[0], at / dims[0], z].map(|v| v as f64);
                *target = value(affine.apply(voxel));
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretched(factor: f32) -> Transform {
        // u = factor x on a 2 mm grid: the Jacobian is 1 + factor.
        let dims = [10, 6, 5];
        let displacement = (0..300).map(|at| [factor * 2.0 * (at % 10) as f32, 0.0, 0.0]).collect();
        let affine = Affine::from_spacing([2.0; 3]);
        let deformation = Deformation { displacement, dims, affine, mask: vec![true; 300] };
        Transform { affine: Affine::IDENTITY, deformation: Some(deformation) }
    }

    #[test]
    fn jacobians_of_a_stretch() {
        let Some(deformation) = stretched(0.25).deformation else { unreachable!("has one") };
        assert!(deformation.jacobians().iter().all(|j| (j - 1.25).abs() < 1e-5));
        assert_eq!(deformation.folded(), 0.0);
        let Some(folded) = stretched(-1.5).deformation else { unreachable!("has one") };
        assert_eq!(folded.folded(), 1.0);
    }

    #[test]
    fn a_scan_goes_where_the_transform_says() {
        let mut shift = Affine::IDENTITY;
        shift.0[0][3] = 3.0;
        let transform = Transform { affine: shift, deformation: stretched(0.25).deformation };
        // 4 mm + 1 mm of the stretch, then 3 mm.
        let mapper = transform.mapper().expect("lies somewhere");
        assert_eq!(mapper.apply([4.0, 1.0, 1.0]), [8.0, 1.0, 1.0]);
        let data = (0..300).map(|at| (at % 10) as f32).collect();
        let affine = Affine::from_spacing([2.0; 3]);
        let moving = Volume { data, dims: [10, 6, 5], affine };
        let warped = transform.warp(&moving, [10, 6, 5], &affine).expect("lies somewhere");
        // Fixed voxel 2 lies at 4 mm, shows the moving scan at 8 mm: voxel 4.
        assert!((warped.data[2] - 4.0).abs() < 1e-5, "{}", warped.data[2]);
        assert_eq!(warped.data[9], 0.0, "beyond the field of view");
        let field = transform.field([10, 6, 5], &affine).expect("lies somewhere");
        assert_eq!(field[2], [4.0, 0.0, 0.0]);
    }

    #[test]
    fn labels_are_voted() {
        let affine = Affine::from_spacing([1.0; 3]);
        let moving = LabelMap { data: vec![1, 1, 7, 7], dims: [4, 1, 1], affine };
        let mut shift = Affine::IDENTITY;
        shift.0[0][3] = 0.6;
        let transform = Transform { affine: shift, deformation: None };
        let labels = transform.warp_labels(&moving, [4, 1, 1], &affine).expect("lies somewhere");
        assert_eq!(labels.data, [1, 7, 7, 0]);
    }
}
