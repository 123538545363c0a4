//! A head fitted on a handful of examples, the encoder frozen.
//!
//! Examples are whole scans with a label map, or places painted with a class
//! (`painted`). The head is a least-squares classifier on the stacked maps (`ridge`). Its
//! scores come from examples it was not fitted on (`folds`): a scan left out, or blobs of
//! one scan left out, never voxels of one blob on both sides; where the shrinkage is
//! chosen, inside the rest only (nested cross-validation). Where there are too few
//! examples for that, there is no score.

use super::folds::{Folds, SCANS, classify, dice};
use super::readout::Readout;
use super::samples::{classes_on_grid, from_scan};
use super::scores::{LeftOut, Metric, Scores};
use super::{DenseFeatures, FeatureError};
use crate::volume::LabelMap;

/// Most classes, background counted: their logits fill what a map of 16 channels does.
pub const MOST_CLASSES: usize = 16;

/// A scan with labels.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// Its features.
    pub features: &'a DenseFeatures,
    /// Class of each voxel of the scan's own grid, 0 for background.
    pub labels: &'a LabelMap,
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
        balances: &SCANS,
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
    let scores = Scores::of((Metric::Dice, LeftOut::Scans), &rows, classes, note);
    let levels = first.levels.iter().map(|level| (level.map, level.channels)).collect();
    folds.finish(levels, &all, scores)
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
