//! Whole scans: their pooled features, what the pack's own heads say of one or of several together,
//! the head that is fitted on those with a label, its answers.

use std::cell::Cell;
use std::iter::once;
use std::rc::Rc;

use js_sys::Uint8Array;
use prism_core::features::teach;
use prism_core::formats::{InputFile, Scan, Selection, Study};
use prism_core::identify::pack::EncoderName;
use prism_core::identify::{HeadsError, taught};
use prism_core::model::Pack;
use prism_core::pipeline;
use prism_core::volume::Volume;
use wasm_bindgen::JsValue;

use super::features::{Whole, failure};
use super::post::post;
use super::read::contents;
use super::run::PageWatch;
use super::{Failure, Holdings, the_scan, translate};
use crate::facts::DeviceChoice;
use crate::features::messages::{Answer, Ask, Taught, Told};
use crate::protocol::{FromWorker, RequestId};

/// Most sequences that are read together, as many as the largest head takes.
const MOST_TOGETHER: usize = 16;

/// Answers a question about whole scans: [`Ask::Pool`], [`Ask::Heads`], [`Ask::Together`],
/// [`Ask::Teach`], [`Ask::Classify`].
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
    if let Ask::Together { groups } = &ask {
        let told = together(holdings, (device, key), groups, parts, (id, ending)).await?;
        return Ok((FromWorker::Features { answer: Answer::Told(told) }, Vec::new()));
    }
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Computing features");
    holdings.held.of_encoder(key.as_ref());
    let (pack, model) = holdings.engine.open(device, (key, parts.first())).await?;
    let (scan, _) = the_scan(&holdings.scan)?;
    let whole = match holdings.held.whole.take() {
        Some(whole) => whole,
        None => {
            let pooled = pipeline::pooled(&scan.volume, model, pack, &mut watch).await;
            let pooled = pooled.map_err(|error| failure(error.into()))?;
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
        Ask::Heads => Answer::Told(told(pack, answers, Vec::new())),
        _ => Answer::Pooled(vectors),
    };
    Ok((FromWorker::Features { answer }, Vec::new()))
}

/// What the pack's heads say of the loaded scan and, after it, every series of the files beside.
async fn together(
    holdings: &mut Holdings,
    (device, key): (DeviceChoice, Option<String>),
    groups: &[usize],
    parts: &[JsValue],
    (id, ending): (RequestId, &Rc<Cell<bool>>),
) -> Result<Told, Failure> {
    let (shown, _) = the_scan(&holdings.scan)?;
    let mut progress = |stage: &str, done: usize, total: usize| {
        post(Some(id), FromWorker::Progress { stage: stage.into(), done, total }, &[]);
    };
    let mut more: Vec<Scan> = Vec::new();
    let mut rest = parts.get(1..).unwrap_or_default();
    for &count in groups {
        let (group, others) = rest.split_at(count.min(rest.len()));
        rest = others;
        let files = contents(group, &mut progress).await?;
        more.extend(further(&files, shown, MOST_TOGETHER - 1 - more.len())?);
        if ending.get() {
            return Err(Failure::Cancelled);
        }
    }
    if more.is_empty() {
        return Err(Failure::input(
            "these files hold no other scan than the one that is shown; add other sequences",
        ));
    }
    let (pack, model) = holdings.engine.open(device, (key, parts.first())).await?;
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Computing features");
    let scans: Vec<&Volume> = once(shown).chain(&more).map(|scan| &scan.volume).collect();
    let found = pipeline::answer_together(&scans, model, pack, &mut watch).await;
    let found = found.map_err(|error| failure(error.into()))?;
    let titles = once(shown).chain(&more).map(|scan| scan.series.title.clone()).collect();
    Ok(told(pack, translate::answers(&found.answers, pack), titles))
}

/// Every series of the files, at most so many; the scan that is shown is none.
fn further(files: &[InputFile], shown: &Scan, most: usize) -> Result<Vec<Scan>, Failure> {
    let study = Study::open(files).map_err(|error| input(&error))?;
    let mut scans = Vec::new();
    for series in study.series() {
        let selection = Selection { series: Some(series.key.clone()), volume: 0 };
        let scan = study
            .load(&selection)
            .map_err(|error| Failure::input(format!("{}: {error}", series.title)))?;
        if scan.volume.dims == shown.volume.dims && scan.volume.data == shown.volume.data {
            continue;
        }
        if scans.len() >= most {
            return Err(Failure::input(format!(
                "at most {MOST_TOGETHER} sequences are read together; add fewer"
            )));
        }
        scans.push(scan);
    }
    Ok(scans)
}

/// What the heads said of the loaded scan alone, or of the sequences of these titles.
fn told(pack: &Pack, answers: Vec<crate::facts::Answer>, together: Vec<String>) -> Told {
    let wanting = pack.info.architecture.wanting(together.len().max(1)).into_iter();
    let wanting = wanting.map(|(head, wanted)| (head.to_owned(), wanted)).collect();
    Told { pack: pack.info.sha256.clone(), answers, wanting, together }
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

#[cfg(test)]
mod tests {
    use prism_core::formats::{load, nifti};
    use prism_core::volume::Affine;

    use super::*;

    fn file(name: &str, first: f32) -> InputFile {
        let data = (0..512_u16).map(|at| first + f32::from(at)).collect();
        let volume = Volume::new(data, [8; 3], Affine::from_spacing([1.0; 3])).unwrap();
        InputFile { name: name.into(), bytes: nifti::write_volume(&volume).unwrap() }
    }

    #[test]
    fn the_scan_that_is_shown_is_no_further_sequence() {
        let files = [file("t1.nii.gz", 0.0), file("t2.nii.gz", 9.0), file("flair.nii.gz", 5.0)];
        let shown = load(&files[..1], &Selection::default()).unwrap();
        let titles = |most| -> Result<Vec<String>, Failure> {
            let scans = further(&files, &shown, most)?;
            Ok(scans.into_iter().map(|scan| scan.series.title).collect())
        };
        // In the order of the files: a head may join them in it.
        assert_eq!(titles(2), Ok(vec!["t2".to_owned(), "flair".to_owned()]));
        assert!(titles(1).is_err(), "more than were asked for");
    }
}
