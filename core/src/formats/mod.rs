//! Files to scans and back: bytes in memory to a [`Scan`] or one [`FormatError`].
//!
//! | file | what |
//! | --- | --- |
//! | `detect` | what a file is, from its bytes, never from its name |
//! | `nifti/` | NIfTI-1 and -2, `.nii`, `.nii.gz`, `.hdr` with `.img`; writing |
//! | `nrrd` | NRRD files with their voxels in them |
//! | `dicom/` | DICOM files to series, volumes and geometry |
//! | `archive` | zip archives of either |
//! | `gzip` | bounded unpacking |
//! | `date` | the day of a study |
//!
//! File bytes are hostile until shown otherwise. Every size comes from a header, is
//! checked against the bytes that exist and against [`MAX_VOXELS`], and only then
//! allocated. What can be repaired is repaired and said in [`Scan::warnings`]; what
//! cannot is an error that says what to do.

mod archive;
mod catalogue;
mod date;
mod detect;
mod dicom;
mod error;
mod gzip;
pub mod nifti;
mod nrrd;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::volume::Volume;
pub use date::{Date, DateError};
pub use error::FormatError;

/// Most voxels of one volume: 512 x 512 x 512, 512 MiB as `f32`. A browser page ends at
/// 4 GiB, and the pipeline holds the scan about three times.
pub const MAX_VOXELS: u64 = 512 * 512 * 512;

/// One file as the person gave it.
#[derive(Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Path relative to what was given, or the name alone: it says which `.img` and JSON belong
    /// to a header. Messages show its last part.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

impl InputFile {
    /// The name without folders.
    fn base_name(&self) -> &str {
        base_name(&self.name)
    }
}

/// A path without its folders.
fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

impl std::fmt::Debug for InputFile {
    /// The name and the content stay out of logs.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "InputFile({} bytes)", self.bytes.len())
    }
}

/// Kind of file a series came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// NIfTI-1, one file or header and image.
    Nifti1,
    /// NIfTI-2.
    Nifti2,
    /// NRRD.
    Nrrd,
    /// DICOM, single-frame or multi-frame.
    Dicom,
}

impl Format {
    /// Name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Nifti1 => "NIfTI-1",
            Self::Nifti2 => "NIfTI-2",
            Self::Nrrd => "NRRD",
            Self::Dicom => "DICOM",
        }
    }
}

/// How the scan was acquired, as far as its files say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Acquisition {
    /// Echo time in milliseconds.
    pub echo_time_ms: Option<f64>,
    /// Repetition time in milliseconds.
    pub repetition_time_ms: Option<f64>,
    /// Inversion time in milliseconds.
    pub inversion_time_ms: Option<f64>,
    /// Flip angle in degrees.
    pub flip_angle_deg: Option<f64>,
    /// Name of the pulse sequence, or of the protocol where that is missing.
    pub sequence_name: Option<String>,
    /// Name of the protocol, which people choose at the scanner.
    #[serde(default)]
    pub protocol_name: Option<String>,
    /// Description of the series.
    pub description: Option<String>,
    /// Body part in DICOM's terms, for example `BRAIN`.
    pub body_part: Option<String>,
    /// Manufacturer of the scanner.
    pub manufacturer: Option<String>,
    /// Field strength in tesla.
    pub field_strength_t: Option<f64>,
    /// Contrast agent, where one was given.
    pub contrast_agent: Option<String>,
    /// Day of the study. For the time between two scans: see `date`.
    #[serde(default)]
    pub study_date: Option<Date>,
    /// Diffusion weighting in s/mm², the largest that is stated; above 0 it is a diffusion scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b_value: Option<f64>,
    /// Age of the person in years. It says whether an estimate applies and is never written.
    #[serde(skip)]
    pub age_years: Option<f64>,
}

/// One thing to choose: a NIfTI file or a DICOM series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Stable name within the same set of files (`series-1`, `file-1`); no identifier of the files'.
    pub key: String,
    /// For people: series number and description, or the NIfTI file's name. A file name is the
    /// person's own: show it, but keep it out of reports, logs and addresses.
    pub title: String,
    /// Kind of file.
    pub format: Format,
    /// Voxels along x, y, z.
    pub dims: [usize; 3],
    /// Distance between voxel centres along x, y, z in millimetres.
    pub spacing_mm: [f64; 3],
    /// Whether the files state the spacing of the voxels and its unit; where not, 1 and
    /// millimetres are assumed.
    pub unit_stated: bool,
    /// Number of volumes: 1 for a 3-D scan.
    pub volumes: usize,
    /// Number of files it is spread over.
    pub files: usize,
    /// How it was acquired.
    pub acquisition: Acquisition,
}

impl Series {
    fn voxels(&self) -> usize {
        self.dims.iter().fold(1, |product: usize, &side| product.saturating_mul(side))
    }
}

/// Which series and volume to load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Key of the series; `None` takes the one with most voxels, of equal ones the first.
    pub series: Option<String>,
    /// Volume of a 4-D series, counted from 0.
    pub volume: usize,
}

/// A scan that is ready for the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// Voxels and affine.
    pub volume: Volume,
    /// Where they came from.
    pub series: Series,
    /// Time of this volume in milliseconds, as the files state it: after the R wave (DICOM's
    /// trigger time), else after the first volume (temporal spacing). `None` where they do not.
    pub time_ms: Option<f64>,
    /// Whether the files do not say how the scan lies in the body, so that left and right are
    /// assumed; the warnings say so, too.
    pub sides_assumed: bool,
    /// What was assumed, repaired or left out, a sentence each.
    pub warnings: Vec<String>,
}

/// Files whose headers were read once, so that several volumes can be loaded from them.
pub struct Study<'a> {
    files: Cow<'a, [InputFile]>,
    catalogue: catalogue::Catalogue,
}

impl<'a> Study<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// [`FormatError`] when there is no series; of several problems, that of the first file.
    pub fn open(files: &'a [InputFile]) -> Result<Self, FormatError> {
        let files = archive::expand(files)?;
        let catalogue = catalogue::Catalogue::read(&files)?;
        Ok(Self { files, catalogue })
    }

    /// The series, in the order of DICOM series numbers and then of files.
    pub fn series(&self) -> impl Iterator<Item = &Series> {
        self.catalogue.entries.iter().map(|entry| &entry.series)
    }

    /// The series that a selection names.
    ///
    /// # Errors
    /// [`FormatError::UnknownSeries`].
    pub fn chosen(&self, selection: &Selection) -> Result<&Series, FormatError> {
        Ok(&self.catalogue.entries[self.catalogue.choose(selection)?].series)
    }

    /// Loads one volume of one series.
    ///
    /// # Errors
    /// [`FormatError`] when the selection names none, or its voxels cannot be read.
    pub fn load(&self, selection: &Selection) -> Result<Scan, FormatError> {
        self.catalogue.load(&self.files, selection)
    }
}

/// The series among the files.
///
/// # Errors
/// Those of [`Study::open`].
pub fn list(files: &[InputFile]) -> Result<Vec<Series>, FormatError> {
    Ok(Study::open(files)?.series().cloned().collect())
}

/// Loads one volume of one series.
///
/// # Errors
/// Those of [`Study::open`] and [`Study::load`].
pub fn load(files: &[InputFile], selection: &Selection) -> Result<Scan, FormatError> {
    Study::open(files)?.load(selection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_an_orientation_have_assumed_sides() {
        let nrrd = |space: &str| {
            let header = "type: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n";
            let text = format!("NRRD0004\n{header}{space}\n\n");
            let bytes = [text.as_bytes(), &[7_u8; 8][..]].concat();
            vec![InputFile { name: "scan.nrrd".into(), bytes }]
        };
        let golden = |case: &str| {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../tests/golden/formats")
                .join(case);
            let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let paths = paths.filter(|path| path.extension().is_none_or(|end| end != "json"));
            let read = |path: std::path::PathBuf| InputFile {
                name: path.file_name().unwrap().to_string_lossy().into_owned(),
                bytes: std::fs::read(path).unwrap(),
            };
            paths.map(read).collect::<Vec<_>>()
        };
        let placed = "space: right-anterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,1)";
        let cases: [(Vec<InputFile>, bool); 7] = [
            (nrrd("spacings: 1 1 1"), true),
            (nrrd("space directions: (1,0,0) (0,1,0) (0,0,1)"), true),
            (nrrd(placed), false),
            (golden("nifti1_no_orientation"), true),
            (golden("nifti1_qform"), false),
            (golden("dicom_no_position"), true),
            (golden("dicom_implicit"), false),
        ];
        for (at, (files, assumed)) in cases.into_iter().enumerate() {
            let scan = load(&files, &Selection::default()).unwrap();
            assert_eq!(scan.sides_assumed, assumed, "case {at}: {:?}", scan.warnings);
            // People are told, too.
            let told = scan.warnings.iter().any(|warning| warning.contains("every side"));
            assert_eq!(told, assumed, "case {at}: {:?}", scan.warnings);
        }
    }
}
