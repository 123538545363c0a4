//! A second scan: aligned, laid over the planes, cancelled; an atlas; one person at two times.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use prism_core::follow_up::change::LIMITS;
use prism_core::formats::nifti::write_volume;
use prism_core::registration::itk;
use prism_core::volume::Volume;
use prism_tests::compare::agreement;
use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;
use serde_json::Value;
use xtask::project;

use crate::models::{rows, shipped};
use crate::reading::{assert_content, open_sample, pane};
use crate::viewer::read_at;

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

/// The small scan bent by up to 7 mm along x, over a wave of 80 mm along y.
fn bent(folder: &Path) -> PathBuf {
    let mut volume: Volume =
        scans::read("small", &fs::read(scans::small(folder)).expect("the small scan"));
    let [nx, ny, _] = volume.dims;
    for (at, row) in volume.data.chunks_exact_mut(nx).enumerate() {
        // Voxels of 2 mm.
        let shift = 3.5 * (2.0 * (at % ny) as f32 / 80.0 * core::f32::consts::TAU).sin();
        let before = row.to_vec();
        for (x, value) in row.iter_mut().enumerate() {
            let from = (x as f32 + shift).clamp(0.0, nx as f32 - 1.0);
            let (low, part) = (from as usize, from.fract());
            *value = (1.0 - part) * before[low] + part * before[(low + 1).min(nx - 1)];
        }
    }
    let path = folder.join("small_bent.nii.gz");
    fs::write(&path, write_volume(&volume).expect("a NIfTI file")).expect("writing the bent scan");
    path
}

/// Runs the command line, which has to succeed.
fn prism(arguments: &[&str]) {
    let own = env::current_exe().expect("the test's own path");
    let program = own.ancestors().nth(2).expect("the build folder").join("prism");
    let output = Command::new(program).args(arguments).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A path as an argument.
fn argument(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Places in the axial plane of the small scan, as shares of the pane, with their points in millimetres; none on
/// the crosshair, nor within `margin` of a border between cubes of `side` millimetres.
fn places(page: &Page<'_>, side: f64, margin: f64) -> Vec<([f64; 2], [f64; 3])> {
    let [(first, _), (second, _)] = [[0.4, 0.4], [0.6, 0.6]].map(|at| read_at(page, "axial", at));
    let small = 96.0;
    let mut found = Vec::new();
    for step in 0..25 * 25 {
        let at = [step % 25, step / 25].map(|step| 0.14 + 0.03 * f64::from(step));
        // Along x the pane goes across, along y down.
        let mut point = [0.0, 0.0, first[2]];
        for axis in 0..2 {
            let share = (at[axis] - 0.4) / 0.2;
            point[axis] = first[axis] + share * (second[axis] - first[axis]);
        }
        let middle = [0, 1].map(|axis| 0.5 * (first[axis] + second[axis]));
        let clear = (0..2).all(|axis| {
            let beyond = (point[axis] - middle[axis]).abs();
            let from = point[axis].rem_euclid(side);
            beyond > 3.0 && beyond < 0.5 * small - 6.0 && from > margin && from < side - margin
        });
        if clear {
            found.push((at, point));
        }
    }
    found
}

/// Whether a point lies in one of every other cube, counted from the world's origin.
fn odd(point: [f64; 3], side: f64) -> bool {
    let sum: f64 = point.iter().map(|v| (v / side).floor()).sum();
    sum.rem_euclid(2.0) >= 1.0
}

/// Waits until the second scan is shown in another way.
fn show(page: &Page<'_>, mode: &str) {
    page.click(&format!("compare-{mode}"));
    page.wait_until("another way to see it", PATIENCE, &|page| {
        page.attribute("compare", "data-mode") == mode && page.text("compare-busy").is_empty()
    });
}

/// How many places show another tint than a straight grid of 10 mm, and how many were looked at.
fn bends(page: &Page<'_>) -> (usize, usize) {
    let places = places(page, 10.0, 1.5);
    let few: Vec<_> = places.iter().step_by((places.len() / 40).max(1)).collect();
    assert!(few.len() >= 20, "{} places", few.len());
    let other = few
        .iter()
        .filter(|(at, point)| (page.colour_at(&pane("axial"), *at) > 30.0) != odd(*point, 10.0));
    (other.count(), few.len())
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
    show(&page, "cells");
    page.wait_until("tinted cubes", PATIENCE, &|page| page.colour_shown(&pane("axial")) > 5.0);
    // Turned and shifted, nothing is bent.
    let (other, all) = bends(&page);
    assert!(20 * other <= all, "{other} of {all}");
    show(&page, "off");
    assert_content(&page);
}

pub fn checkers_and_flicker_show_both_scans(stage: &Stage) {
    const CUBE: f64 = 24.0;
    let page = open_small(stage);
    let inverted = scans::changed(&stage.folder, "small_inverted.nii.gz", |value| {
        if value > 0.0 { (400.0 - value).max(1.0) } else { 0.0 }
    });
    page.choose("compare-kind", "rigid");
    page.choose_files("compare-input", &[inverted]);
    page.wait_until("the alignment", TIMEOUT, &|page| page.has("compare-outcome"));
    let places = places(&page, CUBE, 4.0);
    let places: Vec<_> = places.iter().step_by((places.len() / 40).max(1)).collect();
    let greys = |page: &Page<'_>| -> Vec<f64> {
        places.iter().map(|(at, _)| page.grey_at(&pane("axial"), *at)).collect()
    };
    page.choose("compare-blend-slider", "100");
    let second = greys(&page);
    show(&page, "off");
    let first = greys(&page);
    let differ: Vec<usize> =
        (0..places.len()).filter(|&at| (first[at] - second[at]).abs() > 60.0).collect();
    let of_second = |&&at: &&usize| odd(places[at].1, CUBE);
    let second_scan = differ.iter().filter(of_second).count();
    assert!(second_scan >= 3 && differ.len() - second_scan >= 3, "{first:?} {second:?}");
    show(&page, "checkerboard");
    page.wait_until("cubes of both scans", PATIENCE, &|page| {
        let shown = greys(page);
        let as_expected = |&&at: &&usize| {
            let nearer = (shown[at] - second[at]).abs() < (shown[at] - first[at]).abs();
            nearer == odd(places[at].1, CUBE)
        };
        20 * differ.iter().filter(as_expected).count() >= 19 * differ.len()
    });
    show(&page, "flicker");
    let at = differ[0];
    for wanted in [&second, &first, &second] {
        page.wait_until("the other scan", PATIENCE, &|page| {
            (page.grey_at(&pane("axial"), places[at].0) - wanted[at]).abs() < 25.0
        });
    }
    show(&page, "off");
    assert_content(&page);
}

pub fn a_bent_scan_is_straightened_as_by_the_command_and_its_grid_is_bent(stage: &Stage) {
    let page = open_small(stage);
    let moving = bent(&stage.folder);
    page.choose("compare-kind", "deformable");
    page.choose_files("compare-input", std::slice::from_ref(&moving));
    page.wait_until("the alignment", LONG, &|page| page.has("compare-outcome"));
    let number =
        |name: &str| -> f64 { page.attribute("compare-outcome", name).parse().expect("a number") };
    let [before, after, folded] = ["data-before", "data-after", "data-folded"].map(number);
    let [fixed, warped, said] =
        ["small_t1w.nii.gz", "command_straight.nii.gz", "command_straight.json"]
            .map(|name| stage.folder.join(name));
    let scans = ["register", argument(&moving), argument(&fixed), "--output", argument(&warped)];
    prism(&[scans.as_slice(), &["--device", "cpu", "--json", argument(&said)]].concat());
    let said: Value = serde_json::from_slice(&fs::read(&said).expect("a file")).expect("JSON");
    let expected = [&said["differences"][0], &said["differences"][1], &said["folded"]]
        .map(|value| value.as_f64().expect("a number"));
    println!("  {before} {after} {folded}, the command {expected:?}");
    assert!((before - expected[0]).abs() < 0.05 * expected[0], "{before} {expected:?}");
    assert!((after - expected[1]).abs() < 0.05 * expected[0], "{after} {expected:?}");
    assert!((folded - expected[2]).abs() < 0.002 && folded < 0.01, "{folded} {expected:?}");
    assert!(after < 0.9 * before, "{before} {after}");
    show(&page, "cells");
    page.wait_until("tinted cubes", PATIENCE, &|page| page.colour_shown(&pane("axial")) > 5.0);
    let (other, all) = bends(&page);
    assert!(10 * other >= all, "{other} of {all}");
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
    assert_eq!(page.download("compare-save-field").bytes[..2], [0x1f, 0x8b]);
    // Its structures, carried by the page and by the command.
    let found: Volume = scans::read("carried", &page.download("compare-save-labels").bytes);
    let [labels, carried, out] =
        ["moved_labels.nii.gz", "command_carried.nii.gz", "command_moved.nii.gz"]
            .map(|name| stage.folder.join(name));
    fs::write(&labels, stage.segment_by_command(&moving)).expect("writing the labels");
    let how = ["--kind", "affine", "--device", "cpu", "--output", argument(&out)];
    let labels = ["--labels", argument(&labels), "--labels-out", argument(&carried)];
    prism(&[["register", argument(&moving), argument(&fixed)].as_slice(), &how, &labels].concat());
    let expected = scans::read("carried", &fs::read(&carried).expect("the carried labels"));
    let agreement = agreement(&found, &expected);
    assert!(agreement.structures > 3 && agreement.overall > 0.97, "{agreement:?}");
    assert_content(&page);
}

pub fn an_alignment_is_cancelled_and_the_scan_stays(stage: &Stage) {
    let page = open_small(stage);
    page.choose("compare-kind", "deformable");
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
    // Nobody asked what it shows.
    assert!(page.text("compare-atlas-note").contains("not known"));
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

pub fn a_scan_against_itself_shows_no_change_and_t1w_no_search_for_lesions(stage: &Stage) {
    let page = open_small(stage);
    // As the page has it: change needs no more.
    let kind = page.evaluate("document.querySelector('[data-test=compare-kind]').value");
    assert_eq!(kind, "rigid");
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
    assert!(words(&page, "compare-limits").contains(LIMITS));

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
    // New lesions are dark in it: nothing is said of them.
    page.wait_until("the refusal", LONG, &|page| page.texts("notice").contains("dark in T1w"));
    assert!(!page.has("compare-lesion-words") && !page.has("compare-save-lesions"));
    assert_content(&page);
}
