//! Files that are not what they say.

use std::time::Duration;

use prism_tests::page::PATIENCE;
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
