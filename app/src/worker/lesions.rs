//! Further sequences of the scan's study, and the lesions in all of them.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use js_sys::Uint8Array;
use prism_core::formats::{self, InputFile, Scan, Selection, Series, Study, nifti};
use prism_core::identify::{Fits, Route};
use prism_core::lesions::{LesionError, Placed, find, finest_first, left_by_header, place, taken};
use prism_core::pipeline::{self, PipelineError};
use prism_core::registration::RegistrationError;
use prism_core::volume::{Label, LabelMap, LabelTable, Volume};
use wasm_bindgen::JsValue;

use super::post::{now_ms, post};
use super::run::{Engine, PageWatch};
use super::{Failure, Holdings, Labelled, abnormality, identify, read, the_scan};
use crate::facts::DeviceChoice;
use crate::lesions::messages::{Answer, Ask, Found, MOST_SEQUENCES, Sequence};
use crate::protocol::{FailureKind, FromWorker, Grid, RequestId};

/// Indices of lesion classes begin above it; those of structures end below.
const ABOVE: u8 = 200;

/// Sequences on the loaded scan's grid, by key.
#[derive(Default)]
pub struct Held {
    placed: Vec<(u32, Volume)>,
    /// The map of abnormality that was drawn last.
    pub(super) map: Option<Volume>,
}

/// Answers a question.
pub async fn answer(
    holdings: &mut Holdings,
    device: DeviceChoice,
    ask: Ask,
    parts: &[JsValue],
    (id, ending): (RequestId, &Rc<Cell<bool>>),
) -> Result<(FromWorker, Vec<JsValue>), Failure> {
    let (answer, bytes) = match ask {
        Ask::Add { key, beside, fits } => {
            holdings.lesions.placed.retain(|(key, _)| beside.contains(key));
            (add(holdings, device, (key, fits.as_ref()), parts, (id, ending)).await?, None)
        }
        Ask::Again { key, series } => {
            let mut watch = PageWatch::new(id, Rc::clone(ending), "Reading the sequences again");
            let files = files(parts, id).await?;
            let scan = load(&files, &series)?;
            let first = first(holdings)?;
            let placed = place(first, &scan.volume, &mut watch).await.map_err(failure)?;
            holdings.lesions.placed.push((key, placed.volume));
            (Answer::Again, None)
        }
        Ask::Find { pack, keys } => {
            let (found, map) = search(holdings, device, (pack, &keys), parts, (id, ending)).await?;
            (Answer::Found(Box::new(found)), Some(map.data))
        }
        Ask::Abnormality { pack } => {
            let (mapped, rgba) =
                abnormality::map(holdings, device, pack, parts, (id, ending)).await?;
            (Answer::Mapped(Box::new(mapped)), Some(rgba))
        }
        Ask::ExportMap => {
            (Answer::MapExported, Some(abnormality::file(holdings.lesions.map.as_ref())?))
        }
        Ask::Export { grid, table } => {
            let indices = parts.first().map(|part| Uint8Array::new(part).to_vec());
            let map = LabelMap::new(indices.unwrap_or_default(), grid.dims, grid.affine)
                .map_err(|error| Failure::Failed(FailureKind::Message, error.to_string()))?;
            let bytes = nifti::write_labels(&map, &table)
                .map_err(|error| Failure::input(error.to_string()))?;
            (Answer::Exported, Some(bytes))
        }
    };
    let parts = bytes.map(|bytes| Uint8Array::from(bytes.as_slice()).buffer().into());
    Ok((FromWorker::Lesions { answer }, parts.into_iter().collect()))
}

fn first(holdings: &Holdings) -> Result<&Volume, Failure> {
    the_scan(&holdings.scan).map(|(scan, _)| &scan.volume)
}

async fn files(handles: &[JsValue], id: RequestId) -> Result<Vec<InputFile>, Failure> {
    let mut progress = |stage: &str, done: usize, total: usize| {
        post(Some(id), FromWorker::Progress { stage: stage.into(), done, total }, &[]);
    };
    read::contents(handles, &mut progress).await
}

fn load(files: &[InputFile], series: &str) -> Result<Scan, Failure> {
    let selection = Selection { series: Some(series.to_owned()), volume: 0 };
    formats::load(files, &selection).map_err(|error| Failure::input(error.to_string()))
}

/// Reads, identifies and places the series of the files that lesions are looked for in.
async fn add(
    holdings: &mut Holdings,
    device: DeviceChoice,
    (key, fits): (u32, Option<&Fits>),
    parts: &[JsValue],
    (id, ending): (RequestId, &Rc<Cell<bool>>),
) -> Result<Answer, Failure> {
    let files = files(parts.get(2..).unwrap_or_default(), id).await?;
    let study = Study::open(&files).map_err(|error| Failure::input(error.to_string()))?;
    let all = finest_first(study.series());
    let heads = identify::heads(parts.get(1)).await?;
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Identifying the sequence");
    let (mut sequences, mut left_out) = (Vec::new(), Vec::new());
    // The study's own folder holds the scan that is shown.
    let mut shown_again = None;
    for series in &all {
        let key = key + sequences.len() as u32;
        if sequences.len() >= MOST_SEQUENCES as usize {
            let why = format!("at most {MOST_SEQUENCES} are taken at once");
            left_out.push(left(series, &why));
            continue;
        }
        if let Some(why) = left_by_header(series).filter(|_| all.len() > 1) {
            left_out.push(left(series, &why));
            continue;
        }
        let selection = Selection { series: Some(series.key.clone()), volume: 0 };
        let scan = match study.load(&selection) {
            Ok(scan) => scan,
            Err(error) => {
                left_out.push(left(series, &error.to_string()));
                continue;
            }
        };
        let (own, _) = the_scan(&holdings.scan)?;
        if scan.volume.dims == own.volume.dims && scan.volume.data == own.volume.data {
            shown_again = Some(left(series, "this is the scan that is shown"));
            continue;
        }
        let opened = holdings.engine.open(device, (None, parts.first())).await?;
        let shown = match identify::seen_by_tissues(&scan, &heads, opened, &mut watch).await {
            Ok(shown) => shown,
            Err(error) => {
                left_out.push(refusal(series, error)?);
                continue;
            }
        };
        let doubt = match taken(fits, &shown, &scan.series.acquisition) {
            Route::Fits => None,
            Route::Unsure(why) => Some(why),
            Route::No(why) => {
                left_out.push(left(series, &why));
                continue;
            }
        };
        let first = first(holdings)?;
        let Placed { volume, moved_mm } =
            match place(first, &scan.volume, &mut watch).await.map_err(failure) {
                Ok(placed) => placed,
                Err(error) => {
                    left_out.push(refusal(series, error)?);
                    continue;
                }
            };
        // It would count twice and say nothing new.
        if holdings.lesions.placed.iter().any(|(_, placed)| placed.data == volume.data) {
            left_out.push(left(series, "it is among the sequences already"));
            continue;
        }
        holdings.lesions.placed.push((key, volume));
        sequences.push(Sequence {
            key,
            series: series.key.clone(),
            title: series.title.clone(),
            shows: shown.sequence_by_file.or(shown.sequence.given),
            doubt,
            moved_mm,
        });
    }
    if sequences.is_empty() {
        let all: Vec<String> = shown_again.into_iter().chain(left_out).collect();
        return Err(Failure::input(format!("nothing was added: {}", all.join("; "))));
    }
    Ok(Answer::Added { sequences, left_out })
}

/// A series that is not taken, and why.
fn left(series: &Series, why: &str) -> String {
    format!("{} ({why})", series.title)
}

/// What is wrong with one of several sequences; other failures end the request.
fn refusal(series: &Series, error: Failure) -> Result<String, Failure> {
    match error {
        Failure::Failed(FailureKind::Input, words) => Ok(left(series, &words)),
        other => Err(other),
    }
}

/// Runs the lesion pack over the scan and the sequences of these keys.
async fn search(
    holdings: &mut Holdings,
    device: DeviceChoice,
    (pack_key, keys): (String, &[u32]),
    parts: &[JsValue],
    (id, ending): (RequestId, &Rc<Cell<bool>>),
) -> Result<(Found, LabelMap), Failure> {
    let begin = now_ms();
    holdings.lesions.placed.retain(|(key, _)| keys.contains(key));
    if holdings.lesions.placed.len() < keys.len() {
        return Err(Failure::missing("a sequence is not loaded any more; add it again"));
    }
    let (scan, _) = the_scan(&holdings.scan)?;
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Looking for structures");
    let (known, engine) = (holdings.labelled.as_ref(), &mut holdings.engine);
    let wanted = (device, parts.first());
    let (regions, table) = brain_labels(scan, known, engine, wanted, &mut watch).await?;
    let (report, _) = engine.prepare(device, (Some(pack_key.clone()), parts.get(1))).await?;
    let (pack, model) = engine.open(device, (Some(pack_key), parts.get(1))).await?;
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Looking for lesions");
    let scans: Vec<&Volume> = std::iter::once(&scan.volume)
        .chain(holdings.lesions.placed.iter().map(|(_, volume)| volume))
        .collect();
    let found = find(&scans, (&regions, &table), model, pack, &mut watch).await.map_err(failure)?;
    let mut map = found.labels;
    let kinds = &pack.info.labels;
    let above = |label: &Label| Label { index: ABOVE.saturating_add(label.index), ..label.clone() };
    map.data.iter_mut().filter(|class| **class != 0).for_each(|class| {
        *class = ABOVE.saturating_add(*class);
    });
    let found = Found {
        grid: Grid { dims: map.dims, affine: map.affine },
        table: LabelTable { labels: kinds.labels.iter().map(above).collect() },
        above: ABOVE,
        lesions: found.lesions,
        summary: found.summary,
        device: report,
        seconds: (now_ms() - begin) / 1000.0,
    };
    Ok((found, map))
}

/// What the brain pack beside labels in the scan, with its table: what is held of it already,
/// or a new run.
///
/// # Errors
/// [`Failure`] when the pack does not run.
pub(super) async fn brain_labels<'a>(
    scan: &Scan,
    known: Option<&'a Labelled>,
    engine: &mut Engine,
    (device, pack): (DeviceChoice, Option<&JsValue>),
    watch: &mut PageWatch,
) -> Result<(Cow<'a, LabelMap>, LabelTable), Failure> {
    let (brain, model) = engine.open(device, (None, pack)).await?;
    let table = brain.info.labels.clone();
    if let Some(labelled) = known.filter(|labelled| labelled.table == table) {
        return Ok((Cow::Borrowed(&labelled.map), table));
    }
    let given = (&scan.volume, scan.series.unit_stated);
    let found = pipeline::segment_stated(given, model, brain, watch).await;
    Ok((Cow::Owned(found.map_err(|error| failure(error.into()))?.labels), table))
}

pub(super) fn failure(error: LesionError) -> Failure {
    match error {
        LesionError::Pipeline(PipelineError::Cancelled(_))
        | LesionError::Registration(RegistrationError::Pipeline(PipelineError::Cancelled(_))) => {
            Failure::Cancelled
        }
        LesionError::Pipeline(PipelineError::Device(_))
        | LesionError::Registration(RegistrationError::Pipeline(PipelineError::Device(_))) => {
            Failure::device("the graphics card stopped answering")
        }
        other => Failure::input(other.to_string()),
    }
}
