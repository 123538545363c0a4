//! Whole scans: their pooled features, what the pack's own heads say of them, the head that is
//! fitted on those with a label, its answers.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Uint8Array;
use prism_core::features::teach;
use prism_core::identify::pack::EncoderName;
use prism_core::identify::{HeadsError, taught};
use prism_core::model::Pack;
use prism_core::pipeline::{self, PipelineError};
use wasm_bindgen::JsValue;

use super::features::{Whole, failure};
use super::run::PageWatch;
use super::{Failure, Holdings, the_scan, translate};
use crate::facts::DeviceChoice;
use crate::features::messages::{Answer, Ask, Taught, Told};
use crate::protocol::{FromWorker, RequestId};

/// Answers a question about whole scans: [`Ask::Pool`], [`Ask::Heads`], [`Ask::Teach`],
/// [`Ask::Classify`].
///
/// # Errors
/// [`Failure`] in one sentence.
pub async fn answer(
    holdings: &mut Holdings,
    (device, key): (DeviceChoice, Option<String>),
    ask: Ask,
    parts: &[JsValue],
    (id, ending): (RequestId, &Rc<Cell<bool>>),
) -> Result<(FromWorker, Vec<JsValue>), Failure> {
    if let Ask::Teach { scans } = ask {
        let (pack, _) = holdings.engine.open(device, (key, parts.first())).await?;
        let taught = teach(&scans).map_err(failure)?;
        let encoder = name(pack);
        let bytes = taught.to_bytes(encoder.clone()).map_err(failure)?;
        return Ok(file(Taught { encoder, scores: taught.scores }, &bytes));
    }
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Computing features");
    holdings.held.of_encoder(key.as_ref());
    let (pack, model) = holdings.engine.open(device, (key, parts.first())).await?;
    let (scan, _) = the_scan(&holdings.scan)?;
    let whole = match holdings.held.whole.take() {
        Some(whole) => whole,
        None => {
            let pooled = pipeline::pooled(&scan.volume, model, pack, &mut watch).await;
            let pooled = pooled.map_err(|error| match error {
                PipelineError::Cancelled(_) => Failure::Cancelled,
                PipelineError::Device(_) => Failure::device("the graphics card stopped answering"),
                other => Failure::input(other.to_string()),
            })?;
            let features = pooled.features.into_iter();
            Whole {
                vectors: features.map(|one| (one.name.to_owned(), one.values)).collect(),
                answers: translate::answers(&pooled.answers, pack),
            }
        }
    };
    holdings.held.whole = Some(whole.clone());
    let Whole { vectors, answers } = whole;
    let answer = match ask {
        Ask::Classify => {
            let (heads, _) = taught::read(&bytes(parts.get(1))).map_err(|error| input(&error))?;
            heads
                .check_encoder(&pack.info.name, &pack.info.sha256)
                .map_err(|error| input(&error))?;
            let named: Vec<_> =
                vectors.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect();
            Answer::Classified(taught::answer(&heads, &named).map_err(|error| input(&error))?)
        }
        Ask::Heads => {
            let wanting = pack.info.architecture.wanting(1).into_iter();
            let wanting = wanting.map(|(head, wanted)| (head.to_owned(), wanted)).collect();
            Answer::Told(Told { pack: pack.info.sha256.clone(), answers, wanting })
        }
        _ => Answer::Pooled(vectors),
    };
    Ok((FromWorker::Features { answer }, Vec::new()))
}

/// Whether a file holds heads and no network.
pub fn is_head(bytes: &[u8]) -> bool {
    !matches!(taught::read(bytes), Err(HeadsError::Container(_)))
}

/// The head in a file.
///
/// # Errors
/// [`Failure`] in one sentence.
pub fn read(bytes: &[u8]) -> Result<(FromWorker, Vec<JsValue>), Failure> {
    let (heads, scores) = taught::read(bytes).map_err(|error| input(&error))?;
    Ok(file(Taught { encoder: heads.info.encoder, scores }, bytes))
}

fn file(taught: Taught, bytes: &[u8]) -> (FromWorker, Vec<JsValue>) {
    let answer = Answer::Taught(taught);
    (FromWorker::Features { answer }, vec![Uint8Array::from(bytes).buffer().into()])
}

fn name(pack: &Pack) -> EncoderName {
    EncoderName { name: pack.info.name.clone(), sha256: pack.info.sha256.clone() }
}

fn bytes(part: Option<&JsValue>) -> Vec<u8> {
    part.map(|part| Uint8Array::new(part).to_vec()).unwrap_or_default()
}

fn input(error: &dyn core::fmt::Display) -> Failure {
    Failure::input(error.to_string())
}
