//! Which voxels are the head and which are air, without a model.
//!
//! Noise in an MR image is measured where there is no signal, so the air mask must
//! not hold sinuses, bone or fluid, which are dark as well, nor the blurred rim of
//! the head. Three steps, each linear in the number of voxels:
//! 1. foreground: voxels above the clip level T with T = 0.5 median{v >= T} (the rule
//!    of AFNI's 3dClipLevel: the signal is what remains after noise and air);
//! 2. exterior: voxels seen from outside along an axis before any foreground. Faces
//!    that cut through the body (2 % of their voxels or more are foreground) are not
//!    looked through, because dark tissue would be seen from there;
//! 3. air: exterior further than 6 mm from the head.

use super::air::Air;
use super::statistics::{Histogram, Moments};
use crate::volume::Volume;

/// Distance from the head within which air is not used, in millimetres: ringing and
/// partial volume reach a few voxels.
const RIM_MM: f64 = 6.0;
/// Share of foreground on a face of the field of view from which the body is taken
/// to be cut there.
const CUT_FACE_SHARE: f64 = 0.02;
/// Share of equal values on the outer faces from which the background is taken to be
/// filled with a constant.
const FILL_SHARE: f64 = 0.5;
/// Share of negative voxels from which the image is no magnitude image.
const NEGATIVE_SHARE: f64 = 0.01;
const FOREGROUND: u8 = 1;
const EXTERIOR: u8 = 2;
const RIM: u8 = 4;

/// Head and air of a scan.
pub(super) struct Background {
    /// Bits per voxel; ask through [`Background::is_air`] and the like.
    flags: Vec<u8>,
    /// Value that fills the background, where it is constant.
    pub(super) fill: Option<f32>,
    /// Why the values have no zero that means "no signal", where they have none.
    pub(super) no_zero: Option<String>,
    /// Noise in the air, or why it cannot be had.
    pub(super) air: Result<Air, String>,
    /// Foreground voxels.
    pub(super) foreground: Moments,
}

impl Background {
    /// Analyses a scan.
    pub(super) fn of(volume: &Volume) -> Self {
        let fill = fill_value(volume);
        let clip_level = clip_level(volume, fill);
        let mut flags: Vec<u8> =
            volume.data.iter().map(|&v| u8::from(is_signal(v, clip_level))).collect();
        let mut foreground = Moments::default();
        for &value in volume.data.iter().filter(|&&v| is_signal(v, clip_level)) {
            foreground.push(f64::from(value));
        }
        let open = open_faces(&flags, volume.dims);
        mark_exterior(&mut flags, volume.dims, open);
        mark_rim(&mut flags, volume.dims, volume.spacing_mm());
        let mut background = Self {
            flags,
            fill,
            no_zero: no_zero(volume, fill),
            air: Err(String::new()),
            foreground,
        };
        background.air = background.measure_air(volume, open);
        background
    }

    /// Whether a voxel is air at a safe distance from the head.
    pub(super) fn is_air(&self, at: usize) -> bool {
        self.flags[at] & (EXTERIOR | RIM) == EXTERIOR
    }

    /// Whether a voxel belongs to the head, dark tissue included.
    pub(super) fn is_head(&self, at: usize) -> bool {
        self.flags[at] & EXTERIOR == 0
    }

    /// Whether a voxel is above the clip level.
    pub(super) fn is_foreground(&self, at: usize) -> bool {
        self.flags[at] & FOREGROUND != 0
    }

    fn measure_air(&self, volume: &Volume, open: [[bool; 2]; 3]) -> Result<Air, String> {
        if let Some(fill) = self.fill {
            return Err(format!(
                "no background: the area around the head holds the constant value “{fill}”, as \
                 after skull stripping or cropping"
            ));
        }
        if let Some(reason) = &self.no_zero {
            return Err(reason.clone());
        }
        if !open.iter().flatten().any(|&open| open) {
            return Err("no background: the body reaches every side of the field of view".into());
        }
        Air::of(volume, self)
    }
}

/// Whether a value is a number above `level`; infinite ones are no signal.
fn is_signal(value: f32, level: f64) -> bool {
    value.is_finite() && f64::from(value) > level
}

fn no_zero(volume: &Volume, fill: Option<f32>) -> Option<String> {
    if let Some(fill) = fill.filter(|&fill| fill != 0.0) {
        return Some(format!(
            "the background holds the constant “{fill}” and not zero: the intensities were shifted, \
             and ratios to the signal mean nothing"
        ));
    }
    let negative = volume.data.iter().filter(|&&v| v < 0.0).count();
    (negative as f64 > NEGATIVE_SHARE * volume.data.len() as f64).then(|| {
        "not a magnitude image: it holds negative values, so that ratios to the signal mean nothing"
            .into()
    })
}

/// Visits the voxels of the two outermost layers across each axis.
fn for_each_face_voxel(dims: [usize; 3], mut visit: impl FnMut(usize, usize, usize)) {
    let strides = [1, dims[0], dims[0] * dims[1]];
    for axis in 0..3 {
        let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
        for (end, layer) in [(0, 0), (1, dims[axis].saturating_sub(1))] {
            for j in 0..dims[b] {
                for i in 0..dims[a] {
                    visit(axis, end, layer * strides[axis] + i * strides[a] + j * strides[b]);
                }
            }
        }
    }
}

/// The value that more than half of the outer faces hold, if one does (Boyer-Moore
/// majority vote, then a count).
fn fill_value(volume: &Volume) -> Option<f32> {
    if volume.data.is_empty() {
        return None;
    }
    let (mut candidate, mut votes, mut total) = (0.0_f32, 0_i64, 0_u64);
    for_each_face_voxel(volume.dims, |_, _, at| {
        total += 1;
        let value = volume.data[at];
        if votes == 0 {
            candidate = value;
        }
        votes += if value == candidate { 1 } else { -1 };
    });
    let mut equal = 0_u64;
    for_each_face_voxel(volume.dims, |_, _, at| equal += u64::from(volume.data[at] == candidate));
    (equal as f64 > FILL_SHARE * total as f64).then_some(candidate)
}

/// T = 0.5 median{v >= T}, iterated from the root mean square of the values above
/// zero, which signal dominates (from lower down the rule would settle within the
/// noise). With a constant background, values are taken relative to it.
fn clip_level(volume: &Volume, fill: Option<f32>) -> f64 {
    let zero = fill.unwrap_or(0.0);
    let mut histogram = Histogram::new();
    let mut positive = Moments::default();
    for &value in volume.data.iter().filter(|&&v| is_signal(v, f64::from(zero))) {
        histogram.push(value - zero);
        positive.push(f64::from(value - zero));
    }
    let mut level = positive.energy().sqrt();
    for _ in 0..50 {
        let Some(median) = histogram.quantile_from(level, 0.5) else { break };
        let next = 0.5 * median;
        let settled = (next - level).abs() <= 1e-3 * next;
        level = next;
        if settled {
            break;
        }
    }
    level + f64::from(zero)
}

fn open_faces(flags: &[u8], dims: [usize; 3]) -> [[bool; 2]; 3] {
    let mut foreground = [[0_u64; 2]; 3];
    let mut total = [[0_u64; 2]; 3];
    for_each_face_voxel(dims, |axis, end, at| {
        total[axis][end] += 1;
        foreground[axis][end] += u64::from(flags[at] & FOREGROUND != 0);
    });
    [0, 1, 2].map(|axis| {
        [0, 1].map(|end| {
            // A single slice has no view across it.
            dims[axis] > 1
                && (foreground[axis][end] as f64) < CUT_FACE_SHARE * total[axis][end] as f64
        })
    })
}

/// Walks along `axis` from its low or high end over all lines at once; `visit` gets
/// the line's state and the voxel's flags.
fn sweep<S: Copy + Default>(
    flags: &mut [u8],
    dims: [usize; 3],
    axis: usize,
    from_high: bool,
    mut visit: impl FnMut(&mut S, &mut u8),
) {
    let inner: usize = dims[..axis].iter().product();
    let length = dims[axis];
    if inner == 0 || length == 0 {
        return;
    }
    let mut states = vec![S::default(); inner];
    for block in flags.chunks_exact_mut(inner * length) {
        states.fill(S::default());
        for step in 0..length {
            let layer = if from_high { length - 1 - step } else { step };
            let row = &mut block[layer * inner..(layer + 1) * inner];
            for (state, flag) in states.iter_mut().zip(row) {
                visit(state, flag);
            }
        }
    }
}

fn mark_exterior(flags: &mut [u8], dims: [usize; 3], open: [[bool; 2]; 3]) {
    for (axis, ends) in open.into_iter().enumerate() {
        for (end, open) in ends.into_iter().enumerate() {
            if open {
                sweep(flags, dims, axis, end == 1, |hit: &mut bool, flag| {
                    *hit |= *flag & FOREGROUND != 0;
                    if !*hit {
                        *flag |= EXTERIOR;
                    }
                });
            }
        }
    }
}

/// Marks the exterior within [`RIM_MM`] of the head, axis by axis (a box, not a ball).
fn mark_rim(flags: &mut [u8], dims: [usize; 3], spacing_mm: [f64; 3]) {
    // While axes are added, RIM means "head or near it".
    for flag in flags.iter_mut() {
        if *flag & EXTERIOR == 0 {
            *flag |= RIM;
        }
    }
    for (axis, spacing) in spacing_mm.into_iter().enumerate() {
        let reach = (RIM_MM / spacing.max(1e-3)).ceil().min(255.0) as u8;
        // Voxels added along this axis must not spread along it again.
        const ADDED: u8 = 8;
        for from_high in [false, true] {
            sweep(flags, dims, axis, from_high, |left: &mut u8, flag| {
                if *flag & RIM != 0 {
                    *left = reach;
                } else if *left > 0 {
                    *left -= 1;
                    *flag |= ADDED;
                }
            });
        }
        for flag in flags.iter_mut() {
            if *flag & ADDED != 0 {
                *flag = *flag & !ADDED | RIM;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, offset};

    /// A bright shell (radius 10 to 12) around a dark inside, in low uniform noise.
    fn shell() -> Volume {
        let dims = [48, 48, 48];
        let mut data = Vec::new();
        for z in 0..48 {
            for y in 0..48 {
                for x in 0..48 {
                    let r2: f64 = [x, y, z].iter().map(|&v| (f64::from(v) - 23.5).powi(2)).sum();
                    let noise = f64::from((x * 7 + y * 13 + z * 29) % 11) + 1.0;
                    let bright = r2 > 100.0 && r2 < 144.0;
                    data.push((noise + if bright { 500.0 } else { 0.0 }) as f32);
                }
            }
        }
        Volume { data, dims, affine: Affine::from_spacing([1.0; 3]) }
    }

    #[test]
    fn the_dark_inside_is_head_and_the_corner_is_air() {
        let volume = shell();
        let background = Background::of(&volume);
        assert!(background.is_head(offset(volume.dims, [23, 23, 23])));
        assert!(!background.is_air(offset(volume.dims, [23, 23, 23])));
        assert!(background.is_air(offset(volume.dims, [1, 1, 1])));
        // Air 12 + 6 mm from the centre along x is the last of the rim.
        assert!(!background.is_air(offset(volume.dims, [40, 23, 23])));
        assert!(background.is_air(offset(volume.dims, [43, 23, 23])));
        assert!(background.is_foreground(offset(volume.dims, [34, 23, 23])));
        let Ok(air) = &background.air else { unreachable!("there is air") };
        // np.arange(1, 12).mean() = 6.0, np.arange(1, 12).std() = 3.1622776601683795
        assert!((air.mean - 6.0).abs() < 0.05, "{}", air.mean);
        assert!((air.deviation - 3.162).abs() < 0.05);
        assert_eq!(air.median, 6.0);
    }

    #[test]
    fn a_body_that_fills_the_field_of_view_has_no_background() {
        let volume = Volume {
            data: (0..1000).map(|v| 100.0 + (v % 7) as f32).collect(),
            dims: [10; 3],
            affine: Affine::from_spacing([1.0; 3]),
        };
        let reason = Background::of(&volume).air.err().unwrap_or_default();
        assert!(reason.contains("every side"), "{reason}");
    }

    #[test]
    fn a_constant_background_is_named() {
        let mut volume = shell();
        for value in &mut volume.data {
            if *value < 100.0 {
                *value = 35.0;
            }
        }
        let background = Background::of(&volume);
        assert_eq!(background.fill, Some(35.0));
        let reason = background.air.err().unwrap_or_default();
        assert!(reason.contains("constant value “35”"), "{reason}");
        assert!(background.no_zero.is_some_and(|reason| reason.contains("shifted")));
    }
}
