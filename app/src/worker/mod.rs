//! The worker: owns the device, the model and all volumes, and answers the page.
//!
//! Requests are done one after the other. A cancel and a newer `Read` act at once:
//! the first ends the request it names at its next breath, the second drops reads
//! that still wait. What was loaded is replaced only by what was loaded after it.
//!
//! | file | what |
//! | --- | --- |
//! | `read` | files to a scan |
//! | `half` | scan values for display, and to be read out |
//! | `adapter` | the name of the GPU |
//! | `run` | device, pack, segmentation, measures, report |
//! | `packs` | models that are kept on the device |
//! | `features` | colours, similar places, fitted heads |
//! | `labels` | heads on whole scans |
//! | `identify` | sequence, body part, age |
//! | `compare` | a second scan |
//! | `lesions` | further sequences of the study, lesions |
//! | `abnormality` | the scan against its own rendering |
//! | `cine` | the phases of a heartbeat |
//! | `translate` | core's types in the page's terms |
//! | `post` | messages, clock, breath, panics |
//! | [`memory`] | the allocator, which notes what was refused |

mod abnormality;
mod adapter;
mod cine;
mod compare;
mod features;
mod half;
mod identify;
mod labels;
mod lesions;
pub mod memory;
mod packs;
mod post;
mod read;
mod run;
pub(crate) mod translate;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::Uint8Array;
use prism_core::formats::{Scan, Selection, nifti};
use prism_core::volume::{LabelMap, LabelTable};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::MessageEvent;

use crate::facts::DeviceChoice;
use crate::features::messages::Ask;
use crate::protocol::{FailureKind, FromWorker, Request, RequestId, ToWorker, decode};
use crate::wire::unpack;
use post::post;
use read::Outcome;
use run::{Engine, Weights};

/// A request that did not succeed.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// It was asked to end.
    Cancelled,
    /// It failed, for a reason.
    Failed(FailureKind, String),
}

impl Failure {
    fn input(message: impl Into<String>) -> Self {
        Self::Failed(FailureKind::Input, message.into())
    }

    fn missing(message: impl Into<String>) -> Self {
        Self::Failed(FailureKind::Missing, message.into())
    }

    fn device(message: impl Into<String>) -> Self {
        Self::Failed(FailureKind::Device, message.into())
    }
}

/// The segmentation that belongs to the scan.
struct Labelled {
    map: LabelMap,
    table: LabelTable,
}

/// What the worker keeps between requests.
#[derive(Default)]
struct Holdings {
    /// The scan, and which volume of its series it is.
    scan: Option<(Scan, usize)>,
    labelled: Option<Labelled>,
    engine: Engine,
    held: features::Held,
    known: Option<identify::Known>,
    compared: compare::Held,
    lesions: lesions::Held,
    /// The phases of the scan's heartbeat.
    cine: Option<prism_core::cine::Cine>,
}

/// The scan, for what cannot be done without one.
fn the_scan(scan: &Option<(Scan, usize)>) -> Result<&(Scan, usize), Failure> {
    scan.as_ref().ok_or_else(|| Failure::missing("there is no scan; open one first"))
}

#[derive(Default)]
struct Desk {
    waiting: RefCell<VecDeque<(Request, Vec<JsValue>)>>,
    /// The request being done, and whether it shall end.
    current: Cell<Option<RequestId>>,
    ending: Rc<Cell<bool>>,
    holdings: RefCell<Option<Holdings>>,
}

/// Starts to listen and says so.
pub fn start() {
    post::report_panics();
    post::report_refused_memory();
    let desk =
        Rc::new(Desk { holdings: RefCell::new(Some(Holdings::default())), ..Desk::default() });
    let listen = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let message =
            unpack(&event.data()).and_then(|(json, parts)| Ok((decode::<Request>(&json)?, parts)));
        match message {
            Ok((request, parts)) => take(&desk, request, parts),
            Err(message) => {
                post(None, FromWorker::Failed { kind: FailureKind::Message, message }, &[]);
            }
        }
    });
    post::scope().set_onmessage(Some(listen.as_ref().unchecked_ref()));
    // Lives as long as the worker.
    listen.forget();
    post(None, FromWorker::Ready, &[]);
}

fn take(desk: &Rc<Desk>, request: Request, parts: Vec<JsValue>) {
    match &request.body {
        ToWorker::Cancel { id } => {
            if desk.current.get() == Some(*id) {
                desk.ending.set(true);
            } else {
                drop_waiting(desk, |waiting| waiting.id == *id);
            }
            return;
        }
        ToWorker::Read { .. } => {
            drop_waiting(desk, |waiting| {
                matches!(waiting.body, ToWorker::Read { display: true, .. })
            });
        }
        _ => {}
    }
    desk.waiting.borrow_mut().push_back((request, parts));
    if desk.current.get().is_none() {
        let desk = Rc::clone(desk);
        wasm_bindgen_futures::spawn_local(work(desk));
    }
}

/// Ends requests that have not begun.
fn drop_waiting(desk: &Desk, which: impl Fn(&Request) -> bool) {
    desk.waiting.borrow_mut().retain(|(request, _)| {
        let drop = which(request);
        if drop {
            post(Some(request.id), FromWorker::Cancelled, &[]);
        }
        !drop
    });
}

/// Does what waits, in order.
async fn work(desk: Rc<Desk>) {
    // Taken out while requests run: a message that comes meanwhile only queues.
    let Some(mut holdings) = desk.holdings.borrow_mut().take() else { return };
    loop {
        let next = desk.waiting.borrow_mut().pop_front();
        let Some((Request { id, fallback, body }, parts)) = next else { break };
        desk.current.set(Some(id));
        holdings.engine.set_fallback(fallback);
        desk.ending.set(false);
        post::set_current(Some(id));
        memory::forget();
        let ending = Rc::clone(&desk.ending);
        match answer(&mut holdings, id, body, &parts, &ending).await {
            Ok((body, parts)) => post(Some(id), body, &parts),
            Err(Failure::Cancelled) => post(Some(id), FromWorker::Cancelled, &[]),
            Err(Failure::Failed(kind, message)) => {
                post(Some(id), FromWorker::Failed { kind, message }, &[]);
            }
        }
        desk.current.set(None);
        post::set_current(None);
    }
    *desk.holdings.borrow_mut() = Some(holdings);
}

async fn answer(
    holdings: &mut Holdings,
    id: RequestId,
    body: ToWorker,
    parts: &[JsValue],
    ending: &Rc<Cell<bool>>,
) -> Result<(FromWorker, Vec<JsValue>), Failure> {
    match body {
        ToWorker::Read { selection, display } => {
            read(holdings, id, selection, display, parts, ending).await
        }
        ToWorker::Prepare { device, pack } => {
            let (device, pack) = holdings.engine.prepare(device, (pack, parts.first())).await?;
            Ok((FromWorker::Prepared { device, pack: Box::new(pack) }, Vec::new()))
        }
        ToWorker::Segment { device, pack } => {
            let weights = Weights::Pack((pack, parts.first()));
            segment(holdings, device, weights, (id, ending)).await
        }
        ToWorker::Features { device, ask: Ask::Segment, .. } => {
            segment(holdings, device, Weights::Fitted(parts.first()), (id, ending)).await
        }
        ToWorker::Features {
            device,
            pack,
            ask:
                ask
                @ (Ask::Pool | Ask::Heads | Ask::Together { .. } | Ask::Teach { .. } | Ask::Classify),
        } => labels::answer(holdings, (device, pack), ask, parts, (id, ending)).await,
        ToWorker::Features { device, pack, ask } => {
            features::answer(holdings, (device, pack), ask, parts, (id, ending)).await
        }
        ToWorker::Identify { device } => {
            let found = identify::answer(holdings, device, parts, (id, ending)).await?;
            Ok((FromWorker::Identified { found: Box::new(found) }, Vec::new()))
        }
        ToWorker::Compare { device, pack, ask } => {
            compare::answer(holdings, (device, pack), ask, parts, (id, ending)).await
        }
        ToWorker::Lesions { device, ask } => {
            lesions::answer(holdings, device, ask, parts, (id, ending)).await
        }
        ToWorker::Cine { device, pack, ask } => {
            cine::answer(holdings, (device, pack), ask, parts, (id, ending)).await
        }
        ToWorker::ListPacks => Ok((packs::list(id).await, Vec::new())),
        ToWorker::KeepPack => packs::keep(parts.first(), id).await,
        ToWorker::ForgetPack { sha256 } => Ok((packs::forget(&sha256, id).await?, Vec::new())),
        ToWorker::Restore { table } => restore(holdings, table, parts),
        ToWorker::ExportSegmentation => {
            let labelled = holdings.labelled.as_ref().ok_or_else(|| {
                Failure::missing("there is no segmentation to save; segment the scan first")
            })?;
            let bytes = nifti::write_labels(&labelled.map, &labelled.table)
                .map_err(|error| Failure::input(error.to_string()))?;
            let media_type = "application/gzip".to_owned();
            Ok((
                FromWorker::Exported { media_type },
                vec![Uint8Array::from(bytes.as_slice()).buffer().into()],
            ))
        }
        // Taken care of on arrival.
        ToWorker::Cancel { .. } => Err(Failure::Cancelled),
    }
}

async fn segment(
    holdings: &mut Holdings,
    device: DeviceChoice,
    weights: Weights<'_>,
    watch: (RequestId, &Rc<Cell<bool>>),
) -> Result<(FromWorker, Vec<JsValue>), Failure> {
    let (scan, volume) = the_scan(&holdings.scan)?;
    let (mut result, map, tissues) =
        holdings.engine.segment((scan, *volume), device, weights, watch).await?;
    if let (Some(known), Some(tissues)) = (&mut holdings.known, tissues) {
        result.found = known.with_tissues(scan, &result.pack, tissues)?;
    }
    let indices = Uint8Array::from(map.data.as_slice());
    holdings.labelled = Some(Labelled { map, table: result.pack.labels.clone() });
    Ok((FromWorker::Segmented { result: Box::new(result) }, vec![indices.buffer().into()]))
}

async fn read(
    holdings: &mut Holdings,
    id: RequestId,
    selection: Option<Selection>,
    display: bool,
    parts: &[JsValue],
    ending: &Rc<Cell<bool>>,
) -> Result<(FromWorker, Vec<JsValue>), Failure> {
    let progress = |stage: &str, done: usize, total: usize| {
        post(Some(id), FromWorker::Progress { stage: stage.into(), done, total }, &[]);
    };
    let outcome = read::read(parts, selection, progress).await?;
    if ending.get() {
        return Err(Failure::Cancelled);
    }
    match outcome {
        Outcome::Several(series) => Ok((FromWorker::Listed { series }, Vec::new())),
        Outcome::Loaded(loaded) => {
            let parts: Vec<JsValue> = if display {
                let (data, range) = (&loaded.scan.volume.data, loaded.facts.range);
                let shown = Some(half::display(data, range).buffer());
                shown.into_iter().chain(half::values(data, range.0)).map(Into::into).collect()
            } else {
                Vec::new()
            };
            holdings.scan = Some((loaded.scan, loaded.facts.volume));
            holdings.labelled = None;
            holdings.held.forget_scan();
            holdings.engine.forget_scan();
            holdings.known = None;
            holdings.compared = compare::Held::default();
            holdings.lesions = lesions::Held::default();
            if display {
                // Read again without, it is the same scan and has the same phases.
                holdings.cine = None;
            }
            Ok((FromWorker::Loaded { facts: Box::new(loaded.facts) }, parts))
        }
    }
}

fn restore(
    holdings: &mut Holdings,
    table: LabelTable,
    parts: &[JsValue],
) -> Result<(FromWorker, Vec<JsValue>), Failure> {
    let (scan, _) = holdings
        .scan
        .as_ref()
        .ok_or_else(|| Failure::missing("the scan is not loaded any more; open it again"))?;
    let indices = parts.first().map(|part| Uint8Array::new(part).to_vec()).unwrap_or_default();
    let map = LabelMap::new(indices, scan.volume.dims, scan.volume.affine)
        .map_err(|error| Failure::Failed(FailureKind::Message, error.to_string()))?;
    holdings.labelled = Some(Labelled { map, table });
    Ok((FromWorker::Restored, Vec::new()))
}
