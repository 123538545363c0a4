//! Measures what the README states: how long a person waits, and how much memory it takes.
//!
//! The middle of three runs is printed; a GPU in software is so slow that it runs once. `cargo xtask bench`
//! starts it; without a browser in `PRISM_BENCH_BROWSER` it says so and ends. `PRISM_BENCH_SAMPLE_ON_GPU=1` adds the
//! sample on the GPU, which takes minutes in software. `PRISM_BENCH_IMPORTED=PACK:SCAN` measures instead how long the page
//! takes to colour a scan by the features of a pack that is dropped onto it, on the GPU and on the CPU.

// A measurement that cannot be made ends the program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use prism_tests::browser::Browser;
use prism_tests::page::{PATIENCE, Page};
use prism_tests::scans;
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
        for device in ["gpu", "cpu"] {
            measure_imported(&browser, &url, device, [pack, scan].map(PathBuf::from));
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
    let mut measured = vec![
        ("sample, CPU", scans::sample(), "cpu", RUNS),
        ("256 x 256 x 256, CPU", large, "cpu", 1),
        ("48 x 48 x 48, CPU", small.clone(), "cpu", RUNS),
        ("48 x 48 x 48, GPU", small, "gpu", 1),
    ];
    let mut automatic = vec![("sample, CPU, automatic", "cpu", RUNS)];
    if env::var_os("PRISM_BENCH_SAMPLE_ON_GPU").is_some_and(|wanted| wanted == "1") {
        measured.push(("sample, GPU", scans::sample(), "gpu", 1));
        automatic.push(("sample, GPU, automatic", "gpu", 1));
    }
    for (name, scan, device, runs) in measured {
        measure_page(&browser, &url, name, &scan, (device, runs));
    }
    for (name, device, runs) in automatic {
        measure_automatic(&browser, &url, name, (device, runs));
    }
    measure_command(&folder);
}

/// From the files' drop to the overlay, the part from the click on, and the worker's memory.
fn measure_page(
    browser: &Browser,
    url: &str,
    name: &str,
    scan: &Path,
    (device, runs): (&str, usize),
) {
    let (mut shown, mut drop_to_overlay, mut click_to_overlay) = (vec![], vec![], vec![]);
    let (mut memory, mut report) = (String::new(), String::new());
    let (mut idle, mut running) = (Frames::default(), Frames::default());
    let mut opened = vec![];
    for _ in 0..runs {
        let page = Page::open(browser, url, false);
        page.choose("device-choice", device);
        let start = Instant::now();
        page.choose_files("file-input", &[PathBuf::from(scan)]);
        page.wait_for_state("scan", PATIENCE);
        let until_shown = start.elapsed().as_secs_f64();
        shown.push(until_shown);
        page.evaluate(WATCH);
        thread::sleep(IDLE);
        idle.take(&page);
        let click = Instant::now();
        page.click("run-button");
        page.wait_for_state("done", RUN_TIMEOUT);
        let until_overlay = click.elapsed().as_secs_f64();
        running.take(&page);
        click_to_overlay.push(until_overlay);
        drop_to_overlay.push(until_shown + until_overlay);
        let manifest = page.download("download-manifest");
        let manifest: Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
        let stages = manifest["timings"].as_array().expect("timings");
        let open = stages.iter().find(|one| one["stage"] == "open").expect("the stage");
        opened.push(open["seconds"].as_f64().expect("seconds"));
        report = page.text("device-report").replace('\n', " ");
        page.save_picture(&browser.folder().join(format!("{name}.png")));
        // WebAssembly memory never shrinks: what the worker says at the end is the most it held.
        page.click("#tab-run");
        memory = page
            .text("#panel")
            .split("Memory of the computing part")
            .nth(1)
            .map_or_else(String::new, |rest| {
                rest.trim().lines().next().unwrap_or_default().to_owned()
            });
    }
    println!("{name}: {report}");
    row("  drop to scan shown", middle(shown), "s");
    row("  click to overlay", middle(click_to_overlay), "s");
    row("  of it: device tested, pack loaded", middle(opened), "s");
    row("  drop to overlay", middle(drop_to_overlay), "s");
    println!("{:<44} {memory:>8}", "  memory of the worker");
    row("  longest task of the page while it runs", running.longest, "ms");
    let frames = [("the scan shown, idle before the run", idle), ("while it runs", running)];
    for (when, frames) in frames {
        let [median, most] = [0.5, 0.95].map(|share| quantile(&frames.intervals, share));
        println!(
            "  {name}, drawn in software, {when}: between two frames {median:.1} ms (median), \
             {most:.1} ms (95th percentile), {} frames",
            frames.intervals.len()
        );
    }
}

/// From the sample's drop to its overlay as everyone has it: identified first, then segmented by the pack that fits.
fn measure_automatic(browser: &Browser, url: &str, name: &str, (device, runs): (&str, usize)) {
    let (mut shown, mut overlay) = (vec![], vec![]);
    let mut report = String::new();
    for _ in 0..runs {
        let page = Page::open(browser, url, true);
        page.choose("device-choice", device);
        let start = Instant::now();
        page.choose_files("file-input", &[scans::sample()]);
        page.wait_until("the scan", PATIENCE, &|page| {
            !page.attribute("scan-title", "data-dims").is_empty()
        });
        shown.push(start.elapsed().as_secs_f64());
        page.wait_for_state("done", RUN_TIMEOUT);
        overlay.push(start.elapsed().as_secs_f64());
        report = page.text("device-report").replace('\n', " ");
        page.click("#tab-scan");
        page.wait_until("what the image shows", PATIENCE, &|page| page.has("identified"));
    }
    println!("{name}: {report}");
    row("  drop to scan shown", middle(shown), "s");
    row("  drop to overlay, identified before", middle(overlay), "s");
}

/// From the click on Colours to the coloured planes, the self-test and the load of the pack included.
fn measure_imported(browser: &Browser, url: &str, device: &str, [pack, scan]: [PathBuf; 2]) {
    let page = Page::open(browser, url, false);
    page.choose("device-choice", device);
    page.choose_files("file-input", &[scan]);
    page.wait_for_state("scan", PATIENCE);
    page.drop_files("#planes", &[pack]);
    page.wait_until("the list with the pack", PATIENCE, &|page| page.has("model-delete"));
    page.press("Escape");
    page.wait_until("the list to close", PATIENCE, &|page| !page.has("models"));
    page.click("#tab-features");
    let start = Instant::now();
    page.click("features-colours");
    page.wait_until("the colours", RUN_TIMEOUT, &|page| page.has("features-explained"));
    let seconds = start.elapsed().as_secs_f64();
    page.save_picture(&browser.folder().join(format!("imported {device}.png")));
    row(&format!("an imported encoder's features, {device}"), seconds, "s");
    println!("  {}", page.text("#panel").replace('\n', " "));
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| page.has("model-delete"));
    page.click("model-delete");
    page.wait_until("the pack to be gone", PATIENCE, &|page| !page.has("model-delete"));
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
