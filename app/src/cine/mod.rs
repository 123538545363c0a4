//! The phases of a heartbeat: played in the planes, measured one by one, drawn as curves
//! over time, with the function of the ventricles in a table.
//!
//! The planes show a phase while the panel is open; every other panel speaks of the volume
//! that was opened, and then the planes show that.
//!
//! | file | what |
//! | --- | --- |
//! | `messages` | what is asked of the worker and answered |
//! | `ask` | questions to the worker, and what the page makes of the answers |
//! | `player` | which phase is shown, playing, keys |
//! | `panel` | what the person sees and presses |
//! | `curve` | volumes over time, drawn |
//! | `function` | the table of the function and of the phases |

mod ask;
mod curve;
mod function;
pub mod messages;
mod panel;
mod player;

use std::rc::Rc;

use leptos::leptos_dom::helpers::IntervalHandle;
use leptos::prelude::*;
use prism_core::measure::cardiac::{Chambers, Measured, check_stack, phase_times};
use prism_core::report::{CineReport, HeartFacts};
use wasm_bindgen::JsValue;
use web_sys::File;

pub use panel::CinePanel;

use crate::facts::{DeviceChoice, PackCard};
use crate::packs::Models;
use crate::protocol::{RequestId, ScanFacts};
use crate::state::{App, Tab};
use crate::viewer::{DisplayLabels, DisplayVolume, LabelsSignal, VolumeSignal};
use messages::Opened;

/// The phases as they are shown.
#[derive(Clone)]
struct Phases {
    /// What they have in common, and their times.
    facts: Opened,
    /// Their voxels.
    volumes: Vec<Rc<DisplayVolume>>,
}

/// The labels of a phase that has some.
type PhaseLabels = Option<Rc<DisplayLabels>>;

/// What only actions need.
#[derive(Default)]
struct Desk {
    /// The question that the worker is at.
    asking: Option<RequestId>,
    /// A reading of the shown phases by a restarted worker.
    rereading: Option<RequestId>,
    /// Phases that wait to be measured, the next one last.
    waiting: Vec<usize>,
    /// The model that measures, and its file.
    model: Option<(PackCard, JsValue)>,
    /// Where it runs: not the chosen device any more where that one failed.
    device: DeviceChoice,
    /// Files that were added to those of the scan.
    added: Vec<File>,
    /// Whether other series of the scan's size are phases, too.
    alike: bool,
    /// Files that are being added.
    adding: Vec<File>,
    /// Whether the phases of this scan were asked for by themselves.
    tried: bool,
    /// Whether the worker holds the phases.
    held: bool,
    /// The clock that plays.
    clock: Option<IntervalHandle>,
}

/// Everything the page knows of the phases. `Copy`: a bundle of signals.
#[derive(Clone, Copy)]
pub struct Cine {
    /// The phases, once they are read.
    phases: RwSignal<Option<Phases>, LocalStorage>,
    /// Labels of each phase.
    labels: RwSignal<Vec<PhaseLabels>, LocalStorage>,
    /// What came of measuring each phase.
    measured: RwSignal<Vec<Option<Measured>>>,
    /// The model that measured.
    model: RwSignal<Option<PackCard>>,
    /// The phase that is shown, from 0.
    at: RwSignal<usize>,
    /// Whether it plays.
    playing: RwSignal<bool>,
    /// Phases a second.
    speed: RwSignal<u32>,
    /// What is being done, as a short sentence.
    busy: RwSignal<Option<String>>,
    desk: StoredValue<Desk, LocalStorage>,
}

impl Cine {
    /// No phases.
    pub fn new() -> Self {
        Self {
            phases: RwSignal::new_local(None),
            labels: RwSignal::new_local(Vec::new()),
            measured: RwSignal::new(Vec::new()),
            model: RwSignal::new(None),
            at: RwSignal::new(0),
            playing: RwSignal::new(false),
            speed: RwSignal::new(player::USUAL_SPEED),
            busy: RwSignal::new(None),
            desk: StoredValue::new_local(Desk::default()),
        }
    }

    /// How many phases there are to show.
    fn count(self) -> usize {
        self.phases.with(|phases| phases.as_ref().map_or(0, |phases| phases.volumes.len()))
    }

    /// The voxels that the planes show.
    pub fn shown_volume(
        self,
        scan: RwSignal<Option<Rc<DisplayVolume>>, LocalStorage>,
        tab: RwSignal<Tab>,
    ) -> VolumeSignal {
        Signal::derive_local(move || {
            let phase =
                || self.phases.with(|phases| phases.as_ref()?.volumes.get(self.at.get()).cloned());
            if tab.get() == Tab::Cine { phase().or_else(|| scan.get()) } else { scan.get() }
        })
    }

    /// The labels that the planes show.
    pub fn shown_labels(self, scan: LabelsSignal, tab: RwSignal<Tab>) -> LabelsSignal {
        Signal::derive_local(move || {
            if tab.get() == Tab::Cine && self.count() > 0 {
                self.labels.with(|labels| labels.get(self.at.get()).cloned().flatten())
            } else {
                scan.get()
            }
        })
    }

    /// Times of the phases, where the files state credible ones.
    fn times(self) -> Option<Vec<f64>> {
        self.phases.with(|phases| phase_times(&phases.as_ref()?.facts.times_ms))
    }

    /// What a report says of the phases; `None` unless all that was asked for is measured.
    pub fn facts(self) -> Option<HeartFacts> {
        let done = |report: &CineReport| self.busy.with(Option::is_none) && report.waiting() == 0;
        let report = self.report().filter(done)?;
        let card = self.model.get()?;
        let mut facts = HeartFacts::of(report, card.facts(), &card.scores);
        let unlike = self.phases.with(|phases| phases.as_ref()?.facts.unlike.clone());
        facts.cautions.extend(unlike);
        Some(facts)
    }

    /// The phases and what was measured of them; `None` before there are any.
    fn report(self) -> Option<CineReport> {
        self.phases.with(|phases| {
            let facts = &phases.as_ref()?.facts;
            let measured = self.measured.get();
            let scores = self.model.with(|model| model.as_ref().map(|card| card.scores.clone()));
            measured.iter().any(Option::is_some).then(|| {
                let scores = scores.unwrap_or_default();
                CineReport::of(facts.unit_stated, &facts.times_ms, measured, &scores)
            })
        })
    }
}

impl Default for Cine {
    fn default() -> Self {
        Self::new()
    }
}

impl App {
    /// Whether a tab has something to say of the scan: phases are those of a 4-D scan, or
    /// can be added to a stack of thick slices that shows no other part of the body.
    pub fn offers(&self, tab: Tab) -> bool {
        let elsewhere = || {
            self.identifying.found.with(|found| {
                let part = found.as_ref().and_then(|f| f.identification.body_part.given.as_ref());
                part.is_some_and(|part| part != "heart")
            })
        };
        let has_phases = |scan: &ScanFacts| {
            let stack = || {
                let stated = scan.series.unit_stated;
                check_stack(scan.grid.dims, &scan.grid.affine, stated).is_ok()
            };
            scan.series.volumes > 1 || self.cine.count() > 1 || (stack() && !elsewhere())
        };
        tab != Tab::Cine || self.scan.with(|scan| scan.as_deref().is_some_and(has_phases))
    }

    /// Goes to the first tab where the open one is not offered for the new scan.
    pub(crate) fn leave_tab_that_is_gone(&self) {
        if !untrack(|| self.offers(self.tab.get())) {
            self.tab.set(Tab::ALL[0]);
        }
    }
}

/// The model that measures hearts: the chosen one where it does, else another of the page,
/// else a kept one.
fn heart_model(models: Models) -> Option<PackCard> {
    let shipped = models.shipped.get();
    let all = models.card().into_iter().chain(shipped.into_iter().map(|one| one.card));
    all.chain(models.kept.get())
        .find(|card| card.segments() && Chambers::of(&card.labels).is_some())
}
