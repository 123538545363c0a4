//! DICOM: files to series to volumes.
//!
//! | file | what |
//! | --- | --- |
//! | `elements` | data sets as borrowed elements, over dicom-rs's header decoders |
//! | `data_set` | their values as text and numbers |
//! | `file` | preamble, meta group, transfer syntax |
//! | `frames` | what each image says about itself |
//! | `geometry` | images to an even grid and its affine |
//! | `join` | slices that are a series each, to one stack |
//! | `pixels`, `rle` | pixels to values |
//!
//! Identifiers of the patient are never read. The series' identifier groups files and
//! stays inside.

mod data_set;
mod elements;
mod file;
mod frames;
mod geometry;
mod join;
mod pixels;
mod rle;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use super::catalogue::count;
use super::{Acquisition, Format, FormatError, InputFile, Scan, Series};
use crate::volume::Volume;
use data_set::DataSet;
use file::Syntax;
use frames::{Content, Frame, SeriesFacts};
use geometry::Layout;

/// Most images of all files together.
const MOST_IMAGES: usize = 200_000;
/// Most bytes of all deflated data sets of one volume.
const MOST_INFLATED: u64 = 1 << 30;
/// Most stacks of one series; localisers have three, radial series dozens.
const MOST_STACKS: usize = 200;

/// One stack of images that forms a volume, or several at the same positions.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    layout: Layout,
}

/// What the DICOM files hold.
pub(super) struct Found {
    pub(super) stacks: Vec<(Series, Stack)>,
    pub(super) warnings: Vec<String>,
}

/// Images of one series that have size, spacing and orientation in common.
struct Group {
    facts: SeriesFacts,
    frames: Vec<Frame>,
}

/// Sorts the files at `indices` into series.
///
/// # Errors
/// What was wrong with the first file, or with the slices, when no volume can be formed;
/// [`FormatError::NoImages`] when none of the files is a grey-value image.
pub(super) fn catalogue(files: &[InputFile], indices: &[usize]) -> Result<Found, FormatError> {
    let mut groups: Vec<Group> = Vec::new();
    let mut groups_of: HashMap<String, Vec<usize>> = HashMap::new();
    let mut failures = Vec::new();
    let mut others: Vec<(&'static str, usize)> = Vec::new();
    let (mut images, mut beyond) = (0, 0);
    for &index in indices {
        let content = file::open(&files[index]).and_then(|body| {
            let name = files[index].base_name();
            frames::read(&body.data_set(name)?, index, name)
        });
        match content {
            Err(error) => failures.push(error),
            Ok(Content::Other(what)) => match others.iter_mut().find(|(other, _)| *other == what) {
                Some((_, number)) => *number += 1,
                None => others.push((what, 1)),
            },
            Ok(Content::Images(facts, frames)) => {
                images += frames.len();
                if images > MOST_IMAGES {
                    return Err(FormatError::TooLarge {
                        what: "series",
                        expected: format!("{MOST_IMAGES} images"),
                        actual: "more".into(),
                        name: files[index].base_name().into(),
                    });
                }
                let known = groups_of.entry(facts.uid.clone()).or_default();
                for frame in frames {
                    let found =
                        known.iter().copied().find(|&at| alike(&groups[at].frames[0], &frame));
                    match found {
                        Some(at) => groups[at].frames.push(frame),
                        None if known.len() < MOST_STACKS => {
                            known.push(groups.len());
                            let facts = (*facts).clone();
                            groups.push(Group { facts, frames: vec![frame] });
                        }
                        None => beyond += 1,
                    }
                }
            }
        }
    }
    let mut warnings = Vec::new();
    let described: Vec<String> =
        others.iter().map(|(what, number)| format!("{number} with {what}")).collect();
    if !others.is_empty() && !groups.is_empty() {
        warnings.push(format!(
            "DICOM files without grey-value images were left out: {}.",
            described.join(", ")
        ));
    }
    if beyond > 0 {
        warnings.push(format!(
            "{} left out: the series has too many orientations.",
            count(beyond, "image")
        ));
    }
    if groups.is_empty() {
        return Err(failures
            .into_iter()
            .next()
            .unwrap_or(FormatError::NoImages { found: described.join(", ") }));
    }
    let stacks = form(groups, &mut failures);
    if stacks.is_empty() {
        return Err(failures
            .into_iter()
            .next()
            .unwrap_or(FormatError::NoImages { found: "no volume".into() }));
    }
    warnings.extend(left_out(failures));
    Ok(Found { stacks, warnings })
}

/// One sentence for all files that could not be used.
fn left_out(failures: Vec<FormatError>) -> Option<String> {
    let number = failures.len();
    let first = failures.into_iter().next()?;
    Some(if number == 1 {
        format!("Left out: {first}")
    } else {
        format!("{number} files or series were left out, the first because: {first}")
    })
}

/// Whether two images can be slices of one volume.
fn alike(a: &Frame, b: &Frame) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-3 * a.abs().max(1e-3);
    let spacing = match (a.pixel_spacing, b.pixel_spacing) {
        (Some(a), Some(b)) => near(a[0], b[0]) && near(a[1], b[1]),
        (a, b) => a.is_none() && b.is_none(),
    };
    // Within a quarter of a degree.
    let parallel = |a, b| frames::dot(a, b) > 0.99999;
    let place = match (a.place, b.place) {
        (Some(a), Some(b)) => parallel(a.row, b.row) && parallel(a.column, b.column),
        (a, b) => a.is_none() && b.is_none(),
    };
    (a.rows, a.columns) == (b.rows, b.columns) && spacing && place
}

/// Groups to stacks, in the order of series numbers, larger stacks of a series first.
fn form(mut groups: Vec<Group>, failures: &mut Vec<FormatError>) -> Vec<(Series, Stack)> {
    groups.sort_by(|a, b| {
        let key = |group: &Group| {
            let frame = &group.frames[0];
            let pixels = (frame.rows * frame.columns) as u64 * group.frames.len() as u64;
            (group.facts.number.unwrap_or(i64::MAX), group.facts.uid.clone(), u64::MAX - pixels)
        };
        let row = |group: &Group| group.frames[0].place.map_or([0.0; 3], |place| place.row);
        key(a)
            .cmp(&key(b))
            .then_with(|| row(b).partial_cmp(&row(a)).unwrap_or(std::cmp::Ordering::Equal))
    });
    let parts = groups.iter().fold(HashMap::<String, usize>::new(), |mut parts, group| {
        *parts.entry(group.facts.uid.clone()).or_default() += 1;
        parts
    });
    let mut part_of: HashMap<String, usize> = HashMap::new();
    let mut stacks = Vec::new();
    let joined = join::joined(&groups);
    let single = groups.len();
    for (at, Group { facts, frames }) in groups.into_iter().enumerate() {
        let part = part_of.entry(facts.uid.clone()).or_default();
        *part += 1;
        let mut title = title(&facts);
        if parts.get(&facts.uid).is_some_and(|&parts| parts > 1) {
            title.push_str(&format!(", part {part}"));
        }
        match stack(at, title, facts, frames) {
            Ok(stack) => stacks.push(stack),
            Err(reason) => failures.push(FormatError::Geometry { reason }),
        }
    }
    for (at, joined) in joined.into_iter().enumerate() {
        let Group { facts, frames } = joined.group;
        let title = format!("{}, slices of {} series", title(&facts), joined.series);
        // What cannot be joined stays what it is, a series each.
        if let Ok((series, mut stack)) = stack(single + at, title, facts, frames) {
            if joined.repeated > 0 {
                stack.layout.warnings.push(format!(
                    "Series left out of the stack, as later ones show their slices again: {}.",
                    joined.repeated
                ));
            }
            stacks.push((series, stack));
        }
    }
    stacks
}

/// Images to a stack, number `at` of the study.
///
/// # Errors
/// In words, why they form none.
fn stack(
    at: usize,
    title: String,
    facts: SeriesFacts,
    frames: Vec<Frame>,
) -> Result<(Series, Stack), String> {
    let mut files: Vec<usize> = frames.iter().map(|frame| frame.file).collect();
    files.sort_unstable();
    files.dedup();
    // The first file of a diffusion series often has no diffusion weighting.
    let b_value = frames.iter().map(|frame| frame.order.0[2]).fold(0.0, f64::max);
    let mut layout = geometry::arrange(frames)?;
    // "MRI" is no term of the standard, but exporters write it.
    if !matches!(facts.modality.as_str(), "MR" | "MRI" | "") {
        layout.warnings.push(format!(
            "These images are of modality {}; the models here are made for MR.",
            facts.modality.chars().take(4).collect::<String>()
        ));
    }
    let series = Series {
        key: format!("series-{}", at + 1),
        title,
        format: Format::Dicom,
        dims: layout.dims,
        spacing_mm: layout.affine.spacing_mm(),
        unit_stated: layout.spacing_stated,
        volumes: layout.volumes,
        files: files.len(),
        acquisition: Acquisition {
            b_value: (b_value > 0.0).then_some(b_value),
            ..facts.acquisition
        },
    };
    Ok((series, Stack { layout }))
}

fn title(facts: &SeriesFacts) -> String {
    match (facts.number, &facts.acquisition.description) {
        (Some(number), Some(description)) => format!("Series {number}: {description}"),
        (Some(number), None) => format!("Series {number}"),
        (None, Some(description)) => description.clone(),
        (None, None) => "DICOM series".into(),
    }
}

/// Reads one volume of a stack.
///
/// # Errors
/// [`FormatError::UnknownVolume`], [`FormatError::TransferSyntax`], [`FormatError::Damaged`],
/// [`FormatError::Truncated`], [`FormatError::TooLarge`].
pub(super) fn load(
    files: &[InputFile],
    stack: &Stack,
    mut series: Series,
    index: usize,
) -> Result<Scan, FormatError> {
    let layout = &stack.layout;
    if index >= layout.volumes {
        return Err(FormatError::UnknownVolume { expected: index, actual: layout.volumes });
    }
    let [columns, rows, depth] = layout.dims;
    let slice = columns * rows;
    let mut data: Vec<f32> = Vec::new();
    data.try_reserve_exact(slice * depth).map_err(|_| FormatError::TooLarge {
        what: "series",
        expected: "what the browser's memory holds".into(),
        actual: format!("{columns} x {rows} x {depth} voxels"),
        name: series.title.clone(),
    })?;
    let frames = || layout.positions.iter().map(|position| &position[index]);
    let mut bodies = HashMap::new();
    let mut inflated = 0_u64;
    for frame in frames() {
        if let Entry::Vacant(vacant) = bodies.entry(frame.file) {
            let body = file::open(&files[frame.file])?;
            inflated += body.inflated();
            if inflated > MOST_INFLATED {
                return Err(FormatError::TooLarge {
                    what: "deflated series",
                    expected: format!("{} MiB", MOST_INFLATED >> 20),
                    actual: "more".into(),
                    name: files[frame.file].base_name().into(),
                });
            }
            vacant.insert(body);
        }
    }
    // Each file is walked once, however many frames it holds.
    let mut sets = HashMap::new();
    for (&file, body) in &bodies {
        sets.insert(file, (body.data_set(files[file].base_name())?, &body.syntax));
    }
    let mut reader = Reader { files, stack, volume: index, sets, non_finite: 0, kept: Vec::new() };
    for blend in &layout.slices {
        let low = reader.slice(blend.low)?;
        if blend.low == blend.high {
            data.extend_from_slice(&low);
            continue;
        }
        let high = reader.slice(blend.high)?;
        let share = blend.share as f32;
        data.extend(low.iter().zip(high.iter()).map(|(a, b)| a + share * (b - a)));
    }
    let mut warnings = layout.warnings.clone();
    if reader.non_finite > 0 {
        warnings.push(format!(
            "{} not a number (NaN or infinite) and set to 0.",
            count(reader.non_finite, "voxel")
        ));
    }
    let echo = layout.positions[0][index].echo_time_ms.filter(|&echo| echo > 0.0);
    series.acquisition.echo_time_ms = echo.or(series.acquisition.echo_time_ms);
    // Slices of one phase are taken in other heartbeats, so that their times differ a little.
    let times: Option<Vec<f64>> = frames().map(|frame| frame.time_ms).collect();
    let time_ms = times.map(|times| times.iter().sum::<f64>() / times.len() as f64);
    let volume = Volume { data, dims: layout.dims, affine: layout.affine };
    Ok(Scan { volume, series, time_ms, sides_assumed: layout.sides_assumed, warnings })
}

/// Decodes slices on demand, and keeps the last two for blending.
struct Reader<'a> {
    files: &'a [InputFile],
    stack: &'a Stack,
    volume: usize,
    sets: HashMap<usize, (DataSet<'a>, &'a Syntax)>,
    non_finite: usize,
    kept: Vec<(usize, Rc<Vec<f32>>)>,
}

impl Reader<'_> {
    fn slice(&mut self, position: usize) -> Result<Rc<Vec<f32>>, FormatError> {
        if let Some((_, kept)) = self.kept.iter().find(|(at, _)| *at == position) {
            return Ok(kept.clone());
        }
        let frame = &self.stack.layout.positions[position][self.volume];
        let (data, syntax) = &self.sets[&frame.file];
        let mut values = vec![0.0; frame.rows * frame.columns];
        self.non_finite += pixels::read(data, syntax, frame, &mut values)
            .map_err(|failure| failure.explain(syntax, self.files[frame.file].base_name()))?;
        let values = Rc::new(values);
        if self.kept.len() == 2 {
            self.kept.remove(0);
        }
        self.kept.push((position, values.clone()));
        Ok(values)
    }
}
