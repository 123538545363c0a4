//! What the reader does to the report: sentences changed, taken out and given back.
//!
//! Lives with the page and not with the panel, so that neither another tab nor another
//! run of the same scan loses a word; another scan begins anew.

use leptos::prelude::*;
use prism_core::report::{Edits, Report, RunManifest};

use crate::protocol::RunResult;
use crate::state::{App, Tone};

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
}

impl Reporting {
    /// Nothing changed.
    pub fn new() -> Self {
        Self {
            editing: RwSignal::new(false),
            edits: RwSignal::new(Edits::default()),
            draft: RwSignal::new(None),
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
    /// The report as it is to be passed on: with the reader's sentences, those that are
    /// still being typed among them.
    pub fn edited_report(&self, result: &RunResult) -> Report {
        self.reporting.keep();
        self.reporting.edits.with_untracked(|edits| edits.apply(&result.report))
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
        let lost = self.reporting.edits.with_untracked(|edits| edits.without_place(&result.report));
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
