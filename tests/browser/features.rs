//! The encoder's features: colours, places that look alike in one and in two scans, a segmentation taught with a brush
//! in one and in two scans, a classifier taught with labels of whole scans; the same of an encoder of others.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prism_core::formats::nifti::write_volume;
use prism_core::model::{HeadConfig, Pack, Prism};
use prism_core::pipeline::Device;
use prism_core::volume::{Volume, offset};
use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;

use crate::models::{rows, shipped};
use crate::reading::{assert_content, pane};

/// How long the encoder, or a fit, may take on two shared cores.
const TIMEOUT: Duration = Duration::from_secs(240);

fn open_small<'stage>(stage: &'stage Stage) -> Page<'stage> {
    open(stage, &scans::small(&stage.folder))
}

fn open<'stage>(stage: &'stage Stage, scan: &Path) -> Page<'stage> {
    let page = stage.open();
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scan.to_owned()]);
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

/// Waits until the worker is at no question about features.
fn wait_for_rest(page: &Page<'_>) {
    page.wait_until("no open question", TIMEOUT, &|page| page.text("features-busy").is_empty());
}

/// The small scan with other grey values, elsewhere in the world by so many millimetres.
fn moved(folder: &Path, name: &str, by_mm: [f64; 3]) -> PathBuf {
    let path = scans::changed(folder, name, |value| 0.5 * value.powf(0.95));
    let mut volume = scans::read(name, &fs::read(&path).expect("the changed scan"));
    for (row, mm) in volume.affine.0.iter_mut().zip(by_mm) {
        row[3] += mm;
    }
    fs::write(&path, write_volume(&volume).expect("a NIfTI file")).expect("writing the scan");
    path
}

pub fn a_place_that_is_kept_is_found_in_another_scan(stage: &Stage) {
    let page = open_small(stage);
    page.click("features-similar");
    page.wait_until("a first answer", TIMEOUT, &|page| page.has("similar-found"));
    assert!(!page.has("similar-kept"), "no place is kept yet");
    let first = page.attribute("similar-found", "data-mm");
    page.click_at(&pane("axial"), [0.42, 0.4]);
    page.wait_until("another place", TIMEOUT, &|page| {
        let place = page.attribute("similar-found", "data-mm");
        !place.is_empty() && place != first
    });
    // The mouse rests where it clicked.
    let clicked = numbers(&page, "cursor-readout", "data-mm");
    wait_for_rest(&page);
    page.click("similar-keep");
    page.wait_until("the place to be kept", PATIENCE, &|page| page.has("similar-kept"));

    let by_mm = [12.0, -8.0, 10.0];
    open_next(&page, &moved(&stage.folder, "moved_t1w.nii.gz", by_mm));
    page.wait_until("an answer in the other scan", TIMEOUT, &|page| page.has("similar-found"));
    assert!(page.text("similar-found").contains("the crosshair"), "{}", page.text("similar-found"));
    wait_for_rest(&page);
    page.click("similar-kept");
    page.wait_until("the kept place", TIMEOUT, &|page| {
        page.text("similar-found").contains("the kept place")
    });
    let found = numbers(&page, "similar-found", "data-mm");
    let expected: Vec<f64> = clicked.iter().zip(by_mm).map(|(mm, by)| mm + by).collect();
    let squares = found.iter().zip(&expected).map(|(a, b)| (a - b).powi(2));
    let distance = squares.sum::<f64>().sqrt();
    println!("  found {distance:.1} mm from where it lies");
    assert!(found.len() == 3 && distance < 8.0, "{found:?}, not {expected:?}");
    let score = numbers(&page, "similar-found", "data-score");
    assert!(score[0] > 0.5 && score[0] <= 1.001, "{score:?}");
    assert_content(&page);
}

/// A cube of 64 mm out of the middle of the sample's brain, its voxels as they are.
fn middle(folder: &Path) -> PathBuf {
    const SIDE: usize = 64;
    const CORNER: [usize; 3] = [56, 72, 78];
    let sample = scans::read("sample", &fs::read(scans::sample()).expect("the sample scan"));
    let mut data = Vec::with_capacity(SIDE * SIDE * SIDE);
    for z in 0..SIDE {
        for y in 0..SIDE {
            let from = offset(sample.dims, [CORNER[0], CORNER[1] + y, CORNER[2] + z]);
            data.extend_from_slice(&sample.data[from..from + SIDE]);
        }
    }
    let affine = sample.affine.rescaled([1.0; 3], CORNER.map(|corner| corner as f64));
    let volume = Volume::new(data, [SIDE; 3], affine).expect("a volume");
    let path = folder.join("middle_t1w.nii.gz");
    fs::write(&path, write_volume(&volume).expect("a NIfTI file")).expect("writing the scan");
    path
}

pub fn an_imported_encoder_is_seen_searched_and_taught(stage: &Stage) {
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/convert/flat.pt");
    let arch = "swin:dim=2,depths=1-2-1-1,heads=1-2-2-4,window=2";
    let pack = stage.convert_by_command(&checkpoint, arch, &[]);
    let imported = Pack::read(&fs::read(&pack).expect("the pack")).expect("a pack").info;
    // Voxels of the network's size: a slice's middle is then a voxel's, and no border between two.
    let scan = middle(&stage.folder);
    let page = open(stage, &scan);
    page.drop_files("#planes", std::slice::from_ref(&pack));
    page.wait_until("the list with the pack", PATIENCE, &|page| rows(page) == shipped() + 1);
    page.press("Escape");
    page.wait_until("the list to close", PATIENCE, &|page| !page.has("models"));

    let grey = page.colour_shown(&pane("axial"));
    page.click("features-colours");
    page.wait_until("the colours", TIMEOUT, &|page| page.has("features-explained"));
    page.wait_until("a coloured plane", PATIENCE, &|page| {
        page.colour_shown(&pane("axial")) > grey + 10.0
    });

    // What is fitted below keeps this encoder, although that of the page's own pack runs in between.
    page.click("#tab-scan");
    page.click("identify");
    page.wait_until("what the image shows", TIMEOUT, &|page| page.has("identified"));
    page.click("#tab-features");

    page.click("features-similar");
    page.wait_until("a first answer", TIMEOUT, &|page| page.has("similar-found"));
    page.click_at(&pane("axial"), [0.42, 0.41]);
    let place = page.attribute("cursor-readout", "data-mm");
    wait_for_rest(&page);
    let score = numbers(&page, "similar-found", "data-score");
    let command = stage.similarity_by_command(&scan, &pack, &place);
    let theirs = command[0]["score"].as_f64().expect("a number");
    println!("  most similar: {score:?} in the page, {theirs} by the command");
    assert!((score[0] - theirs).abs() < 5e-3, "page {score:?}, command {command}");

    page.click("features-paint");
    for (class, place) in [
        ("teach-class-1", [0.3, 0.3]),
        ("teach-class-1", [0.7, 0.3]),
        ("teach-class-1", [0.3, 0.7]),
        ("teach-class-1", [0.7, 0.7]),
        ("teach-class-2", [0.42, 0.42]),
        ("teach-class-2", [0.58, 0.58]),
    ] {
        page.click(class);
        page.click_at(&pane("axial"), place);
    }
    page.click("teach-fit");
    page.wait_until("scores", TIMEOUT, &|page| page.has("teach-scores"));
    let folds = page.attribute("teach-scores", "data-folds");
    assert!(folds.parse::<u32>().is_ok_and(|folds| folds >= 2), "{folds} folds");
    // The head goes with the encoder, whose origin and licence stay with it.
    let saved = Pack::read(&page.download("teach-save").bytes).expect("a pack");
    assert_eq!(saved.info.architecture.encoder, imported.architecture.encoder);
    let heads = &saved.info.architecture.heads;
    assert!(matches!(heads[..], [HeadConfig::LinearSegmentation { classes: 2, .. }]), "{heads:?}");
    let origin = &saved.info.provenance["encoder"];
    assert_eq!(origin["sha256"], imported.sha256.as_str());
    assert_eq!(origin["provenance"]["data"][0]["licence"], "CC0-1.0");
    Prism::load(&saved, &Device::flex()).expect("every tensor is used");
    page.click("teach-segment");
    page.wait_for_state("done", TIMEOUT);

    page.click("models-button");
    page.click("model-delete");
    page.wait_until("the pack to be gone", PATIENCE, &|page| rows(page) == shipped());
    page.press("Escape");
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
