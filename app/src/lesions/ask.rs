//! Questions about lesions to the worker, and what the page makes of the answers.

use std::rc::Rc;
use std::sync::Arc;

use js_sys::Uint8Array;
use leptos::prelude::*;
use prism_core::identify::Route;
use prism_core::lesions::{FalseAlarms, lesions_csv, taken};
use prism_core::report::{LesionFacts, SequenceFacts};
use wasm_bindgen::JsValue;
use web_sys::File;

use super::messages::{Answer, Ask, MOST_SEQUENCES};
use super::{Lesions, Overlay};
use crate::actions::sentence;
use crate::client::Client;
use crate::compare::Mode as Comparison;
use crate::download;
use crate::facts::PackCard;
use crate::features::Mode as Features;
use crate::protocol::{FromWorker, Grid, Reply, RequestId, ToWorker};
use crate::state::{App, Tone};
use crate::viewer::{DisplayColours, DisplayLabels};

/// Which packs a question wants beside it.
#[derive(Clone, Copy, PartialEq)]
enum Packs {
    /// Those that identify a scan.
    Identify,
    /// Brain and lesions.
    Lesions,
    /// Brain and what renders a scan again.
    Pretrained,
    /// None.
    None,
}

impl App {
    /// Adds sequences to the study of the shown scan.
    pub fn add_sequences(&self, files: Vec<File>) {
        let lesions = self.lesions;
        if files.is_empty() || lesions.busy.with_untracked(Option::is_some) {
            return;
        }
        let parts = files.iter().map(JsValue::from).collect();
        let Some(key) = lesions.desk.try_update_value(|desk| {
            let key = desk.next_key;
            desk.next_key += MOST_SEQUENCES;
            desk.adding = files;
            key
        }) else {
            return;
        };
        let fits = untrack(|| self.models.lesions()).and_then(|card| card.fits);
        let beside = lesions.sequences.with_untracked(|all| all.iter().map(|s| s.key).collect());
        let ask = Ask::Add { key, beside, fits };
        self.ask_lesions("Reading the sequences", ask, Packs::Identify, parts);
    }

    /// Takes a sequence out of the study; what was found with it is forgotten.
    pub fn remove_sequence(&self, key: u32) {
        let lesions = self.lesions;
        if lesions.busy.with_untracked(Option::is_some) {
            return;
        }
        lesions.sequences.update(|sequences| sequences.retain(|one| one.key != key));
        // The worker drops its copy at the next search.
        lesions.desk.update_value(|desk| desk.files.retain(|(of, _)| *of != key));
        lesions.forget_found();
    }

    /// Looks for lesions in the shown scan and the sequences beside it.
    pub fn find_lesions(&self) {
        let Some(card) = untrack(|| self.models.lesions()) else { return };
        if let Some(why) = self.untaught(&card) {
            self.notify(Tone::Problem, format!("Lesions are not looked for in this scan: {why}."));
            return;
        }
        let keys = self.lesions.sequences.with_untracked(|all| all.iter().map(|s| s.key).collect());
        let ask = Ask::Find { pack: card.sha256, keys };
        self.ask_lesions("Fetching the model", ask, Packs::Lesions, Vec::new());
    }

    /// Why lesions are not looked for in the scan that is shown, as far as that is known.
    fn untaught(&self, card: &PackCard) -> Option<String> {
        let found = self.identifying.found.get_untracked()?;
        let facts = self.scan.get_untracked()?;
        let acquisition = &facts.series.acquisition;
        match taken(card.fits.as_ref(), &found.identification, acquisition) {
            Route::No(why) => Some(why),
            Route::Fits | Route::Unsure(_) => None,
        }
    }

    /// Why a pack is not for the scan that is shown, as far as that is known.
    fn unfit(&self, card: &PackCard) -> Option<String> {
        let found = self.identifying.found.get_untracked()?;
        match card.fits.as_ref()?.route(&found.identification) {
            Route::No(why) => Some(why),
            Route::Fits | Route::Unsure(_) => None,
        }
    }

    /// Compares the shown scan with what the pretrained network draws of it.
    pub fn map_abnormality(&self) {
        let Some(card) = untrack(|| self.models.pretrained()) else { return };
        // Compared are brains, as with lesions; the pack itself was taught every body part.
        if let Some(why) = untrack(|| self.models.lesions()).and_then(|pack| self.unfit(&pack)) {
            self.notify(Tone::Problem, format!("This scan is not compared: {why}."));
            return;
        }
        let ask = Ask::Abnormality { pack: card.sha256 };
        self.ask_lesions("Fetching the model", ask, Packs::Pretrained, Vec::new());
    }

    /// Saves the map of abnormality on the scan's grid (NIfTI).
    pub fn save_abnormality_map(&self) {
        self.ask_lesions("Writing the map", Ask::ExportMap, Packs::None, Vec::new());
    }

    fn ask_lesions(&self, words: &str, ask: Ask, packs: Packs, parts: Vec<JsValue>) {
        let Some(client) = self.client() else { return };
        let lesions = self.lesions;
        if lesions.busy.with_untracked(Option::is_some) {
            return;
        }
        lesions.busy.set(Some(words.to_owned()));
        let app = *self;
        leptos::task::spawn_local(async move {
            let fetched = match packs {
                Packs::Identify => app.identify_files().await,
                Packs::Lesions => app.lesion_files().await,
                Packs::Pretrained => app.pretrained_files().await,
                Packs::None => Some(Vec::new()),
            };
            let Some(fetched) = fetched else {
                lesions.busy.set(None);
                app.notify(
                    Tone::Problem,
                    "The model could not be fetched; look at the network, then try again.",
                );
                return;
            };
            // Another scan was opened meanwhile.
            if lesions.busy.with_untracked(Option::is_none) {
                return;
            }
            app.give_scan(&client);
            if packs == Packs::Lesions {
                app.give_sequences(&client);
            }
            let parts: Vec<JsValue> = fetched.into_iter().chain(parts).collect();
            let device = app.wanted_device();
            let id = client.send(ToWorker::Lesions { device, ask }, &parts);
            lesions.desk.update_value(|desk| desk.asking = Some(id));
        });
    }

    /// Makes sure that the worker holds the sequences.
    fn give_sequences(&self, client: &Client) {
        let lesions = self.lesions;
        let device = self.wanted_device();
        for sequence in lesions.sequences.get_untracked() {
            let files = lesions.desk.with_value(|desk| {
                let held = desk.held.contains(&sequence.key);
                let files = desk.files.iter().find(|(key, _)| *key == sequence.key);
                files.filter(|_| !held).map(|(_, files)| files.clone())
            });
            let Some(files) = files else { continue };
            let parts: Vec<JsValue> = files.iter().map(JsValue::from).collect();
            let ask = Ask::Again { key: sequence.key, series: sequence.series };
            let id = client.send(ToWorker::Lesions { device, ask }, &parts);
            lesions.desk.update_value(|desk| {
                desk.again.push(id);
                desk.held.push(sequence.key);
            });
        }
    }

    /// Ends the question that the worker is at.
    pub fn cancel_lesions(&self) {
        let asking = self.lesions.desk.with_value(|desk| desk.asking);
        if let (Some(id), Some(client)) = (asking, self.client()) {
            client.send(ToWorker::Cancel { id }, &[]);
        }
    }

    /// Whether a reply belongs to a question about lesions.
    pub fn is_about_lesions(&self, id: Option<RequestId>) -> bool {
        let Some(id) = id else { return false };
        self.lesions.desk.with_value(|desk| desk.asking == Some(id) || desk.again.contains(&id))
    }

    /// What the page makes of a reply to a question about lesions.
    pub fn hear_lesions(&self, reply: Reply, parts: &[JsValue]) {
        let lesions = self.lesions;
        match reply.body {
            FromWorker::Progress { stage, done, total } if total > 1 => {
                lesions.busy.set(Some(format!("{stage}, {done} of {total}")));
            }
            FromWorker::Progress { stage, .. } => lesions.busy.set(Some(stage)),
            FromWorker::Lesions { answer: Answer::Again } => self.lesion_reply_ended(reply.id),
            FromWorker::Lesions { answer } => {
                self.lesion_reply_ended(reply.id);
                self.lesions_answered(answer, parts);
            }
            FromWorker::Failed { kind, message } => {
                self.lesion_reply_ended(reply.id);
                self.ask_failed(kind, &message);
            }
            body if body.is_final() => self.lesion_reply_ended(reply.id),
            _ => {}
        }
    }

    fn lesions_answered(&self, answer: Answer, parts: &[JsValue]) {
        let lesions = self.lesions;
        match answer {
            Answer::Added { sequences, left_out } => {
                lesions.desk.update_value(|desk| {
                    for sequence in &sequences {
                        desk.files.push((sequence.key, desk.adding.clone()));
                        desk.held.push(sequence.key);
                    }
                    desk.adding.clear();
                });
                lesions.sequences.update(|all| all.extend(sequences));
                lesions.forget_found();
                if !left_out.is_empty() {
                    let line = format!("Left out: {}", left_out.join("; "));
                    self.notify(Tone::Problem, sentence(&line));
                }
            }
            Answer::Again => {}
            Answer::Found(found) => {
                let map = parts.first().map(|indices| {
                    Rc::new(DisplayLabels {
                        dims: found.grid.dims,
                        affine: found.grid.affine,
                        indices: Uint8Array::new(indices),
                        table: found.table.clone(),
                    })
                });
                let some = !found.lesions.is_empty();
                lesions.map.set(map);
                lesions.found.set(Some(Arc::new(*found)));
                self.show_overlay(if some { Overlay::Lesions } else { Overlay::Structures });
            }
            Answer::Exported => self.save_part("lesions", parts),
            Answer::Mapped(mapped) => {
                let Grid { dims, affine } = mapped.grid;
                let rgba = parts.first().map(Uint8Array::new);
                let colours = rgba.map(|rgba| Rc::new(DisplayColours { dims, affine, rgba }));
                lesions.colours.set(colours);
                lesions.mapped.set(Some(*mapped));
                self.show_overlay(Overlay::Abnormality);
            }
            Answer::MapExported => self.save_part("abnormality", parts),
        }
    }

    /// Saves a file that came beside an answer (NIfTI).
    fn save_part(&self, what: &str, parts: &[JsValue]) {
        let name = format!("{}_{what}.nii.gz", self.volume_stem());
        if let Some(bytes) = parts.first()
            && let Err(message) = download::save(&name, "application/gzip", bytes)
        {
            self.notify(Tone::Problem, sentence(&message));
        }
    }

    /// What a report says of lesions; `None` where they were not looked for.
    pub fn lesion_facts(&self) -> Option<LesionFacts> {
        let lesions = self.lesions;
        let found = lesions.found.get()?;
        let card = self.models.lesions()?;
        let sequences = lesions.sequences.get().into_iter().enumerate();
        let sequences = sequences.map(|(at, sequence)| SequenceFacts {
            // Names of files often hold names of patients.
            name: sequence.shows.unwrap_or_else(|| format!("sequence {}", at + 2)),
            moved_mm: sequence.moved_mm,
        });
        Some(LesionFacts {
            lesions: found.lesions.clone(),
            summary: found.summary.clone(),
            sequences: sequences.collect(),
            false_alarms: FalseAlarms::of(&card.scores),
            pack: card.facts(),
        })
    }

    /// Shows structures, lesions or the map of abnormality over the planes.
    pub fn show_overlay(&self, overlay: Overlay) {
        self.lesions.overlay.set(overlay);
        if overlay != Overlay::Structures {
            // Colours would lie over them.
            self.show_comparison(Comparison::Off);
            self.show_features(Features::Off);
            self.view.overlay_shown.set(true);
        }
    }

    /// Moves the crosshair into a lesion and lights its kind up.
    pub fn go_to_lesion(&self, number: usize) {
        let place = self.lesions.found.with_untracked(|found| {
            let found = found.as_ref()?;
            let lesion = found.lesions.iter().find(|lesion| lesion.number == number)?;
            Some((lesion.inside_mm, found.above.saturating_add(lesion.class)))
        });
        if let Some((place, index)) = place {
            self.show_overlay(Overlay::Lesions);
            self.view.crosshair_mm.set(place);
            self.view.highlighted.set(Some(index));
        }
    }

    /// Saves the table (CSV).
    pub fn save_lesion_table(&self) {
        let Some(found) = self.lesions.found.get_untracked() else { return };
        let name = format!("{}_lesions.csv", self.volume_stem());
        let saved =
            download::save_text(&name, "text/csv;charset=utf-8", &lesions_csv(&found.lesions));
        if let Err(message) = saved {
            self.notify(Tone::Problem, sentence(&message));
        }
    }

    /// Saves the mask on the scan's grid (NIfTI).
    pub fn save_lesion_mask(&self) {
        let Some(map) = self.lesions.map.get_untracked() else { return };
        let Some(found) = self.lesions.found.get_untracked() else { return };
        // A copy: the planes go on using theirs.
        let indices = map.indices.slice(0, map.indices.length());
        let ask = Ask::Export { grid: found.grid, table: found.table.clone() };
        self.ask_lesions("Writing the mask", ask, Packs::None, vec![indices.buffer().into()]);
    }

    /// One question is not open any more.
    fn lesion_reply_ended(&self, id: Option<RequestId>) {
        let lesions = self.lesions;
        let ended = lesions.desk.try_update_value(|desk| {
            desk.again.retain(|&again| Some(again) != id);
            desk.asking.take_if(|asking| Some(*asking) == id).is_some()
        });
        if ended == Some(true) {
            lesions.busy.set(None);
        }
    }

    /// The worker is gone, and with it what it held.
    pub fn lesions_ended(&self) {
        let lesions = self.lesions;
        lesions.busy.set(None);
        lesions.desk.update_value(|desk| {
            desk.asking = None;
            desk.again.clear();
            desk.held.clear();
        });
        lesions.forget_map();
    }

    /// Forgets the study of a scan that is replaced.
    pub fn forget_lesions(&self) {
        let lesions = self.lesions;
        lesions.sequences.set(Vec::new());
        lesions.desk.update_value(|desk| {
            desk.files.clear();
            desk.held.clear();
        });
        lesions.forget_found();
        lesions.forget_map();
    }
}

impl Lesions {
    fn forget_found(self) {
        self.overlay.set(Overlay::Structures);
        self.found.set(None);
        self.map.set(None);
    }

    fn forget_map(self) {
        if self.overlay.get_untracked() == Overlay::Abnormality {
            self.overlay.set(Overlay::Structures);
        }
        self.mapped.set(None);
        self.colours.set(None);
    }
}
