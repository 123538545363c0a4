//! A head fitted on a handful of examples, the encoder frozen.
//!
//! Examples are whole scans with a label map, or places painted with a class. The head
//! is a least-squares classifier on the stacked maps (`ridge`). Its scores come from
//! examples it was not fitted on: a scan left out, or blobs left out, never voxels of
//! one blob on both sides; where the shrinkage is chosen, inside the rest only (nested
//! cross-validation). Where there are too few examples for that, there is no score.

use serde::{Deserialize, Serialize};

use super::readout::{Readout, dot};
use super::ridge::{LAMBDAS, Moments};
use super::samples::{Samples, classes_on_grid, from_paint, from_scan};
use super::{DenseFeatures, FeatureError};
use crate::volume::LabelMap;

/// Most classes, background counted: their logits fill what a map of 16 channels does.
pub const MOST_CLASSES: usize = 16;

/// Blobs are spread over at most this many folds.
const MOST_FOLDS: usize = 5;

/// How a fit is made.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Setting {
    /// How far rare classes are lifted, see [`Moments::of_classes`].
    balance: f64,
    /// Shrinkage.
    lambda: f64,
    /// Added to the score of background: moves the border of rare classes to where
    /// Dice is largest, which least squares does not look for.
    shift: f32,
}

/// For one scan, where nothing can be left out to choose by. Measured over two
/// structures of the brain: with balance 0 no rare class is found, with 1 they come out
/// twice too large.
const ALONE: Setting = Setting { balance: 0.25, lambda: 1e-2, shift: 0.0 };

/// Balance for several scans: it separates better than that of [`ALONE`], and the shift
/// puts the border right.
const SEVERAL: f64 = 0.5;

/// Shifts that cross-validation chooses from: this many steps of [`SHIFT`].
const SHIFTS: usize = 20;
const SHIFT: f32 = 0.05;

/// For painted places, whose numbers say nothing: all classes alike.
const PAINTED: Setting = Setting { balance: 1.0, lambda: 1e-2, shift: 0.0 };

/// A scan with labels.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// Its features.
    pub features: &'a DenseFeatures,
    /// Labels on the scan's own grid. For [`fit_scans`] the class of each voxel, 0 for
    /// background; for [`fit_painted`] 0 where nothing was painted, else class + 1.
    pub labels: &'a LabelMap,
}

/// What a score counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Dice of a class in scans that were left out.
    Dice,
    /// Share of a class's painted voxels that were recognised in blobs left out.
    Recall,
}

/// Scores on examples that were left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// What is counted.
    pub metric: Metric,
    /// How often something was left out; 0 when there are no scores.
    pub folds: usize,
    /// Mean of each class over what was left out; `None` where it could not be scored.
    pub classes: Vec<Option<f64>>,
    /// Mean of those that are there.
    pub mean: Option<f64>,
    /// Why there is no score, or not of every class.
    pub note: Option<String>,
}

/// A fitted head.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Scores of the classes, linear in the stacked maps.
    pub readout: Readout,
    /// Map and channels of each level it reads.
    pub levels: Vec<(usize, usize)>,
    /// Classes, background counted.
    pub classes: usize,
    /// Shrinkage.
    pub lambda: f64,
    /// What was added to the score of background.
    pub shift: f32,
    /// Voxels it was fitted on.
    pub voxels: usize,
    /// Cross-validated scores.
    pub scores: Scores,
}

/// Samples that are left out together.
struct Fold {
    samples: Samples,
    /// With each balance of [`Folds::balances`].
    moments: Vec<Moments>,
}

/// The folds of a fit.
struct Folds {
    /// Left out in turn.
    turns: Vec<Fold>,
    /// Never left out.
    always: Vec<Fold>,
    classes: usize,
    metric: Metric,
    /// Balances that fits may ask for.
    balances: &'static [f64],
}

/// Fits on whole scans, `classes` with background counted.
///
/// # Errors
/// [`FeatureError`].
pub async fn fit_scans(examples: &[Labelled<'_>], classes: usize) -> Result<Fitted, FeatureError> {
    let first = check(examples, classes)?;
    let mut grids = Vec::with_capacity(examples.len());
    let mut drawn = Vec::with_capacity(examples.len());
    for example in examples {
        let grid = classes_on_grid(example.features, example.labels)?;
        if let Some(&class) = grid.iter().find(|&&class| usize::from(class) >= classes) {
            return Err(FeatureError::Classes(usize::from(class) + 1));
        }
        drawn.push(from_scan(example.features, &grid, classes));
        grids.push(grid);
    }
    let mut folds = Folds {
        turns: Vec::new(),
        always: Vec::new(),
        classes,
        metric: Metric::Dice,
        balances: &[ALONE.balance, SEVERAL],
    };
    folds.turns = folds.measured(drawn).await?;
    folds.every_class_is_there()?;
    let all: Vec<usize> = (0..folds.turns.len()).collect();
    let mut rows = Vec::new();
    if all.len() > 1 {
        for &out in &all {
            let rest: Vec<usize> = all.iter().copied().filter(|&at| at != out).collect();
            let readout = folds.fit(&rest, folds.choose(&rest)?)?;
            let predicted = classify(examples[out].features, &readout);
            rows.push(dice(&predicted, &grids[out], &vec![1.0; predicted.len()], classes));
        }
    }
    let note = rows.is_empty().then(|| "too few examples to score: label a second scan".into());
    let scores = Scores::of(Metric::Dice, &rows, classes, note);
    folds.finish(first, &all, scores)
}

/// Fits on painted places, `classes` with background counted.
///
/// # Errors
/// [`FeatureError`].
pub async fn fit_painted(
    examples: &[Labelled<'_>],
    classes: usize,
) -> Result<Fitted, FeatureError> {
    let first = check(examples, classes)?;
    let mut blobs: Vec<Vec<Samples>> = vec![Vec::new(); classes];
    for example in examples {
        for (class, samples) in from_paint(example.features, example.labels)? {
            let many = usize::from(class) + 1;
            blobs.get_mut(usize::from(class)).ok_or(FeatureError::Classes(many))?.push(samples);
        }
    }
    if blobs.iter().filter(|blobs| !blobs.is_empty()).count() < 2 {
        return Err(FeatureError::Examples("paint at least two classes".into()));
    }
    let most = blobs.iter().map(Vec::len).max().unwrap_or(0).min(MOST_FOLDS);
    let mut turns = vec![Samples::default(); if most > 1 { most } else { 0 }];
    let mut always = Samples::default();
    let single: Vec<usize> = (0..classes).filter(|&class| blobs[class].len() < 2).collect();
    for blobs in blobs {
        let alone = blobs.len() < 2;
        for (at, samples) in blobs.into_iter().enumerate() {
            if alone { always.extend(samples) } else { turns[at % most].extend(samples) }
        }
    }
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
    if classes - single.len() > 1 {
        for &out in &all {
            let rest: Vec<usize> = all.iter().copied().filter(|&at| at != out).collect();
            rows.push(folds.turns[out].recall(&folds.fit(&rest, folds.choose(&rest)?)?, classes));
        }
    }
    let note = match (rows.is_empty(), single.is_empty()) {
        (true, _) => Some("too few examples to score: paint two classes in two places each"),
        (false, false) => Some("classes painted in one place only are not scored"),
        (false, true) => None,
    };
    let scores = Scores::of(Metric::Recall, &rows, classes, note.map(Into::into));
    folds.finish(first, &all, scores)
}

fn check<'a>(examples: &[Labelled<'a>], classes: usize) -> Result<&'a DenseFeatures, FeatureError> {
    if !(2..=MOST_CLASSES).contains(&classes) {
        return Err(FeatureError::Classes(classes));
    }
    let first = examples.first().ok_or_else(|| FeatureError::Examples("none given".into()))?;
    if examples.iter().any(|example| !example.features.same_encoder(first.features)) {
        return Err(FeatureError::OtherEncoder);
    }
    Ok(first.features)
}

impl Folds {
    /// Moments of each set of samples.
    async fn measured(&self, sets: Vec<Samples>) -> Result<Vec<Fold>, FeatureError> {
        let mut totals = vec![0.0; self.classes];
        for set in &sets {
            for (&class, weight) in set.classes.iter().zip(&set.weights) {
                totals[usize::from(class)] += weight;
            }
        }
        let channels = sets.iter().find_map(Samples::channels).unwrap_or(0);
        let mut folds = Vec::with_capacity(sets.len());
        for samples in sets {
            let mut moments = Vec::with_capacity(self.balances.len());
            for &balance in self.balances {
                let of = Moments::of_classes(&samples, channels, self.classes, &totals, balance);
                moments.push(of.await?);
            }
            folds.push(Fold { samples, moments });
        }
        Ok(folds)
    }

    fn every_class_is_there(&self) -> Result<(), FeatureError> {
        for class in 0..self.classes {
            let there = |fold: &Fold| fold.samples.classes.contains(&(class as u8));
            if !self.turns.iter().chain(&self.always).any(there) {
                return Err(FeatureError::Examples(format!("no voxel has class {class}")));
            }
        }
        Ok(())
    }

    /// Folds that are fitted on: these turns and those that always are.
    fn parts(&self, turns: &[usize]) -> Vec<&Fold> {
        turns.iter().map(|&at| &self.turns[at]).chain(&self.always).collect()
    }

    fn fit(&self, turns: &[usize], setting: Setting) -> Result<Readout, FeatureError> {
        let balance = self.balances.iter().position(|&b| b == setting.balance).unwrap_or(0);
        let parts = self.parts(turns);
        let Some((first, rest)) = parts.split_first() else {
            return Err(FeatureError::Examples("none left to fit on".into()));
        };
        let mut moments = first.moments[balance].clone();
        rest.iter().for_each(|fold| moments.add(&fold.moments[balance]));
        let mut readout = moments.ridge(setting.lambda)?;
        readout.bias[0] += setting.shift;
        Ok(readout)
    }

    /// The setting that does best when each of these turns is left out.
    fn choose(&self, turns: &[usize]) -> Result<Setting, FeatureError> {
        let (start, shifts) = match self.metric {
            Metric::Recall => (PAINTED, 1),
            Metric::Dice if turns.len() < 2 => return Ok(ALONE),
            Metric::Dice => (Setting { balance: SEVERAL, ..ALONE }, SHIFTS),
        };
        if turns.len() < 2 {
            return Ok(start);
        }
        let mut best = (f64::NEG_INFINITY, start);
        for lambda in LAMBDAS {
            let mut sums = vec![0.0; shifts];
            for &out in turns {
                let rest: Vec<usize> = turns.iter().copied().filter(|&at| at != out).collect();
                let mut readout = self.fit(&rest, Setting { lambda, ..start })?;
                for sum in &mut sums {
                    let row = match self.metric {
                        Metric::Dice => self.turns[out].dice(&readout, self.classes),
                        Metric::Recall => self.turns[out].recall(&readout, self.classes),
                    };
                    *sum += mean(row.into_iter()).unwrap_or(0.0);
                    readout.bias[0] += SHIFT;
                }
            }
            for (step, sum) in sums.into_iter().enumerate() {
                if sum > best.0 {
                    best = (sum, Setting { lambda, shift: step as f32 * SHIFT, ..start });
                }
            }
        }
        Ok(best.1)
    }

    fn finish(
        self,
        features: &DenseFeatures,
        all: &[usize],
        scores: Scores,
    ) -> Result<Fitted, FeatureError> {
        let setting = self.choose(all)?;
        let readout = self.fit(all, setting)?;
        let voxels = self.parts(all).iter().map(|fold| fold.samples.classes.len()).sum();
        let levels = features.levels.iter().map(|level| (level.map, level.channels)).collect();
        let Setting { lambda, shift, .. } = setting;
        Ok(Fitted { readout, levels, classes: self.classes, lambda, shift, voxels, scores })
    }
}

impl Fold {
    fn predicted(&self, readout: &Readout) -> Vec<u8> {
        let channels = self.samples.channels().unwrap_or(1);
        let of = |row: &[f32]| largest(&logits(readout, row));
        self.samples.rows.chunks_exact(channels).map(of).collect()
    }

    fn dice(&self, readout: &Readout, classes: usize) -> Vec<Option<f64>> {
        dice(&self.predicted(readout), &self.samples.classes, &self.samples.weights, classes)
    }

    /// Share of each class's voxels that are recognised.
    fn recall(&self, readout: &Readout, classes: usize) -> Vec<Option<f64>> {
        let mut counts = vec![(0.0, 0.0); classes];
        for (found, &class) in self.predicted(readout).iter().zip(&self.samples.classes) {
            let (right, all) = &mut counts[usize::from(class)];
            *all += 1.0;
            *right += f64::from(u8::from(*found == class));
        }
        counts.into_iter().map(|(right, all)| (all > 0.0).then(|| right / all)).collect()
    }
}

impl Scores {
    fn of(metric: Metric, rows: &[Vec<Option<f64>>], classes: usize, note: Option<String>) -> Self {
        let classes: Vec<Option<f64>> =
            (0..classes).map(|class| mean(rows.iter().map(|row| row[class]))).collect();
        let mean = mean(classes.iter().copied());
        Self { metric, folds: rows.len(), classes, mean, note }
    }
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.flatten().collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn logits(readout: &Readout, feature: &[f32]) -> Vec<f32> {
    let rows = readout.weights.chunks_exact(feature.len());
    rows.zip(&readout.bias).map(|(weights, bias)| dot(weights, feature) + bias).collect()
}

fn largest(logits: &[f32]) -> u8 {
    // The first of equal ones, as the network's argmax.
    let best = (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    best.unwrap_or(0) as u8
}

/// Class of every voxel of the network's grid, z fastest.
pub(super) fn classify(features: &DenseFeatures, readout: &Readout) -> Vec<u8> {
    let voxels = features.foreground.len();
    let values = features.read_out(readout);
    let at = |voxel: usize| -> Vec<f32> {
        values.chunks_exact(voxels).map(|plane| plane[voxel]).collect()
    };
    (0..voxels).map(|voxel| largest(&at(voxel))).collect()
}

/// Dice of each class but background; `None` where the class is in neither.
fn dice(predicted: &[u8], truth: &[u8], weights: &[f64], classes: usize) -> Vec<Option<f64>> {
    let mut both = vec![0.0; classes];
    let mut sizes = vec![0.0; classes];
    for ((&p, &t), weight) in predicted.iter().zip(truth).zip(weights) {
        sizes[usize::from(p)] += weight;
        sizes[usize::from(t)] += weight;
        if p == t {
            both[usize::from(t)] += weight;
        }
    }
    let of =
        |class: usize| (class > 0 && sizes[class] > 0.0).then(|| 2.0 * both[class] / sizes[class]);
    (0..classes).map(of).collect()
}
