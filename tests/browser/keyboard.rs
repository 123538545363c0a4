//! The page without a mouse.

use std::collections::BTreeSet;

use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;

use crate::reading::{assert_content, open_sample, pane};

/// More presses of the tab key than the page has stops.
const STOPS: usize = 120;

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
