//! Files that are not what they say.

use std::time::Duration;

use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;
use serde_json::Value;

use crate::device::open_small;
use crate::reading::{PROBLEM, assert_content, open_sample, pane};

pub fn a_broken_file_gets_one_sentence_and_the_scan_stays(stage: &Stage) {
    let page = stage.open();
    open_sample(&page);
    let title = page.text("scan-title");
    for file in [scans::cut_short(&stage.folder), scans::not_a_scan(&stage.folder)] {
        page.choose_files("file-input", std::slice::from_ref(&file));
        page.wait_until("an error in words", PATIENCE, &|page| page.has(PROBLEM));
        let sentence = page.text(&format!("{PROBLEM} p"));
        assert!(sentence.len() > 20 && sentence.len() < 300, "not a sentence: {sentence:?}");
        assert!(sentence.ends_with('.'), "not a sentence: {sentence:?}");
        println!("  {sentence}");
        assert_eq!(page.state(), "scan", "after {}", file.display());
        assert_eq!(page.text("scan-title"), title);
        let contrast = page.contrast_shown(&pane("axial"));
        assert!(contrast > 20.0, "the scan is gone: grey deviation {contrast:.1}");
        page.click(&format!("{PROBLEM} button"));
        page.wait_until("the error to be gone", PATIENCE, &|page| !page.has(PROBLEM));
    }
    assert_content(&page);
}

pub fn a_run_goes_on_after_a_broken_file(stage: &Stage) {
    let page = stage.open();
    open_sample(&page);
    page.choose("device-choice", "cpu");
    page.click("run-button");
    page.wait_for_state("running", PATIENCE);
    page.choose_files("file-input", &[scans::not_a_scan(&stage.folder)]);
    page.wait_until("an error in words", PATIENCE, &|page| page.has(PROBLEM));
    page.wait_for_state("running", PATIENCE);
    page.click("cancel-button");
    page.wait_for_state("scan", PATIENCE);
    assert_content(&page);
}

/// Opens a broken file while the scan is being identified, and waits until it is identified
/// after all.
fn break_into_identification(stage: &Stage, page: &Page<'_>) {
    page.wait_for_state("running", PATIENCE);
    let step = page.attribute("progress", "data-stage");
    assert_ne!(step, "Segmenting", "too late to interrupt the identification");
    page.choose_files("file-input", &[scans::not_a_scan(&stage.folder)]);
    page.wait_until("an error in words", PATIENCE, &|page| page.has(PROBLEM));
    page.click("#tab-scan");
    page.wait_until("what the image shows", Duration::from_secs(300), &|page| {
        page.has("identified")
    });
}

pub fn an_identification_goes_on_after_a_broken_file(stage: &Stage) {
    // A part of a brain that the brain's pack is not for.
    let page = Page::open(&stage.browser, &stage.url, true);
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scans::hippocampus(&stage.folder)]);
    break_into_identification(stage, &page);
    page.wait_until("the run of what fits, or none", Duration::from_secs(300), &|page| {
        matches!(page.state().as_str(), "scan" | "done")
    });
    if page.state() == "done" {
        let manifest = page.download("download-manifest");
        let manifest: Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
        assert_eq!(manifest["pack"]["name"], "hippocampus");
    }
    assert_content(&page);

    // Who asked what the scan shows asked for no labels.
    let page = open_small(stage, "cpu");
    page.click("#tab-scan");
    page.click("identify");
    break_into_identification(stage, &page);
    assert_eq!(page.state(), "scan");
    assert_content(&page);
}

pub fn a_broken_file_leaves_a_finished_result(stage: &Stage) {
    let page = open_small(stage, "cpu");
    page.click("run-button");
    page.wait_for_state("done", Duration::from_secs(300));
    page.click("#tab-structures");
    page.wait_until("colour over the plane", PATIENCE, &|page| {
        page.colour_shown(&pane("axial")) > 3.0
    });
    let table = page.text("volumes-table");
    assert!(table.lines().count() > 30, "{table}");
    let labels = || {
        let file = page.download("download-segmentation");
        scans::read(&file.name, &file.bytes).data
    };
    let manifest = || -> Value {
        serde_json::from_slice(&page.download("download-manifest").bytes).expect("JSON")
    };
    let (labels_before, manifest_before) = (labels(), manifest());
    assert!(
        labels_before.iter().any(|&label| label > 0.0) && manifest_before["timings"].is_array()
    );

    page.drop_files("#planes", &[scans::not_a_scan(&stage.folder)]);
    page.wait_until("an error in words", PATIENCE, &|page| page.has(PROBLEM));
    page.wait_for_state("done", PATIENCE);
    assert_eq!(page.text("volumes-table"), table);
    let colour = page.colour_shown(&pane("axial"));
    assert!(colour > 3.0, "the overlay is gone: {colour:.1}");
    assert!(labels() == labels_before, "other labels are saved");
    let manifest_after = manifest();
    for part in ["timings", "results", "input", "pack"] {
        assert_eq!(manifest_after[part], manifest_before[part], "{part}");
    }
    assert_content(&page);
}
