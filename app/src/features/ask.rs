//! Questions about features to the worker, and what the page makes of the answers.

use std::rc::Rc;

use js_sys::{ArrayBuffer, Uint8Array};
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::File;

use super::examples::nothing;
use super::messages::{Answer, Ask, Place};
use super::{Desk, Found, Mode};
use crate::actions::sentence;
use crate::download;
use crate::facts::DeviceChoice;
use crate::protocol::{FromWorker, Grid, Reply, RequestId, ToWorker};
use crate::state::{App, Tone};
use crate::viewer::DisplayColours;

/// Name of the file that a fitted head is saved as.
const FITTED_FILE: &str = "fitted.safetensors";

impl App {
    /// Asks for the principal components.
    pub fn ask_colours(&self) {
        self.ask("Computing features", Ask::Colours, Vec::new());
    }

    /// Looks for the place at the crosshair, or for the kept one.
    pub fn ask_similar(&self) {
        if self.features.busy.with_untracked(Option::is_some) {
            self.features.desk.update_value(|desk| desk.moved = true);
            return;
        }
        let place = if self.features.kept.get_untracked() == Some(true) {
            Place::Kept
        } else {
            Place::Here(self.view.crosshair_mm.get_untracked())
        };
        self.ask("Comparing places", Ask::Similar(place), Vec::new());
    }

    /// Looks again whenever the crosshair moves. Called once.
    pub fn watch_crosshair(&self) {
        let app = *self;
        Effect::new(move |_| {
            app.view.crosshair_mm.track();
            let kept = app.features.kept.get_untracked() == Some(true);
            if app.features.mode.get_untracked() == Mode::Similar && !kept {
                app.ask_similar();
            }
        });
    }

    /// Keeps the place at the crosshair, to look for it in another scan.
    pub fn keep_place(&self) {
        let place = self.view.crosshair_mm.get_untracked();
        self.ask("Keeping the place", Ask::Keep(place), Vec::new());
    }

    /// Asks what the chosen model's own heads say of the scan.
    pub fn ask_heads(&self) {
        // While another scan is read, the question would be answered for that one.
        if self.reading.with_untracked(Option::is_none) {
            self.ask("Computing features", Ask::Heads, Vec::new());
        }
    }

    /// Fits a head on what was painted in this and earlier scans.
    pub fn ask_fit(&self) {
        let features = self.features;
        // While another scan is read, strokes of this one would be taken for its own.
        if self.reading.with_untracked(Option::is_some) {
            return;
        }
        let here = features.strokes.get_untracked() > 0;
        if !here {
            features.examples.update(|all| all.retain(|kept| !kept.open));
        }
        let here = here.then(|| features.painted_values()).flatten().unwrap_or_else(nothing);
        let key = self.models.chosen.get_untracked();
        let earlier = features.earlier_examples(key.as_ref());
        let parts = std::iter::once(here).chain(earlier).collect();
        features.desk.update_value(Desk::asked);
        self.ask("Fitting", Ask::Fit { table: features.table() }, parts);
    }

    /// Segments the scan with the head that was fitted last.
    pub fn segment_fitted(&self) {
        self.show_features(Mode::Off);
        if self.features.busy.with_untracked(Option::is_none) {
            self.run_fitted(self.wanted_device());
        }
    }

    /// Keeps the fitted head on this device, among the models.
    pub fn keep_fitted(&self) {
        if let Some(file) = self.fitted_file() {
            self.keep_packs(vec![file]);
        }
    }

    /// The pack that was fitted last.
    fn fitted_file(&self) -> Option<File> {
        let bytes = self.features.pack.with_value(Clone::clone)?;
        File::new_with_buffer_source_sequence(&js_sys::Array::of1(&bytes), FITTED_FILE).ok()
    }

    /// Saves the fitted head as a pack.
    pub fn save_fitted(&self) {
        let Some(bytes) = self.features.pack.with_value(Clone::clone) else { return };
        let media_type = "application/octet-stream";
        if let Err(message) = download::save(FITTED_FILE, media_type, &bytes.into()) {
            self.notify(Tone::Problem, sentence(&message));
        }
    }

    /// Segments with the fitted head. The page gives it: a worker that was ended has none.
    pub(crate) fn run_fitted(&self, device: DeviceChoice) {
        let Some(file) = self.fitted_file() else {
            self.notify(Tone::Problem, "Nothing is fitted any more; fit again.");
            return;
        };
        let app = *self;
        self.start_run(
            device,
            async move { Some(vec![JsValue::from(file)]) },
            ToWorker::Features { device, pack: None, ask: Ask::Segment },
            move |_| app.desk.update_value(|desk| desk.fitted = true),
            || {},
        );
    }

    pub(super) fn ask(&self, words: &'static str, ask: Ask, parts: Vec<JsValue>) {
        let features = self.features;
        self.ask_with_pack(
            (features.busy, words),
            |device, pack| ToWorker::Features { device, pack, ask },
            parts,
            move |id| features.desk.update_value(|desk| desk.asking = Some(id)),
        );
    }

    /// Ends the question that the worker is at.
    pub fn cancel_features(&self) {
        let asking = self.features.desk.with_value(|desk| desk.asking);
        if let (Some(id), Some(client)) = (asking, self.client()) {
            client.send(ToWorker::Cancel { id }, &[]);
        }
    }

    /// Whether a reply belongs to a question about features.
    pub fn is_about_features(&self, id: Option<RequestId>) -> bool {
        id.is_some() && self.features.desk.with_value(|desk| desk.asking) == id
            || self.is_about_examples(id)
    }

    /// What the page makes of a reply to a question about features.
    pub fn hear_features(&self, reply: Reply, parts: &[JsValue]) {
        let features = self.features;
        if self.is_about_examples(reply.id) {
            self.hear_examples(reply, parts);
            return;
        }
        if !reply.body.is_final() {
            match reply.body {
                FromWorker::Progress { stage, done, total } if total > 1 => {
                    features.busy.set(Some(format!("{stage}, {done} of {total}")));
                }
                FromWorker::Progress { stage, .. } => features.busy.set(Some(stage)),
                _ => {}
            }
            return;
        }
        self.features_ended();
        match reply.body {
            FromWorker::Features { answer } => {
                self.features_answered(answer, parts);
                self.ask_what_waits();
            }
            FromWorker::Failed { kind, message } => self.ask_failed(kind, &message),
            _ => {}
        }
    }

    /// Asks what was wanted while the worker was at another question.
    fn ask_what_waits(&self) {
        let features = self.features;
        let moved = features.desk.try_update_value(|desk| std::mem::take(&mut desk.moved));
        match features.mode.get_untracked() {
            Mode::Similar if moved == Some(true) => self.ask_similar(),
            Mode::Colours if features.colours.with_untracked(Option::is_none) => self.ask_colours(),
            Mode::Label => self.teach_or_classify(),
            _ => {}
        }
    }

    /// No question is open any more.
    pub fn features_ended(&self) {
        self.features.busy.set(None);
        self.features.desk.update_value(|desk| {
            desk.asking = None;
            desk.taking = None;
        });
    }

    fn features_answered(&self, answer: Answer, parts: &[JsValue]) {
        let features = self.features;
        match answer {
            Answer::Colours { grid, explained } => {
                features.colours.set(display(grid, parts));
                features.explained.set(Some(explained));
            }
            Answer::Similar { grid, place, best_mm, score } => {
                let kept = place == Place::Kept;
                features.heat.set(display(grid, parts));
                features.found.set(Some(Found { best_mm, score, kept }));
            }
            Answer::Kept => {
                features.kept.set(Some(false));
                self.notify(
                    Tone::Calm,
                    "The place is kept: open another scan and look for it there.",
                );
            }
            Answer::Taken(examples) => self.keep_examples(examples, parts.first()),
            Answer::Fitted(fit) => {
                let bytes = parts.first().and_then(|part| part.dyn_ref::<ArrayBuffer>().cloned());
                features.pack.set_value(bytes);
                if let Some(examples) = fit.here.clone() {
                    self.keep_examples(examples, parts.get(1));
                }
                features.fit.set(Some(fit));
            }
            Answer::Pooled(vectors) => self.keep_label(vectors),
            Answer::Told(told) => features.told.set(Some(told)),
            Answer::Taught(taught) => self.keep_head(taught, parts),
            Answer::Classified(answer) => features.labels.answer.set(Some(answer)),
        }
    }
}

fn display(grid: Grid, parts: &[JsValue]) -> Option<Rc<DisplayColours>> {
    let rgba = Uint8Array::new(parts.first()?);
    Some(Rc::new(DisplayColours { dims: grid.dims, affine: grid.affine, rgba }))
}
