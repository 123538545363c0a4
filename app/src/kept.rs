//! Packs kept on this device: files in the browser's Origin Private File System, which
//! only this page can read and which stay until they are deleted: by the user, or, unless it
//! agreed not to ([`persist`]), by the browser when space is short.
//!
//! Per pack there are two files, named after the SHA-256 of its tensors: the pack, and a
//! card with what the list shows. The card is written last and deleted first, so of a pack
//! that was not written whole there is none; the worker looks into packs without a card. The
//! worker writes; the page only takes file handles.
//!
//! The calls are made by name: their types are not among the features of `web-sys` that
//! are compiled for the renderer and the device.

use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File};

use crate::facts::PackCard;

/// The folder of the packs.
const FOLDER: &str = "packs";

/// How the name of a pack's file ends.
const PACK: &str = ".safetensors";

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// The cards that can be read, each with its pack.
    pub cards: Vec<PackCard>,
    /// The other packs, by the SHA-256 in their names: the page was closed while one was written,
    /// or another version of the page wrote its card.
    pub without_card: Vec<String>,
}

/// A pack that could not be kept, read or deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// No file system for pages, as in some private windows.
    #[error("this browser keeps no files for pages (private windows often do not)")]
    Unsupported,
    /// The browser's share of the disk is used up.
    #[error("there is no room left for it in this browser; delete another model")]
    Full,
    /// Another page of ours is writing it.
    #[error("it is open in another window of this page; close that first")]
    Busy,
    /// Anything else, in the browser's word.
    #[error("the browser could not store or find the file ({0})")]
    Refused(String),
}

/// Keeps a pack, whole or not at all. Only in a worker: browsers give the page's own
/// thread no way to write that all of them know.
///
/// # Errors
/// [`KeptError`].
pub async fn keep(card: &PackCard, bytes: &[u8]) -> Result<(), KeptError> {
    let json = json(card)?;
    let folder = folder().await?;
    // A card of an earlier attempt would list the pack while it is written.
    remove(&folder, &card_name(&card.sha256)).await?;
    let written = async {
        write(&folder, &pack_name(&card.sha256), bytes).await?;
        write(&folder, &card_name(&card.sha256), &json).await
    };
    let written = written.await;
    if written.is_err() {
        // What is left of it would take room unseen.
        let _ = forget(&card.sha256).await;
    }
    written
}

/// Writes the card of a kept pack anew. Only in a worker, as [`keep`].
///
/// # Errors
/// [`KeptError`].
pub async fn keep_card(card: &PackCard) -> Result<(), KeptError> {
    write(&folder().await?, &card_name(&card.sha256), &json(card)?).await
}

/// What is kept, in no order.
///
/// # Errors
/// [`KeptError`].
pub async fn list() -> Result<Kept, KeptError> {
    let folder = folder().await?;
    let names = ask(&folder, "keys", &[]).await?;
    let mut packs = Vec::new();
    loop {
        let step = ask(&names, "next", &[]).await?;
        if get(&step, "done")?.is_truthy() {
            break;
        }
        let name = get(&step, "value")?.as_string().unwrap_or_default();
        packs.extend(name.strip_suffix(PACK).map(str::to_owned));
    }
    let mut kept = Kept::default();
    for sha256 in packs {
        match card(&folder, &sha256).await {
            Some(card) => kept.cards.push(card),
            None => kept.without_card.push(sha256),
        }
    }
    Ok(kept)
}

/// The card of a pack; `None` where there is none that can be read.
async fn card(folder: &JsValue, sha256: &str) -> Option<PackCard> {
    let file = open(folder, &card_name(sha256)).await.ok()?;
    let text = JsFuture::from(file.text()).await.ok()?.as_string()?;
    serde_json::from_str::<PackCard>(&text).ok().filter(|card| card.sha256 == sha256)
}

/// The file of a kept pack.
///
/// # Errors
/// [`KeptError`].
pub async fn file(sha256: &str) -> Result<Blob, KeptError> {
    Ok(open(&folder().await?, &pack_name(sha256)).await?.into())
}

/// Deletes a pack.
///
/// # Errors
/// [`KeptError`].
pub async fn forget(sha256: &str) -> Result<(), KeptError> {
    let folder = folder().await?;
    remove(&folder, &card_name(sha256)).await?;
    remove(&folder, &pack_name(sha256)).await
}

/// Asks the browser to leave the packs alone when space is short; whether it agrees. Only in the
/// page: workers have no way to ask (Storage Standard, `StorageManager.persist`).
pub async fn persist() -> bool {
    let asked = async {
        let storage = get(&get(&js_sys::global(), "navigator")?, "storage")?;
        ask(&storage, "persist", &[]).await
    };
    asked.await.is_ok_and(|agreed| agreed.is_truthy())
}

fn json(card: &PackCard) -> Result<Vec<u8>, KeptError> {
    serde_json::to_vec(card).map_err(|error| KeptError::Refused(error.to_string()))
}

fn pack_name(sha256: &str) -> String {
    format!("{sha256}{PACK}")
}

fn card_name(sha256: &str) -> String {
    format!("{sha256}.json")
}

/// The folder, made when it is not there. `navigator` is a window's or a worker's.
async fn folder() -> Result<JsValue, KeptError> {
    let navigator = get(&js_sys::global(), "navigator")?;
    let storage = get(&navigator, "storage")?;
    if storage.is_undefined() || !get(&storage, "getDirectory")?.is_function() {
        return Err(KeptError::Unsupported);
    }
    let root = ask(&storage, "getDirectory", &[]).await?;
    ask(&root, "getDirectoryHandle", &[FOLDER.into(), options("create")]).await
}

async fn open(folder: &JsValue, name: &str) -> Result<File, KeptError> {
    let handle = ask(folder, "getFileHandle", &[name.into()]).await?;
    Ok(ask(&handle, "getFile", &[]).await?.unchecked_into())
}

async fn write(folder: &JsValue, name: &str, bytes: &[u8]) -> Result<(), KeptError> {
    let handle = ask(folder, "getFileHandle", &[name.into(), options("create")]).await?;
    let access = ask(&handle, "createSyncAccessHandle", &[]).await?;
    let written = async {
        ask(&access, "truncate", &[0.into()]).await?;
        let count = ask(&access, "write", &[Uint8Array::from(bytes).into()]).await?;
        ask(&access, "flush", &[]).await?;
        // A full disk may end a write early without an error.
        if count.as_f64() == Some(bytes.len() as f64) { Ok(()) } else { Err(KeptError::Full) }
    };
    let written = written.await;
    ask(&access, "close", &[]).await?;
    written
}

/// Removes a file; one that is not there is no error.
async fn remove(folder: &JsValue, name: &str) -> Result<(), KeptError> {
    match ask(folder, "removeEntry", &[name.into()]).await {
        Err(KeptError::Refused(word)) if word == "NotFoundError" => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Calls a method; a promise is awaited.
async fn ask(object: &JsValue, method: &str, arguments: &[JsValue]) -> Result<JsValue, KeptError> {
    let function: Function = get(object, method)?.dyn_into().map_err(|_| KeptError::Unsupported)?;
    let arguments: Array = arguments.iter().collect();
    let answer = function.apply(object, &arguments).map_err(refused)?;
    match answer.dyn_into::<Promise>() {
        Ok(promise) => JsFuture::from(promise).await.map_err(refused),
        Err(value) => Ok(value),
    }
}

fn get(object: &JsValue, name: &str) -> Result<JsValue, KeptError> {
    Reflect::get(object, &name.into()).map_err(refused)
}

/// `{ name: true }`.
fn options(name: &str) -> JsValue {
    let options = Object::new();
    // Setting a property of a fresh object does not fail.
    let _ = Reflect::set(&options, &name.into(), &JsValue::TRUE);
    options.into()
}

fn refused(error: JsValue) -> KeptError {
    let word = Reflect::get(&error, &"name".into()).ok().and_then(|name| name.as_string());
    match word.as_deref() {
        Some("QuotaExceededError") => KeptError::Full,
        Some("NoModificationAllowedError") => KeptError::Busy,
        Some("SecurityError" | "NotAllowedError") => KeptError::Unsupported,
        word => KeptError::Refused(word.unwrap_or("no reason given").to_owned()),
    }
}
