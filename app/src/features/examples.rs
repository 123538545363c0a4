//! Examples painted in several scans: kept as features when the next scan is opened, counted,
//! dropped. The page holds them, so that a worker that ends takes none with it.

use js_sys::{ArrayBuffer, Uint8Array};
use leptos::prelude::*;
use prism_core::formats::Selection;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::File;

use super::messages::{Answer, Ask, Examples};
use super::{Desk, Features};
use crate::client::Client;
use crate::protocol::{FailureKind, FromWorker, Reply, RequestId, ToWorker};
use crate::state::App;

/// The examples of one scan.
#[derive(Clone, Debug)]
pub struct Kept {
    /// For lists.
    pub id: u32,
    /// Name of the scan, which stays on this page.
    pub title: String,
    /// How many.
    pub examples: Examples,
    /// SHA-256 of the model that they are features of, as it was chosen.
    key: Option<String>,
    /// Whether the scan is the one that is shown.
    pub open: bool,
    /// The features, a file.
    bytes: ArrayBuffer,
}

impl App {
    /// Whether strokes on the shown scan are not among the examples yet, and the worker
    /// still has that scan.
    fn has_new_strokes(&self) -> bool {
        let opening = self.desk.with_value(|desk| desk.opening.is_some());
        let desk = self.features.desk;
        !opening && desk.with_value(|desk| desk.changes.made != desk.changes.taken)
    }

    /// Has files read, after the painted examples of the shown scan were asked for. The worker
    /// does one request after the other, so the examples come from the scan they belong to.
    pub(crate) fn read_after_examples(
        &self,
        client: Client,
        files: Vec<File>,
        selection: Option<Selection>,
    ) {
        let next = Some((files, selection));
        let waits = self.desk.try_update_value(|desk| std::mem::replace(&mut desk.next, next));
        if waits.flatten().is_some() {
            // The examples are being asked for; of files only the newest are opened.
            return;
        }
        if !self.has_new_strokes() {
            self.read_next(&client);
            return;
        }
        let app = *self;
        leptos::task::spawn_local(async move {
            app.hand_over_examples(&client).await;
            app.read_next(&client);
        });
    }

    fn read_next(&self, client: &Client) {
        let next = self.desk.try_update_value(|desk| desk.next.take()).flatten();
        let Some((files, selection)) = next else { return };
        let parts: Vec<JsValue> = files.iter().map(JsValue::from).collect();
        let id =
            client.send(ToWorker::Read { selection: selection.clone(), display: true }, &parts);
        self.desk.update_value(|desk| desk.opening = Some((id, files, selection)));
    }

    /// Asks for the examples of the shown scan, which is about to be replaced.
    async fn hand_over_examples(&self, client: &Client) {
        let features = self.features;
        let key = self.models.chosen.get_untracked();
        let painted = features.painted_values();
        let (Some(pack), Some(painted)) = (self.pack_file().await, painted) else { return };
        self.give_scan(client);
        let ask = Ask::Take { classes: features.classes.with_untracked(Vec::len) };
        let request = ToWorker::Features { device: self.wanted_device(), pack: key, ask };
        let id = client.send(request, &[pack, painted]);
        features.desk.update_value(|desk| {
            desk.taking = Some(id);
            desk.changes.asked = desk.changes.made;
        });
    }

    /// Whether a reply is about the examples of a scan that is about to be replaced.
    pub(super) fn is_about_examples(&self, id: Option<RequestId>) -> bool {
        id.is_some() && self.features.desk.with_value(|desk| desk.taking) == id
    }

    /// What the page makes of such a reply.
    pub(super) fn hear_examples(&self, reply: Reply, parts: &[JsValue]) {
        if !reply.body.is_final() {
            if let FromWorker::Progress { stage, done, total } = reply.body {
                self.reading.update(|reading| {
                    if let Some(reading) = reading {
                        (reading.stage, reading.done, reading.total) = (stage, done, total);
                    }
                });
            }
            return;
        }
        self.features.desk.update_value(|desk| desk.taking = None);
        match reply.body {
            FromWorker::Features { answer: Answer::Taken(examples) } => {
                self.keep_examples(examples, parts.first());
            }
            FromWorker::Failed { kind, message } => self.examples_failed(kind, &message),
            _ => {}
        }
    }

    /// The examples are lost; the files that were to be opened are not.
    fn examples_failed(&self, kind: FailureKind, message: &str) {
        self.features.desk.update_value(|desk| desk.changes.taken = desk.changes.made);
        let opening = self.desk.try_update_value(|desk| desk.opening.take()).flatten();
        self.ask_failed(kind, &format!("the painted examples were not kept: {message}"));
        match opening {
            Some((_, files, selection)) if kind.ends_worker() => self.read(files, selection),
            opening => self.desk.update_value(|desk| desk.opening = opening),
        }
    }

    /// Keeps the examples of the shown scan in place of earlier ones.
    pub(super) fn keep_examples(&self, examples: Examples, bytes: Option<&JsValue>) {
        let features = self.features;
        features.desk.update_value(|desk| desk.changes.taken = desk.changes.asked);
        let Some(bytes) = bytes.and_then(|part| part.dyn_ref::<ArrayBuffer>().cloned()) else {
            return;
        };
        let title = self.scan_title();
        let key = self.models.chosen.get_untracked();
        features.examples.update(|all| {
            all.retain(|kept| !kept.open);
            let id = all.iter().map(|kept| kept.id).max().unwrap_or(0) + 1;
            if examples.voxels > 0 {
                all.push(Kept { id, title, examples, key, open: true, bytes });
            }
        });
    }

    /// Drops the examples of a scan; of the shown one what is painted, too.
    pub fn drop_examples(&self, id: u32) {
        let features = self.features;
        let dropped = features.examples.try_update(|all| {
            let at = all.iter().position(|kept| kept.id == id)?;
            Some(all.remove(at))
        });
        if dropped.flatten().is_some_and(|kept| kept.open) {
            self.wipe_painting();
        }
    }

    /// Name of the shown scan.
    pub(super) fn scan_title(&self) -> String {
        self.scan.with_untracked(|scan| {
            scan.as_ref().map(|scan| scan.series.title.clone()).unwrap_or_default()
        })
    }
}

impl Features {
    /// What is painted, copied for the worker; `None` before anything could be.
    pub(super) fn painted_values(self) -> Option<JsValue> {
        let painted = self.painted.get_untracked()?;
        Some(painted.indices.slice(0, painted.indices.length()).buffer().into())
    }

    /// Examples of other scans that features of this model go with, copied for the worker.
    pub(super) fn earlier_examples(self, key: Option<&String>) -> Vec<JsValue> {
        self.examples.with_untracked(|all| {
            all.iter()
                .filter(|kept| !kept.open && kept.key.as_ref() == key)
                .map(|kept| kept.bytes.slice(0).into())
                .collect()
        })
    }

    /// From how many scans there are examples for this model, the shown one with its strokes
    /// included.
    pub fn scans_with_examples(self, key: Option<&String>) -> usize {
        let earlier = self
            .examples
            .with(|all| all.iter().filter(|kept| !kept.open && kept.key.as_ref() == key).count());
        earlier + usize::from(self.strokes.get() > 0)
    }
}

impl Kept {
    /// Whether they are features of this model.
    pub fn goes_with(&self, key: Option<&String>) -> bool {
        self.key.as_ref() == key
    }
}

impl Desk {
    /// Notes that what is painted changed.
    pub(super) const fn changed(&mut self) {
        self.changes.made += 1;
    }

    /// Notes that what is painted now was asked for.
    pub(super) const fn asked(&mut self) {
        self.changes.asked = self.changes.made;
    }
}

/// No values: nothing is painted in the shown scan.
pub(super) fn nothing() -> JsValue {
    Uint8Array::new_with_length(0).buffer().into()
}
