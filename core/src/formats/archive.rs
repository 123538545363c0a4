//! Zip archives of scans: hospitals and download sites hand out studies this way.
//!
//! Entries are unpacked into memory, one level deep, within [`MOST_UNPACKED`]; the sizes
//! in the directory are summed up before the first byte is unpacked, and an entry that
//! turns out longer than its size is refused.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::detect::{Kind, detect};
use super::{FormatError, InputFile, gzip};

/// Most bytes of all entries together: 1 GiB, beside which the scan itself still fits a page.
const MOST_UNPACKED: u64 = 1 << 30;
const MOST_ENTRIES: usize = 100_000;

/// The files with every zip replaced by its content; a zip inside a zip stays one.
///
/// # Errors
/// [`FormatError::Damaged`], [`FormatError::Encrypted`], [`FormatError::TooLarge`], and
/// [`FormatError::Unrecognised`] for an archive without files.
pub(super) fn expand(files: &[InputFile]) -> Result<Cow<'_, [InputFile]>, FormatError> {
    if !files.iter().any(|file| detect(&file.bytes) == Kind::Zip) {
        return Ok(Cow::Borrowed(files));
    }
    let mut expanded = Vec::with_capacity(files.len());
    let mut left = MOST_UNPACKED;
    for file in files {
        if detect(&file.bytes) == Kind::Zip {
            unpack(file, &mut left, &mut expanded)?;
        } else {
            expanded.push(file.clone());
        }
    }
    Ok(Cow::Owned(expanded))
}

fn unpack(file: &InputFile, left: &mut u64, into: &mut Vec<InputFile>) -> Result<(), FormatError> {
    let damaged = |reason: String| FormatError::Damaged {
        what: "zip archive",
        reason,
        name: file.base_name().into(),
    };
    let too_large = |expected: String, actual: String| FormatError::TooLarge {
        what: "content of the zip archive",
        expected,
        actual,
        name: file.base_name().into(),
    };
    let mut archive = ZipArchive::new(Cursor::new(file.bytes.as_slice()))
        .map_err(|error| damaged(words(&error)))?;
    if archive.len() > MOST_ENTRIES {
        return Err(too_large(format!("{MOST_ENTRIES} files"), format!("{} files", archive.len())));
    }
    let mut total = 0_u64;
    let mut wanted = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| damaged(words(&error)))?;
        // macOS adds a shadow of every file; hidden files are never scans.
        let hidden =
            entry.name().split('/').any(|part| part == "__MACOSX" || part.starts_with('.'));
        if entry.is_dir() || hidden || entry.size() == 0 {
            continue;
        }
        if entry.encrypted() {
            return Err(FormatError::Encrypted { name: file.base_name().into() });
        }
        if entry.size() > gzip::most_unpacked(file.bytes.len()) {
            return Err(damaged("an entry's size is impossible".into()));
        }
        total = total.saturating_add(entry.size());
        wanted.push(index);
    }
    if total > *left {
        return Err(too_large(
            format!("{} MiB", MOST_UNPACKED >> 20),
            format!("{} MiB", total.div_ceil(1 << 20)),
        ));
    }
    if wanted.is_empty() {
        return Err(FormatError::Unrecognised {
            found: "a zip archive without files".into(),
            advice: "Choose the scan's files, or pack them again.".into(),
            name: file.base_name().into(),
        });
    }
    *left -= total;
    for index in wanted {
        let entry = archive.by_index(index).map_err(|error| damaged(words(&error)))?;
        // What lies in two archives does not belong together.
        let (name, size) = (format!("{}/{}", file.name, entry.name()), entry.size());
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size as usize).map_err(|_| {
            too_large("what the browser's memory holds".into(), format!("{size} bytes in one file"))
        })?;
        entry.take(size + 1).read_to_end(&mut bytes).map_err(|error| damaged(error.to_string()))?;
        if bytes.len() as u64 != size {
            return Err(damaged("an entry is longer or shorter than the directory says".into()));
        }
        into.push(InputFile { name, bytes });
    }
    Ok(())
}

fn words(error: &ZipError) -> String {
    match error {
        ZipError::InvalidArchive(reason) => reason.to_string(),
        ZipError::UnsupportedArchive(reason) => format!("it is packed in an unusual way: {reason}"),
        other => other.to_string(),
    }
}
