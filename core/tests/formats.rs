//! Golden cases of the file formats: every folder under tests/golden/formats is a case.
//!
//! Its `expected.json` was written by nibabel and pydicom (tests/golden/make_formats.py);
//! every other file in it is input. Fields that a case leaves out are not compared, warnings
//! always are: each must hold one of the expected parts, and each part must be found.

#![allow(clippy::expect_used, clippy::panic)]
// Only to count allocations; see `Counting`.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use prism_core::formats::{self, InputFile, Selection};
use prism_core::volume::Volume;
use serde_json::Value;

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/formats");
    let mut folders: Vec<PathBuf> = fs::read_dir(&root)
        .expect("the golden cases lie in tests/golden/formats")
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() > 50, "only {} golden cases in {}", folders.len(), root.display());
    folders
}

fn inputs(folder: &Path) -> Vec<InputFile> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a case folder")
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name != "expected.json"))
        .collect();
    paths.sort();
    let input = |path: &PathBuf| InputFile {
        name: path.file_name().expect("a name").to_string_lossy().into_owned(),
        bytes: fs::read(path).expect("an input file"),
    };
    paths.iter().map(input).collect()
}

fn expected(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("expected.json")).expect("expected.json");
    serde_json::from_str(&text).expect("expected.json is JSON")
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// Whether `actual` holds all that `expected` states; the first difference otherwise.
fn compare(at: &str, actual: &Value, expected: &Value, tolerance: f64) -> Result<(), String> {
    let differs = || Err(format!("{at} is {actual}, expected {expected}"));
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().try_for_each(|(key, value)| {
                compare(
                    &format!("{at}.{key}"),
                    actual.get(key).unwrap_or(&Value::Null),
                    value,
                    tolerance,
                )
            })
        }
        (Value::Array(actual), Value::Array(expected)) if actual.len() == expected.len() => {
            (0..).zip(actual.iter().zip(expected)).try_for_each(|(index, (a, e)): (usize, _)| {
                compare(&format!("{at}[{index}]"), a, e, tolerance)
            })
        }
        (Value::Number(a), Value::Number(e)) => {
            let pair = (a.as_f64().unwrap_or(f64::NAN), e.as_f64().unwrap_or(f64::NAN));
            let most = tolerance + 1e-6 * pair.1.abs();
            if (pair.0 - pair.1).abs() <= most { Ok(()) } else { differs() }
        }
        _ if actual == expected => Ok(()),
        _ => differs(),
    }
}

fn check(folder: &Path) -> Result<(), String> {
    let (files, expected) = (inputs(folder), expected(folder));
    let selection = Selection {
        series: expected["selection"]["series"].as_str().map(str::to_owned),
        volume: expected["selection"]["volume"].as_u64().unwrap_or(0) as usize,
    };
    let result = formats::load(&files, &selection);
    // The DICOM inputs carry these as the patient's name and number.
    let shown = match &result {
        Ok(scan) => format!("{:?} {:?} {:?}", scan.series, scan.warnings, formats::list(&files)),
        Err(error) => format!("{error:?} {error}"),
    };
    if shown.contains("SECRET") {
        return Err(format!("the patient's name is shown: {shown}"));
    }
    if let Some(error) = expected.get("error") {
        let actual = match result {
            Err(actual) => actual,
            Ok(scan) => {
                return Err(format!("loaded ({:?} voxels), expected {error}", scan.series.dims));
            }
        };
        let (debug, text) = (format!("{actual:?}"), actual.to_string());
        let variant = error["variant"].as_str().unwrap_or("no variant in the case");
        if debug.split([' ', '(']).next() != Some(variant) {
            return Err(format!("error is {debug}, expected {variant}"));
        }
        return match strings(&error["contains"]).iter().find(|part| !text.contains(**part)) {
            Some(part) => Err(format!("the message lacks {part:?}: {text}")),
            None => Ok(()),
        };
    }
    let scan = result.map_err(|error| format!("did not load: {error:?}"))?;
    let series = formats::list(&files).map_err(|error| format!("did not list: {error:?}"))?;
    // The echo time is that of the chosen volume; all else is as listed.
    let listed = series.iter().find(|listed| listed.key == scan.series.key).cloned();
    let same = listed.is_some_and(|mut listed| {
        listed.acquisition.echo_time_ms = scan.series.acquisition.echo_time_ms;
        listed == scan.series
    });
    if !same {
        return Err("the loaded series is not among the listed ones".into());
    }
    let actual = serde_json::json!({
        "format": scan.series.format,
        "dims": scan.volume.dims,
        "volumes": scan.series.volumes,
        "title": scan.series.title,
        "files": scan.series.files,
        "spacing_mm": scan.series.spacing_mm,
        "unit_stated": scan.series.unit_stated,
        "affine": scan.volume.affine.0,
        "values": scan.volume.data,
        "acquisition": scan.series.acquisition,
        "age_years": scan.series.acquisition.age_years,
        "time_ms": scan.time_ms,
        "series": series,
    });
    let tolerance = expected["tolerance"].as_f64().unwrap_or(1e-5);
    for (key, value) in expected.as_object().ok_or("expected.json is no object")? {
        if !["what", "selection", "warnings", "tolerance", "written"].contains(&key.as_str()) {
            compare(key, &actual[key.as_str()], value, tolerance)?;
        }
    }
    if scan.volume.data.len() != scan.volume.dims.iter().product::<usize>() {
        return Err("dims and data disagree".into());
    }
    if let Some(written) = expected.get("written") {
        compare("written", &written_fields(&scan.volume)?, written, 1e-6)?;
    }
    let parts = strings(&expected["warnings"]);
    let stray =
        scan.warnings.iter().find(|warning| !parts.iter().any(|part| warning.contains(part)));
    let missing = parts.iter().find(|part| !scan.warnings.iter().any(|w| w.contains(**part)));
    match (stray, missing) {
        (Some(warning), _) => Err(format!("a warning that was not expected: {warning}")),
        (_, Some(part)) => Err(format!("no warning holds {part:?}: {:?}", scan.warnings)),
        _ => Ok(()),
    }
}

/// The orientation fields of the volume's header when we write it, read by nifti1.h's offsets.
fn written_fields(volume: &Volume) -> Result<Value, String> {
    let packed = formats::nifti::write_volume(volume).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    let floats = |at: usize, count: usize| -> Vec<f32> {
        bytes[at..at + 4 * count]
            .as_chunks()
            .0
            .iter()
            .map(|&four| f32::from_le_bytes(four))
            .collect()
    };
    Ok(serde_json::json!({
        "pixdim": floats(76, 4),
        "quatern": floats(256, 3),
        "qoffset": floats(268, 3),
        "srow_x": floats(280, 4),
        "srow_y": floats(296, 4),
        "srow_z": floats(312, 4),
    }))
}

#[test]
fn golden_cases_read_as_nibabel_and_pydicom_read_them() {
    let folders = cases();
    let failures: Vec<String> = folders
        .iter()
        .filter_map(|folder| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            check(folder).err().map(|reason| format!("{name}: {reason}"))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failures.len(),
        folders.len(),
        failures.join("\n")
    );
}

#[test]
fn no_files_is_an_error() {
    assert_eq!(formats::list(&[]), Err(formats::FormatError::NoFiles));
}

/// The files of a case.
fn inputs_of(case: &str) -> Vec<InputFile> {
    let folder = cases().into_iter().find(|folder| folder.ends_with(case));
    inputs(&folder.expect("a case"))
}

#[test]
fn loose_files_of_one_name_are_not_joined() {
    // Two people's pairs, dropped without their folders.
    let mut files = inputs_of("nifti2_pair");
    let mut others = files.clone();
    others[1].bytes.reverse();
    files.extend(others);
    let error = formats::list(&files).expect_err("the voxels cannot be told");
    assert!(error.to_string().contains("of which there are several"), "{error}");
    // A file given twice is one.
    let files = [inputs_of("nifti2_pair"), inputs_of("nifti2_pair")].concat();
    assert!(formats::load(&files, &Selection::default()).is_ok());
}

#[test]
fn the_only_other_file_is_no_header_s_voxels_where_it_is_a_header_itself() {
    let mut files = inputs_of("nifti2_pair");
    // Of another name, the voxels are the header's as long as there is nothing else.
    files[1].name = "voxels".into();
    assert!(formats::load(&files, &Selection::default()).is_ok());
    files[1] = InputFile { name: "other.hdr".into(), bytes: files[0].bytes.clone() };
    let error = formats::list(&files).expect_err("no voxels are there");
    assert!(matches!(error, formats::FormatError::MissingPair { .. }), "{error}");
}

/// A small generator (xorshift), so that a failure comes back with its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// One way of breaking a file.
fn spoil(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    // Headers are where it hurts; half of the blows go there.
    let reach = if random.below(2) == 0 { bytes.len() } else { bytes.len().min(700) };
    let at = random.below(reach);
    match random.below(6) {
        0 => bytes.truncate(at),
        1 => bytes[at] = 0xFF,
        2 => bytes[at] = 0,
        3 => bytes[at] ^= 1 << random.below(8),
        4 => {
            for byte in bytes.iter_mut().skip(at).take(4) {
                *byte = 0xFF;
            }
        }
        _ => {
            let part: Vec<u8> = bytes[at..].iter().take(24).copied().collect();
            let to = random.below(bytes.len());
            bytes.splice(to..to, part);
        }
    }
}

/// Largest allocation that a spoiled input of at most 50 kB may cause: DEFLATE's ratio allows
/// 1032 times its size, and a vector may double once.
const MOST_ALLOCATED: usize = 128 << 20;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, noting the largest request of each thread.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.with(|largest| largest.set(largest.get().max(layout.size())));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.with(|largest| largest.set(largest.get().max(layout.size())));
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.with(|largest| largest.set(largest.get().max(size)));
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn spoiled_files_give_a_scan_or_an_error_and_never_panic() {
    let folders = cases();
    for (number, folder) in folders.iter().enumerate() {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let original = inputs(folder);
        if original.iter().map(|file| file.bytes.len()).sum::<usize>() > 50_000 {
            continue; // the bombs: each round would cost a second
        }
        for round in 0..60 {
            let mut random = Random(1 + (number as u64) * 1009 + round * 7919);
            let mut files = original.clone();
            for _ in 0..=random.below(3) {
                let file = random.below(files.len());
                spoil(&mut files[file].bytes, &mut random);
            }
            LARGEST.with(|largest| largest.set(0));
            let outcome = std::panic::catch_unwind(|| formats::load(&files, &Selection::default()));
            let outcome = outcome.unwrap_or_else(|_| panic!("{name}, round {round}: panicked"));
            let largest = LARGEST.with(Cell::get);
            assert!(largest <= MOST_ALLOCATED, "{name}, round {round}: {largest} bytes at once");
            if let Ok(scan) = outcome {
                let voxels: usize = scan.volume.dims.iter().product();
                assert_eq!(scan.volume.data.len(), voxels, "{name}, round {round}");
                assert!(scan.volume.affine.check().is_ok(), "{name}, round {round}");
                assert!(scan.volume.data.iter().all(|v| v.is_finite()), "{name}, round {round}");
            }
        }
    }
}
