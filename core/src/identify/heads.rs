//! Linear heads on pooled vectors: calibrated probabilities, and "unknown" by distance.
//!
//! Logits are `W z + b` of the standardised vector `z = (x - mean) / deviation`, divided by a
//! temperature (Guo et al., On Calibration of Modern Neural Networks, 2017) before the
//! softmax. A scan is unknown when no class is likely enough, or when it lies further from
//! every class's centre than nearly all held-out scans: Mahalanobis distance with the
//! covariance within classes, shared by all (Lee et al., 2018).

use serde::{Deserialize, Serialize};

use super::NamedVector;
use super::pack::HeadsError;

/// What a head is, as the pack's description has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadInfo {
    /// Name of the head and of its tensors.
    pub name: String,
    /// The vectors it reads, one behind the other; or the volumes of structures
    /// ([`super::volumes`]).
    pub inputs: Vec<String>,
    /// Its classes; of a regression what it gives.
    pub outputs: Vec<String>,
    /// Whether it gives classes or a number.
    #[serde(flatten)]
    pub kind: HeadKind,
    /// Body parts that it was trained on; of others it says nothing. Empty: all.
    #[serde(default)]
    pub body_parts: Vec<String>,
    /// What is to be known before an answer is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caution: Option<String>,
}

/// What a head gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HeadKind {
    /// Probabilities of classes.
    Classification {
        /// Divides the logits.
        temperature: f64,
        /// A class less likely than this is no answer.
        least_probability: f64,
        /// A scan further than this from every class is unknown; `None` where the head does
        /// not judge that.
        #[serde(default)]
        most_distance: Option<f64>,
    },
    /// A number with an interval.
    Regression {
        /// Half of the interval's width.
        half_width: f64,
        /// Share of people whose number lies in the interval.
        coverage: f64,
        /// Smallest and largest number of the training data.
        range: [f64; 2],
    },
}

/// A head with its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Its description.
    pub info: HeadInfo,
    /// `[outputs, inputs]`, row by row.
    pub(super) weight: Vec<f32>,
    /// `[outputs]`.
    pub(super) bias: Vec<f32>,
    /// `[inputs]`.
    pub(super) mean: Vec<f32>,
    /// `[inputs]`, above zero.
    pub(super) deviation: Vec<f32>,
    /// `[directions, inputs]`: makes the covariance within classes the unit matrix.
    pub(super) whitening: Vec<f32>,
    /// `[outputs, directions]`: the classes' centres after that.
    pub(super) centres: Vec<f32>,
}

/// What a head says of a scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The class; `None` for unknown.
    pub given: Option<String>,
    /// Every class with its probability, most likely first.
    pub probabilities: Vec<(String, f64)>,
    /// Distance to the nearest class, in standard deviations over all directions; `None`
    /// where the head does not judge it.
    pub distance: Option<f64>,
    /// The largest distance that is still answered.
    pub most_distance: Option<f64>,
}

impl Answer {
    /// Probability of the class that is given.
    pub fn probability(&self) -> Option<f64> {
        self.given.as_ref().and_then(|_| self.probabilities.first().map(|(_, p)| *p))
    }

    /// Whether this class is given.
    pub fn is(&self, class: &str) -> bool {
        self.given.as_deref() == Some(class)
    }

    /// In words: "T1w (0.98)", or "unknown (unlike every scan it was trained on)".
    pub fn words(&self) -> String {
        match (&self.given, self.probabilities.first()) {
            (Some(given), Some((_, p))) => format!("{given} ({p:.2})"),
            (None, Some((likely, p))) => {
                let far = self.distance.zip(self.most_distance).is_some_and(|(d, most)| d > most);
                let why = if far {
                    "unlike the scans it was trained on".to_owned()
                } else {
                    format!("most likely {likely}, {p:.2}")
                };
                format!("unknown ({why})")
            }
            _ => "unknown".into(),
        }
    }
}

impl Head {
    /// Whether the head was trained on scans of this body part (`None`: unknown).
    pub fn speaks_of(&self, body_part: Option<&str>) -> bool {
        let parts = &self.info.body_parts;
        parts.is_empty() || body_part.is_some_and(|part| parts.iter().any(|p| p == part))
    }

    /// Whether an answer depends on the scan at all: a mean that ships as a head has no weights.
    pub fn reads_the_scan(&self) -> bool {
        self.weight.iter().any(|&weight| weight != 0.0)
    }

    /// The standardised input.
    ///
    /// # Errors
    /// [`HeadsError::Vector`] when a vector is missing or of another length.
    fn standardised(&self, vectors: &[NamedVector<'_>]) -> Result<Vec<f64>, HeadsError> {
        let mut joined = Vec::with_capacity(self.mean.len());
        for wanted in &self.info.inputs {
            let found = vectors.iter().find(|(name, _)| name == wanted);
            let (_, values) = found.ok_or_else(|| HeadsError::Vector {
                head: self.info.name.clone(),
                expected: wanted.clone(),
            })?;
            joined.extend(values.iter().copied());
        }
        if joined.len() != self.mean.len() {
            let expected = format!("{} values, not {}", self.mean.len(), joined.len());
            return Err(HeadsError::Vector { head: self.info.name.clone(), expected });
        }
        let rows = joined.iter().zip(self.mean.iter().zip(&self.deviation));
        Ok(rows.map(|(x, (mean, deviation))| f64::from(x - mean) / f64::from(*deviation)).collect())
    }

    /// The outputs before softmax: logits or numbers.
    ///
    /// # Errors
    /// As [`Head::answer`].
    pub fn outputs(&self, vectors: &[NamedVector<'_>]) -> Result<Vec<f64>, HeadsError> {
        Ok(self.linear(&self.standardised(vectors)?))
    }

    fn linear(&self, z: &[f64]) -> Vec<f64> {
        let rows = self.weight.chunks_exact(z.len().max(1)).zip(&self.bias);
        rows.map(|(row, bias)| f64::from(*bias) + dot(row, z)).collect()
    }

    /// Classifies a scan.
    ///
    /// # Errors
    /// [`HeadsError::Vector`] when the encoder did not give what the head reads,
    /// [`HeadsError::Kind`] for a head that gives a number.
    pub fn answer(&self, vectors: &[NamedVector<'_>]) -> Result<Answer, HeadsError> {
        let HeadKind::Classification { temperature, least_probability, most_distance } =
            self.info.kind
        else {
            return Err(HeadsError::Kind(self.info.name.clone()));
        };
        let z = self.standardised(vectors)?;
        let logits: Vec<f64> = self.linear(&z).iter().map(|value| value / temperature).collect();
        let peak = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logits.iter().map(|value| (value - peak).exp()).sum();
        let shares = logits.iter().map(|value| (value - peak).exp() / total);
        let mut probabilities: Vec<(String, f64)> =
            self.info.outputs.iter().cloned().zip(shares).collect();
        probabilities.sort_by(|a, b| b.1.total_cmp(&a.1));
        let distance = most_distance.map(|_| self.distance(&z));
        let near = distance.zip(most_distance).is_none_or(|(d, most)| d <= most);
        let given = probabilities
            .first()
            .filter(|(_, p)| near && *p >= least_probability)
            .map(|(class, _)| class.clone());
        Ok(Answer { given, probabilities, distance, most_distance })
    }

    /// Root of the mean square over directions of the whitened difference to the nearest centre.
    fn distance(&self, z: &[f64]) -> f64 {
        let place: Vec<f64> =
            self.whitening.chunks_exact(z.len().max(1)).map(|row| dot(row, z)).collect();
        self.centres
            .chunks_exact(place.len().max(1))
            .map(|centre| {
                let squares = centre.iter().zip(&place).map(|(c, p)| (p - f64::from(*c)).powi(2));
                (squares.sum::<f64>() / place.len() as f64).sqrt()
            })
            .fold(f64::INFINITY, f64::min)
    }
}

fn dot(row: &[f32], z: &[f64]) -> f64 {
    row.iter().zip(z).map(|(weight, value)| f64::from(*weight) * value).sum()
}
