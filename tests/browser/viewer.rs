//! The planes under the mouse: what is read there, what moves, what lights up.

use std::fs;
use std::time::Duration;

use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;

use crate::reading::{assert_content, open_sample, pane};

/// The numbers of an attribute such as `12,40,7`.
fn numbers(page: &Page<'_>, hook: &str, name: &str) -> Vec<f64> {
    let text = page.attribute(hook, name);
    text.split(',').filter_map(|part| part.parse().ok()).collect()
}

/// Points at a plane and waits until the reading follows.
fn read_at(page: &Page<'_>, plane: &str, at: [f64; 2]) -> (Vec<f64>, Vec<f64>) {
    let before = page.attribute("cursor-readout", "data-mm");
    page.point_at(&pane(plane), at);
    page.wait_until("another reading", PATIENCE, &|page| {
        let now = page.attribute("cursor-readout", "data-mm");
        now != before && page.text("cursor-readout").starts_with("Cursor")
    });
    (numbers(page, "cursor-readout", "data-mm"), numbers(page, "cursor-readout", "data-voxel"))
}

pub fn the_cursor_reads_what_the_file_holds_on_the_side_that_is_labelled(stage: &Stage) {
    let page = stage.open();
    open_sample(&page);
    let sample = scans::read("sample", &fs::read(scans::sample()).expect("the sample"));
    for (plane, at) in [
        ("axial", [0.42, 0.4]),
        ("axial", [0.55, 0.6]),
        ("coronal", [0.45, 0.45]),
        ("sagittal", [0.6, 0.4]),
    ] {
        let (mm, voxel) = read_at(&page, plane, at);
        assert!(mm.len() == 3 && voxel.len() == 3, "{plane} {at:?}: {mm:?} mm, voxel {voxel:?}");
        let middle = sample.affine.apply([voxel[0], voxel[1], voxel[2]]);
        for axis in 0..3 {
            assert!(
                (middle[axis] - mm[axis]).abs() <= 0.51,
                "{plane}: voxel {voxel:?} is not at {mm:?}"
            );
        }
        let [x, y, z] = [voxel[0] as usize, voxel[1] as usize, voxel[2] as usize];
        let value = sample.data[x + sample.dims[0] * (y + sample.dims[1] * z)];
        let text = page.text("cursor-readout");
        let shown = text.split("value").nth(1).and_then(|rest| rest.split_whitespace().next());
        let shown: f32 = shown.and_then(|shown| shown.parse().ok()).expect("a value");
        // The planes hold the scan in half precision over its range, which is 765 here.
        assert!(
            (shown - value).abs() <= 0.4,
            "{plane} at voxel {voxel:?}: {value} in the file, {text}"
        );
    }
    // The left of the image is the patient's right, until the convention is changed.
    assert_eq!(page.attribute("convention-toggle", "data-convention"), "radiological");
    assert!(read_at(&page, "axial", [0.3, 0.5]).0[0] > 0.0);
    page.click("convention-toggle");
    assert!(read_at(&page, "axial", [0.31, 0.5]).0[0] < 0.0);
    assert_content(&page);
}

pub fn wheel_and_drags_move_slices_crosshair_window_and_image(stage: &Stage) {
    let page = stage.open();
    open_sample(&page);
    let axial = pane("axial");
    let words = |page: &Page<'_>| page.text(&pane("axial"));
    let slice = words(&page);
    page.wheel(&axial, 120.0);
    page.wait_until("another slice", PATIENCE, &|page| words(page) != slice);

    let window = |page: &Page<'_>| {
        page.evaluate("document.querySelector('.reading-window').innerText").to_string()
    };
    let first = window(&page);
    page.drag(&axial, "right", [0.4, 0.4], [0.6, 0.55]);
    page.wait_until("another window", PATIENCE, &|page| window(page) != first);

    // The crosshair goes to where the left button is let go; the reading there is the crosshair's once the mouse left.
    page.drag(&axial, "left", [0.5, 0.5], [0.38, 0.62]);
    page.point_at("scan-title", [0.5, 0.5]);
    page.wait_until("the crosshair", PATIENCE, &|page| {
        page.text("cursor-readout").starts_with("Crosshair")
    });
    let crosshair = numbers(&page, "cursor-readout", "data-mm");
    read_at(&page, "axial", [0.6, 0.3]);
    let (under, _) = read_at(&page, "axial", [0.38, 0.62]);
    for axis in 0..3 {
        assert!(
            (under[axis] - crosshair[axis]).abs() < 1.0,
            "{under:?} under the mouse, {crosshair:?}"
        );
    }

    // The middle button moves the image: another place comes under the same point.
    page.drag(&axial, "middle", [0.5, 0.5], [0.6, 0.5]);
    read_at(&page, "axial", [0.6, 0.3]);
    let (moved, _) = read_at(&page, "axial", [0.38, 0.62]);
    assert!(
        (moved[0] - under[0]).abs() > 5.0,
        "{moved:?} after the image was moved, {under:?} before"
    );
    assert_content(&page);
}

pub fn structures_light_up_fade_and_are_hidden_one_by_one(stage: &Stage) {
    let page = stage.open();
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    page.choose("device-choice", "cpu");
    page.click("run-button");
    page.wait_for_state("done", Duration::from_secs(300));
    let axial = pane("axial");
    page.click("#tab-structures");
    page.wait_until("colour over the plane", PATIENCE, &|page| {
        page.colour_shown(&pane("axial")) > 3.0
    });
    // What is drawn last has come once two pictures are the same.
    let mut shown = page.colour_shown(&axial);
    page.wait_until("a picture that stays", PATIENCE, &|page| {
        (page.colour_shown(&pane("axial")) - page.colour_shown(&pane("axial"))).abs() < 0.01
    });
    shown = shown.max(page.colour_shown(&axial));
    // A structure under the pointer in the table dims the others.
    page.point_at("[data-test=volumes-table] tr[data-structure]", [0.3, 0.5]);
    page.wait_until("the planes to change", PATIENCE, &|page| {
        (page.colour_shown(&pane("axial")) - shown).abs() > 0.3
    });
    page.point_at("scan-title", [0.5, 0.5]);
    page.wait_until("the planes to be as before", PATIENCE, &|page| {
        (page.colour_shown(&pane("axial")) - shown).abs() < 0.1
    });
    // None of them shown leaves a grey plane; all of them again the first picture.
    page.click("toggle-all");
    page.wait_until("a grey plane", PATIENCE, &|page| {
        page.colour_shown(&pane("axial")) < shown / 3.0
    });
    page.click("toggle-all");
    page.wait_until("every structure again", PATIENCE, &|page| {
        (page.colour_shown(&pane("axial")) - shown).abs() < 0.1
    });
    page.choose("overlay-opacity", "10");
    page.wait_until("a fainter overlay", PATIENCE, &|page| {
        page.colour_shown(&pane("axial")) < 0.7 * shown
    });
    assert_content(&page);
}

/// A small phone's width, in pixels.
const PHONE: u32 = 360;

/// Fails where the page is wider than a phone.
fn assert_fits(page: &Page<'_>, what: &str) {
    // A phone's browser widens its window with what does not fit.
    let widest = page.evaluate("Math.max(document.documentElement.scrollWidth, innerWidth)");
    assert!(widest.as_f64().is_some_and(|width| width <= f64::from(PHONE)), "{what}: {widest}");
}

/// Fails where something is not seen in its whole width on a phone.
fn assert_seen(page: &Page<'_>, hook: &str) {
    let sides = page.evaluate(&format!(
        "(() => {{ const box = document.querySelector('[data-test={hook}]').getBoundingClientRect();
           return [box.left, box.right, box.height]; }})()"
    ));
    let [left, right, height] = [0, 1, 2].map(|at| sides[at].as_f64().unwrap_or(f64::NAN));
    let inside = left >= 0.0 && right > left && right <= f64::from(PHONE) + 0.5 && height > 0.0;
    assert!(inside, "{hook} from {left} to {right}, {height} high");
}

/// Opens every tab of the side panel.
fn assert_tabs_fit(page: &Page<'_>, what: &str) {
    let tabs = page.evaluate("[...document.querySelectorAll('[role=tab]')].map(tab => tab.id)");
    let tabs: Vec<_> =
        tabs.as_array().expect("tabs").iter().filter_map(|tab| tab.as_str()).collect();
    assert!(tabs.len() > 5, "{tabs:?}");
    for tab in tabs {
        page.click(&format!("#{tab}"));
        assert_fits(page, &format!("{what}, {tab}"));
    }
}

pub fn nothing_is_wider_than_a_small_screen(stage: &Stage) {
    let page = stage.open();
    page.resize(PHONE, 740);
    assert_fits(&page, "the first screen");
    open_sample(&page);
    assert_fits(&page, "a scan");
    assert_seen(&page, "scan-title");
    assert_tabs_fit(&page, "a scan");

    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_until("the small scan", PATIENCE, &|page| {
        page.attribute("scan-title", "data-dims") == "48x48x48" && page.state() == "scan"
    });
    page.click("run-button");
    page.wait_for_state("done", Duration::from_secs(300));
    assert_tabs_fit(&page, "a segmented scan");
    page.click("#tab-structures");
    assert_seen(&page, "volumes-table");
    page.click("[data-test=terms] summary");
    page.wait_until("the definitions", PATIENCE, &|page| page.text("terms").contains("tissue"));
    assert_fits(&page, "definitions");
    page.click("#tab-report");
    assert_seen(&page, "report");
    for hook in ["print-button", "edit-report", "save-report", "save-text"] {
        assert_seen(&page, hook);
    }
    assert!(!page.download("download-csv").bytes.is_empty());

    // Of a 4-D scan, which volume it is.
    page.choose_files("file-input", &scans::golden("nifti1_4d_volume_0"));
    page.wait_until("the volume", PATIENCE, &|page| page.text("scan-volume").contains("volume 1"));
    assert_seen(&page, "scan-volume");
    assert_fits(&page, "a 4-D scan");
    assert_content(&page);
}
