//! A second scan: read, aligned with the loaded one, drawn, measured.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use js_sys::{Float32Array, Uint8Array};
use prism_core::follow_up::{
    Fate, FollowUp, FollowUpError, LesionChange, LocalChange, find_lesion_change, follow_up,
    local_change,
};
use prism_core::formats::nifti::{write_displacement, write_labels, write_volume};
use prism_core::formats::{FormatError, Scan, Selection, Series, Study};
use prism_core::identify::HeadsPack;
use prism_core::pipeline::{self, PipelineError};
use prism_core::registration::{
    Kept, Kind as CoreKind, Mapper, Plan, RegistrationError, Transform, align, itk,
};
use prism_core::volume::{Affine, IntensityRule, LabelTable, Volume};
use wasm_bindgen::JsValue;

use super::post::{breathe, now_ms, post};
use super::read;
use super::run::PageWatch;
use super::{Failure, Holdings, identify, the_scan};
use crate::compare::local;
use crate::compare::messages::{Answer, Ask, Kind, Picture, Saved, Standard};
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
    /// What the model finds in the first one, for the next that is aligned with it.
    shown: Kept,
    /// As it was read.
    scan: Option<Volume>,
    /// The way to it, and its greys in 0..1 on the first one's grid.
    aligned: Option<(Transform, Volume)>,
    /// Both half-way and the table of their labels, once they were compared.
    compared: Option<(FollowUp, LabelTable)>,
    /// Local change on the first one's grid, once it was asked for.
    change: Option<LocalChange>,
    /// Lesions that changed, once they were asked for.
    lesions: Option<LesionChange>,
}

/// Answers a question.
pub async fn answer(
    holdings: &mut Holdings,
    (device, key): (DeviceChoice, Option<String>),
    ask: Ask,
    parts: &[JsValue],
    (id, ending): (RequestId, &Rc<Cell<bool>>),
) -> Result<(FromWorker, Vec<JsValue>), Failure> {
    let (scan, _) = the_scan(&holdings.scan)?;
    let (first, first_series) = (&scan.volume, &scan.series);
    let held = &mut holdings.compared;
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Looking for structures");
    let (answer, parts) = match ask {
        Ask::Align { kind, atlas } => {
            let begin = now_ms();
            let handles = parts.get(1..).unwrap_or_default();
            let (Scan { volume: second, series, .. }, taken) =
                second(handles, first_series, id).await?;
            let (pack, model) = holdings.engine.open(device, (key, parts.first())).await?;
            let both = held.shown.pair([first, &second], model, pack, &mut watch).await;
            let [onto, from] = both.map_err(failure)?;
            if atlas {
                onto.source.check_atlas().map_err(failure)?;
            }
            let mut note = match onto.source.note() {
                Some(note) => format!("Note: {note}."),
                None => format!("Aligned by what the model \"{}\" finds in both.", pack.info.title),
            };
            let plan = Plan { kind: core_kind(kind, atlas), start: None };
            let aligned = align(&onto, &from, plan, &mut watch).await.map_err(failure)?;
            let agreement = aligned.agreement;
            note = match agreement.warning() {
                Some(warning) => format!("{note} Warning: {warning}."),
                None => format!("{note} Once aligned, the {}.", agreement.words()),
            };
            // Without a place that fits there are no coordinates.
            let atlas = atlas && !agreement.failed();
            let transform = aligned.transform;
            let mut greys = transform.warp(&second, first.dims, &first.affine).map_err(failure)?;
            IntensityRule::Percentile { low: 0.5, high: 99.5 }.apply(&mut greys.data);
            let mut parts = vec![buffer(&draw(&transform, &greys, Picture::Greys)?)];
            let standard = atlas.then(|| {
                let grid = transform.deformation.as_ref().map(|deformation| {
                    let field = deformation.displacement.as_flattened();
                    parts.push(Float32Array::from(field).buffer().into());
                    Grid { dims: deformation.dims, affine: deformation.affine }
                });
                Standard { affine: transform.affine, grid }
            });
            let answer = Answer::Aligned {
                grid: Grid { dims: first.dims, affine: first.affine },
                seconds: (now_ms() - begin) / 1000.0,
                differences: aligned.differences,
                folded: transform.deformation.as_ref().map(|d| d.folded()),
                date: series.acquisition.study_date,
                standard: standard.map(Box::new),
                note,
                taken,
                unit_stated: series.unit_stated,
            };
            let shown = core::mem::take(&mut held.shown);
            let aligned = Some((transform, greys));
            *held = Held { shown, scan: Some(second), aligned, ..Held::default() };
            (answer, parts)
        }
        Ask::Draw(Picture::LocalChange) => {
            let second = held.scan.as_ref().ok_or_else(gone)?;
            if held.change.is_none() {
                let heads = heads(parts).await?;
                let (pack, model) = holdings.engine.open(device, (key, parts.first())).await?;
                let (with, heads) = ((model, pack), heads.as_ref());
                let maps = held.compared.as_ref().map(|(found, _)| found.maps);
                let map = local_change([first, second], maps, with, heads, &mut watch);
                held.change = Some(map.await.map_err(follow_up_failure)?);
            }
            let LocalChange { map, noise } = held.change.as_ref().ok_or_else(gone)?;
            let noise = 100.0 * (noise - 1.0);
            let rgba: Vec<u8> =
                map.data.iter().flat_map(|&value| local::colour(value, noise)).collect();
            let grid = Grid { dims: map.dims, affine: map.affine };
            let picture = Picture::LocalChange;
            (Answer::Drawn { grid, picture, noise_percent: Some(noise) }, vec![buffer(&rgba)])
        }
        Ask::Draw(picture) => {
            let (transform, greys) = held.aligned.as_ref().ok_or_else(gone)?;
            let rgba = draw(transform, greys, picture)?;
            let grid = Grid { dims: greys.dims, affine: greys.affine };
            (Answer::Drawn { grid, picture, noise_percent: None }, vec![buffer(&rgba)])
        }
        Ask::Change => {
            let second = held.scan.as_ref().ok_or_else(gone)?;
            let heads = heads(parts).await?;
            let (pack, model) = holdings.engine.open(device, (key, parts.first())).await?;
            // The time between the scans is the page's: it may be corrected later.
            let scans = [first, second];
            let found = follow_up(scans, None, (model, pack), heads.as_ref(), &mut watch)
                .await
                .map_err(follow_up_failure)?;
            let rows = found.changes.clone();
            held.compared = Some((found, pack.info.labels.clone()));
            held.lesions = None;
            (Answer::Changed { rows }, Vec::new())
        }
        Ask::Lesions { pack } => {
            let second = held.scan.as_ref().ok_or_else(gone)?;
            let (found, table) = held.compared.as_ref().ok_or_else(|| {
                Failure::missing("the scans are not compared any more; measure the change again")
            })?;
            let (pack, model) = holdings.engine.open(device, (Some(pack), parts.get(1))).await?;
            let scans = [first, second];
            let lesions = find_lesion_change(scans, found, table, (model, pack), &mut watch)
                .await
                .map_err(follow_up_failure)?;
            let (findings, largest_null_ml) = (lesions.findings.clone(), lesions.largest_null_ml);
            held.lesions = Some(lesions);
            (Answer::Lesions { findings, largest_null_ml }, Vec::new())
        }
        Ask::Save(Saved::Labels) => {
            let second = held.scan.as_ref().ok_or_else(gone)?;
            let (transform, _) = held.aligned.as_ref().ok_or_else(gone)?;
            let (pack, model) = holdings.engine.open(device, (key, parts.first())).await?;
            let found = pipeline::segment(second, model, pack, &mut watch)
                .await
                .map_err(|error| failure(error.into()))?;
            let carried =
                transform.warp_labels(&found.labels, first.dims, &first.affine).map_err(failure)?;
            let bytes = write_labels(&carried, &pack.info.labels).map_err(of_format)?;
            (Answer::Saved(Saved::Labels), vec![buffer(&bytes)])
        }
        Ask::Save(what) => (Answer::Saved(what), vec![buffer(&file(held, first, what)?)]),
    };
    Ok((FromWorker::Compare { answer }, parts))
}

/// The heads that tell sequences apart, where the page has them: beside the pack.
async fn heads(parts: &[JsValue]) -> Result<Option<HeadsPack>, Failure> {
    match parts.get(1) {
        Some(_) => identify::heads(parts.get(1)).await.map(Some),
        None => Ok(None),
    }
}

/// The bytes of what is held already.
fn file(held: &Held, first: &Volume, what: Saved) -> Result<Vec<u8>, Failure> {
    let second = held.scan.as_ref().ok_or_else(gone)?;
    let (transform, _) = held.aligned.as_ref().ok_or_else(gone)?;
    let (dims, affine) = (first.dims, &first.affine);
    match what {
        Saved::Warped => write_volume(&transform.warp(second, dims, affine).map_err(failure)?),
        Saved::Field => {
            let field = transform.field(dims, affine).map_err(failure)?;
            write_displacement(&field, dims, affine)
        }
        Saved::Affine => Ok(itk::write_affine(&transform.affine).into_bytes()),
        Saved::LocalChange => write_volume(&held.change.as_ref().ok_or_else(gone)?.map),
        Saved::Lesions | Saved::Labels => {
            let lesions = held.lesions.as_ref().ok_or_else(gone)?;
            let (found, _) = held.compared.as_ref().ok_or_else(gone)?;
            // From points of the second scan to those half-way.
            let back = found.maps[1].inverse().map_err(|error| failure(error.into()))?;
            let back = Transform { affine: back, deformation: None };
            let mask = back.warp_labels(&lesions.mask, second.dims, &second.affine);
            write_labels(&mask.map_err(failure)?, &Fate::table())
        }
    }
    .map_err(of_format)
}

/// Bytes as what is transferred.
fn buffer(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).buffer().into()
}

fn gone() -> Failure {
    Failure::missing("the second scan is not loaded any more; open it again")
}

/// The series of the files that is most like the first scan's, and which that is where they
/// hold several.
async fn second(
    handles: &[JsValue],
    first: &Series,
    id: RequestId,
) -> Result<(Scan, Option<String>), Failure> {
    let mut progress = |stage: &str, done: usize, total: usize| {
        post(Some(id), FromWorker::Progress { stage: stage.into(), done, total }, &[]);
    };
    let files = read::contents(handles, &mut progress).await?;
    progress("Reading headers", 0, 0);
    breathe().await;
    let study = Study::open(&files).map_err(of_format)?;
    let series: Vec<Series> = study.series().cloned().collect();
    let like = first.acquisition.description.as_deref();
    let taken = alike(&series, like).map(|at| &series[at]);
    progress("Unpacking voxels", 0, 0);
    breathe().await;
    let selection = Selection { series: taken.map(|taken| taken.key.clone()), volume: 0 };
    let scan = study.load(&selection).map_err(of_format)?;
    Ok((scan, taken.filter(|_| series.len() > 1).map(|taken| words(taken, series.len()))))
}

/// Where among the series that one is whose description has most words in common with `like`;
/// of equal ones, and where none has any, the largest, of those the first.
fn alike(series: &[Series], like: Option<&str>) -> Option<usize> {
    let voxels = |one: &Series| one.dims.iter().fold(1_usize, |all, &n| all.saturating_mul(n));
    let rank = |one: &Series| (likeness(one.acquisition.description.as_deref(), like), voxels(one));
    let mut best: Option<(usize, (f64, usize))> = None;
    for (at, rank) in series.iter().map(rank).enumerate() {
        if best.is_none_or(|(_, known)| rank > known) {
            best = Some((at, rank));
        }
    }
    best.map(|(at, _)| at)
}

/// Share of words that two descriptions have in common, from 0 to 1 (Dice); case and
/// punctuation do not count.
fn likeness(a: Option<&str>, b: Option<&str>) -> f64 {
    let [a, b] = [a, b].map(|text| -> BTreeSet<String> {
        let text = text.unwrap_or_default().to_lowercase();
        let words = text.split(|letter: char| !letter.is_alphanumeric());
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    });
    let common = a.intersection(&b).count();
    if common == 0 { 0.0 } else { 2.0 * common as f64 / (a.len() + b.len()) as f64 }
}

/// Which series was taken of several.
fn words(taken: &Series, count: usize) -> String {
    format!("The files hold {count} series; \"{}\" was taken.", taken.title)
}

fn of_format(error: FormatError) -> Failure {
    Failure::input(error.to_string())
}

/// An atlas is nobody's head: turning and shifting alone would not do.
const fn core_kind(kind: Kind, atlas: bool) -> CoreKind {
    match kind {
        Kind::Rigid if atlas => CoreKind::Affine,
        Kind::Rigid => CoreKind::Rigid,
        Kind::Affine => CoreKind::Affine,
        Kind::Deformable => CoreKind::Deformable,
    }
}

fn follow_up_failure(error: FollowUpError) -> Failure {
    match error {
        FollowUpError::Registration(error) => failure(error),
        FollowUpError::Pipeline(error) => failure(error.into()),
        other => Failure::input(other.to_string()),
    }
}

fn failure(error: RegistrationError) -> Failure {
    match error {
        RegistrationError::Pipeline(PipelineError::Cancelled(_)) => Failure::Cancelled,
        RegistrationError::Pipeline(PipelineError::Device(_)) => {
            Failure::device("the graphics card stopped answering")
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

#[cfg(test)]
mod tests {
    use prism_core::formats::{Acquisition, Format};

    use super::*;

    fn series(description: Option<&str>, slices: usize) -> Series {
        Series {
            key: format!("series-{slices}"),
            title: "1 · T1".into(),
            format: Format::Dicom,
            dims: [256, 256, slices],
            spacing_mm: [1.0; 3],
            unit_stated: true,
            volumes: 1,
            files: slices,
            acquisition: Acquisition {
                description: description.map(Into::into),
                ..Acquisition::default()
            },
        }
    }

    #[test]
    fn the_series_most_like_the_first_scan_is_taken_and_else_the_largest() {
        let study = [
            series(Some("Localizer"), 9),
            series(Some("T1 MPRAGE sag"), 176),
            series(Some("t1_mprage_sag post"), 176),
            series(Some("T2 SPACE sag"), 208),
            series(None, 208),
        ];
        assert_eq!(alike(&study, Some("t1_mprage_sag")), Some(1));
        assert_eq!(alike(&study, Some("T1 MPRAGE sag POST")), Some(2));
        // Two are equally alike: the larger one.
        assert_eq!(alike(&study, Some("sag")), Some(3));
        // Nothing in common, or nothing known: the largest, of equal ones the first.
        assert_eq!(alike(&study, Some("FLAIR")), Some(3));
        assert_eq!(alike(&study, None), Some(3));
        assert_eq!(alike(&[], Some("FLAIR")), None);
        assert_eq!(words(&study[1], 5), "The files hold 5 series; \"1 · T1\" was taken.");
    }
}
