//! The report: sentences changed without a mouse, told apart in every file, nothing lost.

use std::time::Duration;

use prism_core::report::NOT_A_DEVICE;
use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;
use serde_json::Value;

use crate::reading::assert_content;

/// A run on the CPU where two cores are shared.
const RUN: Duration = Duration::from_secs(600);

const WORDS: &str = "Looked at by a person & found <plain>.";
const OWN: &str = "Compared with a drawing.";

/// Whether the page may be left without a question.
const MAY_LEAVE: &str = "window.dispatchEvent(new Event('beforeunload', { cancelable: true }))";

fn count(page: &Page<'_>, selector: &str) -> u64 {
    let count = format!("document.querySelectorAll(\"{selector}\").length");
    page.evaluate(&count).as_u64().unwrap_or_default()
}

fn text_of(page: &Page<'_>, hook: &str) -> String {
    String::from_utf8(page.download(hook).bytes).expect("text")
}

pub fn a_changed_sentence_is_told_apart_and_nothing_is_lost(stage: &Stage) {
    let page = Page::open(&stage.browser, &stage.url, true);
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_for_state("done", RUN);
    page.click("#tab-report");
    let before = page.text("report");
    assert_eq!(count(&page, "[data-test=edit-sentence]"), 0, "no tools before they are wanted");

    assert_eq!(page.evaluate(MAY_LEAVE), true);
    page.click("edit-report");
    page.wait_until("tools", PATIENCE, &|page| page.has("edit-sentence"));
    assert!(before.contains(NOT_A_DEVICE));
    assert_eq!(count(&page, "[aria-label^='Edit: For research']"), 0, "the line that stays");
    let generated = page.attribute("edit-sentence", "aria-label");
    let generated = generated.trim_start_matches("Edit: ").to_owned();
    // By keyboard: open, type, keep.
    page.evaluate("document.querySelector('[data-test=edit-sentence]').focus()");
    page.press("Enter");
    page.wait_until("the editor", PATIENCE, &|page| page.has("sentence-words"));
    page.wait_until("the focus in it", PATIENCE, &|page| {
        page.evaluate("document.activeElement.dataset.test === 'sentence-words'") == true
    });
    page.choose("sentence-words", WORDS);
    page.press("Enter");
    page.wait_until("the reader's sentence", PATIENCE, &|page| {
        page.texts("[data-sentence=edited]").contains(WORDS)
    });
    assert!(page.text("edits-note").starts_with("1 of "), "{}", page.text("edits-note"));
    assert_eq!(page.evaluate(MAY_LEAVE), false);

    // A sentence that is being typed survives another tab.
    page.evaluate("document.querySelectorAll('[data-test=edit-sentence]')[1].click()");
    page.wait_until("the editor", PATIENCE, &|page| page.has("sentence-words"));
    page.choose("sentence-words", "Half a sen");
    page.click("#tab-structures");
    page.wait_until("the other tab", PATIENCE, &|page| !page.has("report"));
    page.click("#tab-report");
    page.wait_until("the editor again", PATIENCE, &|page| page.has("sentence-words"));
    assert_eq!(
        page.evaluate("document.querySelector('[data-test=sentence-words]').value"),
        "Half a sen"
    );
    page.press("Escape");
    page.evaluate("document.querySelector('[data-test=leave-sentence]')?.click()");
    page.wait_until("the editor to close", PATIENCE, &|page| !page.has("sentence-words"));
    assert_eq!(count(&page, "[data-sentence=edited]"), 1);

    let html = text_of(&page, "download-report");
    assert!(html.contains(
        "<p class=\"edited\"><b>[edited]</b> <a href=\"#technique\">Looked at by a person &amp; found \
         &lt;plain&gt;.</a></p>"
    ));
    assert_eq!(html.matches("<b>[edited]</b>").count(), 1);

    let text = text_of(&page, "save-text");
    assert!(text.contains("[edited] Looked at by a person & found <plain>."), "{text}");

    let bundle: Value = serde_json::from_str(&text_of(&page, "download-fhir")).expect("JSON");
    assert_eq!(bundle["resourceType"], "Bundle");
    let entries = bundle["entry"].as_array().expect("entries");
    let report = &entries[0]["resource"];
    assert_eq!(report["resourceType"], "DiagnosticReport");
    assert_eq!(report["status"], "preliminary");
    assert_eq!(report["text"]["status"], "additional");
    assert!(report["text"]["div"].as_str().is_some_and(|div| div.contains("[edited] Looked at")));
    let observations =
        entries.iter().filter(|entry| entry["resource"]["resourceType"] == "Observation").count();
    assert_eq!(report["result"].as_array().map(Vec::len), Some(observations));
    assert!(observations > 10, "{observations}");

    // A sentence of the reader's own, which is told apart and taken away again.
    page.click("add-sentence");
    page.wait_until("the editor", PATIENCE, &|page| page.has("sentence-words"));
    page.choose("sentence-words", OWN);
    page.click("keep-sentence");
    page.wait_until("the added sentence", PATIENCE, &|page| {
        page.texts("[data-sentence=edited]").contains(OWN)
    });
    assert!(text_of(&page, "save-text").contains(&format!("[edited] {OWN}")));
    page.click("[aria-label=\"Remove: the sentence you added\"]");
    page.wait_until("it to go", PATIENCE, &|page| count(page, "[data-sentence=edited]") == 1);

    // Given back, everything is as the program wrote it.
    page.click("reset-sentence");
    page.wait_until("the program's sentence", PATIENCE, &|page| {
        page.text("report").contains(&generated)
    });
    page.click("edit-report");
    page.wait_until("no tools", PATIENCE, &|page| !page.has("edit-sentence"));
    assert_eq!(page.text("report"), before);
    assert_eq!(page.evaluate(MAY_LEAVE), true);

    // The decoder's words, and back.
    assert!(page.text("wording-why").contains("leaves out some of what it is told"));
    page.click("wording-generated");
    page.wait_until("the decoder's words", PATIENCE, &|page| {
        page.has("wording-note") && page.text("report") != before
    });
    assert!(page.text("report").contains("mL"), "{}", page.text("report"));
    assert!(page.text("report").contains("worded by a small neural network"));
    assert!(page.has("wording-card"));
    page.click("wording-plain");
    page.wait_until("the plain words", PATIENCE, &|page| page.text("report") == before);

    // A changed sentence that the other wording does not have is kept, on the page and in files.
    page.click("edit-report");
    page.wait_until("tools", PATIENCE, &|page| page.has("edit-sentence"));
    page.click("[aria-label^=\"Edit: The labelled brain tissue\"]");
    page.wait_until("the editor", PATIENCE, &|page| page.has("sentence-words"));
    page.choose("sentence-words", OWN);
    page.click("wording-generated");
    page.wait_until("it beside the decoder's words", PATIENCE, &|page| {
        page.has("wording-note")
            && page.texts("[data-test=displaced] [data-sentence=edited]").contains(OWN)
    });
    page.wait_until("a word on it", PATIENCE, &|page| {
        page.texts("notice").contains("not part of the report as it is now")
    });
    assert!(text_of(&page, "save-text").contains(&format!("[edited] {OWN}")));
    page.click("wording-plain");
    page.wait_until("the sentence", PATIENCE, &|page| {
        page.texts("[data-sentence=edited]").contains(OWN) && !page.has("displaced")
    });
    page.click("reset-sentence");
    // The focus follows, and scrolls.
    page.wait_until("the sentence's own button", PATIENCE, &|page| {
        page.evaluate("document.activeElement.dataset.test === 'edit-sentence'") == true
    });
    page.click("edit-report");
    page.wait_until("the plain words again", PATIENCE, &|page| page.text("report") == before);

    // A sum leads to the structures that it adds up.
    page.click("[data-source=total-brain]");
    page.wait_until("the structures of the sum", PATIENCE, &|page| {
        count(page, "[data-test=volumes-table] tr[data-summed].lit") > 5
    });

    // What was written waits where another scan is opened.
    page.click("#tab-report");
    page.click("edit-report");
    page.wait_until("tools", PATIENCE, &|page| page.has("edit-sentence"));
    page.click("edit-sentence");
    page.wait_until("the editor", PATIENCE, &|page| page.has("sentence-words"));
    page.choose("sentence-words", OWN);
    page.drop_files("#planes", &scans::golden("dicom_explicit"));
    page.wait_until("the other scan", PATIENCE, &|page| {
        page.texts("notice").contains("is kept while this page is open")
    });
    assert_eq!(page.evaluate(MAY_LEAVE), false);
    page.drop_files("#planes", &[scans::small(&stage.folder)]);
    page.wait_until("the sentence with its scan", PATIENCE, &|page| {
        page.texts("notice").contains("report of this scan is back")
    });
    assert_eq!(page.evaluate(MAY_LEAVE), false);
    assert_content(&page);
}
