//! Scans to drop on the page: the sample, a part of it small enough for a GPU in software, and broken files.

use std::fs;
use std::path::{Path, PathBuf};

use prism_core::formats::{self, InputFile, Selection};
use prism_core::volume::{Affine, Volume};
use xtask::project;

/// The scan that ships with the page.
pub fn sample() -> PathBuf {
    project::root().join("public/samples/sample_t1w.nii.gz")
}

/// Reads a scan with the project's own reader.
pub fn read(name: &str, bytes: &[u8]) -> Volume {
    let files = [InputFile { name: name.to_owned(), bytes: bytes.to_vec() }];
    let scan = formats::load(&files, &Selection::default());
    scan.unwrap_or_else(|error| panic!("{name}: {error}")).volume
}

/// A cube of 96 mm out of the middle of the sample's brain at 2 mm: 48 x 48 x 48 voxels, each the mean of eight.
pub fn small(folder: &Path) -> PathBuf {
    const SIDE: usize = 48;
    const CORNER: [usize; 3] = [40, 56, 62];
    let sample = read("sample", &fs::read(sample()).expect("the sample scan"));
    let [nx, ny, _] = sample.dims;
    let value = |i: usize, j: usize, k: usize| sample.data[i + nx * (j + ny * k)];
    let mut data = Vec::with_capacity(SIDE * SIDE * SIDE);
    for k in 0..SIDE {
        for j in 0..SIDE {
            for i in 0..SIDE {
                let [i, j, k] = [CORNER[0] + 2 * i, CORNER[1] + 2 * j, CORNER[2] + 2 * k];
                let sum: f32 = (0..8).map(|n| value(i + n % 2, j + n / 2 % 2, k + n / 4)).sum();
                data.push(sum / 8.0);
            }
        }
    }
    // Voxel (0, 0, 0) lies in the middle of eight voxels of the sample.
    let origin = sample.affine.apply(CORNER.map(|corner| corner as f64 + 0.5));
    let mut affine = sample.affine.0;
    for (row, origin) in affine.iter_mut().zip(origin) {
        for column in &mut row[..3] {
            *column *= 2.0;
        }
        row[3] = origin;
    }
    let volume = Volume::new(data, [SIDE; 3], Affine(affine)).expect("a volume");
    let path = folder.join("small_t1w.nii.gz");
    let bytes = formats::nifti::write_volume(&volume).expect("a NIfTI file");
    fs::write(&path, bytes).expect("writing the small scan");
    path
}

/// The left hippocampus of the sample: 40 x 56 x 40 voxels around it.
pub fn hippocampus(folder: &Path) -> PathBuf {
    const SIDES: [usize; 3] = [40, 56, 40];
    const CORNER: [usize; 3] = [90, 60, 60];
    let sample = read("sample", &fs::read(sample()).expect("the sample scan"));
    let [nx, ny, _] = sample.dims;
    let mut data = Vec::with_capacity(SIDES.iter().product());
    for k in CORNER[2]..CORNER[2] + SIDES[2] {
        for j in CORNER[1]..CORNER[1] + SIDES[1] {
            data.extend((0..SIDES[0]).map(|i| sample.data[CORNER[0] + i + nx * (j + ny * k)]));
        }
    }
    let mut affine = sample.affine;
    let origin = affine.apply(CORNER.map(|corner| corner as f64));
    affine.0.iter_mut().zip(origin).for_each(|(row, origin)| row[3] = origin);
    let volume = Volume::new(data, SIDES, affine).expect("a volume");
    let path = folder.join("hippocampus_t1w.nii.gz");
    fs::write(&path, formats::nifti::write_volume(&volume).expect("a NIfTI file"))
        .expect("writing the hippocampus");
    path
}

/// The small scan with its grey values changed, under another name.
pub fn changed(folder: &Path, name: &str, change: impl Fn(f32) -> f32) -> PathBuf {
    let path = small(folder);
    let mut volume = read("small", &fs::read(&path).expect("the small scan"));
    volume.data.iter_mut().for_each(|value| *value = change(*value));
    let path = folder.join(name);
    let bytes = formats::nifti::write_volume(&volume).expect("a NIfTI file");
    fs::write(&path, bytes).expect("writing the changed scan");
    path
}

/// The sample on 256 x 256 x 256 voxels of 0.75 mm around its middle (nearest voxel, zero outside).
pub fn large(folder: &Path) -> PathBuf {
    const SIDE: usize = 256;
    const STEP: f64 = 0.75;
    let sample = read("sample", &fs::read(sample()).expect("the sample scan"));
    let [nx, ny, nz] = sample.dims;
    let corner = [nx, ny, nz].map(|n| (n as f64 - 1.0 - STEP * (SIDE as f64 - 1.0)) / 2.0);
    let mut data = Vec::with_capacity(SIDE * SIDE * SIDE);
    for k in 0..SIDE {
        for j in 0..SIDE {
            for i in 0..SIDE {
                let at = [(i, 0), (j, 1), (k, 2)]
                    .map(|(n, axis)| (corner[axis] + STEP * n as f64).round());
                let inside = at.iter().zip([nx, ny, nz]).all(|(&x, n)| x >= 0.0 && x < n as f64);
                let [x, y, z] = at.map(|x| x as usize);
                data.push(if inside { sample.data[x + nx * (y + ny * z)] } else { 0.0 });
            }
        }
    }
    let origin = sample.affine.apply(corner);
    let mut affine = sample.affine.0;
    for (row, origin) in affine.iter_mut().zip(origin) {
        for column in &mut row[..3] {
            *column *= STEP;
        }
        row[3] = origin;
    }
    let volume = Volume::new(data, [SIDE; 3], Affine(affine)).expect("a volume");
    let path = folder.join("large_t1w.nii.gz");
    let bytes = formats::nifti::write_volume(&volume).expect("a NIfTI file");
    fs::write(&path, bytes).expect("writing the large scan");
    path
}

/// The input files of a golden case of the formats.
pub fn golden(case: &str) -> Vec<PathBuf> {
    let folder = project::root().join("tests/golden/formats").join(case);
    let entries = fs::read_dir(folder).expect("a golden case");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name != "expected.json"))
        .collect();
    files.sort();
    files
}

/// The folder of a study: the files of a golden case in two folders of their own, beside what systems leave there.
pub fn study(folder: &Path, case: &str) -> PathBuf {
    let study = folder.join("study");
    let _ = fs::remove_dir_all(&study);
    for (at, file) in golden(case).iter().enumerate() {
        let part = study.join(format!("part {}", at % 2 + 1));
        fs::create_dir_all(&part).expect("a folder");
        let name = file.file_name().expect("a file's name");
        fs::copy(file, part.join(name)).expect("copying a file of the study");
    }
    fs::write(study.join("Thumbs.db"), "left behind").expect("writing what is no scan");
    study
}

/// The beginning of the sample: its header promises more voxels than there are.
pub fn cut_short(folder: &Path) -> PathBuf {
    let path = folder.join("cut_short.nii.gz");
    let whole = fs::read(sample()).expect("the sample scan");
    fs::write(&path, &whole[..whole.len() / 3]).expect("writing the cut scan");
    path
}

/// A text with the name of a scan.
pub fn not_a_scan(folder: &Path) -> PathBuf {
    let path = folder.join("letter.nii.gz");
    fs::write(&path, "Dear colleague, please find the scan attached.\n".repeat(40))
        .expect("writing the letter");
    path
}
