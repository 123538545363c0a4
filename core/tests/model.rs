//! The network against reference activations that training/golden.py wrote with PyTorch.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use burn::tensor::{Tensor, TensorData};
use prism_core::model::{Pack, PackError, PooledInput, Prism, Unpaced};
use prism_core::pipeline::{Device, Quiet, logits};
use prism_core::volume::{Affine, Volume, offset};
use safetensors::SafeTensors;

const TINY: &[u8] = include_bytes!("../../tests/golden/model/tiny.safetensors");
const REFERENCE: &[u8] = include_bytes!("../../tests/golden/model/tiny_io.safetensors");
const BRAIN: &[u8] = include_bytes!("../../public/packs/brain.safetensors");

fn reference(name: &str) -> (Vec<f32>, Vec<usize>) {
    let tensors = SafeTensors::deserialize(REFERENCE).expect("reference");
    let view = tensors.tensor(name).unwrap_or_else(|_| panic!("no {name} in the reference"));
    let values = view.data().chunks_exact(4);
    let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    (values, view.shape().to_vec())
}

/// Largest difference in standard deviations of the reference, which may hold every
/// second voxel only (`NAME.every2`).
fn compare<const D: usize>(name: &str, actual: Tensor<D>) {
    let dims = actual.dims().to_vec();
    let values: Vec<f32> = actual.into_data().try_into_vec().expect("floats");
    let (actual, dims, name) = if has(name) {
        (values, dims, name.to_owned())
    } else {
        let (values, dims) = every_second(&values, &dims);
        (values, dims, format!("{name}.every2"))
    };
    let (expected, shape) = reference(&name);
    assert_eq!(dims, shape, "shape of {name}");
    let mean = expected.iter().sum::<f32>() / expected.len() as f32;
    let variance = expected.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / expected.len() as f32;
    // A single number has no deviation of its own.
    let scale = if expected.len() > 1 { variance.sqrt() } else { expected[0].abs() };
    assert!(scale > 0.0, "{name} is constant in the reference");
    let largest =
        actual.iter().zip(&expected).map(|(a, e)| (a - e).abs() / scale).fold(0.0, f32::max);
    assert!(largest <= 1e-4, "{name} is off by {largest:e} standard deviations");
}

fn has(name: &str) -> bool {
    SafeTensors::deserialize(REFERENCE).expect("reference").names().contains(&name)
}

/// Every second voxel along the three axes of `[batch, channels, x, y, z]`.
fn every_second(values: &[f32], dims: &[usize]) -> (Vec<f32>, Vec<usize>) {
    let [batch, channels, nx, ny, nz] = *dims else { panic!("{dims:?} is no map") };
    let mut result = Vec::new();
    for map in values.chunks_exact(nx * ny * nz) {
        for x in (0..nx).step_by(2) {
            for y in (0..ny).step_by(2) {
                result.extend((0..nz).step_by(2).map(|z| map[(x * ny + y) * nz + z]));
            }
        }
    }
    (result, vec![batch, channels, nx.div_ceil(2), ny.div_ceil(2), nz.div_ceil(2)])
}

#[test]
fn every_map_and_head_agrees_with_pytorch() {
    let device = Device::flex();
    let pack = Pack::read(TINY).expect("pack");
    let model = Prism::load(&pack, &device).expect("model");
    let (input, shape) = reference("input");
    let input = Tensor::<5>::from_data(TensorData::new(input, shape), &device);
    pollster::block_on(async {
        let features = model.encode(input, &mut Unpaced).await.expect("encode");
        for (level, map) in features.maps.iter().enumerate() {
            compare(&format!("maps.{level}"), map.clone());
        }
        compare("structure", features.deepest.structure.clone().expect("branch"));
        compare("sequence", features.deepest.sequence.clone().expect("branch"));
        compare("fused", features.deepest.fused.clone());
        for (name, input) in [
            ("structure", PooledInput::Structure),
            ("sequence", PooledInput::Sequence),
            ("fused", PooledInput::Fused),
        ] {
            let vector = model.vector(&features, input).expect("feature");
            compare(&format!("vectors.{name}"), vector);
        }
        let answers = model.answers(&features);
        assert!(!answers.is_empty(), "the reference has pooled heads");
        for (name, answer) in answers {
            compare(&format!("heads.{name}"), answer);
        }
        let decoded = model.decode(features, &mut Unpaced).await.expect("decode").expect("decoder");
        let head = model.segmentation().expect("segmentation");
        let logits = head.logits(decoded.clone());
        compare("logits", logits.clone());
        let whole: Vec<i64> = logits.argmax(1).into_data().iter::<i64>().collect();
        let slabs: Vec<i64> = head
            .classes(&decoded)
            .into_iter()
            .flat_map(|slab| slab.into_data().iter::<i64>().collect::<Vec<_>>())
            .collect();
        assert_eq!(whole, slabs);
    });
}

#[test]
fn mirrored_looks_are_averaged() {
    let device = Device::flex();
    let mut pack = Pack::read(TINY).expect("pack");
    let model = Prism::load(&pack, &device).expect("model");
    let (input, shape) = reference("input");
    let dims = [shape[2], shape[3], shape[4]];
    // The voxel at the same place seen in a mirror along x and, or, z.
    let seen = |[x, y, z]: [usize; 3], [along_x, along_z]: [bool; 2]| {
        let x = if along_x { dims[0] - 1 - x } else { x };
        [x, y, if along_z { dims[2] - 1 - z } else { z }]
    };
    let places = (0..dims.iter().product())
        .map(|at: usize| [at / (dims[1] * dims[2]), at / dims[2] % dims[1], at % dims[2]]);
    let places: Vec<[usize; 3]> = places.collect();
    let at = |[x, y, z]: [usize; 3]| (x * dims[1] + y) * dims[2] + z;
    let scan = |view: [bool; 2]| {
        let mut data = vec![0.0; input.len()];
        for &place in &places {
            // No zeros: all of it is foreground.
            data[offset(dims, place)] = 1.0 + input[at(seen(place, view))];
        }
        Volume { data, dims, affine: Affine::from_spacing([2.0; 3]) }
    };
    let run = |pack: &Pack, view: [bool; 2]| {
        let found = pollster::block_on(logits(&scan(view), &model, pack, &mut Quiet));
        found.expect("it runs")
    };
    let views = [[false, false], [true, false], [false, true], [true, true]];
    let each = views.map(|view| run(&pack, view).0);
    pack.info.mirrors = vec![0, 2];
    let (found, [classes, nx, ny, nz]) = run(&pack, [false; 2]);
    assert_eq!([nx, ny, nz], dims);
    let voxels = places.len();
    let (mut largest, mut apart) = (0.0_f32, 0.0_f32);
    for class in 0..classes {
        for &place in &places {
            let value = |view: usize| each[view][class * voxels + at(seen(place, views[view]))];
            let mean = (0..4).map(value).sum::<f32>() / 4.0;
            largest = largest.max((found[class * voxels + at(place)] - mean).abs());
            apart = apart.max((value(0) - mean).abs());
        }
    }
    assert!(largest < 1e-4, "off by {largest}");
    // Without mirrors it would be far off.
    assert!(apart > 0.01, "{apart}");
}

#[test]
fn the_shipped_brain_pack_loads_whole() {
    let pack = Pack::read(BRAIN).expect("pack");
    assert_eq!(pack.info.name, "brain");
    assert!(BRAIN.len() <= 6_000_000, "{} bytes", BRAIN.len());
    assert_eq!(pack.info.labels.labels.len(), 32);
    Prism::load(&pack, &Device::flex()).expect("every tensor is used and fits");
}

#[test]
fn the_shipped_brain_pack_loads_within_a_second() {
    // The quickest of three: other tests may keep the same cores busy.
    let quickest = (0..3).map(|_| {
        let clock = Instant::now();
        let pack = Pack::read(BRAIN).expect("pack");
        Prism::load(&pack, &Device::flex()).expect("model");
        clock.elapsed()
    });
    let quickest = quickest.min().expect("three tries");
    println!("the brain pack was read, checked and unpacked in {quickest:?}");
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
}

/// The pack with its header's JSON rewritten; the tensors stay.
fn altered(change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(TINY[..8].try_into().expect("8 bytes")) as usize;
    let mut header: serde_json::Value =
        serde_json::from_slice(&TINY[8..8 + length]).expect("header");
    change(&mut header);
    let mut json = serde_json::to_vec(&header).expect("json");
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    bytes.extend(&TINY[8 + length..]);
    bytes
}

fn with_description(change: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
    altered(|header| {
        let entry = &mut header["__metadata__"]["prism"];
        let mut info: serde_json::Value =
            serde_json::from_str(entry.as_str().expect("text")).expect("json");
        change(&mut info);
        *entry = info.to_string().into();
    })
}

#[test]
fn a_pack_that_is_not_whole_is_refused_by_name() {
    let device = Device::flex();
    let load = |bytes: &[u8]| {
        Pack::read(bytes).and_then(|pack| Prism::load(&pack, &device).map(|_| ())).unwrap_err()
    };
    assert!(matches!(Pack::read(b"not a pack"), Err(PackError::Container(_))));
    assert!(matches!(load(&TINY[..TINY.len() - 1]), PackError::Container(_)));
    let mut damaged = TINY.to_vec();
    *damaged.last_mut().expect("bytes") ^= 1;
    assert!(matches!(load(&damaged), PackError::Hash { .. }));
    assert_eq!(
        load(&with_description(|info| info["schema"] = 2.into())),
        PackError::Schema { actual: 2 }
    );
    assert!(matches!(
        load(&with_description(|info| info["architecture"]["encoder"]["kind"] = "other".into())),
        PackError::Metadata(_)
    ));
    assert!(matches!(
        load(&with_description(|info| {
            info["architecture"]["encoder"]["channels"][0] = 8.into();
        })),
        PackError::Shape { .. }
    ));
    for axes in [serde_json::json!([3]), serde_json::json!([1, 1])] {
        let twice = with_description(|info| info["mirrors"] = axes.clone());
        assert!(matches!(load(&twice), PackError::Architecture(_)), "{axes}");
    }
    let renamed = altered(|header| {
        let header = header.as_object_mut().expect("object");
        let tensor = header.remove("encoder.stem.norm.bias").expect("tensor");
        header.insert("encoder.stem.norm.bass".into(), tensor);
    });
    assert_eq!(load(&renamed), PackError::Missing("encoder.stem.norm.bias".into()));
    let fewer = with_description(|info| {
        let heads = info["architecture"]["heads"].as_array_mut().expect("heads");
        heads.retain(|head| head["kind"] == "segmentation");
    });
    assert!(matches!(load(&fewer), PackError::Extra(_)));
    let no_entry = altered(|header| {
        header["__metadata__"].as_object_mut().expect("metadata").remove("prism");
    });
    assert_eq!(load(&no_entry), PackError::NoMetadata);
}
