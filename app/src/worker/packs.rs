//! Models beside those that come with the page: checked, kept, listed, deleted.

use prism_core::model::pack::LARGEST;
use prism_core::model::{Pack, PackError, Prism};
use prism_core::pipeline::Device;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

use super::run::bytes_of;
use super::{Failure, labels, translate};
use crate::kept::{self, KeptError};
use crate::protocol::FromWorker;

/// The packs that are kept.
pub async fn list() -> FromWorker {
    // A browser that keeps nothing has an empty list; it says why when a pack comes.
    FromWorker::Packs { kept: kept::list().await.unwrap_or_default(), added: None }
}

/// Checks a pack and keeps it. A head on whole scans is given back instead: it is used
/// where it was made, under Features.
///
/// # Errors
/// [`Failure`] in one sentence; nothing is kept then.
pub async fn keep(blob: Option<&JsValue>) -> Result<(FromWorker, Vec<JsValue>), Failure> {
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
    let kept = kept::list().await.map_err(|error| not_done("listed", &error))?;
    Ok((FromWorker::Packs { kept, added: Some(card.sha256) }, Vec::new()))
}

/// Deletes a pack.
///
/// # Errors
/// [`Failure`] in one sentence.
pub async fn forget(sha256: &str) -> Result<FromWorker, Failure> {
    kept::forget(sha256).await.map_err(|error| not_done("deleted", &error))?;
    let kept = kept::list().await.map_err(|error| not_done("listed", &error))?;
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
