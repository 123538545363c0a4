//! Pixels of one frame: unpacked, masked to their stored bits, signed, inverted, rescaled.
//!
//! Rules: PS3.5 section 8 (bits, encapsulation), PS3.3 C.7.6.3 (image pixel module) and
//! C.11.1 (rescale). Decoders are pure Rust, so that the page has them too; each is
//! asked for its picture's size before it may decode.

use std::borrow::Cow;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::data_set::{DataSet, Value};
use super::file::{Codec, Syntax};
use super::frames::{Frame, Stored};
use super::rle;
use crate::formats::FormatError;

/// Why a frame could not be read.
pub(super) enum Failure {
    Short { expected: u64, actual: u64 },
    Damaged(String),
    Unsupported,
}

impl Failure {
    /// With the subject put in.
    pub(super) fn explain(self, syntax: &Syntax, name: &str) -> FormatError {
        match self {
            Self::Short { expected, actual } => {
                FormatError::Truncated { what: "DICOM image", expected, actual, name: name.into() }
            }
            Self::Damaged(reason) => {
                FormatError::Damaged { what: "DICOM image", reason, name: name.into() }
            }
            Self::Unsupported => syntax.unsupported(),
        }
    }
}

fn damaged(error: impl std::fmt::Display) -> Failure {
    Failure::Damaged(error.to_string())
}

/// Decodes a frame into `out` (columns fastest); returns how many values were no finite numbers.
///
/// # Errors
/// [`Failure`].
pub(super) fn read(
    data: &DataSet<'_>,
    syntax: &Syntax,
    frame: &Frame,
    out: &mut [f32],
) -> Result<usize, Failure> {
    let stored = &frame.stored;
    let raw = match syntax.codec {
        Codec::Unsupported => return Err(Failure::Unsupported),
        Codec::Raw => uncompressed(data, syntax, frame, out.len())?,
        Codec::Rle => {
            let bytes = encapsulated(data, frame)?;
            rle::decode(&bytes, out.len(), stored.bits_allocated / 8).map_err(damaged)?
        }
        Codec::Jpeg => jpeg(&encapsulated(data, frame)?, frame)?,
        Codec::JpegLs => {
            let bytes = encapsulated(data, frame)?;
            let (pixels, ..) =
                jpegls::decode(trimmed(&bytes), frame.columns as u32, frame.rows as u32)
                    .map_err(damaged)?;
            pixels.into_iter().map(u32::from).collect()
        }
        Codec::Jpeg2000 => jpeg_2000(&encapsulated(data, frame)?, frame)?,
    };
    if raw.len() != out.len() {
        return Err(Failure::Short { expected: out.len() as u64, actual: raw.len() as u64 });
    }
    let mut non_finite = 0;
    for (value, raw) in out.iter_mut().zip(raw) {
        *value = (stored.value(raw) * frame.slope + frame.intercept) as f32;
        if !value.is_finite() {
            *value = 0.0;
            non_finite += 1;
        }
    }
    Ok(non_finite)
}

impl Stored {
    /// The number that the stored bits mean.
    fn value(&self, raw: u32) -> f64 {
        let mask = if self.bits_stored >= 32 { u32::MAX } else { (1 << self.bits_stored) - 1 };
        let bits = (raw >> (self.high_bit + 1 - self.bits_stored)) & mask;
        let mut value = i64::from(bits);
        if self.signed && bits > mask >> 1 {
            value -= i64::from(mask) + 1;
        }
        if self.inverted {
            // MONOCHROME1: the greatest value is black.
            value = if self.signed { -1 - value } else { i64::from(mask) - value };
        }
        value as f64
    }
}

fn uncompressed(
    data: &DataSet<'_>,
    syntax: &Syntax,
    frame: &Frame,
    pixels: usize,
) -> Result<Vec<u32>, Failure> {
    let size = frame.stored.bits_allocated / 8;
    let length = pixels * size;
    let bytes: Cow<'_, [u8]> = match data.value(tags::PIXEL_DATA) {
        Some(Value::Bytes(bytes)) => {
            let from = length.saturating_mul(frame.index);
            let part = bytes.get(from..).and_then(|rest| rest.get(..length));
            Cow::Borrowed(part.ok_or(Failure::Short {
                expected: from.saturating_add(length) as u64,
                actual: bytes.len() as u64,
            })?)
        }
        _ if syntax.encapsulated => encapsulated(data, frame)?,
        _ => return Err(damaged("compressed pixels in an uncompressed file")),
    };
    let bytes = bytes
        .get(..length)
        .ok_or(Failure::Short { expected: length as u64, actual: bytes.len() as u64 })?;
    let big = data.big_endian();
    Ok(match size {
        // Big-endian words of two 8-bit pixels have them swapped (PS3.5, D.1).
        1 if big && data.vr(tags::PIXEL_DATA) == Some(VR::OW) => {
            (0..length).map(|at| bytes.get(at ^ 1).copied().map_or(0, u32::from)).collect()
        }
        1 => bytes.iter().map(|&byte| u32::from(byte)).collect(),
        2 => {
            let number = if big { u16::from_be_bytes } else { u16::from_le_bytes };
            bytes.as_chunks().0.iter().map(|&pair| u32::from(number(pair))).collect()
        }
        _ => {
            let number = if big { u32::from_be_bytes } else { u32::from_le_bytes };
            bytes.as_chunks().0.iter().map(|&four| number(four)).collect()
        }
    })
}

/// The bytes of one frame out of the fragments (PS3.5, A.4).
fn encapsulated<'a>(data: &DataSet<'a>, frame: &Frame) -> Result<Cow<'a, [u8]>, Failure> {
    let fragments = match data.value(tags::PIXEL_DATA) {
        Some(Value::Fragments(fragments)) => fragments,
        _ => return Err(damaged("uncompressed pixels in a compressed file")),
    };
    let (table, fragments) = fragments.split_first().ok_or_else(|| damaged("no pixels"))?;
    if fragments.len() == frame.of {
        return fragments
            .get(frame.index)
            .map(|fragment| Cow::Borrowed(*fragment))
            .ok_or_else(|| damaged("a frame is missing"));
    }
    if frame.of == 1 {
        return Ok(Cow::Owned(fragments.concat()));
    }
    if table.is_empty() {
        return by_end_marker(fragments, frame).map(Cow::Owned).ok_or_else(|| {
            damaged("the frames cannot be told apart: the offset table is missing")
        });
    }
    let offsets: Vec<usize> =
        table.as_chunks().0.iter().map(|&offset| u32::from_le_bytes(offset) as usize).collect();
    if offsets.len() != frame.of || frame.index >= frame.of {
        return Err(damaged("the frames cannot be told apart: the offset table is broken"));
    }
    let (from, to) =
        (offsets[frame.index], offsets.get(frame.index + 1).copied().unwrap_or(usize::MAX));
    let mut at = 0_usize;
    let mut bytes = Vec::new();
    for fragment in fragments {
        if (from..to).contains(&at) {
            bytes.extend_from_slice(fragment);
        }
        at = at.saturating_add(8 + fragment.len());
    }
    Ok(Cow::Owned(bytes))
}

/// The bytes of one frame by the markers in its fragments: JPEG of every kind begins with FF
/// and ends with FF D9, which its coded data never hold; some zeros may follow.
fn by_end_marker(fragments: &[&[u8]], frame: &Frame) -> Option<Vec<u8>> {
    let is_last = |fragment: &&[u8]| {
        let end = &fragment[fragment.len().saturating_sub(10)..];
        end.windows(2).any(|pair| pair == [0xFF, 0xD9])
    };
    let frames: Vec<&[&[u8]]> = fragments.split_inclusive(is_last).collect();
    let pictures = frames.iter().all(|parts| parts[0].first() == Some(&0xFF));
    if frames.len() != frame.of || !pictures {
        return None;
    }
    frames.get(frame.index).map(|parts| parts.concat())
}

/// Fragments have an even length: a zero may follow the end marker.
fn trimmed(bytes: &[u8]) -> &[u8] {
    match bytes {
        [rest @ .., 0xD9, 0] => &bytes[..rest.len() + 1],
        _ => bytes,
    }
}

fn check_size(frame: &Frame, width: u32, height: u32) -> Result<(), Failure> {
    if (width as usize, height as usize) == (frame.columns, frame.rows) {
        return Ok(());
    }
    Err(Failure::Damaged(format!(
        "the compressed picture is {width} x {height}, the file says {} x {}",
        frame.columns, frame.rows
    )))
}

fn jpeg(bytes: &[u8], frame: &Frame) -> Result<Vec<u32>, Failure> {
    let failure = |error| match error {
        jpeg_decoder::Error::Unsupported(_) => Failure::Unsupported,
        jpeg_decoder::Error::Io(_) => damaged("the compressed picture ends early"),
        other => damaged(other),
    };
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(frame.rows * frame.columns * 4);
    decoder.read_info().map_err(failure)?;
    let info = decoder.info().ok_or_else(|| damaged("the compressed picture has no header"))?;
    check_size(frame, u32::from(info.width), u32::from(info.height))?;
    let pixels = decoder.decode().map_err(failure)?;
    match info.pixel_format {
        jpeg_decoder::PixelFormat::L8 => Ok(pixels.into_iter().map(u32::from).collect()),
        // In the machine's byte order.
        jpeg_decoder::PixelFormat::L16 => Ok(pixels
            .as_chunks()
            .0
            .iter()
            .map(|&pair| u32::from(u16::from_ne_bytes(pair)))
            .collect()),
        _ => Err(damaged("the compressed picture is in colour")),
    }
}

fn jpeg_2000(bytes: &[u8], frame: &Frame) -> Result<Vec<u32>, Failure> {
    let settings = DecodeSettings { resolve_palette_indices: false, ..DecodeSettings::default() };
    let image = Image::new(bytes, &settings).map_err(damaged)?;
    check_size(frame, image.width(), image.height())?;
    if image.color_space().num_channels() != 1 || image.has_alpha() {
        return Err(damaged("the compressed picture is in colour"));
    }
    let mut context = DecoderContext::default();
    let picture = image.decode(&mut context).map_err(damaged)?;
    let component = picture.components().first().ok_or_else(|| damaged("no pixels"))?;
    // The decoder adds half the range to signed samples too; taking it off again and
    // keeping the low bits gives the stored two's complement.
    let shift = if signed_codestream(bytes) {
        1_i64 << (component.bit_depth().clamp(1, 32) - 1)
    } else {
        0
    };
    Ok(component.samples().iter().map(|&sample| (sample.round() as i64 - shift) as u32).collect())
}

/// Sign bit of the first component in the SIZ segment (ISO 15444-1, A.5.1).
fn signed_codestream(bytes: &[u8]) -> bool {
    let start = bytes.windows(4).position(|window| window == [0xFF, 0x4F, 0xFF, 0x51]);
    start.and_then(|start| bytes.get(start + 42)).is_some_and(|ssiz| ssiz & 0x80 != 0)
}
