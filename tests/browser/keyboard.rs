//! The page without a mouse.

use std::collections::BTreeSet;
use std::time::Duration;

use prism_tests::page::{CTRL, PATIENCE, Page, SHIFT};
use prism_tests::runner::Stage;
use prism_tests::scans;
use serde_json::json;

use crate::device::open_small;
use crate::reading::{assert_content, open_sample, pane};
use crate::viewer::{magnification, numbers, read_at};

/// How long a run over the small scan may take on two shared cores.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);

/// More presses of the tab key than the page has stops.
const STOPS: usize = 200;

/// The hook of the element that has the focus, or of the nearest one around it.
fn focused(page: &Page<'_>) -> String {
    let hook = page.evaluate(
        "(() => { const element = document.activeElement?.closest('[data-pane], [data-test]');
           return element?.dataset.pane ?? element?.dataset.test ?? ''; })()",
    );
    hook.as_str().unwrap_or_default().to_owned()
}

/// Presses Tab until an element has the focus.
fn tab_to(page: &Page<'_>, hook: &str) {
    for _ in 0..STOPS {
        if focused(page) == hook {
            return;
        }
        page.press("Tab");
    }
    panic!("{hook} is not reached by the tab key");
}

/// Presses Tab until an element that a selector matches has the focus.
fn tab_to_one_of(page: &Page<'_>, selector: &str) {
    let there = format!("document.activeElement?.matches({}) === true", json!(selector));
    let reached = (0..STOPS).any(|_| {
        page.press("Tab");
        page.evaluate(&there) == true
    });
    assert!(reached, "{selector} is not reached by the tab key");
}

/// What the tab key reaches, by hooks.
fn stops(page: &Page<'_>) -> BTreeSet<String> {
    (0..STOPS)
        .map(|_| {
            page.press("Tab");
            focused(page)
        })
        .collect()
}

/// Fails where the tab key does not reach one of some elements.
fn assert_reached(page: &Page<'_>, hooks: &[&str]) {
    let reached = stops(page);
    for hook in hooks {
        assert!(reached.contains(*hook), "{hook} is not reached by the tab key, only {reached:?}");
    }
}

/// The tab of the side panel that has the focus.
fn tab(page: &Page<'_>) -> Option<String> {
    let id = page.evaluate("document.activeElement?.id ?? ''");
    id.as_str().and_then(|id| id.strip_prefix("tab-")).map(str::to_owned)
}

/// Presses Tab until one of the side panel's tabs has the focus.
fn to_tabs(page: &Page<'_>) {
    let reached = (0..STOPS).any(|_| {
        page.press("Tab");
        tab(page).is_some()
    });
    assert!(reached, "the tabs are not reached by the tab key");
}

/// Goes over the tabs, of which one has the focus, to another: arrows do, whichever has it.
fn to_tab(page: &Page<'_>, wanted: &str) {
    let there = (0..10).any(|_| {
        page.press("ArrowRight");
        tab(page).as_deref() == Some(wanted)
    });
    assert!(there, "{wanted} is not reached by the arrows");
}

pub fn everything_is_reached_without_a_mouse(stage: &Stage) {
    let page = stage.open();
    let openers = ["pick-files", "pick-folder", "sample-button", "models-button", "device-choice"];
    assert_reached(&page, &openers);
    tab_to(&page, "sample-button");
    page.press("Enter");
    page.wait_for_state("scan", PATIENCE);
    let planes = ["axial", "coronal", "sagittal", "solid", "convention-toggle", "run-button"];
    assert_reached(&page, &[openers.as_slice(), &planes].concat());

    page.choose("device-choice", "cpu");
    tab_to(&page, "run-button");
    page.press("Enter");
    page.wait_for_state("running", PATIENCE);
    // The way out has the focus, and gives it back.
    page.wait_until("the focus on Cancel", PATIENCE, &|page| focused(page) == "cancel-button");
    page.press("Tab");
    assert_ne!(focused(&page), "cancel-button");
    tab_to(&page, "cancel-button");
    page.press("Enter");
    page.wait_for_state("scan", PATIENCE);
    page.wait_until("the focus on Segment", PATIENCE, &|page| focused(page) == "run-button");
    assert_content(&page);
}

pub fn structures_are_sorted_and_hidden_without_a_mouse(stage: &Stage) {
    let page = segmented_by_key(stage);
    to_tab(&page, "structures");
    // Names come first, from A to Z.
    let names = "[data-test=volumes-table] th[aria-sort=ascending]";
    tab_to_one_of(&page, &format!("{names} button"));
    let order = |page: &Page<'_>| {
        page.evaluate("document.activeElement.closest('th')?.getAttribute('aria-sort') ?? ''")
    };
    page.press("Enter");
    page.wait_until("the other way round", PATIENCE, &|page| order(page) == "descending");

    tab_to_one_of(&page, "[data-test=volumes-table] [data-structure] [role=switch]");
    let shown = |page: &Page<'_>| {
        page.evaluate("document.activeElement.getAttribute('aria-checked') ?? ''")
    };
    assert_eq!(shown(&page), "true");
    page.press(" ");
    page.wait_until("a structure to be hidden", PATIENCE, &|page| shown(page) == "false");
    let hidden =
        "document.querySelectorAll('[data-test=volumes-table] [aria-checked=false]').length";
    assert_eq!(page.evaluate(hidden), 1);
    page.press(" ");
    page.wait_until("it to be shown", PATIENCE, &|page| shown(page) == "true");
    assert_content(&page);
}

/// The small scan, segmented by key; the focus is on the tabs of the results.
fn segmented_by_key<'stage>(stage: &'stage Stage) -> Page<'stage> {
    let page = stage.open();
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    tab_to(&page, "run-button");
    page.press("Enter");
    page.wait_for_state("done", RUN_TIMEOUT);
    to_tabs(&page);
    page
}

pub fn results_are_reached_without_a_mouse_and_the_report_prints_alone(stage: &Stage) {
    let page = segmented_by_key(stage);
    for wanted in ["structures", "report"] {
        to_tab(&page, wanted);
        let mut reached = BTreeSet::new();
        for _ in 0..STOPS {
            page.press("Tab");
            reached.insert(focused(&page));
        }
        let hooks: &[&str] = match wanted {
            "structures" => &["volumes-table", "terms", "table-csv", "download-segmentation"],
            _ => &["print-button", "edit-report", "save-report"],
        };
        for hook in hooks {
            assert!(reached.contains(*hook), "{hook} is not reached, only {reached:?}");
        }
        to_tabs(&page);
    }
    // On paper the report stands alone, black on white.
    page.on_paper(true);
    let shown = |selector: &str| {
        page.evaluate(&format!(
            "[...document.querySelectorAll('{selector}')].some(one => one.getClientRects().length > 0)"
        )) == true
    };
    assert!(shown("[data-test=report]") && !shown(".stage") && !shown(".tabs"));
    assert!(!shown("[data-test=print-button]") && !shown(".downloads"));
    let ink =
        page.evaluate("getComputedStyle(document.querySelector('[data-test=report] p')).color");
    assert_eq!(ink, "rgb(0, 0, 0)");
    page.on_paper(false);
    assert!(shown(".stage"));
    assert_content(&page);
}

pub fn sentences_lead_to_their_source_without_a_mouse(stage: &Stage) {
    let page = segmented_by_key(stage);
    to_tab(&page, "report");
    page.wait_until("the report", PATIENCE, &|page| page.has("report"));
    let beyond_reach = page.evaluate(
        "[...document.querySelectorAll('[data-test=report] [data-source]')]
            .filter(one => !one.querySelector('button, [role=button][tabindex=\"0\"]'))
            .map(one => one.innerText)",
    );
    assert_eq!(beyond_reach, json!([]), "sentences that only a mouse reaches");

    // A sentence without a number: Enter opens the panel that it was read from.
    let words = "[data-test=report] [data-source=technique] [role=button]";
    let on_words = format!("document.activeElement.matches('{words}')");
    let reached = (0..STOPS).any(|_| {
        page.press("Tab");
        page.evaluate(&on_words) == true
    });
    assert!(reached, "no sentence about the file is reached by the tab key");
    page.press("Enter");
    page.wait_until("what was read of the file", PATIENCE, &|page| !page.has("report"));
    assert_eq!(page.attribute("#tab-scan", "aria-selected"), "true");

    // The reader's words for a sentence lead where it led: Space does.
    to_tabs(&page);
    to_tab(&page, "report");
    tab_to(&page, "edit-report");
    page.press("Enter");
    tab_to(&page, "edit-sentence");
    page.press("Enter");
    page.wait_until("the editor", PATIENCE, &|page| focused(page) == "sentence-words");
    page.choose("sentence-words", "Looked at by a person.");
    page.press("Enter");
    let edited = "[data-sentence=edited][role=button]";
    page.wait_until("the reader's sentence", PATIENCE, &|page| page.has(edited));
    // The editor gives the focus back with the next picture.
    page.wait_until("the focus", PATIENCE, &|page| focused(page) == "edit-sentence");
    page.evaluate(&format!("document.querySelector('{edited}').focus()"));
    assert_eq!(page.evaluate(&format!("document.activeElement.matches('{edited}')")), true);
    page.press(" ");
    page.wait_until("what was read of the file", PATIENCE, &|page| !page.has("report"));
    assert_eq!(page.attribute("#tab-scan", "aria-selected"), "true");
    assert_content(&page);
}

pub fn slices_move_by_key(stage: &Stage) {
    let page = stage.open();
    open_sample(&page);
    page.evaluate("document.querySelector('[data-pane=axial]').focus()");
    let words = |page: &Page<'_>| page.text(&pane("axial"));
    let before = words(&page);
    page.press("PageUp");
    page.wait_until("another slice", PATIENCE, &|page| words(page) != before);
    page.press("PageDown");
    page.wait_until("the first slice again", PATIENCE, &|page| words(page) == before);
    assert_content(&page);
}

/// Number and count of the axial slices.
fn axial_slice(page: &Page<'_>) -> [i32; 2] {
    let caption = page.attribute(&pane("axial"), "data-slice");
    let (number, count) = caption.split_once(" / ").expect("a slice of several");
    [number, count].map(|part| part.parse().expect("a number"))
}

/// Centre and width of the window.
fn window(page: &Page<'_>) -> [f64; 2] {
    let words = page.text(".reading-window").replace('\u{2212}', "-");
    let words: Vec<&str> = words.split_whitespace().collect();
    [1, 3].map(|at| words[at].parse().unwrap_or_else(|_| panic!("no window: {words:?}")))
}

/// What the left button does.
fn tool(page: &Page<'_>) -> String {
    page.attribute(&pane("axial"), "data-tool")
}

/// Percent.
fn opacity(page: &Page<'_>) -> i32 {
    let value =
        page.evaluate("Number(document.querySelector('[data-test=overlay-opacity]').value)");
    value.as_f64().expect("a number").round() as i32
}

/// Whether the axial plane shows as much colour as before.
fn is_coloured(page: &Page<'_>, colour: f64) -> bool {
    (page.colour_shown(&pane("axial")) - colour).abs() < 0.1
}

/// The small scan with its structures; the focus is on the axial plane and the mouse elsewhere.
fn segmented_with_focus_on_a_plane(stage: &Stage) -> Page<'_> {
    let page = open_small(stage, "cpu");
    page.click("run-button");
    page.wait_for_state("done", RUN_TIMEOUT);
    page.point_at("scan-title", [0.5, 0.5]);
    page.evaluate("document.querySelector('[data-pane=axial]').focus()");
    // From the first key on what has the focus has a ring around it: no later picture differs by that.
    page.press("Escape");
    page
}

/// Those for thick slices, for the brush and for phases need other scans or panels.
pub fn keys_of_the_viewer_move_slices_window_image_and_panes(stage: &Stage) {
    let page = segmented_with_focus_on_a_plane(stage);
    let crosshair = |page: &Page<'_>| numbers(page, "cursor-readout", "data-mm");
    // The left of the image is the patient's right: to the right x falls.
    for (key, axis, rises) in [
        ("ArrowRight", 0, false),
        ("ArrowLeft", 0, true),
        ("ArrowUp", 1, true),
        ("ArrowDown", 1, false),
    ] {
        let before = crosshair(&page);
        page.press(key);
        page.wait_until(&format!("{key} to move the crosshair"), PATIENCE, &|page| {
            let now = crosshair(page);
            let others =
                (0..3).filter(|other| *other != axis).all(|axis| now[axis] == before[axis]);
            others && now[axis] != before[axis] && (now[axis] > before[axis]) == rises
        });
    }

    let [first, count] = axial_slice(&page);
    assert!(first > 1 && first < count, "{first} of {count}");
    for (key, slice) in [
        ("PageUp", first + 1),
        ("PageDown", first),
        ("Home", 1),
        ("End", count),
        ("PageDown", count - 1),
    ] {
        page.press(key);
        page.wait_until(&format!("slice {slice} by {key}"), PATIENCE, &|page| {
            axial_slice(page) == [slice, count]
        });
    }

    // Brighter is a lower centre.
    let automatic = window(&page);
    for (key, at, rises) in [
        ("ArrowRight", 1, true),
        ("ArrowLeft", 1, false),
        ("ArrowUp", 0, false),
        ("ArrowDown", 0, true),
        ("ArrowUp", 0, false),
        ("ArrowRight", 1, true),
    ] {
        let before = window(&page);
        page.press_with(key, SHIFT);
        page.wait_until(&format!("another window by shift and {key}"), PATIENCE, &|page| {
            let now = window(page);
            now[1 - at] == before[1 - at]
                && now[at] != before[at]
                && (now[at] > before[at]) == rises
        });
    }
    assert_ne!(window(&page), automatic);
    page.press("w");
    page.wait_until("the automatic window", PATIENCE, &|page| window(page) == automatic);

    // What lies under a point of the plane, read anew.
    let under = |page: &Page<'_>| {
        page.point_at("scan-title", [0.5, 0.5]);
        page.wait_until("the crosshair's reading", PATIENCE, &|page| {
            page.text("cursor-readout").starts_with("Crosshair")
        });
        read_at(page, "axial", [0.4, 0.45]).0
    };
    let (size, place) = (magnification(&page, "axial"), under(&page));
    // The image goes to the right and up: what comes under the point lay further left and down.
    page.press_with("ArrowRight", CTRL);
    page.press_with("ArrowUp", CTRL);
    let moved = under(&page);
    assert!(moved[0] > place[0] + 1.0 && moved[1] < place[1] - 1.0, "{place:?} to {moved:?}");
    page.press_with("ArrowLeft", CTRL);
    page.press_with("ArrowDown", CTRL);
    let back = under(&page);
    assert!((back[0] - place[0]).abs() < 0.1 && (back[1] - place[1]).abs() < 0.1, "{back:?}");
    page.press_with("ArrowRight", CTRL);
    let sized = |page: &Page<'_>, times: f64| {
        (magnification(page, "axial") - times * size).abs() < 0.03 * size
    };
    for (key, times) in [("+", 1.25), ("-", 1.0), ("-", 0.8), ("+", 1.0), ("+", 1.25), ("0", 1.0)] {
        page.press(key);
        page.wait_until(&format!("{times} times the size by {key}"), PATIENCE, &|page| {
            sized(page, times)
        });
    }
    let whole = under(&page);
    assert!((whole[0] - place[0]).abs() < 0.1, "0 leaves the image where it was moved");

    let layout = |page: &Page<'_>| page.attribute(".viewer-stage", "data-layout");
    assert_eq!(layout(&page), "grid");
    for (key, name) in [("2", "coronal"), ("3", "sagittal"), ("4", "solid"), ("1", "axial")] {
        page.press(key);
        page.wait_until(&format!("the {name} pane"), PATIENCE, &|page| focused(page) == name);
    }
    for (key, wanted) in [("1", "single"), ("5", "grid"), ("6", "large"), ("5", "grid")] {
        page.press(key);
        page.wait_until(&format!("{wanted} by {key}"), PATIENCE, &|page| layout(page) == wanted);
    }
    assert_content(&page);
}

pub fn keys_of_the_viewer_change_structures_sides_tool_and_help(stage: &Stage) {
    let page = segmented_with_focus_on_a_plane(stage);
    let axial = pane("axial");
    page.wait_until("colour over the plane", PATIENCE, &|page| {
        page.colour_shown(&pane("axial")) > 3.0
    });
    page.wait_until("a picture that stays", PATIENCE, &|page| {
        let colour = page.colour_shown(&pane("axial"));
        (page.colour_shown(&pane("axial")) - colour).abs() < 0.01
    });
    let full = page.colour_shown(&axial);
    page.press("l");
    page.wait_until("outlines", PATIENCE, &|page| !is_coloured(page, full));
    page.press("l");
    page.wait_until("filled structures", PATIENCE, &|page| is_coloured(page, full));
    let percent = opacity(&page);
    page.press("[");
    page.wait_until("a fainter overlay", PATIENCE, &|page| {
        opacity(page) == percent - 10 && page.colour_shown(&pane("axial")) < full
    });
    page.press("]");
    page.wait_until("the first opacity", PATIENCE, &|page| opacity(page) == percent);

    // Without structures only the crosshair has a colour.
    page.press("o");
    page.wait_until("a grey plane", PATIENCE, &|page| {
        page.colour_shown(&pane("axial")) < full / 3.0
    });
    page.click_at(&axial, [0.4, 0.35]);
    page.point_at("scan-title", [0.5, 0.5]);
    let line = |page: &Page<'_>| page.colour_at(&pane("axial"), [0.4, 0.65]);
    page.wait_until("the crosshair's line", PATIENCE, &|page| line(page) > 3.0);
    page.press("x");
    page.wait_until("no crosshair", PATIENCE, &|page| line(page) < 1.0);

    let places = [[0.35, 0.3], [0.45, 0.35], [0.55, 0.4], [0.6, 0.55], [0.45, 0.6], [0.4, 0.7]];
    let grey = |page: &Page<'_>| places.map(|at| page.grey_at(&pane("axial"), at));
    let before = grey(&page);
    let change = |page: &Page<'_>| {
        let pairs = grey(page).into_iter().zip(before);
        pairs.map(|(now, before)| (now - before).abs()).fold(0.0, f64::max)
    };
    page.press("i");
    page.wait_until("inverted greys", PATIENCE, &|page| change(page) > 40.0);
    page.press("i");
    page.wait_until("the first greys", PATIENCE, &|page| change(page) < 2.0);
    page.press("x");
    page.wait_until("the crosshair again", PATIENCE, &|page| line(page) > 3.0);
    page.press("o");
    page.wait_until("colour again", PATIENCE, &|page| {
        page.colour_shown(&pane("axial")) > full / 2.0
    });

    let convention = |page: &Page<'_>| page.attribute("convention-toggle", "data-convention");
    for wanted in ["neurological", "radiological"] {
        page.press("n");
        page.wait_until(wanted, PATIENCE, &|page| convention(page) == wanted);
    }
    for wanted in ["window", "pan", "zoom", "crosshair"] {
        page.press("t");
        page.wait_until(&format!("the tool {wanted}"), PATIENCE, &|page| tool(page) == wanted);
    }

    // The list names keys, gets the focus, and closes by the keys that it names.
    for (open, close) in [("h", "Escape"), ("?", "h")] {
        page.press(open);
        page.wait_until(&format!("the list by {open}"), PATIENCE, &|page| {
            page.has(".viewer-help") && page.text(".viewer-help").contains("Zoom")
        });
        page.press(close);
        page.wait_until("the list to close", PATIENCE, &|page| !page.has(".viewer-help"));
    }
    assert_content(&page);
}

pub fn a_series_is_picked_by_key(stage: &Stage) {
    let page = stage.open();
    page.choose_files("file-input", &scans::golden("dicom_two_series"));
    page.wait_until("the list of series", PATIENCE, &|page| page.has("series-choice"));
    assert!(page.text("series-choice").contains("t1 sagittal"), "{}", page.text("series-choice"));
    // The smaller one, which the page would not take by itself.
    let focused = "document.activeElement?.dataset.series === 'series-2'";
    let reached = (0..STOPS).any(|_| {
        let there = page.evaluate(focused) == true;
        if !there {
            page.press("Tab");
        }
        there
    });
    assert!(reached, "the second series is not reached by the tab key");
    page.press("Enter");
    page.wait_for_state("scan", PATIENCE);
    assert!(page.text("scan-title").contains("t2 axial"), "{}", page.text("scan-title"));
    assert_eq!(page.attribute("scan-title", "data-dims"), "16x12x2");
    // Escape leaves the list and the scan as they were.
    page.click("#tab-scan");
    page.click("choose-series");
    page.wait_until("the list again", PATIENCE, &|page| page.has("series-choice"));
    page.press("Escape");
    page.wait_until("the list to be gone", PATIENCE, &|page| !page.has("series-choice"));
    assert_eq!(page.attribute("scan-title", "data-dims"), "16x12x2");
    assert_content(&page);
}
