//! From a scan to network input: orientation, spacing, intensity, box, padding.

use crate::model::{Orientation, Preprocessing};
use crate::volume::{
    Affine, AffineError, AxisFilter, Reorientation, Volume, foreground_box, offset, resample_axes,
    resampled_affine, resampled_dims,
};

/// A normalised value above this is foreground.
pub(crate) const FOREGROUND: f32 = 0.1;

/// Voxels kept around the foreground on each side.
pub(super) const MARGIN: usize = 8;

/// Most voxels of the resampled grid: 512 a side.
const MOST_VOXELS: usize = 512 * 512 * 512;

/// A scan ready for the network, and the way back.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Network input, x fastest, sides multiples of the encoder's.
    pub input: Vec<f32>,
    /// Its sides.
    pub dims: [usize; 3],
    /// How the scan was turned to the pack's axes.
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
    #[error(
        "the scan shows nothing: all its voxels have the same value. Open it in a viewer, and \
         export it again from its source or choose another one"
    )]
    Constant,
    /// Resampled, it would be larger than 512^3 voxels.
    #[error(
        "the scan is too large for this pack: {} voxels at the pack's spacing, and at most \
         512 × 512 × 512 in all can be held in memory. Cut it to the part of interest first, or \
         check the voxel spacing that the file states",
        .0.map(|side| side.to_string()).join(" × ")
    )]
    TooLarge([usize; 3]),
}

/// Resampled volume on the pack's grid before intensity, box and padding; how the scan was
/// turned, its sides and its spacing after that.
///
/// # Errors
/// [`PreprocessError`].
pub fn conform(
    scan: &Volume,
    preprocessing: &Preprocessing,
) -> Result<(Volume, Reorientation, [usize; 3], [f64; 3]), PreprocessError> {
    scan.affine.check()?;
    let to_ras = match preprocessing.orientation {
        Orientation::Ras => Reorientation::to_ras(&scan.affine, scan.dims),
        Orientation::Slices => Reorientation::slices_last(&scan.affine, scan.dims),
    };
    let ras = to_ras.apply(scan);
    let from_mm = ras.spacing_mm();
    let wanted = preprocessing.spacing_mm;
    let spacing_mm = [0, 1, 2].map(|axis| wanted[axis].unwrap_or(from_mm[axis]));
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

/// The scan with its in-plane spacing such that the longer side covers the pack's usual
/// field of view: what the network is given where a file does not state its unit of
/// length. It gives an organ its usual size for the network and measures nothing. `None`
/// where the pack has no such field.
pub fn at_usual_field(scan: &Volume, preprocessing: &Preprocessing) -> Option<Volume> {
    let field = preprocessing.field_mm?;
    let turn = Reorientation::slices_last(&scan.affine, scan.dims);
    let (dims, spacing) = (turn.dims(), turn.affine(&scan.affine).spacing_mm());
    let longest = (dims[0] as f64 * spacing[0]).max(dims[1] as f64 * spacing[1]);
    let through = turn.slice_axis();
    let mut affine = scan.affine;
    for row in &mut affine.0 {
        for (axis, value) in row.iter_mut().take(3).enumerate() {
            *value *= if axis == through { 1.0 } else { field / longest };
        }
    }
    Some(Volume { data: scan.data.clone(), dims: scan.dims, affine })
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
    let (mut grid, to_ras, ras_dims, ras_spacing_mm) = conform(scan, preprocessing)?;
    preprocessing.intensity.apply(&mut grid.data);
    if grid.data.iter().all(|&value| value == 0.0) {
        return Err(PreprocessError::Constant);
    }
    let crop = foreground_box(&grid.data, grid.dims, FOREGROUND, MARGIN);
    // An axis of thick slices may be one voxel at the deepest map: the others are long enough.
    let least = preprocessing.spacing_mm.map(|s| if s.is_some() { smallest } else { multiple });
    let (input, dims, pad) = padded((&grid.data, grid.dims), crop, multiple, least);
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

/// A box of a grid with zeros around it, as the encoder wants its sides; those sides, and
/// the zeros before the box.
pub(super) fn padded(
    (data, grid): (&[f32], [usize; 3]),
    part: [(usize, usize); 3],
    multiple: usize,
    least: [usize; 3],
) -> (Vec<f32>, [usize; 3], [usize; 3]) {
    let sides = part.map(|(start, end)| end - start);
    let dims = [0, 1, 2].map(|axis| sides[axis].next_multiple_of(multiple).max(least[axis]));
    let pad = [0, 1, 2].map(|axis| (dims[axis] - sides[axis]) / 2);
    let mut input = vec![0.0; dims.iter().product()];
    for z in 0..sides[2] {
        for y in 0..sides[1] {
            let from = offset(grid, [part[0].0, part[1].0 + y, part[2].0 + z]);
            let to = offset(dims, [pad[0], pad[1] + y, pad[2] + z]);
            input[to..to + sides[0]].copy_from_slice(&data[from..from + sides[0]]);
        }
    }
    (input, dims, pad)
}

impl Prepared {
    /// The part of the input around the box `[start, end)` of its voxels: at most `window`
    /// voxels a side, the box in the middle where the scan goes on around it. `None` where
    /// that is all of it. The sides stay multiples of `multiple`.
    pub fn around(
        &self,
        organ: [(usize, usize); 3],
        window: [usize; 3],
        multiple: usize,
    ) -> Option<Self> {
        let part = [0, 1, 2].map(|axis| {
            let first = self.pad[axis];
            let length = self.crop[axis].1 - self.crop[axis].0;
            let side = window[axis].min(length);
            let centre = (organ[axis].0 + organ[axis].1) / 2;
            let start = centre.saturating_sub(side / 2).clamp(first, first + length - side);
            (start, start + side)
        });
        let whole =
            (0..3).all(|axis| part[axis].1 - part[axis].0 == self.crop[axis].1 - self.crop[axis].0);
        if whole {
            return None;
        }
        let least = [0, 1, 2].map(|axis| window[axis].min(self.dims[axis]));
        let (input, dims, pad) = padded((&self.input, self.dims), part, multiple, least);
        let crop = [0, 1, 2].map(|axis| {
            let (start, end) = part[axis];
            let shift = self.crop[axis].0;
            (start - self.pad[axis] + shift, end - self.pad[axis] + shift)
        });
        Some(Self { input, dims, crop, pad, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_is_wrong_and_what_to_do() {
        let large = PreprocessError::TooLarge([512, 600, 512]).to_string();
        assert!(large.contains("512 × 600 × 512 voxels at the pack's spacing"), "{large}");
        assert!(large.contains("Cut it to the part of interest"), "{large}");
        let empty = PreprocessError::Constant.to_string();
        assert!(empty.contains("the same value. Open it in a viewer"), "{empty}");
    }
}
