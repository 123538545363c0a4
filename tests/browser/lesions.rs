//! Lesions: a further sequence is registered, the page's mask and map are the command's, and what is saved agrees with
//! the table. Nothing here asks whether what is marked is a lesion: the scores say that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prism_core::formats::nifti::write_volume;
use prism_core::volume::Volume;
use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;

use crate::reading::{assert_content, pane};

/// How long three networks over two small scans may take on two shared cores.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A ball of 20 mm in the white matter of the small scan: voxels of its middle, and the square of its radius.
const BALL: ([usize; 3], usize) = ([14, 24, 30], 25);

/// Paints a ball as bright as the brightest voxel.
fn paint(volume: &mut Volume) {
    let most = volume.data.iter().copied().fold(0.0, f32::max);
    let [nx, ny, _] = volume.dims;
    for (at, value) in volume.data.iter_mut().enumerate() {
        let voxel = [at % nx, at / nx % ny, at / (nx * ny)];
        let far: usize = (0..3).map(|k| voxel[k].abs_diff(BALL.0[k]).pow(2)).sum();
        if far < BALL.1 {
            *value = most;
        }
    }
}

/// The small scan with the ball, and the same as another sequence: grey for white, its header 6 mm further to the
/// right.
fn study(folder: &Path) -> [PathBuf; 2] {
    let small = scans::small(folder);
    let mut first: Volume = scans::read("small", &fs::read(small).expect("the small scan"));
    let mut other = first.clone();
    paint(&mut first);
    let most = other.data.iter().copied().fold(0.0, f32::max);
    other.data.iter_mut().filter(|value| **value > 0.05 * most).for_each(|v| *v = 1.1 * most - *v);
    other.affine.0[0][3] += 6.0;
    paint(&mut other);
    [("lesions_t1w.nii.gz", first), ("lesions_other.nii.gz", other)].map(|(name, volume)| {
        let path = folder.join(name);
        let bytes = write_volume(&volume).expect("a NIfTI file");
        fs::write(&path, bytes).expect("writing the scan");
        path
    })
}

fn open_first<'stage>(stage: &'stage Stage, scan: &Path) -> Page<'stage> {
    let page = stage.open();
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scan.to_owned()]);
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-lesions");
    page
}

fn sequences(page: &Page<'_>) -> u64 {
    let count = "document.querySelectorAll('[data-test=lesions-sequence]').length";
    page.evaluate(count).as_u64().unwrap_or_default()
}

/// Voxels of every label.
fn counts(volume: &Volume) -> BTreeMap<i32, usize> {
    let mut counts = BTreeMap::new();
    for value in volume.data.iter().filter(|value| **value != 0.0) {
        *counts.entry(value.round() as i32).or_default() += 1;
    }
    counts
}

pub fn lesions_of_two_sequences_are_those_of_the_command_and_every_file_agrees(stage: &Stage) {
    let [first, other] = study(&stage.folder);
    let page = open_first(stage, &first);
    // As of the study's own folder: the scan that is shown is among the files.
    page.choose_files("lesions-input", &[first.clone(), other.clone()]);
    page.wait_until("the sequence", TIMEOUT, &|page| sequences(page) == 1);
    assert!(!page.texts("notice").contains("the scan that is shown"));
    let moved: f64 = page.attribute("lesions-sequence", "data-moved").parse().expect("it moved");
    assert!((moved - 6.0).abs() < 1.0, "moved by {moved} mm");
    // Once more it would count twice.
    page.choose_files("lesions-input", std::slice::from_ref(&other));
    page.wait_until("a sentence", TIMEOUT, &|page| {
        page.texts("notice").contains("among the sequences already")
    });
    assert_eq!(sequences(&page), 1);
    // Nothing was looked for by itself.
    assert!(!page.has("lesions-found"));
    assert!(!page.text("lesions-caution").is_empty());

    page.click("lesions-find");
    page.wait_until("an answer", TIMEOUT, &|page| page.has("lesions-found"));
    let mask = page.download("lesions-mask");
    assert!(mask.name.ends_with("_lesions.nii.gz"), "{}", mask.name);
    let mask = scans::read(&mask.name, &mask.bytes);
    let expected = scans::read("command", &stage.lesions_by_command(&[&first, &other]));
    assert_eq!(mask.dims, expected.dims);
    let differ = mask.data.iter().zip(&expected.data).filter(|(a, b)| a != b).count();
    let called: usize = counts(&expected).values().sum();
    println!("  {called} voxels called by the command, {differ} differ in the page");
    assert!(differ <= 20 + called / 20, "{differ} of {called}");

    // Table, sums, CSV and mask say the same.
    let rows =
        page.evaluate("document.querySelectorAll('[data-test=lesions-table] tbody tr').length");
    let rows = rows.as_u64().unwrap_or_default() as usize;
    assert_eq!(page.attribute("lesions-found", "data-lesions"), rows.to_string());
    let voxel_ml = mask.affine.determinant().abs() / 1000.0;
    let in_mask = counts(&mask).values().sum::<usize>() as f64 * voxel_ml;
    let said: f64 = page.attribute("lesions-found", "data-millilitres").parse().expect("a number");
    assert!((in_mask - said).abs() < 0.01, "{in_mask} mL in the mask, {said} mL said");
    assert!(rows > 0, "nothing was marked, so nothing of what follows would be seen");
    let csv = page.download("lesions-csv");
    let csv = String::from_utf8(csv.bytes).expect("text");
    let mut lines = csv.lines();
    let head: Vec<&str> = lines.next().expect("a heading").split(',').collect();
    assert_eq!(head.last(), Some(&"oedema_ml"));
    let place = head.iter().position(|&name| name == "voxel_x").expect("voxels");
    let largest: Vec<&str> = csv.lines().nth(1).expect("a row").split(',').collect();
    let voxel = largest[place..place + 3].join(",");
    let column = head.iter().position(|&name| name == "volume_ml").expect("volumes");
    let volumes: Vec<f64> = lines
        .map(|line| line.split(',').nth(column).and_then(|v| v.parse().ok()).expect("a volume"))
        .collect();
    assert_eq!(volumes.len(), rows);
    assert!((volumes.iter().sum::<f64>() - said).abs() < 0.01, "{volumes:?}");
    assert!(volumes.windows(2).all(|pair| pair[0] >= pair[1]), "the largest first: {volumes:?}");

    // A row leads to its lesion, and sorting keeps them all.
    assert_eq!(page.attribute("lesions", "data-overlay"), "lesions");
    let before = page.text("cursor-readout");
    page.click("[data-lesion=\"1\"]");
    page.wait_until("the crosshair to move", PATIENCE, &|page| {
        page.text("cursor-readout") != before
    });
    page.wait_until("the crosshair in the table's voxel", PATIENCE, &|page| {
        page.attribute("cursor-readout", "data-voxel") == voxel
    });
    page.click("[data-test=lesions-table] th:nth-child(4) button");
    page.wait_until("the order", PATIENCE, &|page| {
        page.attribute("[data-test=lesions-table] th:nth-child(4)", "aria-sort") == "descending"
    });
    page.click("lesions-show-structures");
    assert_eq!(page.attribute("lesions", "data-overlay"), "structures");

    // The report tells of them, and each mark leads to its place.
    page.click("run-button");
    page.wait_for_state("done", TIMEOUT);
    page.click("#tab-report");
    page.wait_until("the report", PATIENCE, &|page| page.has("report"));
    let told = page.text("report");
    assert!(told.contains("marked as") && told.contains("also marks healthy heads"), "{told}");
    assert!(page.has("[data-source=lesion-1]"));
    page.click("#tab-lesions");

    // Another study: what was found with the sequence is gone with it.
    page.click("lesions-remove");
    page.wait_until("the sequence to go", PATIENCE, &|page| sequences(page) == 0);
    assert!(!page.has("lesions-found"));
    page.click("#tab-report");
    page.wait_until("the report without", PATIENCE, &|page| {
        page.text("report").contains("Lesions were not looked for.")
    });
    assert_content(&page);
}

pub fn a_map_of_abnormality_comes_when_asked_and_is_the_commands(stage: &Stage) {
    let [first, _] = study(&stage.folder);
    let page = open_first(stage, &first);
    let fetched = "performance.getEntriesByType('resource').some(e => e.name.endsWith('pretrained.safetensors'))";
    assert_eq!(page.evaluate(fetched), false, "fetched before it was wanted");
    assert!(page.text("abnormality-caution").contains("no finding"));

    page.click("abnormality-show");
    page.wait_until("the work to begin", TIMEOUT, &|page| page.has("lesions-cancel"));
    page.wait_until("a first step", TIMEOUT, &|page| page.text("lesions-busy").contains(" of "));
    page.click("lesions-cancel");
    page.wait_until("the end of it", PATIENCE, &|page| !page.has("lesions-cancel"));
    assert_eq!(page.attribute("abnormality", "data-shown"), "false");

    page.click("abnormality-show");
    page.wait_until("the map", TIMEOUT, &|page| page.has("abnormality-legend"));
    assert_eq!(page.evaluate(fetched), true);
    assert_eq!(page.attribute("abnormality", "data-shown"), "true");
    let legend = "document.querySelector('[data-test=abnormality-legend]').textContent";
    let legend = page.evaluate(legend).as_str().unwrap_or_default().to_owned();
    assert!(legend.contains("robust standard deviations") && legend.contains('σ'), "{legend}");
    // Where it is largest there is colour; hidden and shown again it is not computed anew.
    page.click("abnormality-largest");
    page.click("abnormality-show");
    page.wait_until("the scan alone", PATIENCE, &|page| !page.has("abnormality-legend"));
    let colour = |page: &Page<'_>| page.colour_shown(&pane("axial"));
    page.wait_until("the last frame", PATIENCE, &|page| (colour(page) - colour(page)).abs() < 0.01);
    let grey = colour(&page);
    page.click("abnormality-show");
    page.wait_until("colour", PATIENCE, &|page| colour(page) > grey + 0.05);

    let map = page.download("abnormality-save");
    assert!(map.name.ends_with("_abnormality.nii.gz"), "{}", map.name);
    let map = scans::read(&map.name, &map.bytes);
    let expected = scans::read("command", &stage.abnormality_by_command(&first));
    assert_eq!(map.dims, expected.dims);
    let far = |(a, b): &(&f32, &f32)| (*a - *b).abs() > 0.1;
    let differ = map.data.iter().zip(&expected.data).filter(far).count();
    let mapped = expected.data.iter().filter(|value| **value != 0.0).count();
    println!(
        "  {mapped} voxels in the command's map, {differ} differ by more than 0.1 in the page"
    );
    assert!(mapped > 1000 && differ * 50 < mapped, "{differ} of {mapped}");

    assert_content(&page);
}

pub fn what_is_no_scan_is_not_added_and_a_search_is_cancelled(stage: &Stage) {
    let [first, _] = study(&stage.folder);
    let page = open_first(stage, &first);
    page.choose_files("lesions-input", &[scans::not_a_scan(&stage.folder)]);
    page.wait_until("a sentence", TIMEOUT, &|page| {
        !page.texts("notice").is_empty() && page.text("lesions-busy").is_empty()
    });
    assert_eq!(sequences(&page), 0);
    // The scan that is shown is no further sequence.
    page.choose_files("lesions-input", &[first]);
    page.wait_until("another sentence", TIMEOUT, &|page| {
        page.texts("notice").contains("the scan that is shown")
    });
    assert_eq!(sequences(&page), 0);

    page.click("lesions-find");
    page.wait_until("the work to begin", TIMEOUT, &|page| page.has("lesions-cancel"));
    page.wait_until("a first step", TIMEOUT, &|page| page.text("lesions-busy").contains(" of "));
    page.click("lesions-cancel");
    page.wait_until("the end of it", PATIENCE, &|page| !page.has("lesions-cancel"));
    assert!(!page.has("lesions-found"));
    assert_eq!(page.state(), "scan");
    assert_content(&page);
}
