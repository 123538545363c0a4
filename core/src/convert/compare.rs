//! How close an int8 pack comes to full precision on a scan.

use super::ConvertError;
use crate::volume::{Affine, SizeMismatch, Volume, offset};

/// The middle of a scan, as large as one window of the network: comparing there costs
/// two passes instead of two for each of a hundred windows.
///
/// # Errors
/// [`ConvertError::Words`] for a scan whose affine gives no spacing.
pub fn middle(scan: &Volume, window_mm: [f64; 3]) -> Result<Volume, ConvertError> {
    let wrong = |error: SizeMismatch| ConvertError::Words(error.to_string());
    // The scan's axes need not be the network's, whose window is a cube or nearly one.
    let side_mm = window_mm.iter().copied().fold(f64::INFINITY, f64::min);
    let spacing = scan.spacing_mm();
    if !spacing.iter().all(|&mm| mm > 0.0) {
        return Err(ConvertError::Words("the scan to check with has no spacing".into()));
    }
    let dims = [0, 1, 2]
        .map(|axis| ((side_mm / spacing[axis]).round().max(1.0) as usize).min(scan.dims[axis]));
    let start = [0, 1, 2].map(|axis| (scan.dims[axis] - dims[axis]) / 2);
    let mut data = Vec::with_capacity(dims.iter().product());
    for z in 0..dims[2] {
        for y in 0..dims[1] {
            let from = offset(scan.dims, [start[0], start[1] + y, start[2] + z]);
            data.extend_from_slice(&scan.data[from..from + dims[0]]);
        }
    }
    let affine: Affine = scan.affine.rescaled([1.0; 3], start.map(|voxel| voxel as f64));
    Volume::new(data, dims, affine).map_err(wrong)
}

/// Cosine of the angle between two features; 0 where one of them is all zeros.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}
