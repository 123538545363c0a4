//! The page's end of the worker: starts it, queues requests until it listens,
//! delivers its replies, and starts it again when it must be ended.
//!
//! A restart is the only way to stop code that does not yield and to give
//! WebAssembly memory back. Replies of an ended worker never arrive: its handlers
//! go with it, and ids are never used twice.

use std::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{ErrorEvent, Event, MessageEvent, Worker};

use crate::protocol::{
    FailureKind, Fallback, FromWorker, Reply, Request, RequestId, ToWorker, decode,
};
use crate::wire::{Parcel, pack, unpack};

/// The worker's script, made by the build beside the page.
const SCRIPT: &str = "./worker_loader.js";

type Receive = Rc<dyn Fn(Reply, Vec<JsValue>)>;

struct Live {
    worker: Worker,
    ready: bool,
    waiting: Vec<Parcel>,
    // Held so that they live as long as the worker.
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(Event)>,
}

struct State {
    live: Option<Live>,
    last_id: RequestId,
    fallback: Option<Fallback>,
    receive: Receive,
}

/// A handle on the worker; clones speak to the same one.
#[derive(Clone)]
pub struct Client(Rc<RefCell<State>>);

impl Client {
    /// A client that hands every reply to `receive`. The worker starts with the
    /// first request.
    pub fn new(receive: impl Fn(Reply, Vec<JsValue>) + 'static) -> Self {
        let receive = Rc::new(receive);
        Self(Rc::new(RefCell::new(State { live: None, last_id: 0, fallback: None, receive })))
    }

    /// Has every request from now on say which device stands in for one that failed.
    pub fn fall_back(&self, fallback: Option<Fallback>) {
        self.0.borrow_mut().fallback = fallback;
    }

    /// The device that stands in for one that failed.
    pub fn fallback(&self) -> Option<Fallback> {
        self.0.borrow().fallback.clone()
    }

    /// Sends a request with its parts and returns its id. A request that cannot be
    /// sent is answered with [`FromWorker::Failed`] like any other failure.
    pub fn send(&self, body: ToWorker, parts: &[JsValue]) -> RequestId {
        let (id, fallback) = {
            let mut state = self.0.borrow_mut();
            state.last_id += 1;
            (state.last_id, state.fallback.clone())
        };
        let request = Request { id, fallback, body };
        let sent = pack(&request, parts).and_then(|parcel| self.post(parcel));
        if let Err(message) = sent {
            let client = self.clone();
            // Later, so that the caller knows the id before the answer comes.
            wasm_bindgen_futures::spawn_local(async move {
                client.deliver(
                    Reply { id: Some(id), body: failed(FailureKind::Crash, message) },
                    Vec::new(),
                );
            });
        }
        id
    }

    /// Ends the worker, if one runs; the next request starts another. What it was
    /// doing gets no answer.
    pub fn stop(&self) {
        let live = self.0.borrow_mut().live.take();
        if let Some(live) = live {
            live.worker.set_onmessage(None);
            live.worker.set_onerror(None);
            live.worker.terminate();
        }
    }

    /// Starts the worker if none runs, so that it is ready when it is needed.
    ///
    /// # Errors
    /// A sentence, when the browser starts no worker.
    pub fn wake(&self) -> Result<(), String> {
        if self.0.borrow().live.is_none() {
            let live = self.start()?;
            self.0.borrow_mut().live = Some(live);
        }
        Ok(())
    }

    fn post(&self, parcel: Parcel) -> Result<(), String> {
        self.wake()?;
        let mut state = self.0.borrow_mut();
        let Some(live) = state.live.as_mut() else {
            return Err("the worker could not be started".into());
        };
        if live.ready {
            post_to(&live.worker, &parcel)
        } else {
            live.waiting.push(parcel);
            Ok(())
        }
    }

    fn start(&self) -> Result<Live, String> {
        let worker = Worker::new(SCRIPT)
            .map_err(|_| "the browser does not allow this page to start its worker".to_owned())?;
        let client = self.clone();
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            client.hear(&event.data());
        });
        let client = self.clone();
        let on_error = Closure::<dyn FnMut(Event)>::new(move |event: Event| {
            let detail = event.dyn_ref::<ErrorEvent>().map(ErrorEvent::message).unwrap_or_default();
            event.prevent_default();
            client.deliver(
                Reply { id: None, body: failed(FailureKind::Crash, crash_sentence(&detail)) },
                Vec::new(),
            );
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(Live {
            worker,
            ready: false,
            waiting: Vec::new(),
            _on_message: on_message,
            _on_error: on_error,
        })
    }

    fn hear(&self, data: &JsValue) {
        let message = unpack(data).and_then(|(json, parts)| Ok((decode::<Reply>(&json)?, parts)));
        match message {
            Ok((reply, parts)) => {
                if reply.body == FromWorker::Ready {
                    self.flush();
                }
                self.deliver(reply, parts);
            }
            Err(message) => {
                self.deliver(
                    Reply { id: None, body: failed(FailureKind::Message, message) },
                    Vec::new(),
                );
            }
        }
    }

    /// The worker listens: everything that waited goes out in order.
    fn flush(&self) {
        let problem = {
            let mut state = self.0.borrow_mut();
            let Some(live) = state.live.as_mut() else { return };
            live.ready = true;
            let waiting = std::mem::take(&mut live.waiting);
            waiting.iter().find_map(|parcel| post_to(&live.worker, parcel).err())
        };
        if let Some(message) = problem {
            self.deliver(
                Reply { id: None, body: failed(FailureKind::Message, message) },
                Vec::new(),
            );
        }
    }

    fn deliver(&self, reply: Reply, parts: Vec<JsValue>) {
        // Not borrowed while it runs: it may send or stop.
        let receive = Rc::clone(&self.0.borrow().receive);
        receive(reply, parts);
    }
}

fn post_to(worker: &Worker, parcel: &Parcel) -> Result<(), String> {
    worker
        .post_message_with_transfer(&parcel.message, &parcel.transfer)
        .map_err(|_| "the browser could not hand the files to the worker".to_owned())
}

fn failed(kind: FailureKind, message: String) -> FromWorker {
    FromWorker::Failed { kind, message }
}

/// What to say when the worker ends without a word of its own.
fn crash_sentence(detail: &str) -> String {
    if detail.contains("memory") {
        "the browser gave the computation no more memory".into()
    } else if detail.is_empty() {
        "the part of the page that computes could not be started".into()
    } else {
        "the computation stopped unexpectedly".into()
    }
}
