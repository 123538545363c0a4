//! What a file is, from its bytes. Names and extensions are not asked: scanners and
//! archives write DICOM files as `IM0001`, and downloads rename the rest.

use super::gzip;
use super::nifti::header::{HEADER_BYTES, is_analyze, is_nifti};

/// Kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No bytes at all.
    Empty,
    /// NIfTI header, plain or inside gzip.
    Nifti {
        /// The bytes are gzip.
        zipped: bool,
    },
    /// A 348-byte header without NIfTI's magic.
    Analyze,
    /// NRRD header.
    Nrrd,
    /// DICOM file or bare data set.
    Dicom,
    /// Zip archive.
    Zip,
    /// Something else: what, and what to do about it.
    Other {
        /// What it looks like, with an article.
        found: &'static str,
        /// What to do.
        advice: &'static str,
    },
}

const USE_A_SCAN: &str =
    "Choose a NIfTI or NRRD file (.nii, .nii.gz, .nrrd), a folder of DICOM files or a zip of them.";
const CONVERT_FREESURFER: &str = "Convert it to NIfTI first, for example with mri_convert.";
const CONVERT: &str = "Convert it to NIfTI first, for example in 3D Slicer.";
const UNPACK: &str = "Unpack it and choose the files inside, or pack them as a zip.";

/// Looks at the first bytes.
pub(super) fn detect(bytes: &[u8]) -> Kind {
    if bytes.is_empty() {
        return Kind::Empty;
    }
    if gzip::is_gzip(bytes) {
        let start = gzip::peek(bytes, HEADER_BYTES);
        return match plain(&start) {
            Some(Kind::Nifti { .. }) => Kind::Nifti { zipped: true },
            Some(Kind::Analyze) => Kind::Analyze,
            Some(Kind::Dicom) => Kind::Other { found: "a DICOM file inside gzip", advice: UNPACK },
            _ if start.starts_with(&[0, 0, 0, 1]) => {
                Kind::Other { found: "a FreeSurfer volume (.mgz)", advice: CONVERT_FREESURFER }
            }
            _ if is_tar(&start) => Kind::Other { found: "a tar archive", advice: UNPACK },
            _ => Kind::Other { found: "a gzip file without a NIfTI header", advice: USE_A_SCAN },
        };
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Kind::Zip;
    }
    plain(bytes).unwrap_or_else(|| other(bytes))
}

fn plain(bytes: &[u8]) -> Option<Kind> {
    if is_nifti(bytes) {
        Some(Kind::Nifti { zipped: false })
    } else if bytes.starts_with(b"NRRD000") {
        Some(Kind::Nrrd)
    } else if bytes.get(128..132) == Some(b"DICM") || bare_data_set(bytes) {
        Some(Kind::Dicom)
    } else if is_analyze(bytes) {
        Some(Kind::Analyze)
    } else {
        None
    }
}

/// A data set that begins without preamble: its first element lies in the meta or the
/// identifying group and has a believable length.
fn bare_data_set(bytes: &[u8]) -> bool {
    let Some(start) = bytes.get(..8) else { return false };
    let group = u16::from_le_bytes([start[0], start[1]]);
    let element = u16::from_le_bytes([start[2], start[3]]);
    if !matches!(group, 2 | 8) || element > 0x0100 {
        return false;
    }
    let explicit = start[4].is_ascii_uppercase() && start[5].is_ascii_uppercase();
    let implicit = u32::from_le_bytes([start[4], start[5], start[6], start[7]]);
    explicit || (implicit <= 256 && implicit as usize <= bytes.len() - 8)
}

/// POSIX and GNU tar alike.
fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

fn other(bytes: &[u8]) -> Kind {
    const KNOWN: &[(&[u8], &str, &str)] = &[
        (b"\x89PNG", "a PNG picture", USE_A_SCAN),
        (b"\xff\xd8\xff", "a JPEG picture", USE_A_SCAN),
        (b"%PDF", "a PDF document", USE_A_SCAN),
        (b"ObjectType", "a MetaImage header (.mha, .mhd)", CONVERT),
        (b"\x89HDF", "an HDF5 or MINC file", CONVERT),
        (b"CDF", "a MINC file", CONVERT),
        (b"\0\0\0\x01\0\0", "a FreeSurfer volume (.mgh)", CONVERT_FREESURFER),
        (b"BZh", "a bzip2 file", UNPACK),
        (b"\xfd7zXZ", "an xz file", UNPACK),
        (b"7z\xbc\xaf", "a 7z archive", UNPACK),
        (b"Rar!", "a rar archive", UNPACK),
        (b"\x28\xb5\x2f\xfd", "a zstd file", UNPACK),
    ];
    if let Some(&(_, found, advice)) = KNOWN.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Kind::Other { found, advice };
    }
    if is_tar(bytes) {
        return Kind::Other { found: "a tar archive", advice: UNPACK };
    }
    let start = &bytes[..bytes.len().min(256)];
    let printable = start.iter().all(|&b| b.is_ascii_graphic() || b.is_ascii_whitespace());
    let found = if printable { "a text file" } else { "of a kind that is not known here" };
    Kind::Other { found, advice: USE_A_SCAN }
}
