//! From a scan to network input: orientation, spacing, intensity, box, padding.

use crate::model::Preprocessing;
use crate::volume::{
    Affine, AffineError, AxisFilter, Reorientation, Volume, foreground_box, offset, resample_axes,
    resampled_affine, resampled_dims,
};

/// A normalised value above this is foreground.
pub(crate) const FOREGROUND: f32 = 0.1;

/// Voxels kept around the foreground on each side.
const MARGIN: usize = 8;

/// Most voxels of the resampled grid: 512 a side.
const MOST_VOXELS: usize = 512 * 512 * 512;

/// A scan ready for the network, and the way back.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Network input, x fastest, sides multiples of the encoder's.
    pub input: Vec<f32>,
    /// Its sides.
    pub dims: [usize; 3],
    /// How the scan was turned.
    pub to_ras: Reorientation,
    /// Sides of the scan after turning.
    pub ras_dims: [usize; 3],
    /// Spacing of the scan after turning, mm.
    pub ras_spacing_mm: [f64; 3],
    /// Sides of the resampled grid.
    pub grid_dims: [usize; 3],
    /// Where the resampled grid lies in the world.
    pub grid_affine: Affine,
    /// Part of the resampled grid that is in the input: `[start, end)`.
    pub crop: [(usize, usize); 3],
    /// Zeros before the crop in the input.
    pub pad: [usize; 3],
}

/// A scan that cannot be brought to the pack's grid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PreprocessError {
    /// The affine places no volume.
    #[error(transparent)]
    Affine(#[from] AffineError),
    /// No voxel differs from the rest.
    #[error("the scan is empty: every voxel has the same value")]
    Constant,
    /// Resampled, it would be larger than 512^3 voxels.
    #[error("the scan covers {0:?} voxels at the pack's spacing, more than 512 x 512 x 512 in all")]
    TooLarge([usize; 3]),
}

/// Resampled volume on the pack's grid before intensity, box and padding.
///
/// # Errors
/// [`PreprocessError`].
pub fn conform(
    scan: &Volume,
    spacing_mm: [f64; 3],
) -> Result<(Volume, Reorientation, [usize; 3], [f64; 3]), PreprocessError> {
    scan.affine.check()?;
    let to_ras = Reorientation::to_ras(&scan.affine, scan.dims);
    let ras = to_ras.apply(scan);
    let from_mm = ras.spacing_mm();
    let dims = resampled_dims(ras.dims, from_mm, spacing_mm);
    if dims.iter().try_fold(1_usize, |all, &n| all.checked_mul(n)).is_none_or(|n| n > MOST_VOXELS) {
        return Err(PreprocessError::TooLarge(dims));
    }
    let filters = [0, 1, 2].map(|axis| {
        AxisFilter::triangle(ras.dims[axis], dims[axis], spacing_mm[axis] / from_mm[axis])
    });
    let (data, dims) = resample_axes(&ras.data, ras.dims, &filters);
    let affine = resampled_affine(&ras.affine, from_mm, spacing_mm);
    Ok((Volume { data, dims, affine }, to_ras, ras.dims, from_mm))
}

/// Brings a scan to the pack's grid, intensities and sides.
///
/// `multiple` and `smallest` are the encoder's (see
/// [`crate::model::EncoderConfig::multiple`]).
///
/// # Errors
/// [`PreprocessError`].
pub fn prepare(
    scan: &Volume,
    preprocessing: &Preprocessing,
    multiple: usize,
    smallest: usize,
) -> Result<Prepared, PreprocessError> {
    // Before resampling, whose rounding would pass for contrast.
    if scan.data.iter().all(|value| Some(value) == scan.data.first()) {
        return Err(PreprocessError::Constant);
    }
    let (mut grid, to_ras, ras_dims, ras_spacing_mm) = conform(scan, preprocessing.spacing_mm)?;
    preprocessing.intensity.apply(&mut grid.data);
    if grid.data.iter().all(|&value| value == 0.0) {
        return Err(PreprocessError::Constant);
    }
    let crop = foreground_box(&grid.data, grid.dims, FOREGROUND, MARGIN);
    let sides = crop.map(|(start, end)| end - start);
    let dims = sides.map(|side| side.next_multiple_of(multiple).max(smallest));
    let pad = [0, 1, 2].map(|axis| (dims[axis] - sides[axis]) / 2);
    let mut input = vec![0.0; dims.iter().product()];
    for z in 0..sides[2] {
        for y in 0..sides[1] {
            let from = offset(grid.dims, [crop[0].0, crop[1].0 + y, crop[2].0 + z]);
            let to = offset(dims, [pad[0], pad[1] + y, pad[2] + z]);
            input[to..to + sides[0]].copy_from_slice(&grid.data[from..from + sides[0]]);
        }
    }
    Ok(Prepared {
        input,
        dims,
        to_ras,
        ras_dims,
        ras_spacing_mm,
        grid_dims: grid.dims,
        grid_affine: grid.affine,
        crop,
        pad,
    })
}
