//! What there is among the files: NIfTI scans and DICOM series side by side.

use super::detect::{Kind, detect};
use super::{FormatError, InputFile, Scan, Selection, Series, dicom, nifti, nrrd};

/// One thing that can be loaded.
pub(super) struct Entry {
    pub(super) series: Series,
    source: Source,
}

enum Source {
    Nifti(Box<nifti::Found>),
    Nrrd(Box<nrrd::Found>),
    Dicom(dicom::Stack),
}

/// All that can be loaded, and what was wrong with the rest.
pub(super) struct Catalogue {
    pub(super) entries: Vec<Entry>,
    warnings: Vec<String>,
}

impl Catalogue {
    /// Looks at every file's header.
    ///
    /// # Errors
    /// When nothing can be loaded: what was wrong with the first file.
    pub(super) fn read(files: &[InputFile]) -> Result<Self, FormatError> {
        if files.is_empty() {
            return Err(FormatError::NoFiles);
        }
        let mut entries = Vec::new();
        let mut failures: Vec<(usize, FormatError)> = Vec::new();
        let mut dicom_files = Vec::new();
        let mut unknown = Vec::new();
        let mut parts = Vec::new();
        let kinds: Vec<Kind> = files.iter().map(|file| detect(&file.bytes)).collect();
        // Headers first: the files that belong to one are not looked at for themselves.
        for (index, kind) in kinds.iter().enumerate() {
            if !matches!(kind, Kind::Nifti { .. }) {
                continue;
            }
            match nifti::find(files, index) {
                Ok(found) => {
                    parts.push(found.data_file);
                    parts.extend(found.sidecar);
                    let series = nifti::describe(files, index, &found);
                    entries.push(Entry { series, source: Source::Nifti(Box::new(found)) });
                }
                Err(error) => failures.push((index, error)),
            }
        }
        for (index, kind) in kinds.into_iter().enumerate() {
            if parts.contains(&index) {
                continue;
            }
            let name = files[index].base_name().to_owned();
            match kind {
                Kind::Nifti { .. } => {}
                Kind::Nrrd => match nrrd::find(files, index) {
                    Ok(found) => {
                        let series = nrrd::describe(files, &found);
                        entries.push(Entry { series, source: Source::Nrrd(Box::new(found)) });
                    }
                    Err(error) => failures.push((index, error)),
                },
                Kind::Empty => failures.push((index, FormatError::Empty { name })),
                Kind::Analyze => failures.push((index, FormatError::Analyze { name })),
                Kind::Dicom => dicom_files.push(index),
                Kind::Zip => {
                    unknown.push((index, "a zip archive inside another", "Unpack it first."))
                }
                Kind::Other { found, advice } => unknown.push((index, found, advice)),
            }
        }
        let mut warnings = Vec::new();
        if !dicom_files.is_empty() {
            match dicom::catalogue(files, &dicom_files) {
                Ok(found) => {
                    warnings.extend(found.warnings);
                    // In front of the NIfTI files: keys and order do not depend on file order.
                    let stacks = found
                        .stacks
                        .into_iter()
                        .map(|(series, stack)| Entry { series, source: Source::Dicom(stack) });
                    entries.splice(0..0, stacks);
                }
                Err(error) => failures.push((dicom_files[0], error)),
            }
        }
        // A text file or a picture beside a scan is no failure, but alone it is.
        failures.sort_by_key(|&(index, _)| index);
        if entries.is_empty() {
            if let Some((_, error)) = failures.into_iter().next() {
                return Err(error);
            }
            let (index, found, advice) = unknown.into_iter().next().ok_or(FormatError::NoFiles)?;
            return Err(FormatError::Unrecognised {
                found: found.into(),
                advice: advice.into(),
                name: files[index].base_name().into(),
            });
        }
        warnings.extend(failures.into_iter().map(|(_, error)| format!("Left out: {error}")));
        if !unknown.is_empty() {
            warnings.push(format!(
                "{} that {} no scan {} left out.",
                count(unknown.len(), "file"),
                if unknown.len() == 1 { "is" } else { "are" },
                if unknown.len() == 1 { "was" } else { "were" },
            ));
        }
        Ok(Self { entries, warnings })
    }

    /// Loads what the selection names.
    ///
    /// # Errors
    /// [`FormatError::UnknownSeries`], [`FormatError::UnknownVolume`], and those of the format.
    pub(super) fn load(
        &self,
        files: &[InputFile],
        selection: &Selection,
    ) -> Result<Scan, FormatError> {
        let at = self.choose(selection)?;
        let entry = &self.entries[at];
        let (series, volume) = (entry.series.clone(), selection.volume);
        let mut scan = match &entry.source {
            Source::Nifti(found) => nifti::load(files, found, series, volume),
            Source::Nrrd(found) => nrrd::load(files, found, series, volume),
            Source::Dicom(stack) => dicom::load(files, stack, series, volume),
        }?;
        scan.warnings.extend_from_slice(&self.warnings);
        Ok(scan)
    }

    /// Which entry a selection names.
    ///
    /// # Errors
    /// [`FormatError::UnknownSeries`].
    pub(super) fn choose(&self, selection: &Selection) -> Result<usize, FormatError> {
        let Some(key) = &selection.series else {
            let mut best = 0;
            for (at, entry) in self.entries.iter().enumerate() {
                if entry.series.voxels() > self.entries[best].series.voxels() {
                    best = at;
                }
            }
            return Ok(best);
        };
        self.entries.iter().position(|entry| &entry.series.key == key).ok_or_else(|| {
            let actual = self
                .entries
                .iter()
                .map(|entry| format!("{} ({})", entry.series.key, entry.series.title))
                .collect::<Vec<_>>()
                .join(", ");
            FormatError::UnknownSeries { expected: key.clone(), actual }
        })
    }
}

/// "1 file", "2 files".
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
