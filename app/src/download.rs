//! Saving results: bytes that are on the device already are offered as a download,
//! without any request.

use js_sys::{Array, JsString};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

/// Offers `part` (an array buffer, a typed array or a string) as the file `name`.
///
/// # Errors
/// A sentence, when the browser allows no download.
pub fn save(name: &str, media_type: &str, part: &JsValue) -> Result<(), String> {
    offer(name, media_type, part).map_err(|_| "the browser did not allow the download".to_owned())
}

/// Offers a text as the file `name`.
///
/// # Errors
/// As [`save`].
pub fn save_text(name: &str, media_type: &str, text: &str) -> Result<(), String> {
    save(name, media_type, &JsString::from(text))
}

fn offer(name: &str, media_type: &str, part: &JsValue) -> Result<(), JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type(media_type);
    // The same constructor in the browser, whatever the parts are.
    let blob = Blob::new_with_str_sequence_and_options(&Array::of1(part), &options)?;
    let url = Url::create_object_url_with_blob(&blob)?;
    let document = leptos::prelude::document();
    let link: HtmlAnchorElement = document.create_element("a")?.unchecked_into();
    link.set_href(&url);
    link.set_download(name);
    link.click();
    // The browser has its own hold on the bytes once the click is handled; a minute
    // is ample for slow ones.
    gloo::timers::callback::Timeout::new(60_000, move || {
        let _ = Url::revoke_object_url(&url);
    })
    .forget();
    Ok(())
}
