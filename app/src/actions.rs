//! What the page does: opening files, running, cancelling.
//!
//! Files are kept as handles, so a worker that had to be ended is given them again
//! before its next task.

use std::time::Duration;

use leptos::prelude::*;
use prism_core::formats::Selection;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

use crate::client::Client;
use crate::facts::DeviceChoice;
use crate::features::Mode;
use crate::packs::{CHECKPOINT, is_checkpoint, is_pack};
use crate::protocol::{RequestId, ToWorker};
use crate::state::{App, Choice, Interrupted, Progress, Tone, Work, store_automatic, store_choice};
use crate::text;

/// How long the worker has to acknowledge a cancel before it is ended.
pub(crate) const CANCEL_MILLIS: u64 = 500;

/// Stands for the request of a run that waits for the pack; real ids begin at 1.
const PENDING: RequestId = 0;

/// The sample scan beside the page, and the name it is shown under.
const SAMPLE: (&str, &str) = ("./samples/sample_t1w.nii.gz", "sample_t1w.nii.gz");

impl App {
    /// Does what the page's address asks for: `?device=cpu` or `gpu`, `?sample`.
    pub fn obey_address(&self) {
        let query = window().location().search().unwrap_or_default();
        for (name, value) in address_words(&query) {
            match (name, value) {
                ("device", key) => self.device_choice.set(DeviceChoice::of(key)),
                ("sample", _) => self.open_sample(),
                _ => {}
            }
        }
    }

    /// Begins to fetch what a run needs, so that the network may be gone later.
    pub fn fetch_ahead(&self) {
        let app = *self;
        leptos::task::spawn_local(async move {
            app.list_packs().await;
            app.fetch_packs_ahead();
        });
    }

    /// Starts the worker so that it is ready when files come.
    pub fn wake(&self) {
        if let Some(client) = self.client()
            && let Err(message) = client.wake()
        {
            self.notify(Tone::Problem, sentence(&message));
        }
    }

    /// Opens files that were dropped or picked.
    pub fn open(&self, files: Vec<File>) {
        let (packs, scans): (Vec<File>, Vec<File>) =
            files.into_iter().partition(|file| is_pack(&file.name()));
        self.keep_packs(packs);
        if scans.iter().any(|file| is_checkpoint(&file.name())) {
            self.notify(Tone::Problem, CHECKPOINT);
            return;
        }
        if !scans.is_empty() {
            self.read(scans, None);
        }
    }

    /// Opens one series of the files that were read last.
    pub fn open_series(&self, selection: Selection) {
        let files = self.desk.try_update_value(|desk| match desk.opening.take() {
            Some((_, files, _)) => files,
            None => desk.files.clone(),
        });
        self.choice.set(None);
        if let Some(files) = files.filter(|files| !files.is_empty()) {
            self.read(files, Some(selection));
        }
    }

    /// Shows the series of the current study again.
    pub fn choose_again(&self) {
        if let Some(scan) = self.scan.get_untracked() {
            self.choice.set(Some(Choice { series: scan.study.clone() }));
        }
    }

    /// Leaves the choice of series; what was shown stays.
    pub fn leave_choice(&self) {
        self.choice.set(None);
        self.desk.update_value(|desk| desk.opening = None);
        self.resume_run();
    }

    /// Fetches the sample scan, which is part of the page, and opens it.
    pub fn open_sample(&self) {
        let app = *self;
        self.reading.set(Some(begin("Fetching the sample scan")));
        leptos::task::spawn_local(async move {
            match fetch_file(SAMPLE.0, SAMPLE.1).await {
                Some(file) => app.open(vec![file]),
                None => {
                    app.reading.set(None);
                    app.notify(
                        Tone::Problem,
                        "The sample scan could not be fetched; open a file of your own.",
                    );
                }
            }
        });
    }

    /// Ends the reading of files.
    pub fn cancel_reading(&self) {
        self.end_worker();
        self.desk.update_value(|desk| {
            desk.next = None;
            desk.opening = None;
        });
        self.reading.set(None);
        self.wake();
        self.resume_run();
    }

    /// Starts the run again that was ended to open files, when they were not opened.
    pub(crate) fn resume_run(&self) {
        let run = self.desk.try_update_value(|desk| desk.interrupted.take()).flatten();
        if let Some(run) = run {
            self.start_again(run);
        }
    }

    /// Ends the worker of the run in progress, and says how to start that run again.
    fn interrupt_run(&self) -> Option<Interrupted> {
        let (id, device) = self.desk.with_value(|desk| desk.running)?;
        let work = self.take_work(id);
        self.end_worker();
        Some(Interrupted { device, work })
    }

    /// What the run of this number does, which is over.
    pub(crate) fn take_work(&self, id: RequestId) -> Work {
        match self.take_identifying(Some(id)) {
            Some((_, _, run)) => Work::Identify { run },
            None if self.desk.with_value(|desk| desk.fitted) => Work::SegmentFitted,
            None => Work::Segment,
        }
    }

    pub(crate) fn start_again(&self, Interrupted { device, work }: Interrupted) {
        match work {
            Work::Identify { run } => self.identify(device, run),
            Work::Segment => self.segment(device),
            Work::SegmentFitted => self.run_fitted(device),
        }
    }

    /// Reads files; first the painted examples of the shown scan are kept, if there are new
    /// ones.
    pub(crate) fn read(&self, files: Vec<File>, selection: Option<Selection>) {
        let Some(client) = self.client() else { return };
        self.cancel_cine();
        // The run belongs to the scan that is being replaced.
        if let Some(run) = self.interrupt_run() {
            self.desk.update_value(|desk| desk.interrupted = Some(run));
        } else {
            self.end_questions();
        }
        self.choice.set(None);
        // What was wrong with other files is of no interest any more.
        self.notices.update(|notices| notices.retain(|notice| notice.tone == Tone::Calm));
        self.reading
            .set(Some(begin(&format!("Reading {}", text::counted(files.len(), "file", "files")))));
        self.read_after_examples(client, files, selection);
    }

    /// The device that is asked for: the chosen one, unless it failed.
    pub fn wanted_device(&self) -> DeviceChoice {
        let choice = self.device_choice.get_untracked();
        self.desk.with_value(|desk| desk.known.wanted(choice))
    }

    /// Wants another device. A run in progress starts again on it.
    pub fn choose_device(&self, choice: DeviceChoice) {
        self.device_choice.set(choice);
        // Who chooses wants it tried again.
        self.desk.update_value(|desk| desk.known.gpu_failed = false);
        if let Some(client) = self.client() {
            client.fall_back(None);
        }
        store_choice(choice);
        if let Some(run) = self.interrupt_run() {
            self.start_again(Interrupted { device: choice, ..run });
        }
    }

    /// Segments the scan that is shown.
    pub fn segment(&self, device: DeviceChoice) {
        if self.is_empty_untracked() || !self.can_segment() {
            return;
        }
        let app = *self;
        let key = self.models.chosen.get_untracked();
        self.start_run(
            device,
            async move { Some(vec![app.pack_file().await?]) },
            ToWorker::Segment { device, pack: key },
            |_| {},
            move || {
                let line = if app.models.is_shipped() {
                    "The model could not be fetched; look at the network, then run again."
                } else {
                    "The model is not on this device any more; choose another one."
                };
                app.notify(Tone::Problem, line);
            },
        );
    }

    /// Puts a request that counts as a run to the worker once its files are there and the
    /// worker has the scan; `asked` hears its number, first the one of a run that waits;
    /// `without` is done where the files cannot be had. Nothing happens while another run
    /// goes on.
    pub(crate) fn start_run(
        &self,
        device: DeviceChoice,
        files: impl Future<Output = Option<Vec<JsValue>>> + 'static,
        request: ToWorker,
        asked: impl Fn(RequestId) + 'static,
        without: impl FnOnce() + 'static,
    ) {
        let Some(client) = self.client() else { return };
        if self.desk.with_value(|desk| desk.running.is_some()) {
            return;
        }
        self.run.set(Some(begin("Getting ready")));
        // Not a request yet, but a second start must not come between.
        self.desk.update_value(|desk| {
            desk.running = Some((PENDING, device));
            desk.fitted = false;
            desk.known.second_try = false;
        });
        asked(PENDING);
        let app = *self;
        leptos::task::spawn_local(async move {
            let files = files.await;
            if app.desk.with_value(|desk| desk.running) != Some((PENDING, device)) {
                return;
            }
            let Some(files) = files else {
                app.take_identifying(Some(PENDING));
                app.desk.update_value(|desk| desk.running = None);
                app.run.set(None);
                without();
                return;
            };
            app.give_scan(&client);
            let id = client.send(request, &files);
            app.desk.update_value(|desk| desk.running = Some((id, device)));
            asked(id);
        });
    }

    /// Whether scans are segmented when they are opened.
    pub fn choose_automatic(&self, automatic: bool) {
        self.automatic.set(automatic);
        store_automatic(automatic);
    }

    /// Ends the run: asks first, and ends the worker if it does not listen in time.
    pub fn cancel_run(&self) {
        let Some((id, _)) = self.desk.with_value(|desk| desk.running) else { return };
        if id == PENDING {
            self.take_identifying(Some(id));
            self.desk.update_value(|desk| desk.running = None);
            self.run.set(None);
            return;
        }
        self.run.update(|run| {
            if let Some(run) = run {
                run.cancelling = true;
            }
        });
        if let Some(client) = self.client() {
            client.send(ToWorker::Cancel { id }, &[]);
        }
        let app = *self;
        set_timeout(
            move || {
                if app.desk.with_value(|desk| desk.running.map(|(running, _)| running)) == Some(id)
                {
                    app.end_worker();
                    app.wake();
                }
            },
            Duration::from_millis(CANCEL_MILLIS),
        );
    }

    /// Moves the crosshair into a structure and lights it up; shows it if it was hidden.
    pub fn go_to(&self, index: u8) {
        let place = self.result.with_untracked(|result| {
            let result = result.as_ref()?;
            let row = result.structures().iter().find(|row| row.index == index)?;
            let voxel = row.nearest_voxel?;
            Some(result.grid.affine.apply(voxel.map(|v| v as f64)))
        });
        let Some(place) = place else { return };
        if self.view.hidden.with_untracked(|hidden| hidden.contains(&index)) {
            self.view.hidden.update(|hidden| {
                hidden.remove(&index);
            });
        }
        self.view.crosshair_mm.set(place);
        self.view.highlighted.set(Some(index));
    }

    pub(crate) fn client(&self) -> Option<Client> {
        self.desk.with_value(|desk| desk.client.clone())
    }

    /// Ends a question about the scan that is being replaced: the worker does one thing after
    /// the other, and it may take minutes. One that keeps what a person painted or labelled is
    /// waited for, and a worker that holds a kept place is only asked to end.
    fn end_questions(&self) {
        let is_busy = |busy: RwSignal<Option<String>>| busy.with_untracked(Option::is_some);
        let features = self.features;
        let looks = is_busy(features.busy)
            && !matches!(features.mode.get_untracked(), Mode::Paint | Mode::Label);
        let holds = features.kept.with_untracked(Option::is_some);
        if is_busy(self.compare.busy) || is_busy(self.lesions.busy) || (looks && !holds) {
            self.end_worker();
        } else if looks {
            self.cancel_features();
        }
    }

    fn is_empty_untracked(&self) -> bool {
        self.scan.with_untracked(Option::is_none)
    }

    /// Makes sure that the worker holds the scan that is shown.
    pub(crate) fn give_scan(&self, client: &Client) {
        let (has, files, selection) = self
            .desk
            .with_value(|desk| (desk.worker_has_scan, desk.files.clone(), desk.selection.clone()));
        if has || files.is_empty() {
            return;
        }
        let parts: Vec<JsValue> = files.iter().map(JsValue::from).collect();
        let id = client.send(ToWorker::Read { selection: Some(selection), display: false }, &parts);
        self.desk.update_value(|desk| {
            desk.rereading = Some(id);
            desk.worker_has_scan = true;
        });
    }

    /// Ends the worker; the next request starts a fresh one.
    pub(crate) fn end_worker(&self) {
        if let Some(client) = self.client() {
            client.stop();
        }
        self.desk.update_value(|desk| {
            desk.running = None;
            desk.rereading = None;
            desk.exporting = None;
            desk.worker_has_scan = false;
            desk.worker_has_labels = false;
        });
        self.run.set(None);
        self.models.checking.set(Vec::new());
        self.features_ended();
        self.comparison_ended();
        self.lesions_ended();
        self.cine_ended();
    }
}

/// A message as a sentence: a capital first, a stop last.
pub fn sentence(message: &str) -> String {
    let message = message.trim();
    let mut letters = message.chars();
    let mut out: String = match letters.next() {
        Some(letter) => letter.to_uppercase().chain(letters).collect(),
        None => "Something failed without saying why".into(),
    };
    if !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
}

/// Names and values of an address's query.
fn address_words(query: &str) -> Vec<(&str, &str)> {
    query
        .trim_start_matches('?')
        .split('&')
        .filter(|word| !word.is_empty())
        .map(|word| word.split_once('=').unwrap_or((word, "")))
        .collect()
}

/// Progress of something that begins now.
pub(crate) fn begin(stage: &str) -> Progress {
    Progress { stage: stage.into(), done: 0, total: 0, started_ms: now_ms(), cancelling: false }
}

/// Milliseconds since the page began.
pub fn now_ms() -> f64 {
    window().performance().map_or(0.0, |performance| performance.now())
}

/// A file beside the page; `None` where it cannot be fetched.
pub(crate) async fn fetch_file(url: &'static str, name: &str) -> Option<File> {
    let blob = JsFuture::from(fetch_blob(url.to_owned())).await.ok()?;
    File::new_with_blob_sequence(&js_sys::Array::of1(&blob), name).ok()
}

/// A file beside the page, as a `Blob`: bytes the browser keeps, not WebAssembly.
pub(crate) fn fetch_blob(url: String) -> js_sys::Promise {
    wasm_bindgen_futures::future_to_promise(async move {
        let response = window().fetch_with_str(&url);
        let response = JsFuture::from(response).await?;
        let response: web_sys::Response = response.dyn_into()?;
        if !response.ok() {
            return Err(JsValue::from_str(&response.status_text()));
        }
        JsFuture::from(response.blob()?).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        assert_eq!(address_words("?sample&device=cpu"), [("sample", ""), ("device", "cpu")]);
        assert!(address_words("").is_empty() && address_words("?").is_empty());
    }

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("the file is empty"), "The file is empty.");
        assert_eq!(sentence("Is it? "), "Is it?");
        assert_eq!(sentence(""), "Something failed without saying why.");
    }
}
