//! The phases of a heartbeat: read, measured one by one.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Uint8Array;
use prism_core::cine::{Cine, CineError, phases_of};
use prism_core::formats::{Selection, Series, Study};
use prism_core::measure::cardiac::Measured;
use prism_core::pipeline::PipelineError;
use wasm_bindgen::JsValue;

use super::post::{breathe, post};
use super::read::contents;
use super::run::PageWatch;
use super::{Failure, Holdings, half};
use crate::cine::messages::{Answer, Ask, Opened};
use crate::facts::DeviceChoice;
use crate::protocol::{FromWorker, Grid, RequestId};

/// Answers a question.
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
    let (answer, parts) = match ask {
        Ask::Open { series, own, alike, display } => {
            let (own, more) = parts.split_at(own.min(parts.len()));
            let mut reader = Reader { cine: Cine::default(), id, ending };
            reader.add(own, Which::Shown { series, alike }).await?;
            if !more.is_empty() {
                reader.add(more, Which::All).await?;
            }
            let (opened, parts) = shown(&reader.cine, display)?;
            holdings.cine = Some(reader.cine);
            (Answer::Opened(opened), parts)
        }
        Ask::Measure { phase } => {
            let (pack, model) = holdings.engine.open(device, (key, parts.first())).await?;
            let cine = holdings.cine.as_mut().filter(|cine| phase < cine.phases().len());
            let cine = cine.ok_or_else(|| {
                Failure::missing("the phases are not loaded any more; open them again")
            })?;
            let mut watch = PageWatch::new(id, Rc::clone(ending), "Outlining the heart");
            let done = cine.measure(phase, (model, pack), &mut watch).await.map_err(failure)?;
            let labels =
                done.labels.as_ref().map(|map| Uint8Array::from(map.data.as_slice()).buffer());
            let measured = done.measured.clone().unwrap_or_else(|| {
                Measured::Refused("the phase was not measured; measure it again".into())
            });
            (Answer::Measured { phase, measured }, labels.into_iter().map(Into::into).collect())
        }
    };
    Ok((FromWorker::Cine { answer }, parts))
}

/// Which volumes of some files are phases.
enum Which {
    /// All of the shown series; where it has one only, and `alike` ones shall come along,
    /// also the other series of its size.
    Shown {
        /// Its key.
        series: Option<String>,
        /// Whether other series come along.
        alike: bool,
    },
    /// Every one: a person chose these files as phases.
    All,
}

/// Reads phases one after the other and listens between them.
struct Reader<'a> {
    cine: Cine,
    id: RequestId,
    ending: &'a Rc<Cell<bool>>,
}

impl Reader<'_> {
    /// Adds the phases in some files.
    async fn add(&mut self, handles: &[JsValue], which: Which) -> Result<(), Failure> {
        let id = self.id;
        let mut progress = |stage: &str, done: usize, total: usize| {
            post(Some(id), FromWorker::Progress { stage: stage.into(), done, total }, &[]);
        };
        let files = contents(handles, &mut progress).await?;
        let input = |error: prism_core::formats::FormatError| Failure::input(error.to_string());
        let study = Study::open(&files).map_err(input)?;
        let wanted = match which {
            Which::All => {
                let volumes = |series: &Series| {
                    let key = series.key.clone();
                    (0..series.volumes)
                        .map(move |volume| Selection { series: Some(key.clone()), volume })
                };
                study.series().flat_map(volumes).collect()
            }
            Which::Shown { series, alike } => {
                let shown = Selection { series, volume: 0 };
                let several = study.chosen(&shown).map_err(input)?.volumes > 1;
                if several || alike {
                    phases_of(&study, shown.series.as_deref()).map_err(input)?
                } else {
                    vec![shown]
                }
            }
        };
        for (at, selection) in wanted.iter().enumerate() {
            progress("Reading phases", at + 1, wanted.len());
            breathe().await;
            if self.ending.get() {
                return Err(Failure::Cancelled);
            }
            self.cine.push(study.load(selection).map_err(input)?).map_err(failure)?;
        }
        Ok(())
    }
}

/// What the page is told of phases, and their display copies.
fn shown(cine: &Cine, display: bool) -> Result<(Opened, Vec<JsValue>), Failure> {
    let phases = cine.phases();
    let first = phases.first().ok_or_else(|| Failure::input("these files hold no phases"))?;
    // One range for all, so that a grey means the same in every phase.
    let range = phases
        .iter()
        .map(|phase| half::range(&phase.volume.data))
        .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
        .unwrap_or_default();
    let opened = Opened {
        grid: Grid { dims: first.volume.dims, affine: first.volume.affine },
        range,
        unit_stated: phases.iter().all(|phase| phase.unit_stated),
        times_ms: phases.iter().map(|phase| phase.time_ms).collect(),
        unlike: cine.unlike(),
    };
    let voxels = phases.iter().filter(|_| display);
    let parts = voxels.map(|phase| half::display(&phase.volume.data, range).buffer().into());
    Ok((opened, parts.collect()))
}

fn failure(error: CineError) -> Failure {
    match error {
        CineError::Pipeline(PipelineError::Cancelled(_)) => Failure::Cancelled,
        CineError::Pipeline(PipelineError::Device(_)) => {
            Failure::device("the graphics card stopped answering")
        }
        other => Failure::input(other.to_string()),
    }
}
