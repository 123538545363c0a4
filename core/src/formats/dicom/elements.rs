//! DICOM data sets as borrowed elements: only those that a scan needs, nothing copied.
//!
//! Element headers, byte orders, value representations and character sets are dicom-rs's
//! (`dicom-encoding`, the data dictionary). Its readers above that level allocate what a
//! length field says before they look whether it exists, and nest as deep as a file asks;
//! with files from anywhere, on a page with 4 GiB, the walk over the headers is our own:
//! every length is held against the bytes, and depth is bounded.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::header::{DataElementHeader, HasLength, Header, SequenceItemHeader};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_encoding::decode::Decode;
use dicom_encoding::decode::explicit_be::ExplicitVRBigEndianDecoder;
use dicom_encoding::decode::explicit_le::ExplicitVRLittleEndianDecoder;
use dicom_encoding::decode::implicit_le::StandardImplicitVRLittleEndianDecoder;

use super::data_set::{DataSet, Value};

const MOST_DEPTH: usize = 8;
const MOST_SKIPPED_DEPTH: usize = 64;
const ITEM_DELIMITER: Tag = Tag(0xFFFE, 0xE00D);

/// Elements that are kept; all others are stepped over.
const WANTED: &[Tag] = &[
    tags::SPECIFIC_CHARACTER_SET,
    tags::IMAGE_TYPE,
    tags::SOP_INSTANCE_UID,
    tags::STUDY_DATE,
    tags::MODALITY,
    tags::MANUFACTURER,
    tags::SERIES_DESCRIPTION,
    tags::PATIENT_AGE,
    tags::PULSE_SEQUENCE_NAME,
    tags::CONTRAST_BOLUS_AGENT,
    tags::BODY_PART_EXAMINED,
    tags::SEQUENCE_NAME,
    tags::SLICE_THICKNESS,
    tags::REPETITION_TIME,
    tags::ECHO_TIME,
    tags::INVERSION_TIME,
    tags::ECHO_NUMBERS,
    tags::MAGNETIC_FIELD_STRENGTH,
    tags::SPACING_BETWEEN_SLICES,
    tags::PROTOCOL_NAME,
    tags::TRIGGER_TIME,
    tags::FLIP_ANGLE,
    tags::IMAGER_PIXEL_SPACING,
    tags::DIFFUSION_B_VALUE,
    tags::SERIES_INSTANCE_UID,
    tags::SERIES_NUMBER,
    tags::ACQUISITION_NUMBER,
    tags::INSTANCE_NUMBER,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::TEMPORAL_POSITION_IDENTIFIER,
    tags::TEMPORAL_RESOLUTION,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::PIXEL_SPACING,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::PIXEL_DATA,
    // Enhanced multi-frame images.
    tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PLANE_POSITION_SEQUENCE,
    tags::PLANE_ORIENTATION_SEQUENCE,
    tags::PIXEL_MEASURES_SEQUENCE,
    tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
    tags::FRAME_CONTENT_SEQUENCE,
    tags::TEMPORAL_POSITION_INDEX,
    tags::CARDIAC_SYNCHRONIZATION_SEQUENCE,
    tags::NOMINAL_CARDIAC_TRIGGER_DELAY_TIME,
    tags::FRAME_ACQUISITION_NUMBER,
    tags::MR_ECHO_SEQUENCE,
    tags::EFFECTIVE_ECHO_TIME,
    tags::MR_TIMING_AND_RELATED_PARAMETERS_SEQUENCE,
    tags::MR_DIFFUSION_SEQUENCE,
    tags::DIFFUSION_GRADIENT_DIRECTION_SEQUENCE,
    tags::DIFFUSION_GRADIENT_ORIENTATION,
    tags::MR_MODIFIER_SEQUENCE,
    tags::INVERSION_TIMES,
];

/// How elements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
}

/// What is wrong with a data set.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Problem {
    /// An element reaches past the end.
    Truncated { expected: u64, actual: u64 },
    /// The bytes are no elements.
    Malformed(&'static str),
}

fn decode_header(bytes: &[u8], encoding: Encoding) -> Option<(DataElementHeader, usize)> {
    let mut source = bytes;
    match encoding {
        Encoding::ImplicitLittle => {
            StandardImplicitVRLittleEndianDecoder::default().decode_header(&mut source)
        }
        Encoding::ExplicitLittle => {
            ExplicitVRLittleEndianDecoder::default().decode_header(&mut source)
        }
        Encoding::ExplicitBig => ExplicitVRBigEndianDecoder::default().decode_header(&mut source),
    }
    .ok()
}

fn decode_item(bytes: &[u8], encoding: Encoding) -> Option<SequenceItemHeader> {
    let mut source = bytes;
    match encoding {
        Encoding::ExplicitBig => {
            ExplicitVRBigEndianDecoder::default().decode_item_header(&mut source)
        }
        _ => ExplicitVRLittleEndianDecoder::default().decode_item_header(&mut source),
    }
    .ok()
}

/// Position in the bytes; `end` is where the enclosing element ends.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn header(&mut self, end: usize, encoding: Encoding) -> Result<DataElementHeader, Problem> {
        let rest = self.bytes.get(self.at..end).unwrap_or_default();
        let (header, length) = decode_header(rest, encoding)
            .ok_or(Problem::Truncated { expected: 8, actual: rest.len() as u64 })?;
        self.at += length;
        Ok(header)
    }

    fn item(&mut self, end: usize, encoding: Encoding) -> Result<SequenceItemHeader, Problem> {
        let rest = self.bytes.get(self.at..end).unwrap_or_default();
        if rest.len() < 8 {
            return Err(Problem::Truncated { expected: 8, actual: rest.len() as u64 });
        }
        let header = decode_item(rest, encoding)
            .ok_or(Problem::Malformed("an item of a sequence is missing"))?;
        self.at += 8;
        Ok(header)
    }

    fn take(&mut self, length: u32, end: usize) -> Result<&'a [u8], Problem> {
        let rest = self.bytes.get(self.at..end).unwrap_or_default();
        let value = rest
            .get(..length as usize)
            .ok_or(Problem::Truncated { expected: u64::from(length), actual: rest.len() as u64 })?;
        self.at += value.len();
        Ok(value)
    }

    /// Elements up to `end`, or to the delimiter of an item of undefined length.
    fn data_set(
        &mut self,
        end: usize,
        encoding: Encoding,
        depth: usize,
        delimited: bool,
    ) -> Result<DataSet<'a>, Problem> {
        let mut elements: Vec<(Tag, VR, Value<'a>)> = Vec::new();
        while self.at < end {
            if depth == 0 && end - self.at < 8 {
                break; // padding
            }
            match self.element(end, encoding, depth) {
                Ok(Some((tag, ..))) if tag == ITEM_DELIMITER => {
                    if delimited {
                        return Ok(DataSet { elements, encoding });
                    }
                }
                Ok(Some((tag, vr, Some(value)))) => {
                    // An element occurs once; of a file that repeats it, the first counts.
                    if elements.iter().all(|&(known, ..)| known != tag) {
                        elements.push((tag, vr, value));
                    }
                }
                Ok(_) => {}
                // What follows the pixels (padding, signatures) may be broken without harm.
                Err(_)
                    if depth == 0 && elements.iter().any(|&(tag, ..)| tag == tags::PIXEL_DATA) =>
                {
                    break;
                }
                Err(problem) => return Err(problem),
            }
        }
        if delimited {
            return Err(Problem::Malformed("an item of a sequence does not end"));
        }
        Ok(DataSet { elements, encoding })
    }

    #[allow(clippy::type_complexity)]
    fn element(
        &mut self,
        end: usize,
        encoding: Encoding,
        depth: usize,
    ) -> Result<Option<(Tag, VR, Option<Value<'a>>)>, Problem> {
        let header = self.header(end, encoding)?;
        let tag = header.tag();
        if tag.0 == 0xFFFE {
            return Ok(Some((tag, VR::UN, None)));
        }
        let wanted = WANTED.contains(&tag) && depth < MOST_DEPTH;
        let vr = if header.vr() == VR::UN && wanted { dictionary_vr(tag) } else { header.vr() };
        let Some(length) = header.length().get() else {
            // Undefined length with VR UN: implicit inside (PS3.5, 6.2.2 note).
            let inner = if header.vr() == VR::UN { Encoding::ImplicitLittle } else { encoding };
            if wanted && tag == tags::PIXEL_DATA {
                return Ok(Some((tag, vr, Some(Value::Fragments(self.fragments(end, encoding)?)))));
            }
            if wanted && vr == VR::SQ {
                return Ok(Some((
                    tag,
                    vr,
                    Some(Value::Items(self.items(end, inner, depth, true)?)),
                )));
            }
            self.skip(end, inner)?;
            return Ok(None);
        };
        let value = self.take(length, end)?;
        if !wanted {
            return Ok(None);
        }
        if vr == VR::SQ {
            let mut inside = Walk { bytes: self.bytes, at: self.at - value.len() };
            let items = inside.items(self.at, encoding, depth, false)?;
            return Ok(Some((tag, vr, Some(Value::Items(items)))));
        }
        Ok(Some((tag, vr, Some(Value::Bytes(value)))))
    }

    fn items(
        &mut self,
        end: usize,
        encoding: Encoding,
        depth: usize,
        delimited: bool,
    ) -> Result<Vec<DataSet<'a>>, Problem> {
        let mut items = Vec::new();
        while delimited || self.at < end {
            match self.item(end, encoding)? {
                SequenceItemHeader::Item { len } => match len.get() {
                    Some(length) => {
                        let from = self.at;
                        self.take(length, end)?;
                        let mut inside = Walk { bytes: self.bytes, at: from };
                        items.push(inside.data_set(self.at, encoding, depth + 1, false)?);
                    }
                    None => items.push(self.data_set(end, encoding, depth + 1, true)?),
                },
                SequenceItemHeader::SequenceDelimiter if delimited => break,
                _ => {}
            }
        }
        Ok(items)
    }

    fn fragments(&mut self, end: usize, encoding: Encoding) -> Result<Vec<&'a [u8]>, Problem> {
        let mut fragments = Vec::new();
        loop {
            // Writers forget the last delimiter; the fragments before it are whole.
            if self.at == end && fragments.len() > 1 {
                return Ok(fragments);
            }
            match self.item(end, encoding)? {
                SequenceItemHeader::Item { len } => {
                    let length = len.get().ok_or(Problem::Malformed("a fragment has no length"))?;
                    fragments.push(self.take(length, end)?);
                }
                SequenceItemHeader::SequenceDelimiter => return Ok(fragments),
                SequenceItemHeader::ItemDelimiter => {}
            }
        }
    }

    /// Steps over a sequence of undefined length that nobody wants, without recursion.
    fn skip(&mut self, end: usize, encoding: Encoding) -> Result<(), Problem> {
        // true: inside a sequence, between items; false: inside an item.
        let mut open = vec![(true, encoding)];
        while let Some(&(in_sequence, encoding)) = open.last() {
            if open.len() > MOST_SKIPPED_DEPTH {
                return Err(Problem::Malformed("sequences are nested too deeply"));
            }
            if in_sequence {
                match self.item(end, encoding)? {
                    SequenceItemHeader::Item { len } => match len.get() {
                        Some(length) => {
                            self.take(length, end)?;
                        }
                        None => open.push((false, encoding)),
                    },
                    SequenceItemHeader::SequenceDelimiter => {
                        open.pop();
                    }
                    SequenceItemHeader::ItemDelimiter => {}
                }
                continue;
            }
            let header = self.header(end, encoding)?;
            if header.tag() == ITEM_DELIMITER {
                open.pop();
            } else if let Some(length) = header.length().get() {
                self.take(length, end)?;
            } else {
                let inner = if header.vr() == VR::UN { Encoding::ImplicitLittle } else { encoding };
                open.push((true, inner));
            }
        }
        Ok(())
    }
}

fn dictionary_vr(tag: Tag) -> VR {
    StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed())
}

/// Reads the wanted elements of a data set.
///
/// # Errors
/// [`Problem`] for lengths past the end and bytes that are no elements, unless they follow the
/// pixel data.
pub(super) fn read(bytes: &[u8], encoding: Encoding) -> Result<DataSet<'_>, Problem> {
    Walk { bytes, at: 0 }.data_set(bytes.len(), encoding, 0, false)
}

/// Transfer syntax in the file meta group that begins at `at`, and where the group ends.
pub(super) fn meta(bytes: &[u8], at: usize) -> (Option<String>, usize) {
    let mut walk = Walk { bytes, at };
    let mut syntax = None;
    while bytes.get(walk.at..walk.at + 2) == Some(&[2, 0]) {
        let start = walk.at;
        let element = walk.header(bytes.len(), Encoding::ExplicitLittle).ok().and_then(|header| {
            Some((header.tag(), walk.take(header.length().get()?, bytes.len()).ok()?))
        });
        let Some((tag, value)) = element else { return (syntax, start) };
        if tag == tags::TRANSFER_SYNTAX_UID {
            let text = String::from_utf8_lossy(value);
            syntax = Some(text.trim_matches(['\0', ' ']).to_owned());
        }
    }
    (syntax, walk.at)
}
