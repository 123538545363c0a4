//! The planes under the mouse: what is read there, what moves, what lights up.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::time::Duration;

use prism_core::volume::Volume;
use prism_tests::page::{CTRL, PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;

use crate::device::open_small;
use crate::reading::{assert_content, open_sample, pane};

/// The numbers of an attribute such as `12,40,7`.
pub fn numbers(page: &Page<'_>, hook: &str, name: &str) -> Vec<f64> {
    let text = page.attribute(hook, name);
    text.split(',').filter_map(|part| part.parse().ok()).collect()
}

/// Points at a plane and waits until the reading follows.
pub fn read_at(page: &Page<'_>, plane: &str, at: [f64; 2]) -> (Vec<f64>, Vec<f64>) {
    let before = page.attribute("cursor-readout", "data-mm");
    page.point_at(&pane(plane), at);
    page.wait_until("another reading", PATIENCE, &|page| {
        let now = page.attribute("cursor-readout", "data-mm");
        now != before && page.text("cursor-readout").starts_with("Cursor")
    });
    (numbers(page, "cursor-readout", "data-mm"), numbers(page, "cursor-readout", "data-voxel"))
}

/// The value that the reading gives.
fn value_read(page: &Page<'_>) -> String {
    let text = page.text("cursor-readout");
    let value = text.split("value").nth(1).and_then(|rest| rest.split_whitespace().next());
    value.unwrap_or_default().to_owned()
}

/// What a scan holds at a voxel of a reading.
fn value_held(scan: &Volume, voxel: &[f64]) -> f32 {
    let [x, y, z] = [0, 1, 2].map(|axis| voxel[axis] as usize);
    scan.data[x + scan.dims[0] * (y + scan.dims[1] * z)]
}

/// Pixels a millimetre in a plane, by its scale bar.
pub fn magnification(page: &Page<'_>, plane: &str) -> f64 {
    let bar = page.evaluate(&format!(
        "(() => {{ const bar = document.querySelector('[data-pane={plane}] .pane-scale');
           return [bar.querySelector('i').style.width, bar.querySelector('span').textContent]; }})()"
    ));
    let [width, length] = [0, 1].map(|at| bar[at].as_str().unwrap_or_default());
    let width: f64 = width.trim_end_matches("px").parse().expect("a width");
    let mut words = length.split_whitespace();
    let count: f64 = words.next().and_then(|count| count.parse().ok()).expect("a length");
    let unit = if words.next() == Some("cm") { 10.0 } else { 1.0 };
    width / (count * unit)
}

/// The small scan with its structures in the planes and in the table.
fn segmented(stage: &Stage) -> Page<'_> {
    let page = open_small(stage, "cpu");
    page.click("run-button");
    page.wait_for_state("done", Duration::from_secs(300));
    page.click("#tab-structures");
    page.wait_until("the table", PATIENCE, &|page| page.has("volumes-table"));
    page
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
        // Whole numbers, and none is rounded.
        let value = value_held(&sample, &voxel);
        assert_eq!(value.fract(), 0.0);
        assert_eq!(value_read(&page), value.to_string(), "{plane} at voxel {voxel:?}");
    }
    // The left of the image is the patient's right, until the convention is changed.
    assert_eq!(page.attribute("convention-toggle", "data-convention"), "radiological");
    assert!(read_at(&page, "axial", [0.3, 0.5]).0[0] > 0.0);
    page.click("convention-toggle");
    assert!(read_at(&page, "axial", [0.31, 0.5]).0[0] < 0.0);

    // Eighths, in another scan.
    let path = scans::small(&stage.folder);
    page.choose_files("file-input", std::slice::from_ref(&path));
    page.wait_until("the small scan", PATIENCE, &|page| {
        page.attribute("scan-title", "data-dims") == "48x48x48"
    });
    let small = scans::read("small", &fs::read(path).expect("the small scan"));
    let mut parts = 0;
    for at in [[0.4, 0.45], [0.5, 0.4], [0.55, 0.6], [0.45, 0.55]] {
        let (_, voxel) = read_at(&page, "coronal", at);
        let value = value_held(&small, &voxel);
        assert_eq!(value_read(&page), value.to_string(), "voxel {voxel:?} of the small scan");
        parts += usize::from(value.fract() != 0.0);
    }
    assert!(parts > 0, "every value was a whole number");
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

/// A row of the table of structures: its name, its number, and how far its colour is from grey (0 to 255).
fn rows_of_the_table(page: &Page<'_>) -> Vec<(String, String, f64)> {
    let rows = page.evaluate(
        "[...document.querySelectorAll('[data-test=volumes-table] tr[data-structure]')].map(row => {
            const colour = row.querySelector('.swatch').style.color.match(/[0-9]+/g).map(Number);
            return [row.querySelector('.name').title, row.dataset.structure,
                Math.max(...colour) - Math.min(...colour)];
        })",
    );
    serde_json::from_value(rows).expect("rows")
}

/// Goes to a slice, counted from 0, of the axial plane by the wheel.
fn go_to_slice(page: &Page<'_>, wanted: usize) {
    let shown = || {
        let caption = page.attribute(&pane("axial"), "data-slice");
        let number = caption.split(" / ").next().and_then(|number| number.parse::<usize>().ok());
        number.expect("the number of a slice") - 1
    };
    let steps = wanted as f64 - shown() as f64;
    if steps != 0.0 {
        // A notch upwards goes towards the head.
        page.wheel(&pane("axial"), -110.0 * steps);
        page.wait_until("the slice", PATIENCE, &|_| shown() == wanted);
    }
}

pub fn a_structure_is_named_under_the_cursor_and_hidden_by_its_swatch(stage: &Stage) {
    let page = segmented(stage);
    let axial = pane("axial");
    let labels = page.download("download-segmentation");
    let labels = scans::read(&labels.name, &labels.bytes);
    let [nx, ny, nz] = labels.dims;
    let label = |[i, j, k]: [usize; 3]| labels.data[i + nx * (j + ny * k)] as i32;
    // What the table says that the file's numbers mean, as people read it.
    let csv = String::from_utf8(page.download("download-csv").bytes).expect("text");
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let heading = lines.next().expect("a heading");
    let column = |name| heading.iter().position(|&column| column == name).expect(name);
    let (id, name) = (column("id"), column("display_name"));
    let names: HashMap<i32, String> = lines
        .map(|row| {
            let (first, rest) = row[name].split_at(1);
            let id = row[id].parse().expect("a number of a structure");
            (id, format!("{}{rest}", first.to_uppercase()))
        })
        .collect();
    let rows = rows_of_the_table(&page);
    assert!(rows.len() > 10 && rows.len() == names.len(), "{rows:?}");

    // Two readings say where in the plane a voxel is.
    let ends = [[0.4, 0.4], [0.6, 0.6]];
    let [first, last] = ends.map(|at| read_at(&page, "axial", at).0);
    let place = |voxel: [usize; 3]| {
        let mm = labels.affine.apply(voxel.map(|at| at as f64));
        [0, 1].map(|axis| {
            let share = (mm[axis] - first[axis]) / (last[axis] - first[axis]);
            ends[0][axis] + share * (ends[1][axis] - ends[0][axis])
        })
    };
    // Off the edges, where words stand.
    let voxels = move |k: usize| (6..nx - 6).flat_map(move |i| (6..ny - 6).map(move |j| [i, j, k]));
    let background = |k: &usize| voxels(*k).filter(|&at| label(at) == 0).count();
    let emptiest = (4..nz - 4).max_by_key(background).expect("slices");
    for slice in [nz / 2, emptiest] {
        go_to_slice(&page, slice);
        let kinds: BTreeMap<i32, [usize; 3]> = voxels(slice).map(|at| (label(at), at)).collect();
        assert!(slice != emptiest || kinds.contains_key(&0), "no background in {slice}");
        assert!(slice != nz / 2 || kinds.len() > 4, "slice {slice} holds {kinds:?} only");
        for (kind, at) in kinds {
            let (_, voxel) = read_at(&page, "axial", place(at));
            assert_eq!(voxel, at.map(|at| at as f64), "another voxel than was pointed at");
            let named = page.attribute("cursor-readout", "data-structure");
            let expected = names.get(&kind).map_or("", String::as_str);
            assert_eq!(named, expected, "label {kind} at {at:?}");
        }
    }

    // Two structures that are not grey, each with a voxel among its own, away from the crosshair's lines.
    let row_of = |kind: i32| rows.iter().find(|(name, ..)| names.get(&kind) == Some(name));
    let seen = |at: &[usize; 3]| {
        let [i, j, k] = *at;
        let own = |step: usize| label([i + step % 3 - 1, j + step / 3 - 1, k]) == label(*at);
        let off_lines = i.abs_diff(nx / 2).min(j.abs_diff(ny / 2)) > 4;
        off_lines
            && (0..9).all(own)
            && row_of(label(*at)).is_some_and(|(.., colour)| *colour > 80.0)
    };
    let coloured = |k: usize| -> BTreeMap<i32, [usize; 3]> {
        voxels(k).filter(seen).map(|at| (label(at), at)).collect()
    };
    let slice = (4..nz - 4).max_by_key(|k| coloured(*k).len()).expect("slices");
    let kinds: Vec<_> = coloured(slice).into_iter().collect();
    assert!(kinds.len() > 1, "slice {slice} shows {kinds:?} only");
    let ((kind, at), (_, other)) = (kinds[0], kinds[1]);
    go_to_slice(&page, slice);
    let colour = |at: [usize; 3]| page.colour_at(&axial, place(at));
    page.point_at("scan-title", [0.5, 0.5]);
    page.wait_until("two colours", PATIENCE, &|_| colour(at) > 12.0 && colour(other) > 12.0);

    let (name, index, _) = row_of(kind).expect("its row");
    let swatch = format!("[data-test=volumes-table] [data-structure=\"{index}\"] .swatch");
    assert_eq!(page.attribute(&swatch, "aria-checked"), "true");
    page.click(&swatch);
    page.point_at("scan-title", [0.5, 0.5]);
    page.wait_until(&format!("{name} to be hidden alone"), PATIENCE, &|_| {
        colour(at) < 4.0 && colour(other) > 12.0
    });
    assert_eq!(page.attribute(&swatch, "aria-checked"), "false");
    // It is still known what lies there.
    read_at(&page, "axial", place(at));
    assert_eq!(page.attribute("cursor-readout", "data-structure"), *name);
    page.click(&swatch);
    page.point_at("scan-title", [0.5, 0.5]);
    page.wait_until("its colour again", PATIENCE, &|_| colour(at) > 12.0);
    assert_content(&page);
}

pub fn control_and_wheel_zoom_and_the_other_planes_follow_the_crosshair(stage: &Stage) {
    let page = stage.open();
    open_sample(&page);
    let axial = pane("axial");
    let slices = |page: &Page<'_>| {
        ["axial", "coronal", "sagittal"].map(|plane| page.attribute(&pane(plane), "data-slice"))
    };
    let before = slices(&page);
    let (mm, voxel) = read_at(&page, "axial", [0.42, 0.4]);
    page.click_at(&axial, [0.42, 0.4]);
    page.wait_until("the other planes to follow", PATIENCE, &|page| {
        let now = slices(page);
        now[1] != before[1] && now[2] != before[2]
    });
    let now = slices(&page);
    assert_eq!(now[0], before[0]);
    // The sample's voxels run to the front: slices of the coronal plane are numbered as they are.
    assert_eq!(now[1], format!("{} / 192", voxel[1] + 1.0));
    for (plane, axis, sides) in [("coronal", 1, ["A", "P"]), ("sagittal", 0, ["R", "L"])] {
        let words = page.text(&format!("{} .pane-place", pane(plane)));
        let (side, rest) = words.split_once(' ').expect("a side");
        let length = rest.split(' ').next().and_then(|length| length.parse::<f64>().ok());
        let length = length.expect("a length") * if side == sides[0] { 1.0 } else { -1.0 };
        assert!(sides.contains(&side), "{words}");
        assert!((length - mm[axis]).abs() < 0.6, "{plane}: {words}, {mm:?}");
    }

    let sizes = |page: &Page<'_>| ["axial", "coronal"].map(|plane| magnification(page, plane));
    let [first, coronal] = sizes(&page);
    for _ in 0..3 {
        page.wheel_with(&axial, -120.0, CTRL);
    }
    page.wait_until("a larger image", PATIENCE, &|page| sizes(page)[0] > 1.5 * first);
    assert!((sizes(&page)[1] - coronal).abs() < 0.05 * coronal, "the coronal plane was zoomed");
    assert_eq!(slices(&page), now, "control and wheel moved a slice");
    for _ in 0..3 {
        page.wheel_with(&axial, 120.0, CTRL);
    }
    page.wait_until("the first size", PATIENCE, &|page| {
        (sizes(page)[0] - first).abs() < 0.05 * first
    });
    assert_content(&page);
}

pub fn a_click_on_a_column_s_head_sorts_the_table(stage: &Stage) {
    let page = segmented(stage);
    let head = |column: usize| format!("[data-test=volumes-table] thead th:nth-child({column})");
    let sorted = |page: &Page<'_>, column| page.attribute(&head(column), "aria-sort");
    let volumes = |page: &Page<'_>| -> Vec<f64> {
        let found = page.evaluate(
            "[...document.querySelectorAll('[data-test=volumes-table] tr[data-structure]')]
                .map(row => Number(row.dataset.millilitres))",
        );
        serde_json::from_value(found).expect("numbers")
    };
    // Names come first, then the volumes.
    assert_eq!([2, 3].map(|column| sorted(&page, column)), ["ascending", "none"]);
    let by_name = volumes(&page);
    page.click(&format!("{} button", head(3)));
    page.wait_until("the largest first", PATIENCE, &|page| sorted(page, 3) == "descending");
    assert_eq!(sorted(&page, 2), "none");
    let largest_first = volumes(&page);
    assert!(largest_first.is_sorted_by(|one, next| one >= next), "{largest_first:?}");
    assert_ne!(largest_first, by_name);
    page.click(&format!("{} button", head(3)));
    page.wait_until("the smallest first", PATIENCE, &|page| sorted(page, 3) == "ascending");
    // What was not found is last in any order.
    let smallest_first = volumes(&page);
    let found = smallest_first.iter().position(|&volume| volume == 0.0);
    let (found, absent) = smallest_first.split_at(found.unwrap_or(smallest_first.len()));
    assert!(found.len() > 10 && found.is_sorted(), "{smallest_first:?}");
    assert!(absent.iter().all(|&volume| volume == 0.0), "{smallest_first:?}");
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
