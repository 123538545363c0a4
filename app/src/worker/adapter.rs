//! The name of the GPU. `wgpu` reads an adapter's description alone, which browsers leave empty on
//! ordinary hardware; vendor and architecture they do say.
//!
//! The calls are made by name: their types are behind a flag of `web-sys`.

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// What a browser says of an adapter (`GPUAdapterInfo`), from the general to the particular.
const SAID: [&str; 4] = ["vendor", "architecture", "device", "description"];

/// What the browser says of the adapter that the network would run on; `None` where there is no
/// WebGPU, no adapter, or nothing is said.
pub async fn name() -> Option<String> {
    let gpu = get(&get(&js_sys::global(), "navigator")?, "gpu")?;
    let request: Function = get(&gpu, "requestAdapter")?.dyn_into().ok()?;
    let options = Object::new();
    // As cubecl asks for it: on a machine with two adapters the same one.
    Reflect::set(&options, &"powerPreference".into(), &"high-performance".into()).ok()?;
    let arguments: Array = [JsValue::from(options)].iter().collect();
    let promise: Promise = request.apply(&gpu, &arguments).ok()?.dyn_into().ok()?;
    let adapter = JsFuture::from(promise).await.ok()?;
    let info = get(&adapter, "info")?;
    joined(SAID.map(|what| get(&info, what)?.as_string()))
}

/// What is there and not empty, each once.
fn joined(said: [Option<String>; 4]) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    for text in said.into_iter().flatten() {
        let text = text.trim();
        if !text.is_empty() && words.iter().all(|word| word != text) {
            words.push(text.to_owned());
        }
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// A property that is there.
fn get(object: &JsValue, name: &str) -> Option<JsValue> {
    let value = Reflect::get(object, &name.into()).ok()?;
    (!value.is_undefined() && !value.is_null()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_left_out() {
        let said = |texts: [&str; 4]| joined(texts.map(|text| Some(text.to_owned())));
        assert_eq!(said(["nvidia", "ampere", "", ""]).as_deref(), Some("nvidia ampere"));
        assert_eq!(said(["apple", "metal-3", " ", "apple"]).as_deref(), Some("apple metal-3"));
        assert_eq!(said([""; 4]), None);
        assert_eq!(joined(Default::default()), None);
    }
}
