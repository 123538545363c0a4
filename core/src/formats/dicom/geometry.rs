//! Slices to volumes: which position each has along the normal, how they are spaced, and
//! the affine of the whole (PS3.3, C.7.6.2.1.1).
//!
//! DICOM's world is LPS+; ours is RAS+, so the first two rows change sign. Slices that
//! are missing or unevenly spaced are put on an even grid by linear interpolation between
//! their neighbours: an affine knows no gaps, and a volume that hides one is wrong in
//! every millilitre.

use std::collections::{HashMap, HashSet};

use super::frames::{Frame, Order, Place, cross, dot, unit};
use crate::formats::MAX_VOXELS;
use crate::formats::catalogue::count;
use crate::volume::Affine;

/// Positions nearer than this along the normal are one (mm).
const SAME_POSITION_MM: f64 = 0.01;
/// Deviation of a gap from the mean that still counts as even: share, and mm.
const EVEN: (f64, f64) = (0.02, 0.02);

const NO_THICKNESS: &str = "The files do not state the slice thickness; 1 mm was assumed, so every \
                            volume in millilitres is uncertain.";

/// One slice of the result: two of the stack's positions and the share of the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Blend {
    pub(super) low: usize,
    pub(super) high: usize,
    pub(super) share: f64,
}

/// Frames as volumes on an even grid.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Per position along the normal: the frame of each volume.
    pub(super) positions: Vec<Vec<Frame>>,
    /// Per slice of the result.
    pub(super) slices: Vec<Blend>,
    pub(super) dims: [usize; 3],
    pub(super) volumes: usize,
    pub(super) affine: Affine,
    /// Whether the files state the spacing of the pixels and that of the slices: by their places,
    /// else by their distance or thickness.
    pub(super) spacing_stated: bool,
    pub(super) warnings: Vec<String>,
}

/// Sorts frames of one size and orientation into volumes.
///
/// # Errors
/// In words, why they form none.
pub(super) fn arrange(mut frames: Vec<Frame>) -> Result<Layout, String> {
    let mut warnings = Vec::new();
    drop_copies(&mut frames, &mut warnings);
    let Some(first) = frames.first() else { return Err("there are none".into()) };
    let [row_mm, column_mm] = first.pixel_spacing.unwrap_or_else(|| {
        warnings.push(
            "The files do not state the pixel spacing; 1 mm was assumed, so every volume in \
             millilitres is uncertain."
                .into(),
        );
        [1.0, 1.0]
    });
    let (columns, rows) = (first.columns, first.rows);
    let (in_plane, through) = (first.pixel_spacing.is_some(), first.slice_spacing.is_some());
    let (placed, assumed) = spread(&mut frames, &mut warnings)?;
    let normal = cross(placed.row, placed.column);
    let mut positions = by_position(frames, normal);
    let volumes = even_out(&mut positions, &mut warnings);
    let (slices, step) = grid(&positions, normal, &mut warnings)?;
    let voxels = (columns * rows) as u64 * slices.len() as u64;
    if voxels > MAX_VOXELS {
        return Err(format!(
            "{columns} x {rows} x {} voxels are more than the {MAX_VOXELS} that can be held",
            slices.len()
        ));
    }
    let origin = positions[0][0].place.map_or(placed.position, |place| place.position);
    let lps = [placed.row.map(|d| d * column_mm), placed.column.map(|d| d * row_mm), step, origin];
    let affine = Affine([0, 1, 2].map(|axis| {
        let sign = if axis < 2 { -1.0 } else { 1.0 };
        // + 0.0 turns -0 into 0.
        lps.map(|column| sign * column[axis] + 0.0)
    }));
    affine.check().map_err(|error| error.to_string())?;
    let dims = [columns, rows, slices.len()];
    let spacing_stated = in_plane && (through || (positions.len() > 1 && !assumed));
    Ok(Layout { positions, slices, dims, volumes, affine, spacing_stated, warnings })
}

/// The same file given twice counts once.
fn drop_copies(frames: &mut Vec<Frame>, warnings: &mut Vec<String>) {
    let before = frames.len();
    let mut seen = HashSet::new();
    frames.retain(|frame| {
        frame.instance_uid.is_empty() || seen.insert((frame.instance_uid.clone(), frame.index))
    });
    let copies = before - frames.len();
    if copies > 0 {
        warnings.push(format!("{} given twice; each was used once.", count(copies, "image")));
    }
}

/// The first frame's place, and whether places were assumed: frames that have none, or all the
/// same, are given some.
fn spread(frames: &mut [Frame], warnings: &mut Vec<String>) -> Result<(Place, bool), String> {
    let spacing = frames[0].slice_spacing;
    let unplaced = frames.iter().any(|frame| frame.place.is_none());
    let multi_frame = frames[0].of > 1;
    let same = frames.windows(2).all(|pair| pair[0].place == pair[1].place);
    if unplaced {
        warnings.push(
            "The files do not say where the slices lie: order, left and right, and with them every \
             side named here, are assumed."
                .into(),
        );
    } else if multi_frame && same {
        warnings.push("The frames share one position; they were stacked in file order.".into());
    } else {
        let place = frames[0].place.ok_or("the slices have no position")?;
        return Ok((place, false));
    }
    if spacing.is_none() && frames.len() > 1 {
        warnings.push(NO_THICKNESS.into());
    }
    let base = frames[0].place.unwrap_or(Place {
        position: [0.0; 3],
        row: [1.0, 0.0, 0.0],
        column: [0.0, 1.0, 0.0],
    });
    let normal = cross(base.row, base.column);
    frames.sort_by(|a, b| {
        (a.order.2, a.index).partial_cmp(&(b.order.2, b.index)).unwrap_or(std::cmp::Ordering::Equal)
    });
    for (at, frame) in frames.iter_mut().enumerate() {
        let along = at as f64 * spacing.unwrap_or(1.0);
        let position = [0, 1, 2].map(|axis| base.position[axis] + along * normal[axis]);
        frame.place = Some(Place { position, ..base });
    }
    Ok((base, true))
}

fn along(frame: &Frame, normal: [f64; 3]) -> f64 {
    frame.place.map_or(0.0, |place| dot(place.position, normal))
}

/// Groups frames by their position along the normal, foot to head or as the normal points.
fn by_position(mut frames: Vec<Frame>, normal: [f64; 3]) -> Vec<Vec<Frame>> {
    frames.sort_by(|a, b| along(a, normal).total_cmp(&along(b, normal)));
    let mut positions: Vec<Vec<Frame>> = Vec::new();
    let mut last = f64::NEG_INFINITY;
    for frame in frames {
        let at = along(&frame, normal);
        match positions.last_mut() {
            Some(position) if at - last < SAME_POSITION_MM => position.push(frame),
            _ => {
                positions.push(vec![frame]);
                last = at;
            }
        }
    }
    for position in &mut positions {
        position.sort_by(|a, b| a.order.partial_cmp(&b.order).unwrap_or(std::cmp::Ordering::Equal));
    }
    positions
}

/// What makes a volume one: temporal position, echo, b-value, acquisition (as bits), image type.
type Moment = ([u64; 4], String);

/// The moment of a frame by the named parts alone. A trigger time is none: every slice has its own.
fn moment(frame: &Frame, parts: [bool; 5]) -> Moment {
    let Order(numbers, kind, _) = &frame.order;
    // + 0.0 turns -0 into 0.
    let bits = [0, 1, 2, 3].map(|at| if parts[at] { (numbers[at] + 0.0).to_bits() } else { 0 });
    (bits, if parts[4] { kind.clone() } else { String::new() })
}

/// The first parts of a moment that tell all images at each position apart.
fn telling(positions: &[Vec<Frame>]) -> Option<[bool; 5]> {
    let kinds = |position: &[Frame], parts: [bool; 5]| {
        position.iter().map(|frame| moment(frame, parts)).collect::<HashSet<_>>().len()
    };
    let mut parts = [false; 5];
    for part in 0..5 {
        let alone = std::array::from_fn(|at| at == part);
        // What is the same at every position, as a number that counts slices, tells nothing.
        if positions.iter().any(|position| kinds(position, alone) > 1) {
            parts[part] = true;
            if positions.iter().all(|position| kinds(position, parts) == position.len()) {
                return Some(parts);
            }
        }
    }
    None
}

/// Of positions with differently many frames, leaves the moments that have an image at each;
/// where there is none, the one that has most, if it lacks one or a tenth at most. Frames that nothing
/// tells apart stay.
fn keep_complete(positions: &mut Vec<Vec<Frame>>) {
    let Some(parts) = telling(positions) else { return };
    let mut counts: HashMap<Moment, usize> = HashMap::new();
    for frame in positions.iter().flatten() {
        *counts.entry(moment(frame, parts)).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(0);
    if most < positions.len() {
        let mut moments = positions.iter().flatten().map(|frame| moment(frame, parts));
        let fullest = moments.find(|moment| counts[moment] == most);
        // Else slices would be lost that were merely numbered otherwise.
        if most + 1 < positions.len() && 10 * most < 9 * positions.len() {
            return;
        }
        counts.retain(|moment, _| Some(moment) == fullest.as_ref());
    }
    for position in positions.iter_mut() {
        position.retain(|frame| counts.get(&moment(frame, parts)) == Some(&most));
    }
    positions.retain(|position| !position.is_empty());
}

/// As many volumes as every position has frames; the frames beyond are left out.
fn even_out(positions: &mut Vec<Vec<Frame>>, warnings: &mut Vec<String>) -> usize {
    let before: usize = positions.iter().map(Vec::len).sum();
    if positions.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
        keep_complete(positions);
    }
    let volumes = positions.iter().map(Vec::len).min().unwrap_or(0);
    let extra = before - volumes * positions.len();
    if extra > 0 {
        warnings.push(format!(
            "{} left out: at other positions there are fewer images, so {} part of no complete volume.",
            count(extra, "image"),
            if extra == 1 { "it is" } else { "they are" },
        ));
    }
    positions.iter_mut().for_each(|position| position.truncate(volumes));
    volumes
}

/// The even grid over the positions, and its step (LPS, mm).
fn grid(
    positions: &[Vec<Frame>],
    normal: [f64; 3],
    warnings: &mut Vec<String>,
) -> Result<(Vec<Blend>, [f64; 3]), String> {
    let frames: Vec<&Frame> = positions.iter().filter_map(|position| position.first()).collect();
    let at: Vec<f64> = frames.iter().map(|frame| along(frame, normal)).collect();
    let last = at.len() - 1;
    if last == 0 {
        let spacing = frames[0].slice_spacing.unwrap_or_else(|| {
            warnings.push(NO_THICKNESS.into());
            1.0
        });
        return Ok((vec![Blend { low: 0, high: 0, share: 0.0 }], normal.map(|n| n * spacing)));
    }
    let gaps: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let extent = at[last] - at[0];
    let mean = extent / last as f64;
    let even = |gap: f64, step: f64| (gap - step).abs() <= EVEN.1.max(EVEN.0 * step);
    let slices = if gaps.iter().all(|&gap| even(gap, mean)) {
        (0..=last).map(|z| Blend { low: z, high: z, share: 0.0 }).collect()
    } else {
        resampled(&at, &gaps, warnings)?
    };
    let place = |index: usize| frames[index].place.map_or([0.0; 3], |place| place.position);
    let (start, end) = (place(0), place(last));
    let step = [0, 1, 2].map(|axis| (end[axis] - start[axis]) / (slices.len() - 1) as f64);
    tilt(&frames, &at, step, normal, warnings);
    Ok((slices, step))
}

/// Slices of an even grid with the usual gap, each between its neighbours.
fn resampled(at: &[f64], gaps: &[f64], warnings: &mut Vec<String>) -> Result<Vec<Blend>, String> {
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    let usual = sorted[(sorted.len() - 1) / 2];
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    let extent = at[at.len() - 1] - at[0];
    let number = (extent / usual).round() + 1.0;
    if number > 3.0 * at.len() as f64 {
        return Err(format!(
            "the gaps between the {} slices range from {least:.2} to {most:.2} mm",
            at.len()
        ));
    }
    let number = number as usize;
    let multiples = gaps.iter().all(|gap| {
        let times = (gap / usual).round();
        times >= 1.0 && (gap - times * usual).abs() <= 0.05 * usual
    });
    if multiples {
        let missing = number.saturating_sub(at.len());
        if missing * 3 > number {
            return Err(format!("{missing} of {number} slices are missing"));
        }
        warnings.push(format!(
            "{missing} of {number} slices {} missing; {} filled in from the neighbours. Look at the \
             series again at its source.",
            if missing == 1 { "is" } else { "are" },
            if missing == 1 { "it was" } else { "they were" },
        ));
    } else {
        warnings.push(format!(
            "The slices are unevenly spaced ({least:.2} to {most:.2} mm); they were interpolated to \
             an even {:.2} mm.",
            extent / (number - 1).max(1) as f64
        ));
    }
    let step = extent / (number - 1).max(1) as f64;
    let mut low = 0;
    let blend = |z: usize| {
        let wanted = at[0] + z as f64 * step;
        while low + 2 < at.len() && at[low + 1] <= wanted {
            low += 1;
        }
        let share = ((wanted - at[low]) / (at[low + 1] - at[low])).clamp(0.0, 1.0);
        // Rounding must not blend a slice that is there.
        if share < 0.01 {
            Blend { low, high: low, share: 0.0 }
        } else if share > 0.99 {
            Blend { low: low + 1, high: low + 1, share: 0.0 }
        } else {
            Blend { low, high: low + 1, share }
        }
    };
    Ok((0..number).map(blend).collect())
}

/// Says when slices are shifted against each other within their plane.
fn tilt(
    frames: &[&Frame],
    at: &[f64],
    step: [f64; 3],
    normal: [f64; 3],
    warnings: &mut Vec<String>,
) {
    let Some(direction) = unit(step) else { return };
    let angle = dot(direction, normal).clamp(-1.0, 1.0).acos().to_degrees();
    if angle > 0.5 {
        warnings.push(format!(
            "The stack is tilted: each slice is shifted against the last (by {angle:.1} degrees). \
             Distances are right, but outlines may look slanted."
        ));
    }
    let Some(start) = frames[0].place else { return };
    let slope = dot(direction, normal);
    let astray = frames.iter().zip(at).filter_map(|(frame, &at_slice)| {
        let along = (at_slice - at[0]) / slope;
        let position = frame.place?.position;
        let off =
            [0, 1, 2].map(|axis| position[axis] - start.position[axis] - along * direction[axis]);
        Some(dot(off, off).sqrt())
    });
    let most = astray.fold(0.0, f64::max);
    if most > 0.5 {
        warnings.push(format!(
            "The slices do not lie on one line (up to {most:.1} mm beside it); this was ignored."
        ));
    }
}
