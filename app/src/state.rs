//! What the page knows, as signals that panels read, and the few values that only
//! actions need (`actions`).
//!
//! [`App`] is `Copy`: components take it as a property and closures capture it freely.

use std::rc::Rc;
use std::sync::Arc;

use leptos::prelude::*;
use prism_core::formats::{Selection, Series};
use wasm_bindgen::JsValue;

use crate::cine::Cine;
use crate::client::Client;
use crate::compare::Compare;
use crate::facts::{DeviceChoice, DeviceReport, PackCard};
use crate::features::Features;
use crate::identify::Identifying;
use crate::lesions::Lesions;
use crate::packs::Models;
use crate::protocol::{FromWorker, Reply, RequestId, RunResult, ScanFacts};
use crate::report::Reporting;
use crate::viewer::{DisplayLabels, DisplayVolume, Values, ViewState};

/// A section of the side panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tab {
    /// Volumes of structures.
    Structures,
    /// Image quality.
    Quality,
    /// Sentences.
    Report,
    /// Geometry, acquisition, warnings.
    Scan,
    /// Device, timings, pack.
    Run,
    /// The encoder's features: colours, similar places, teaching.
    Features,
    /// Lesions in several sequences.
    Lesions,
    /// A second scan.
    Compare,
    /// The phases of a heartbeat; offered where there can be some.
    Cine,
}

impl Tab {
    /// All tabs in their order.
    pub const ALL: [Self; 9] = [
        Self::Structures,
        Self::Quality,
        Self::Report,
        Self::Scan,
        Self::Run,
        Self::Features,
        Self::Lesions,
        Self::Compare,
        Self::Cine,
    ];

    /// The word on the tab.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Structures => "Structures",
            Self::Quality => "Quality",
            Self::Report => "Report",
            Self::Scan => "Scan",
            Self::Run => "Run",
            Self::Features => "Features",
            Self::Lesions => "Lesions",
            Self::Compare => "Compare",
            Self::Cine => "Cine",
        }
    }

    /// The word in element ids.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Structures => "structures",
            Self::Quality => "quality",
            Self::Report => "report",
            Self::Scan => "scan",
            Self::Run => "run",
            Self::Features => "features",
            Self::Lesions => "lesions",
            Self::Compare => "compare",
            Self::Cine => "cine",
        }
    }

    /// The tab `steps` further on among those that are offered, around the end.
    pub fn step(self, steps: isize, offered: &[Self]) -> Self {
        let at = offered.iter().position(|&tab| tab == self).unwrap_or(0) as isize;
        let next = (at + steps).rem_euclid(offered.len().max(1) as isize) as usize;
        offered.get(next).copied().unwrap_or(self)
    }
}

/// How far something is that takes a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub stage: String,
    /// Steps done.
    pub done: usize,
    /// Steps in all; 0 where that is unknown.
    pub total: usize,
    /// `performance.now()` at the beginning, milliseconds.
    pub started_ms: f64,
    /// Whether the user wants it to end.
    pub cancelling: bool,
}

/// How a notice is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// For information: goes away by itself.
    Calm,
    /// Something failed: stays until it is dismissed.
    Problem,
}

/// One line to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// For lists and dismissal.
    pub id: u32,
    /// How it is meant.
    pub tone: Tone,
    /// The line.
    pub text: String,
}

/// A study of several series, of which the user picks one.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The series.
    pub series: Vec<Series>,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Identifies the scan.
    Identify {
        /// Whether the pack that fits runs then.
        run: bool,
    },
    /// Segments with the chosen pack.
    Segment,
    /// Segments with the head that was fitted last.
    SegmentFitted,
}

/// A run that was ended before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// Where it ran.
    pub device: DeviceChoice,
    /// What it did.
    pub work: Work,
}

/// What actions need and nobody sees.
pub struct Desk {
    /// The worker.
    pub client: Option<Client>,
    /// Packs of the page being fetched, or fetched, by file: `Blob`s, which the worker reads.
    pub packs: Vec<(String, js_sys::Promise)>,
    /// Files of the scan that is shown, and what of them.
    pub files: Vec<web_sys::File>,
    /// What was loaded of them.
    pub selection: Selection,
    /// Files to be opened once the painted examples of the shown scan were asked for.
    pub next: Option<(Vec<web_sys::File>, Option<Selection>)>,
    /// Files being opened: the request, the files, and the selection.
    pub opening: Option<(RequestId, Vec<web_sys::File>, Option<Selection>)>,
    /// The run that was ended to open files: it starts again if they cannot be opened.
    pub interrupted: Option<Interrupted>,
    /// A reading of the shown files by a restarted worker.
    pub rereading: Option<RequestId>,
    /// The run, and on which device.
    pub running: Option<(RequestId, DeviceChoice)>,
    /// Whether the last run was one of the head that was fitted here.
    pub fitted: bool,
    /// An export, and the name of the file to be.
    pub exporting: Option<(RequestId, String)>,
    /// Whether the worker holds the shown scan.
    pub worker_has_scan: bool,
    /// Whether the worker holds the shown segmentation.
    pub worker_has_labels: bool,
    /// Id of the next notice.
    pub next_notice: u32,
    /// Which devices are known to work or not.
    pub known: KnownDevices,
}

/// What was seen of the devices since the user chose one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownDevices {
    /// A hardware GPU passed its self-test.
    pub gpu_passed: bool,
    /// The GPU failed: it is not asked for again.
    pub gpu_failed: bool,
    /// The run is the second try of one that failed, or must not be tried again.
    pub second_try: bool,
}

impl KnownDevices {
    /// What to ask for, given the user's choice.
    pub fn wanted(self, choice: DeviceChoice) -> DeviceChoice {
        if self.gpu_failed { DeviceChoice::Cpu } else { choice }
    }

    /// Where a run that failed on `device` is tried once more: on the CPU, or on a GPU that
    /// worked.
    pub fn second(self, device: DeviceChoice) -> Option<DeviceChoice> {
        match device {
            _ if self.second_try => None,
            DeviceChoice::Auto | DeviceChoice::Gpu => Some(DeviceChoice::Cpu),
            DeviceChoice::Cpu => (self.gpu_passed && !self.gpu_failed).then_some(DeviceChoice::Gpu),
        }
    }
}

/// Everything the page knows.
#[derive(Clone, Copy)]
pub struct App {
    /// What is being read, if anything.
    pub reading: RwSignal<Option<Progress>>,
    /// The series to pick from, while there is a choice to make.
    pub choice: RwSignal<Option<Choice>>,
    /// The scan that is shown.
    pub scan: RwSignal<Option<Arc<ScanFacts>>>,
    /// Its voxels.
    pub volume: RwSignal<Option<Rc<DisplayVolume>>, LocalStorage>,
    /// Its label indices.
    pub labels: RwSignal<Option<Rc<DisplayLabels>>, LocalStorage>,
    /// The run, while it runs.
    pub run: RwSignal<Option<Progress>>,
    /// What the last run found.
    pub result: RwSignal<Option<Arc<RunResult>>>,
    /// The device, once it was opened.
    pub device: RwSignal<Option<DeviceReport>>,
    /// The pack, once it was opened.
    pub pack: RwSignal<Option<PackCard>>,
    /// The packs there are, and the one for the next run.
    pub models: Models,
    /// The model card, a text beside the pack that comes with the page.
    pub card: RwSignal<Option<String>>,
    /// Whether the worker has said that it listens.
    pub ready: RwSignal<bool>,
    /// Whether the browser keeps every file of the page, so that it opens without a network.
    pub offline: RwSignal<bool>,
    /// Whether a scan is segmented when it is opened.
    pub automatic: RwSignal<bool>,
    /// Where the user wants to compute.
    pub device_choice: RwSignal<DeviceChoice>,
    /// Lines to the user, oldest first.
    pub notices: RwSignal<Vec<Notice>>,
    /// The section of the side panel that is open.
    pub tab: RwSignal<Tab>,
    /// How planes are shown.
    pub view: ViewState,
    /// What is done with the encoder's features.
    pub features: Features,
    /// What the reader does to the report.
    pub reporting: Reporting,
    /// What the scan shows.
    pub identifying: Identifying,
    /// The second scan.
    pub compare: Compare,
    /// Lesions in the study of the scan.
    pub lesions: Lesions,
    /// The phases of a heartbeat.
    pub cine: Cine,
    /// For actions only.
    pub desk: StoredValue<Desk, LocalStorage>,
}

impl App {
    /// An empty page with a worker that is not started yet.
    pub fn new() -> Self {
        let app = Self {
            reading: RwSignal::new(None),
            choice: RwSignal::new(None),
            scan: RwSignal::new(None),
            volume: RwSignal::new_local(None),
            labels: RwSignal::new_local(None),
            run: RwSignal::new(None),
            result: RwSignal::new(None),
            device: RwSignal::new(None),
            pack: RwSignal::new(None),
            models: Models::new(stored(PACK_KEY)),
            card: RwSignal::new(None),
            ready: RwSignal::new(false),
            offline: RwSignal::new(false),
            automatic: RwSignal::new(stored(AUTOMATIC_KEY).as_deref() != Some("no")),
            device_choice: RwSignal::new(
                stored(CHOICE_KEY).map(|key| DeviceChoice::of(&key)).unwrap_or_default(),
            ),
            notices: RwSignal::new(Vec::new()),
            tab: RwSignal::new(Tab::Structures),
            view: ViewState::new(),
            features: Features::new(),
            reporting: Reporting::new(),
            identifying: Identifying::new(),
            compare: Compare::new(),
            lesions: Lesions::new(),
            cine: Cine::new(),
            desk: StoredValue::new_local(Desk {
                client: None,
                packs: Vec::new(),
                files: Vec::new(),
                selection: Selection::default(),
                next: None,
                opening: None,
                interrupted: None,
                rereading: None,
                running: None,
                fitted: false,
                exporting: None,
                worker_has_scan: false,
                worker_has_labels: false,
                next_notice: 0,
                known: KnownDevices::default(),
            }),
        };
        let client = Client::new(move |reply, parts| {
            app.hold_values(&reply, &parts);
            app.hear(reply, parts);
        });
        app.desk.update_value(|desk| desk.client = Some(client));
        app
    }

    /// Holds the values of a scan that is about to be shown.
    fn hold_values(&self, reply: &Reply, parts: &[JsValue]) {
        let FromWorker::Loaded { facts } = &reply.body else { return };
        let opening = self.desk.with_value(|desk| desk.opening.as_ref().map(|(id, ..)| *id));
        if let Some(half) = parts.first().filter(|_| opening.is_some() && opening == reply.id) {
            let values = parts.get(1).and_then(|part| Values::new(half, part, facts.range.0));
            self.view.values.set(values.map(Rc::new));
        }
    }

    /// Whether the page has nothing to show yet.
    pub fn is_empty(&self) -> bool {
        self.scan.with(Option::is_none)
    }

    /// Whether the files of the shown scan do not state its unit of length, so that lengths and
    /// volumes rest on millimetres that are assumed.
    pub fn unit_assumed(&self) -> bool {
        self.scan.with(|scan| scan.as_ref().is_some_and(|scan| !scan.series.unit_stated))
    }

    /// What the page is doing, in a word.
    pub fn phase(&self) -> &'static str {
        if self.reading.with(Option::is_some) {
            "reading"
        } else if self.choice.with(Option::is_some) {
            "choosing"
        } else if self.run.with(Option::is_some) {
            "running"
        } else if self.result.with(Option::is_some) {
            "done"
        } else if self.scan.with(Option::is_some) {
            "scan"
        } else if self.ready.get() {
            "empty"
        } else {
            "starting"
        }
    }

    /// Shows one line; equal lines are shown once.
    pub fn notify(&self, tone: Tone, text: impl Into<String>) {
        let text = text.into();
        let Some(id) = self.desk.try_update_value(|desk| {
            desk.next_notice += 1;
            desk.next_notice
        }) else {
            return;
        };
        self.notices.update(|notices| {
            notices.retain(|notice| notice.text != text);
            notices.push(Notice { id, tone, text });
            // More than this would cover the scan.
            let over = notices.len().saturating_sub(3);
            notices.drain(..over);
        });
        if tone == Tone::Calm {
            let app = *self;
            set_timeout(move || app.dismiss(id), std::time::Duration::from_secs(9));
        }
    }

    /// Takes a notice away.
    pub fn dismiss(&self, id: u32) {
        self.notices.update(|notices| notices.retain(|notice| notice.id != id));
    }
}

impl Default for App {
    fn default() -> Self {
        Self::new()
    }
}

const CHOICE_KEY: &str = "prism.device";
const AUTOMATIC_KEY: &str = "prism.automatic";
const PACK_KEY: &str = "prism.pack";

/// A word remembered on this computer.
fn stored(key: &str) -> Option<String> {
    window().local_storage().ok().flatten()?.get_item(key).ok().flatten()
}

fn store(key: &str, word: &str) {
    if let Ok(Some(storage)) = window().local_storage() {
        // A browser that keeps nothing just asks again next time.
        let _ = storage.set_item(key, word);
    }
}

/// Remembers the choice of device, where the browser allows it.
pub fn store_choice(choice: DeviceChoice) {
    store(CHOICE_KEY, choice.key());
}

/// Remembers the choice of pack: a SHA-256, or nothing for the one of the page.
pub fn store_pack(sha256: Option<&str>) {
    store(PACK_KEY, sha256.unwrap_or_default());
}

/// Remembers whether scans are segmented when they are opened.
pub fn store_automatic(automatic: bool) {
    store(AUTOMATIC_KEY, if automatic { "yes" } else { "no" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_tried_twice_at_most() {
        use DeviceChoice::{Auto, Cpu, Gpu};
        let fresh = KnownDevices::default();
        assert_eq!([Auto, Gpu, Cpu].map(|d| fresh.second(d)), [Some(Cpu), Some(Cpu), None]);
        let passed = KnownDevices { gpu_passed: true, ..fresh };
        assert_eq!(passed.second(Cpu), Some(Gpu));
        let failed = KnownDevices { gpu_failed: true, ..passed };
        assert_eq!(failed.second(Cpu), None);
        assert_eq!([fresh.wanted(Gpu), failed.wanted(Gpu), failed.wanted(Auto)], [Gpu, Cpu, Cpu]);
        let again = KnownDevices { second_try: true, ..passed };
        assert_eq!([Auto, Gpu, Cpu].map(|d| again.second(d)), [None; 3]);
    }

    #[test]
    fn tabs_go_around() {
        let all = &Tab::ALL;
        assert_eq!(Tab::Structures.step(1, all), Tab::Quality);
        assert_eq!(Tab::Structures.step(-1, all), Tab::Cine);
        let without = &all[..8];
        assert_eq!(Tab::Structures.step(-1, without), Tab::Compare);
        assert_eq!(Tab::Compare.step(1, without), Tab::Structures);
    }
}
