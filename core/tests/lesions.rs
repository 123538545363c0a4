//! Sequences of one study through one network, against probabilities that training/golden.py
//! wrote with PyTorch.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use prism_core::lesions::{LesionError, find};
use prism_core::model::{Pack, Prism};
use prism_core::pipeline::{Device, Quiet, StudyProbabilities, study_probabilities};
use prism_core::volume::{Affine, LabelMap, Volume, offset};
use safetensors::SafeTensors;

const TINY: &[u8] = include_bytes!("../../tests/golden/model/tiny.safetensors");
const FUSED: &[u8] = include_bytes!("../../tests/golden/model/fused.safetensors");

const DIMS: [usize; 3] = [32, 48, 32];

fn stored(name: &str) -> Vec<f32> {
    let tensors = SafeTensors::deserialize(FUSED).expect("reference");
    let view = tensors.tensor(name).expect("in the reference");
    let bytes = view.data().chunks_exact(4);
    bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Values `[x, y, z]`, z fastest, as a scan of 2 mm.
fn scan(values: &[f32]) -> Volume {
    let [nx, ny, nz] = DIMS;
    let mut data = vec![0.0; values.len()];
    for (at, &value) in values.iter().enumerate() {
        data[offset(DIMS, [at / (ny * nz), at / nz % ny, at % nz])] = value;
    }
    assert_eq!(data.len(), nx * ny * nz);
    Volume { data, dims: DIMS, affine: Affine::from_spacing([2.0; 3]) }
}

fn scans() -> [Volume; 2] {
    let values = stored("scans");
    let (a, b) = values.split_at(values.len() / 2);
    [scan(a), scan(b)]
}

fn everywhere(label: u8) -> LabelMap {
    let affine = Affine::from_spacing([2.0; 3]);
    LabelMap { data: vec![label; DIMS.iter().product()], dims: DIMS, affine }
}

fn together(scans: &[&Volume], model: &Prism, pack: &Pack) -> StudyProbabilities {
    let whole = everywhere(1);
    pollster::block_on(study_probabilities(scans, Some(&whole), model, pack, &mut Quiet))
        .expect("it runs")
}

#[test]
fn two_sequences_are_fused_as_in_pytorch_in_any_order() {
    let pack = Pack::read(TINY).expect("pack");
    let model = Prism::load(&pack, &Device::flex()).expect("model");
    let [a, b] = scans();
    let found = together(&[&a, &b], &model, &pack);
    let expected = stored("probabilities.every2");
    let (voxels, half) = (DIMS.iter().product::<usize>(), DIMS.map(|side| side / 2));
    assert_eq!(expected.len(), found.classes * half.iter().product::<usize>());
    let mut largest = 0.0_f32;
    for (at, expected) in expected.iter().enumerate() {
        let z = at % half[2];
        let y = at / half[2] % half[1];
        let x = at / (half[2] * half[1]) % half[0];
        let class = at / half.iter().product::<usize>();
        let value = found.values[class * voxels + offset(DIMS, [2 * x, 2 * y, 2 * z])];
        largest = largest.max((value - expected).abs());
    }
    assert!(largest < 1e-4, "off by {largest}");
    assert_eq!(together(&[&b, &a], &model, &pack).values, found.values);
    // One alone says something else.
    assert_ne!(together(&[&a], &model, &pack).values, found.values);
}

#[test]
fn nothing_is_looked_for_where_there_is_no_brain() {
    let pack = Pack::read(TINY).expect("pack");
    let model = Prism::load(&pack, &Device::flex()).expect("model");
    let [a, _] = scans();
    let (none, table) = (everywhere(0), &pack.info.labels);
    let found = pollster::block_on(find(&[&a], (&none, table), &model, &pack, &mut Quiet));
    assert_eq!(found.err(), Some(LesionError::NoBrain));
}

#[test]
fn windows_are_blended_as_monai_blends_them() {
    let file = include_bytes!("../../tests/golden/model/windows.safetensors");
    let tensors = SafeTensors::deserialize(file).expect("reference");
    let floats = |name: &str| -> Vec<f32> {
        let view = tensors.tensor(name).expect("in the reference");
        let bytes = view.data().chunks_exact(4);
        bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let (coarse, expected) = (floats("coarse"), floats("probabilities.every4"));
    let dims = [64, 64, 48];
    let cell = |x: usize, y: usize, z: usize| (x / 4 * 16 + y / 4) * 12 + z / 4;
    let mut data = Vec::new();
    for z in 0..dims[2] {
        for y in 0..dims[1] {
            data.extend((0..dims[0]).map(|x| coarse[cell(x, y, z)]));
        }
    }
    let affine = Affine::from_spacing([2.0; 3]);
    let whole = LabelMap { data: vec![1; data.len()], dims, affine };
    let scan = Volume { data, dims, affine };
    let pack = Pack::read(TINY).expect("pack");
    let model = Prism::load(&pack, &Device::flex()).expect("model");
    let found =
        pollster::block_on(study_probabilities(&[&scan], Some(&whole), &model, &pack, &mut Quiet))
            .expect("it runs");
    assert_eq!(found.windows, 12);
    let voxels: usize = dims.iter().product();
    assert_eq!(expected.len(), found.classes * voxels / 64);
    let mut largest = 0.0_f32;
    for (at, expected) in expected.iter().enumerate() {
        let (class, rest) = (at / (16 * 16 * 12), at % (16 * 16 * 12));
        let place = [rest / (16 * 12), rest / 12 % 16, rest % 12].map(|i| 4 * i + 1);
        let value = found.values[class * voxels + offset(dims, place)];
        largest = largest.max((value - expected).abs());
    }
    assert!(largest < 1e-4, "off by {largest}");
}
