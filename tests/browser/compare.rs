//! A second scan: aligned, laid over the planes, cancelled; an atlas; one person at two times.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prism_core::formats::nifti::write_volume;
use prism_core::registration::itk;
use prism_core::volume::Volume;
use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;
use xtask::project;

use crate::models::{rows, shipped};
use crate::reading::{assert_content, open_sample, pane};

/// How long an alignment of two small scans may take on two shared cores.
const TIMEOUT: Duration = Duration::from_secs(240);

/// How long many segmentations of two small scans may take there.
const LONG: Duration = Duration::from_secs(600);

/// The atlas beside the page.
const ATLAS: &str = "atlas/mni152_t1_2mm.nii.gz";

/// The small scan, its header 6 mm further to the right: the same head, moved.
fn moved(folder: &Path) -> PathBuf {
    let path = scans::small(folder);
    let mut volume: Volume = scans::read("small", &fs::read(path).expect("the small scan"));
    volume.affine.0[0][3] += 6.0;
    let path = folder.join("small_moved.nii.gz");
    fs::write(&path, write_volume(&volume).expect("a NIfTI file")).expect("writing the moved scan");
    path
}

/// The page with its first model, by which the command aligns, too. The browser remembers the choice, and cases
/// before this one choose others: a heart that is opened chooses the model that fits it.
fn open_page<'stage>(stage: &'stage Stage) -> Page<'stage> {
    let page = stage.open();
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| rows(page) >= shipped());
    page.click(".model:first-child input");
    page.wait_until("the first model", PATIENCE, &|page| page.has(".model.chosen:first-child"));
    page.press("Escape");
    page.wait_until("the list to close", PATIENCE, &|page| !page.has("models"));
    page
}

fn open_small<'stage>(stage: &'stage Stage) -> Page<'stage> {
    let page = open_page(stage);
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-compare");
    page
}

pub fn a_second_scan_is_aligned_and_laid_over_the_first(stage: &Stage) {
    let page = open_small(stage);
    page.choose("compare-kind", "rigid");
    page.choose_files("compare-input", &[moved(&stage.folder)]);
    page.wait_until("the alignment", TIMEOUT, &|page| page.has("compare-outcome"));
    // Nothing but a shift: what is left of the difference is rounding.
    let left: f64 = page.attribute("compare-outcome", "data-after").parse().expect("a number");
    assert!(left < 0.05, "{left}");
    assert_eq!(page.attribute("compare", "data-mode"), "blend");
    for mode in ["checkerboard", "flicker", "cells", "off"] {
        page.click(&format!("compare-{mode}"));
        page.wait_until("another way to see it", PATIENCE, &|page| {
            page.attribute("compare", "data-mode") == mode && page.text("compare-busy").is_empty()
        });
        if mode == "cells" {
            page.wait_until("tinted cubes", PATIENCE, &|page| {
                page.colour_shown(&pane("axial")) > 5.0
            });
        }
    }
    assert_content(&page);
}

pub fn an_alignment_is_saved_as_the_command_line_writes_it(stage: &Stage) {
    let page = open_small(stage);
    page.choose("compare-kind", "affine");
    let moving = moved(&stage.folder);
    page.choose_files("compare-input", std::slice::from_ref(&moving));
    page.wait_until("the alignment", TIMEOUT, &|page| page.has("compare-outcome"));
    page.click("compare-files");
    let fixed = scans::small(&stage.folder);
    let expected = itk::read_affine(&stage.register_by_command(&moving, &fixed));
    let expected = expected.expect("an affine map");
    let text = String::from_utf8(page.download("compare-save-affine").bytes).expect("text");
    let found = itk::read_affine(&text).expect("an affine map");
    let head: Volume = scans::read("small", &fs::read(&fixed).expect("the small scan"));
    for corner in 0..8 {
        let side = |axis: usize| (corner >> axis & 1) as f64 * (head.dims[axis] as f64 - 1.0);
        let point = head.affine.apply([side(0), side(1), side(2)]);
        let pairs = found.apply(point).into_iter().zip(expected.apply(point));
        for (found, expected) in pairs {
            assert!((found - expected).abs() < 0.2, "{found} where the command has {expected}");
        }
    }
    let warped: Volume = scans::read("warped", &page.download("compare-save-warped").bytes);
    assert_eq!(warped.dims, head.dims);
    // The same head: what was moved lies on it again.
    let mean = |values: &mut dyn Iterator<Item = f32>| values.sum::<f32>() / head.data.len() as f32;
    let level = mean(&mut head.data.iter().copied());
    let away = mean(&mut head.data.iter().zip(&warped.data).map(|(a, b)| (a - b).abs()));
    assert!(away < 0.1 * level, "{away} of {level}");
    for (hook, gzip) in
        [("compare-save-field", [0x1f, 0x8b]), ("compare-save-labels", [0x1f, 0x8b])]
    {
        assert_eq!(page.download(hook).bytes[..2], gzip, "{hook}");
    }
    assert_content(&page);
}

pub fn an_alignment_is_cancelled_and_the_scan_stays(stage: &Stage) {
    let page = open_small(stage);
    page.choose_files("compare-input", &[moved(&stage.folder)]);
    page.wait_until("the work to begin", TIMEOUT, &|page| page.has("compare-cancel"));
    page.wait_until("a first step", TIMEOUT, &|page| page.text("compare-busy").contains(" of "));
    page.click("compare-cancel");
    page.wait_until("the end of it", PATIENCE, &|page| !page.has("compare-cancel"));
    assert!(!page.has("compare-outcome"));
    assert_eq!(page.state(), "scan");
    assert_content(&page);
}

fn numbers(text: &str) -> Vec<f64> {
    text.split(',').map(|part| part.parse().expect("a number")).collect()
}

/// The words in an element and in the drawings inside it.
fn words(page: &Page<'_>, hook: &str) -> String {
    let text = format!("document.querySelector('[data-test={hook}]')?.textContent ?? ''");
    page.evaluate(&text).as_str().unwrap_or_default().to_owned()
}

pub fn the_cursor_reads_mni_coordinates_as_the_command_line_finds_them(stage: &Stage) {
    let page = open_page(stage);
    page.wait_until("every file to be kept", Duration::from_secs(180), &|page| {
        page.attribute("privacy", "data-offline") == "true"
    });
    page.choose("device-choice", "cpu");
    open_sample(&page);
    page.click("#tab-compare");
    let fetched =
        format!("performance.getEntriesByType('resource').some(e => e.name.endsWith('{ATLAS}'))");
    assert_eq!(page.evaluate(&fetched), false, "fetched before it was wanted");
    page.choose("compare-kind", "affine");
    page.click("compare-atlas");
    page.wait_until("the alignment", LONG, &|page| page.has("compare-outcome"));
    assert_eq!(page.evaluate(&fetched), true);
    let kept = format!("caches.match(new URL('./{ATLAS}', location)).then(r => r !== undefined)");
    assert_eq!(page.evaluate(&kept), true, "the atlas is kept for use without a network");
    // Nobody's later scan: no change to measure.
    assert!(!page.has("compare-measure"));

    assert_eq!(page.attribute("standard-readout", "data-way"), "affine");
    let world = numbers(&page.attribute("cursor-readout", "data-mm"));
    let found = numbers(&page.attribute("standard-readout", "data-mm"));
    let atlas = project::root().join("public").join(ATLAS);
    let map = itk::read_affine(&stage.register_by_command(&atlas, &scans::sample()));
    let expected = map.expect("an affine map").apply([world[0], world[1], world[2]]);
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 0.5, "{found} where the command line has {expected}");
    }
    assert_content(&page);
}

pub fn a_map_of_local_change_comes_with_its_scale(stage: &Stage) {
    let page = open_small(stage);
    page.choose("compare-kind", "rigid");
    page.choose_files("compare-input", &[moved(&stage.folder)]);
    page.wait_until("the alignment", TIMEOUT, &|page| page.has("compare-outcome"));
    let note = page.text("compare-note");
    assert!(note.contains("Brain, any contrast"), "aligned by another model: {note:?}");
    // The map of local change is computed when it is wanted; it comes with its scale.
    page.click("compare-change");
    page.wait_until("the work to begin", PATIENCE, &|page| page.has("compare-cancel"));
    page.wait_until("the map", LONG, &|page| page.text("compare-busy").is_empty());
    assert_eq!(page.attribute("compare", "data-mode"), "change", "{}", page.texts("notice"));
    assert!(words(&page, "compare-legend").contains("has no colour"));
    let map: Volume = scans::read("map", &page.download("compare-save-local").bytes);
    // The map is the same in every run: the same voxels, one thread, no clock. Nothing changed, so nothing doubled.
    let (least, most) =
        map.data.iter().fold((f32::MAX, 0.0_f32), |(a, b), &factor| (a.min(factor), b.max(factor)));
    println!("  local change from {least:.3} to {most:.3}");
    assert!(least > 0.5 && most < 2.0, "{least} to {most}");
    page.click("compare-off");
    assert_content(&page);
}

pub fn a_scan_against_itself_shows_no_change_and_no_new_lesion(stage: &Stage) {
    let page = open_small(stage);
    page.choose("compare-kind", "rigid");
    page.choose_files("compare-input", &[moved(&stage.folder)]);
    page.wait_until("the alignment", TIMEOUT, &|page| page.has("compare-outcome"));
    page.click("compare-measure");
    page.wait_until("the changes", LONG, &|page| page.has("compare-timeline"));
    let rows = |which: &str| {
        page.evaluate(&format!(
            "document.querySelectorAll('[data-test=compare-timeline] .course{which}').length"
        ))
    };
    assert!(rows("").as_u64().is_some_and(|rows| rows > 0), "nothing is drawn");
    assert_eq!(rows("[data-changed=true]"), 0, "{}", words(&page, "compare-timeline"));
    assert!(words(&page, "compare-timeline").contains("no change outside"));
    assert!(words(&page, "compare-timeline").contains("first scan"));

    page.choose("compare-date-0", "2019-03-07");
    page.choose("compare-date-1", "2024-02-29");
    // 1820 days.
    page.wait_until("the years between", PATIENCE, &|page| {
        words(page, "compare-timeline").contains("4.98 years")
    });
    let saved = page.download("compare-save-timeline");
    let svg = String::from_utf8(saved.bytes).expect("text");
    assert!(svg.starts_with("<svg") && svg.contains("2024-02-29"), "{svg:.300}");
    let csv = String::from_utf8(page.download("compare-save-change").bytes).expect("text");
    assert!(csv.starts_with("id,structure,") && csv.contains("interval_percent_a_year"), "{csv}");
    assert!(csv.lines().skip(1).all(|line| line.ends_with("false")), "{csv}");

    page.choose("compare-date-1", "2018-02-28");
    page.wait_until("the wrong order to be said", PATIENCE, &|page| {
        page.text("compare-span").contains("older")
    });
    // Growth and shrinkage would be told the wrong way round.
    assert!(!page.has("compare-timeline") && !page.has("compare-lesions"));
    page.choose("compare-date-1", "2024-02-29");
    page.wait_until("the changes again", PATIENCE, &|page| page.has("compare-timeline"));

    page.click("compare-lesions");
    page.wait_until("the lesions", LONG, &|page| page.has("compare-lesion-words"));
    assert!(page.text("compare-lesion-words").contains("none changed"));
    assert!(!page.has("compare-lesion-table"));
    let mask: Volume = scans::read("mask", &page.download("compare-save-lesions").bytes);
    assert!(mask.data.iter().all(|&value| value == 0.0));
    assert_content(&page);
}
