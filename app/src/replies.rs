//! What the page makes of the worker's replies.
//!
//! Whatever fails, the scan that is shown stays. A device that failed is answered
//! with the same run on the CPU, once.

use std::rc::Rc;
use std::sync::Arc;

use js_sys::{Uint8Array, Uint16Array};
use leptos::prelude::*;
use prism_core::formats::Selection;
use wasm_bindgen::JsValue;

use crate::actions::sentence;
use crate::download;
use crate::facts::{DeviceChoice, DeviceKind, DeviceReport};
use crate::features::messages as features;
use crate::panels::device_words;
use crate::protocol::{FailureKind, Fallback, FromWorker, Reply, RequestId, RunResult, ScanFacts};
use crate::state::{App, Choice, Interrupted, Tab, Tone};
use crate::text::by;
use crate::viewer::{DisplayLabels, DisplayVolume, Pane};

impl App {
    /// What the page makes of a reply.
    pub fn hear(&self, reply: Reply, parts: Vec<JsValue>) {
        let id = reply.id;
        if self.is_about_features(id) {
            self.hear_features(reply, &parts);
            return;
        }
        if self.is_about_comparison(id) {
            self.hear_comparison(reply, &parts);
            return;
        }
        if self.is_about_lesions(id) {
            self.hear_lesions(reply, &parts);
            return;
        }
        if self.is_about_cine(id) {
            self.hear_cine(reply, &parts);
            return;
        }
        match reply.body {
            FromWorker::Ready => self.ready.set(true),
            FromWorker::Features { answer: features::Answer::Taught(taught) }
                if self.is_checking(id) =>
            {
                self.finish(id);
                self.use_head(taught, &parts);
            }
            FromWorker::Restored
            | FromWorker::Features { .. }
            | FromWorker::Compare { .. }
            | FromWorker::Lesions { .. }
            | FromWorker::Cine { .. } => {}
            FromWorker::Progress { stage, done, total } => self.advance(id, stage, done, total),
            FromWorker::Notice { text } => self.notify(Tone::Calm, sentence(&text)),
            FromWorker::Listed { series } => {
                if self.is_opening(id) {
                    self.reading.set(None);
                    self.choice.set(Some(Choice { series }));
                }
            }
            FromWorker::Loaded { facts } => self.loaded(id, *facts, &parts),
            FromWorker::Prepared { device, pack } => {
                self.tell_fallback(&device);
                if device.kind == DeviceKind::Gpu && !device.software {
                    self.desk.update_value(|desk| desk.known.gpu_passed = true);
                }
                self.device.set(Some(device));
                self.pack.set(Some(*pack));
            }
            FromWorker::Packs { kept, added } => {
                self.finish(id);
                self.hear_packs(kept, added);
            }
            FromWorker::Identified { found } => {
                self.finish(id);
                self.identified(id, *found);
            }
            FromWorker::Segmented { result } => self.segmented(id, *result, &parts),
            FromWorker::Exported { media_type } => {
                let name = self.desk.try_update_value(|desk| {
                    desk.exporting
                        .take_if(|(exporting, _)| Some(*exporting) == id)
                        .map(|(_, name)| name)
                });
                if let (Some(name), Some(bytes)) = (name.flatten(), parts.first())
                    && let Err(message) = download::save(&name, &media_type, bytes)
                {
                    self.notify(Tone::Problem, sentence(&message));
                }
            }
            FromWorker::Cancelled => {
                self.take_identifying(id);
                self.finish(id);
            }
            FromWorker::Failed { kind, message } => self.failed(id, kind, &message),
        }
    }

    /// Says once why another device runs than the wanted one.
    fn tell_fallback(&self, device: &DeviceReport) {
        let known = self.device.with_untracked(|known| known.as_ref() == Some(device));
        // When the other device failed, this was said already.
        let fallback = self.client().and_then(|client| client.fallback());
        let told = fallback.map(|fallback| fallback.why) == device.note;
        if let Some(note) = device.note.as_deref().filter(|_| !known && !told) {
            let on = device_words(device);
            let line = format!("Computing on the {on}: {}", brief(note));
            self.notify(Tone::Calm, sentence(&line));
        }
    }

    fn is_opening(&self, id: Option<RequestId>) -> bool {
        self.desk.with_value(|desk| {
            desk.opening.as_ref().is_some_and(|(opening, ..)| Some(*opening) == id)
        })
    }

    fn is_running(&self, id: Option<RequestId>) -> bool {
        self.desk.with_value(|desk| desk.running.is_some_and(|(running, _)| Some(running) == id))
    }

    fn advance(&self, id: Option<RequestId>, stage: String, done: usize, total: usize) {
        let signal = if self.is_running(id) {
            self.run
        } else if self.is_opening(id) {
            self.reading
        } else {
            return;
        };
        signal.update(|progress| {
            if let Some(progress) = progress {
                progress.stage = stage;
                progress.done = done;
                progress.total = total;
            }
        });
    }

    fn loaded(&self, id: Option<RequestId>, facts: ScanFacts, parts: &[JsValue]) {
        let opened = self.desk.try_update_value(|desk| {
            desk.opening.take_if(|(opening, ..)| Some(*opening) == id).map(|(_, files, _)| files)
        });
        let Some(files) = opened.flatten() else {
            // A restarted worker has the shown scan again.
            self.desk
                .update_value(|desk| desk.rereading = desk.rereading.filter(|&r| Some(r) != id));
            return;
        };
        self.reading.set(None);
        let Some(half) = parts.first().map(Uint16Array::new) else {
            self.notify(
                Tone::Problem,
                "The scan was read, but its voxels did not arrive; open it again.",
            );
            return;
        };
        self.desk.update_value(|desk| {
            desk.files = files;
            desk.selection =
                Selection { series: Some(facts.series.key.clone()), volume: facts.volume };
            desk.interrupted = None;
            desk.worker_has_scan = true;
            desk.worker_has_labels = false;
        });
        self.labels.set(None);
        self.result.set(None);
        self.features.forget_scan();
        let before = self.scan.get_untracked();
        let [left, back] = self.reporting.turn(before.as_deref(), &facts);
        self.watch_report();
        self.forget_identification();
        self.forget_comparison();
        self.forget_lesions();
        self.forget_cine();
        self.reset_view(&facts);
        self.volume.set(Some(Rc::new(DisplayVolume {
            dims: facts.grid.dims,
            affine: facts.grid.affine,
            range: facts.range,
            half,
        })));
        let warned = first_warning(&facts.warnings);
        self.scan.set(Some(Arc::new(facts)));
        self.leave_tab_that_is_gone();
        if let Some(line) = warned {
            self.notify(Tone::Calm, line);
        }
        if left {
            self.notify(
                Tone::Calm,
                "What you wrote in the report of the last scan is kept while this page is open: \
                 open that scan again to have it back.",
            );
        }
        if back {
            self.notify(Tone::Calm, "What you wrote in the report of this scan is back.");
        }
        // What was shown of the features of the last scan is shown of this one.
        self.show_features(self.features.mode.get_untracked());
        if self.automatic.get_untracked() {
            self.identify(self.wanted_device(), true);
        }
    }

    /// Shows a new scan as nothing had been done to it.
    fn reset_view(&self, facts: &ScanFacts) {
        let view = self.view;
        let middle = facts.grid.dims.map(|n| (n.saturating_sub(1)) as f64 / 2.0);
        view.crosshair_mm.set(facts.grid.affine.apply(middle));
        view.set_auto_window(f64::from(facts.window.0), f64::from(facts.window.1));
        view.sides_assumed.set(facts.sides_assumed);
        view.unit_assumed.set(!facts.series.unit_stated);
        Pane::ALL.into_iter().for_each(|pane| view.reset_pane(pane));
        view.hidden.set(Default::default());
        view.highlighted.set(None);
        view.hovered.set(None);
    }

    fn segmented(&self, id: Option<RequestId>, result: RunResult, parts: &[JsValue]) {
        if !self.is_running(id) {
            return;
        }
        self.finish(id);
        self.device.set(Some(result.device.clone()));
        self.pack.set(Some(result.pack.clone()));
        if let Some(indices) = parts.first().map(Uint8Array::new) {
            self.labels.set(Some(Rc::new(DisplayLabels {
                dims: result.grid.dims,
                affine: result.grid.affine,
                indices,
                table: result.pack.labels.clone(),
            })));
        }
        self.desk.update_value(|desk| desk.worker_has_labels = true);
        if let Some(found) = &result.found {
            self.identifying.found.set(Some(Arc::new(found.clone())));
        }
        self.result.set(Some(Arc::new(result)));
    }

    /// The request is over, with or without a result.
    fn finish(&self, id: Option<RequestId>) {
        if self.is_running(id) {
            self.desk.update_value(|desk| desk.running = None);
            self.run.set(None);
        }
        if self.is_opening(id) {
            self.desk.update_value(|desk| desk.opening = None);
            self.reading.set(None);
        }
        self.models.checking.update(|checking| checking.retain(|&checked| Some(checked) != id));
        self.desk.update_value(|desk| {
            desk.rereading = desk.rereading.filter(|&rereading| Some(rereading) != id);
            desk.exporting.take_if(|(exporting, _)| Some(*exporting) == id);
        });
    }

    /// A question failed: says so, and makes the next one possible where the worker cannot go on.
    pub(crate) fn ask_failed(&self, kind: FailureKind, message: &str) {
        let before = self.wanted_device();
        if kind.ends_worker() {
            self.end_worker_after(kind, message, before);
        }
        let line = sentence(&if kind.ends_worker() { brief(message) } else { message.to_owned() });
        if self.wanted_device() == before {
            self.notify(Tone::Problem, line);
        } else {
            self.notify(Tone::Problem, format!("{line} The next try uses the CPU."));
        }
    }

    /// Ends a worker that cannot go on after work for `device`; a GPU that failed is not
    /// asked for again.
    pub(crate) fn end_worker_after(&self, kind: FailureKind, message: &str, device: DeviceChoice) {
        self.end_worker();
        if kind == FailureKind::Device && device != DeviceChoice::Cpu {
            self.desk.update_value(|desk| desk.known.gpu_failed = true);
            self.fall_back(DeviceChoice::Cpu, message);
        }
    }

    /// Has what runs on `device` from now on say that it stands in for one that failed.
    fn fall_back(&self, device: DeviceChoice, message: &str) {
        if let Some(client) = self.client() {
            client.fall_back(Some(Fallback { device, why: after(message) }));
        }
    }

    fn failed(&self, id: Option<RequestId>, kind: FailureKind, message: &str) {
        let running = self.desk.with_value(|desk| desk.running);
        let opening = self.desk.with_value(|desk| desk.opening.is_some());
        let of_run = self.is_running(id) || (id.is_none() && running.is_some());
        let second = running.filter(|_| of_run && kind.ends_worker()).and_then(|(run, failed)| {
            Some((run, failed, self.desk.with_value(|desk| desk.known.second(failed))?))
        });
        match (kind, second) {
            (_, Some((run, failed, device))) => {
                self.end_worker_after(kind, message, failed);
                self.fall_back(device, message);
                let on = if device == DeviceChoice::Cpu { "CPU" } else { "graphics card" };
                self.notify(
                    Tone::Calm,
                    format!("{} The run starts again on the {on}.", sentence(&brief(message))),
                );
                let work = self.take_work(run);
                self.start_again(Interrupted { device, work });
                self.desk.update_value(|desk| desk.known.second_try = true);
            }
            (FailureKind::Crash, None) => {
                self.end_worker();
                self.desk.update_value(|desk| desk.opening = None);
                self.reading.set(None);
                let dims = self.scan.with_untracked(|s| s.as_ref().map(|scan| scan.grid.dims));
                let rest = match dims.filter(|_| of_run) {
                    _ if opening => "The files were not opened.".to_owned(),
                    Some(dims) => short_of_memory(dims),
                    None => "The scan stays loaded.".to_owned(),
                };
                self.notify(Tone::Problem, format!("{} {rest}", sentence(message)));
                if opening {
                    self.resume_run();
                }
            }
            _ if self.pack_failed(id, &sentence(message)) => {}
            _ => {
                if self.desk.with_value(|desk| desk.rereading) == id && id.is_some() {
                    self.desk.update_value(|desk| desk.worker_has_scan = false);
                }
                let opened = self.is_opening(id);
                self.finish(id);
                let identifying = self.take_identifying(id);
                self.ask_failed(kind, message);
                if let Some((_, device, true)) = identifying {
                    // A scan that nobody can name may still be segmented.
                    self.segment(self.desk.with_value(|desk| desk.known.wanted(device)));
                }
                if opened {
                    self.resume_run();
                }
            }
        }
    }
}

/// What a notice says of the warnings that came with a scan.
fn first_warning(warnings: &[String]) -> Option<String> {
    let first = sentence(warnings.first()?);
    let more = warnings.len() > 1;
    Some(if more { format!("{first} More under {}.", Tab::Scan.title()) } else { first })
}

/// What to say of a run that ended without a second try, whatever the cause was called.
fn short_of_memory(dims: [usize; 3]) -> String {
    format!(
        "A scan of {} voxels may need more memory than the browser gives: close other pages, or \
         open a smaller scan. This one stays loaded.",
        by(dims)
    )
}

/// Why another device runs after a failure, as a report has it.
fn after(message: &str) -> String {
    format!("an earlier try failed: {}", brief(message).trim_end_matches('.'))
}

/// The first line of a message, cut where it is long: drivers write pages.
fn brief(message: &str) -> String {
    const LONGEST: usize = 160;
    let line = message.trim().lines().next().unwrap_or_default().trim();
    if line.chars().count() <= LONGEST {
        line.to_owned()
    } else {
        line.chars().take(LONGEST).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut() {
        assert_eq!(brief("lost\nCaused by:\n  a driver"), "lost");
        assert_eq!(brief(&"ä".repeat(400)).chars().count(), 161);
    }

    #[test]
    fn a_report_names_the_failure_within_a_sentence() {
        let why = "an earlier try failed: the graphics card stopped answering";
        assert_eq!(after("the graphics card stopped answering.\nCaused by: a driver"), why);
    }

    #[test]
    fn the_first_warning_is_said_and_where_the_others_are() {
        let warnings = ["The sides are assumed.".to_owned(), "Slice 3 is missing.".to_owned()];
        assert_eq!(first_warning(&[]), None);
        assert_eq!(first_warning(&warnings[..1]).as_deref(), Some("The sides are assumed."));
        let both = first_warning(&warnings);
        assert_eq!(both.as_deref(), Some("The sides are assumed. More under Scan."));
    }

    #[test]
    fn a_run_without_a_second_try_names_the_size_of_the_scan() {
        let line = short_of_memory([512, 512, 400]);
        assert!(line.contains("512 × 512 × 400") && line.contains("memory"), "{line}");
    }
}
