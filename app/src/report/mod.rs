//! What the reader does to the report: sentences changed, taken out and given back, and
//! the choice between plain sentences and those of the report decoder.
//!
//! Lives with the page and not with the panel, so that neither another tab nor another
//! run of the same scan loses a word; another scan begins anew.

use std::sync::Arc;

use js_sys::Uint8Array;
use leptos::prelude::*;
use prism_core::report::{Edits, Report, RunManifest, Wording};
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
        }
    }

    /// Another scan: another report.
    pub fn forget_scan(&self) {
        self.draft.set(None);
        self.edits.set(Edits::default());
        self.editing.set(false);
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
        if !generated || reporting.decoder.with_untracked(Option::is_some) {
            reporting.generated.set(generated);
            return;
        }
        leptos::task::spawn_local(async move {
            match decoder().await {
                Ok(decoder) => {
                    reporting.decoder.set(Some(Arc::new(decoder)));
                    reporting.generated.set(true);
                }
                Err(message) => app.notify(Tone::Problem, message),
            }
        });
    }

    /// The report in the wording that is chosen, without the reader's sentences.
    pub fn worded_report(&self, result: &RunResult) -> Report {
        let decoder = self.reporting.decoder.get().filter(|_| self.reporting.generated.get());
        decoder.map_or_else(|| result.report.clone(), |decoder| decoder.word(&result.report).0)
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
    /// A sentence, when the run's manifest cannot be read back.
    pub fn fhir(&self, result: &RunResult) -> Result<String, String> {
        let failed =
            |error: serde_json::Error| format!("the FHIR report was not written ({error})");
        let manifest: RunManifest = serde_json::from_str(&result.manifest).map_err(failed)?;
        self.edited_report(result).to_fhir(&manifest).map_err(failed)
    }

    /// Says so where a new report has no place for sentences of the reader: they are kept
    /// and return with the report they belong to.
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
                    "{lost} {sentences} that you changed {are} not part of the new report, because \
                     what was measured changed."
                ),
            );
        }
    }
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
