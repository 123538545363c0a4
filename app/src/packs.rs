//! Which models there are and which one runs: the one that comes with the page, and
//! packs that the user dropped, which the worker checks and keeps (`kept`).

use leptos::prelude::*;
use wasm_bindgen::JsValue;
use web_sys::File;

use crate::facts::{HeadKind, PackCard};
use crate::kept;
use crate::protocol::{RequestId, ToWorker};
use crate::state::{App, Tone, store_pack};
use crate::text;

/// The models, as signals.
#[derive(Clone, Copy)]
pub struct Models {
    /// The pack that comes with the page, once it was read.
    pub built_in: RwSignal<Option<PackCard>>,
    /// Packs kept on this device, by title.
    pub kept: RwSignal<Vec<PackCard>>,
    /// SHA-256 of the kept pack for the next run; `None` for the one of the page.
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
            built_in: RwSignal::new(None),
            kept: RwSignal::new(Vec::new()),
            chosen: RwSignal::new(remembered.filter(|sha256| !sha256.is_empty())),
            checking: RwSignal::new(Vec::new()),
            open: RwSignal::new(false),
            said: RwSignal::new(None),
        }
    }

    /// The card of the model for the next run, once it is known.
    pub fn card(&self) -> Option<PackCard> {
        match self.chosen.get() {
            None => self.built_in.get(),
            Some(sha256) => {
                self.kept.with(|kept| kept.iter().find(|card| card.sha256 == sha256).cloned())
            }
        }
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
        .collect::<Vec<_>>();
    if words.is_empty() { "features only".into() } else { words.join(", ") }
}

impl App {
    /// Asks the worker for the list of models.
    pub fn list_packs(&self) {
        let app = *self;
        leptos::task::spawn_local(async move {
            let parts: Vec<JsValue> = app.built_in_file().await.into_iter().collect();
            if let Some(client) = app.client() {
                client.send(ToWorker::ListPacks, &parts);
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

    /// Uses a model from the next run on.
    pub fn choose_pack(&self, sha256: Option<String>) {
        store_pack(sha256.as_deref());
        self.models.said.set(None);
        if self.models.chosen.with_untracked(|chosen| *chosen == sha256) {
            return;
        }
        self.models.chosen.set(sha256);
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
    pub(crate) fn hear_packs(
        &self,
        built_in: Option<PackCard>,
        kept: Vec<PackCard>,
        added: Option<String>,
    ) {
        if built_in.is_some() {
            self.models.built_in.set(built_in);
        }
        let chosen = self.models.chosen.get_untracked();
        if chosen.is_some_and(|chosen| kept.iter().all(|card| card.sha256 != chosen)) {
            // Deleted in another window, or by the browser.
            self.choose_pack(None);
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
        self.notify(
            Tone::Calm,
            format!(
                "\"{}\" gives features and no segmentation; see Features, or choose another model.",
                card.title
            ),
        );
        false
    }

    /// The file of the chosen pack.
    pub(crate) async fn pack_file(&self) -> Option<JsValue> {
        match self.models.chosen.get_untracked() {
            None => self.built_in_file().await,
            Some(sha256) => kept::file(&sha256).await.ok().map(Into::into),
        }
    }
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
    fn abilities_are_words() {
        let head = |kind, name: &str, outputs| HeadFacts { name: name.into(), kind, outputs };
        let card = |heads| PackCard {
            title: "Brain".into(),
            version: "1".into(),
            sha256: "0".into(),
            labels: Default::default(),
            spacing_mm: [1.0; 3],
            provenance: serde_json::json!({ "imported": { "file": "PRISM.pt" } }),
            scores: serde_json::Value::Null,
            parameters: 0,
            bytes: 0,
            heads,
        };
        let encoder = card(vec![]);
        assert_eq!(abilities(&encoder), "features only");
        assert!(encoder.imported() && !encoder.segments());
        let both = card(vec![
            head(HeadKind::Segmentation, "segmentation", 33),
            head(HeadKind::Classification, "sequence_type", 5),
        ]);
        assert_eq!(abilities(&both), "32 structures, sequence type");
        assert!(both.segments());
    }
}
