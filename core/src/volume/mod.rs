//! Volumes: voxels, their dimensions and where they lie in the world.
//!
//! World coordinates are RAS+ millimetres (x to the patient's right, y to the
//! front, z to the head), as NIfTI defines them. Voxels lie x fastest, the
//! order of a NIfTI file: `data[x + nx * (y + ny * z)]`.

mod affine;
mod intensity;
mod labels;
pub(crate) mod neighbours;
mod orientation;
pub mod pieces;
mod resample;

pub use affine::{Affine, AffineError};
pub use intensity::{IntensityRule, foreground_box, percentile};
pub use labels::{Label, LabelTable, LabelTableError, Side, class_color};
pub use orientation::Reorientation;
pub use resample::{AxisFilter, resample_axes, resampled_affine, resampled_dims};

/// One scalar image: `dims` voxels and their place in the world.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Voxel values, x fastest; `data.len() == dims[0] * dims[1] * dims[2]`.
    pub data: Vec<f32>,
    /// Number of voxels along x, y, z.
    pub dims: [usize; 3],
    /// World (RAS+, mm) from voxel indices.
    pub affine: Affine,
}

/// One label per voxel: the index into a [`LabelTable`], 0 for background.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelMap {
    /// Label-table index per voxel, x fastest.
    pub data: Vec<u8>,
    /// Number of voxels along x, y, z.
    pub dims: [usize; 3],
    /// World (RAS+, mm) from voxel indices.
    pub affine: Affine,
}

/// The number of values does not match the dimensions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the volume holds {actual} values, its size {dims:?} asks for {expected}")]
pub struct SizeMismatch {
    /// Voxels along x, y, z.
    pub dims: [usize; 3],
    /// Product of `dims`.
    pub expected: usize,
    /// Length of the data.
    pub actual: usize,
}

fn check_size(dims: [usize; 3], actual: usize) -> Result<(), SizeMismatch> {
    let expected = dims[0].saturating_mul(dims[1]).saturating_mul(dims[2]);
    if expected == actual { Ok(()) } else { Err(SizeMismatch { dims, expected, actual }) }
}

impl Volume {
    /// A volume whose data matches its dimensions.
    ///
    /// # Errors
    /// [`SizeMismatch`] when it does not.
    pub fn new(data: Vec<f32>, dims: [usize; 3], affine: Affine) -> Result<Self, SizeMismatch> {
        check_size(dims, data.len())?;
        Ok(Self { data, dims, affine })
    }

    /// Distance between voxel centres along x, y, z in millimetres.
    pub fn spacing_mm(&self) -> [f64; 3] {
        self.affine.spacing_mm()
    }

    /// Number of voxels.
    pub fn voxels(&self) -> usize {
        self.data.len()
    }
}

impl LabelMap {
    /// A label map whose data matches its dimensions.
    ///
    /// # Errors
    /// [`SizeMismatch`] when it does not.
    pub fn new(data: Vec<u8>, dims: [usize; 3], affine: Affine) -> Result<Self, SizeMismatch> {
        check_size(dims, data.len())?;
        Ok(Self { data, dims, affine })
    }

    /// Distance between voxel centres along x, y, z in millimetres.
    pub fn spacing_mm(&self) -> [f64; 3] {
        self.affine.spacing_mm()
    }

    /// Number of voxels of every label index: `counts[index]`.
    pub fn counts(&self) -> [usize; 256] {
        let mut counts = [0; 256];
        for &label in &self.data {
            counts[usize::from(label)] += 1;
        }
        counts
    }

    /// Voxels (x, y, z) of a label index, in the order of the data.
    pub fn places(&self, index: u8) -> impl Iterator<Item = [usize; 3]> {
        let [nx, ny, _] = self.dims;
        let voxels = self.data.iter().enumerate().filter(move |(_, label)| **label == index);
        voxels.map(move |(at, _)| [at % nx, at / nx % ny, at / (nx * ny)])
    }
}

/// Position of voxel (x, y, z) in data that lies x fastest.
pub const fn offset(dims: [usize; 3], [x, y, z]: [usize; 3]) -> usize {
    x + dims[0] * (y + dims[1] * z)
}
