//! What lies under a point: millimetres, voxel, value, structure.
//!
//! Only single voxels are read from the typed arrays. The value is the file's, where the page
//! was given the values; else it comes from the display copy in half precision, is rounded
//! to the digits that copy resolves (about one part in four thousand of the display range)
//! and marked as an approximation.

use prism_core::measure::display_name;
use prism_core::volume::{Affine, offset};

use super::data::{DisplayLabels, DisplayVolume, Values};
use super::geometry::{Frame, side_letter, voxel_under};
use crate::text;

/// A structure under a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// Index in the label table.
    pub index: u8,
    /// Name for people.
    pub name: String,
    /// Red, green, blue.
    pub color: [u8; 3],
}

/// Everything known about one point.
#[derive(Clone, Debug, PartialEq)]
pub struct Readout {
    /// World point (RAS+, mm).
    pub world_mm: [f64; 3],
    /// Voxel of the scan, in the order and count of its file, from 0; none outside.
    pub voxel: Option<[usize; 3]>,
    /// Value of that voxel in scan units.
    pub value: Option<f64>,
    /// Digits after the point that are known of it.
    pub decimals: usize,
    /// Whether it is the file's, not only near it.
    pub exact: bool,
    /// Structure there, whether it is drawn or hidden.
    pub structure: Option<Structure>,
}

impl Readout {
    /// Reads one point of the scan and its labels.
    pub fn at(
        world_mm: [f64; 3],
        (volume, values): (&DisplayVolume, Option<&Values>),
        frame: &Frame,
        labels: Option<&DisplayLabels>,
    ) -> Self {
        let voxel = frame.voxel_at(volume.dims, world_mm);
        let at = voxel.and_then(|voxel| u32::try_from(offset(volume.dims, voxel)).ok());
        let held = at.and_then(|at| values?.at(volume, at));
        let (low, high) = (f64::from(volume.range.0), f64::from(volume.range.1));
        let near = || {
            let at = at?;
            // Past the end reads as 0 in JavaScript.
            let bits = if at < volume.half.length() { volume.half.get_index(at) } else { 0 };
            Some(low + f64::from(half_to_f32(bits)) * (high - low))
        };
        let decimals = match held {
            Some(value) => decimals_of(value),
            None => decimals_within((high - low) * HALF_ERROR),
        };
        let structure = labels.and_then(|labels| structure_at(world_mm, labels));
        let exact = held.is_some();
        Self { world_mm, voxel, value: held.or_else(near), decimals, exact, structure }
    }

    /// `R 12.0  A 3.5  S 40.1 mm`.
    pub fn position(&self) -> String {
        let parts = [0, 1, 2].map(|axis| {
            let value = self.world_mm[axis];
            format!("{}\u{2009}{:.1}", side_letter(axis, value), value.abs())
        });
        format!("{}  mm", parts.join("  "))
    }

    /// `91, 108, 45`, or a dash outside the scan.
    pub fn voxel_text(&self) -> String {
        self.voxel.map_or_else(|| "\u{2013}".into(), |[x, y, z]| format!("{x}, {y}, {z}"))
    }

    /// The value with the digits that are known, behind "≈" where it is only near the file's,
    /// or a dash outside the scan.
    pub fn value_text(&self) -> String {
        let Some(value) = self.value else { return "\u{2013}".into() };
        let near = if self.exact { "" } else { "\u{2248}\u{2009}" };
        format!("{near}{}", number(value, self.decimals))
    }

    /// One sentence for screen readers.
    pub fn sentence(&self) -> String {
        const NAMES: [[&str; 2]; 3] =
            [["right", "left"], ["anterior", "posterior"], ["superior", "inferior"]];
        let place = [0, 1, 2].map(|axis| {
            let value = self.world_mm[axis];
            format!("{} {:.1}", NAMES[axis][usize::from(value < 0.0)], value.abs())
        });
        let structure = self.structure.as_ref().map_or("no structure", |s| s.name.as_str());
        format!("{} millimetres, value {}, {structure}", place.join(", "), self.value_text())
    }
}

fn structure_at(world_mm: [f64; 3], labels: &DisplayLabels) -> Option<Structure> {
    let voxel_from_world: Affine = labels.affine.inverse().ok()?;
    let voxel = voxel_under(&voxel_from_world, labels.dims, world_mm)?;
    let at = u32::try_from(offset(labels.dims, voxel)).ok()?;
    let index = if at < labels.indices.length() { labels.indices.get_index(at) } else { 0 };
    let label = labels.table.get(index)?;
    Some(Structure {
        index,
        name: text::capitalised(&display_name(&label.name)),
        color: label.color,
    })
}

/// A number with at most `decimals` digits after the point, a true minus and no
/// trailing zeros.
pub fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".into() } else { text.replace('-', "\u{2212}") }
}

/// How far a half float in [0, 1] may be from what it stands for: 2^-12, half of the step
/// between those below 1.
const HALF_ERROR: f64 = 1.0 / 4096.0;

/// Significant digits of a value that is no whole number: about those of a 32-bit float.
const DIGITS: i32 = 7;

/// Digits after the point of a value that is known to the precision of its file.
fn decimals_of(value: f64) -> usize {
    if value.fract() == 0.0 || !value.is_finite() {
        return 0;
    }
    (DIGITS - 1 - value.abs().log10().floor() as i32).clamp(0, 12) as usize
}

/// Digits after the point of a value that may be wrong by `error`: those whose unit is larger.
fn decimals_within(error: f64) -> usize {
    if error > 0.0 { (-error.log10()).floor().clamp(0.0, 8.0) as usize } else { 0 }
}

/// Digits after the point needed to tell values `step` apart.
pub fn decimals_for(step: f64) -> usize {
    if step > 0.0 { (-step.log10()).ceil().clamp(0.0, 8.0) as usize } else { 0 }
}

/// The value of IEEE 754 half-precision bits.
pub fn half_to_f32(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f32::from(bits & 0x3ff) / 1024.0;
    match exponent {
        0 => sign * fraction * 2.0_f32.powi(-14),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1.0 + fraction) * 2.0_f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_as_the_standard_tabulates_it() {
        // IEEE 754-2008 binary16: one, one third, smallest subnormal, largest, -2.
        for (bits, value) in [
            (0x3c00, 1.0),
            (0x3555, 0.333_251_95),
            (0x0001, 5.960_464_5e-8),
            (0x7bff, 65504.0),
            (0xc000, -2.0),
            (0x0000, 0.0),
        ] {
            assert_eq!(half_to_f32(bits), value, "{bits:#x}");
        }
        assert!(half_to_f32(0x7e00).is_nan());
    }

    #[test]
    fn numbers_show_what_is_resolved() {
        assert_eq!(decimals_for(4095.0 / 2000.0), 0);
        assert_eq!(decimals_for(255.0 / 2000.0), 1);
        assert_eq!(number(113.04, 1), "113");
        assert_eq!(number(-0.04, 1), "0");
        assert_eq!(number(-12.34, 1), "\u{2212}12.3");
    }

    #[test]
    fn sides_are_letters_and_words() {
        let readout = Readout {
            world_mm: [-12.04, 3.5, -40.0],
            voxel: Some([1, 2, 3]),
            value: Some(7.0),
            decimals: 0,
            exact: true,
            structure: None,
        };
        assert_eq!(readout.position(), "L\u{2009}12.0  A\u{2009}3.5  I\u{2009}40.0  mm");
        assert_eq!(
            readout.sentence(),
            "left 12.0, anterior 3.5, inferior 40.0 millimetres, value 7, no structure"
        );
        assert_eq!(readout.voxel_text(), "1, 2, 3");
        let near = Readout { exact: false, ..readout };
        assert_eq!(near.value_text(), "\u{2248}\u{2009}7");
        assert!(near.sentence().contains("value \u{2248}\u{2009}7, "), "{}", near.sentence());
    }

    #[test]
    fn no_digit_is_shown_that_is_not_known() {
        // Half precision of a range of 765 is wrong by up to 0.19, of 4095 by up to 1.
        let within = |range: f64| decimals_within(range * HALF_ERROR);
        assert_eq!([765.0, 4095.0, 0.5].map(within), [0, 0, 3]);
        assert_eq!([210.0, -3.0, 1e9, 0.0].map(decimals_of), [0; 4]);
        let shown = |value: f32| number(f64::from(value), decimals_of(f64::from(value)));
        for value in [103.375_f32, 0.1, 1234.5, 0.000_25, 16_777.25] {
            assert_eq!(shown(value), value.to_string());
        }
    }
}
