//! How messages cross the boundary between page and worker: an object `{ json,
//! parts }`, where `parts` are `File` handles (cloned by reference) or array buffers
//! (transferred, never copied).

use js_sys::{Array, ArrayBuffer, Object, Reflect};
use serde::Serialize;
use wasm_bindgen::{JsCast, JsValue};

use crate::protocol::encode;

/// A message ready for `postMessage`: the object and the list of what it transfers.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// `{ json, parts }`.
    pub message: JsValue,
    /// The array buffers among the parts.
    pub transfer: Array,
}

/// Packs a message with its parts.
///
/// # Errors
/// A sentence, should the message have no JSON form.
pub fn pack<T: Serialize>(message: &T, parts: &[JsValue]) -> Result<Parcel, String> {
    let json = encode(message)?;
    let object = Object::new();
    let list: Array = parts.iter().collect();
    let transfer: Array =
        parts.iter().filter(|part| part.is_instance_of::<ArrayBuffer>()).collect();
    let set = Reflect::set(&object, &"json".into(), &json.into())
        .and_then(|_| Reflect::set(&object, &"parts".into(), &list));
    match set {
        Ok(_) => Ok(Parcel { message: object.into(), transfer }),
        Err(_) => Err("a message could not be written".into()),
    }
}

/// The JSON and the parts of a message.
///
/// # Errors
/// A sentence, when the data is not `{ json, parts }`.
pub fn unpack(data: &JsValue) -> Result<(String, Vec<JsValue>), String> {
    let json = Reflect::get(data, &"json".into()).ok().and_then(|value| value.as_string());
    let parts =
        Reflect::get(data, &"parts".into()).ok().and_then(|value| value.dyn_into::<Array>().ok());
    match (json, parts) {
        (Some(json), Some(parts)) => Ok((json, parts.iter().collect())),
        _ => Err("a message came in a form that this build does not know; reload the page".into()),
    }
}
