//! The question to the worker, and what the page makes of the answer.

use std::sync::Arc;

use leptos::prelude::*;
use prism_core::identify::Route;
use prism_core::measure::cardiac::Chambers;
use wasm_bindgen::JsValue;

use super::{Found, candidates, routing, runs};
use crate::facts::{DeviceChoice, PackCard};
use crate::protocol::{RequestId, ToWorker};
use crate::state::{App, Tab, Tone};
use crate::text;

impl App {
    /// Identifies the scan that is shown; with `run`, then runs what fits.
    pub fn identify(&self, device: DeviceChoice, run: bool) {
        let app = *self;
        self.start_run(
            device,
            async move {
                let mut parts = app.identify_files().await?;
                if !run {
                    // No run will tell the tissues apart.
                    parts.push(JsValue::TRUE);
                }
                Some(parts)
            },
            ToWorker::Identify { device },
            move |id| app.identifying.asking.set_value(Some((id, device, run))),
            move || {
                app.notify(
                    Tone::Calm,
                    "The scan could not be identified: what knows sequences could not be fetched.",
                );
                if run {
                    app.segment(device);
                }
            },
        );
    }

    /// The answer has come.
    pub(crate) fn identified(&self, id: Option<RequestId>, found: Found) {
        let Some((_, device, run)) = self.take_identifying(id) else { return };
        self.identifying.found.set(Some(Arc::new(found)));
        if run {
            self.run_what_fits(device);
        }
    }

    /// Whether a request was the question, which is over now.
    pub(crate) fn take_identifying(
        &self,
        id: Option<RequestId>,
    ) -> Option<(RequestId, DeviceChoice, bool)> {
        let asked = self.identifying.asking.get_value().filter(|(asked, ..)| Some(*asked) == id);
        if asked.is_some() {
            self.identifying.asking.set_value(None);
        }
        asked
    }

    /// Forgets what belongs to a scan that is replaced.
    pub(crate) fn forget_identification(&self) {
        self.identifying.asking.set_value(None);
        self.identifying.found.set(None);
    }

    /// Runs the pack that fits, or says why none does.
    fn run_what_fits(&self, device: DeviceChoice) {
        let Some(found) = self.identifying.found.get_untracked() else { return };
        let cards = untrack(|| candidates(self.models));
        if cards.is_empty() {
            // The list of packs is not there: the first one runs as ever.
            self.segment(device);
            return;
        }
        let asked = routing(&found, &cards);
        let Some(at) = runs(&asked, &cards) else {
            self.notify(
                Tone::Calm,
                format!("{} It was not segmented; start it under Structures.", asked.words()),
            );
            return;
        };
        let mut lines = Vec::new();
        if at > 0 {
            if let Some((title, Route::No(why) | Route::Unsure(why))) = asked.packs.first() {
                lines.push(format!("{} runs; {title} does not: {why}.", cards[at].title));
            }
            self.use_pack(self.key_of(&cards[at].sha256));
        }
        lines.extend(self.phases_elsewhere(&cards[at]));
        if !lines.is_empty() {
            self.notify(Tone::Calm, lines.join(" "));
        }
        self.segment(device);
    }

    /// Where the phases of a 4-D scan are measured that a pack for hearts runs on.
    fn phases_elsewhere(&self, card: &PackCard) -> Option<String> {
        Chambers::of(&card.labels)?;
        let volumes =
            self.scan.with_untracked(|scan| scan.as_ref().map_or(0, |scan| scan.series.volumes));
        (volumes > 1).then(|| {
            let phases = text::counted(volumes, "phase", "phases");
            format!("The file holds {phases}, which are measured under {}.", Tab::Cine.title())
        })
    }

    /// Uses another pack for the scan that is shown.
    pub(crate) fn run_pack(&self, sha256: &str) {
        self.choose_pack(self.key_of(sha256));
        self.segment(self.wanted_device());
    }

    /// What stands for a pack in the choice: nothing for the first one beside the page.
    fn key_of(&self, sha256: &str) -> Option<String> {
        let first = self.models.shipped.with_untracked(|shipped| {
            shipped.first().is_some_and(|first| first.card.sha256 == sha256)
        });
        (!first).then(|| sha256.to_owned())
    }
}
