//! What the image shows: a scan that is opened is identified, and the pack that fits runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use prism_core::formats::nifti;
use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;
use serde_json::Value;

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

/// What `prism identify` or `prism estimate` says on the CPU, as JSON.
fn by_command(asked: &str, scan: &Path) -> Value {
    let own = env::current_exe().expect("the test's own path");
    let program = own.ancestors().nth(2).expect("the build folder").join("prism");
    let output = Command::new(program)
        .arg(asked)
        .arg(scan)
        .args(["--device", "cpu", "--json"])
        .output()
        .expect("the command line program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The small scan, wider by its header: as small as a whole head may be.
fn whole(folder: &Path) -> PathBuf {
    let small = fs::read(scans::small(folder)).expect("the small scan");
    let mut volume = scans::read("small", &small);
    volume.affine.0.iter_mut().for_each(|row| row[..3].iter_mut().for_each(|step| *step *= 1.06));
    let path = folder.join("whole_t1w.nii.gz");
    let bytes = nifti::write_volume(&volume).expect("a NIfTI file");
    fs::write(&path, bytes).expect("writing the wider scan");
    path
}

/// Sequence and probability of the page are those of the command.
fn assert_same_sequence(page: &Page<'_>, expected: &Value) {
    let sequence = page.attribute("identified", "data-sequence");
    assert_eq!(sequence, expected["sequence"]["given"].as_str().unwrap_or("unknown"));
    let by_file = page.attribute("identified", "data-sequence-by-file");
    assert_eq!(by_file, expected["sequence_by_file"].as_str().unwrap_or_default());
    let probability = page.attribute("identified", "data-sequence-probability");
    if sequence == "unknown" {
        assert_eq!(probability, "", "a probability of what is not known");
        return;
    }
    let found: f64 = probability.parse().expect("a probability");
    let theirs = expected["sequence"]["probabilities"][0][1].as_f64().expect("a probability");
    // The head on the pooled vectors gives .03 less.
    assert!((found - theirs).abs() < 2e-3, "{found} where the command has {theirs}");
}

/// Sex and probability of the page are those of the command, after a run on the page.
fn assert_same_sex(page: &Page<'_>, expected: &Value) {
    assert!(expected["sex"]["probabilities"].is_array(), "no sex was asked for: {expected}");
    let sex = page.attribute("estimates", "data-sex");
    let text = page.text("estimates");
    assert_eq!(sex, expected["sex"]["given"].as_str().unwrap_or("unknown"), "{text}");
    assert!(text.contains(&sex) && !text.contains("segment the scan first"), "{text}");
    if sex != "unknown" {
        let found = page.attribute("estimates", "data-sex-probability");
        let found: f64 = found.parse().expect("a probability");
        let theirs = expected["sex"]["probabilities"][0][1].as_f64().expect("a probability");
        assert!((found - theirs).abs() < 2e-2, "{found} where the command has {theirs}");
    }
}

pub fn a_head_is_identified_as_by_the_command(stage: &Stage) {
    let page = stage.open();
    let scan = whole(&stage.folder);
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", std::slice::from_ref(&scan));
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-scan");
    page.click("identify");
    page.wait_until("what the image shows", TIMEOUT, &|page| page.has("identified"));
    assert_same_sequence(&page, &by_command("identify", &scan));
    assert_eq!(page.attribute("identified", "data-sequence"), "T1w");
    let by_hand = page.text("started-by-hand");
    assert!(by_hand.contains("fit this scan"), "{by_hand}");
    // The sex needs the volumes of a run, which the command makes by itself.
    page.click("run-button");
    page.wait_for_state("done", TIMEOUT);
    page.click("#tab-scan");
    assert_same_sex(&page, &by_command("estimate", &scan));
    assert_content(&page);
}

pub fn a_scan_that_no_model_fits_says_why_and_what_its_file_contradicts(stage: &Stage) {
    const CASE: &str = "dicom_contradicts";
    let page = Page::open(&stage.browser, &stage.url, true);
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &scans::golden(CASE));
    page.wait_until("the notice", TIMEOUT, &|page| {
        let said = page.texts("notice");
        said.contains("No model fits this scan.") && said.contains("was not segmented")
    });
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-scan");
    page.wait_until("what the image shows", PATIENCE, &|page| page.has("identified"));
    let contradictions = page.text("contradictions");
    assert!(
        contradictions.contains("The file names the plane sagittal, the slices are axial."),
        "{contradictions}"
    );
    let expected = by_command("identify", &scans::study(&stage.folder, CASE));
    // The image shows no known sequence; the file names one.
    assert_eq!(expected["sequence_name"], "FLAIR (by the file)");
    assert_same_sequence(&page, &expected);
    let by_hand = page.text("started-by-hand");
    assert!(by_hand.contains("do not fit this scan"), "{by_hand}");
    assert_content(&page);
}
