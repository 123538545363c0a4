//! What is asked about features: computed once a scan, kept until the next one.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Uint8Array;
use prism_core::features::{
    DenseFeatures, FeatureError, LeftOut, Naming, Painted, Query, extract, fit_painted,
    principal_components, query, similarity,
};
use prism_core::pipeline::PipelineError;
use prism_core::volume::{LabelMap, LabelTable, Volume, offset, percentile};
use wasm_bindgen::JsValue;

use super::run::PageWatch;
use super::{Failure, Holdings, the_scan};
use crate::facts::DeviceChoice;
use crate::features::messages::{Answer, Ask, Examples, Fit, Place};
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
    /// What is said of it as a whole.
    pub(super) whole: Option<Whole>,
    /// The place to look for in other scans.
    kept: Option<Query>,
}

/// What encoder and heads say of a whole scan.
#[derive(Clone)]
pub(super) struct Whole {
    /// Pooled features by name.
    pub(super) vectors: Vec<(String, Vec<f32>)>,
    /// Of the pack's own heads.
    pub(super) answers: Vec<crate::facts::Answer>,
}

impl Held {
    /// Forgets what belongs to a scan that is replaced.
    pub fn forget_scan(&mut self) {
        self.features = None;
        self.whole = None;
    }

    /// Forgets what another encoder said: features of two have nothing to do with each other.
    pub(super) fn of_encoder(&mut self, key: Option<&String>) {
        if self.key.as_ref() != key {
            *self = Self { key: key.cloned(), ..Self::default() };
        }
    }
}

/// Answers a question about features of places. [`Ask::Segment`] is none (see
/// [`super::run`]), and those about whole scans are [`super::labels`]'.
pub async fn answer(
    holdings: &mut Holdings,
    (device, key): (DeviceChoice, Option<String>),
    ask: Ask,
    parts: &[JsValue],
    (id, ending): (RequestId, &Rc<Cell<bool>>),
) -> Result<(FromWorker, Vec<JsValue>), Failure> {
    let (scan, _) = the_scan(&holdings.scan)?;
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Computing features");
    holdings.held.of_encoder(key.as_ref());
    if holdings.held.features.is_none() {
        let wanted = (key.clone(), parts.first());
        let (pack, model) = holdings.engine.open(device, wanted).await?;
        let found = extract(&scan.volume, model, pack, &mut watch).await.map_err(failure)?;
        holdings.held.features = Some(found);
    }
    let held = &mut holdings.held;
    let Some(features) = &held.features else {
        return Err(Failure::missing("the features could not be computed"));
    };
    let grid = Grid { dims: features.dims, affine: features.affine };
    let (answer, buffers) = match ask {
        Ask::Colours => {
            let found = principal_components(features).map_err(failure)?;
            (Answer::Colours { grid, explained: found.explained }, vec![found.rgba])
        }
        Ask::Keep(point) => {
            held.kept = Some(query(features, point).map_err(failure)?);
            (Answer::Kept, Vec::new())
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
            (Answer::Similar { grid, place, best_mm, score }, vec![heat])
        }
        Ask::Take { classes } => {
            let painted = painted(features, &scan.volume, parts.get(1))?;
            let bytes = painted.to_bytes().map_err(failure)?;
            (Answer::Taken(examples(&painted, classes)), vec![bytes])
        }
        Ask::Fit { table } => {
            let here = parts.get(1).filter(|part| Uint8Array::new(part).length() > 0);
            let here = here.map(|part| painted(features, &scan.volume, Some(part))).transpose()?;
            let mut scans: Vec<Painted> = Vec::new();
            for part in parts.iter().skip(2) {
                scans.push(Painted::read(&Uint8Array::new(part).to_vec()).map_err(failure)?);
            }
            let classes = table.labels.len() + 1;
            let kept = here.as_ref().map(Painted::to_bytes).transpose().map_err(failure)?;
            let counted = here.as_ref().map(|painted| examples(painted, classes));
            scans.extend(here);
            scans.retain(|painted| painted.voxels() > 0);
            let fitted = fit_painted(&scans, classes).await.map_err(failure)?;
            let scores = &fitted.scores;
            let names = names(&table);
            let fit = Fit {
                classes: names.into_iter().zip(scores.classes.iter().copied()).collect(),
                mean: scores.mean,
                folds: scores.folds,
                by_scan: scores.left_out == LeftOut::Scans,
                scans: scans.len(),
                note: scores.note.clone(),
                voxels: fitted.voxels,
                here: counted,
            };
            // Since the features were computed, another pack may have been opened.
            let (encoder, _) = holdings.engine.open(device, (key, parts.first())).await?;
            let bytes = fitted
                .to_pack(encoder, naming(table), scans.len())
                .and_then(|pack| pack.to_bytes())
                .map_err(|error| Failure::input(error.to_string()))?;
            (Answer::Fitted(fit), std::iter::once(bytes).chain(kept).collect())
        }
        Ask::Segment
        | Ask::Pool
        | Ask::Heads
        | Ask::Together { .. }
        | Ask::Teach { .. }
        | Ask::Classify => {
            return Err(Failure::missing("this is asked for in another way"));
        }
    };
    let parts = buffers.iter().map(|bytes| Uint8Array::from(bytes.as_slice()).buffer().into());
    Ok((FromWorker::Features { answer }, parts.collect()))
}

/// What was painted in the loaded scan, as features.
fn painted(
    features: &DenseFeatures,
    volume: &Volume,
    part: Option<&JsValue>,
) -> Result<Painted, Failure> {
    let values = part.map(|part| Uint8Array::new(part).to_vec()).unwrap_or_default();
    let labels = LabelMap::new(values, volume.dims, volume.affine)
        .map_err(|error| Failure::input(error.to_string()))?;
    Painted::of(features, &labels).map_err(failure)
}

fn examples(painted: &Painted, classes: usize) -> Examples {
    Examples { places: painted.places(classes), voxels: painted.voxels() }
}

pub(super) fn failure(error: FeatureError) -> Failure {
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
