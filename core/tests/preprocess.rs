//! Preprocessing against the arrays that training/golden.py wrote with numpy.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use prism_core::model::{Orientation, Preprocessing};
use prism_core::pipeline::postprocess::{Between, carry_labels};
use prism_core::pipeline::preprocess::{at_usual_field, conform, prepare};
use prism_core::volume::{Affine, IntensityRule, Volume, offset};
use safetensors::SafeTensors;

const REFERENCE: &[u8] = include_bytes!("../../tests/golden/preprocess/anisotropic.safetensors");
const SLICES: &[u8] = include_bytes!("../../tests/golden/preprocess/slices.safetensors");

/// A name with this prefix lies in the second file.
const OF_SLICES: &str = "slices/";

fn bytes(name: &str) -> (Vec<u8>, Vec<usize>) {
    let (file, name) = name.strip_prefix(OF_SLICES).map_or((REFERENCE, name), |n| (SLICES, n));
    let tensors = SafeTensors::deserialize(file).expect("reference");
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
        orientation: Orientation::Ras,
        spacing_mm: [Some(2.0); 3],
        field_mm: None,
        intensity,
        window: [96, 112, 96],
        overlap: 0.5,
    }
}

const PERCENTILE: IntensityRule = IntensityRule::Percentile { low: 0.5, high: 99.5 };

#[test]
fn every_step_agrees_with_numpy() {
    let scan = scan();
    let (grid, to_ras, ras_dims, _) = conform(&scan, &preprocessing(PERCENTILE)).expect("conform");
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
    assert!(error.to_string().starts_with("the scan shows nothing: all its voxels"), "{error}");
}

#[test]
fn thick_oblique_slices_stay_as_they_are() {
    let (data, dims) = floats("slices/volume");
    let scan = Volume { data, dims, affine: affine("slices/affine") };
    let pack = Preprocessing {
        orientation: Orientation::Slices,
        spacing_mm: [Some(1.5), Some(1.5), None],
        field_mm: Some(120.0),
        ..preprocessing(PERCENTILE)
    };
    let (_, turn, dims, spacing) = conform(&scan, &pack).expect("conform");
    assert_eq!((dims, turn.slice_axis()), ([41, 58, 7], 0));
    close(&turn.apply(&scan).data, &floats("slices/turned").0, "turned");
    let turned = turn.affine(&scan.affine);
    for (row, expected) in turned.0.iter().zip(affine("slices/turned_affine").0) {
        assert!(row.iter().zip(expected).all(|(value, expected)| (value - expected).abs() < 1e-9));
    }
    assert!(spacing.iter().zip([1.1, 1.3, 9.0]).all(|(mine, made)| (mine - made).abs() < 1e-9));
    let unstated = at_usual_field(&scan, &pack).expect("the pack has a field");
    for (scan, suffix) in [(&scan, ""), (&unstated, "_unstated")] {
        let prepared = prepare(scan, &pack, 16, 32).expect("prepare");
        let (input, dims) = floats(&format!("slices/input{suffix}"));
        assert_eq!(prepared.dims, dims, "{suffix}");
        let starts = prepared.crop.map(|(start, _)| start).to_vec();
        assert_eq!(starts, integers(&format!("slices/box_start{suffix}")));
        assert_eq!(prepared.pad.to_vec(), integers(&format!("slices/pad_before{suffix}")));
        close(&prepared.input, &input, "input");
        let organ = [(10, 17), (33, 45), (5, 10)];
        let closer = prepared.around(organ, [32, 32, 16], 16).expect("a part of it");
        let (input, dims) = floats(&format!("slices/closer{suffix}"));
        assert_eq!(closer.dims, dims, "{suffix}");
        let (starts, ends): (Vec<usize>, Vec<usize>) = closer.crop.into_iter().unzip();
        assert_eq!(starts, integers(&format!("slices/closer_start{suffix}")));
        assert_eq!(ends, integers(&format!("slices/closer_stop{suffix}")));
        close(&closer.input, &input, "closer");
    }
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
