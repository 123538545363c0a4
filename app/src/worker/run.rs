//! One run: device, pack, network, measures, report.

use std::cell::Cell;
use std::rc::Rc;

use prism_core::facts::Run;
use prism_core::formats::Scan;
use prism_core::measure::cardiac::{Chambers, check_labels, check_stack};
use prism_core::measure::hippocampus;
use prism_core::model::{Pack, Prism};
use prism_core::pipeline::{
    self, DeviceKind, Devices, Encoded, OpenedDevice, PipelineError, Stage, Watch,
};
use prism_core::report::{Report, structures_csv};
use prism_core::volume::LabelMap;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use super::post::{breathe, memory_bytes, now_ms, post};
use super::{Failure, adapter, translate};
use crate::facts::{DeviceChoice, DeviceReport, PackCard, Times};
use crate::protocol::{Fallback, FromWorker, Grid, RequestId, RunResult};

/// Device, pack and model, opened when they are first needed.
#[derive(Default)]
pub struct Engine {
    devices: Devices,
    pack: Option<OpenedPack>,
    /// The model on the device it was loaded to.
    model: Option<(DeviceKind, Prism)>,
    /// The loaded scan's pass through this model's encoder, from identifying it until the run,
    /// and how many seconds opening device and pack took before it.
    encoded: Option<(Encoded, f64)>,
    /// Seconds that [`Engine::open`] took last.
    opening: f64,
    /// The device that stands in for one that failed.
    fallback: Option<Fallback>,
}

/// A pack that was read.
struct OpenedPack {
    /// SHA-256 of a kept pack, `None` for the one that comes with the page.
    key: Option<String>,
    pack: Pack,
    card: PackCard,
}

/// Which pack a request wants, and its file.
pub type WantedPack<'a> = (Option<String>, Option<&'a JsValue>);

/// What segments.
pub enum Weights<'a> {
    /// A pack.
    Pack(WantedPack<'a>),
    /// A pack whose head was fitted here, its file.
    Fitted(Option<&'a JsValue>),
}

impl Engine {
    /// Opens device and pack.
    ///
    /// # Errors
    /// [`Failure`] when there is no pack or the wanted device cannot be used.
    pub async fn prepare(
        &mut self,
        choice: DeviceChoice,
        wanted: WantedPack<'_>,
    ) -> Result<(DeviceReport, PackCard), Failure> {
        let (opened, card) = self.load(choice, wanted).await?;
        Ok((translate::device(&opened.report), card))
    }

    /// Segments, measures and reports; beside the result the labels and the contrast between
    /// the brain's tissues.
    ///
    /// # Errors
    /// [`Failure`] that says who is to blame: the files, the device, or the user who
    /// cancelled.
    pub async fn segment(
        &mut self,
        (scan, volume): (&Scan, usize),
        choice: DeviceChoice,
        weights: Weights<'_>,
        (id, ending): (RequestId, &Rc<Cell<bool>>),
    ) -> Result<(RunResult, LabelMap, Option<Vec<f32>>), Failure> {
        let started = now_utc();
        let begin = now_ms();
        let mut watch = PageWatch::new(id, Rc::clone(ending), "Segmenting");
        watch.say("Testing the device and loading the model", 0, 0);
        // A fitted head is small and its encoder may be another's: built for each run.
        let mut built = None;
        let (opened, card) = match weights {
            Weights::Pack(wanted) => self.load(choice, wanted).await?,
            Weights::Fitted(file) => {
                let (pack, card) = read(file).await?;
                let choice = (choice, self.fallback.as_ref());
                let opened = open_for(&mut self.devices, choice, &pack).await?;
                let model = loaded(&pack, &opened)?;
                built = Some((pack, model));
                (opened, card)
            }
        };
        watch.end()?;
        post(
            Some(id),
            FromWorker::Prepared {
                device: translate::device(&opened.report),
                pack: Box::new(card.clone()),
            },
            &[],
        );
        let mut open_seconds = (now_ms() - begin) / 1000.0;
        let chosen = match &built {
            Some((pack, model)) => Some((pack, model)),
            None => self.pack.as_ref().zip(self.model.as_ref()).map(|(p, (_, m))| (&p.pack, m)),
        };
        let Some((pack, model)) = chosen else {
            return Err(Failure::missing("the model could not be loaded; reload the page"));
        };
        let chambers = Chambers::of(&pack.info.labels);
        if chambers.is_some() {
            check_stack(scan.volume.dims, &scan.volume.affine, scan.series.unit_stated)
                .map_err(|error| Failure::input(error.to_string()))?;
        }
        let given = (&scan.volume, scan.series.unit_stated);
        let (encoded, opening) = self.encoded.take().unzip();
        let run = pipeline::segment_encoded(given, encoded, model, pack, &mut watch)
            .await
            .map_err(|error| match error {
                PipelineError::Cancelled(_) => Failure::Cancelled,
                // Its own words are a driver's and fill a page.
                PipelineError::Device(_) => Failure::device("the graphics card stopped answering"),
                _ => Failure::input(error.to_string()),
            })?;
        if let Some(chambers) = chambers {
            check_labels(&run.labels, chambers)
                .map_err(|error| Failure::input(error.to_string()))?;
        }
        if let Some(parts) = hippocampus::Parts::of(&pack.info.labels) {
            hippocampus::check_labels(&run.labels, parts)
                .map_err(|error| Failure::input(error.to_string()))?;
        }
        watch.say("Measuring", 0, 0);
        breathe().await;
        watch.end()?;
        let measured = now_ms();
        let timings = run.timings;
        // The run began when the scan was identified, where it went on from there.
        let opening = opening.filter(|_| timings.earlier_seconds > 0.0).unwrap_or_default();
        open_seconds += opening;
        let input = Run {
            scan,
            volume,
            pack,
            device: &opened.report,
            segmentation: &run,
            open_seconds,
            started: &started,
        }
        .report_input();
        let measure_seconds = (now_ms() - measured) / 1000.0;
        let report = Report::write(&input);
        let result = RunResult {
            grid: Grid { dims: run.labels.dims, affine: run.labels.affine },
            csv: structures_csv(&report.structures, !report.unit_assumed),
            report,
            input,
            answers: translate::answers(&run.answers, pack),
            device: translate::device(&opened.report),
            pack: card,
            times: Times {
                open: open_seconds,
                prepare: timings.prepare_seconds,
                network: timings.network_seconds,
                labels: timings.labels_seconds,
                measure: measure_seconds,
                total: (now_ms() - begin) / 1000.0 + opening + timings.earlier_seconds,
                windows: timings.windows,
            },
            memory_bytes: memory_bytes(),
            found: None,
        };
        Ok((result, run.labels, run.tissues))
    }

    /// Opens device and pack, and gives both to work with.
    ///
    /// # Errors
    /// As [`Engine::prepare`].
    pub async fn open(
        &mut self,
        choice: DeviceChoice,
        wanted: WantedPack<'_>,
    ) -> Result<(&Pack, &Prism), Failure> {
        let begin = now_ms();
        self.prepare(choice, wanted).await?;
        self.opening = (now_ms() - begin) / 1000.0;
        match (&self.pack, &self.model) {
            (Some(opened), Some((_, model))) => Ok((&opened.pack, model)),
            _ => Err(Failure::missing("the model could not be loaded; reload the page")),
        }
    }

    /// Keeps the loaded scan's pass through the open model's encoder for the next run.
    pub fn keep_pass(&mut self, encoded: Option<Encoded>) {
        self.encoded = encoded.map(|encoded| (encoded, self.opening));
    }

    /// Forgets what belongs to a scan that is replaced.
    pub fn forget_scan(&mut self) {
        self.encoded = None;
    }

    /// Has reports say why a device stands in for one that failed.
    pub fn set_fallback(&mut self, fallback: Option<Fallback>) {
        self.fallback = fallback;
    }

    /// Has the model on a device that fits it.
    async fn load(
        &mut self,
        choice: DeviceChoice,
        (key, blob): WantedPack<'_>,
    ) -> Result<(OpenedDevice, PackCard), Failure> {
        if self.pack.as_ref().is_none_or(|opened| opened.key != key) {
            // The old one first: two would not fit on small devices.
            self.pack = None;
            self.model = None;
            self.encoded = None;
            let (pack, card) = read(blob).await?;
            self.pack = Some(OpenedPack { key, pack, card });
        }
        let Some(OpenedPack { pack, card, .. }) = &self.pack else {
            return Err(Failure::missing("the model could not be loaded; reload the page"));
        };
        let choice = (choice, self.fallback.as_ref());
        let opened = open_for(&mut self.devices, choice, pack).await?;
        let kind = opened.report.kind;
        if self.model.as_ref().is_none_or(|(on, _)| *on != kind) {
            self.encoded = None;
            self.model = Some((kind, loaded(pack, &opened)?));
        }
        Ok((opened, card.clone()))
    }
}

/// The pack in a `Blob`.
async fn read(blob: Option<&JsValue>) -> Result<(Pack, PackCard), Failure> {
    let bytes = bytes_of(blob).await?;
    let pack = Pack::read(&bytes).map_err(|error| Failure::missing(error.to_string()))?;
    let card = translate::pack(&pack, bytes.len());
    Ok((pack, card))
}

async fn open_for(
    devices: &mut Devices,
    (choice, fallback): (DeviceChoice, Option<&Fallback>),
    pack: &Pack,
) -> Result<OpenedDevice, Failure> {
    if choice != DeviceChoice::Cpu
        && !devices.tried_gpu()
        && let Some(name) = adapter::name().await
    {
        devices.name_gpu(name);
    }
    let opened = devices.open_for(translate::choice(choice), pack).await;
    let mut opened = opened.map_err(|error| Failure::device(error.to_string()))?;
    let note = opened.report.note.take();
    opened.report.note = note.or_else(|| because(fallback, choice));
    Ok(opened)
}

/// Why the wanted device runs, where it stands in for one that failed.
fn because(fallback: Option<&Fallback>, wanted: DeviceChoice) -> Option<String> {
    fallback.filter(|fallback| fallback.device == wanted).map(|fallback| fallback.why.clone())
}

fn loaded(pack: &Pack, opened: &OpenedDevice) -> Result<Prism, Failure> {
    opened.load(pack).map_err(|error| Failure::missing(error.to_string()))
}

/// Milliseconds between two lines of progress in a stage: the page draws each of them.
const PACE_MS: f64 = 100.0;

/// Passes a run's progress to the page and the page's cancel to the run.
pub struct PageWatch {
    id: RequestId,
    ending: Rc<Cell<bool>>,
    /// What the network is run for, in words.
    network: &'static str,
    /// Stage of the last line of progress, and when it went, in milliseconds.
    last: Option<(Stage, f64)>,
}

impl PageWatch {
    /// Of a request that ends when `ending` says so.
    pub const fn new(id: RequestId, ending: Rc<Cell<bool>>, network: &'static str) -> Self {
        Self { id, ending, network, last: None }
    }

    fn say(&self, stage: &str, done: usize, total: usize) {
        post(Some(self.id), FromWorker::Progress { stage: stage.into(), done, total }, &[]);
    }

    fn end(&self) -> Result<(), Failure> {
        if self.ending.get() { Err(Failure::Cancelled) } else { Ok(()) }
    }
}

impl Watch for PageWatch {
    fn progress(&mut self, stage: Stage, done: usize, total: usize) {
        let now = now_ms();
        if !is_due(self.last, (stage, now), done == total) {
            return;
        }
        self.last = Some((stage, now));
        let words = match stage {
            Stage::Prepare => "Preparing the scan",
            Stage::Network => self.network,
            Stage::Labels => "Bringing labels to the scan's grid",
            Stage::Register => "Aligning the scans",
        };
        self.say(words, done, total);
    }

    fn cancelled(&self) -> bool {
        self.ending.get()
    }

    async fn breathe(&mut self) {
        breathe().await;
    }
}

/// Whether the page is told how far a stage is: at its beginning and its end, and now and then.
/// Both times in milliseconds.
fn is_due(last: Option<(Stage, f64)>, (stage, now): (Stage, f64), ended: bool) -> bool {
    ended || last.is_none_or(|(said, at)| said != stage || now - at >= PACE_MS)
}

/// Bytes of the pack, which the page hands over as a `Blob`.
pub(super) async fn bytes_of(blob: Option<&JsValue>) -> Result<Vec<u8>, Failure> {
    let missing = || Failure::missing("the model did not arrive; reload the page");
    let blob: &Blob = blob.and_then(JsValue::dyn_ref).ok_or_else(missing)?;
    let buffer = JsFuture::from(blob.array_buffer()).await.map_err(|_| missing())?;
    Ok(js_sys::Uint8Array::new(&buffer).to_vec())
}

/// Now, in ISO 8601, UTC, to the second.
fn now_utc() -> String {
    let now: String = js_sys::Date::new_0().to_iso_string().into();
    now.split('.').next().map_or(now.clone(), |seconds| format!("{seconds}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_ten_times_a_second_and_at_both_ends_of_a_stage() {
        // A step every 30 ms, then the next stage.
        let steps = (1..=12).map(|done| (Stage::Network, done, 12));
        let mut last = None;
        let mut told = Vec::new();
        for (at, (stage, done, total)) in (0_u32..).zip(steps.chain([(Stage::Labels, 0, 2)])) {
            let now = 30.0 * f64::from(at);
            if is_due(last, (stage, now), done == total) {
                last = Some((stage, now));
                told.push((stage, done));
            }
        }
        let network = [1, 5, 9, 12].map(|done| (Stage::Network, done));
        assert_eq!(told, [&network[..], &[(Stage::Labels, 0)][..]].concat());
    }

    #[test]
    fn only_the_device_that_stands_in_says_why() {
        let fallback = Fallback { device: DeviceChoice::Cpu, why: "the GPU was lost".into() };
        let why = |wanted| because(Some(&fallback), wanted);
        assert_eq!(why(DeviceChoice::Cpu).as_deref(), Some("the GPU was lost"));
        assert_eq!([DeviceChoice::Auto, DeviceChoice::Gpu].map(why), [None, None]);
        assert_eq!(because(None, DeviceChoice::Cpu), None);
    }
}
