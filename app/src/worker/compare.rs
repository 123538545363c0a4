//! A second scan: read, aligned with the loaded one, drawn, measured.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Uint8Array;
use prism_core::follow_up::{FollowUpError, follow_up};
use prism_core::formats::Selection;
use prism_core::pipeline::PipelineError;
use prism_core::registration::{
    Kind as CoreKind, Mapper, Plan, RegistrationError, Subject, Transform, align,
};
use prism_core::volume::{Affine, IntensityRule, Volume};
use wasm_bindgen::JsValue;

use super::post::{now_ms, post};
use super::read::{self, Outcome};
use super::run::PageWatch;
use super::{Failure, Holdings};
use crate::compare::messages::{Answer, Ask, Kind, Picture, Row};
use crate::facts::DeviceChoice;
use crate::protocol::{FromWorker, Grid, RequestId};

/// Sides of the cubes of a checkerboard, and of those that show the deformation, mm.
const CHECKER_MM: f64 = 24.0;
const CELL_MM: f64 = 10.0;

/// Colour of every other cube of the deformation, multiplied by its alpha.
const CELL: [u8; 4] = [32, 120, 150, 190];

/// The second scan.
#[derive(Default)]
pub struct Held {
    /// As it was read.
    scan: Option<Volume>,
    /// The way to it, and its greys in 0..1 on the first one's grid.
    aligned: Option<(Transform, Volume)>,
}

/// Answers a question.
pub async fn answer(
    holdings: &mut Holdings,
    (device, key): (DeviceChoice, Option<String>),
    ask: Ask,
    parts: &[JsValue],
    (id, ending): (RequestId, &Rc<Cell<bool>>),
) -> Result<(FromWorker, Vec<JsValue>), Failure> {
    let (scan, _) = holdings
        .scan
        .as_ref()
        .ok_or_else(|| Failure::missing("there is no scan; open one first"))?;
    let first = &scan.volume;
    let held = &mut holdings.compared;
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Looking for structures");
    let (answer, rgba) = match ask {
        Ask::Align(kind) => {
            let begin = now_ms();
            let second = second(parts.get(1..).unwrap_or_default(), id).await?;
            let (pack, model) = holdings.engine.open(device, (key, parts.first())).await?;
            let onto = Subject::through(first, model, pack, &mut watch).await.map_err(failure)?;
            let from = Subject::through(&second, model, pack, &mut watch).await.map_err(failure)?;
            let plan = Plan { kind: core_kind(kind), start: None };
            let aligned = align(&onto, &from, plan, &mut watch).await.map_err(failure)?;
            let transform = aligned.transform;
            let mut greys = transform.warp(&second, first.dims, &first.affine).map_err(failure)?;
            IntensityRule::Percentile { low: 0.5, high: 99.5 }.apply(&mut greys.data);
            let rgba = draw(&transform, &greys, Picture::Greys)?;
            let answer = Answer::Aligned {
                grid: Grid { dims: first.dims, affine: first.affine },
                seconds: (now_ms() - begin) / 1000.0,
                differences: aligned.differences,
                folded: transform.deformation.as_ref().map(|d| d.folded()),
            };
            *held = Held { scan: Some(second), aligned: Some((transform, greys)) };
            (answer, Some(rgba))
        }
        Ask::Draw(picture) => {
            let (transform, greys) = held.aligned.as_ref().ok_or_else(gone)?;
            let rgba = draw(transform, greys, picture)?;
            let grid = Grid { dims: greys.dims, affine: greys.affine };
            (Answer::Drawn { grid, picture }, Some(rgba))
        }
        Ask::Change { years } => {
            let second = held.scan.as_ref().ok_or_else(gone)?;
            let with = holdings.engine.open(device, (key, parts.first())).await?;
            let with = (with.1, with.0);
            let found =
                follow_up(first, second, years, with, &mut watch).await.map_err(|e| match e {
                    FollowUpError::Registration(error) => failure(error),
                    FollowUpError::Pipeline(error) => failure(error.into()),
                    other => Failure::input(other.to_string()),
                })?;
            let rows = found.changes.into_iter().map(|change| Row {
                index: change.index,
                name: change.name,
                millilitres: (change.baseline_ml, change.later_ml),
                change: change.change_ml,
                interval: change.interval_ml,
                percent: change.percent_a_year.unwrap_or(change.change_percent),
                changed: change.changed,
            });
            (Answer::Changed { rows: rows.collect() }, None)
        }
    };
    let parts = rgba.map(|bytes| Uint8Array::from(bytes.as_slice()).buffer().into());
    Ok((FromWorker::Compare { answer }, parts.into_iter().collect()))
}

fn gone() -> Failure {
    Failure::missing("the second scan is not loaded any more; open it again")
}

/// The first series of the files.
async fn second(handles: &[JsValue], id: RequestId) -> Result<Volume, Failure> {
    let progress = |stage: &str, done: usize, total: usize| {
        post(Some(id), FromWorker::Progress { stage: stage.into(), done, total }, &[]);
    };
    match read::read(handles, Some(Selection::default()), progress).await? {
        Outcome::Loaded(loaded) => Ok(loaded.scan.volume),
        Outcome::Several(_) => Err(Failure::input("these files hold several scans; choose one")),
    }
}

const fn core_kind(kind: Kind) -> CoreKind {
    match kind {
        Kind::Rigid => CoreKind::Rigid,
        Kind::Affine => CoreKind::Affine,
        Kind::Deformable => CoreKind::Deformable,
    }
}

fn failure(error: RegistrationError) -> Failure {
    match error {
        RegistrationError::Pipeline(PipelineError::Cancelled(_)) => Failure::Cancelled,
        RegistrationError::Pipeline(PipelineError::Device(_)) => {
            Failure::device("the graphics card stopped answering; choose the CPU")
        }
        other => Failure::input(other.to_string()),
    }
}

/// Red, green, blue and alpha of each voxel.
fn draw(transform: &Transform, greys: &Volume, picture: Picture) -> Result<Vec<u8>, Failure> {
    // Without its affine part: how the deformation alone moves the cubes.
    let deformation =
        Transform { affine: Affine::IDENTITY, deformation: transform.deformation.clone() };
    let mapper: Mapper<'_> = deformation.mapper().map_err(failure)?;
    let [nx, ny, _] = greys.dims;
    let mut rgba = Vec::with_capacity(4 * greys.data.len());
    for (at, &value) in greys.data.iter().enumerate() {
        let grey = (255.0 * value) as u8;
        let shown = match picture {
            Picture::Greys => [grey, grey, grey, 255],
            _ => {
                let voxel = [at % nx, at / nx % ny, at / (nx * ny)].map(|v| v as f64);
                let point = greys.affine.apply(voxel);
                match picture {
                    Picture::Cells if odd(mapper.apply(point), CELL_MM) => CELL,
                    Picture::Checkerboard if odd(point, CHECKER_MM) => [grey, grey, grey, 255],
                    _ => [0; 4],
                }
            }
        };
        rgba.extend(shown);
    }
    Ok(rgba)
}

/// Whether a point lies in a cube of the other colour.
fn odd(point: [f64; 3], side_mm: f64) -> bool {
    let sum: f64 = point.iter().map(|v| (v / side_mm).floor()).sum();
    sum.rem_euclid(2.0) >= 1.0
}
