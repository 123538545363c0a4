//! Which models there are and which one runs: those that lie beside the page, which are
//! fetched when they are first chosen, and packs that the user dropped, which the worker
//! checks and keeps (`kept`).

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File};

use crate::actions::fetch_blob;
use crate::facts::{DeviceChoice, HeadKind, PackCard, Shipped};
use crate::kept;
use crate::protocol::{RequestId, ToWorker};
use crate::state::{App, Tone, store_pack};
use crate::text;

/// The folder of the packs beside the page.
pub(crate) const FOLDER: &str = "./packs/";

/// The pack that runs when none was chosen.
const FIRST: &str = "brain.safetensors";

/// The heads on its encoder that identify a scan.
const HEADS: &str = "identify.safetensors";

/// The pack that finds lesions; it is asked for under Lesions and is none of the packs that
/// are tried on a scan by themselves.
pub(crate) const LESIONS: &str = "lesions.safetensors";

/// The pack that renders a scan again; as the one before.
const PRETRAINED: &str = "pretrained.safetensors";

/// The models, as signals.
#[derive(Clone, Copy)]
pub struct Models {
    /// The packs beside the page, the first one first.
    pub shipped: RwSignal<Vec<Shipped>>,
    /// Packs kept on this device, by title.
    pub kept: RwSignal<Vec<PackCard>>,
    /// SHA-256 of the pack for the next run; `None` for the first one of the page.
    pub chosen: RwSignal<Option<String>>,
    /// Requests that change the list.
    pub checking: RwSignal<Vec<RequestId>>,
    /// Whether the list is open.
    pub open: RwSignal<bool>,
    /// What became of the last change, said in the list: notices lie under it.
    pub said: RwSignal<Option<(Tone, String)>>,
}

impl Models {
    /// None known yet, and the choice of an earlier visit.
    pub fn new(remembered: Option<String>) -> Self {
        Self {
            shipped: RwSignal::new(Vec::new()),
            kept: RwSignal::new(Vec::new()),
            chosen: RwSignal::new(remembered.filter(|sha256| !sha256.is_empty())),
            checking: RwSignal::new(Vec::new()),
            open: RwSignal::new(false),
            said: RwSignal::new(None),
        }
    }

    /// The card of the model for the next run, once it is known.
    pub fn card(&self) -> Option<PackCard> {
        let Some(sha256) = self.chosen.get() else {
            return self.shipped.with(|shipped| shipped.first().map(|first| first.card.clone()));
        };
        let kept = self.kept.with(|kept| kept.iter().find(|card| card.sha256 == sha256).cloned());
        kept.or_else(|| {
            self.shipped.with(|shipped| {
                shipped.iter().find(|one| one.card.sha256 == sha256).map(|one| one.card.clone())
            })
        })
    }

    /// The card of the pack that finds lesions, where the list has one.
    pub fn lesions(&self) -> Option<PackCard> {
        self.card_of(LESIONS)
    }

    /// The card of the pack that renders a scan again, where the list has one.
    pub fn pretrained(&self) -> Option<PackCard> {
        self.card_of(PRETRAINED)
    }

    /// The card of a pack beside the page.
    fn card_of(&self, file: &str) -> Option<PackCard> {
        self.shipped
            .with(|shipped| shipped.iter().find(|one| one.file == file).map(|one| one.card.clone()))
    }

    /// Whether the chosen pack lies beside the page.
    pub fn is_shipped(&self) -> bool {
        self.chosen_file().is_some()
    }

    /// The file beside the page that the choice stands for; `None` for a kept pack.
    fn chosen_file(&self) -> Option<String> {
        let Some(sha256) = self.chosen.get_untracked() else { return Some(FIRST.into()) };
        self.shipped.with_untracked(|shipped| {
            shipped.iter().find(|one| one.card.sha256 == sha256).map(|one| one.file.clone())
        })
    }
}

/// Whether a file is a pack by its name.
pub fn is_pack(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".safetensors")
}

/// What to do with a checkpoint.
pub const CHECKPOINT: &str =
    "This is a PyTorch checkpoint; the command prism convert makes a pack of it.";

/// Whether a file is a PyTorch checkpoint by its name.
pub fn is_checkpoint(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".pt", ".pth", ".ckpt"].iter().any(|suffix| name.ends_with(suffix))
}

/// What a model can say of a scan, in a few words.
pub fn abilities(card: &PackCard) -> String {
    let words = card
        .heads
        .iter()
        .map(|head| match head.kind {
            // Background is no structure.
            HeadKind::Segmentation => {
                text::counted(head.outputs.saturating_sub(1), "structure", "structures")
            }
            HeadKind::Classification | HeadKind::Regression => head.name.replace('_', " "),
        })
        .collect::<Vec<_>>()
        .join(", ");
    match (card.segments(), card.answers()) {
        (true, _) => words,
        (false, true) => format!("features and, of the whole scan, {words}; no segmentation"),
        (false, false) => "features only, no segmentation".into(),
    }
}

/// The packs in the list beside the page, each named as its file.
fn listed(list: &str) -> serde_json::Result<Vec<Shipped>> {
    let mut packs: Vec<Shipped> = serde_json::from_str(list)?;
    for pack in &mut packs {
        pack.card.name = pack.file.trim_end_matches(".safetensors").to_owned();
    }
    Ok(packs)
}

/// Files beside the page that are fetched before a scan is opened: the chosen pack, unless it
/// is kept on the device, and what identifies scans.
fn files_ahead(chosen: Option<String>) -> Vec<String> {
    let mut files: Vec<String> = chosen.into_iter().collect();
    for file in [FIRST, HEADS] {
        if files.iter().all(|known| known != file) {
            files.push(file.to_owned());
        }
    }
    files
}

impl App {
    /// Reads the list of the packs beside the page and asks the worker for those that
    /// are kept.
    pub(crate) async fn list_packs(&self) {
        let list = fetch_text(format!("{FOLDER}index.json")).await;
        if let Some(shipped) = list.and_then(|list| listed(&list).ok()) {
            self.models.shipped.set(shipped);
        }
        self.fetch_card();
        if let Some(client) = self.client() {
            client.send(ToWorker::ListPacks, &[]);
        }
    }

    /// Has the text beside the chosen pack; a kept one has none.
    fn fetch_card(&self) {
        self.card.set(None);
        let Some(file) = self.models.chosen_file() else { return };
        let app = *self;
        leptos::task::spawn_local(async move {
            let text = fetch_text(format!("{FOLDER}{}", file.replace(".safetensors", ".md"))).await;
            // Another pack may have been chosen meanwhile.
            if app.models.chosen_file().as_ref() == Some(&file) {
                app.card.set(text);
            }
        });
    }

    /// Has packs checked and kept.
    pub fn keep_packs(&self, files: Vec<File>) {
        let Some(client) = self.client() else { return };
        self.models.said.set(None);
        for file in files {
            let id = client.send(ToWorker::KeepPack, &[file.into()]);
            self.models.checking.update(|checking| checking.push(id));
        }
    }

    /// Uses a model from the next run on, and at the next visit.
    pub fn choose_pack(&self, sha256: Option<String>) {
        store_pack(sha256.as_deref());
        self.use_pack(sha256);
    }

    /// Uses a model from the next run on: what a scan is routed to is not the person's own choice
    /// and ends with the visit.
    pub(crate) fn use_pack(&self, sha256: Option<String>) {
        self.models.said.set(None);
        if self.models.chosen.with_untracked(|chosen| *chosen == sha256) {
            return;
        }
        self.models.chosen.set(sha256);
        self.fetch_card();
        self.features.forget_encoder();
        if !self.is_empty() {
            // Colours of the last encoder become those of this one.
            self.show_features(self.features.mode.get_untracked());
        }
    }

    /// Opens or closes the list.
    pub fn show_models(&self, open: bool) {
        self.models.said.set(None);
        self.models.open.set(open);
    }

    /// Says where it is seen why a pack was not kept or deleted; `false` when the
    /// request was none of the list's.
    pub(crate) fn pack_failed(&self, id: Option<RequestId>, line: &str) -> bool {
        let ours = self
            .models
            .checking
            .with_untracked(|checking| checking.iter().any(|&checked| Some(checked) == id));
        if ours {
            self.models.checking.update(|checking| checking.retain(|&c| Some(c) != id));
            if self.models.open.get_untracked() {
                self.models.said.set(Some((Tone::Problem, line.to_owned())));
            } else {
                self.notify(Tone::Problem, line);
            }
        }
        ours
    }

    /// Deletes a kept model.
    pub fn forget_pack(&self, sha256: &str) {
        if self.models.chosen.with_untracked(|chosen| chosen.as_deref() == Some(sha256)) {
            self.choose_pack(None);
        }
        if let Some(client) = self.client() {
            let id = client.send(ToWorker::ForgetPack { sha256: sha256.to_owned() }, &[]);
            self.models.checking.update(|checking| checking.push(id));
        }
    }

    /// Makes the worker's list the page's.
    pub(crate) fn hear_packs(&self, kept: Vec<PackCard>, added: Option<String>) {
        let chosen = self.models.chosen.get_untracked();
        let gone = |chosen: String| {
            kept.iter().all(|card| card.sha256 != chosen) && self.models.chosen_file().is_none()
        };
        // Without the list of the page's own, nothing is known to be gone.
        let listed = !self.models.shipped.with_untracked(Vec::is_empty);
        if listed && chosen.is_some_and(gone) {
            // Deleted in another window, or by the browser.
            self.choose_pack(None);
            self.notify(
                Tone::Calm,
                "The model that you had chosen is not here any more: it was deleted, or a newer one \
                 took its place. The page's first model is chosen.",
            );
        }
        let title = added
            .as_ref()
            .and_then(|sha256| kept.iter().find(|card| card.sha256 == *sha256))
            .map(|card| card.title.clone());
        self.models.kept.set(kept);
        if let Some(title) = title {
            self.choose_pack(added);
            self.models.open.set(true);
            let line = format!("\"{title}\" is kept on this device and chosen.");
            self.models.said.set(Some((Tone::Calm, line)));
        }
    }

    /// Whether the chosen model can segment; says so when it cannot.
    pub(crate) fn can_segment(&self) -> bool {
        let Some(card) = untrack(|| self.models.card()).filter(|card| !card.segments()) else {
            return true;
        };
        let answers = if card.answers() { ", answers for the whole scan" } else { "" };
        self.notify(
            Tone::Calm,
            format!(
                "\"{}\" gives features{answers} and no segmentation; see Features, or choose another model.",
                card.title
            ),
        );
        false
    }

    /// Puts a question about the shown scan to the worker, the chosen pack beside it and
    /// then `parts`; `busy` says the words meanwhile, and nothing is asked while it says some.
    pub(crate) fn ask_with_pack(
        &self,
        (busy, words): (RwSignal<Option<String>>, &str),
        request: impl FnOnce(DeviceChoice, Option<String>) -> ToWorker + 'static,
        parts: Vec<JsValue>,
        asked: impl FnOnce(RequestId) + 'static,
    ) {
        let Some(client) = self.client() else { return };
        if busy.with_untracked(Option::is_some) {
            return;
        }
        busy.set(Some(words.to_owned()));
        let app = *self;
        leptos::task::spawn_local(async move {
            let key = app.models.chosen.get_untracked();
            let Some(pack) = app.pack_file().await else {
                busy.set(None);
                app.notify(
                    Tone::Problem,
                    "The model could not be read; choose another one, or reload the page.",
                );
                return;
            };
            // Another scan was opened meanwhile.
            if busy.with_untracked(Option::is_none) {
                return;
            }
            app.give_scan(&client);
            let parts: Vec<JsValue> = std::iter::once(pack).chain(parts).collect();
            let device = app.wanted_device();
            asked(client.send(request(device, key), &parts));
        });
    }

    /// The file of the chosen pack.
    pub(crate) async fn pack_file(&self) -> Option<JsValue> {
        if let Some(file) = self.models.chosen_file() {
            return self.shipped_file(file).await;
        }
        let sha256 = self.models.chosen.get_untracked()?;
        kept::file(&sha256).await.ok().map(Into::into)
    }

    /// The file of the pack with this SHA-256.
    pub(crate) async fn file_of(&self, sha256: &str) -> Option<JsValue> {
        let shipped = self.models.shipped.with_untracked(|shipped| {
            shipped.iter().find(|one| one.card.sha256 == sha256).map(|one| one.file.clone())
        });
        match shipped {
            Some(file) => self.shipped_file(file).await,
            None => kept::file(sha256).await.ok().map(Into::into),
        }
    }

    /// Begins to fetch what a scan that is opened is identified and segmented with.
    pub(crate) fn fetch_packs_ahead(&self) {
        for file in files_ahead(self.models.chosen_file()) {
            let app = *self;
            leptos::task::spawn_local(async move {
                // A failure is said when the file is needed.
                let _ = app.shipped_file(file).await;
            });
        }
    }

    /// The pack whose encoder identifies scans, and the heads that do.
    pub(crate) async fn identify_files(&self) -> Option<Vec<JsValue>> {
        Some(vec![self.shipped_file(FIRST.into()).await?, self.shipped_file(HEADS.into()).await?])
    }

    /// The pack whose structures say where a lesion lies, and the one that finds lesions.
    pub(crate) async fn lesion_files(&self) -> Option<Vec<JsValue>> {
        Some(vec![self.shipped_file(FIRST.into()).await?, self.shipped_file(LESIONS.into()).await?])
    }

    /// The pack whose structures say where the brain is, and the one that renders a scan again.
    pub(crate) async fn pretrained_files(&self) -> Option<Vec<JsValue>> {
        let brain = self.shipped_file(FIRST.into()).await?;
        Some(vec![brain, self.shipped_file(PRETRAINED.into()).await?])
    }

    /// A pack beside the page, fetched once; `None` where it cannot be fetched.
    async fn shipped_file(&self, file: String) -> Option<JsValue> {
        let known = self.desk.with_value(|desk| {
            desk.packs.iter().find(|(name, _)| *name == file).map(|(_, promise)| promise.clone())
        });
        let promise = known.unwrap_or_else(|| {
            let promise = fetch_blob(format!("{FOLDER}{file}"));
            self.desk.update_value(|desk| desk.packs.push((file.clone(), promise.clone())));
            promise
        });
        let blob = JsFuture::from(promise).await.ok();
        if blob.is_none() {
            // Another attempt may do.
            self.desk.update_value(|desk| desk.packs.retain(|(name, _)| *name != file));
        }
        blob
    }
}

async fn fetch_text(url: String) -> Option<String> {
    let blob: Blob = JsFuture::from(fetch_blob(url)).await.ok()?.dyn_into().ok()?;
    JsFuture::from(blob.text()).await.ok()?.as_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::HeadFacts;

    #[test]
    fn packs_are_told_from_scans_by_name() {
        assert!(is_pack("swin-b.safetensors") && is_pack("BRAIN.SAFETENSORS"));
        assert!(!is_pack("scan.nii.gz") && !is_pack("safetensors.dcm"));
        assert!(is_checkpoint("PRISM.pt") && !is_checkpoint("script") && !is_checkpoint("pt"));
    }

    #[test]
    fn what_identifies_a_scan_is_fetched_ahead_and_nothing_twice() {
        assert_eq!(files_ahead(Some(FIRST.into())), [FIRST, HEADS]);
        let other = "cardiac.safetensors";
        assert_eq!(files_ahead(Some(other.into())), [other, FIRST, HEADS]);
        // A pack that is kept on the device is not fetched.
        assert_eq!(files_ahead(None), [FIRST, HEADS]);
    }

    #[test]
    #[cfg(feature = "worker")]
    fn the_list_says_what_the_packs_say() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../public/packs");
        let list = std::fs::read_to_string(folder.join("index.json")).unwrap();
        let list = listed(&list).unwrap();
        assert_eq!(list[0].file, FIRST);
        for Shipped { file, card } in list {
            let bytes = std::fs::read(folder.join(&file)).unwrap();
            let pack = prism_core::model::Pack::read(&bytes).unwrap();
            assert_eq!(crate::worker::translate::pack(&pack, bytes.len()), card, "{file}");
        }
    }

    #[test]
    fn abilities_are_words() {
        let head = |kind, name: &str, outputs| HeadFacts { name: name.into(), kind, outputs };
        let card = |heads| PackCard {
            name: "brain".into(),
            title: "Brain".into(),
            version: "1".into(),
            sha256: "0".into(),
            labels: Default::default(),
            fits: None,
            spacing_mm: [Some(1.0); 3],
            provenance: serde_json::json!({ "imported": { "file": "PRISM.pt" } }),
            scores: serde_json::Value::Null,
            parameters: 0,
            bytes: 0,
            heads,
        };
        let encoder = card(vec![]);
        assert_eq!(abilities(&encoder), "features only, no segmentation");
        assert!(encoder.imported() && !encoder.segments() && !encoder.answers());
        let answers = card(vec![head(HeadKind::Classification, "body_part", 6)]);
        let words = "features and, of the whole scan, body part; no segmentation";
        assert_eq!(abilities(&answers), words);
        let both = card(vec![
            head(HeadKind::Segmentation, "segmentation", 33),
            head(HeadKind::Classification, "sequence_type", 5),
        ]);
        assert_eq!(abilities(&both), "32 structures, sequence type");
        assert!(both.segments());
    }
}
