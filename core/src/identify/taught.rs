//! Heads that a person taught with a few labelled scans: their name in the file, what was
//! measured, and their answer. `features::teach` fits them.

use serde::{Deserialize, Serialize};

use super::NamedVector;
use super::heads::Answer;
use super::pack::{HeadsError, HeadsPack};

/// Name of the head.
pub const TAUGHT: &str = "taught";

/// Fewest scans of a label that a head is fitted on: one to learn from, one to leave out.
pub const LEAST_SCANS: usize = 2;

/// 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_964;

/// A scan as a head sees it, with the label it was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelledScan {
    /// What the person calls it.
    pub label: String,
    /// The encoder's pooled vectors by name.
    pub vectors: Vec<(String, Vec<f32>)>,
}

/// How often the scans of one label were recognised when left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelScore {
    /// The label.
    pub label: String,
    /// Its scans.
    pub scans: usize,
    /// Those that were recognised.
    pub right: usize,
}

/// What leaving out one scan at a time measured, everything that is chosen chosen without it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaughtScores {
    /// The labels, in the order of the head's outputs.
    pub labels: Vec<LabelScore>,
    /// The pooled vectors that the head reads.
    pub inputs: Vec<String>,
    /// Those that cross-validation chose from.
    pub tried: Vec<Vec<String>>,
    /// Shrinkage, chosen with them.
    pub lambda: f64,
    /// Share of scans recognised.
    pub accuracy: f64,
    /// Its 95 % interval ([`wilson`]); it takes the scans for independent.
    pub interval: [f64; 2],
    /// Share of the most frequent label: what saying always that one scores.
    pub majority: f64,
}

impl TaughtScores {
    /// Of what was recognised.
    pub fn new(
        labels: Vec<LabelScore>,
        (inputs, tried): (Vec<String>, Vec<Vec<String>>),
        lambda: f64,
    ) -> Self {
        let scans: usize = labels.iter().map(|label| label.scans).sum();
        let right: usize = labels.iter().map(|label| label.right).sum();
        let most = labels.iter().map(|label| label.scans).max().unwrap_or(0);
        let share = |part: usize| part as f64 / scans.max(1) as f64;
        let (accuracy, majority) = (share(right), share(most));
        Self { labels, inputs, tried, lambda, accuracy, interval: wilson(right, scans), majority }
    }

    /// In one sentence.
    pub fn words(&self) -> String {
        let scans: usize = self.labels.iter().map(|label| label.scans).sum();
        let right: usize = self.labels.iter().map(|label| label.right).sum();
        let [low, high] = self.interval;
        format!(
            "{right} of {scans} scans recognised when left out: {:.2}, 95 % interval {low:.2} to \
             {high:.2}; the most frequent label alone would score {:.2}",
            self.accuracy, self.majority
        )
    }

    /// What the head reads and what it was chosen from, in one sentence.
    pub fn choice(&self) -> String {
        let joined = |names: &[String]| names.join(" + ");
        let tried: Vec<String> = self.tried.iter().map(|names| joined(names)).collect();
        format!(
            "reads {}, chosen by cross-validation from {}",
            joined(&self.inputs),
            tried.join(", ")
        )
    }
}

/// Score interval of a share, 95 % (Wilson, Journal of the American Statistical Association
/// 22, 1927): of use for few and for all right, too.
pub fn wilson(right: usize, all: usize) -> [f64; 2] {
    if all == 0 {
        return [0.0, 1.0];
    }
    let n = all as f64;
    let share = right as f64 / n;
    let square = Z * Z / n;
    let centre = (share + square / 2.0) / (1.0 + square);
    let half = (Z / (1.0 + square)) * (share * (1.0 - share) / n + square / (4.0 * n)).sqrt();
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

/// Reads a file with a taught head, and its scores.
///
/// # Errors
/// [`HeadsError`] when it is no such file.
pub fn read(bytes: &[u8]) -> Result<(HeadsPack, TaughtScores), HeadsError> {
    let heads = HeadsPack::read(bytes)?;
    heads.head(TAUGHT)?;
    let scores = serde_json::from_value(heads.info.scores.clone())
        .map_err(|error| HeadsError::Metadata(error.to_string()))?;
    Ok((heads, scores))
}

/// The labels of a scan with their probabilities.
///
/// # Errors
/// [`HeadsError`] when the encoder did not give what the head reads.
pub fn answer(heads: &HeadsPack, vectors: &[NamedVector<'_>]) -> Result<Answer, HeadsError> {
    heads.head(TAUGHT)?.answer(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_statsmodels() {
        // statsmodels.stats.proportion.proportion_confint(k, n, method="wilson")
        for (right, all, expected) in
            [(9, 12, [0.467_69, 0.911_06]), (4, 4, [0.510_11, 1.0]), (0, 6, [0.0, 0.390_33])]
        {
            let found = wilson(right, all);
            for (value, expected) in found.iter().zip(expected) {
                assert!((value - expected).abs() < 1e-4, "{right} of {all}: {found:?}");
            }
        }
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
    }

    #[test]
    fn the_baseline_is_the_most_frequent_label() {
        let label = |label: &str, scans, right| LabelScore { label: label.into(), scans, right };
        let scores = TaughtScores::new(
            vec![label("plain", 6, 5), label("after contrast", 2, 1)],
            (vec!["sequence".into()], vec![vec!["sequence".into()], vec!["structure".into()]]),
            0.1,
        );
        assert_eq!((scores.accuracy, scores.majority), (0.75, 0.75));
        assert!(scores.words().starts_with("6 of 8 scans"), "{}", scores.words());
        assert!(scores.choice().ends_with("from sequence, structure"), "{}", scores.choice());
    }
}
