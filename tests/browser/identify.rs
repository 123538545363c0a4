//! What the image shows: a scan that is opened is identified, and the pack that fits runs.

use std::time::Duration;

use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;

use crate::reading::assert_content;

/// How long encoder and segmentation may take on two shared cores.
const TIMEOUT: Duration = Duration::from_secs(600);

pub fn a_scan_that_is_opened_is_identified_and_the_pack_that_fits_runs(stage: &Stage) {
    let page = Page::open(&stage.browser, &stage.url, true);
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scans::sample()]);
    page.wait_for_state("done", TIMEOUT);
    page.click("#tab-scan");
    page.wait_until("what the image shows", PATIENCE, &|page| page.has("identified"));
    assert_eq!(page.attribute("identified", "data-body-part"), "head");
    assert_eq!(page.attribute("identified", "data-plane"), "3D (isotropic)");
    assert!(page.text("identified").contains("T1w"), "{}", page.text("identified"));
    let routes = page.text("routing");
    assert!(routes.contains("fits this scan"), "{routes}");
    assert!(routes.contains("it wants a crop"), "{routes}");
    // The sample has its skull; age and sex were learnt without.
    assert!(page.text("estimates").contains("skull"), "{}", page.text("estimates"));
    assert_content(&page);
}

pub fn a_scan_is_identified_when_asked(stage: &Stage) {
    let page = stage.open();
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-scan");
    page.click("identify");
    page.wait_until("what the image shows", TIMEOUT, &|page| page.has("identified"));
    // Nothing was segmented.
    page.wait_for_state("scan", PATIENCE);
    assert!(page.has("routing"));
    assert_content(&page);
}
