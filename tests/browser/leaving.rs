//! What would be lost with the page, or by the browser, is said before it is lost.

use std::path::{Path, PathBuf};

use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;

use crate::models::{rows, shipped};
use crate::reading::assert_content;

/// Whether the page lets itself be left without a question.
fn may_be_left(page: &Page<'_>) -> bool {
    page.evaluate("window.dispatchEvent(new Event('beforeunload', { cancelable: true }))") == true
}

pub fn painted_examples_are_not_lost_unasked(stage: &Stage) {
    let page = stage.open();
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-features");
    page.click("features-paint");
    assert!(may_be_left(&page), "nothing is painted");
    page.click("teach-here");
    page.wait_until("a question", PATIENCE, &|page| !may_be_left(page));
    page.click("teach-undo");
    page.wait_until("nothing to lose", PATIENCE, &may_be_left);
    assert_content(&page);
}

pub fn a_browser_that_may_delete_models_is_said_to(stage: &Stage) {
    let answers = |page: &Page<'_>, answer: bool| {
        page.evaluate(&format!(
            "window.asked = false;
             StorageManager.prototype.persist = async () => {{ window.asked = true; return {answer}; }};
             null"
        ));
    };
    let tiny: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/model/tiny.safetensors");
    let page = stage.open();
    answers(&page, false);
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| rows(page) == shipped());
    assert_eq!(page.evaluate("window.asked"), false, "asked for nothing");
    page.choose_files("pack-input", &[tiny]);
    page.wait_until("the pack", PATIENCE, &|page| rows(page) == shipped() + 1);
    page.wait_until("a warning", PATIENCE, &|page| page.has("models-fleeting"));
    page.press("Escape");
    page.wait_until("the list to close", PATIENCE, &|page| !page.has("models"));

    answers(&page, true);
    page.click("models-button");
    page.wait_until("the question", PATIENCE, &|page| page.evaluate("window.asked") == true);
    page.wait_until("the list", PATIENCE, &|page| rows(page) == shipped() + 1);
    assert!(!page.has("models-fleeting"), "a browser that keeps them is said to delete them");
    // The cases after this one share the browser.
    page.click("model-delete");
    page.wait_until("the pack to be gone", PATIENCE, &|page| rows(page) == shipped());
    assert_content(&page);
}
