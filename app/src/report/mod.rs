//! What the reader does to the report: sentences changed, taken out and given back, and
//! the choice between plain sentences and those of the report decoder.
//!
//! The report is written here, from what the run measured and what the page learns later:
//! what the image shows, lesions, phases of a heartbeat, a second scan.
//!
//! Lives with the page and not with the panel, so that neither another tab nor another
//! run of the same scan loses a word; another scan begins anew.

use std::sync::Arc;

use js_sys::Uint8Array;
use leptos::prelude::*;
use prism_core::report::{Edits, Report, ReportInput, RunManifest, SoftwareFacts, Wording};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;

use crate::actions::fetch_blob;
use crate::protocol::RunResult;
use crate::state::{App, Tone};

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
        }
    }

    /// Another scan: another report.
    pub fn forget_scan(&self) {
        self.draft.set(None);
        self.edits.set(Edits::default());
        self.editing.set(false);
        self.sum.set(None);
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
        let switch = move || {
            reporting.generated.set(generated);
            if let Some(result) = app.result.get_untracked() {
                app.check_edits(&result);
            }
        };
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

    /// Says so where the report as it is now has no place for sentences of the reader: they
    /// are kept and return with the sentences they belong to.
    pub fn check_edits(&self, result: &RunResult) {
        let lost = untrack(|| {
            let report = self.worded_report(result);
            self.reporting.edits.with(|edits| edits.without_place(&report))
        });
        if lost > 0 {
            let (sentences, are) =
                if lost == 1 { ("sentence", "is") } else { ("sentences", "are") };
            self.notify(
                Tone::Calm,
                format!(
                    "{lost} {sentences} that you changed {are} not part of the report as it is now: \
                     what was measured, or the wording, is another. Your words are kept and return with \
                     the {sentences} of the program that they replaced."
                ),
            );
        }
    }
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
