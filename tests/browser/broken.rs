//! Files that are not what they say.

use prism_tests::page::PATIENCE;
use prism_tests::runner::Stage;
use prism_tests::scans;

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
