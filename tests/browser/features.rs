//! The encoder's features: colours, places that look alike, a segmentation taught with a brush in one and in two
//! scans, a classifier taught with labels of whole scans.

use std::fs;
use std::path::Path;
use std::time::Duration;

use prism_core::model::{HeadConfig, Pack, Prism};
use prism_core::pipeline::Device;
use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;

use crate::reading::{assert_content, pane};

/// How long the encoder, or a fit, may take on two shared cores.
const TIMEOUT: Duration = Duration::from_secs(240);

fn open_small<'stage>(stage: &'stage Stage) -> Page<'stage> {
    let page = stage.open();
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-features");
    page
}

/// Numbers of an attribute.
fn numbers(page: &Page<'_>, hook: &str, name: &str) -> Vec<f64> {
    page.attribute(hook, name).split(',').filter_map(|number| number.parse().ok()).collect()
}

pub fn features_are_seen_as_colours_and_a_click_finds_what_looks_alike(stage: &Stage) {
    let page = open_small(stage);
    let grey = page.colour_shown(&pane("axial"));
    page.click("features-colours");
    page.wait_until("the colours", TIMEOUT, &|page| page.has("features-explained"));
    for plane in ["axial", "coronal", "sagittal"] {
        page.wait_until("coloured planes", PATIENCE, &|page| {
            page.colour_shown(&pane(plane)) > grey + 20.0
        });
    }
    page.click("features-similar");
    page.wait_until("a first answer", TIMEOUT, &|page| page.has("similar-found"));
    let before = page.attribute("similar-found", "data-mm");
    page.click_at(&pane("axial"), [0.42, 0.4]);
    page.wait_until("another place", TIMEOUT, &|page| {
        let place = page.attribute("similar-found", "data-mm");
        !place.is_empty() && place != before
    });
    // The mouse rests where it clicked.
    let clicked = numbers(&page, "cursor-readout", "data-mm");
    page.wait_until("the place that was clicked", TIMEOUT, &|page| {
        let found = numbers(page, "similar-found", "data-mm");
        let squares = found.iter().zip(&clicked).map(|(a, b)| (a - b).powi(2));
        found.len() == 3 && squares.sum::<f64>().sqrt() < 6.0
    });
    let score = numbers(&page, "similar-found", "data-score");
    // Not 1: the levels are compared between their voxels, too.
    assert!(score[0] > 0.5 && score[0] <= 1.001, "{score:?}");
    page.click("features-off");
    page.wait_until("a grey plane again", PATIENCE, &|page| {
        page.colour_shown(&pane("axial")) < grey + 5.0
    });
    assert_content(&page);
}

pub fn a_few_strokes_teach_a_segmentation(stage: &Stage) {
    let page = open_small(stage);
    page.click("features-paint");
    let paint = |class: &str, place: [f64; 2]| {
        page.click(class);
        page.click_at(&pane("axial"), place);
    };
    for place in [[0.3, 0.3], [0.7, 0.3], [0.3, 0.7], [0.7, 0.7]] {
        paint("teach-class-1", place);
    }
    paint("teach-class-2", [0.45, 0.45]);
    paint("teach-class-2", [0.55, 0.55]);
    // One too many, at the crosshair, taken back.
    page.click("teach-here");
    page.click("teach-undo");
    page.click("teach-fit");
    page.wait_until("scores", TIMEOUT, &|page| page.has("teach-scores"));
    let folds = page.attribute("teach-scores", "data-folds");
    assert!(folds.parse::<u32>().is_ok_and(|folds| folds >= 2), "{folds} folds");
    assert!(page.text("teach-scores").contains('%'), "{}", page.text("teach-scores"));

    let saved = page.download("teach-save");
    let pack = Pack::read(&saved.bytes).expect("a pack");
    let heads = &pack.info.architecture.heads;
    assert!(matches!(heads[..], [HeadConfig::LinearSegmentation { classes: 2, .. }]), "{heads:?}");
    Prism::load(&pack, &Device::flex()).expect("every tensor is used");

    page.click("teach-segment");
    page.wait_for_state("done", TIMEOUT);
    page.click("#tab-structures");
    let rows = page.evaluate(
        "document.querySelectorAll('[data-test=volumes-table] tr[data-structure]').length",
    );
    assert_eq!(rows, 1, "{}", page.text("#panel"));
    assert_content(&page);
}

/// Opens a scan in place of the one that is shown.
fn open_next(page: &Page<'_>, path: &Path) {
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    let stem = name.split('.').next().unwrap_or(name);
    page.choose_files("file-input", &[path.to_owned()]);
    page.wait_until("the next scan", TIMEOUT, &|page| {
        page.text("scan-title").contains(stem) && page.state() == "scan"
    });
}

pub fn painted_examples_are_kept_over_scans_and_dropped(stage: &Stage) {
    let page = open_small(stage);
    page.click("features-paint");
    for (class, place) in [
        ("teach-class-1", [0.3, 0.3]),
        ("teach-class-1", [0.7, 0.7]),
        ("teach-class-2", [0.45, 0.45]),
    ] {
        page.click(class);
        page.click_at(&pane("axial"), place);
    }
    // Never fitted, so the features are computed now, before the other scan is read.
    open_next(
        &page,
        &scans::changed(&stage.folder, "darker_t1w.nii.gz", |value| 0.5 * value.powf(0.9)),
    );
    page.wait_until("the examples of the first scan", TIMEOUT, &|page| page.has("teach-scan"));
    let count = |page: &Page<'_>| page.attribute("teach-scans", "data-scans");
    assert_eq!(count(&page), "1");
    assert!(page.text("teach-scan").contains("3 places"), "{}", page.text("teach-scan"));

    // Here without a mouse: one place of the class, then one of the background beside it.
    page.evaluate("document.querySelector('[data-pane=axial]').focus()");
    page.press("d");
    page.wait_until("two scans", PATIENCE, &|page| count(page) == "2");
    page.press("c");
    page.wait_until("the eraser", PATIENCE, &|page| {
        page.evaluate("document.querySelector('[data-test=teach-erase]').checked") == true
    });
    page.press("c");
    page.wait_until("the background", PATIENCE, &|page| {
        page.evaluate("document.querySelector('[data-test=teach-class-1]').checked") == true
    });
    (0..8).for_each(|_| page.press("ArrowLeft"));
    page.press("d");
    page.click("teach-fit");
    page.wait_until("scores", TIMEOUT, &|page| page.has("teach-scores"));
    assert_eq!(page.attribute("teach-scores", "data-left-out"), "scans");
    assert_eq!(page.attribute("teach-scores", "data-folds"), "2");
    assert!(page.text("teach-scores").contains("2 scans"), "{}", page.text("teach-scores"));

    // The first row is the earlier scan.
    page.click("teach-drop");
    page.wait_until("one scan", PATIENCE, &|page| count(page) == "1");
    page.click("teach-fit");
    page.wait_until("scores of places", TIMEOUT, &|page| {
        page.attribute("teach-scores", "data-left-out") == "places"
    });
    assert_content(&page);
}

pub fn labelled_scans_make_a_classifier_that_the_command_reads(stage: &Stage) {
    let inverted = |value: f32| if value > 20.0 { (300.0 - value).max(1.0) } else { value };
    let folder = &stage.folder;
    let examples = [
        (scans::small(folder), "plain"),
        (scans::changed(folder, "inverted_one.nii.gz", inverted), "inverted"),
        (scans::changed(folder, "plain_two.nii.gz", |value| value.powf(0.9)), "plain"),
        (scans::changed(folder, "inverted_two.nii.gz", |v| inverted(v).powf(0.9)), "inverted"),
    ];
    let page = open_small(stage);
    page.click("features-label");
    let rows = "document.querySelectorAll('[data-test=label-scan]').length";
    for (at, (path, label)) in examples.iter().enumerate() {
        if at > 0 {
            open_next(&page, path);
        }
        page.choose("label-name", label);
        page.click("label-add");
        page.wait_until("the label", TIMEOUT, &|page| page.evaluate(rows) == at + 1);
        if at == 2 {
            assert!(!page.has("label-scores"), "fitted with one scan of a label");
            assert!(
                page.text("label-waiting").contains("inverted"),
                "{}",
                page.text("label-waiting")
            );
        }
    }
    page.wait_until("the score", TIMEOUT, &|page| page.has("label-scores"));
    let words = page.text("label-scores");
    assert!(words.contains("of 4 scans recognised when left out"), "{words}");
    assert!(words.contains("95 % interval") && words.contains("would score 0.50"), "{words}");
    assert!(!page.attribute("label-scores", "data-inputs").is_empty());
    page.wait_until("an answer", TIMEOUT, &|page| page.has("label-answer"));

    let new = scans::changed(folder, "another.nii.gz", |value| inverted(value).powf(0.95));
    open_next(&page, &new);
    page.wait_until("an answer for the new scan", TIMEOUT, &|page| {
        page.attribute("label-answer", "data-given") == "inverted"
    });
    let said = numbers(&page, "label-answer", "data-probability");

    let head = folder.join("classifier.safetensors");
    fs::write(&head, page.download("label-save").bytes).expect("the head");
    let command = stage.classify_by_command(&new, &head);
    assert_eq!(command[0]["given"], "inverted");
    let share = command[0]["probabilities"][0][1].as_f64().expect("a probability");
    assert!((share - said[0]).abs() < 2e-3, "command {share}, page {said:?}");

    // Another visit: the file is enough.
    page.reload();
    page.wait_for_state("empty", PATIENCE);
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[new]);
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-features");
    page.click("features-label");
    page.drop_files("#planes", &[head]);
    page.wait_until("the same answer", TIMEOUT, &|page| {
        page.attribute("label-answer", "data-given") == "inverted"
    });
    assert_eq!(numbers(&page, "label-answer", "data-probability"), said);
    assert!(page.text("label-scores").contains("of 4 scans"), "{}", page.text("label-scores"));
    assert_content(&page);
}
