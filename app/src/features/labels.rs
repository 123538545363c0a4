//! Whole scans with a label, and the head fitted on them as soon as there are enough.
//!
//! The page keeps the pooled features of each labelled scan, not its voxels, and gives them
//! to the worker for every fit.

use js_sys::ArrayBuffer;
use leptos::prelude::*;
use prism_core::identify::Answer;
use prism_core::identify::taught::{LEAST_SCANS, LabelledScan};
use wasm_bindgen::{JsCast, JsValue};

use super::Mode;
use super::messages::{Ask, Taught};
use crate::actions::sentence;
use crate::download;
use crate::protocol::RequestId;
use crate::state::{App, Tone};

/// Name of the file that a head is saved as.
const HEAD_FILE: &str = "classifier.safetensors";

/// A scan with a label.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// For lists.
    pub id: u32,
    /// Name of the scan, which stays on this page.
    pub title: String,
    /// Whether it is the scan that is shown.
    pub open: bool,
    /// SHA-256 of the model that its features are of, as it was chosen.
    key: Option<String>,
    /// Label and features.
    pub scan: LabelledScan,
}

/// What the page knows of labelled scans. `Copy`: a bundle of signals.
#[derive(Clone, Copy)]
pub struct Labels {
    /// The scans, in the order in which they were labelled.
    pub scans: RwSignal<Vec<Labelled>>,
    /// What is typed.
    pub typed: RwSignal<String>,
    /// The head that was fitted last, or read from a file.
    pub head: RwSignal<Option<Taught>>,
    /// What it says of the shown scan.
    pub answer: RwSignal<Option<Answer>>,
    /// The head's file.
    file: StoredValue<Option<ArrayBuffer>, LocalStorage>,
    /// Label of the scan whose features are being computed.
    pending: StoredValue<String>,
    /// Whether the scans changed since the last fit.
    changed: StoredValue<bool>,
}

impl Labels {
    /// None yet.
    pub fn new() -> Self {
        Self {
            scans: RwSignal::new(Vec::new()),
            typed: RwSignal::new(String::new()),
            head: RwSignal::new(None),
            answer: RwSignal::new(None),
            file: StoredValue::new_local(None),
            pending: StoredValue::new(String::new()),
            changed: StoredValue::new(false),
        }
    }

    /// Forgets which scan is shown.
    pub(super) fn close_scan(self) {
        self.scans.update(|all| all.iter_mut().for_each(|scan| scan.open = false));
        self.answer.set(None);
    }

    /// The labels in use, each with its scans, in the order in which they first came.
    pub fn counts(self) -> Vec<(String, usize)> {
        self.scans.with(|all| counts(all.iter().map(|scan| scan.scan.label.as_str())))
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::new()
    }
}

/// Words with how often each comes, in the order in which they first came.
fn counts<'a>(words: impl Iterator<Item = &'a str>) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for word in words {
        match found.iter_mut().find(|(held, _)| held == word) {
            Some((_, count)) => *count += 1,
            None => found.push((word.to_owned(), 1)),
        }
    }
    found
}

/// The scans of labels that have enough, if these are two labels at least.
fn enough(scans: Vec<LabelledScan>) -> Option<Vec<LabelledScan>> {
    let counts = counts(scans.iter().map(|scan| scan.label.as_str()));
    let has_enough =
        |label: &str| counts.iter().any(|(held, count)| held == label && *count >= LEAST_SCANS);
    let labels = counts.iter().filter(|(label, _)| has_enough(label)).count();
    (labels > 1).then(|| scans.into_iter().filter(|scan| has_enough(&scan.label)).collect())
}

impl App {
    /// Gives the shown scan the label that is typed.
    pub fn label_scan(&self) {
        let labels = self.features.labels;
        let label = labels.typed.get_untracked().trim().to_owned();
        let busy = self.features.busy.with_untracked(Option::is_some);
        // While another scan is read, the question would be answered for that one.
        if label.is_empty() || busy || self.reading.with_untracked(Option::is_some) {
            return;
        }
        labels.pending.set_value(label);
        self.ask("Computing features", Ask::Pool, Vec::new());
    }

    /// Keeps the features of the shown scan with the label that was given.
    pub(super) fn keep_label(&self, vectors: Vec<(String, Vec<f32>)>) {
        let labels = self.features.labels;
        let scan = LabelledScan { label: labels.pending.get_value(), vectors };
        let (title, key) = (self.scan_title(), self.models.chosen.get_untracked());
        labels.scans.update(|all| {
            all.retain(|held| !held.open);
            let id = all.iter().map(|held| held.id).max().unwrap_or(0) + 1;
            all.push(Labelled { id, title, open: true, key, scan });
        });
        labels.changed.set_value(true);
    }

    /// Takes the label of a scan away.
    pub fn drop_label(&self, id: u32) {
        let labels = self.features.labels;
        labels.scans.update(|all| all.retain(|held| held.id != id));
        labels.changed.set_value(true);
        self.teach_or_classify();
    }

    /// Fits the head anew if the scans changed; else asks what it says of the shown scan,
    /// where that is not known.
    pub(super) fn teach_or_classify(&self) {
        let labels = self.features.labels;
        if self.features.busy.with_untracked(Option::is_some) {
            return;
        }
        if labels.changed.get_value() {
            labels.changed.set_value(false);
            let key = self.models.chosen.get_untracked();
            let scans = labels.scans.with_untracked(|all| {
                let same = all.iter().filter(|held| held.key == key);
                enough(same.map(|held| held.scan.clone()).collect())
            });
            labels.head.set(None);
            labels.answer.set(None);
            labels.file.set_value(None);
            if let Some(scans) = scans {
                self.ask("Fitting", Ask::Teach { scans }, Vec::new());
            }
        } else if labels.answer.with_untracked(Option::is_none)
            && self.head_fits()
            && let Some(file) = labels.file.get_value()
        {
            self.ask("Computing features", Ask::Classify, vec![file.slice(0).into()]);
        }
    }

    /// Whether the head reads features of the chosen model.
    pub fn head_fits(&self) -> bool {
        untrack(|| {
            let chosen = self.models.card().map(|card| card.sha256);
            let wanted = self
                .features
                .labels
                .head
                .with(|head| head.as_ref().map(|taught| taught.encoder.sha256.clone()));
            chosen.is_none() || wanted == chosen
        })
    }

    /// Keeps a head that was fitted or read.
    pub(super) fn keep_head(&self, taught: Taught, parts: &[JsValue]) {
        let labels = self.features.labels;
        let file = parts.first().and_then(|part| part.dyn_ref::<ArrayBuffer>().cloned());
        labels.file.set_value(file);
        labels.answer.set(None);
        labels.head.set(Some(taught));
    }

    /// Uses a head that was dropped as a file.
    pub(crate) fn use_head(&self, taught: Taught, parts: &[JsValue]) {
        let labels = self.features.labels;
        labels.changed.set_value(false);
        self.keep_head(taught, parts);
        self.notify(Tone::Calm, "The classifier is read: see Label under Features.");
        if self.features.mode.get_untracked() == Mode::Label {
            self.teach_or_classify();
        }
    }

    /// Saves the head.
    pub fn save_head(&self) {
        let Some(bytes) = self.features.labels.file.get_value() else { return };
        let media_type = "application/octet-stream";
        if let Err(message) = download::save(HEAD_FILE, media_type, &bytes.into()) {
            self.notify(Tone::Problem, sentence(&message));
        }
    }

    /// Whether a reply about features is one to a file that was dropped: a head.
    pub(crate) fn is_checking(&self, id: Option<RequestId>) -> bool {
        let checks = |checking: &Vec<RequestId>| checking.iter().any(|&held| Some(held) == id);
        self.models.checking.with_untracked(checks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_with_one_scan_waits_and_two_labels_are_needed() {
        let scans = |labels: &[&str]| -> Vec<LabelledScan> {
            let scan = |label: &&str| LabelledScan { label: (*label).into(), vectors: Vec::new() };
            labels.iter().map(scan).collect()
        };
        assert_eq!(enough(scans(&["a", "a", "a", "b"])), None);
        let found = enough(scans(&["a", "b", "c", "a", "b"])).unwrap_or_default();
        let found: Vec<&str> = found.iter().map(|scan| scan.label.as_str()).collect();
        assert_eq!(found, ["a", "b", "a", "b"]);
    }
}
