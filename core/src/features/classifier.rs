//! A head on the pooled features of whole scans that a person labelled.
//!
//! Indicators of the labels are regressed on the pooled vectors in closed form (`dual`),
//! every label weighing the same. Which vectors are read, and the shrinkage, are those of
//! least error when one scan is left out ([`Dual::press`]). The score leaves one scan out
//! and does all of that on the rest alone. Probabilities are the softmax of the regression
//! divided by a temperature, which is fitted on the scans left out with Platt's targets
//! (Probabilistic Outputs for Support Vector Machines, 1999, section 2.2, for more than two
//! labels): the fewer scans, the less sure it can get.

use serde_json::json;

use super::FeatureError;
use super::dual::{Dual, Linear};
use crate::identify::heads::{Head, HeadInfo, HeadKind};
use crate::identify::pack::{EncoderName, HeadsInfo, HeadsPack, LinearHead, SCHEMA};
use crate::identify::taught::{LEAST_SCANS, LabelScore, LabelledScan, TAUGHT, TaughtScores};

/// Most scans, so that leaving each out takes seconds.
const MOST_SCANS: usize = 100;

/// Shrinkage values that cross-validation chooses from; the features' variance is 1.
const LAMBDAS: [f64; 4] = [1e-3, 1e-2, 1e-1, 1.0];

/// Temperatures that are tried: from the first, each so much larger than the one before.
const TEMPERATURES: (f64, f64, usize) = (0.02, 1.1, 60);

/// A head fitted on labelled scans.
#[derive(Clone, Debug, PartialEq)]
pub struct Taught {
    /// The head.
    pub head: Head,
    /// What leaving scans out measured.
    pub scores: TaughtScores,
}

/// Fits a head.
///
/// # Errors
/// [`FeatureError::Examples`] when there are fewer than two labels or a label has fewer than
/// [`LEAST_SCANS`] scans, [`FeatureError::OtherEncoder`] when scans have other vectors.
pub fn teach(scans: &[LabelledScan]) -> Result<Taught, FeatureError> {
    let problem = Problem::of(scans)?;
    let all: Vec<usize> = (0..scans.len()).collect();
    let mut left_out = Vec::with_capacity(scans.len());
    for &out in &all {
        let rest: Vec<usize> = all.iter().copied().filter(|&at| at != out).collect();
        let choice = problem.choose(&rest)?;
        left_out.push(problem.fit(&rest, choice)?.at(&problem.rows[choice.candidate][out]));
    }
    let labels = problem.labels.iter().enumerate().map(|(label, name)| {
        let of = all.iter().filter(|&&at| problem.label_of[at] == label);
        let right = of.clone().filter(|&&at| largest(&left_out[at]) == label).count();
        LabelScore { label: name.clone(), scans: of.count(), right }
    });
    let labels = labels.collect();
    let choice = problem.choose(&all)?;
    let linear = problem.fit(&all, choice)?;
    let inputs = problem.candidates[choice.candidate].clone();
    let info = HeadInfo {
        name: TAUGHT.into(),
        inputs: inputs.clone(),
        outputs: problem.labels.clone(),
        kind: HeadKind::Classification {
            temperature: problem.temperature(&left_out),
            least_probability: 0.0,
            most_distance: None,
        },
        body_parts: Vec::new(),
        caution: Some(format!(
            "it knows {} scans; one that is unlike all of them gets one of their labels, too",
            scans.len()
        )),
    };
    let singles = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
    let head = LinearHead {
        info,
        weight: singles(&linear.weight),
        bias: singles(&linear.bias),
        mean: singles(&linear.mean),
        deviation: singles(&linear.deviation),
    };
    let tried = problem.candidates.clone();
    let scores = TaughtScores::new(labels, (inputs, tried), choice.lambda);
    Ok(Taught { head: head.into(), scores })
}

impl Taught {
    /// The head as a file, which [`crate::identify::taught::read`] reads.
    ///
    /// # Errors
    /// [`FeatureError::Heads`] when it cannot be written.
    pub fn to_bytes(&self, encoder: EncoderName) -> Result<Vec<u8>, FeatureError> {
        let names: Vec<&str> =
            self.scores.labels.iter().map(|label| label.label.as_str()).collect();
        let info = HeadsInfo {
            schema: SCHEMA,
            name: TAUGHT.into(),
            title: names.join(", "),
            version: "1".into(),
            encoder,
            whole_head_mm: 0.0,
            heads: Vec::new(),
            provenance: json!({
                "note": "a linear head fitted on pooled features of scans labelled by the person who uses it",
            }),
            scores: serde_json::to_value(&self.scores)
                .map_err(|error| FeatureError::Kept(error.to_string()))?,
            sha256: String::new(),
        };
        Ok(HeadsPack::write(info, std::slice::from_ref(&self.head))?)
    }
}

/// What is chosen by leaving scans out.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Choice {
    candidate: usize,
    lambda: f64,
}

/// The scans as rows.
struct Problem {
    /// In alphabetical order.
    labels: Vec<String>,
    /// Of each scan.
    label_of: Vec<usize>,
    /// Names of the vectors, joined in this order.
    candidates: Vec<Vec<String>>,
    /// For each candidate the row of each scan.
    rows: Vec<Vec<Vec<f32>>>,
}

impl Problem {
    fn of(scans: &[LabelledScan]) -> Result<Self, FeatureError> {
        let too_few = |words: String| Err(FeatureError::Examples(words));
        let mut labels: Vec<String> = scans.iter().map(|scan| scan.label.clone()).collect();
        labels.sort_unstable();
        labels.dedup();
        if labels.len() < 2 {
            return too_few("label scans with two different labels at least".into());
        }
        if scans.len() > MOST_SCANS {
            return too_few(format!("{} scans are more than {MOST_SCANS}", scans.len()));
        }
        for label in &labels {
            let count = scans.iter().filter(|scan| scan.label == *label).count();
            if count < LEAST_SCANS {
                return too_few(format!(
                    "one scan is labelled \"{label}\", {LEAST_SCANS} are needed"
                ));
            }
        }
        let shape = |scan: &LabelledScan| -> Vec<(String, usize)> {
            scan.vectors.iter().map(|(name, values)| (name.clone(), values.len())).collect()
        };
        if scans.iter().any(|scan| shape(scan) != shape(&scans[0])) {
            return Err(FeatureError::OtherEncoder);
        }
        let place = |scan: &LabelledScan| labels.iter().position(|label| *label == scan.label);
        let label_of = scans.iter().filter_map(place).collect();
        let names: Vec<&str> = scans[0].vectors.iter().map(|(name, _)| name.as_str()).collect();
        let candidates = candidates(&names);
        let row = |scan: &LabelledScan, wanted: &[String]| -> Vec<f32> {
            let of = |name: &String| scan.vectors.iter().find(|(found, _)| found == name);
            wanted.iter().filter_map(of).flat_map(|(_, values)| values.iter().copied()).collect()
        };
        let rows =
            candidates.iter().map(|wanted| scans.iter().map(|scan| row(scan, wanted)).collect());
        Ok(Self { rows: rows.collect(), labels, label_of, candidates })
    }

    /// Weights of these scans: every label that is there weighs the same.
    fn weights(&self, which: &[usize]) -> Vec<f64> {
        let same =
            |at: usize| which.iter().filter(move |&&b| self.label_of[b] == self.label_of[at]);
        which.iter().map(|&at| 1.0 / same(at).count() as f64).collect()
    }

    /// Indicators of the labels, `[scans, labels]`.
    fn targets(&self, which: &[usize]) -> Vec<f64> {
        let row = |&at: &usize| {
            (0..self.labels.len()).map(move |label| f64::from(u8::from(self.label_of[at] == label)))
        };
        which.iter().flat_map(row).collect()
    }

    fn dual(&self, which: &[usize], candidate: usize) -> Dual {
        let rows: Vec<Vec<f32>> =
            which.iter().map(|&at| self.rows[candidate][at].clone()).collect();
        Dual::new(&rows, &self.weights(which))
    }

    /// Vectors and shrinkage with which these scans are told apart best, each left out.
    fn choose(&self, which: &[usize]) -> Result<Choice, FeatureError> {
        let targets = self.targets(which);
        let mut best: Option<(f64, Choice)> = None;
        for candidate in 0..self.candidates.len() {
            let dual = self.dual(which, candidate);
            for lambda in LAMBDAS {
                let error = dual.press(&targets, self.labels.len(), lambda);
                if let Some(error) =
                    error.filter(|error| best.is_none_or(|(least, _)| *error < least))
                {
                    best = Some((error, Choice { candidate, lambda }));
                }
            }
        }
        best.map(|(_, choice)| choice).ok_or(FeatureError::Singular("no features were given"))
    }

    fn fit(&self, which: &[usize], choice: Choice) -> Result<Linear, FeatureError> {
        self.dual(which, choice.candidate)
            .fit(&self.targets(which), self.labels.len(), choice.lambda)
            .ok_or(FeatureError::Singular("their features all coincide"))
    }

    /// The temperature under which scans that were left out are told best.
    fn temperature(&self, left_out: &[Vec<f64>]) -> f64 {
        let all: Vec<usize> = (0..left_out.len()).collect();
        let weights = self.weights(&all);
        let loss = |temperature: f64| -> f64 {
            all.iter().map(|&at| weights[at] * self.loss(at, &left_out[at], temperature)).sum()
        };
        let (first, step, count) = TEMPERATURES;
        let tried = (0..count as i32).map(|power| first * step.powi(power));
        tried.min_by(|&a, &b| loss(a).total_cmp(&loss(b))).unwrap_or(1.0)
    }

    /// Cross-entropy of one scan with targets that Laplace's rule of succession gives its label.
    fn loss(&self, at: usize, scores: &[f64], temperature: f64) -> f64 {
        let peak = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|score| ((score - peak) / temperature).exp()).sum();
        let scans = self.label_of.iter().filter(|&&label| label == self.label_of[at]).count();
        let share = 1.0 / (scans + self.labels.len()) as f64;
        let part = |(label, score): (usize, &f64)| {
            let right = label == self.label_of[at];
            let target = if right { (scans + 1) as f64 * share } else { share };
            target * (total.ln() - (score - peak) / temperature)
        };
        scores.iter().enumerate().map(part).sum()
    }
}

/// What may be read: each vector alone, structure and sequence together. Of an encoder with
/// these branches the fused vector is left out, which is made of both.
fn candidates(names: &[&str]) -> Vec<Vec<String>> {
    let both = ["structure", "sequence"];
    let branches = both.iter().all(|name| names.contains(name));
    let single = names.iter().filter(|&&name| !(branches && name == "fused"));
    let mut found: Vec<Vec<String>> = single.map(|&name| vec![name.to_owned()]).collect();
    if branches {
        found.push(both.map(str::to_owned).to_vec());
    }
    found
}

fn largest(scores: &[f64]) -> usize {
    (0..scores.len()).rev().max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0)
}

impl Linear {
    /// The targets of a row.
    fn at(&self, row: &[f32]) -> Vec<f64> {
        let z: Vec<f64> = row
            .iter()
            .zip(self.mean.iter().zip(&self.deviation))
            .map(|(&value, (mean, deviation))| (f64::from(value) - mean) / deviation)
            .collect();
        let rows = self.weight.chunks_exact(z.len().max(1)).zip(&self.bias);
        rows.map(|(row, bias)| bias + row.iter().zip(&z).map(|(w, z)| w * z).sum::<f64>()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::taught;

    /// Scans whose sequence vector says the label by `strength`, whose structure vector is noise.
    fn scans(labels: &[&str], strength: f32) -> Vec<LabelledScan> {
        let mut state = 7_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let scan = |&label: &&str| {
            let shift = strength * f32::from(u8::from(label == "b"));
            let structure = (0..40).map(|_| noise()).collect();
            let sequence = (0..20).map(|_| noise() + shift).collect();
            let vectors =
                vec![("structure".to_owned(), structure), ("sequence".to_owned(), sequence)];
            LabelledScan { label: label.into(), vectors }
        };
        labels.iter().map(scan).collect()
    }

    fn encoder() -> EncoderName {
        EncoderName { name: "tiny".into(), sha256: "0123".into() }
    }

    #[test]
    fn what_can_be_told_is_told_by_the_vector_that_tells_it() {
        let taught = teach(&scans(&["a", "b", "a", "b", "a", "b"], 2.0)).expect("a head");
        assert_eq!((taught.scores.accuracy, taught.scores.majority), (1.0, 0.5));
        assert!(taught.scores.interval[0] < 0.7, "six scans prove little");
        assert_eq!(taught.scores.inputs, ["sequence"]);
        assert_eq!(taught.scores.tried.len(), 3);
        let bytes = taught.to_bytes(encoder()).expect("a file");
        let (heads, scores) = taught::read(&bytes).expect("a file of heads");
        assert_eq!(scores, taught.scores);
        assert!(heads.check_encoder("tiny", "0123").is_ok());
        let new = &scans(&["a", "a", "a", "a", "a", "a", "b"], 2.0)[6];
        let named: Vec<_> = new.vectors.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
        let answer = taught::answer(&heads, &named).expect("an answer");
        assert!(answer.is("b"), "{answer:?}");
        // Three scans a label: Laplace's rule says at most (3 + 1) / (3 + 2).
        let p = answer.probability().expect("a probability");
        assert!((0.6..0.95).contains(&p), "{p}");
    }

    #[test]
    fn where_there_is_nothing_to_tell_the_score_says_so() {
        let labels = ["a", "b", "b", "a", "a", "b", "a", "b", "b", "a", "b", "a"];
        let taught = teach(&scans(&labels, 0.0)).expect("a head");
        let [low, high] = taught.scores.interval;
        assert!(low < 0.5 && high < 0.95 && taught.scores.accuracy < 0.8, "{:?}", taught.scores);
        let HeadKind::Classification { temperature, .. } = taught.head.info.kind else {
            unreachable!("a classification")
        };
        assert!(temperature > 1.0, "sure of nothing: {temperature}");
    }

    #[test]
    fn too_few_scans_and_other_encoders_are_refused() {
        for (labels, words) in [(&["a", "a"][..], "two different"), (&["a", "a", "b"], "\"b\"")] {
            let Err(FeatureError::Examples(said)) = teach(&scans(labels, 1.0)) else {
                unreachable!("{labels:?} were enough")
            };
            assert!(said.contains(words), "{said}");
        }
        let mut mixed = scans(&["a", "b", "a", "b"], 1.0);
        mixed[3].vectors.remove(0);
        assert_eq!(teach(&mixed), Err(FeatureError::OtherEncoder));
    }

    #[test]
    fn a_fused_vector_is_read_only_without_branches() {
        let words = |names: &[&str]| -> Vec<String> {
            candidates(names).iter().map(|wanted| wanted.join("+")).collect()
        };
        let all = ["structure", "sequence", "fused", "centre"];
        assert_eq!(words(&all), ["structure", "sequence", "centre", "structure+sequence"]);
        assert_eq!(words(&["fused", "centre"]), ["fused", "centre"]);
    }
}
