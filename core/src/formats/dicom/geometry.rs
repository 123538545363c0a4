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
    /// Whether the files do not say how the slices lie in the body.
    pub(super) sides_assumed: bool,
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
    let sides_assumed = frames.iter().any(|frame| frame.place.is_none());
    let (placed, assumed) = spread(&mut frames, sides_assumed, &mut warnings)?;
    let normal = cross(placed.row, placed.column);
    let mut positions = by_position(frames, normal);
    let volumes = even_out(&mut positions, &mut warnings)?;
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
    Ok(Layout { positions, slices, dims, volumes, affine, spacing_stated, sides_assumed, warnings })
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

/// The first frame's place, and whether places were assumed: frames that are `unplaced`, or all
/// at the same place, are given some.
fn spread(
    frames: &mut [Frame],
    unplaced: bool,
    warnings: &mut Vec<String>,
) -> Result<(Place, bool), String> {
    let spacing = frames[0].slice_spacing;
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

/// What makes a volume one: temporal position, echo, b-value, acquisition, direction of the
/// diffusion gradient (as bits), image type.
type Moment = ([u64; 7], String);

/// Parts of a moment, in the order in which they are asked: a direction is one.
const PARTS: usize = 6;
/// Part of each number of a moment.
const PART_OF: [usize; 7] = [0, 1, 2, 3, 5, 5, 5];
/// Part that the image type is.
const TYPE: usize = 4;

/// Volume of each image, named by file and frame.
type Volumes = HashMap<(usize, usize), usize>;

/// Tells volumes apart, or cannot.
type Way = fn(&[Vec<Frame>]) -> Option<Volumes>;

fn name(frame: &Frame) -> (usize, usize) {
    (frame.file, frame.index)
}

/// The moment of a frame by the named parts alone. A trigger time is none: every slice has its own.
fn moment(frame: &Frame, parts: [bool; PARTS]) -> Moment {
    let Order(numbers, kind, _) = &frame.order;
    let [x, y, z] = frame.gradient.unwrap_or_default();
    let [temporal, echo, b_value, acquisition, _] = *numbers;
    let numbers = [temporal, echo, b_value, acquisition, x, y, z];
    let bits = std::array::from_fn(|at| {
        // + 0.0 turns -0 into 0.
        if parts[PART_OF[at]] { (numbers[at] + 0.0).to_bits() } else { 0 }
    });
    (bits, if parts[TYPE] { kind.clone() } else { String::new() })
}

/// Number of moments at a position.
fn kinds(position: &[Frame], parts: [bool; PARTS]) -> usize {
    position.iter().map(|frame| moment(frame, parts)).collect::<HashSet<_>>().len()
}

/// Whether a part differs within a position. What is the same at every position, as a number
/// that counts slices, tells nothing.
fn varies(positions: &[Vec<Frame>], part: usize) -> bool {
    let alone = std::array::from_fn(|at| at == part);
    positions.iter().any(|position| kinds(position, alone) > 1)
}

/// Volumes by the first parts of a moment that tell all images at each position apart.
fn by_moment(positions: &[Vec<Frame>]) -> Option<Volumes> {
    let mut parts = [false; PARTS];
    for part in 0..PARTS {
        if varies(positions, part) {
            parts[part] = true;
            if positions.iter().all(|position| kinds(position, parts) == position.len()) {
                return Some(numbered(positions, parts));
            }
        }
    }
    None
}

/// Moments by these parts, numbered as they come.
fn numbered(positions: &[Vec<Frame>], parts: [bool; PARTS]) -> Volumes {
    let mut known = HashMap::new();
    let frames = positions.iter().flatten();
    frames
        .map(|frame| {
            let next = known.len();
            (name(frame), *known.entry(moment(frame, parts)).or_insert(next))
        })
        .collect()
}

/// Volumes by instance number: one volume after the other, each from the first position to the
/// last or back, or one position after the other. `None` where the numbers leave a doubt.
fn by_number(positions: &[Vec<Frame>]) -> Option<Volumes> {
    let most = positions.iter().map(Vec::len).max()?;
    let mut images: Vec<(usize, &Frame)> = positions
        .iter()
        .enumerate()
        .flat_map(|(at, position)| position.iter().map(move |frame| (at, frame)))
        .collect();
    let number = |frame: &Frame| frame.order.2;
    images.sort_by(|(_, a), (_, b)| {
        number(a).total_cmp(&number(b)).then_with(|| a.index.cmp(&b.index))
    });
    let pairs = || images.windows(2).map(|pair| (pair[0], pair[1]));
    if pairs().any(|((_, a), (_, b))| number(a) == number(b) && a.index == b.index) {
        return None;
    }
    let rises = pairs().all(|((a, _), (b, _))| a <= b);
    let falls = pairs().all(|((a, _), (b, _))| a >= b);
    let volumes: Vec<usize> = if rises || falls {
        // As many numbers a position as there are volumes: a gap says which is missing.
        let block = |frame: &Frame| ((number(frame) - 1.0) / most as f64).floor();
        let fits = pairs().all(|((a, one), (b, other))| (a == b) == (block(one) == block(other)));
        let whole = images.iter().all(|(_, frame)| {
            number(frame) >= 1.0 && number(frame).fract() == 0.0 && frame.of == 1
        });
        let (_, last) = images.last()?;
        if !fits || !whole || number(last) % most as f64 != 0.0 {
            return None;
        }
        let volume = |frame: &Frame| (number(frame) - 1.0) as usize % most;
        images.iter().map(|(_, frame)| volume(frame)).collect()
    } else {
        // A volume ends where the next image does not lie further on.
        let runs = |rising: bool| -> Vec<usize> {
            let mut volume = 0;
            let next = pairs().map(|((a, _), (b, _))| {
                volume += usize::from(if rising { b <= a } else { b >= a });
                volume
            });
            std::iter::once(0).chain(next).collect()
        };
        let mut found = [runs(true), runs(false)]
            .into_iter()
            .filter(|volumes| volumes.last().is_some_and(|last| last + 1 == most));
        let volumes = found.next()?;
        if found.next().is_some() {
            return None;
        }
        volumes
    };
    // One time, echo, b-value and type a volume, or the numbers mean something else.
    let same = [true, true, true, false, true, false];
    let mut moments = HashMap::new();
    let agree = images.iter().zip(&volumes).all(|((_, frame), volume)| {
        let own = moment(frame, same);
        *moments.entry(*volume).or_insert_with(|| own.clone()) == own
    });
    agree.then(|| images.iter().zip(volumes).map(|((_, frame), at)| (name(frame), at)).collect())
}

/// Leaves the volumes that have an image at each position; where there is none, the first of
/// those that have most, if it lacks one or a tenth at most. Else nothing is changed: slices
/// would be lost that were merely numbered otherwise.
fn keep_complete(positions: &mut Vec<Vec<Frame>>, volumes: &Volumes) -> bool {
    let mut counts: HashMap<usize, usize> = HashMap::new();
    for volume in volumes.values() {
        *counts.entry(*volume).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(0);
    if most < positions.len() {
        if most + 1 < positions.len() && 10 * most < 9 * positions.len() {
            return false;
        }
        let mut all = positions.iter().flatten().filter_map(|frame| volumes.get(&name(frame)));
        let fullest = all.find(|volume| counts[*volume] == most).copied();
        counts.retain(|volume, _| Some(*volume) == fullest);
    }
    for position in positions.iter_mut() {
        position.retain(|frame| {
            volumes.get(&name(frame)).and_then(|volume| counts.get(volume)) == Some(&most)
        });
    }
    positions.retain(|position| !position.is_empty());
    // In the order of the first position: what tells the volumes apart need not sort them.
    let of = |frame: &Frame| volumes.get(&name(frame)).copied();
    let first = positions.first().map(|position| position.iter().map(of).collect::<Vec<_>>());
    let ranks: HashMap<Option<usize>, usize> =
        first.unwrap_or_default().into_iter().zip(0..).collect();
    for position in positions.iter_mut() {
        position.sort_by_key(|frame| ranks.get(&of(frame)).copied());
    }
    true
}

/// Leaves the images of moments that have equally many at each position: which volume one of
/// the others belongs to cannot be told.
///
/// # Errors
/// In words, when none is left.
fn keep_even(positions: &mut [Vec<Frame>]) -> Result<(), String> {
    let moments = numbered(positions, std::array::from_fn(|part| varies(positions, part)));
    let counts = |position: &[Frame]| {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        for frame in position {
            *counts.entry(moments[&name(frame)]).or_default() += 1;
        }
        counts
    };
    let mut even = positions.first().map(|position| counts(position)).unwrap_or_default();
    for position in positions.iter() {
        let here = counts(position);
        even.retain(|moment, count| here.get(moment) == Some(&*count));
    }
    if even.is_empty() {
        return Err("images of several volumes are missing, and the files do not say which \
                    volume each of the others belongs to"
            .into());
    }
    for position in positions.iter_mut() {
        position.retain(|frame| moments.get(&name(frame)).is_some_and(|at| even.contains_key(at)));
    }
    Ok(())
}

/// As many volumes as every position has frames; the frames beyond are left out.
///
/// # Errors
/// In words, when no volume is surely one.
fn even_out(positions: &mut Vec<Vec<Frame>>, warnings: &mut Vec<String>) -> Result<usize, String> {
    let before: usize = positions.iter().map(Vec::len).sum();
    let mut told = true;
    if positions.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
        let ways: [Way; 2] = [by_moment, by_number];
        let kept = ways
            .iter()
            .any(|way| way(positions).is_some_and(|volumes| keep_complete(positions, &volumes)));
        // Where most positions have one image, the others were taken again.
        let single = positions.iter().filter(|position| position.len() == 1).count();
        if !kept && 2 * single <= positions.len() {
            keep_even(positions)?;
            told = false;
        }
    }
    let volumes = positions.iter().map(Vec::len).min().unwrap_or(0);
    let extra = before - volumes * positions.len();
    if extra > 0 {
        let left_out = format!("{} left out", count(extra, "image"));
        let one = extra == 1;
        warnings.push(if told {
            let are = if one { "it is" } else { "they are" };
            format!(
                "{left_out}: at other positions there are fewer images, so {are} part of no complete volume."
            )
        } else {
            let each = if one { "it belongs" } else { "each belongs" };
            format!(
                "{left_out}: images are missing, and the files do not say which volume {each} to. \
                 Export the complete series again for all volumes."
            )
        });
    }
    positions.iter_mut().for_each(|position| position.truncate(volumes));
    Ok(volumes)
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
