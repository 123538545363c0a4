//! Memory and time of one 96x96x96 crop, counted where the memory is taken.
//!
//! A WebGPU buffer holds 128 MiB by default, and tensors are as large on the CPU as on the
//! GPU: no single allocation may be larger, and all together stay under 1 GiB.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]
#![allow(unsafe_code, reason = "an allocator that counts can only be written so")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use burn_wgpu::Wgpu;
use cubecl::MemoryScope;
use prism_core::kernels::{conv3d, has_halves};
use prism_core::model::pack::{NamedTensor, Precision};
use prism_core::model::{EncoderConfig, Pace, Pack, PackInfo, Prism, Stopped, Storage, SwinConfig};
use prism_core::pipeline::{Device, DeviceChoice, Devices, SUBMISSION_WORK};

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

/// Prints how long each step and each wait within took, and the GPU's memory after it.
struct Timed<'a> {
    device: &'a Device,
    clock: Instant,
    steps: usize,
    reserved: u64,
    used: u64,
    /// Longest time without a chance to stop, and the most multiplications.
    longest: f64,
    most: u64,
    print: bool,
}

impl<'a> Timed<'a> {
    fn new(device: &'a Device, print: bool) -> Self {
        let (reserved, used, longest, most) = (0, 0, 0.0, 0);
        Self { device, clock: Instant::now(), steps: 0, reserved, used, longest, most, print }
    }

    fn lap(&mut self, what: &str, latest: &Tensor<5>) {
        let corner = latest.clone().slice([0..1, 0..1, 0..1, 0..1, 0..1]);
        let _ = corner.into_data().iter::<f32>().next();
        let seconds = self.clock.elapsed().as_secs_f64();
        self.longest = self.longest.max(seconds);
        let (used, reserved) = gpu_memory(self.device).unwrap_or_default();
        (self.used, self.reserved) = (self.used.max(used), self.reserved.max(reserved));
        if self.print {
            println!(
                "  {what} {:?}: {seconds:.3} s, {used} MiB of {reserved} in use",
                latest.dims()
            );
        }
        self.clock = Instant::now();
    }
}

impl Pace for Timed<'_> {
    async fn step(&mut self, latest: &Tensor<5>) -> Result<(), Stopped> {
        self.steps += 1;
        self.lap(&format!("step {}", self.steps), latest);
        Ok(())
    }

    async fn wait(&mut self, latest: &Tensor<5>, work: u64) -> Result<(), Stopped> {
        self.most = self.most.max(work);
        self.lap(&format!("wait for {:.2} G", work as f64 / 1e9), latest);
        Ok(())
    }
}

/// MiB of the GPU's buffers in use and reserved; `None` on the CPU.
fn gpu_memory(device: &Device) -> Option<(u64, u64)> {
    let one = Tensor::<1>::ones([1], device).try_into_primitive::<Wgpu>().ok()?;
    let usage = one.client.memory_report(MemoryScope::Device).usage();
    Some((usage.bytes_in_use >> 20, usage.bytes_reserved >> 20))
}

/// Most MiB at the peak.
const MOST: u64 = 1024;

/// Heads of a table of such runs.
const TABLE: &str = "| network | kept as | s to the features | s in all | longest s between two waits | \
                     GPU MiB in use | reserved |\n| --- | --- | --- | --- | --- | --- | --- |";

/// Runs a crop through a network with random weights; prints what it took, and checks that no
/// buffer is too large and that all together take less than `limit` MiB. Returns a row of
/// [`TABLE`].
fn crop(
    name: &str,
    architecture: serde_json::Value,
    device: &Device,
    storage: Storage,
    limit: u64,
) -> String {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
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
    // What an earlier network left, into whose large buffers small weights would go.
    device.memory_cleanup();
    let model = Prism::load_as(&pack, device, storage).expect("model");
    println!(
        "{name}: {} weights, a pack of {:.1} MB, at most {} MiB of a weight bound to the GPU",
        pack.parameters(),
        pack.to_bytes().expect("a file").len() as f64 / 1e6,
        pack.largest_weight().div_ceil(1 << 20),
    );
    // What WebGPU binds by default.
    assert!(pack.largest_weight() <= 128 << 20, "a weight of {} bytes", pack.largest_weight());
    drop(pack);
    let scan = TensorData::new(noise(96 * 96 * 96), [1, 1, 96, 96, 96]);
    let scan = Tensor::<5>::from_data(scan, device);
    let weights = HELD.load(Relaxed);
    PEAK.store(weights, Relaxed);
    LARGEST.store(0, Relaxed);
    let (start, used) = (Instant::now(), processor_seconds());
    let mut pace = Timed::new(device, std::env::var("PRISM_STEPS").is_ok());
    let features = pollster::block_on(model.encode(scan, &mut pace)).expect("encode");
    // The GPU may still be at it; the CPU's values are at hand.
    let deepest = features.deepest.fused.clone().into_data();
    let encoded = start.elapsed().as_secs_f64();
    assert!(deepest.iter::<f32>().all(|value| value.is_finite()));
    let decoded = pollster::block_on(model.decode(features, &mut pace)).expect("decode");
    let (seconds, used) = (start.elapsed().as_secs_f64(), processor_seconds() - used);
    let values: Vec<f32> = match decoded {
        Some(decoded) => decoded.into_data().try_into_vec().expect("floats"),
        None => Vec::new(),
    };
    assert!(values.iter().all(|value| value.is_finite()));
    let mebibytes = |counter: &AtomicUsize| counter.load(Relaxed) >> 20;
    println!(
        "{name}: {encoded:.2} s to the features, {seconds:.2} s in all ({used:.2} s of processor), \
         peak {} MiB of which {} MiB were held before, largest buffer {} MiB",
        mebibytes(&PEAK),
        weights >> 20,
        mebibytes(&LARGEST),
    );
    println!(
        "  longest {:.2} s between two chances to stop, at most {:.2} G multiplications",
        pace.longest,
        pace.most as f64 / 1e9,
    );
    // A second where a device does ten thousand million; a submission holds less.
    assert!(pace.most < 10_000_000_000, "{} multiplications without a chance to stop", pace.most);
    if pace.reserved > 0 {
        println!("  GPU: {} MiB in use at most, {} MiB reserved", pace.used, pace.reserved);
        assert!(pace.reserved < limit, "{} MiB of the GPU", pace.reserved);
    }
    assert!(mebibytes(&LARGEST) < 128, "a buffer of {} MiB", mebibytes(&LARGEST));
    assert!((mebibytes(&PEAK) as u64) < limit, "{} MiB at the peak", mebibytes(&PEAK));
    format!(
        "| {name} | {storage:?} | {encoded:.2} | {seconds:.2} | {:.2} | {} | {} |",
        pace.longest, pace.used, pace.reserved
    )
}

/// Seconds that the fullest submission takes: the median of five of the network's convolutions,
/// each of a known number of multiplications.
fn submission(device: &Device) -> f64 {
    let input =
        Tensor::<5>::from_data(TensorData::new(noise(32 << 15), [1, 32, 32, 32, 32]), device);
    let weight =
        Tensor::<5>::from_data(TensorData::new(noise(27 << 10), [32, 32, 3, 3, 3]), device);
    let work = (27_u64 << 10) << 15;
    let timed = |_| {
        let start = Instant::now();
        let corner = conv3d(input.clone(), &weight, None, 1).slice([0..1, 0..1, 0..1, 0..1, 0..1]);
        let _ = corner.into_data().iter::<f32>().next();
        start.elapsed().as_secs_f64()
    };
    // The first one compiles the kernel.
    timed(0);
    let mut seconds: Vec<f64> = (0..5).map(timed).collect();
    seconds.sort_by(f64::total_cmp);
    seconds[2] * SUBMISSION_WORK as f64 / work as f64
}

/// Seconds all cores together gave this process; on a busy machine the truer measure.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in parentheses; user and system ticks of 10 ms are 12th and 13th.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Most memory this process ever held, in MiB, a software GPU's included.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = value.and_then(|value| value.split_whitespace().next()?.parse::<usize>().ok());
    kibibytes.unwrap_or(0) / 1024
}

fn published(size: &str, heads: serde_json::Value) -> serde_json::Value {
    let encoder = SwinConfig::published(size).map(EncoderConfig::Swin);
    serde_json::json!({ "encoder": encoder, "branches": true, "heads": heads })
}

fn segmentation() -> serde_json::Value {
    serde_json::json!([{ "kind": "segmentation", "name": "segmentation", "classes": 3 }])
}

fn compact(heads: serde_json::Value) -> serde_json::Value {
    let encoder = serde_json::json!({
        "kind": "residual_pyramid", "in_channels": 1,
        "channels": [16, 32, 64, 128, 192], "convs": [1, 2, 2, 2, 2],
    });
    serde_json::json!({ "encoder": encoder, "heads": heads })
}

#[test]
fn the_published_encoder_stays_within_bounds() {
    let encoder = published("swin-b", serde_json::json!([]));
    crop("swin-b", encoder, &Device::flex(), Storage::Single, MOST);
}

#[test]
#[ignore = "half a minute of processor"]
fn the_published_decoder_stays_within_bounds() {
    let whole = published("swin-b", segmentation());
    crop("swin-b with decoder", whole, &Device::flex(), Storage::Single, MOST);
}

#[test]
fn the_compact_network_stays_within_bounds() {
    let cpu = Device::flex();
    crop("compact", compact(serde_json::json!([])), &cpu, Storage::Single, MOST);
    crop("compact with decoder", compact(segmentation()), &cpu, Storage::Single, MOST);
}

/// `cargo test --workspace --test crop -- --ignored --nocapture gpu`; the second run of each shows
/// the seconds once the kernels are compiled, and is in the table at the end; the last network runs
/// once, in single precision. Between two waits lie many submissions; what the fullest takes is
/// measured first. The large decoder comes last: it takes longest. `PRISM_NETWORK` runs the network
/// of that name alone. With `PRISM_LARGE` set the larger published networks follow, for which
/// memory has no bound here but that of a buffer: minutes in software, and some GiB.
#[test]
#[ignore = "a measurement"]
fn each_on_the_gpu() {
    let opened = pollster::block_on(Devices::default().open(DeviceChoice::Gpu)).expect("adapter");
    println!("{:?}, 16-bit floats: {}", opened.report, has_halves(&opened.device));
    let each = submission(&opened.device);
    let most = SUBMISSION_WORK as f64 / 1e9;
    println!("a submission holds at most {most:.2} G multiplications: {each:.2} s here");
    assert!(each < 1.0, "a submission takes {each:.2} s");
    let encoder = || serde_json::json!([]);
    let mut networks = vec![
        ("swin-b", published("swin-b", encoder()), MOST),
        ("compact", compact(encoder()), MOST),
        ("compact with decoder", compact(segmentation()), MOST),
        ("swin-b with decoder", published("swin-b", segmentation()), MOST),
    ];
    if std::env::var("PRISM_LARGE").is_ok() {
        networks.push(("swin-h", published("swin-h", encoder()), u64::MAX));
        networks.push(("swin-l with decoder", published("swin-l", segmentation()), u64::MAX));
    }
    if let Ok(wanted) = std::env::var("PRISM_NETWORK") {
        networks.retain(|(name, ..)| *name == wanted);
        assert!(!networks.is_empty(), "no network is called {wanted}");
    }
    let mut rows = Vec::new();
    for (name, architecture, limit) in networks {
        let before = resident();
        // Minutes in software, of which compiling is nothing.
        let once = name == "swin-b with decoder";
        let halves = has_halves(&opened.device) && !once;
        let halves = halves.then_some(Storage::Half);
        for storage in [Some(Storage::Single), halves].into_iter().flatten() {
            println!("{name}, {storage:?}");
            if !once {
                crop(name, architecture.clone(), &opened.device, storage, limit);
            }
            rows.push(crop(name, architecture.clone(), &opened.device, storage, limit));
        }
        println!("{name}: {before} MiB resident before, {} MiB at the peak", resident());
    }
    println!("on {}:\n{TABLE}\n{}", opened.report.adapter, rows.join("\n"));
}
