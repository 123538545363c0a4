//! The page without a network: the service worker that keeps its files.
//!
//! Browsers offer service workers on secure addresses only; elsewhere the page works
//! as before, with the network.

use leptos::prelude::{Set, window};
use wasm_bindgen::prelude::*;

use crate::state::App;

/// The script, beside the page; what it keeps is written by the build.
const SCRIPT: &str = "./service_worker.js";

#[wasm_bindgen]
extern "C" {
    type Registration;

    #[wasm_bindgen(js_namespace = ["navigator", "serviceWorker"], js_name = register, catch)]
    async fn register(script: &str, options: &JsValue) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(js_namespace = ["navigator", "serviceWorker"], js_name = ready, thread_local_v2)]
    static READY: js_sys::Promise;

    #[wasm_bindgen(method, getter)]
    fn waiting(this: &Registration) -> Option<ServiceWorker>;

    type ServiceWorker;

    #[wasm_bindgen(method, js_name = postMessage, catch)]
    fn post_message(this: &ServiceWorker, message: &str) -> Result<(), JsValue>;
}

impl App {
    /// Has the browser keep the page's files and says when all of them are kept. A newer
    /// version that was fetched during the last visit takes over for the next one.
    pub fn keep_for_offline(&self) {
        let app = *self;
        leptos::task::spawn_local(async move {
            if app.register().await.is_ok() {
                app.offline.set(true);
            }
        });
    }

    async fn register(&self) -> Result<(), JsValue> {
        let navigator = window().navigator();
        if !js_sys::Reflect::has(&navigator, &"serviceWorker".into())? {
            return Err(JsValue::UNDEFINED);
        }
        let options = js_sys::Object::new();
        // The list of files is a script of its own: ask the host for both.
        js_sys::Reflect::set(&options, &"updateViaCache".into(), &"none".into())?;
        let registration: Registration = register(SCRIPT, &options).await?.unchecked_into();
        if let Some(newer) = registration.waiting() {
            newer.post_message("take over")?;
        }
        // Resolves when one is active, which is after it has kept every file.
        wasm_bindgen_futures::JsFuture::from(READY.with(Clone::clone)).await?;
        Ok(())
    }
}
