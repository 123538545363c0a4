//! The encoder's features: colours, places that look alike, a segmentation taught with a brush.

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
