//! Affine of a NIfTI header: sform, else qform, else the spacing alone.
//!
//! The order and the formulas are those of nifti1.h, "3D image orientation and
//! location in space", methods 3, 2 and 1.

use super::header::Fields;
use crate::volume::Affine;

/// Most by which rounding makes the square of a quaternion's length exceed 1.
const MOST_ROUNDING: f64 = 1e-4;

/// Where the voxels lie.
pub(super) struct Placement {
    /// World from voxel, in millimetres.
    pub(super) affine: Affine,
    /// Whether the file states the spacing and its unit.
    pub(super) unit_stated: bool,
    /// Whether neither sform nor qform says how the axes lie.
    pub(super) sides_assumed: bool,
    /// What had to be assumed.
    pub(super) warnings: Vec<String>,
}

/// The affine, and how much of it had to be assumed.
pub(super) fn affine(fields: &Fields) -> Placement {
    let mut warnings = Vec::new();
    let (spacing, spaced) = spacing(fields, &mut warnings);
    let mut affine = None;
    if fields.sform_code > 0 {
        affine = usable(Affine(fields.srow));
    }
    if affine.is_none() {
        if fields.qform_code > 0 {
            affine = qform(fields, spacing).and_then(usable);
        }
        if fields.sform_code > 0 {
            let instead = if affine.is_some() { "its qform was used" } else { "it was not used" };
            warnings.push(format!("The header's sform matrix places nothing; {instead}."));
        }
        if affine.is_none() && fields.qform_code > 0 {
            warnings.push("The header's qform holds no rotation; it was not used.".into());
        }
    }
    let sides_assumed = affine.is_none();
    let affine = affine.unwrap_or_else(|| {
        warnings.push(
            "The file does not say how the scan lies in the body: left and right, and with them \
             every side named here, are assumed."
                .into(),
        );
        Affine::from_spacing(spacing)
    });
    let scale = millimetres_per_unit(fields.xyzt_units, &mut warnings);
    // + 0.0 turns -0 into 0.
    let affine = Affine(affine.0.map(|row| row.map(|value| value * scale + 0.0)));
    let unit_stated = spaced && names_unit(fields.xyzt_units);
    Placement { affine, unit_stated, sides_assumed, warnings }
}

fn usable(affine: Affine) -> Option<Affine> {
    affine.check().is_ok().then_some(affine)
}

/// pixdim[1..4], positive and finite, and whether the file states all that is used of it.
fn spacing(fields: &Fields, warnings: &mut Vec<String>) -> ([f64; 3], bool) {
    let stated = [fields.pixdim[1], fields.pixdim[2], fields.pixdim[3]];
    // A spacing along an axis of one voxel, or past dim[0], means nothing and is often 0.
    let matters = |axis: usize| fields.dim[0] > axis as i64 && fields.dim[axis + 1] > 1;
    // With a sform in use the spacing comes from its columns.
    let used = fields.sform_code <= 0 || usable(Affine(fields.srow)).is_none();
    let mut spaced = true;
    let spacing = [0, 1, 2].map(|axis| {
        let length = stated[axis].abs();
        if length.is_finite() && length > 0.0 {
            return length;
        }
        if used && matters(axis) {
            spaced = false;
            warnings.push(format!(
                "The file does not state the voxel spacing along {}; 1 was assumed, so every \
                 volume in millilitres is uncertain.",
                ["x", "y", "z"][axis]
            ));
        }
        1.0
    });
    (spacing, spaced)
}

/// Method 2: rotation from the unit quaternion (a, b, c, d), spacing, offset; pixdim[0] is qfac.
/// `None` where the quaternion is longer than 1 by more than rounding: nibabel refuses it, too.
fn qform(fields: &Fields, spacing: [f64; 3]) -> Option<Affine> {
    let [mut b, mut c, mut d] = fields.quatern;
    let mut a = 1.0 - (b * b + c * c + d * d);
    if a < -MOST_ROUNDING {
        return None;
    }
    // As nifti1_io does: (b, c, d) of length 1 is a half turn about its own direction.
    if a < 1e-7 {
        let length = (b * b + c * c + d * d).sqrt();
        (a, b, c, d) = (0.0, b / length, c / length, d / length);
    } else {
        a = a.sqrt();
    }
    let qfac = if fields.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let [x, y, z] = [spacing[0], spacing[1], spacing[2] * qfac];
    let [qx, qy, qz] = fields.qoffset;
    Some(Affine([
        [
            (a * a + b * b - c * c - d * d) * x,
            2.0 * (b * c - a * d) * y,
            2.0 * (b * d + a * c) * z,
            qx,
        ],
        [
            2.0 * (b * c + a * d) * x,
            (a * a + c * c - b * b - d * d) * y,
            2.0 * (c * d - a * b) * z,
            qy,
        ],
        [
            2.0 * (b * d - a * c) * x,
            2.0 * (c * d + a * b) * y,
            (a * a + d * d - b * b - c * c) * z,
            qz,
        ],
    ]))
}

/// Whether a unit that NIfTI defines is named.
const fn names_unit(xyzt_units: i32) -> bool {
    matches!(xyzt_units & 7, 1..=3)
}

/// `pixdim[4]` in milliseconds; `None` where the time half of xyzt_units names no time.
pub(super) fn volume_step_ms(fields: &Fields) -> Option<f64> {
    let milliseconds = match fields.xyzt_units & 0x38 {
        8 => 1000.0,
        16 => 1.0,
        24 => 0.001,
        _ => return None,
    };
    let step = fields.pixdim[4] * milliseconds;
    (step.is_finite() && step > 0.0).then_some(step)
}

/// The space half of xyzt_units.
fn millimetres_per_unit(xyzt_units: i32, warnings: &mut Vec<String>) -> f64 {
    match xyzt_units & 7 {
        1 => 1000.0,
        2 => 1.0,
        3 => 0.001,
        0 => {
            warnings.push(
                "The file does not state its unit of length: millimetres were assumed, so every \
                 volume in millilitres is uncertain."
                    .into(),
            );
            1.0
        }
        code => {
            warnings.push(format!(
                "The file's unit of length (code {code}) is not one that NIfTI defines: \
                 millimetres were assumed, so every volume in millilitres is uncertain."
            ));
            1.0
        }
    }
}
