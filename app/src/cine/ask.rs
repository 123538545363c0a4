//! Questions about phases to the worker, and what the page makes of the answers.

use std::rc::Rc;
use std::time::Duration;

use js_sys::{Uint8Array, Uint16Array};
use leptos::prelude::*;
use prism_core::measure::cardiac::{Measured, phase_times};
use wasm_bindgen::JsValue;
use web_sys::File;

use super::messages::{Answer, Ask, Opened};
use super::player::USUAL_SPEED;
use super::{Cine, Desk, Phases, heart_model};
use crate::actions::{CANCEL_MILLIS, sentence};
use crate::facts::DeviceChoice;
use crate::protocol::{FailureKind, FromWorker, Reply, RequestId, ToWorker};
use crate::state::{App, Tone};
use crate::viewer::{DisplayLabels, DisplayVolume};

impl App {
    /// Reads the phases of a 4-D scan when its panel is first opened.
    pub(super) fn open_phases_by_itself(&self) {
        let several =
            self.scan.with(|scan| scan.as_ref().is_some_and(|scan| scan.series.volumes > 1));
        let desk = self.cine.desk;
        if several && !desk.with_value(|desk| desk.tried) {
            desk.update_value(|desk| desk.tried = true);
            self.open_phases(Vec::new(), false);
        }
    }

    /// Reads the phases of the scan, `adding` further files, and other series of its size
    /// where they are `alike` phases.
    pub(super) fn open_phases(&self, adding: Vec<File>, alike: bool) {
        let Some(client) = self.client() else { return };
        let cine = self.cine;
        if cine.busy.with_untracked(Option::is_some) {
            return;
        }
        if alike {
            // The others may come before those that were measured.
            cine.forget_measures();
        }
        cine.busy.set(Some("Reading phases".into()));
        let desk = |desk: &mut Desk| {
            desk.adding = adding;
            desk.alike |= alike;
        };
        cine.desk.update_value(desk);
        let (ask, parts) = self.opening(true);
        let device = self.wanted_device();
        let id = client.send(ToWorker::Cine { device, pack: None, ask }, &parts);
        cine.desk.update_value(|desk| desk.asking = Some(id));
    }

    /// The question for all phases, and the files for it.
    fn opening(&self, display: bool) -> (Ask, Vec<JsValue>) {
        let (own, series) =
            self.desk.with_value(|desk| (desk.files.clone(), desk.selection.series.clone()));
        let mut parts: Vec<JsValue> = own.iter().map(JsValue::from).collect();
        let alike = self.cine.desk.with_value(|desk| {
            parts.extend(desk.added.iter().chain(&desk.adding).map(JsValue::from));
            desk.alike
        });
        (Ask::Open { series, own: own.len(), alike, display }, parts)
    }

    /// Outlines and measures every phase that was not yet.
    pub(super) fn measure_phases(&self) {
        let cine = self.cine;
        let Some(card) = untrack(|| heart_model(self.models)) else { return };
        if cine.busy.with_untracked(Option::is_some) {
            return;
        }
        if cine.model.with_untracked(|held| held.as_ref().is_some_and(|held| *held != card)) {
            // Volumes of two models are not compared.
            cine.forget_measures();
        }
        let measured = cine.measured.get_untracked();
        let waiting: Vec<usize> = (0..untrack(|| cine.count()))
            .filter(|&at| measured.get(at).is_none_or(Option::is_none))
            .rev()
            .collect();
        cine.busy.set(Some("Fetching the model".into()));
        let device = self.wanted_device();
        cine.desk.update_value(|desk| {
            desk.waiting = waiting;
            desk.device = device;
        });
        cine.model.set(Some(card.clone()));
        let app = *self;
        leptos::task::spawn_local(async move {
            let file = app.file_of(&card.sha256).await;
            if cine.busy.with_untracked(Option::is_none) {
                return;
            }
            match file {
                Some(file) => {
                    cine.desk.update_value(|desk| desk.model = Some((card, file)));
                    app.measure_next();
                }
                None => {
                    app.cine_ended();
                    app.notify(
                        Tone::Problem,
                        "The model for hearts could not be fetched; look at the network, then measure again.",
                    );
                }
            }
        });
    }

    /// Asks for the next phase, or ends.
    fn measure_next(&self) {
        let cine = self.cine;
        let next = cine.desk.try_update_value(|desk| {
            let phase = desk.waiting.pop()?;
            let (card, file) = desk.model.clone()?;
            Some((phase, card.sha256, file, desk.device, desk.held))
        });
        let (Some(client), Some(Some((phase, sha256, file, device, held)))) = (self.client(), next)
        else {
            self.cine_over();
            return;
        };
        if !held {
            // A restarted worker reads the phases again first.
            let (ask, parts) = self.opening(false);
            let id = client.send(ToWorker::Cine { device, pack: None, ask }, &parts);
            cine.desk.update_value(|desk| {
                desk.rereading = Some(id);
                desk.held = true;
            });
        }
        cine.busy.set(Some(self.measuring(phase, None)));
        let ask = Ask::Measure { phase };
        let id = client.send(ToWorker::Cine { device, pack: Some(sha256), ask }, &[file]);
        cine.desk.update_value(|desk| desk.asking = Some(id));
    }

    /// "Measuring phase 3 of 30", with the share of the phase that is done.
    fn measuring(&self, phase: usize, share: Option<(usize, usize)>) -> String {
        let count = untrack(|| self.cine.count());
        let percent = share
            .map_or(String::new(), |(done, total)| format!(", {} %", 100 * done / total.max(1)));
        format!("Measuring phase {} of {count}{percent}", phase + 1)
    }

    /// Ends reading or measuring: asks first, and ends the worker if it does not listen in
    /// time. What was measured stays.
    pub(crate) fn cancel_cine(&self) {
        let cine = self.cine;
        let asking = cine.desk.try_update_value(|desk| {
            desk.waiting.clear();
            desk.asking
        });
        let (Some(Some(id)), Some(client)) = (asking, self.client()) else {
            self.cine_over();
            return;
        };
        client.send(ToWorker::Cancel { id }, &[]);
        let app = *self;
        set_timeout(
            move || {
                if cine.desk.with_value(|desk| desk.asking) == Some(id) {
                    app.end_worker();
                    app.wake();
                }
            },
            Duration::from_millis(CANCEL_MILLIS),
        );
    }

    /// Whether a reply belongs to a question about phases.
    pub(crate) fn is_about_cine(&self, id: Option<RequestId>) -> bool {
        let ours = |desk: &Desk| desk.asking == id || desk.rereading == id;
        id.is_some() && self.cine.desk.with_value(ours)
    }

    /// What the page makes of a reply to a question about phases.
    pub(crate) fn hear_cine(&self, reply: Reply, parts: &[JsValue]) {
        let cine = self.cine;
        if cine.desk.with_value(|desk| desk.rereading == reply.id) {
            // Whether it worked shows when a phase is measured.
            if reply.body.is_final() {
                cine.desk.update_value(|desk| desk.rereading = None);
            }
            return;
        }
        match reply.body {
            FromWorker::Progress { stage, done, total } => self.cine_progress(stage, done, total),
            FromWorker::Cine { answer: Answer::Opened(opened) } => {
                self.cine_over();
                self.phases_opened(opened, parts);
            }
            FromWorker::Cine { answer: Answer::Measured { phase, measured } } => {
                self.phase_measured(phase, measured, parts.first());
                self.measure_next();
            }
            FromWorker::Failed { kind, message } => self.cine_failed(kind, &message),
            body if body.is_final() => self.cine_over(),
            _ => {}
        }
    }

    fn cine_progress(&self, stage: String, done: usize, total: usize) {
        let cine = self.cine;
        let measuring = cine.desk.with_value(|desk| desk.model.is_some());
        let phase = cine.measured.with_untracked(|measured| {
            measured.iter().position(Option::is_none).unwrap_or(measured.len())
        });
        cine.busy.set(Some(match (measuring, total) {
            (true, 0 | 1) => self.measuring(phase, None),
            (true, _) => self.measuring(phase, Some((done, total))),
            (false, 0) => stage,
            (false, _) => format!("{stage}, {done} of {total}"),
        }));
    }

    fn phases_opened(&self, facts: Opened, parts: &[JsValue]) {
        let cine = self.cine;
        let volume = |part: &JsValue| {
            Rc::new(DisplayVolume {
                dims: facts.grid.dims,
                affine: facts.grid.affine,
                range: facts.range,
                half: Uint16Array::new(part),
            })
        };
        let volumes: Vec<_> = parts.iter().map(volume).collect();
        let count = volumes.len();
        cine.desk.update_value(|desk| {
            let adding = std::mem::take(&mut desk.adding);
            desk.added.extend(adding);
            desk.held = true;
        });
        let shown = self.scan.with_untracked(|scan| scan.as_ref().map_or(0, |scan| scan.volume));
        // The first phases are those that were there: what was measured of them stays.
        cine.measured.update(|measured| measured.resize(count, None));
        cine.labels.update(|labels| labels.resize(count, None));
        cine.speed.set(Cine::true_speed(phase_times(&facts.times_ms)).unwrap_or(USUAL_SPEED));
        if cine.phases.with_untracked(Option::is_none) {
            cine.at.set(shown.min(count.saturating_sub(1)));
        }
        if let Some(unlike) = &facts.unlike {
            self.notify(Tone::Problem, unlike);
        }
        cine.phases.set(Some(Phases { facts, volumes }));
    }

    fn phase_measured(&self, phase: usize, measured: Measured, indices: Option<&JsValue>) {
        let cine = self.cine;
        let table = cine.model.with_untracked(|model| model.as_ref().map(|m| m.labels.clone()));
        let grid = cine.phases.with_untracked(|phases| phases.as_ref().map(|p| p.facts.grid));
        let labels = grid.zip(table).zip(indices).map(|((grid, table), indices)| {
            let indices = Uint8Array::new(indices);
            Rc::new(DisplayLabels { dims: grid.dims, affine: grid.affine, indices, table })
        });
        cine.labels.update(|all| {
            if let Some(place) = all.get_mut(phase) {
                *place = labels;
            }
        });
        cine.measured.update(|all| {
            if let Some(place) = all.get_mut(phase) {
                *place = Some(measured);
            }
        });
    }

    fn cine_failed(&self, kind: FailureKind, message: &str) {
        let cine = self.cine;
        let (waiting, model, device) = cine
            .desk
            .try_update_value(|desk| {
                (std::mem::take(&mut desk.waiting), desk.model.clone(), desk.device)
            })
            .unwrap_or_default();
        self.cine_over();
        if kind.ends_worker() && model.is_some() && device != DeviceChoice::Cpu {
            self.end_worker_after(kind, message, device);
            self.notify(
                Tone::Calm,
                format!("{} Measuring goes on with the CPU.", sentence(message)),
            );
            // The phase that failed is the first without a result.
            let failed = cine.measured.with_untracked(|m| m.iter().position(Option::is_none));
            cine.desk.update_value(|desk| {
                desk.waiting = waiting;
                desk.waiting.extend(failed);
                desk.model = model;
                desk.device = DeviceChoice::Cpu;
            });
            self.measure_next();
            return;
        }
        self.ask_failed(kind, message);
    }

    /// No question is open any more.
    fn cine_over(&self) {
        self.cine.busy.set(None);
        self.cine.desk.update_value(|desk| {
            desk.asking = None;
            desk.model = None;
            desk.waiting.clear();
            desk.adding.clear();
        });
    }

    /// The worker was ended, with what it was asked and held.
    pub(crate) fn cine_ended(&self) {
        self.cine_over();
        self.cine.desk.update_value(|desk| {
            desk.rereading = None;
            desk.held = false;
        });
    }

    /// Forgets what belongs to a scan that is replaced.
    pub(crate) fn forget_cine(&self) {
        let cine = self.cine;
        cine.playing.set(false);
        cine.phases.set(None);
        cine.at.set(0);
        cine.forget_measures();
        cine.busy.set(None);
        // The clock goes by its own effect.
        cine.desk.update_value(|desk| {
            *desk = Desk { clock: desk.clock.take(), ..Desk::default() };
        });
    }
}

impl Cine {
    fn forget_measures(self) {
        let count = untrack(|| self.count());
        self.labels.set(vec![None; count]);
        self.measured.set(vec![None; count]);
        self.model.set(None);
    }
}
