//! Points of an atlas for those of the scan, once the scan was aligned with it.

use prism_core::volume::{Affine, AffineError};

/// The way from the scan's points to those of an atlas.
#[derive(Clone, Debug)]
pub struct StandardSpace {
    /// What coordinates in it are called.
    pub name: &'static str,
    /// From displaced points of the scan to the atlas (RAS+, mm).
    pub affine: Affine,
    /// The displacements, where there are any.
    pub displacements: Option<Displacements>,
}

/// Displacements of the scan's points on a grid.
#[derive(Clone, Debug)]
pub struct Displacements {
    dims: [usize; 3],
    voxel_from_world: Affine,
    /// x, y, z in mm of each voxel, x fastest.
    values: js_sys::Float32Array,
}

impl Displacements {
    /// Displacements on the grid with this place.
    ///
    /// # Errors
    /// [`AffineError`] for a grid that lies nowhere.
    pub fn new(
        dims: [usize; 3],
        affine: &Affine,
        values: js_sys::Float32Array,
    ) -> Result<Self, AffineError> {
        Ok(Self { dims, voxel_from_world: affine.inverse()?, values })
    }

    fn at(&self, point: [f64; 3]) -> [f64; 3] {
        let read = |at: usize| {
            let value = |axis| {
                let at = u32::try_from(3 * at + axis).ok().filter(|&i| i < self.values.length());
                at.map_or(0.0, |at| f64::from(self.values.get_index(at)))
            };
            [0, 1, 2].map(value)
        };
        trilinear(self.dims, self.voxel_from_world.apply(point), read)
    }
}

impl StandardSpace {
    /// The atlas's point (RAS+, mm) for one of the scan's.
    pub fn point(&self, world_mm: [f64; 3]) -> [f64; 3] {
        let moved = self.displacements.as_ref().map_or([0.0; 3], |d| d.at(world_mm));
        self.affine.apply([0, 1, 2].map(|axis| world_mm[axis] + moved[axis]))
    }

    /// How it is known, in a word.
    pub fn way(&self) -> &'static str {
        if self.displacements.is_some() { "deformed" } else { "affine" }
    }
}

/// Trilinear value at a place in voxels; outside, that of the nearest place inside.
fn trilinear(dims: [usize; 3], place: [f64; 3], read: impl Fn(usize) -> [f64; 3]) -> [f64; 3] {
    let ends = [0, 1, 2].map(|axis| {
        let last = dims[axis].saturating_sub(1);
        let inside = place[axis].clamp(0.0, last as f64);
        let low = inside.floor() as usize;
        let share = inside - low as f64;
        [(low, 1.0 - share), ((low + 1).min(last), share)]
    });
    let mut sum = [0.0; 3];
    for (z, wz) in ends[2] {
        for (y, wy) in ends[1] {
            for (x, wx) in ends[0] {
                let value = read(x + dims[0] * (y + dims[1] * z));
                (0..3).for_each(|axis| sum[axis] += wx * wy * wz * value[axis]);
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_voxels_displacements_are_blended() {
        // x + 10 y + 100 z: what is linear is read exactly; beyond the border, its value.
        let dims = [4, 3, 2];
        let read = |at: usize| [(at % 4 + 10 * (at / 4 % 3) + 100 * (at / 12)) as f64, 0.0, 1.0];
        let value = trilinear(dims, [1.25, 0.5, 0.75], read);
        assert!((value[0] - 81.25).abs() < 1e-9 && (value[2] - 1.0).abs() < 1e-12, "{value:?}");
        assert_eq!(trilinear(dims, [-3.0, 9.0, 0.0], read)[0], 20.0);
    }

    #[test]
    fn an_affine_way_is_the_map_itself() {
        let mut affine = Affine::from_spacing([0.5; 3]);
        affine.0[1][3] = -3.0;
        let space = StandardSpace { name: "MNI152", affine, displacements: None };
        assert_eq!(space.point([2.0, 4.0, 6.0]), [1.0, -1.0, 3.0]);
        assert_eq!(space.way(), "affine");
    }
}
