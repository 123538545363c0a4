//! The published network against reference activations that training/golden_swin.py wrote
//! with MONAI.
//!
//! Weights are no files: every value is a hash of its tensor's name and its place, which
//! script and test compute alike. So the test also asserts that names and shapes are MONAI's.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

mod adapter;
// The library's own, which is not public.
#[path = "../src/pipeline/self_test/hashed.rs"]
mod hashed;

use burn::tensor::{DType, Tensor, TensorData};
use hashed::{noise, weight};
use prism_core::kernels::has_halves;
use prism_core::model::disentangle::Disentangled;
use prism_core::model::pack::{NamedTensor, Precision};
use prism_core::model::{
    Architecture, EncoderConfig, Features, Pack, PackError, PackInfo, Prism, Storage, SwinConfig,
    Unpaced,
};
use prism_core::pipeline::Device;
use safetensors::SafeTensors;

const REFERENCE: &[u8] = include_bytes!("../../tests/golden/swin/activations.safetensors");
const OTHER: &[u8] = include_bytes!("../../tests/golden/swin/other.safetensors");
const SIDES: [usize; 3] = [64, 96, 32];

/// A small relative of the published sizes.
fn small(merging: &str) -> serde_json::Value {
    serde_json::json!({
        "kind": "swin", "in_channels": 1, "dim": 12, "depths": [2, 2, 2, 2],
        "heads": [3, 6, 12, 24], "window": 7, "merging": merging,
    })
}

fn pack(architecture: serde_json::Value) -> Pack {
    let classes = 3;
    let labels: Vec<_> = (1..classes)
        .map(|i| {
            serde_json::json!({
                "index": i, "id": i, "name": format!("{i}"), "color": [0, 0, 0],
                "side": null, "pair": null,
            })
        })
        .collect();
    let info: PackInfo = serde_json::from_value(serde_json::json!({
        "schema": 1, "name": "test", "title": "Test", "version": "0", "sha256": "",
        "architecture": architecture, "labels": labels,
        "preprocessing": {
            "orientation": "RAS", "spacing_mm": [1.0, 1.0, 1.0],
            "intensity": { "rule": "zscore_nonzero" }, "window": [96, 96, 96], "overlap": 0.5,
        },
    }))
    .expect("description");
    let tensors = Prism::tensors(&info.architecture)
        .expect("architecture")
        .into_iter()
        .map(|(name, shape)| NamedTensor { values: weight(&name, &shape), name, shape })
        .collect();
    Pack::build(info, tensors, Precision::Float32).expect("pack")
}

fn input(device: &Device) -> Tensor<5> {
    let [nx, ny, nz] = SIDES;
    let mut values = noise("input", nx * ny * nz);
    for (at, value) in values.iter_mut().enumerate() {
        let (x, y, z) = (at / (ny * nz), at / nz % ny, at % nz);
        if x < 5 || y >= 80 || z < 4 {
            *value = 0.0;
        }
    }
    Tensor::from_data(TensorData::new(values, [1, 1, nx, ny, nz]), device)
}

/// The reference under this name, or of its every third voxel.
fn reference(name: &str) -> (Vec<f32>, Vec<usize>, bool) {
    let file = if name.starts_with("other.") { OTHER } else { REFERENCE };
    let tensors = SafeTensors::deserialize(file).expect("reference");
    let (view, thinned) = match tensors.tensor(name) {
        Ok(view) => (view, false),
        Err(_) => (tensors.tensor(&format!("{name}.every3")).expect("in the reference"), true),
    };
    let values = view.data().chunks_exact(4);
    let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    (values, view.shape().to_vec(), thinned)
}

/// Largest difference in standard deviations of the reference.
fn deviation<const D: usize>(name: &str, actual: Tensor<D>) -> f32 {
    let (expected, shape, thinned) = reference(name);
    let mut dims = actual.dims().to_vec();
    let mut values: Vec<f32> = actual.cast(DType::F32).into_data().try_into_vec().expect("floats");
    if thinned {
        let [nx, ny, nz] = [dims[2], dims[3], dims[4]];
        let mut kept = Vec::new();
        for map in values.chunks_exact(nx * ny * nz) {
            for x in (0..nx).step_by(3) {
                for y in (0..ny).step_by(3) {
                    kept.extend((0..nz).step_by(3).map(|z| map[(x * ny + y) * nz + z]));
                }
            }
        }
        values = kept;
        dims[2..].iter_mut().for_each(|side| *side = side.div_ceil(3));
    }
    assert_eq!(dims, shape, "shape of {name}");
    let count = expected.len() as f32;
    let mean = expected.iter().sum::<f32>() / count;
    let scale = (expected.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / count).sqrt();
    values.iter().zip(&expected).map(|(a, e)| (a - e).abs() / scale).fold(0.0, f32::max)
}

/// Allowed difference in standard deviations.
const fn tolerance(storage: Storage) -> f32 {
    match storage {
        Storage::Single => 1e-4,
        // The norms of the deepest maps see six voxels here and magnify what went before.
        Storage::Half => 0.1,
    }
}

/// Largest differences by quantity, in standard deviations of the reference.
type Deviations = Vec<(String, f32)>;

/// Collects how far everything is off, and what is off by more than the tolerance.
#[derive(Default)]
struct Report {
    storage: Storage,
    seen: Deviations,
    wrong: Vec<String>,
}

impl Report {
    fn compare<const D: usize>(&mut self, name: &str, actual: Tensor<D>) {
        let off = deviation(name, actual);
        eprintln!("{name}: {off:.1e}");
        if off.is_nan() || off > tolerance(self.storage) {
            self.wrong.push(format!("{name} is off by {off:e} standard deviations"));
        }
        self.seen.push((name.to_owned(), off));
    }

    fn close(self) -> Deviations {
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
        self.seen
    }
}

fn architecture(value: serde_json::Value) -> Architecture {
    serde_json::from_value(value).expect("architecture")
}

#[test]
fn the_published_encoder_has_as_many_weights_as_published() {
    let encoder = SwinConfig::published("swin-b").map(EncoderConfig::Swin).expect("swin-b");
    let value = serde_json::json!({ "encoder": encoder, "branches": false });
    let tensors = Prism::tensors(&architecture(value)).expect("tensors");
    let weights: usize = tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    assert_eq!(weights, 18_637_362);
}

fn encode(model: &Prism, device: &Device) -> Features {
    pollster::block_on(model.encode(input(device), &mut Unpaced)).expect("encode")
}

/// Maps, branches and both renderings of one network, logits of another.
fn network_agrees(device: &Device, storage: Storage) -> Deviations {
    let mut report = Report { storage, ..Report::default() };
    let whole = serde_json::json!({
        "encoder": small("repeated"), "branches": true, "renderer": { "kind": "modulated" },
    });
    let model = Prism::load_as(&pack(whole), device, storage).expect("model");
    let features = encode(&model, device);
    for (level, map) in features.maps.iter().enumerate() {
        report.compare(&format!("maps.{level}"), map.clone());
    }
    let deepest = features.deepest.clone();
    report.compare("structure", deepest.structure.expect("branch"));
    report.compare("sequence", deepest.sequence.expect("branch"));
    report.compare("fused", deepest.fused);
    let style = model.style().expect("renderer");
    for (name, noise) in [("reconstructed", None), ("rendered", Some(tensor("style", [1, style])))]
    {
        let noise = noise.map(|noise| noise.to_device(device));
        let scan = pollster::block_on(model.render(&features, noise, &mut Unpaced));
        report.compare(name, scan.expect("render").expect("renderer"));
    }

    let segmenting = serde_json::json!({
        "encoder": small("repeated"), "branches": false,
        "heads": [{ "kind": "segmentation", "name": "segmentation", "classes": 3 }],
    });
    let model = Prism::load_as(&pack(segmenting), device, storage).expect("model");
    let features = encode(&model, device);
    let decoded = pollster::block_on(model.decode(features, &mut Unpaced)).expect("decode");
    let head = model.segmentation().expect("head");
    report.compare("logits", head.logits(decoded.expect("decoder")));
    report.close()
}

/// Another geometry: odd depths, other heads, a window that pads other sides.
fn other_geometry_agrees(device: &Device, storage: Storage) -> Deviations {
    let encoder = serde_json::json!({
        "kind": "swin", "in_channels": 1, "dim": 12, "depths": [1, 2, 3, 1],
        "heads": [2, 4, 4, 6], "window": 4, "merging": "repeated",
    });
    let mut report = Report { storage, ..Report::default() };
    let whole = serde_json::json!({
        "encoder": encoder, "branches": false,
        "heads": [{ "kind": "segmentation", "name": "segmentation", "classes": 3 }],
    });
    let model = Prism::load_as(&pack(whole), device, storage).expect("model");
    let scan = tensor("other.input", [1, 1, 64, 32, 96]).to_device(device);
    let features = pollster::block_on(model.encode(scan, &mut Unpaced)).expect("encode");
    for (level, map) in features.maps.iter().enumerate() {
        report.compare(&format!("other.maps.{level}"), map.clone());
    }
    let decoded = pollster::block_on(model.decode(features, &mut Unpaced)).expect("decode");
    let head = model.segmentation().expect("head");
    report.compare("other.logits", head.logits(decoded.expect("decoder")));
    report.close()
}

#[test]
fn another_geometry_agrees_with_monai() {
    other_geometry_agrees(&Device::flex(), Storage::Single);
}

fn tensor<const D: usize>(name: &str, shape: [usize; D]) -> Tensor<D> {
    let values = noise(name, shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

#[test]
fn the_cpu_agrees_with_monai() {
    network_agrees(&Device::flex(), Storage::Single);
}

#[test]
fn every_order_of_patch_merging_agrees_with_monai() {
    let device = Device::flex();
    let mut report = Report::default();
    for merging in ["corners", "ordered"] {
        let encoder = serde_json::json!({ "encoder": small(merging), "branches": false });
        let model = Prism::load(&pack(encoder), &device).expect("model");
        let features = encode(&model, &device);
        assert!(features.deepest.structure.is_none(), "a branch that the pack does not hold");
        report.compare(&format!("{merging}.maps.4"), features.maps[4].clone());
    }
    report.close();
}

#[test]
fn every_fusion_of_sequences_agrees_with_monai() {
    fusions_agree(&Device::flex());
}

/// The published head behind each way of fusing three sequences.
fn fusions_agree(device: &Device) -> Deviations {
    let head = |name: &str, fusion: serde_json::Value| {
        serde_json::json!({
            "kind": "classification", "name": name, "input": "fused",
            "outputs": ["a", "b", "c"], "fusion": fusion,
        })
    };
    let pack = pack(serde_json::json!({
        "encoder": small("repeated"), "branches": false,
        "heads": [
            head("max", serde_json::json!({ "kind": "max" })),
            head("concatenation", serde_json::json!({ "kind": "concatenation", "sequences": 3 })),
            head("transformer", serde_json::json!({ "kind": "transformer", "heads": 4 })),
        ],
    }));
    let model = Prism::load(&pack, device).expect("model");
    let features = tensor("features", [3, 192, 1, 1, 1]).to_device(device);
    let sequences: Vec<Features> = (0..3)
        .map(|i| {
            let map = features.clone().narrow(0, i, 1);
            let deepest = Disentangled::without_branches(map.clone());
            Features { input: map.clone(), maps: vec![map], deepest }
        })
        .collect();
    let answers = model.answers_together(&sequences);
    assert_eq!(answers.len(), 3);
    let mut report = Report::default();
    for (name, answer) in answers {
        report.compare(&format!("heads.{name}"), answer);
    }
    // One sequence is not three.
    assert_eq!(model.answers(&sequences[0]).len(), 2);
    report.close()
}

#[test]
fn the_compact_renderer_agrees_with_training() {
    let device = Device::flex();
    let pack = pack(serde_json::json!({
        "encoder": {
            "kind": "residual_pyramid", "in_channels": 1,
            "channels": [4, 8, 8, 12, 16], "convs": [1, 1, 1, 1, 1],
        },
        "renderer": { "kind": "styled", "style": 16 },
    }));
    let model = Prism::load(&pack, &device).expect("model");
    let shape = [1, 16, 2, 3, 2];
    let deepest = Disentangled {
        structure: Some(tensor("structure", shape)),
        sequence: Some(Tensor::zeros(shape, &device)),
        fused: Tensor::zeros(shape, &device),
    };
    let input = Tensor::zeros([1, 1, 32, 48, 32], &device);
    // One voxel each, whose mean is itself.
    let maps = [4, 8, 8].into_iter().enumerate();
    let maps = maps.map(|(i, width)| tensor(&format!("level{i}"), [1, width, 1, 1, 1])).collect();
    let features = Features { input, maps, deepest };
    let mut report = Report::default();
    for (name, noise) in [("reconstructed", None), ("rendered", Some(tensor("style", [1, 16])))] {
        let scan = pollster::block_on(model.render(&features, noise, &mut Unpaced));
        report.compare(&format!("styled.{name}"), scan.expect("render").expect("renderer"));
    }
    report.close();
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let problem = |value| Prism::tensors(&architecture(value)).expect_err("refused");
    let head = serde_json::json!({
        "kind": "regression", "name": "age", "input": "structure", "outputs": ["years"],
    });
    for value in [
        serde_json::json!({ "encoder": small("repeated"), "branches": false, "heads": [head] }),
        serde_json::json!({
            "encoder": small("repeated"), "renderer": { "kind": "styled", "style": 8 },
        }),
        serde_json::json!({
            "encoder": {
                "kind": "swin", "in_channels": 1, "dim": 10, "depths": [2, 2, 2, 2],
                "heads": [3, 6, 12, 24], "window": 7, "merging": "repeated",
            },
        }),
    ] {
        assert!(matches!(problem(value), PackError::Architecture(_)));
    }
}

/// A software Vulkan driver (Mesa's lavapipe) is enough.
#[test]
fn the_gpu_agrees_with_monai() {
    let swin = pack(serde_json::json!({ "encoder": small("repeated"), "branches": false }));
    if let Some(opened) = adapter::gpu(Some(&swin)) {
        network_agrees(&opened.device, Storage::Single);
        other_geometry_agrees(&opened.device, Storage::Single);
        fusions_agree(&opened.device);
        if has_halves(&opened.device) {
            // Which it would not be if the self-test had failed.
            assert_eq!(opened.report.storage, Storage::Half);
            network_agrees(&opened.device, Storage::Half);
            other_geometry_agrees(&opened.device, Storage::Half);
        }
    }
}

/// How the table is made.
const COMMAND: &str =
    "PRISM_PARITY=docs/parity.md cargo test --workspace --test swin -- --ignored parity";

/// Writes the deviations of CPU and GPU as a Markdown table to the file that `PRISM_PARITY` names,
/// from the root of the repository; prints it where none is named.
#[test]
#[ignore = "a measurement, which wants a GPU"]
fn the_parity_table() {
    let swin = pack(serde_json::json!({ "encoder": small("repeated"), "branches": false }));
    let opened = adapter::gpu(Some(&swin)).expect("an adapter");
    let measured = |device: &Device, storage: Storage| {
        let mut all = network_agrees(device, storage);
        all.extend(other_geometry_agrees(device, storage));
        if storage == Storage::Single {
            all.extend(fusions_agree(device));
        }
        all
    };
    let cpu = measured(&Device::flex(), Storage::Single);
    let single = measured(&opened.device, Storage::Single);
    let halves = has_halves(&opened.device);
    let half = if halves { measured(&opened.device, Storage::Half) } else { Vec::new() };
    let value = |column: &Deviations, name: &str| {
        let held = column.iter().find(|(held, _)| held == name);
        held.map_or_else(|| "–".to_owned(), |(_, off)| format!("{off:.1e}"))
    };
    let rows = cpu.iter().map(|(name, off)| {
        format!("| {name} | {off:.1e} | {} | {} |\n", value(&single, name), value(&half, name))
    });
    let table = format!(
        "# The published network against MONAI\n\n\
         Largest difference of each quantity from what MONAI computes, in standard deviations of that \
         quantity; {:.0e} is allowed in 32 bits and {:.1} in 16. GPU: {}. Made by\n`{COMMAND}`.\n\n\
         | quantity | CPU f32 | GPU f32 | GPU f16 |\n| --- | --- | --- | --- |\n{}",
        tolerance(Storage::Single),
        tolerance(Storage::Half),
        opened.report.adapter,
        rows.collect::<String>(),
    );
    match std::env::var("PRISM_PARITY") {
        Ok(path) => {
            let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            std::fs::write(root.join(path), table).expect("the table");
        }
        Err(_) => println!("{table}"),
    }
}
