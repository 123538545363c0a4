//! Examples painted in one or several scans, and the head fitted on them.
//!
//! Of a scan only the features at its painted voxels are kept, so that the next scan can be
//! opened and painted, too. With one scan blobs are left out for the scores; with several,
//! whole scans: places of one scan look more alike than places of two.

use std::collections::HashMap;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};

use super::few_shot::{Fitted, MOST_CLASSES};
use super::folds::{Folds, PAINTED};
use super::samples::{Samples, from_paint};
use super::scores::{LeftOut, Metric, Scores};
use super::{DenseFeatures, FeatureError};
use crate::volume::LabelMap;

/// Blobs of one scan are spread over at most this many folds.
const MOST_FOLDS: usize = 5;

/// Scans are spread over at most this many folds.
const MOST_SCAN_FOLDS: usize = 10;

/// Entry of the file's header that holds the levels.
const LEVELS: &str = "prism_painted";

/// What was painted in one scan: features by blob, without the scan.
#[derive(Clone, Debug, PartialEq)]
pub struct Painted {
    /// Map, stride and channels of each level.
    levels: Vec<(usize, usize, usize)>,
    /// Class of each blob and its voxels.
    blobs: Vec<(u8, Samples)>,
}

impl Painted {
    /// Takes the examples of a scan. `labels` lie on the scan's own grid: 0 where nothing
    /// was painted, else class + 1.
    ///
    /// # Errors
    /// [`FeatureError::Classes`] for a class above [`MOST_CLASSES`], or an affine without
    /// an inverse.
    pub fn of(features: &DenseFeatures, labels: &LabelMap) -> Result<Self, FeatureError> {
        let blobs = from_paint(features, labels)?;
        if let Some(&(class, _)) = blobs.iter().find(|(class, _)| !is_class(*class)) {
            return Err(FeatureError::Classes(usize::from(class) + 1));
        }
        Ok(Self { levels: features.shape(), blobs })
    }

    /// Voxels of the network's grid that were painted.
    pub fn voxels(&self) -> usize {
        self.blobs.iter().map(|(_, samples)| samples.classes.len()).sum()
    }

    /// How many places of each of `classes` classes were painted, background first.
    pub fn places(&self, classes: usize) -> Vec<usize> {
        let of = |class| self.blobs.iter().filter(move |(found, _)| usize::from(*found) == class);
        (0..classes).map(|class| of(class).count()).collect()
    }

    /// As a safetensors file: `rows` `[voxels, channels]` F32, `classes` and `blobs`
    /// `[voxels]` U8 and U32.
    ///
    /// # Errors
    /// [`FeatureError::Kept`] when it cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FeatureError> {
        let kept = |error: &dyn core::fmt::Display| FeatureError::Kept(error.to_string());
        let (mut rows, mut classes, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (class, samples)) in (0_u32..).zip(&self.blobs) {
            rows.extend(samples.rows.iter().flat_map(|value| value.to_le_bytes()));
            classes.resize(classes.len() + samples.classes.len(), *class);
            blobs.extend(samples.classes.iter().flat_map(|_| number.to_le_bytes()));
        }
        let n = classes.len();
        let view = |dtype, shape, data| TensorView::new(dtype, shape, data).map_err(|e| kept(&e));
        let views = [
            ("rows", view(Dtype::F32, vec![n, channels(&self.levels)], &rows)?),
            ("classes", view(Dtype::U8, vec![n], &classes)?),
            ("blobs", view(Dtype::U32, vec![n], &blobs)?),
        ];
        let levels = serde_json::to_string(&self.levels).map_err(|error| kept(&error))?;
        serialize(views, Some(HashMap::from([(LEVELS.to_owned(), levels)])))
            .map_err(|error| kept(&error))
    }

    /// Reads what [`Painted::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`FeatureError::Kept`] naming what is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, FeatureError> {
        let kept = |error: &dyn core::fmt::Display| FeatureError::Kept(error.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| kept(&error))?;
        let levels = header.metadata().as_ref().and_then(|entries| entries.get(LEVELS));
        let levels = levels.ok_or_else(|| kept(&"they are no examples"))?;
        let levels: Vec<(usize, usize, usize)> =
            serde_json::from_str(levels).map_err(|error| kept(&error))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| kept(&error))?;
        let take = |name: &str, dtype: Dtype| {
            let tensor = tensors.tensor(name).map_err(|error| kept(&error))?;
            let fits = tensor.dtype() == dtype;
            fits.then(|| tensor.data()).ok_or_else(|| kept(&format!("{name} has another type")))
        };
        let classes = take("classes", Dtype::U8)?;
        let words = |bytes: &[u8]| -> Vec<[u8; 4]> {
            bytes.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]).collect()
        };
        let rows: Vec<f32> =
            words(take("rows", Dtype::F32)?).into_iter().map(f32::from_le_bytes).collect();
        let numbers = words(take("blobs", Dtype::U32)?).into_iter().map(u32::from_le_bytes);
        let numbers: Vec<u32> = numbers.collect();
        let stacked = channels(&levels);
        let whole = stacked > 0
            && rows.len() == classes.len().saturating_mul(stacked)
            && numbers.len() == classes.len();
        if !whole || !classes.iter().all(|&class| is_class(class)) {
            return Err(kept(&"their parts do not fit together"));
        }
        if rows.iter().any(|value| !value.is_finite()) {
            return Err(kept(&"they hold a value that is not a number"));
        }
        let mut blobs: Vec<(u8, Samples)> = Vec::new();
        let mut last = None;
        for ((row, &class), number) in rows.chunks_exact(stacked).zip(classes).zip(numbers) {
            if last != Some(number) {
                blobs.push((class, Samples::default()));
                last = Some(number);
            }
            if let Some((_, samples)) = blobs.last_mut() {
                samples.rows.extend(row);
                samples.classes.push(class);
                samples.weights.push(1.0);
            }
        }
        Ok(Self { levels, blobs })
    }
}

fn is_class(class: u8) -> bool {
    usize::from(class) < MOST_CLASSES
}

fn channels(levels: &[(usize, usize, usize)]) -> usize {
    levels.iter().map(|&(_, _, channels)| channels).sum()
}

/// Fits on painted places, `classes` with background counted; each scan comes once.
///
/// # Errors
/// [`FeatureError`].
pub async fn fit_painted(scans: &[Painted], classes: usize) -> Result<Fitted, FeatureError> {
    if !(2..=MOST_CLASSES).contains(&classes) {
        return Err(FeatureError::Classes(classes));
    }
    let first = scans.first().ok_or_else(|| FeatureError::Examples("none given".into()))?;
    if scans.iter().any(|scan| scan.levels != first.levels) {
        return Err(FeatureError::OtherEncoder);
    }
    let blobs = || scans.iter().flat_map(|scan| &scan.blobs);
    if let Some((class, _)) = blobs().find(|(class, _)| usize::from(*class) >= classes) {
        return Err(FeatureError::Classes(usize::from(*class) + 1));
    }
    let painted = |class: usize| blobs().any(|(found, _)| usize::from(*found) == class);
    if (0..classes).filter(|&class| painted(class)).count() < 2 {
        return Err(FeatureError::Examples("paint at least two classes".into()));
    }
    if let Some(class) = (0..classes).find(|&class| !painted(class)) {
        let name = if class == 0 { "the background".to_owned() } else { format!("class {class}") };
        return Err(FeatureError::Examples(format!("no place of {name} was painted, paint one")));
    }
    let used = scans.iter().filter(|scan| !scan.blobs.is_empty()).count();
    let left_out = if used > 1 { LeftOut::Scans } else { LeftOut::Places };
    let Dealt { turns, always, alone } = deal(scans, classes, left_out);
    let mut folds = Folds {
        turns: Vec::new(),
        always: Vec::new(),
        classes,
        metric: Metric::Recall,
        balances: &[PAINTED.balance],
    };
    let mut measured = folds.measured([turns, vec![always]].concat()).await?;
    folds.always = measured.split_off(measured.len() - 1);
    folds.turns = measured;
    let all: Vec<usize> = (0..folds.turns.len()).collect();
    let mut rows = Vec::new();
    if classes - alone > 1 {
        for &out in &all {
            let rest: Vec<usize> = all.iter().copied().filter(|&at| at != out).collect();
            rows.push(folds.turns[out].recall(&folds.fit(&rest, folds.choose(&rest)?)?, classes));
        }
    }
    let note = match (rows.is_empty(), alone, left_out) {
        (true, _, LeftOut::Places) => {
            Some("too few examples to score: paint two classes in two places each")
        }
        (true, _, LeftOut::Scans) => {
            Some("too few examples to score: paint two classes in two scans each")
        }
        (false, 0, _) => None,
        (false, _, LeftOut::Places) => Some("classes painted in one place only are not scored"),
        (false, _, LeftOut::Scans) => Some("classes painted in one scan only are not scored"),
    };
    let scores = Scores::of((Metric::Recall, left_out), &rows, classes, note.map(Into::into));
    let levels = first.levels.iter().map(|&(map, _, channels)| (map, channels)).collect();
    folds.finish(levels, &all, scores)
}

/// Samples by what is left out together.
struct Dealt {
    turns: Vec<Samples>,
    /// Never left out: classes that would then be gone.
    always: Samples,
    /// How many classes those are.
    alone: usize,
}

fn deal(scans: &[Painted], classes: usize, left_out: LeftOut) -> Dealt {
    let mut of_class: Vec<Vec<(usize, &Samples)>> = vec![Vec::new(); classes];
    for (scan, (class, samples)) in scans
        .iter()
        .filter(|scan| !scan.blobs.is_empty())
        .enumerate()
        .flat_map(|(scan, painted)| painted.blobs.iter().map(move |blob| (scan, blob)))
    {
        let blobs = &mut of_class[usize::from(*class)];
        let turn = match left_out {
            LeftOut::Scans => scan % MOST_SCAN_FOLDS,
            LeftOut::Places => blobs.len() % MOST_FOLDS,
        };
        blobs.push((turn, samples));
    }
    let most = of_class.iter().flatten().map(|(turn, _)| turn + 1).max().unwrap_or(0);
    let mut dealt =
        Dealt { turns: vec![Samples::default(); most], always: Samples::default(), alone: 0 };
    for blobs in of_class {
        let alone = blobs.iter().all(|(turn, _)| blobs.first().is_some_and(|(t, _)| t == turn));
        dealt.alone += usize::from(alone);
        for (turn, samples) in blobs {
            let to = if alone { &mut dealt.always } else { &mut dealt.turns[turn] };
            to.extend(samples.clone());
        }
    }
    dealt.turns.retain(|samples| !samples.classes.is_empty());
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scan whose blobs lie at these places of one channel, one voxel each.
    fn scan(blobs: &[(u8, f32)]) -> Painted {
        let blobs = blobs.iter().map(|&(class, value)| {
            let rows = vec![value, 0.1 * value * value];
            (class, Samples { rows, classes: vec![class], weights: vec![1.0] })
        });
        Painted { levels: vec![(1, 2, 2)], blobs: blobs.collect() }
    }

    fn fit(scans: &[Painted], classes: usize) -> Result<Fitted, FeatureError> {
        pollster::block_on(fit_painted(scans, classes))
    }

    #[test]
    fn several_scans_are_left_out_whole() {
        // Within a scan the classes lie apart; from one scan to the other they change sides,
        // so that leaving out blobs would score 1 and leaving out scans scores 0.
        let swapped = [
            scan(&[(0, -1.0), (0, -1.1), (1, 1.0), (1, 1.1)]),
            scan(&[(0, 1.0), (0, 1.1), (1, -1.0), (1, -1.1)]),
        ];
        let fitted = fit(&swapped, 2).expect("a fit");
        assert_eq!((fitted.scores.left_out, fitted.scores.folds), (LeftOut::Scans, 2));
        assert_eq!(fitted.scores.mean, Some(0.0));
        let alone = fit(&swapped[..1], 2).expect("a fit");
        assert_eq!((alone.scores.left_out, alone.scores.folds), (LeftOut::Places, 2));
        assert_eq!(alone.scores.mean, Some(1.0));
        assert_eq!(fitted.voxels, 8);
    }

    #[test]
    fn a_class_of_one_scan_is_fitted_and_not_scored() {
        let scans = [
            scan(&[(0, -1.0), (1, 1.0), (2, 5.0)]),
            scan(&[(0, -1.2), (1, 1.2)]),
            scan(&[]),
            scan(&[(0, -0.9), (1, 0.9)]),
        ];
        let scores = fit(&scans, 3).expect("a fit").scores;
        // The scan without a stroke is none.
        assert_eq!((scores.folds, scores.classes[2]), (3, None));
        assert!(scores.note.is_some_and(|note| note.contains("one scan only")));
        let apart = [scan(&[(0, -1.0)]), scan(&[(1, 1.0)])];
        let scores = fit(&apart, 2).expect("a fit").scores;
        assert_eq!((scores.folds, scores.mean), (0, None));
        assert!(scores.note.is_some_and(|note| note.contains("two scans each")));
    }

    #[test]
    fn a_class_that_was_never_painted_is_refused() {
        let there = [(0, -1.0), (0, -1.1), (1, 1.0), (1, 1.1)];
        for (blobs, classes, words) in [
            (&there[..], 3, "no place of class 2 was painted"),
            (&[(1, 1.0), (2, 5.0)], 3, "no place of the background was painted"),
            (&there[..2], 2, "at least two classes"),
        ] {
            let Err(FeatureError::Examples(said)) = fit(&[scan(blobs)], classes) else {
                unreachable!("{blobs:?} are {classes} classes")
            };
            assert!(said.contains(words), "{said}");
        }
        assert!(fit(&[scan(&there)], 2).is_ok_and(|fitted| fitted.classes == 2));
    }

    #[test]
    fn examples_come_back_as_they_were_kept() {
        let painted = scan(&[(0, -1.0), (1, 1.0), (1, 2.0)]);
        let bytes = painted.to_bytes().expect("bytes");
        assert_eq!(Painted::read(&bytes), Ok(painted.clone()));
        assert_eq!(painted.places(3), [1, 2, 0]);
        assert!(matches!(Painted::read(&bytes[..bytes.len() - 4]), Err(FeatureError::Kept(_))));
        let other = Painted { levels: vec![(2, 4, 2)], ..painted.clone() };
        assert_eq!(fit(&[painted, other], 2), Err(FeatureError::OtherEncoder));
    }
}
