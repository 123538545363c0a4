//! The page without a mouse.

use std::collections::BTreeSet;
use std::time::Duration;

use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;
use serde_json::json;

use crate::reading::{assert_content, open_sample, pane};

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
    tab_to(&page, "sample-button");
    page.press("Enter");
    page.wait_for_state("scan", PATIENCE);
    let mut reached = BTreeSet::new();
    for _ in 0..STOPS {
        page.press("Tab");
        reached.insert(focused(&page));
    }
    for hook in ["run-button", "device-choice", "axial", "coronal", "sagittal", "convention-toggle"]
    {
        assert!(reached.contains(hook), "{hook} is not reached by the tab key, only {reached:?}");
    }
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
