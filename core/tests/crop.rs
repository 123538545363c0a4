//! Memory and time of one 96x96x96 crop, counted where the memory is taken.
//!
//! A WebGPU buffer holds 128 MiB by default, and tensors are as large on the CPU as on the
//! GPU: no single allocation may be larger, and all together stay under 1 GiB.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]
#![allow(unsafe_code, reason = "an allocator that counts can only be written so")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use prism_core::model::pack::{NamedTensor, Precision};
use prism_core::model::{EncoderConfig, Pack, PackInfo, Prism, SwinConfig, Unpaced};
use prism_core::pipeline::Device;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);
/// One crop at a time: the counters are the process's.
static TURN: Mutex<()> = Mutex::new(());

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Numbers in [-1, 1).
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Runs a crop through a network with random weights; prints and checks what it took.
fn crop(name: &str, architecture: serde_json::Value) {
    let _turn = TURN.lock().expect("turn");
    let label = |i: usize| {
        serde_json::json!({
            "index": i, "id": i, "name": format!("{i}"), "color": [0, 0, 0],
            "side": null, "pair": null,
        })
    };
    let info: PackInfo = serde_json::from_value(serde_json::json!({
        "schema": 1, "name": name, "title": name, "version": "0", "sha256": "",
        "architecture": architecture, "labels": [label(1), label(2)],
        "preprocessing": {
            "orientation": "RAS", "spacing_mm": [1.0, 1.0, 1.0],
            "intensity": { "rule": "zscore_nonzero" }, "window": [96, 96, 96], "overlap": 0.5,
        },
    }))
    .expect("description");
    let tensors = Prism::tensors(&info.architecture).expect("architecture");
    let tensors = tensors.into_iter().map(|(name, shape)| {
        let gain = (3.0 / shape[1..].iter().product::<usize>().max(1) as f32).sqrt();
        let values = noise(shape.iter().product()).into_iter().map(|u| gain * u).collect();
        NamedTensor { name, shape, values }
    });
    let pack = Pack::build(info, tensors.collect(), Precision::Int8).expect("pack");
    let device = Device::flex();
    let model = Prism::load(&pack, &device).expect("model");
    drop(pack);
    let scan = TensorData::new(noise(96 * 96 * 96), [1, 1, 96, 96, 96]);
    let scan = Tensor::<5>::from_data(scan, &device);
    let weights = HELD.load(Relaxed);
    PEAK.store(weights, Relaxed);
    LARGEST.store(0, Relaxed);
    let start = Instant::now();
    let features = pollster::block_on(model.encode(scan, &mut Unpaced)).expect("encode");
    let encoded = start.elapsed().as_secs_f64();
    let decoded = pollster::block_on(model.decode(features, &mut Unpaced)).expect("decode");
    let seconds = start.elapsed().as_secs_f64();
    let values: Vec<f32> = match decoded {
        Some(decoded) => decoded.into_data().try_into_vec().expect("floats"),
        None => Vec::new(),
    };
    assert!(values.iter().all(|value| value.is_finite()));
    let mebibytes = |counter: &AtomicUsize| counter.load(Relaxed) >> 20;
    println!(
        "{name}: {encoded:.2} s to the features, {seconds:.2} s in all, peak {} MiB of which {} \
         MiB were held before, largest buffer {} MiB",
        mebibytes(&PEAK),
        weights >> 20,
        mebibytes(&LARGEST),
    );
    assert!(mebibytes(&LARGEST) < 128, "a buffer of {} MiB", mebibytes(&LARGEST));
    assert!(mebibytes(&PEAK) < 1024, "{} MiB at the peak", mebibytes(&PEAK));
}

fn published(heads: serde_json::Value) -> serde_json::Value {
    let encoder = SwinConfig::published("swin-b").map(EncoderConfig::Swin);
    serde_json::json!({ "encoder": encoder, "branches": true, "heads": heads })
}

#[test]
fn the_published_encoder_stays_within_bounds() {
    crop("swin-b", published(serde_json::json!([])));
}

#[test]
fn the_published_decoder_stays_within_bounds() {
    let head = serde_json::json!({ "kind": "segmentation", "name": "segmentation", "classes": 3 });
    crop("swin-b with decoder", published(serde_json::json!([head])));
}

#[test]
fn the_compact_network_stays_within_bounds() {
    let encoder = serde_json::json!({
        "kind": "residual_pyramid", "in_channels": 1,
        "channels": [16, 32, 64, 128, 192], "convs": [1, 2, 2, 2, 2],
    });
    let head = serde_json::json!({ "kind": "segmentation", "name": "segmentation", "classes": 3 });
    crop("compact", serde_json::json!({ "encoder": encoder, "heads": [head] }));
}
