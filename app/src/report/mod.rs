//! What the reader does to the report: sentences changed, taken out and given back, and
//! the choice between plain sentences and those of the report decoder.
//!
//! The report is written here, from what the run measured and what the page learns later:
//! what the image shows, lesions, phases of a heartbeat, a second scan.
//!
//! Lives with the page and not with the panel, so that neither another tab nor another
//! run of the same scan loses a word. The sentences of a scan that is not shown any more are
//! kept while the page is open, and the browser asks before it leaves a page with some.

mod kept;

use std::sync::Arc;

use js_sys::Uint8Array;
use leptos::prelude::*;
use prism_core::report::{Edits, Report, ReportInput, RunManifest, SoftwareFacts, Wording};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;

use crate::actions::fetch_blob;
use crate::protocol::{RunResult, ScanFacts};
use crate::state::{App, Tone};
use kept::Kept;

/// The report decoder, beside the page; fetched when it is first wanted.
const DECODER: &str = "./packs/report.safetensors";

/// A sentence's place: the key of its section and the program's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Key of the section.
    pub section: String,
    /// The program's words.
    pub generated: String,
}

impl Place {
    /// Whether the sentence is the reader's own.
    pub fn is_added(&self) -> bool {
        Edits::is_added(&self.generated)
    }

    /// The sentence in labels.
    pub fn called(&self) -> &str {
        if self.is_added() { "the sentence you added" } else { &self.generated }
    }
}

/// What is typed at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Where.
    pub place: Place,
    /// The words so far.
    pub words: String,
}

impl Draft {
    /// Whether something else is typed than the program's words.
    fn is_changed(&self) -> bool {
        let own = if self.place.is_added() { "" } else { self.place.generated.as_str() };
        self.words.trim() != own.trim()
    }
}

/// The reader's side of the report.
#[derive(Clone, Copy)]
pub struct Reporting {
    /// Whether sentences offer to be changed.
    pub editing: RwSignal<bool>,
    /// The reader's sentences.
    pub edits: RwSignal<Edits>,
    /// The sentence that is open, if any.
    pub draft: RwSignal<Option<Draft>>,
    /// Whether the report is worded by the decoder.
    pub generated: RwSignal<bool>,
    /// The decoder, once it is there.
    pub decoder: RwSignal<Option<Arc<Wording>>>,
    /// Key of the sum whose structures are lit in their table.
    pub sum: RwSignal<Option<String>>,
    /// The reader's sentences of other scans.
    kept: StoredValue<Kept>,
    /// Whether the report is watched already.
    watched: StoredValue<bool>,
}

impl Reporting {
    /// Nothing changed.
    pub fn new() -> Self {
        Self {
            editing: RwSignal::new(false),
            edits: RwSignal::new(Edits::default()),
            draft: RwSignal::new(None),
            generated: RwSignal::new(false),
            decoder: RwSignal::new(None),
            sum: RwSignal::new(None),
            kept: StoredValue::new(Kept::default()),
            watched: StoredValue::new(false),
        }
    }

    /// Turns from the report of one scan to that of another: what the reader wrote for the
    /// first is kept, and what was kept for the other is back. Returns whether each was so.
    pub fn turn(&self, from: Option<&ScanFacts>, to: &ScanFacts) -> [bool; 2] {
        self.keep();
        self.editing.set(false);
        self.sum.set(None);
        let edits = self.edits.try_update(std::mem::take).unwrap_or_default();
        let left = !edits.is_empty() && from.is_some_and(|from| !kept::same(from, to));
        let turned = self.kept.try_update_value(|kept| kept.turn(from, to, edits));
        let edits = turned.unwrap_or_default();
        let back = !edits.is_empty();
        self.edits.set(edits);
        [left, back]
    }

    /// Whether the reader has changed the report that is shown, kept or still typing.
    pub fn is_touched(&self) -> bool {
        let typed = self.draft.with(|draft| draft.as_ref().is_some_and(Draft::is_changed));
        typed || self.edits.with(|edits| !edits.is_empty())
    }

    /// Whether something the reader wrote is gone with the page.
    fn ends_with_page(&self) -> bool {
        untrack(|| self.is_touched()) || self.kept.with_value(|kept| !kept.is_empty())
    }

    /// The reader's words for a sentence.
    pub fn words(&self, place: &Place) -> Option<String> {
        self.edits.with(|edits| edits.get(&place.section, &place.generated).map(str::to_owned))
    }

    /// Opens a sentence; one that is open already is kept as it is typed.
    pub fn open(&self, place: &Place) {
        self.keep();
        let words = self.words(place).unwrap_or_else(|| place.generated.clone());
        self.draft.set(Some(Draft { place: place.clone(), words }));
    }

    /// Opens a further sentence at the end of a section.
    pub fn add(&self, section: &str) {
        self.keep();
        let generated = self.edits.with_untracked(|edits| edits.next(section));
        let place = Place { section: section.to_owned(), generated };
        self.draft.set(Some(Draft { place, words: String::new() }));
    }

    /// Keys of the sentences that the reader added to a section; one that is being typed for
    /// the first time is the last.
    pub fn added(&self, section: &str) -> Vec<String> {
        let mut keys: Vec<String> =
            self.edits.with(|edits| edits.added(section).map(|(key, _)| key.to_owned()).collect());
        let typed = self.draft.with(|draft| draft.as_ref().map(|draft| draft.place.clone()));
        if let Some(place) = typed
            && place.section == section
            && place.is_added()
            && !keys.contains(&place.generated)
        {
            keys.push(place.generated);
        }
        keys
    }

    /// Takes over what is typed.
    pub fn keep(&self) {
        let draft = self.draft.try_update(Option::take).flatten();
        if let Some(Draft { place, words }) = draft {
            self.edits.update(|edits| edits.set(&place.section, &place.generated, &words));
        }
    }

    /// Gives a sentence back the program's words.
    pub fn reset(&self, place: &Place) {
        self.edits.update(|edits| edits.reset(&place.section, &place.generated));
    }
}

impl Default for Reporting {
    fn default() -> Self {
        Self::new()
    }
}

impl App {
    /// Chooses between plain sentences and the decoder's.
    pub fn choose_wording(&self, generated: bool) {
        let app = *self;
        let reporting = self.reporting;
        reporting.keep();
        let switch = move || reporting.generated.set(generated);
        if !generated || reporting.decoder.with_untracked(Option::is_some) {
            switch();
            return;
        }
        leptos::task::spawn_local(async move {
            match decoder().await {
                Ok(decoder) => {
                    reporting.decoder.set(Some(Arc::new(decoder)));
                    switch();
                }
                Err(message) => app.notify(Tone::Problem, message),
            }
        });
    }

    /// What the report is written from: the run, and what is known beside it by now.
    pub fn report_input(&self, result: &RunResult) -> ReportInput {
        ReportInput {
            identified: self
                .identifying
                .found
                .with(|found| found.as_ref().map(|found| found.identification.clone())),
            lesions: self.lesion_facts(),
            heart: self.cine.facts(),
            comparison: self.compare.facts(),
            software: SoftwareFacts { build: build(), ..SoftwareFacts::default() },
            ..result.input.clone()
        }
    }

    /// The report in the wording that is chosen, without the reader's sentences.
    pub fn worded_report(&self, result: &RunResult) -> Report {
        let report = Report::write(&self.report_input(result));
        let decoder = self.reporting.decoder.get().filter(|_| self.reporting.generated.get());
        match decoder {
            Some(decoder) => decoder.word(&report).0,
            None => report,
        }
    }

    /// What made the report, as it is to be passed on.
    pub fn manifest(&self, result: &RunResult) -> RunManifest {
        let input = untrack(|| self.report_input(result));
        let report = untrack(|| self.worded_report(result));
        RunManifest::of(&input).with_wording_of(&report)
    }

    /// The report as it is to be passed on: with the reader's sentences, those that are
    /// still being typed among them.
    pub fn edited_report(&self, result: &RunResult) -> Report {
        self.reporting.keep();
        let report = untrack(|| self.worded_report(result));
        self.reporting.edits.with_untracked(|edits| edits.apply(&report))
    }

    /// The report as a FHIR Bundle.
    ///
    /// # Errors
    /// A sentence, when it has no JSON form.
    pub fn fhir(&self, result: &RunResult) -> Result<String, String> {
        let report = self.edited_report(result);
        report
            .to_fhir(&self.manifest(result))
            .map_err(|error| format!("the FHIR report was not written ({error})"))
    }

    /// Watches the report for sentences of the reader that lose their place, whatever changes
    /// it, and has the browser ask before it leaves a page with the reader's sentences. Called
    /// with every scan; begins with the first and ends with the page.
    pub fn watch_report(&self) {
        let app = *self;
        let watched = self.reporting.watched;
        if watched.try_update_value(|watched| std::mem::replace(watched, true)) != Some(false) {
            return;
        }
        // Without a word of the reader's there is no need to write the report.
        let touched = Memo::new(move |_| app.reporting.is_touched());
        let report = Memo::new(move |_| {
            let result = app.result.get().filter(|_| touched.get());
            result.map(|result| app.worded_report(&result))
        });
        Effect::new(move |_| {
            if let Some(report) = report.get() {
                app.check_places(&report);
            }
        });
        let _ = window_event_listener_untyped("beforeunload", move |event| {
            if app.reporting.ends_with_page() {
                // The browser asks, in words of its own.
                event.prevent_default();
            }
        });
    }

    /// Says so where the report has no place for sentences of the reader.
    fn check_places(&self, report: &Report) {
        let reporting = self.reporting;
        let typed = reporting.draft.with_untracked(|draft| {
            draft.as_ref().is_some_and(|Draft { place, .. }| {
                !Edits::has_place(report, &place.section, &place.generated)
            })
        });
        if typed {
            // Its editor is gone.
            reporting.keep();
        }
        for (tone, line) in reporting.edits.with_untracked(|edits| displaced(edits, report)) {
            self.notify(tone, line);
        }
    }
}

/// What to say of sentences of the reader that have no place in the report.
fn displaced(edits: &Edits, report: &Report) -> Vec<(Tone, String)> {
    let (gone, words): (Vec<_>, Vec<_>) =
        edits.displaced(report).partition(|(.., words)| words.is_empty());
    let mut lines = Vec::new();
    if !words.is_empty() {
        let (what, stand) = match words.as_slice() {
            [(.., words)] => (format!("Your sentence “{words}” is"), "It stands"),
            all => (format!("{} of your sentences are", all.len()), "They stand"),
        };
        lines.push((
            Tone::Calm,
            format!(
                "{what} not part of the report as it is now: what was measured, or the wording, is \
                 another. {stand} at its end, until the program's words are back."
            ),
        ));
    }
    // Nothing in the report shows it, so the line stays.
    lines.extend(gone.into_iter().map(|(_, generated, _)| {
        let line = format!(
            "You took out “{generated}”; the report does not say it like that any more, but may \
             say it in other words: take them out again if need be."
        );
        (Tone::Problem, line)
    }));
    lines
}

/// What the page's `<meta>` says of its build (xtask/src/build.rs).
fn build() -> Option<String> {
    let meta = document().query_selector("meta[name=build]").ok().flatten()?;
    meta.get_attribute("content")
}

/// Fetches and reads the decoder.
async fn decoder() -> Result<Wording, String> {
    let missing =
        || "The report decoder could not be fetched; the sentences stay plain.".to_owned();
    let blob = JsFuture::from(fetch_blob(DECODER.to_owned())).await.map_err(|_| missing())?;
    let blob: web_sys::Blob = blob.dyn_into().map_err(|_| missing())?;
    let bytes = JsFuture::from(blob.array_buffer()).await.map_err(|_| missing())?;
    Wording::read(&Uint8Array::new(&bytes).to_vec())
        .map_err(|error| format!("The sentences stay plain: {error}."))
}

#[cfg(test)]
mod tests {
    use prism_core::measure::{Quality, Totals};
    use prism_core::report::{Section, Sentence};

    use super::*;

    /// A report of these sentences in a section.
    fn report(sentences: &[&str]) -> Report {
        let sentence = |text: &&str| Sentence { text: (*text).into(), ..Sentence::default() };
        let sentences = sentences.iter().map(sentence).collect();
        let section = Section { key: "impression".into(), title: "Impression".into(), sentences };
        Report {
            title: String::new(),
            started: String::new(),
            sections: vec![section],
            structures: Vec::new(),
            unit_assumed: false,
            totals: Totals::of(&[]),
            sums: Vec::new(),
            quality: Quality::default(),
            lesions: None,
            heart: None,
            comparison: None,
            side_errors: None,
            maps: None,
            worded_by: None,
        }
    }

    #[test]
    fn what_loses_its_place_is_said_with_its_words() {
        let mut edits = Edits::default();
        edits.set("impression", "2 mL.", "About 2 mL.");
        edits.set("impression", "1 lesion.", "");
        assert!(displaced(&edits, &report(&["2 mL.", "1 lesion."])).is_empty());
        let lines = displaced(&edits, &report(&["3 mL.", "2 lesions."]));
        assert_eq!(
            lines.iter().map(|(tone, _)| *tone).collect::<Vec<_>>(),
            [Tone::Calm, Tone::Problem]
        );
        assert!(lines[0].1.starts_with("Your sentence “About 2 mL.” is not part of the report"));
        assert!(lines[1].1.starts_with("You took out “1 lesion.”"), "{lines:?}");
    }

    #[test]
    fn a_draft_counts_once_it_is_changed() {
        let draft = |generated: &str, words: &str| Draft {
            place: Place { section: "impression".into(), generated: generated.into() },
            words: words.into(),
        };
        let added = Edits::default().next("impression");
        for (generated, words, changed) in [
            ("2 mL.", "2 mL.", false),
            ("2 mL.", "3 mL.", true),
            ("2 mL.", "", true),
            (added.as_str(), " ", false),
            (added.as_str(), "Seen.", true),
        ] {
            assert_eq!(draft(generated, words).is_changed(), changed, "{generated}: {words}");
        }
    }
}
