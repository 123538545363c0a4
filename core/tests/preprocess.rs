//! Preprocessing against the arrays that training/golden.py wrote with numpy.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use prism_core::model::Preprocessing;
use prism_core::pipeline::postprocess::{Between, carry_labels};
use prism_core::pipeline::preprocess::{conform, prepare};
use prism_core::volume::{Affine, IntensityRule, Volume, offset};
use safetensors::SafeTensors;

const REFERENCE: &[u8] = include_bytes!("../../tests/golden/preprocess/anisotropic.safetensors");

fn bytes(name: &str) -> (Vec<u8>, Vec<usize>) {
    let tensors = SafeTensors::deserialize(REFERENCE).expect("reference");
    let view = tensors.tensor(name).expect(name);
    (view.data().to_vec(), view.shape().to_vec())
}

/// An array `[i, j, k]`, k fastest, as a volume's data, i fastest.
fn floats(name: &str) -> (Vec<f32>, [usize; 3]) {
    let (bytes, shape) = bytes(name);
    let values: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let dims = [shape[0], shape[1], shape[2]];
    let mut data = vec![0.0; values.len()];
    for (at, value) in values.into_iter().enumerate() {
        let place = [at / (dims[1] * dims[2]), at / dims[2] % dims[1], at % dims[2]];
        data[offset(dims, place)] = value;
    }
    (data, dims)
}

fn integers(name: &str) -> Vec<usize> {
    let number = |b: &[u8]| i64::from_le_bytes(b.try_into().expect("8 bytes"));
    bytes(name).0.chunks_exact(8).map(|b| usize::try_from(number(b)).expect("size")).collect()
}

fn affine(name: &str) -> Affine {
    let number = |b: &[u8]| f64::from_le_bytes(b.try_into().expect("8 bytes"));
    let values: Vec<f64> = bytes(name).0.chunks_exact(8).map(number).collect();
    Affine([0, 1, 2].map(|row| [0, 1, 2, 3].map(|column| values[4 * row + column])))
}

fn close(actual: &[f32], expected: &[f32], what: &str) {
    assert_eq!(actual.len(), expected.len(), "size of {what}");
    let largest = actual.iter().zip(expected).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max);
    let scale = expected.iter().map(|e| e.abs()).fold(0.0, f32::max);
    assert!(largest <= 1e-5 * scale, "{what} is off by {largest} of {scale}");
}

fn scan() -> Volume {
    let (data, dims) = floats("volume");
    Volume { data, dims, affine: affine("affine") }
}

fn preprocessing(intensity: IntensityRule) -> Preprocessing {
    Preprocessing {
        orientation: "RAS".into(),
        spacing_mm: [2.0; 3],
        intensity,
        window: [96, 112, 96],
        overlap: 0.5,
    }
}

const PERCENTILE: IntensityRule = IntensityRule::Percentile { low: 0.5, high: 99.5 };

#[test]
fn every_step_agrees_with_numpy() {
    let scan = scan();
    let (grid, to_ras, ras_dims, _) = conform(&scan, [2.0; 3]).expect("conform");
    let (ras, dims) = floats("ras");
    assert_eq!(ras_dims, dims);
    close(&to_ras.apply(&scan).data, &ras, "ras");
    let ras_affine = affine("ras_affine");
    for (row, expected) in to_ras.affine(&scan.affine).0.iter().zip(ras_affine.0) {
        for (value, expected) in row.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-9);
        }
    }
    let (resampled, dims) = floats("resampled");
    assert_eq!(grid.dims, dims);
    close(&grid.data, &resampled, "resampled");
    for (rule, name) in [
        (PERCENTILE, "normalised_percentile"),
        (IntensityRule::ZscoreNonzero, "normalised_zscore_nonzero"),
    ] {
        let mut values = grid.data.clone();
        rule.apply(&mut values);
        close(&values, &floats(name).0, name);
    }
    let prepared = prepare(&scan, &preprocessing(PERCENTILE), 16, 32).expect("prepare");
    let (input, dims) = floats("input");
    assert_eq!(prepared.dims, dims);
    assert_eq!(prepared.crop.map(|(start, _)| start).to_vec(), integers("box_start"));
    assert_eq!(prepared.crop.map(|(_, end)| end).to_vec(), integers("box_stop"));
    assert_eq!(prepared.pad.to_vec(), integers("pad_before"));
    close(&prepared.input, &input, "input");
}

#[test]
fn an_empty_scan_is_refused() {
    let mut scan = scan();
    scan.data.fill(7.0);
    let error = prepare(&scan, &preprocessing(PERCENTILE), 16, 32).expect_err("no contrast");
    assert_eq!(error.to_string(), "the scan is empty: every voxel has the same value");
}

fn carry(labels: &[u8], dims: [usize; 3], target: [usize; 3], ratio: f64) -> Vec<u8> {
    carry_labels(labels, &Between::new(dims, target, [ratio; 3])).0
}

#[test]
fn labels_carried_to_a_finer_grid_and_back_stay() {
    let labels: Vec<u8> = (0..6 * 5 * 4).map(|at| u8::from(at % 6 > 2)).collect();
    let fine = carry(&labels, [6, 5, 4], [12, 10, 8], 0.5);
    let back = carry(&fine, [12, 10, 8], [6, 5, 4], 2.0);
    assert_eq!(back, labels);
}
