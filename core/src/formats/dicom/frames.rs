//! What a DICOM file says about its frames: where each lies, how its pixels are stored,
//! and which volume of a 4-D series it belongs to.
//!
//! Single-frame files say it at top level; enhanced multi-frame files in functional
//! groups (PS3.3, C.7.6.16), a frame's own before the shared ones.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::data_set::{DataSet, Value};
use crate::formats::{Acquisition, Date, FormatError, MAX_VOXELS};

/// Most frames of one file.
const MOST_FRAMES: usize = 65_535;
/// Longest text that is shown.
const MOST_SHOWN: usize = 64;

/// How pixels lie in their bits (PS3.5, 8.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// 8, 16 or 32.
    pub(super) bits_allocated: usize,
    /// 1 to `bits_allocated`.
    pub(super) bits_stored: u32,
    /// `bits_stored - 1` to `bits_allocated - 1`.
    pub(super) high_bit: u32,
    pub(super) signed: bool,
    /// MONOCHROME1: the least value is white.
    pub(super) inverted: bool,
}

/// Where a frame lies: DICOM's patient coordinates (LPS+), millimetres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    /// Centre of the first pixel.
    pub(super) position: [f64; 3],
    /// Direction in which the column index grows.
    pub(super) row: [f64; 3],
    /// Direction in which the row index grows.
    pub(super) column: [f64; 3],
}

/// What tells frames at one position apart, in the order in which it is asked.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(super) struct Order(pub(super) [f64; 5], pub(super) String, pub(super) f64);

/// One image.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Index of its file.
    pub(super) file: usize,
    /// Index in its file.
    pub(super) index: usize,
    /// Number of frames in its file.
    pub(super) of: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) stored: Stored,
    pub(super) slope: f64,
    pub(super) intercept: f64,
    pub(super) place: Option<Place>,
    /// Distance of rows, distance of columns (mm).
    pub(super) pixel_spacing: Option<[f64; 2]>,
    /// Distance of slices as stated, or their thickness (mm).
    pub(super) slice_spacing: Option<f64>,
    pub(super) order: Order,
    /// Direction of the diffusion gradient, patient coordinates (LPS+).
    pub(super) gradient: Option<[f64; 3]>,
    pub(super) echo_time_ms: Option<f64>,
    /// Time after the R wave, or after the first temporal position (ms).
    pub(super) time_ms: Option<f64>,
    /// SOPInstanceUID: the same file twice has the same.
    pub(super) instance_uid: String,
}

/// What a file says about its series.
#[derive(Clone, Debug)]
pub(super) struct SeriesFacts {
    /// SeriesInstanceUID; kept for grouping, never shown.
    pub(super) uid: String,
    pub(super) number: Option<i64>,
    pub(super) modality: String,
    pub(super) acquisition: Acquisition,
}

/// What a data set holds.
pub(super) enum Content {
    Images(Box<SeriesFacts>, Vec<Frame>),
    /// No grey-value image: what instead.
    Other(&'static str),
}

/// Functional groups of one frame over the data set itself.
struct Groups<'s, 'a> {
    layers: [Option<&'s DataSet<'a>>; 2],
    data: &'s DataSet<'a>,
}

impl<'s, 'a> Groups<'s, 'a> {
    fn of(data: &'s DataSet<'a>, frame: usize) -> Self {
        let own = data.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).get(frame);
        let shared = data.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
        Self { layers: [own, shared], data }
    }

    /// The numbers of `tag` inside `sequence`, else at top level.
    fn numbers(&self, sequence: Tag, tag: Tag) -> Vec<f64> {
        self.layers
            .iter()
            .flatten()
            .filter_map(|layer| layer.items(sequence).first())
            .map(|item| item.numbers(tag))
            .find(|numbers| !numbers.is_empty())
            .unwrap_or_else(|| self.data.numbers(tag))
    }

    fn number(&self, sequence: Tag, tag: Tag) -> Option<f64> {
        self.numbers(sequence, tag).first().copied()
    }

    fn vector<const N: usize>(&self, sequence: Tag, tag: Tag) -> Option<[f64; N]> {
        self.numbers(sequence, tag).get(..N)?.try_into().ok()
    }
}

/// Reads the frames of file number `file`, checking their sizes against the pixels there.
///
/// # Errors
/// [`FormatError::Header`], [`FormatError::TooLarge`], [`FormatError::Truncated`].
pub(super) fn read(data: &DataSet<'_>, file: usize, name: &str) -> Result<Content, FormatError> {
    let broken = |field, expected: &str, actual: String| FormatError::Header {
        field,
        expected: expected.into(),
        actual,
        name: name.into(),
    };
    let Some(pixels) = data.value(tags::PIXEL_DATA) else {
        return Ok(Content::Other("reports or other documents without images"));
    };
    let photometric = data.text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
    let grey = matches!(photometric.as_str(), "" | "MONOCHROME1" | "MONOCHROME2");
    if !grey || data.count(tags::SAMPLES_PER_PIXEL).is_some_and(|samples| samples != 1) {
        return Ok(Content::Other("colour pictures"));
    }
    if data.text(tags::IMAGE_TYPE).is_some_and(|kind| kind.contains("MOSAIC")) {
        return Ok(Content::Other(
            "slices tiled into one picture (Siemens mosaic: convert with dcm2niix)",
        ));
    }
    let bits_allocated = data.count(tags::BITS_ALLOCATED).unwrap_or(16);
    if bits_allocated == 1 {
        return Ok(Content::Other("segmentation masks"));
    }
    if !matches!(bits_allocated, 8 | 16 | 32) {
        return Err(broken("BitsAllocated", "8, 16 or 32", bits_allocated.to_string()));
    }
    let bits_stored = data.count(tags::BITS_STORED).unwrap_or(bits_allocated);
    let high_bit = data.count(tags::HIGH_BIT).unwrap_or(bits_stored.saturating_sub(1));
    if !(1..=bits_allocated).contains(&bits_stored) {
        return Err(broken(
            "BitsStored",
            &format!("1 to {bits_allocated}"),
            bits_stored.to_string(),
        ));
    }
    if !(bits_stored - 1..bits_allocated).contains(&high_bit) {
        return Err(broken("HighBit", &format!("{}", bits_stored - 1), high_bit.to_string()));
    }
    let stored = Stored {
        bits_allocated,
        bits_stored: bits_stored as u32,
        high_bit: high_bit as u32,
        signed: data.number(tags::PIXEL_REPRESENTATION) == Some(1.0),
        inverted: photometric == "MONOCHROME1",
    };
    let side = |tag, field| {
        let side = data.count(tag).unwrap_or(0);
        if (1..=65_535).contains(&side) {
            Ok(side)
        } else {
            Err(broken(field, "1 to 65535 pixels", side.to_string()))
        }
    };
    let (rows, columns) = (side(tags::ROWS, "Rows")?, side(tags::COLUMNS, "Columns")?);
    if (rows * columns) as u64 > MAX_VOXELS {
        return Err(FormatError::TooLarge {
            what: "image",
            expected: format!("{MAX_VOXELS} pixels"),
            actual: format!("{columns} x {rows} pixels"),
            name: name.into(),
        });
    }
    let of = data.count(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
    if of > MOST_FRAMES {
        return Err(broken("NumberOfFrames", "at most 65535", of.to_string()));
    }
    let (expected, actual) = match pixels {
        Value::Bytes(bytes) => {
            (of as u64 * (rows * columns) as u64 * (bits_allocated / 8) as u64, bytes.len() as u64)
        }
        // At least one fragment a frame, after the offset table.
        Value::Fragments(fragments) => (of as u64, fragments.len().saturating_sub(1) as u64),
        Value::Items(_) => return Err(broken("PixelData", "pixels", "a sequence".into())),
    };
    if actual < expected {
        return Err(FormatError::Truncated {
            what: "DICOM image",
            expected,
            actual,
            name: name.into(),
        });
    }
    let shape = Shape { file, of, rows, columns, stored };
    let frames = (0..of).map(|index| frame(data, &shape, index)).collect();
    Ok(Content::Images(Box::new(facts(data, of)), frames))
}

struct Shape {
    file: usize,
    of: usize,
    rows: usize,
    columns: usize,
    stored: Stored,
}

fn frame(data: &DataSet<'_>, shape: &Shape, index: usize) -> Frame {
    let groups = Groups::of(data, index);
    let position = groups.vector(tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT);
    let orientation: Option<[f64; 6]> =
        groups.vector(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT);
    let place = position.zip(orientation).and_then(|(position, [a, b, c, d, e, f])| {
        let (row, column) = (unit([a, b, c])?, unit([d, e, f])?);
        let right_angle = dot(row, column).abs() < 0.01;
        right_angle.then_some(Place { position, row, column })
    });
    let measures = tags::PIXEL_MEASURES_SEQUENCE;
    let positive = |spacing: &[f64; 2]| spacing.iter().all(|&length| length > 0.0);
    let between = groups.number(measures, tags::SPACING_BETWEEN_SLICES).map(f64::abs);
    let thickness = groups.number(measures, tags::SLICE_THICKNESS);
    let transformation = tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE;
    let content = tags::FRAME_CONTENT_SEQUENCE;
    let echo_time_ms = groups
        .number(tags::MR_ECHO_SEQUENCE, tags::EFFECTIVE_ECHO_TIME)
        .or_else(|| data.number(tags::ECHO_TIME));
    let temporal = groups
        .number(content, tags::TEMPORAL_POSITION_INDEX)
        .or_else(|| data.number(tags::TEMPORAL_POSITION_IDENTIFIER));
    let echo = echo_time_ms.or_else(|| data.number(tags::ECHO_NUMBERS));
    let b_value = b_value(&groups);
    let acquisition = groups
        .number(content, tags::FRAME_ACQUISITION_NUMBER)
        .or_else(|| data.number(tags::ACQUISITION_NUMBER));
    let trigger = groups
        .number(tags::CARDIAC_SYNCHRONIZATION_SEQUENCE, tags::NOMINAL_CARDIAC_TRIGGER_DELAY_TIME)
        .or_else(|| data.number(tags::TRIGGER_TIME));
    // TemporalResolution is the time between two positions (PS3.3, C.8.3.1).
    let spaced = temporal.zip(data.number(tags::TEMPORAL_RESOLUTION).filter(|&step| step > 0.0));
    let keys = [temporal, echo, b_value, acquisition, trigger];
    Frame {
        file: shape.file,
        index,
        of: shape.of,
        rows: shape.rows,
        columns: shape.columns,
        stored: shape.stored,
        slope: groups
            .number(transformation, tags::RESCALE_SLOPE)
            .filter(|&s| s != 0.0)
            .unwrap_or(1.0),
        intercept: groups.number(transformation, tags::RESCALE_INTERCEPT).unwrap_or(0.0),
        place,
        pixel_spacing: groups
            .vector(measures, tags::PIXEL_SPACING)
            .filter(positive)
            .or_else(|| data.vector(tags::IMAGER_PIXEL_SPACING).filter(positive)),
        slice_spacing: between.or(thickness).filter(|&length| length > 0.0),
        order: Order(
            keys.map(|key| key.unwrap_or(0.0)),
            data.text(tags::IMAGE_TYPE).unwrap_or_default(),
            data.number(tags::INSTANCE_NUMBER).unwrap_or(0.0),
        ),
        gradient: gradient(&groups),
        echo_time_ms,
        time_ms: trigger.or_else(|| spaced.map(|(position, step)| (position - 1.0) * step)),
        instance_uid: data.text(tags::SOP_INSTANCE_UID).unwrap_or_default(),
    }
}

/// Diffusion weighting of a frame, s/mm² (PS3.3, C.8.13.5.9).
fn b_value(groups: &Groups<'_, '_>) -> Option<f64> {
    groups.number(tags::MR_DIFFUSION_SEQUENCE, tags::DIFFUSION_B_VALUE)
}

/// Direction of the diffusion gradient of a frame (PS3.3, C.8.13.5.9); older files state it at
/// top level.
fn gradient(groups: &Groups<'_, '_>) -> Option<[f64; 3]> {
    groups
        .layers
        .iter()
        .flatten()
        .filter_map(|layer| layer.items(tags::MR_DIFFUSION_SEQUENCE).first())
        .filter_map(|item| item.items(tags::DIFFUSION_GRADIENT_DIRECTION_SEQUENCE).first())
        .find_map(|item| item.vector(tags::DIFFUSION_GRADIENT_ORIENTATION))
        .or_else(|| groups.data.vector(tags::DIFFUSION_GRADIENT_ORIENTATION))
}

/// Years of an age string: three digits and the unit, Y, M, W or D (PS3.5, 6.2).
fn years(text: &str) -> Option<f64> {
    let mut characters = text.trim().chars();
    let unit = characters.next_back()?;
    let digits = characters.as_str();
    let whole = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    let number: f64 = digits.parse().ok().filter(|_| whole)?;
    match unit.to_ascii_uppercase() {
        'Y' => Some(number),
        'M' => Some(number / 12.0),
        'W' => Some(number * 7.0 / 365.25),
        'D' => Some(number / 365.25),
        _ => None,
    }
}

/// What a file of `of` frames says about its series.
fn facts(data: &DataSet<'_>, of: usize) -> SeriesFacts {
    let groups = Groups::of(data, 0);
    let shown = |tag| data.text(tag).map(|text| text.chars().take(MOST_SHOWN).collect::<String>());
    let timing = tags::MR_TIMING_AND_RELATED_PARAMETERS_SEQUENCE;
    let positive = |number: Option<f64>| number.filter(|&number| number > 0.0);
    let field = positive(data.number(tags::MAGNETIC_FIELD_STRENGTH));
    SeriesFacts {
        uid: data.text(tags::SERIES_INSTANCE_UID).unwrap_or_default(),
        number: data.number(tags::SERIES_NUMBER).map(|number| number as i64),
        modality: data.text(tags::MODALITY).unwrap_or_default(),
        acquisition: Acquisition {
            echo_time_ms: positive(
                groups
                    .number(tags::MR_ECHO_SEQUENCE, tags::EFFECTIVE_ECHO_TIME)
                    .or_else(|| data.number(tags::ECHO_TIME)),
            ),
            repetition_time_ms: positive(groups.number(timing, tags::REPETITION_TIME)),
            inversion_time_ms: positive(
                groups
                    .number(tags::MR_MODIFIER_SEQUENCE, tags::INVERSION_TIMES)
                    .or_else(|| data.number(tags::INVERSION_TIME)),
            ),
            flip_angle_deg: positive(groups.number(timing, tags::FLIP_ANGLE)),
            sequence_name: shown(tags::SEQUENCE_NAME)
                .or_else(|| shown(tags::PULSE_SEQUENCE_NAME))
                .or_else(|| shown(tags::PROTOCOL_NAME)),
            protocol_name: shown(tags::PROTOCOL_NAME),
            description: shown(tags::SERIES_DESCRIPTION),
            body_part: shown(tags::BODY_PART_EXAMINED),
            manufacturer: shown(tags::MANUFACTURER),
            // Some scanners wrote gauss.
            field_strength_t: field
                .map(|field| if field > 100.0 { field / 10_000.0 } else { field }),
            contrast_agent: shown(tags::CONTRAST_BOLUS_AGENT),
            study_date: data.text(tags::STUDY_DATE).and_then(|text| Date::from_dicom(&text)),
            b_value: (0..of)
                .filter_map(|frame| b_value(&Groups::of(data, frame)))
                .filter(|&b| b > 0.0)
                .reduce(f64::max),
            age_years: data.text(tags::PATIENT_AGE).and_then(|text| years(&text)),
        },
    }
}

pub(super) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// The vector at length 1, unless it has none.
pub(super) fn unit(a: [f64; 3]) -> Option<[f64; 3]> {
    let length = dot(a, a).sqrt();
    (length.is_finite() && length > 1e-3).then(|| a.map(|value| value / length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_digits_and_a_unit() {
        assert_eq!(years("045Y"), Some(45.0));
        assert_eq!(years("018M"), Some(1.5));
        assert_eq!(years("000D"), Some(0.0));
        for odd in ["", "Y", "045", "-45Y", "4.5Y", "45 years", "SECRET"] {
            assert_eq!(years(odd), None, "{odd}");
        }
    }
}
