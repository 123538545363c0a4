//! From a scan to labels, on both devices.

use std::fs;
use std::time::{Duration, Instant};

use prism_tests::compare::{Agreement, agreement};
use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;
use serde_json::Value;
use xtask::project;
use xtask::server::Server;

use crate::device::{open_small, wait_for_network};
use crate::reading::{PROBLEM, assert_content, open_sample, pane};

/// How long a whole run may take where GPU and CPU are two shared cores.
const RUN_TIMEOUT: Duration = Duration::from_secs(600);

/// Agreement that counts as the same result on GPU and CPU, from the project's contract.
const SAME: f64 = 0.995;

pub fn run(page: &Page<'_>, device: &str) -> Duration {
    page.choose("device-choice", device);
    let start = Instant::now();
    page.click("run-button");
    page.wait_for_state("done", RUN_TIMEOUT);
    let kind = page.attribute("device-report", "data-kind");
    assert_eq!(kind, device, "it ran elsewhere: {}", page.text("device-report"));
    start.elapsed()
}

fn assert_same(found: &Agreement) {
    println!(
        "  page against command line: Dice {:.4} overall, {:.4} mean of {}, worst {:?}",
        found.overall, found.mean, found.structures, found.worst
    );
    assert!(found.structures > 0, "nothing was found");
    assert!(found.overall >= SAME && found.mean >= SAME, "{found:?}");
}

pub fn a_run_is_cancelled_within_a_second(stage: &Stage) {
    let page = stage.open();
    open_sample(&page);
    page.choose("device-choice", "cpu");
    page.click("run-button");
    page.wait_for_state("running", PATIENCE);
    // Into the network, where there is something to interrupt.
    std::thread::sleep(Duration::from_secs(3));
    assert_cancelled_within_a_second(&page);
}

pub fn a_run_on_the_gpu_is_cancelled_within_a_second(stage: &Stage) {
    let page = open_small(stage, "gpu");
    page.click("run-button");
    wait_for_network(&page, "Segmenting");
    assert_cancelled_within_a_second(&page);
}

fn assert_cancelled_within_a_second(page: &Page<'_>) {
    let start = Instant::now();
    page.click("cancel-button");
    page.wait_for_state("scan", PATIENCE);
    let took = start.elapsed();
    println!("  cancelled in {:.2} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    assert_content(page);
}

pub fn a_scan_that_is_opened_is_segmented_and_reported_by_itself(stage: &Stage) {
    let page = Page::open(&stage.browser, &stage.url, true);
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_until("the network to run", RUN_TIMEOUT, &|page| {
        let stage = page.attribute("progress", "data-stage");
        ["Identifying the scan", "Segmenting"].contains(&stage.as_str()) || page.state() == "done"
    });
    let start = Instant::now();
    page.wait_for_state("done", RUN_TIMEOUT);
    let seen = start.elapsed().as_secs_f64();
    assert_identification_counted(&page, seen);
    page.click("#tab-report");
    let report = page.text("#panel");
    assert!(report.contains("mL"), "a report without a volume: {report}");
    // A sentence about a structure leads to it.
    let before = page.text("cursor-readout");
    page.click("#panel [data-structure]");
    page.wait_until("the crosshair to move", PATIENCE, &|page| {
        page.text("cursor-readout") != before
    });
    assert_quality_is_measured(&page);
    assert_content(&page);
}

pub fn a_run_of_a_fitted_head_goes_on_after_a_broken_file(stage: &Stage) {
    let page = open_small(stage, "cpu");
    page.click("#tab-features");
    page.click("features-paint");
    for (class, place) in [
        ("teach-class-1", [0.3, 0.3]),
        ("teach-class-1", [0.7, 0.7]),
        ("teach-class-2", [0.45, 0.45]),
        ("teach-class-2", [0.55, 0.55]),
    ] {
        page.click(class);
        page.click_at(&pane("axial"), place);
    }
    page.click("teach-fit");
    page.wait_until("the fit", RUN_TIMEOUT, &|page| page.has("teach-segment"));
    page.click("teach-segment");
    page.wait_for_state("running", PATIENCE);
    page.choose_files("file-input", &[scans::not_a_scan(&stage.folder)]);
    page.wait_until("an error in words", PATIENCE, &|page| page.has(PROBLEM));
    page.wait_for_state("running", PATIENCE);
    page.wait_for_state("done", RUN_TIMEOUT);
    let manifest: Value =
        serde_json::from_slice(&page.download("download-manifest").bytes).expect("JSON");
    assert_eq!(manifest["pack"]["name"], "fitted");
    assert_content(&page);
}

/// The run's times begin with preparing and the encoder's pass that identified the scan, of which `seen` seconds went
/// by before the result was there.
fn assert_identification_counted(page: &Page<'_>, seen: f64) {
    let manifest: Value =
        serde_json::from_slice(&page.download("download-manifest").bytes).expect("JSON");
    let timings = manifest["timings"].as_array().expect("timings");
    let seconds = |stage: &str| {
        let found = timings.iter().find(|time| time["stage"] == stage).expect(stage);
        found["seconds"].as_f64().expect("seconds")
    };
    // Taking what was prepared takes microseconds, preparing milliseconds.
    assert!(seconds("prepare") > 5e-4, "{timings:?}");
    let total = manifest["total_seconds"].as_f64().expect("seconds");
    println!("  {total:.1} s counted, {seen:.1} s seen from the first steps of identifying");
    assert!(total > 0.75 * seen - 1.0, "{total} s of {seen} s: {timings:?}");
}

/// The report (HTML) gives the volumes of three structures as the table (CSV) has them.
fn assert_report_has_volumes(html: &str, table: &str) {
    let mut lines = table.lines();
    let columns: Vec<&str> = lines.next().expect("a heading").split(',').collect();
    let column = |name| columns.iter().position(|&column| column == name).expect(name);
    let [index, name, volume] = ["index", "display_name", "volume_ml"].map(column);
    let mut rows: Vec<(f64, &str, &str)> = lines
        .map(|line| line.split(',').collect::<Vec<_>>())
        .map(|row| (row[volume].parse().expect("a volume"), row[index], row[name]))
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (millilitres, index, name) in &rows[..3] {
        assert!(*millilitres > 0.1, "nothing of {name} was found");
        let row = html.split(&format!("<tr id=\"structure-{index}\">")).nth(1).expect(name);
        let row = row.split("</tr>").next().unwrap_or_default();
        assert!(row.contains(name), "{row} is of {name}");
        let said = row.split("<td class=\"n\">").nth(1).and_then(|rest| rest.split('<').next());
        let said: f64 = said.and_then(|said| said.parse().ok()).expect("millilitres");
        // Rounded to hundredths and ten thousandths.
        assert!((said - millilitres).abs() < 0.0051, "{name}: {said}, {millilitres} in the table");
    }
}

/// Opens the panel of image quality: each measure has a number or says that it has none, and where it comes from.
fn assert_quality_is_measured(page: &Page<'_>) {
    page.click("#tab-quality");
    page.wait_until("the measures", PATIENCE, &|page| page.has("quality"));
    for key in ["snr_dietrich", "cnr", "fber", "structures_cut", "structures_missing"] {
        let row = format!("[data-measure={key}]");
        let value = page.text(&format!("{row} .measure-value"));
        let judged = page.text(&format!("{row} .judgement"));
        let measured = value.chars().any(|letter| letter.is_ascii_digit());
        assert!(measured || judged == "not assessed", "{key}: {value:?}, {judged:?}");
    }
    // Counted wherever there are labels.
    let value = page.text("[data-measure=structures_missing] .measure-value");
    assert!(value.parse::<u32>().is_ok(), "structures that were not found: {value:?}");
    page.click("[data-measure=structures_missing] summary");
    page.wait_until("its source", PATIENCE, &|page| {
        page.has("[data-measure=structures_missing][open]")
            && page.text("[data-measure=structures_missing] .source").len() > 10
    });
}

pub fn a_run_after_a_cancelled_one_finishes(stage: &Stage) {
    let page = stage.open();
    open_sample(&page);
    page.choose("device-choice", "cpu");
    page.click("run-button");
    page.wait_until("the network to run", RUN_TIMEOUT, &|page| {
        page.attribute("progress", "data-stage") == "Segmenting"
    });
    page.click("cancel-button");
    page.wait_for_state("scan", PATIENCE);
    run(&page, "cpu");
    let labels = page.download("download-segmentation");
    let found = scans::read(&labels.name, &labels.bytes);
    let expected = scans::read("command", &stage.segment_by_command(&scans::sample()));
    assert_same(&agreement(&found, &expected));
    assert_content(&page);
}

pub fn the_gpu_finds_what_the_command_line_finds_and_every_download_reads_back(stage: &Stage) {
    let page = stage.open();
    let scan = scans::small(&stage.folder);
    page.choose_files("file-input", std::slice::from_ref(&scan));
    page.wait_for_state("scan", PATIENCE);
    let took = run(&page, "gpu");
    println!("  48 x 48 x 48 at 2 mm on the software GPU: {:.1} s", took.as_secs_f64());
    assert_eq!(page.attribute("device-report", "data-software"), "true");

    let labels = page.download("download-segmentation");
    assert!(labels.name.ends_with(".nii.gz"), "{}", labels.name);
    let found = scans::read(&labels.name, &labels.bytes);
    let expected = scans::read("command", &stage.segment_by_command(&scan));
    assert_same(&agreement(&found, &expected));

    // Every row says what the downloaded labels hold.
    let table = page.download("download-csv");
    let text = String::from_utf8(table.bytes).expect("text");
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().expect("a heading").split(',').collect();
    let column = |name| columns.iter().position(|&column| column == name).expect(name);
    let (id, voxels) = (column("id"), column("voxels"));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert!(rows.len() > 30, "{text}");
    for row in &rows {
        let label: f32 = row[id].parse().expect("a number of a structure");
        let count = found.data.iter().filter(|&&value| value == label).count();
        assert_eq!(row[voxels], count.to_string(), "voxels of {label}: {row:?}");
    }

    let report = page.download("download-report");
    let html = String::from_utf8(report.bytes).expect("text");
    assert!(html.contains("</html>") && html.contains("not a medical device"), "{html:.300}");
    let alone = html.match_indices("src=\"").all(|(at, _)| html[at + 5..].starts_with("data:"));
    assert!(
        alone && !html.contains("<script") && !html.contains("<link"),
        "the report stands alone"
    );
    assert_report_has_volumes(&html, &text);

    let manifest = page.download("download-manifest");
    let manifest: Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
    let pack = fs::read(project::root().join("public/packs/brain.safetensors")).expect("the pack");
    let header = String::from_utf8_lossy(&pack[8..pack.len().min(60_000)]).into_owned();
    let hash = header.split("sha256").nth(1).expect("a hash in the pack");
    let hash: String = hash.chars().filter(char::is_ascii_hexdigit).take(64).collect();
    assert_eq!(manifest["pack"]["sha256"], hash);
    let build = page.evaluate("document.querySelector('meta[name=build]').content");
    assert_eq!(manifest["software"]["build"], build);
    assert_eq!(build.as_str().map(str::len), Some(16), "{build}");
    assert_eq!(manifest["browser"], page.evaluate("navigator.userAgent"));
    assert!(manifest["browser"].as_str().is_some_and(|name| name.contains("Chrome/")));
    assert_eq!(manifest["input"]["dims"], serde_json::json!([48, 48, 48]));
    assert_eq!(manifest["device"]["kind"], "GPU", "{}", manifest["device"]);
    assert_eq!(manifest["device"]["half_precision"], false, "{}", manifest["device"]);
    // What the browser says of the adapter, not only that there is one.
    let named = page.text("device-report");
    assert!(!named.contains("WebGPU adapter"), "{named}");
    let timings = manifest["timings"].as_array().expect("timings");
    assert!(timings.len() >= 4, "{timings:?}");
    let total = manifest["total_seconds"].as_f64().expect("seconds");
    assert!(total > 0.0 && total <= took.as_secs_f64() + 1.0, "{total} s of {took:?}");
    assert_eq!(manifest["results"]["structures"].as_array().map(Vec::len), Some(rows.len()));

    let picture = page.download("download-screenshot");
    assert_eq!(&picture.bytes[..8], b"\x89PNG\r\n\x1a\n");
    let side =
        |at: usize| u32::from_be_bytes(picture.bytes[at..at + 4].try_into().expect("four bytes"));
    assert!(side(16) >= 600 && side(20) >= 400, "a picture of {} x {}", side(16), side(20));
    let contrast = page.contrast_of(&picture.bytes);
    assert!(contrast > 20.0, "the picture looks blank: grey deviation {contrast:.1}");
    assert_content(&page);
}

pub fn the_sample_is_segmented_on_the_cpu_with_the_network_gone(stage: &Stage) {
    let server = Server::start(&project::dist(), 0).expect("a server");
    let page = Page::open(&stage.browser, &server.url(), false);
    open_sample(&page);
    let asked = page.network_requests().len();
    // Not only is nothing asked for: there is nobody left to ask.
    drop(server);
    let took = run(&page, "cpu");
    println!("  sample scan on the CPU: {:.1} s", took.as_secs_f64());
    let rows = page.evaluate(
        "document.querySelectorAll('[data-test=volumes-table] tr[data-structure]').length",
    );
    assert!(rows.as_u64().is_some_and(|rows| rows >= 10), "{rows} structures in the table");
    let labels = page.download("download-segmentation");
    let requests = page.network_requests();
    assert_eq!(requests.len(), asked, "asked the network: {:?}", &requests[asked..]);
    let found = scans::read(&labels.name, &labels.bytes);
    let expected = scans::read("command", &stage.segment_by_command(&scans::sample()));
    assert_same(&agreement(&found, &expected));
    assert_content(&page);
}

/// As people use it: a file from the disk is identified, segmented and reported by itself.
pub fn a_scan_that_is_opened_needs_no_network_to_its_report(stage: &Stage) {
    let server = Server::start(&project::dist(), 0).expect("a server");
    let page = Page::open(&stage.browser, &server.url(), true);
    page.choose("device-choice", "cpu");
    // What a run needs is fetched ahead, whole: entries are made when a file has come.
    let fetched = |page: &Page<'_>, file: &str| {
        page.evaluate(&format!(
            "performance.getEntriesByType('resource').some(entry => entry.name.endsWith('{file}'))"
        )) == true
    };
    let ahead = ["index.json", "brain.md", "brain.safetensors", "identify.safetensors"];
    page.wait_until("what a run needs", Duration::from_secs(180), &|page| {
        ahead.iter().all(|file| fetched(page, file))
    });
    let asked = page.network_requests().len();
    drop(server);
    page.choose_files("file-input", &[scans::sample()]);
    page.wait_for_state("done", RUN_TIMEOUT);
    assert_eq!(page.attribute("device-report", "data-kind"), "cpu");
    page.click("#tab-scan");
    page.wait_until("what the image shows", PATIENCE, &|page| page.has("identified"));

    let labels = page.download("download-segmentation");
    let labels = scans::read(&labels.name, &labels.bytes);
    let outlined = labels.data.iter().filter(|&&label| label > 0.0).count();
    assert!(labels.dims == [176, 192, 170] && outlined > 100_000, "{outlined} voxels");
    let table = String::from_utf8(page.download("download-csv").bytes).expect("text");
    assert!(table.lines().count() > 30, "{table}");
    let report = String::from_utf8(page.download("download-report").bytes).expect("text");
    assert!(report.contains("</html>"), "{report:.300}");
    assert_report_has_volumes(&report, &table);
    // Volumes that the pack is known to get wrong are marked on the page as in its files.
    let known = "; not a measurement";
    let marked = table.lines().filter(|line| line.ends_with(known)).count();
    page.click("#tab-structures");
    page.wait_until("the marks of volumes", PATIENCE, &|page| page.has("volume-caution"));
    let signs = page.evaluate("document.querySelectorAll('[data-test=volume-caution]').length");
    assert!(signs == marked && report.matches(known).count() == marked, "{signs}, {marked}");
    assert!(page.attribute("volume-caution", "aria-label").ends_with(known));
    let manifest = page.download("download-manifest");
    let manifest: Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
    assert_eq!(manifest["device"]["kind"], "CPU", "{}", manifest["device"]);
    let structures = manifest["results"]["structures"].as_array().map_or(0, Vec::len);
    assert_eq!(structures, table.lines().count() - 1);

    let requests = page.network_requests();
    assert_eq!(requests.len(), asked, "asked the network: {:?}", &requests[asked..]);
    assert_content(&page);
}
