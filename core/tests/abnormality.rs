//! A scan against its own rendering, with a small pack of seeded weights: windows, progress, cancel,
//! refusals. What the weights mean is scored in training/lesions/abnormality.py.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use prism_core::lesions::{LesionError, abnormality};
use prism_core::model::pack::{NamedTensor, Precision};
use prism_core::model::{Pack, PackInfo, Prism, Stopped, Unpaced};
use prism_core::pipeline::{self, Device, PipelineError, Stage, Watch};
use prism_core::volume::{Affine, LabelMap, Volume, offset};

const DIMS: [usize; 3] = [48, 64, 48];

/// Numbers in [-1, 1).
fn noise(seed: usize, count: usize) -> Vec<f32> {
    let mut state = seed as u32 + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A small network with the compact renderer, in windows of 32 voxels.
fn pack(renders: bool) -> Pack {
    let renderer = renders.then(|| serde_json::json!({ "kind": "styled", "style": 8 }));
    let info: PackInfo = serde_json::from_value(serde_json::json!({
        "schema": 1, "name": "test", "title": "Test", "version": "0", "sha256": "",
        "architecture": {
            "encoder": {
                "kind": "residual_pyramid", "in_channels": 1,
                "channels": [4, 8, 8, 12, 16], "convs": [1, 1, 1, 1, 1],
            },
            "renderer": renderer,
        },
        "preprocessing": {
            "orientation": "RAS", "spacing_mm": [2.0, 2.0, 2.0],
            "intensity": { "rule": "percentile", "low": 0.5, "high": 99.5 },
            "window": [32, 32, 32], "overlap": 0.5,
        },
    }))
    .expect("description");
    let tensors = Prism::tensors(&info.architecture).expect("architecture").into_iter().enumerate();
    let tensors = tensors.map(|(seed, (name, shape))| {
        let gain = (3.0 / shape[1..].iter().product::<usize>() as f32).sqrt();
        let values = noise(seed, shape.iter().product()).into_iter();
        let values = values.map(|v| if shape.len() > 1 { gain * v } else { 1.0 + 0.2 * v });
        NamedTensor { values: values.collect(), name, shape }
    });
    Pack::build(info, tensors.collect(), Precision::Float32).expect("pack")
}

/// Greys that fill the grid, so that its foreground is all of it.
fn scan() -> Volume {
    let data = noise(99, DIMS.iter().product()).into_iter().map(|v| 50.0 + 20.0 * v).collect();
    Volume { data, dims: DIMS, affine: Affine::from_spacing([2.0; 3]) }
}

/// A box of one structure.
fn brain() -> LabelMap {
    let mut data = vec![0; DIMS.iter().product()];
    for z in 8..40 {
        for y in 8..56 {
            for x in 8..40 {
                data[offset(DIMS, [x, y, z])] = 1;
            }
        }
    }
    LabelMap { data, dims: DIMS, affine: Affine::from_spacing([2.0; 3]) }
}

/// Notes the network's progress and stops after some of it.
#[derive(Default)]
struct Noting {
    seen: Vec<(usize, usize)>,
    stop_after: Option<usize>,
}

impl Watch for Noting {
    fn progress(&mut self, stage: Stage, done: usize, total: usize) {
        if stage == Stage::Network {
            self.seen.push((done, total));
        }
    }
    fn cancelled(&self) -> bool {
        self.stop_after.is_some_and(|most| self.seen.len() >= most)
    }
    async fn breathe(&mut self) {}
}

#[test]
fn a_rendering_is_that_of_its_windows_and_progress_ends_with_its_total() {
    let pack = pack(true);
    let model = Prism::load(&pack, &Device::flex()).expect("model");
    let mut watch = Noting::default();
    let found = pollster::block_on(pipeline::render(&scan(), &model, &pack, &mut watch));
    let found = found.expect("it renders");
    assert_eq!((found.rendering.dims, found.windows), (DIMS, 2 * 3 * 2));
    let (done, total) = *watch.seen.last().expect("progress");
    assert_eq!(done, total);
    assert!(watch.seen.iter().map(|seen| seen.0).eq(1..=total));

    // The first window alone covers its corner; there the blend is the window itself.
    let [nx, ny] = [DIMS[0], DIMS[1]];
    let corner: Vec<f32> = (0..32 * 32 * 32)
        .map(|at| found.input.data[offset(DIMS, [at / 1024, at / 32 % 32, at % 32])])
        .collect();
    let input = burn::tensor::TensorData::new(corner, [1, 1, 32, 32, 32]);
    let input = burn::tensor::Tensor::from_data(input, model.device());
    let features = pollster::block_on(model.encode(input, &mut Unpaced)).expect("features");
    let drawn = pollster::block_on(model.render(&features, None, &mut Unpaced));
    let drawn = drawn.expect("runs").expect("a renderer").into_data();
    let drawn: Vec<f32> = drawn.try_into_vec().expect("floats");
    for [x, y, z] in [[0, 0, 0], [15, 15, 15], [3, 9, 14]] {
        let blended = found.rendering.data[x + nx * (y + ny * z)];
        let alone = drawn[(x * 32 + y) * 32 + z];
        assert!((blended - alone).abs() < 1e-4 * alone.abs().max(1.0), "{blended} {alone}");
    }
}

#[test]
fn the_map_lies_on_the_scans_own_grid_inside_the_brain() {
    let pack = pack(true);
    let model = Prism::load(&pack, &Device::flex()).expect("model");
    // The first axis runs to the left, the origin lies elsewhere.
    let mut scan = scan();
    scan.affine.0[0] = [-2.0, 0.0, 0.0, 90.0];
    let brain = LabelMap { affine: scan.affine, ..brain() };
    let mut watch = Noting::default();
    let found = pollster::block_on(abnormality(&scan, &brain, &model, &pack, &mut watch));
    let found = found.expect("a map");
    assert_eq!((found.map.dims, found.map.affine), (scan.dims, scan.affine));
    let inside = |at: usize| brain.data[at] != 0;
    let values = || found.map.data.iter().enumerate();
    assert!(values().all(|(at, value)| inside(at) || *value == 0.0));
    assert!(values().filter(|(at, value)| inside(*at) && **value != 0.0).count() > 40_000);
    // The scan's voxels are the network's: the largest is read where it is said to be.
    let voxel = scan.affine.inverse().expect("affine").apply(found.largest.1);
    let voxel = voxel.map(|v| v.round() as usize);
    let there = f64::from(found.map.data[offset(DIMS, voxel)].abs());
    assert!((there - found.largest.0).abs() < 1e-3, "{there} {:?}", found.largest);
    assert!(found.high > 0.5 && found.high < found.largest.0, "{} {:?}", found.high, found.largest);
}

#[test]
fn it_is_cancelled_and_refuses_what_it_cannot_do() {
    let ours = pack(true);
    let model = Prism::load(&ours, &Device::flex()).expect("model");
    let mut watch = Noting { stop_after: Some(9), ..Noting::default() };
    let found = pollster::block_on(abnormality(&scan(), &brain(), &model, &ours, &mut watch));
    let cancelled = LesionError::Pipeline(PipelineError::Cancelled(Stopped));
    assert_eq!((found.err(), watch.seen.len()), (Some(cancelled), 9));

    let mut watch = Noting::default();
    let nothing = LabelMap { data: vec![0; DIMS.iter().product()], ..brain() };
    let found = pollster::block_on(abnormality(&scan(), &nothing, &model, &ours, &mut watch));
    assert_eq!((found.err(), watch.seen.len()), (Some(LesionError::NoBrain), 0));

    let other = pack(false);
    let model = Prism::load(&other, &Device::flex()).expect("model");
    let found = pollster::block_on(abnormality(&scan(), &brain(), &model, &other, &mut watch));
    let none = LesionError::Pipeline(PipelineError::NoRenderer("test".into()));
    assert_eq!(found.err(), Some(none));
}
