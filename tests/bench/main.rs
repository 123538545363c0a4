//! Measures what the README states: how long a person waits, and how much memory it takes.
//!
//! The middle of three runs is printed; a GPU in software is so slow that it runs once. `cargo xtask bench`
//! starts it; without a browser in `PRISM_BENCH_BROWSER` it says so and ends. `PRISM_BENCH_SAMPLE_ON_GPU=1` adds the
//! sample on the GPU, which takes minutes in software.
//!
//! `PRISM_BENCH_IMPORTED=PACK:SCAN` (absolute, or from the repository's root) measures instead how long the page takes
//! to segment a scan by a pack that is dropped onto it, or to colour it by its features where it does not segment;
//! on the devices in `PRISM_BENCH_DEVICES` (`cpu,gpu` unless given), each for `PRISM_BENCH_MINUTES` (20) at most.

// A measurement that cannot be made ends the program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use prism_core::model::{HeadConfig, Pack};
use prism_tests::browser::Browser;
use prism_tests::page::{PATIENCE, Page};
use prism_tests::scans;
use prism_tests::webgpu::{Asked, DEFAULTS};
use serde_json::Value;
use xtask::project;
use xtask::server::Server;

const RUNS: usize = 3;
const RUN_TIMEOUT: Duration = Duration::from_secs(1_200);

/// How long the page is watched with a scan shown and nothing to do, before a run.
const IDLE: Duration = Duration::from_secs(4);

/// Takes the time between the page's frames in milliseconds, and its longest task of 50 ms and more (the browser
/// reports no shorter ones: 0 says there was none).
const WATCH: &str = "(() => {
    window.watched = { intervals: [], longest: 0 };
    new PerformanceObserver(list => {
        for (const task of list.getEntries()) watched.longest = Math.max(watched.longest, task.duration);
    }).observe({ entryTypes: ['longtask'] });
    let last = null;
    const count = now => {
        if (last !== null) watched.intervals.push(now - last);
        last = now;
        requestAnimationFrame(count);
    };
    requestAnimationFrame(count);
})()";

/// What was taken since the last time.
const TAKE: &str = "(() => {
    const taken = window.watched;
    window.watched = { intervals: [], longest: 0 };
    return taken;
})()";

fn main() {
    let Some(executable) = env::var_os("PRISM_BENCH_BROWSER") else {
        println!("the figures are measured by `cargo xtask bench`");
        return;
    };
    let folder = project::target().join("browser-bench");
    let _ = fs::remove_dir_all(&folder);
    let server = Server::start(&project::dist(), 0).expect("the built page in dist/");
    let browser = Browser::start(Path::new(&executable), &folder);
    let url = server.url();

    if let Ok(imported) = env::var("PRISM_BENCH_IMPORTED") {
        let (pack, scan) = imported.split_once(':').expect("PACK:SCAN");
        let files = [pack, scan].map(|file| project::root().join(file));
        let most = most_of_a_run();
        for device in devices() {
            measure_imported(&browser, &url, (device.as_str(), most), &files);
        }
        return;
    }
    let start = Instant::now();
    drop(Page::open(&browser, &url, false));
    row("page, first opening until it is ready", start.elapsed().as_secs_f64(), "s");
    row(
        "page, later openings",
        median(|| {
            let start = Instant::now();
            drop(Page::open(&browser, &url, false));
            start.elapsed().as_secs_f64()
        }),
        "s",
    );

    let small = scans::small(&folder);
    let large = scans::large(&folder);
    let page = (&browser, url.as_str());
    measure_both(page, "sample, CPU", ("cpu", RUNS));
    for (name, scan, device, runs) in [
        ("256 x 256 x 256, CPU", &large, "cpu", 1),
        ("48 x 48 x 48, CPU", &small, "cpu", RUNS),
        ("48 x 48 x 48, GPU", &small, "gpu", 1),
    ] {
        let mut by_hand = ByHand::default();
        for _ in 0..runs {
            by_hand.run(page, name, scan, device);
        }
        by_hand.print(name);
    }
    if env::var_os("PRISM_BENCH_SAMPLE_ON_GPU").is_some_and(|wanted| wanted == "1") {
        measure_both(page, "sample, GPU", ("gpu", 1));
    }
    measure_command(&folder);
}

/// The sample, by hand and automatically by turns, so that both find the machine equally busy.
fn measure_both(page: (&Browser, &str), name: &str, (device, runs): (&str, usize)) {
    let sample = scans::sample();
    let (mut by_hand, mut automatic) = (ByHand::default(), Automatic::default());
    for _ in 0..runs {
        by_hand.run(page, name, &sample, device);
        automatic.run(page, &sample, device);
    }
    let by_hand = by_hand.print(name);
    let automatic = automatic.print(name);
    println!("{:<44} {:>8.2} times", "  automatic against by hand", automatic / by_hand);
}

/// Runs that a person starts, on scans that are not identified. Times in seconds.
#[derive(Default)]
struct ByHand {
    shown: Vec<f64>,
    drop_to_overlay: Vec<f64>,
    click_to_overlay: Vec<f64>,
    opened: Vec<f64>,
    memory: String,
    report: String,
    idle: Frames,
    running: Frames,
}

impl ByHand {
    /// From the files' drop to the overlay, the part from the click on, and the worker's memory.
    fn run(&mut self, (browser, url): (&Browser, &str), name: &str, scan: &Path, device: &str) {
        let page = Page::open(browser, url, false);
        page.choose("device-choice", device);
        let start = Instant::now();
        page.choose_files("file-input", &[PathBuf::from(scan)]);
        page.wait_for_state("scan", PATIENCE);
        let until_shown = start.elapsed().as_secs_f64();
        self.shown.push(until_shown);
        page.evaluate(WATCH);
        thread::sleep(IDLE);
        self.idle.take(&page);
        let click = Instant::now();
        page.click("run-button");
        page.wait_for_state("done", RUN_TIMEOUT);
        let until_overlay = click.elapsed().as_secs_f64();
        self.running.take(&page);
        self.click_to_overlay.push(until_overlay);
        self.drop_to_overlay.push(until_shown + until_overlay);
        let manifest = page.download("download-manifest");
        let manifest: Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
        let stages = manifest["timings"].as_array().expect("timings");
        let open = stages.iter().find(|one| one["stage"] == "open").expect("the stage");
        self.opened.push(open["seconds"].as_f64().expect("seconds"));
        self.report = page.text("device-report").replace('\n', " ");
        page.save_picture(&browser.folder().join(format!("{name}.png")));
        self.memory = worker_memory(&page);
    }

    /// Prints all; the seconds from drop to overlay.
    fn print(self, name: &str) -> f64 {
        println!("{name}: {}", self.report);
        row("  drop to scan shown", middle(self.shown), "s");
        row("  click to overlay", middle(self.click_to_overlay), "s");
        row("  of it: device tested, pack loaded", middle(self.opened), "s");
        let drop_to_overlay = middle(self.drop_to_overlay);
        row("  drop to overlay, by hand", drop_to_overlay, "s");
        println!("{:<44} {:>8}", "  memory of the worker", self.memory);
        row("  longest task of the page while it runs", self.running.longest, "ms");
        let before = ("the scan shown, idle before the run", self.idle);
        for (when, frames) in [before, ("while it runs", self.running)] {
            let [median, most] = [0.5, 0.95].map(|share| quantile(&frames.intervals, share));
            println!(
                "  {name}, drawn in software, {when}: between two frames {median:.1} ms (median), \
                 {most:.1} ms (95th percentile), {} frames",
                frames.intervals.len()
            );
        }
        drop_to_overlay
    }
}

/// Runs that nobody starts: the scan is identified, then segmented by the pack that fits. Times in seconds.
#[derive(Default)]
struct Automatic {
    shown: Vec<f64>,
    drop_to_overlay: Vec<f64>,
    report: String,
}

impl Automatic {
    /// From the files' drop to the overlay, with nothing pressed between.
    fn run(&mut self, (browser, url): (&Browser, &str), scan: &Path, device: &str) {
        let page = Page::open(browser, url, true);
        page.choose("device-choice", device);
        let start = Instant::now();
        page.choose_files("file-input", &[PathBuf::from(scan)]);
        page.wait_until("the scan", PATIENCE, &|page| {
            !page.attribute("scan-title", "data-dims").is_empty()
        });
        self.shown.push(start.elapsed().as_secs_f64());
        page.wait_for_state("done", RUN_TIMEOUT);
        self.drop_to_overlay.push(start.elapsed().as_secs_f64());
        self.report = page.text("device-report").replace('\n', " ");
        page.click("#tab-scan");
        page.wait_until("what the image shows", PATIENCE, &|page| page.has("identified"));
    }

    /// Prints all; the seconds from drop to overlay.
    fn print(self, name: &str) -> f64 {
        println!("{name}, automatic: {}", self.report);
        row("  drop to scan shown", middle(self.shown), "s");
        let drop_to_overlay = middle(self.drop_to_overlay);
        row("  drop to overlay, identified before", drop_to_overlay, "s");
        drop_to_overlay
    }
}

/// What the page says of its worker's memory after a run. WebAssembly memory never shrinks: it is the most it held.
fn worker_memory(page: &Page<'_>) -> String {
    const BEFORE: &str = "Memory of the computing part";
    page.click("#tab-run");
    page.wait_until("the worker's memory", PATIENCE, &|page| page.text("#panel").contains(BEFORE));
    let panel = page.text("#panel");
    let rest = panel.split(BEFORE).nth(1).unwrap_or_default();
    rest.trim().lines().next().unwrap_or_default().to_owned()
}

/// The devices that an imported network is measured on.
fn devices() -> Vec<String> {
    let named = env::var("PRISM_BENCH_DEVICES").unwrap_or_else(|_| "cpu,gpu".into());
    let devices: Vec<String> = named.split(',').map(|device| device.trim().to_owned()).collect();
    let known = devices.iter().all(|device| matches!(device.as_str(), "cpu" | "gpu"));
    assert!(known, "PRISM_BENCH_DEVICES is {named:?}; name cpu, gpu, or cpu,gpu");
    devices
}

/// How long an imported network may take.
fn most_of_a_run() -> Duration {
    let minutes = env::var("PRISM_BENCH_MINUTES").unwrap_or_else(|_| "20".into());
    let minutes: u64 = minutes.parse().expect("PRISM_BENCH_MINUTES is a whole number");
    Duration::from_secs(60 * minutes)
}

/// An imported network, its pack dropped onto the page: from the click to the overlay where it segments, else to the
/// planes coloured by its features; the self-test and the load of the pack included.
fn measure_imported(
    browser: &Browser,
    url: &str,
    (device, most): (&str, Duration),
    [pack, scan]: &[PathBuf; 2],
) {
    let about = Pack::read(&fs::read(pack).expect("the pack's file")).expect("a pack").info;
    let segments = about.architecture.heads.iter().any(|head| {
        matches!(head, HeadConfig::Segmentation { .. } | HeadConfig::LinearSegmentation { .. })
    });
    let page = Page::open(browser, url, false);
    page.choose("device-choice", device);
    page.choose_files("file-input", std::slice::from_ref(scan));
    page.wait_for_state("scan", PATIENCE);
    page.drop_files("#planes", std::slice::from_ref(pack));
    page.wait_until("the list with the pack", PATIENCE, &|page| page.has("model-delete"));
    if device == "gpu" {
        Asked::watch(&page);
    }
    let what = if segments {
        let start = Instant::now();
        page.click("model-run");
        page.wait_until("the run", PATIENCE, &|page| {
            matches!(page.state().as_str(), "running" | "done")
        });
        page.wait_until("its end", most, &|page| page.state() != "running");
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(page.state(), "done", "the run ended: {}", page.texts("notice"));
        let kind = page.attribute("device-report", "data-kind");
        assert_eq!(kind, device, "it ran elsewhere: {}", page.texts("notice"));
        row(&format!("an imported network, {device}: run to overlay"), seconds, "s");
        println!("{:<44} {:>8}", "  memory of the worker", worker_memory(&page));
        page.text("device-report")
    } else {
        page.press("Escape");
        page.wait_until("the list to close", PATIENCE, &|page| !page.has("models"));
        page.click("#tab-features");
        let start = Instant::now();
        page.click("features-colours");
        page.wait_until("the colours", most, &|page| page.has("features-explained"));
        let seconds = start.elapsed().as_secs_f64();
        row(&format!("an imported encoder's features, {device}"), seconds, "s");
        page.text("#panel")
    };
    println!("  {}", what.replace('\n', " "));
    page.save_picture(&browser.folder().join(format!("imported {device}.png")));
    if device == "gpu" {
        print_asked(&Asked::of(&page));
    }
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| page.has("model-delete"));
    page.click("model-delete");
    page.wait_until("the pack to be gone", PATIENCE, &|page| !page.has("model-delete"));
}

/// The largest buffer and binding beside WebGPU's default limits and those of the device.
fn print_asked(asked: &Asked) {
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    for (what, largest, default, device) in [
        ("buffer", asked.largest.buffer, DEFAULTS.buffer, asked.device.buffer),
        ("binding", asked.largest.binding, DEFAULTS.binding, asked.device.binding),
    ] {
        let [largest, default, device] = [largest, default, device].map(mebibytes);
        println!(
            "  largest {what} asked of WebGPU: {largest:.1} MiB (default limit {default:.0} MiB, \
             the device's {device:.0} MiB)"
        );
    }
    let within = if asked.largest.within(DEFAULTS) { "never over" } else { "OVER" };
    println!("  the page's worker was {within} WebGPU's default limits");
}

/// The page's frames over some time.
#[derive(Default)]
struct Frames {
    /// Milliseconds between each and the next.
    intervals: Vec<f64>,
    /// Longest task, in milliseconds.
    longest: f64,
}

impl Frames {
    /// Adds what the page took since the last time.
    fn take(&mut self, page: &Page<'_>) {
        let taken = page.evaluate(TAKE);
        let intervals = taken["intervals"].as_array().expect("intervals");
        self.intervals.extend(intervals.iter().filter_map(Value::as_f64));
        self.longest = self.longest.max(taken["longest"].as_f64().expect("a duration"));
    }
}

/// The value that a share of the values does not exceed (nearest rank).
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    *values.get(rank.saturating_sub(1)).expect("a frame")
}

/// The same scan through the command line program that was built beside this one (development profile, optimised).
fn measure_command(folder: &Path) {
    let program = project::target().join("debug/prism");
    let seconds = median(|| {
        let start = Instant::now();
        let output = Command::new(&program)
            .arg("segment")
            .arg(scans::sample())
            .args(["--device", "cpu", "--output"])
            .arg(folder.join("labels.nii.gz"))
            .output()
            .expect("the command line program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        start.elapsed().as_secs_f64()
    });
    row("sample, command line, CPU", seconds, "s");
}

fn median(mut measure: impl FnMut() -> f64) -> f64 {
    middle((0..RUNS).map(|_| measure()).collect())
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn row(name: &str, value: f64, unit: &str) {
    println!("{name:<44} {value:>8.1} {unit}");
}
