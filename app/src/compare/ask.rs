//! Questions about a second scan to the worker, and what the page makes of the answers.

use std::rc::Rc;
use std::time::Duration;

use js_sys::{Float32Array, Uint8Array};
use leptos::prelude::*;
use wasm_bindgen::JsValue;
use web_sys::File;

use super::messages::{Answer, Ask, Picture, Saved, Standard};
use super::{Mode, Outcome};
use crate::actions::{fetch_file, sentence};
use crate::download;
use crate::protocol::{FromWorker, Grid, Reply, RequestId, ToWorker};
use crate::state::{App, Tone};
use crate::viewer::{Displacements, DisplayColours, StandardSpace};

/// Time that each scan is shown when they flicker: slow enough for anyone who must not
/// see fast flashes (WCAG 2.3.1: at most three a second).
const FLICKER: Duration = Duration::from_millis(700);

/// The atlas beside the page, and what it and its coordinates are called.
const ATLAS: (&str, &str) = ("./atlas/mni152_t1_2mm.nii.gz", "MNI152");

impl App {
    /// Aligns a second scan with the shown one.
    pub fn compare_with(&self, files: Vec<File>) {
        let Some(first) = files.first() else { return };
        let compare = self.compare;
        if compare.busy.with_untracked(Option::is_some) || !self.can_segment() {
            return;
        }
        self.forget_comparison();
        compare.name.set(first.name().rsplit('/').next().map(str::to_owned));
        self.ask_alignment(files.iter().map(JsValue::from).collect());
    }

    /// Aligns the MNI atlas with the shown scan; it is fetched when it is first asked for.
    pub fn compare_with_atlas(&self) {
        let compare = self.compare;
        if compare.busy.with_untracked(Option::is_some) || !self.can_segment() {
            return;
        }
        self.forget_comparison();
        compare.atlas.set(true);
        compare.name.set(Some(ATLAS.1.into()));
        compare.busy.set(Some("Fetching the atlas".into()));
        let app = *self;
        leptos::task::spawn_local(async move {
            let file = fetch_file(ATLAS.0, "mni152_t1_2mm.nii.gz").await;
            compare.busy.set(None);
            if !compare.atlas.get_untracked() {
                // Another scan was opened meanwhile.
                return;
            }
            match file {
                Some(file) => app.ask_alignment(vec![file.into()]),
                None => {
                    app.forget_comparison();
                    app.notify(
                        Tone::Problem,
                        "The atlas could not be fetched; look at the network, then try again.",
                    );
                }
            }
        });
    }

    fn ask_alignment(&self, parts: Vec<JsValue>) {
        let atlas = self.compare.atlas.get_untracked();
        let kind = self.compare.kind.get_untracked().onto(atlas);
        let words = if atlas { "Reading the atlas" } else { "Reading the second scan" };
        self.ask_compare(words, Ask::Align { kind, atlas }, parts);
    }

    /// Compares the volumes of the structures in both scans.
    pub fn ask_change(&self) {
        self.compare.findings.set(None);
        self.ask_with_heads("Measuring both scans", Ask::Change);
    }

    /// Asks with the heads beside the pack that tell sequences apart.
    fn ask_with_heads(&self, words: &'static str, ask: Ask) {
        let app = *self;
        leptos::task::spawn_local(async move {
            // Without the heads nothing is said of the sequences.
            let heads = app.identify_files().await.and_then(|mut files| files.pop());
            app.ask_compare(words, ask, heads.into_iter().collect());
        });
    }

    /// Looks for lesions that changed between the scans.
    pub fn ask_lesion_change(&self) {
        let Some(card) = untrack(|| self.models.lesions()) else { return };
        let app = *self;
        leptos::task::spawn_local(async move {
            let Some(pack) = app.lesion_files().await.and_then(|mut files| files.pop()) else {
                app.notify(
                    Tone::Problem,
                    "The model could not be fetched; look at the network, then try again.",
                );
                return;
            };
            let ask = Ask::Lesions { pack: card.sha256 };
            app.ask_compare("Looking for lesions", ask, vec![pack]);
        });
    }

    /// Saves a file of the second scan.
    pub fn save_of_comparison(&self, what: Saved) {
        self.ask_compare("Writing the file", Ask::Save(what), Vec::new());
    }

    /// Shows the second scan in another way.
    pub fn show_comparison(&self, mode: Mode) {
        let compare = self.compare;
        if mode != Mode::Off && compare.outcome.with_untracked(Option::is_none) {
            return;
        }
        let before = compare.mode.get_untracked();
        compare.desk.update_value(|desk| {
            if let Some(clock) = desk.flicker.take() {
                clock.clear();
            }
            if before == Mode::Off && mode != Mode::Off {
                desk.opacity = Some(self.view.overlay_opacity.get_untracked());
            }
        });
        compare.mode.set(mode);
        self.view.overlay_shown.set(true);
        match mode {
            Mode::Off => {
                let kept = compare.desk.try_update_value(|desk| desk.opacity.take()).flatten();
                if let Some(opacity) = kept {
                    self.view.overlay_opacity.set(opacity);
                }
            }
            Mode::Blend | Mode::Cells => self.view.overlay_opacity.set(0.5),
            // The scan is to be seen between the colours.
            Mode::Change => self.view.overlay_opacity.set(0.7),
            Mode::Checkerboard | Mode::Flicker => self.view.overlay_opacity.set(1.0),
        }
        if mode == Mode::Flicker {
            let shown = self.view.overlay_shown;
            let clock = set_interval_with_handle(move || shown.update(|on| *on = !*on), FLICKER);
            compare.desk.update_value(|desk| desk.flicker = clock.ok());
        }
        self.draw_what_is_shown();
    }

    /// Asks for the picture of the mode, unless it is there.
    fn draw_what_is_shown(&self) {
        let Some(wanted) = self.compare.mode.get_untracked().picture() else { return };
        let known = self.compare.picture.with_untracked(|p| p.as_ref().map(|(which, _)| *which));
        if known == Some(wanted) {
            return;
        }
        if wanted == Picture::LocalChange {
            self.ask_with_heads("Drawing", Ask::Draw(wanted));
        } else {
            self.ask_compare("Drawing", Ask::Draw(wanted), Vec::new());
        }
    }

    fn ask_compare(&self, words: &'static str, ask: Ask, parts: Vec<JsValue>) {
        let compare = self.compare;
        self.ask_with_pack(
            (compare.busy, words),
            |device, pack| ToWorker::Compare { device, pack, ask },
            parts,
            move |id| compare.desk.update_value(|desk| desk.asking = Some(id)),
        );
    }

    /// Ends the question that the worker is at.
    pub fn cancel_comparison(&self) {
        let asking = self.compare.desk.with_value(|desk| desk.asking);
        if let (Some(id), Some(client)) = (asking, self.client()) {
            client.send(ToWorker::Cancel { id }, &[]);
        }
    }

    /// Whether a reply belongs to a question about the second scan.
    pub fn is_about_comparison(&self, id: Option<RequestId>) -> bool {
        id.is_some() && self.compare.desk.with_value(|desk| desk.asking) == id
    }

    /// What the page makes of a reply to a question about the second scan.
    pub fn hear_comparison(&self, reply: Reply, parts: &[JsValue]) {
        let compare = self.compare;
        match reply.body {
            FromWorker::Progress { stage, done, total } if total > 1 => {
                compare.busy.set(Some(format!("{stage}, {done} of {total}")));
            }
            FromWorker::Progress { stage, .. } => compare.busy.set(Some(stage)),
            FromWorker::Compare { answer } => {
                self.comparison_ended();
                self.comparison_answered(answer, parts);
            }
            FromWorker::Failed { kind, message } => {
                self.comparison_ended();
                self.leave_what_is_not_drawn();
                self.ask_failed(kind, &message);
            }
            body if body.is_final() => {
                self.comparison_ended();
                self.leave_what_is_not_drawn();
            }
            _ => {}
        }
    }

    fn comparison_answered(&self, answer: Answer, parts: &[JsValue]) {
        let compare = self.compare;
        match answer {
            Answer::Aligned {
                grid,
                seconds,
                differences,
                folded,
                date,
                standard,
                note,
                taken,
                unit_stated,
            } => {
                compare.note.set(Some(note));
                compare.taken.set(taken);
                compare.unit_assumed.set(!unit_stated || untrack(|| self.unit_assumed()));
                compare.outcome.set(Some(Outcome { seconds, differences, folded }));
                let first = self.scan.with_untracked(|scan| {
                    scan.as_ref().and_then(|scan| scan.acquisition().study_date)
                });
                for (day, signal) in [first, date].into_iter().zip(compare.dates) {
                    signal.set(day.map(|day| day.to_string()).unwrap_or_default());
                }
                let space = standard.and_then(|way| space(*way, parts.get(1)));
                self.view.standard.set(space.map(Rc::new));
                compare.picture.set(picture(Picture::Greys, grid, parts));
                self.show_comparison(Mode::Blend);
            }
            Answer::Drawn { grid, picture: which, noise_percent } => {
                if noise_percent.is_some() {
                    compare.noise_percent.set(noise_percent);
                }
                compare.picture.set(picture(which, grid, parts));
                // Another way may have been chosen meanwhile.
                self.draw_what_is_shown();
            }
            Answer::Changed { rows } => compare.rows.set(Some(rows)),
            Answer::Lesions { findings, largest_null_ml } => {
                compare.findings.set(Some((findings, largest_null_ml)));
            }
            Answer::Saved(what) => {
                let (end, media_type) = what.file();
                let name = format!("{}_{end}", self.file_stem());
                if let Some(bytes) = parts.first()
                    && let Err(message) = download::save(&name, media_type, bytes)
                {
                    self.notify(Tone::Problem, sentence(&message));
                }
            }
        }
    }

    /// Back to the first scan when the picture of the chosen way did not come.
    fn leave_what_is_not_drawn(&self) {
        let wanted = self.compare.mode.get_untracked().picture();
        let known = self.compare.picture.with_untracked(|p| p.as_ref().map(|(which, _)| *which));
        if wanted.is_some() && known != wanted {
            self.show_comparison(Mode::Off);
        }
    }

    /// No question is open any more.
    pub fn comparison_ended(&self) {
        self.compare.busy.set(None);
        self.compare.desk.update_value(|desk| desk.asking = None);
    }

    /// Forgets the second scan.
    pub fn forget_comparison(&self) {
        self.show_comparison(Mode::Off);
        self.compare.name.set(None);
        self.compare.outcome.set(None);
        self.compare.rows.set(None);
        self.compare.findings.set(None);
        self.compare.noise_percent.set(None);
        self.compare.note.set(None);
        self.compare.taken.set(None);
        self.compare.unit_assumed.set(false);
        self.compare.picture.set(None);
        self.compare.atlas.set(false);
        self.compare.years.set(String::new());
        self.compare.dates.iter().for_each(|date| date.set(String::new()));
        self.view.standard.set(None);
    }
}

/// The way to the atlas; none where its displacements did not arrive.
fn space(way: Standard, displacements: Option<&JsValue>) -> Option<StandardSpace> {
    let displacements = match way.grid {
        None => None,
        Some(grid) => {
            let values = Float32Array::new(displacements?);
            Some(Displacements::new(grid.dims, &grid.affine, values).ok()?)
        }
    };
    Some(StandardSpace { name: ATLAS.1, affine: way.affine, displacements })
}

fn picture(which: Picture, grid: Grid, parts: &[JsValue]) -> Option<(Picture, Rc<DisplayColours>)> {
    let rgba = Uint8Array::new(parts.first()?);
    Some((which, Rc::new(DisplayColours { dims: grid.dims, affine: grid.affine, rgba })))
}
