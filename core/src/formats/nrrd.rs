//! NRRD: a text header, an empty line, voxels (teem, "Definition of NRRD File Format").
//!
//! 3D Slicer and ITK write it. The header becomes the one that NIfTI files have, so that the
//! voxels go through the same bounded reader. Read are attached files, raw or gzip, of three
//! axes in space, with an axis of volumes behind them.

use super::nifti::header::{Header, Order, SUPPORTED, VoxelType};
use super::nifti::{stem, voxels};
use super::{Acquisition, Format, FormatError, InputFile, MAX_VOXELS, Scan, Series};
use crate::volume::Affine;

/// Longest header: real ones have a few hundred bytes, and tags of a scanner a few thousand.
const MOST_HEADER: usize = 1 << 20;

/// An NRRD file whose header was read and checked.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Index of its file.
    file: usize,
    /// First byte of the voxels.
    start: usize,
    header: Header,
}

/// Reads the header of file `index`.
///
/// # Errors
/// [`FormatError::Truncated`], [`FormatError::Header`], [`FormatError::VoxelType`],
/// [`FormatError::TooLarge`], [`FormatError::Unrecognised`] for voxels elsewhere.
pub(super) fn find(files: &[InputFile], index: usize) -> Result<Found, FormatError> {
    let (name, bytes) = (files[index].base_name(), &files[index].bytes);
    let head = &bytes[..bytes.len().min(MOST_HEADER)];
    let end = |mark: &[u8]| {
        head.windows(mark.len()).position(|window| window == mark).map(|at| (at, at + mark.len()))
    };
    let ends = [end(b"\n\n"), end(b"\r\n\r\n")].into_iter().flatten().min();
    let (stop, start) = ends.ok_or_else(|| FormatError::Header {
        field: "the header's end",
        expected: "an empty line".into(),
        actual: "missing".into(),
        name: name.into(),
    })?;
    let text = String::from_utf8_lossy(&head[..stop]);
    let header = Fields { text: &text, name }.header()?;
    Ok(Found { file: index, start, header })
}

/// What to show of it.
pub(super) fn describe(files: &[InputFile], found: &Found) -> Series {
    let title = stem(&files[found.file].name);
    Series {
        key: format!("file-{}", found.file + 1),
        title: if title.is_empty() { "NRRD scan".into() } else { title.into() },
        format: Format::Nrrd,
        dims: found.header.dims,
        spacing_mm: found.header.affine.spacing_mm(),
        unit_stated: found.header.unit_stated,
        volumes: found.header.volumes,
        files: 1,
        acquisition: Acquisition::default(),
    }
}

/// Reads one volume.
///
/// # Errors
/// Those of [`voxels::load`].
pub(super) fn load(
    files: &[InputFile],
    found: &Found,
    series: Series,
    index: usize,
) -> Result<Scan, FormatError> {
    let (name, bytes) = (files[found.file].base_name(), &files[found.file].bytes);
    let file = voxels::File { name, bytes: &bytes[found.start..] };
    let (volume, warnings) = voxels::load(&found.header, file, index)?;
    let sides_assumed = found.header.sides_assumed;
    Ok(Scan { volume, series, time_ms: None, sides_assumed, warnings })
}

/// The lines of a header.
struct Fields<'a> {
    text: &'a str,
    name: &'a str,
}

impl<'a> Fields<'a> {
    /// What follows `field:`; the first one counts.
    fn get(&self, field: &str) -> Option<&'a str> {
        self.text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            // `key:=value` is the writer's own.
            let own = value.starts_with('=');
            (!own && key.trim().eq_ignore_ascii_case(field)).then(|| value.trim())
        })
    }

    fn broken(&self, field: &'static str, expected: &str, actual: &str) -> FormatError {
        let shown: String = actual.chars().filter(|c| !c.is_control()).take(64).collect();
        let actual = if shown.is_empty() { "missing".into() } else { shown };
        FormatError::Header { field, expected: expected.into(), actual, name: self.name.into() }
    }

    fn header(&self) -> Result<Header, FormatError> {
        self.attached()?;
        let voxel_type = self.voxel_type()?;
        let (dims, volumes) = self.sizes()?;
        let mut warnings = Vec::new();
        let (affine, unit_stated, sides_assumed) = self.affine(&mut warnings)?;
        affine.check().map_err(|error| {
            self.broken("space directions", "a matrix that spans space", &error.to_string())
        })?;
        Ok(Header {
            version: 1,
            single_file: true,
            order: self.order(voxel_type)?,
            dims,
            volumes,
            voxel_type,
            offset: 0,
            scaling: None,
            affine,
            unit_stated,
            sides_assumed,
            volume_step_ms: None,
            descrip: Vec::new(),
            warnings,
        })
    }

    /// Voxels in this file, raw or gzip; which of the two, the reader sees by itself.
    fn attached(&self) -> Result<(), FormatError> {
        if self.get("data file").or_else(|| self.get("datafile")).is_some() {
            return Err(FormatError::Unrecognised {
                found: "an NRRD header whose voxels are in another file".into(),
                advice: "Save it as one .nrrd file, for example in 3D Slicer.".into(),
                name: self.name.into(),
            });
        }
        let encoding = self.get("encoding").unwrap_or_default();
        if !["raw", "gzip", "gz"].iter().any(|known| encoding.eq_ignore_ascii_case(known)) {
            return Err(self.broken("encoding", "raw or gzip", encoding));
        }
        for (field, other) in [("line skip", "lineskip"), ("byte skip", "byteskip")] {
            let skip = self.get(field).or_else(|| self.get(other)).unwrap_or("0");
            if skip != "0" {
                return Err(self.broken(field, "0", skip));
            }
        }
        Ok(())
    }

    fn voxel_type(&self) -> Result<VoxelType, FormatError> {
        let kind = self.get("type").unwrap_or_default();
        let words: Vec<String> = kind.split_whitespace().map(str::to_lowercase).collect();
        let positive = words.iter().any(|word| word == "unsigned");
        // "int" adds nothing behind another word.
        let named =
            |word: &&str| !matches!(*word, "signed" | "unsigned" | "int") || words.len() == 1;
        let size: Vec<&str> = words.iter().map(String::as_str).filter(named).collect();
        Ok(match (size.as_slice(), positive) {
            (["char" | "int8" | "int8_t"], false) => VoxelType::I8,
            (["char"], true) | (["uchar" | "uint8" | "uint8_t"], _) => VoxelType::U8,
            (["short" | "int16" | "int16_t"], false) => VoxelType::I16,
            (["short"], true) | (["ushort" | "uint16" | "uint16_t"], _) => VoxelType::U16,
            (["int" | "int32" | "int32_t"], false) => VoxelType::I32,
            ([], false) if words.len() == 2 => VoxelType::I32,
            ([], true) if words.len() == 2 => VoxelType::U32,
            (["uint" | "uint32" | "uint32_t"], _) => VoxelType::U32,
            (["long", "long"] | ["longlong" | "int64" | "int64_t"], false) => VoxelType::I64,
            (["long", "long"], true) | (["ulonglong" | "uint64" | "uint64_t"], _) => VoxelType::U64,
            (["float"], _) => VoxelType::F32,
            (["double"], _) => VoxelType::F64,
            _ => {
                let actual = format!("of type \"{}\"", kind.chars().take(32).collect::<String>());
                let name = self.name.into();
                return Err(FormatError::VoxelType { expected: SUPPORTED, actual, name });
            }
        })
    }

    fn order(&self, voxel_type: VoxelType) -> Result<Order, FormatError> {
        let endian = self.get("endian").unwrap_or_default();
        match endian.to_lowercase().as_str() {
            "little" => Ok(Order::Little),
            "big" => Ok(Order::Big),
            // One byte has no order.
            "" if voxel_type.bytes() == 1 => Ok(Order::Little),
            _ => Err(self.broken("endian", "little or big", endian)),
        }
    }

    /// Voxels along the axes in space, and the number of volumes behind them.
    fn sizes(&self) -> Result<([usize; 3], usize), FormatError> {
        let sizes = self.get("sizes").unwrap_or_default();
        let numbers: Option<Vec<u64>> = sizes
            .split_whitespace()
            .map(|size| size.parse().ok().filter(|&size| size > 0))
            .collect();
        let (sides, volumes) = match numbers.as_deref() {
            Some(&[x, y, z]) => ([x, y, z], 1),
            Some(&[x, y, z, volumes]) if volumes <= u64::from(u32::MAX) => ([x, y, z], volumes),
            _ => return Err(self.broken("sizes", "three or four numbers of voxels", sizes)),
        };
        let voxels = sides.iter().try_fold(1_u64, |all, &side| all.checked_mul(side));
        if voxels.is_none_or(|voxels| voxels > MAX_VOXELS) {
            return Err(FormatError::TooLarge {
                what: "volume",
                expected: format!("{MAX_VOXELS} voxels"),
                actual: format!("{} x {} x {} voxels", sides[0], sides[1], sides[2]),
                name: self.name.into(),
            });
        }
        Ok((sides.map(|side| side as usize), volumes as usize))
    }

    /// World from voxel; whether it is stated and in millimetres: the named spaces are those of
    /// DICOM and its like, which are; and whether the file does not say how the axes lie.
    fn affine(&self, warnings: &mut Vec<String>) -> Result<(Affine, bool, bool), FormatError> {
        let units = self.get("space units").or_else(|| self.get("units"));
        let unit = |unit: &&str| !unit.trim().is_empty();
        let units: Vec<&str> = units.unwrap_or_default().split('"').filter(unit).collect();
        if units.iter().take(3).any(|unit| *unit != "mm") {
            return Err(self.broken("space units", "\"mm\"", units[0]));
        }
        let space = self.get("space").unwrap_or_default().to_lowercase();
        // Our world is RAS+.
        let signs = match space.trim_end_matches("-time") {
            "right-anterior-superior" | "ras" => Some([1.0, 1.0, 1.0]),
            "left-anterior-superior" | "las" => Some([-1.0, 1.0, 1.0]),
            "left-posterior-superior" | "lps" => Some([-1.0, -1.0, 1.0]),
            _ => None,
        };
        let sides_assumed = signs.is_none() || self.get("space directions").is_none();
        if sides_assumed {
            warnings.push(
                "The file does not say how the scan lies in the body: left and right, and with \
                 them every side named here, are assumed."
                    .into(),
            );
        }
        let stated = signs.is_some() || units.len() >= 3;
        if !stated {
            warnings.push(
                "The file does not state its unit of length: millimetres were assumed, so every \
                 volume in millilitres is uncertain."
                    .into(),
            );
        }
        let Some(directions) = self.get("space directions") else {
            let (spacing, spaced) = self.spacings(warnings);
            return Ok((Affine::from_spacing(spacing), stated && spaced, sides_assumed));
        };
        let vectors = vectors(directions);
        let (Some([a, b, c]), true) = (vectors.get(..3), vectors.len() <= 4) else {
            return Err(self.broken("space directions", "a vector for each axis", directions));
        };
        let (Some(a), Some(b), Some(c)) = (a, b, c) else {
            return Err(self.broken(
                "space directions",
                "axes in space first and volumes last (export it as NIfTI)",
                directions,
            ));
        };
        let origin = self.get("space origin").map(vectors_of_origin).unwrap_or(Some([0.0; 3]));
        let origin = origin.ok_or_else(|| {
            self.broken("space origin", "a vector", self.get("space origin").unwrap_or_default())
        })?;
        let signs = signs.unwrap_or([1.0; 3]);
        let row = |axis: usize| {
            // + 0.0 turns -0 into 0.
            [a[axis], b[axis], c[axis], origin[axis]].map(|value| signs[axis] * value + 0.0)
        };
        Ok((Affine([row(0), row(1), row(2)]), stated, sides_assumed))
    }

    /// The spacing along each axis, and whether the file states all three.
    fn spacings(&self, warnings: &mut Vec<String>) -> ([f64; 3], bool) {
        let stated: Vec<f64> = self
            .get("spacings")
            .unwrap_or_default()
            .split_whitespace()
            .map(|spacing| spacing.parse().unwrap_or(f64::NAN))
            .collect();
        let mut spaced = true;
        let spacing = [0, 1, 2].map(|axis| {
            let spacing = stated.get(axis).copied().filter(|s| s.is_finite() && *s > 0.0);
            spacing.unwrap_or_else(|| {
                spaced = false;
                warnings.push(format!(
                    "The file does not state the voxel spacing along {}; 1 was assumed, so every \
                     volume in millilitres is uncertain.",
                    ["x", "y", "z"][axis]
                ));
                1.0
            })
        });
        (spacing, spaced)
    }
}

/// `(1,0,0) (0,1,0) none`: a vector or nothing for each axis.
fn vectors(text: &str) -> Vec<Option<[f64; 3]>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (part, after) = match rest.strip_prefix('(') {
            Some(inside) => inside.split_once(')').unwrap_or((inside, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        let numbers: Option<Vec<f64>> = part
            .split(',')
            .map(|number| number.trim().parse().ok().filter(|number: &f64| number.is_finite()))
            .collect();
        found.push(numbers.and_then(|numbers| numbers.get(..3)?.try_into().ok()));
        rest = after.trim_start();
    }
    found
}

fn vectors_of_origin(text: &str) -> Option<[f64; 3]> {
    vectors(text).first().copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_read_with_and_without_spaces() {
        let expected = vec![Some([0.5, 0.0, 0.0]), Some([0.0, -0.25, 1e-3]), None];
        assert_eq!(vectors("(0.5,0,0) (0, -0.25, 1e-3) none"), expected);
        assert_eq!(vectors("(nan,0,0)"), [None]);
        assert_eq!(vectors(""), []);
    }

    #[test]
    fn types_have_many_names() {
        let named = |kind: &str| {
            let text = format!("NRRD0004\ntype: {kind}");
            Fields { text: &text, name: "a.nrrd" }.voxel_type().ok()
        };
        // The names of the definition, section 5.
        assert_eq!(named("signed short int"), Some(VoxelType::I16));
        assert_eq!(named("unsigned short"), Some(VoxelType::U16));
        assert_eq!(named("uchar"), Some(VoxelType::U8));
        assert_eq!(named("int"), Some(VoxelType::I32));
        assert_eq!(named("unsigned int"), Some(VoxelType::U32));
        assert_eq!(named("signed int"), Some(VoxelType::I32));
        assert_eq!(named("unsigned long long int"), Some(VoxelType::U64));
        assert_eq!(named("long long"), Some(VoxelType::I64));
        assert_eq!(named("double"), Some(VoxelType::F64));
        assert_eq!(named("block"), None);
        assert_eq!(named(""), None);
    }
}
