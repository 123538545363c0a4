//! Models beside those that come with the page: checked, kept, listed, deleted.

use prism_core::model::pack::LARGEST;
use prism_core::model::{Pack, PackError, Prism};
use prism_core::pipeline::Device;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

use super::post::post;
use super::run::bytes_of;
use super::{Failure, labels, translate};
use crate::facts::PackCard;
use crate::kept::{self, Kept, KeptError};
use crate::protocol::{FailureKind, FromWorker, RequestId};

/// The packs that are kept.
pub async fn list(id: RequestId) -> FromWorker {
    // A browser that keeps nothing has an empty list; it says why when a pack comes.
    FromWorker::Packs { kept: cards(id).await.unwrap_or_default(), added: None }
}

/// The cards of all kept packs, by title. A pack without one gets it anew; a file that is no
/// whole pack is deleted, and that is said.
async fn cards(id: RequestId) -> Result<Vec<PackCard>, KeptError> {
    let Kept { mut cards, without_card } = kept::list().await?;
    for sha256 in without_card {
        match card_of(&sha256).await {
            Ok(card) => {
                // Where it cannot be written now, it is at the next visit.
                let _ = kept::keep_card(&card).await;
                cards.push(card);
            }
            Err(Failure::Failed(FailureKind::Input, why)) => {
                // One that another window of this page is writing cannot be deleted.
                if kept::forget(&sha256).await.is_ok() {
                    let text = format!(
                        "A model that was kept on this device was deleted, for it cannot be used \
                         ({why}); add its file again"
                    );
                    post(Some(id), FromWorker::Notice { text }, &[]);
                }
            }
            // It cannot be read now.
            Err(_) => {}
        }
    }
    cards.sort_by(|a, b| a.title.cmp(&b.title).then_with(|| a.sha256.cmp(&b.sha256)));
    Ok(cards)
}

/// The card of a kept pack, out of the pack itself.
async fn card_of(sha256: &str) -> Result<PackCard, Failure> {
    let file = kept::file(sha256).await.map_err(|error| Failure::missing(error.to_string()))?;
    let bytes = read(Some(&file.into())).await?;
    let pack = Pack::read(&bytes).map_err(|error| match error {
        // Another version of the page may read it: it stays.
        PackError::Schema { .. } | PackError::Metadata(_) | PackError::Architecture(_) => {
            Failure::missing(error.to_string())
        }
        error => Failure::input(error.to_string()),
    })?;
    if pack.info.sha256 != sha256 {
        return Err(Failure::input("its name is another pack's"));
    }
    Ok(translate::pack(&pack, bytes.len()))
}

/// Checks a pack and keeps it. A head on whole scans is given back instead: it is used
/// where it was made, under Features.
///
/// # Errors
/// [`Failure`] in one sentence; nothing is kept then.
pub async fn keep(
    blob: Option<&JsValue>,
    id: RequestId,
) -> Result<(FromWorker, Vec<JsValue>), Failure> {
    let bytes = read(blob).await?;
    let pack = match Pack::read(&bytes) {
        Err(PackError::NoMetadata) if labels::is_head(&bytes) => return labels::read(&bytes),
        read => read.map_err(|error| Failure::input(error.to_string()))?,
    };
    let card = translate::pack(&pack, bytes.len());
    // Builds the network once: a tensor that is missing, left over or of another shape
    // shall be found now and not in the middle of a run.
    Prism::load(&pack, &Device::flex()).map_err(|error| Failure::input(error.to_string()))?;
    drop(pack);
    kept::keep(&card, &bytes).await.map_err(|error| not_done("kept", &error))?;
    let kept = cards(id).await.map_err(|error| not_done("listed", &error))?;
    Ok((FromWorker::Packs { kept, added: Some(card.sha256) }, Vec::new()))
}

/// Deletes a pack.
///
/// # Errors
/// [`Failure`] in one sentence.
pub async fn forget(sha256: &str, id: RequestId) -> Result<FromWorker, Failure> {
    kept::forget(sha256).await.map_err(|error| not_done("deleted", &error))?;
    let kept = cards(id).await.map_err(|error| not_done("listed", &error))?;
    Ok(FromWorker::Packs { kept, added: None })
}

async fn read(blob: Option<&JsValue>) -> Result<Vec<u8>, Failure> {
    let size = blob.and_then(JsValue::dyn_ref::<Blob>).map_or(0.0, Blob::size);
    if size > LARGEST as f64 {
        return Err(Failure::input("the pack is larger than 1 GB, which is the most that is read"));
    }
    bytes_of(blob).await
}

fn not_done(what: &str, error: &KeptError) -> Failure {
    Failure::input(format!("the model was not {what}: {error}"))
}
