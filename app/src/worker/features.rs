//! What is asked about features: computed once a scan, kept until the next one.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Uint8Array;
use prism_core::features::{
    DenseFeatures, FeatureError, Labelled, Naming, Query, extract, fit_painted,
    principal_components, query, similarity,
};
use prism_core::pipeline::PipelineError;
use prism_core::volume::{LabelMap, LabelTable, Volume, offset, percentile};
use wasm_bindgen::JsValue;

use super::run::PageWatch;
use super::{Failure, Holdings};
use crate::facts::DeviceChoice;
use crate::features::messages::{Answer, Ask, Fit, Place};
use crate::protocol::{FromWorker, Grid, RequestId};

/// Radius of the ring around the best place, and its thickness, in millimetres.
const RING_MM: (f64, f64) = (7.0, 2.5);

/// Similarities from which the heat begins and at which it is full, as percentiles over
/// the head: most of it looks like nothing in particular.
const HEAT: (f64, f64) = (85.0, 99.9);

/// Colour of the ring, which the heat never has.
const RING: [u8; 4] = [64, 200, 255, 255];

/// What is kept of features between requests.
#[derive(Default)]
pub struct Held {
    /// Which pack they are of.
    key: Option<String>,
    /// Of the loaded scan.
    features: Option<DenseFeatures>,
    /// The place to look for in other scans.
    kept: Option<Query>,
}

impl Held {
    /// Forgets what belongs to a scan that is replaced.
    pub fn forget_scan(&mut self) {
        self.features = None;
    }
}

/// Answers a question. [`Ask::Segment`] is not one: see [`super::run`].
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
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Computing features");
    if holdings.held.key != key {
        // Features of two encoders have nothing to do with each other.
        holdings.held = Held { key: key.clone(), ..Held::default() };
    }
    if holdings.held.features.is_none() {
        let (pack, model) = holdings.engine.open(device, (key, parts.first())).await?;
        let found = extract(&scan.volume, model, pack, &mut watch).await.map_err(failure)?;
        holdings.held.features = Some(found);
    }
    let held = &mut holdings.held;
    let Some(features) = &held.features else {
        return Err(Failure::missing("the features could not be computed"));
    };
    let grid = Grid { dims: features.dims, affine: features.affine };
    let (answer, buffer) = match ask {
        Ask::Colours => {
            let found = principal_components(features).map_err(failure)?;
            (Answer::Colours { grid, explained: found.explained }, Some(found.rgba))
        }
        Ask::Keep(point) => {
            held.kept = Some(query(features, point).map_err(failure)?);
            (Answer::Kept, None)
        }
        Ask::Similar(place) => {
            let wanted = match (place, &held.kept) {
                (Place::Here(point), _) => query(features, point).map_err(failure)?,
                (Place::Kept, Some(kept)) => kept.clone(),
                (Place::Kept, None) => {
                    return Err(Failure::missing("no place is kept any more; keep one again"));
                }
            };
            let found = similarity(&wanted, features).map_err(failure)?;
            let heat = heat(&found.map, found.best_mm);
            let (best_mm, score) = (found.best_mm, found.score);
            (Answer::Similar { grid, place, best_mm, score }, Some(heat))
        }
        Ask::Fit { table } => {
            let painted = parts.get(1).map(|part| Uint8Array::new(part).to_vec());
            let volume = &scan.volume;
            let painted = LabelMap::new(painted.unwrap_or_default(), volume.dims, volume.affine)
                .map_err(|error| Failure::input(error.to_string()))?;
            let classes = table.labels.len() + 1;
            let example = Labelled { features, labels: &painted };
            let fitted = fit_painted(&[example], classes).await.map_err(failure)?;
            let scores = &fitted.scores;
            let names = names(&table);
            let fit = Fit {
                classes: names.into_iter().zip(scores.classes.iter().copied()).collect(),
                mean: scores.mean,
                folds: scores.folds,
                note: scores.note.clone(),
                voxels: fitted.voxels,
            };
            let bytes = holdings.engine.keep_fitted(&fitted, naming(table))?;
            (Answer::Fitted(fit), Some(bytes))
        }
        Ask::Segment => return Err(Failure::missing("a run is asked for as a run")),
    };
    let parts = buffer.map(|bytes| Uint8Array::from(bytes.as_slice()).buffer().into());
    Ok((FromWorker::Features { answer }, parts.into_iter().collect()))
}

fn failure(error: FeatureError) -> Failure {
    match error {
        FeatureError::Pipeline(PipelineError::Cancelled(_)) => Failure::Cancelled,
        FeatureError::Pipeline(PipelineError::Device(_)) => {
            Failure::device("the graphics card stopped answering")
        }
        other => Failure::input(other.to_string()),
    }
}

fn names(table: &LabelTable) -> Vec<String> {
    let classes = table.labels.iter().map(|label| label.name.clone());
    std::iter::once("Background".to_owned()).chain(classes).collect()
}

fn naming(table: LabelTable) -> Naming {
    let title = table.labels.iter().map(|label| label.name.as_str()).collect::<Vec<_>>().join(", ");
    Naming { name: "fitted".into(), title, labels: table }
}

/// Similarity as red to yellow, more opaque the higher, with a blue ring around the
/// best place; colours multiplied by alpha.
fn heat(map: &Volume, best_mm: [f64; 3]) -> Vec<u8> {
    let mut head: Vec<f32> = map.data.iter().copied().filter(|&value| value > -1.0).collect();
    let low = percentile(&mut head, HEAT.0);
    let high = percentile(&mut head, HEAT.1);
    let range = (high - low).max(1e-6);
    let mut rgba = Vec::with_capacity(4 * map.data.len());
    for value in &map.data {
        let share = ((value - low) / range).clamp(0.0, 1.0);
        let alpha = share.sqrt();
        let green = (share - 0.35).max(0.0) / 0.65;
        rgba.extend([alpha, alpha * green, 0.1 * alpha, alpha].map(|v| (255.0 * v) as u8));
    }
    let [nx, ny, nz] = map.dims;
    for z in 0..nz {
        for y in 0..ny {
            for x in 0..nx {
                let point = map.affine.apply([x, y, z].map(|v| v as f64));
                let square: f64 = (0..3).map(|axis| (point[axis] - best_mm[axis]).powi(2)).sum();
                if (square.sqrt() - RING_MM.0).abs() <= RING_MM.1 / 2.0 {
                    let at = 4 * offset(map.dims, [x, y, z]);
                    rgba[at..at + 4].copy_from_slice(&RING);
                }
            }
        }
    }
    rgba
}
