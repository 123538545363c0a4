//! Voxels of one NIfTI volume, streamed out of a file in memory.
//!
//! A compressed file is never unpacked whole: the stream runs past the volumes before
//! the wanted one in a small buffer, and each chunk becomes `f32` at once. The
//! most memory is the result itself.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::float128::{self, Evidence, Layout};
use super::header::{Header, Order, SUPPORTED, VoxelType};
use crate::formats::FormatError;
use crate::formats::catalogue::count;
use crate::formats::gzip::{self, Ending};
use crate::volume::Volume;

const CHUNK: usize = 64 * 1024;
/// Bytes past the promised ones that are read to reach a gzip checksum.
const SLACK: usize = 64 * 1024;

enum Source<'a> {
    Plain(&'a [u8]),
    Zipped(Box<MultiGzDecoder<&'a [u8]>>),
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(bytes) => bytes.read(buffer),
            Self::Zipped(stream) => stream.read(buffer),
        }
    }
}

/// The bytes that hold the voxels, and the name of their file.
#[derive(Clone, Copy)]
pub(in crate::formats) struct File<'a> {
    pub(in crate::formats) name: &'a str,
    pub(in crate::formats) bytes: &'a [u8],
}

/// Reads volume `index` with its affine, and what was assumed or repaired.
///
/// # Errors
/// [`FormatError::UnknownVolume`], and those of [`read`].
pub(in crate::formats) fn load(
    header: &Header,
    file: File<'_>,
    index: usize,
) -> Result<(Volume, Vec<String>), FormatError> {
    if index >= header.volumes {
        return Err(FormatError::UnknownVolume { expected: index, actual: header.volumes });
    }
    let mut warnings = header.warnings.clone();
    let data = read(header, file, index, &mut warnings)?;
    Ok((Volume { data, dims: header.dims, affine: header.affine }, warnings))
}

/// Reads volume `index`, scaled, with values that are no numbers set to 0.
///
/// # Errors
/// [`FormatError::Truncated`] where the file is shorter than its header promises, before
/// allocation as far as that can be known; [`FormatError::Damaged`] for broken gzip;
/// [`FormatError::TooLarge`] where memory ends; [`FormatError::VoxelType`] for 128-bit floats
/// whose layout cannot be told.
fn read(
    header: &Header,
    file: File<'_>,
    index: usize,
    warnings: &mut Vec<String>,
) -> Result<Vec<f32>, FormatError> {
    let zipped = gzip::is_gzip(file.bytes);
    let voxels = header.dims.iter().product::<usize>();
    let volume_bytes = voxels as u64 * header.voxel_type.bytes();
    // Checked with the header: 2^27 voxels of 32 bytes, fewer than 2^32 volumes, offset 2^26.
    let promised = header.offset + volume_bytes * header.volumes as u64;
    let available =
        if zipped { gzip::most_unpacked(file.bytes.len()) } else { file.bytes.len() as u64 };
    if promised > available {
        return Err(short(file, promised, available));
    }
    // Needed by 128-bit floats only.
    let mut layout = Layout::Quadruple;
    if matches!(header.voxel_type, VoxelType::F128 | VoxelType::C256) {
        let mut evidence = Evidence::new(header.order);
        stream(header, file, index, promised, |bytes| evidence.add(bytes))?;
        layout = evidence.layout().map_err(|actual| FormatError::VoxelType {
            expected: SUPPORTED,
            actual,
            name: file.name.into(),
        })?;
    }
    let mut data: Vec<f32> = Vec::new();
    data.try_reserve_exact(voxels).map_err(|_| FormatError::TooLarge {
        what: "volume",
        expected: "what the browser's memory holds".into(),
        actual: format!("{voxels} voxels"),
        name: file.name.into(),
    })?;
    let mut non_finite = 0;
    let mut source = stream(header, file, index, promised, |bytes| {
        convert(bytes, header, layout, &mut data, &mut non_finite);
    })?;
    if non_finite > 0 {
        warnings.push(format!(
            "{} not a number (NaN or infinite) and set to 0.",
            count(non_finite, "voxel")
        ));
    }
    end(&mut source, header, file, index, promised, warnings)?;
    Ok(data)
}

/// Hands the bytes of volume `index` to `each`, in parts of whole voxels; gives back the source,
/// at the volume's end.
///
/// # Errors
/// [`FormatError::Truncated`], [`FormatError::Damaged`].
fn stream<'a>(
    header: &Header,
    file: File<'a>,
    index: usize,
    promised: u64,
    mut each: impl FnMut(&[u8]),
) -> Result<Source<'a>, FormatError> {
    let volume_bytes = header.dims.iter().product::<usize>() as u64 * header.voxel_type.bytes();
    let mut source = if gzip::is_gzip(file.bytes) {
        Source::Zipped(Box::new(gzip::stream(file.bytes)))
    } else {
        Source::Plain(file.bytes)
    };
    let mut buffer = vec![0; CHUNK];
    let before = header.offset + volume_bytes * index as u64;
    let mut done = 0;
    let mut fill = |buffer: &mut [u8]| -> Result<(), FormatError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match source.read(&mut buffer[filled..]) {
                Ok(0) => return Err(short(file, promised, done)),
                Ok(read) => {
                    filled += read;
                    done += read as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Err(short(file, promised, done));
                }
                Err(error) => return Err(damaged(file, error.to_string())),
            }
        }
        Ok(())
    };
    let mut left = before;
    while left > 0 {
        let part = left.min(CHUNK as u64) as usize;
        fill(&mut buffer[..part])?;
        left -= part as u64;
    }
    let mut left = volume_bytes;
    while left > 0 {
        // CHUNK is a multiple of every voxel's size.
        let part = left.min(CHUNK as u64) as usize;
        fill(&mut buffer[..part])?;
        left -= part as u64;
        each(&buffer[..part]);
    }
    Ok(source)
}

fn short(file: File<'_>, promised: u64, actual: u64) -> FormatError {
    FormatError::Truncated {
        what: "image data",
        expected: promised,
        actual,
        name: file.name.into(),
    }
}

fn damaged(file: File<'_>, reason: String) -> FormatError {
    FormatError::Damaged { what: "compressed file", reason, name: file.name.into() }
}

/// After the last volume: the checksum, and whether there is more than the header says.
fn end(
    source: &mut Source<'_>,
    header: &Header,
    file: File<'_>,
    index: usize,
    promised: u64,
    warnings: &mut Vec<String>,
) -> Result<(), FormatError> {
    let excess = match source {
        Source::Plain(_) => file.bytes.len() as u64 > promised,
        Source::Zipped(stream) if index + 1 == header.volumes => {
            match gzip::finish(stream, SLACK) {
                Ending::Clean => false,
                Ending::Excess => true,
                Ending::Damaged(reason) => return Err(damaged(file, reason)),
            }
        }
        // Not at the end: reading on only for the checksum would cost the whole file.
        Source::Zipped(_) => false,
    };
    if excess {
        warnings.push("The file is longer than its header says; the rest was ignored.".into());
    }
    Ok(())
}

/// Appends the voxels in `bytes`, counting those that are no finite `f32`.
/// `layout` is that of 128-bit floats.
fn convert(
    bytes: &[u8],
    header: &Header,
    layout: Layout,
    data: &mut Vec<f32>,
    non_finite: &mut usize,
) {
    let (slope, inter) = header.scaling.unwrap_or((1.0, 0.0));
    let long = |bytes: [u8; 16]| layout.value(float128::bits(bytes, header.order));
    macro_rules! number {
        ($number:ty) => {
            |bytes: [u8; size_of::<$number>()]| match header.order {
                Order::Little => <$number>::from_le_bytes(bytes) as f64,
                Order::Big => <$number>::from_be_bytes(bytes) as f64,
            }
        };
    }
    macro_rules! values {
        ($number:ty) => {
            values!($number, number!($number))
        };
        ($number:ty, $value:expr) => {{
            let value = $value;
            let (voxels, _) = bytes.as_chunks();
            append(voxels.iter().map(|&voxel| value(voxel) * slope + inter), data, non_finite);
        }};
    }
    // The intercept belongs to the real part; a magnitude follows scaling.
    macro_rules! magnitudes {
        ($number:ty) => {
            magnitudes!($number, number!($number))
        };
        ($number:ty, $value:expr) => {{
            let value = $value;
            let (parts, _) = bytes.as_chunks();
            let (voxels, _) = parts.as_chunks();
            let magnitude = |&[real, imaginary]: &[[u8; size_of::<$number>()]; 2]| {
                (value(real) * slope + inter).hypot(value(imaginary) * slope)
            };
            append(voxels.iter().map(magnitude), data, non_finite);
        }};
    }
    match header.voxel_type {
        VoxelType::U8 => values!(u8),
        VoxelType::I8 => values!(i8),
        VoxelType::U16 => values!(u16),
        VoxelType::I16 => values!(i16),
        VoxelType::U32 => values!(u32),
        VoxelType::I32 => values!(i32),
        VoxelType::U64 => values!(u64),
        VoxelType::I64 => values!(i64),
        VoxelType::F32 => values!(f32),
        VoxelType::F64 => values!(f64),
        VoxelType::C64 => magnitudes!(f32),
        VoxelType::C128 => magnitudes!(f64),
        VoxelType::F128 => values!(u128, long),
        VoxelType::C256 => magnitudes!(u128, long),
    }
}

fn append(values: impl Iterator<Item = f64>, data: &mut Vec<f32>, non_finite: &mut usize) {
    data.extend(values.map(|value| {
        let value = value as f32;
        if value.is_finite() {
            value
        } else {
            *non_finite += 1;
            0.0
        }
    }));
}
