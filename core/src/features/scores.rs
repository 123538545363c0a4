//! Scores of a fitted head on examples that it was not fitted on.

use serde::{Deserialize, Serialize};

/// What a score counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Dice of a class in scans that were left out.
    Dice,
    /// Share of a class's painted voxels that were recognised in what was left out.
    Recall,
}

/// What is left out together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// Whole scans.
    Scans,
    /// Painted places of one scan.
    Places,
}

/// Scores on examples that were left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// What is counted.
    pub metric: Metric,
    /// What was left out at a time.
    pub left_out: LeftOut,
    /// How often something was left out; 0 when there are no scores.
    pub folds: usize,
    /// Mean of each class over what was left out; `None` where it could not be scored.
    pub classes: Vec<Option<f64>>,
    /// Mean of those that are there.
    pub mean: Option<f64>,
    /// Why there is no score, or not of every class.
    pub note: Option<String>,
}

impl Scores {
    pub(super) fn of(
        (metric, left_out): (Metric, LeftOut),
        rows: &[Vec<Option<f64>>],
        classes: usize,
        note: Option<String>,
    ) -> Self {
        let classes: Vec<Option<f64>> =
            (0..classes).map(|class| mean(rows.iter().map(|row| row[class]))).collect();
        let mean = mean(classes.iter().copied());
        Self { metric, left_out, folds: rows.len(), classes, mean, note }
    }
}

/// Mean of the values that are there.
pub(super) fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.flatten().collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
