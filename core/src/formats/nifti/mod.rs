//! NIfTI: reading `.nii`, `.nii.gz` and `.hdr` with `.img`, and writing results.

mod float128;
mod geometry;
pub(in crate::formats) mod header;
mod sidecar;
pub(in crate::formats) mod voxels;
mod write;

use super::detect::{Kind, detect};
use super::{Acquisition, Format, FormatError, InputFile, Scan, Series, base_name, gzip};
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
        header::read(&gzip::peek(&file.bytes, header::HEADER_BYTES), file.base_name())?
    } else {
        header::read(&file.bytes, file.base_name())?
    };
    let data_file = if header.single_file { index } else { image_of(files, index)? };
    let (sidecar, acquisition) = match sidecar::find(files, file) {
        Some((index, acquisition)) if acquisition != Acquisition::default() => {
            (Some(index), acquisition)
        }
        // A JSON of the same name may be about something else.
        found => (found.map(|(index, _)| index), sidecar::from_description(&header.descrip)),
    };
    Ok(Found { header, data_file, sidecar, acquisition })
}

/// The `.img` of a header: the file of the same name in its folder. Another spelling of the
/// name, or another folder, counts where only one header and one `.img` have the name; of two
/// files in one folder it is the other one.
fn image_of(files: &[InputFile], index: usize) -> Result<usize, FormatError> {
    let header = &files[index];
    let missing = |expected: &str| FormatError::MissingPair {
        expected: expected.into(),
        name: header.base_name().into(),
    };
    let wanted = stem(&header.name);
    let beside = |file: &InputFile| folder(&file.name) == folder(&header.name);
    let is_image = |file: &InputFile| ends(&file.name, &[".img", ".img.gz"]);
    let exact = |file: &InputFile| is_image(file) && beside(file) && stem(&file.name) == wanted;
    if let Some(found) = files.iter().position(exact) {
        if has_namesake(files, header) || has_namesake(files, &files[found]) {
            return Err(missing("the .img of the same name, of which there are several"));
        }
        return Ok(found);
    }
    for anywhere in [false, true] {
        let alike = |file: &InputFile| -> bool {
            (anywhere || beside(file)) && stem(&file.name).eq_ignore_ascii_case(wanted)
        };
        let among = |what: &dyn Fn(&InputFile) -> bool| -> Vec<usize> {
            let at = files.iter().enumerate().filter(|(_, file)| alike(file) && what(file));
            at.map(|(at, _)| at).filter(|&at| at != index).collect()
        };
        let headers = among(&|file: &InputFile| ends(&file.name, &[".hdr", ".hdr.gz"]));
        match (&among(&is_image)[..], headers.is_empty()) {
            ([], _) => {}
            ([found], true) => return Ok(*found),
            _ => return Err(missing("the .img of the same name, in the same folder")),
        }
    }
    if files.len() == 2 {
        let other = &files[1 - index];
        let voxels = matches!(detect(&other.bytes), Kind::Other { .. });
        if voxels && beside(other) && !ends(&other.name, &[".json"]) {
            return Ok(1 - index);
        }
    }
    Err(missing("the .img of the same name"))
}

/// Whether another of the files has the same path and other content, so that what belongs to
/// which cannot be told.
fn has_namesake(files: &[InputFile], file: &InputFile) -> bool {
    files.iter().any(|other| other.name == file.name && other.bytes != file.bytes)
}

/// The folders of a path.
fn folder(path: &str) -> &str {
    &path[..path.len() - base_name(path).len()]
}

fn ends(name: &str, endings: &[&str]) -> bool {
    let lower = name.to_ascii_lowercase();
    endings.iter().any(|ending| lower.ends_with(ending))
}

/// File name without folders and without the extensions that scans have.
pub(super) fn stem(name: &str) -> &str {
    let base = base_name(name);
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
    let (name, bytes) = (files[found.data_file].base_name(), &files[found.data_file].bytes);
    let (volume, warnings) = voxels::load(header, voxels::File { name, bytes }, index)?;
    let time_ms = header.volume_step_ms.map(|step| index as f64 * step);
    Ok(Scan { volume, series, time_ms, sides_assumed: header.sides_assumed, warnings })
}
