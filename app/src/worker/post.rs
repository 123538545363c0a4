//! What the worker says, and the small services of the browser it uses to say it.

use std::cell::{Cell, RefCell};

use js_sys::Promise;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{DedicatedWorkerGlobalScope, Event, WorkerGlobalScope};

use super::memory;
use crate::protocol::{FailureKind, FromWorker, Reply, RequestId};
use crate::wire::pack;

thread_local! {
    /// The request being worked on, so that a panic can be told to belong to it.
    static CURRENT: Cell<Option<RequestId>> = const { Cell::new(None) };
    /// Given back when memory was refused, so that a message finds room.
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes of [`SPARE`].
const SPARE_BYTES: usize = 256 << 10;

/// What the page says of memory that was refused.
const NO_MEMORY: &str = "there was not enough memory";

/// The worker's global object.
pub fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Says which request is being worked on.
pub fn set_current(id: Option<RequestId>) {
    CURRENT.with(|current| current.set(id));
}

/// Sends a message with its parts; array buffers among them are transferred.
pub fn post(id: Option<RequestId>, body: FromWorker, parts: &[JsValue]) {
    let sent = pack(&Reply { id, body }, parts).and_then(|parcel| {
        scope()
            .post_message_with_transfer(&parcel.message, &parcel.transfer)
            .map_err(|_| "a result could not be handed to the page".to_owned())
    });
    if let Err(message) = sent {
        let body = FromWorker::Failed { kind: FailureKind::Message, message };
        // Nothing but text in it, so only a page that is gone cannot take it.
        if let Ok(parcel) = pack(&Reply { id, body }, &[]) {
            let _ = scope().post_message(&parcel.message);
        }
    }
}

/// Tells the page when the worker panics; the wasm module is unusable afterwards.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        console_error_panic_hook::hook(info);
        let message = panic_sentence(&info.to_string()).to_owned();
        let id = CURRENT.with(Cell::get);
        post(id, FromWorker::Failed { kind: FailureKind::Crash, message }, &[]);
    }));
}

/// Tells the page when the worker ends because an allocation was refused: Rust traps then
/// without a panic. Other traps go on to the page as they are.
pub fn report_refused_memory() {
    SPARE.with(|spare| spare.replace(vec![0; SPARE_BYTES]));
    let listen = Closure::<dyn FnMut(Event)>::new(move |event: Event| {
        if memory::refused().is_none() {
            return;
        }
        SPARE.with(|spare| drop(spare.take()));
        // Handled here: the page hears of it once.
        event.prevent_default();
        let message = NO_MEMORY.to_owned();
        let id = CURRENT.with(Cell::get);
        post(id, FromWorker::Failed { kind: FailureKind::Crash, message }, &[]);
    });
    let heard = scope().add_event_listener_with_callback("error", listen.as_ref().unchecked_ref());
    if heard.is_ok() {
        // Lives as long as the worker.
        listen.forget();
    }
}

/// What a panic means to the user, as far as its words tell.
fn panic_sentence(words: &str) -> &'static str {
    let words = words.to_lowercase();
    if words.contains("out of memory")
        || words.contains("allocation")
        || words.contains("capacity overflow")
    {
        NO_MEMORY
    } else if words.contains("lost") || words.contains("destroyed") {
        "the browser took the graphics card away"
    } else {
        "the computation stopped unexpectedly"
    }
}

/// Milliseconds since the worker began.
pub fn now_ms() -> f64 {
    scope().unchecked_into::<WorkerGlobalScope>().performance().map_or(0.0, |p| p.now())
}

/// Lets the browser deliver messages that wait.
pub async fn breathe() {
    let promise = Promise::new(&mut |resolve, _| {
        gloo::timers::callback::Timeout::new(0, move || {
            let _ = resolve.call0(&JsValue::UNDEFINED);
        })
        .forget();
    });
    let _ = JsFuture::from(promise).await;
}

/// Size of WebAssembly memory in bytes.
pub fn memory_bytes() -> f64 {
    let memory: js_sys::WebAssembly::Memory = wasm_bindgen::memory().unchecked_into();
    f64::from(memory.buffer().unchecked_into::<js_sys::ArrayBuffer>().byte_length())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_told_apart() {
        assert_eq!(panic_sentence("wgpu error: Out of Memory"), NO_MEMORY);
        assert_eq!(panic_sentence("Device lost"), "the browser took the graphics card away");
        assert_eq!(panic_sentence("index out of bounds"), "the computation stopped unexpectedly");
    }
}
