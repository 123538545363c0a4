//! NIfTI: reading `.nii`, `.nii.gz` and `.hdr` with `.img`, and writing results.

mod geometry;
pub(in crate::formats) mod header;
mod sidecar;
pub(in crate::formats) mod voxels;
mod write;

use super::{Acquisition, Format, FormatError, InputFile, Scan, Series, gzip};
use header::Header;
pub use write::{write_displacement, write_labels, write_volume};

/// A NIfTI scan among the files: its header was read and checked, its voxels were not.
#[derive(Clone, Debug)]
pub(super) struct Found {
    header: Header,
    /// Index of the file that holds the voxels.
    pub(super) data_file: usize,
    /// Index of the JSON beside it, where there is one.
    pub(super) sidecar: Option<usize>,
    acquisition: Acquisition,
}

/// Reads the header in file `index`, and finds its voxels' file.
///
/// # Errors
/// Those of [`header::read`]; [`FormatError::MissingPair`].
pub(super) fn find(files: &[InputFile], index: usize) -> Result<Found, FormatError> {
    let file = &files[index];
    let header = if gzip::is_gzip(&file.bytes) {
        header::read(&gzip::peek(&file.bytes, header::HEADER_BYTES), &file.name)?
    } else {
        header::read(&file.bytes, &file.name)?
    };
    let data_file = if header.single_file { index } else { image_of(files, index)? };
    let (sidecar, acquisition) = match sidecar::find(files, &file.name) {
        Some((index, acquisition)) if acquisition != Acquisition::default() => {
            (Some(index), acquisition)
        }
        // A JSON of the same name may be about something else.
        found => (found.map(|(index, _)| index), sidecar::from_description(&header.descrip)),
    };
    Ok(Found { header, data_file, sidecar, acquisition })
}

/// The `.img` of a header: the file of the same name, else the only other one.
fn image_of(files: &[InputFile], index: usize) -> Result<usize, FormatError> {
    let name = &files[index].name;
    let wanted = stem(name).to_ascii_lowercase();
    let named = files.iter().position(|other| {
        let lower = other.name.to_ascii_lowercase();
        (lower.ends_with(".img") || lower.ends_with(".img.gz"))
            && stem(&other.name).to_ascii_lowercase() == wanted
    });
    match named {
        Some(found) => Ok(found),
        None if files.len() == 2 => Ok(1 - index),
        None => Err(FormatError::MissingPair {
            expected: "the .img of the same name".into(),
            name: name.clone(),
        }),
    }
}

/// File name without folders and without the extensions that scans have.
pub(super) fn stem(name: &str) -> &str {
    let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let cut = |text: &str, extension: &str| -> Option<usize> {
        let at = text.len().checked_sub(extension.len())?;
        text.get(at..)?.eq_ignore_ascii_case(extension).then_some(at)
    };
    let base = cut(base, ".gz").map_or(base, |at| &base[..at]);
    [".nii", ".hdr", ".img", ".nrrd"]
        .iter()
        .find_map(|end| cut(base, end))
        .map_or(base, |at| &base[..at])
}

/// What to show of a scan that was found in file `index`.
pub(super) fn describe(files: &[InputFile], index: usize, found: &Found) -> Series {
    let header = &found.header;
    let title = stem(&files[index].name);
    Series {
        key: format!("file-{}", index + 1),
        title: if title.is_empty() { "NIfTI scan".into() } else { title.into() },
        format: if header.version == 1 { Format::Nifti1 } else { Format::Nifti2 },
        dims: header.dims,
        spacing_mm: header.affine.spacing_mm(),
        unit_stated: header.unit_stated,
        volumes: header.volumes,
        files: 1 + usize::from(!header.single_file),
        acquisition: found.acquisition.clone(),
    }
}

/// Reads one volume of a scan that was found.
///
/// # Errors
/// Those of [`voxels::load`].
pub(super) fn load(
    files: &[InputFile],
    found: &Found,
    series: Series,
    index: usize,
) -> Result<Scan, FormatError> {
    let header = &found.header;
    let InputFile { name, bytes } = &files[found.data_file];
    let (volume, warnings) = voxels::load(header, voxels::File { name, bytes }, index)?;
    let time_ms = header.volume_step_ms.map(|step| index as f64 * step);
    Ok(Scan { volume, series, time_ms, warnings })
}
