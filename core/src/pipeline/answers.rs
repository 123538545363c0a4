//! What the heads say that give single answers: of one scan the mean over its windows, of the
//! sequences of one study together one answer.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::encode::{PooledFeature, add_pooled};
use super::run::{Pacer, PipelineError, Watch, prepare_for};
use super::sliding::{Windows, read};
use crate::card::{self, Measured};
use crate::model::{HeadConfig, Pack, Prism};
use crate::volume::Volume;

/// Output of a classification or regression head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Name of the head.
    pub head: String,
    /// What each value stands for.
    pub outputs: Vec<String>,
    /// Probabilities (classification) or values (regression), averaged over windows.
    pub values: Vec<f32>,
}

/// Answers of the pooled heads, averaged over windows.
pub(super) struct Answers<'a> {
    pack: &'a Pack,
    sums: Vec<Answer>,
    windows: usize,
}

impl<'a> Answers<'a> {
    pub(super) fn new(pack: &'a Pack) -> Self {
        Self { pack, sums: Vec::new(), windows: 0 }
    }

    /// Adds what the heads give for a window, as [`Prism::answers`] says it.
    pub(super) async fn add(
        &mut self,
        outputs: Vec<(String, Tensor<2>)>,
    ) -> Result<(), PipelineError> {
        self.windows += 1;
        for (name, output) in outputs {
            let heads = &self.pack.info.architecture.heads;
            let Some(head) = heads.iter().find(|head| head.name() == name) else { continue };
            let (output, names) = match head {
                HeadConfig::Classification(head) => (activation::softmax(output, 1), &head.outputs),
                HeadConfig::Regression(head) => (output, &head.outputs),
                HeadConfig::Segmentation { .. } | HeadConfig::LinearSegmentation { .. } => continue,
            };
            let values: Vec<f32> = read(output).await?;
            match self.sums.iter_mut().find(|sum| sum.head == name) {
                Some(sum) => sum.values.iter_mut().zip(&values).for_each(|(s, v)| *s += v),
                None => {
                    self.sums.push(Answer { head: name, outputs: names.clone(), values });
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Vec<Answer> {
        let scale = 1.0 / self.windows.max(1) as f32;
        self.sums.iter_mut().flat_map(|sum| &mut sum.values).for_each(|value| *value *= scale);
        self.sums
    }
}

/// How well a head of a pack was measured, and whether its answers may be told: those of a pack that
/// someone imported are, for who brings a head knows what it was scored on.
pub fn measured(pack: &Pack, head: &str) -> Measured {
    if pack.info.provenance.get("imported").is_some() {
        return Measured { told: true, words: "Imported: not scored by this project.".into() };
    }
    card::measured(&pack.info.scores, head)
}

/// What the heads say of several sequences of one study.
#[derive(Clone, Debug, PartialEq)]
pub struct Together {
    /// The features of each scan that heads read, as [`super::encode()`] names them.
    pub pooled: Vec<Vec<PooledFeature>>,
    /// The answers for all together.
    pub answers: Vec<Answer>,
    /// Sides of the middle window that was read of each scan, voxels of the network's grid;
    /// `None` where all of it was.
    pub middles: Vec<Option<[usize; 3]>>,
}

/// Runs each scan through the encoder by itself and has the heads fuse what they read of them.
/// The scans need not lie on one grid.
///
/// A head that fuses sequences reads one feature of each, so a scan has one input: all of it where
/// it goes through in one pass, else the window in the middle of its foreground. What lies outside
/// of that window is not seen.
///
/// # Errors
/// [`PipelineError::NoHeads`] for a pack without such heads, [`PipelineError::Sequences`] where
/// all of them want another number of scans; as [`super::encode()`].
pub async fn answer_together<W: Watch>(
    scans: &[&Volume],
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<Together, PipelineError> {
    let architecture = &pack.info.architecture;
    let wanting = architecture.wanting(scans.len());
    if wanting.len() == architecture.pooled_heads().count() {
        return Err(match wanting.first() {
            None => PipelineError::NoHeads(pack.info.name.clone()),
            Some(&(head, wanted)) => {
                PipelineError::Sequences { head: head.to_owned(), wanted, given: scans.len() }
            }
        });
    }
    let mut pacer = Pacer::new(watch, scans.len() * model.encoder_steps());
    let (mut pooled, mut encoded, mut middles) = (Vec::new(), Vec::new(), Vec::new());
    for scan in scans {
        let prepared = prepare_for(scan, pack)?;
        let input = Windows::middle(&prepared, pack).input(&prepared, [0; 3], model.device());
        let [_, _, nx, ny, nz] = input.dims();
        middles.push(([nx, ny, nz] != prepared.dims).then_some([nx, ny, nz]));
        let features =
            model.encode(input, &mut pacer).await.map_err(|stopped| pacer.reason(stopped))?;
        let mut vectors = Vec::new();
        add_pooled(&mut vectors, &features, model, 1).await?;
        pooled.push(vectors);
        encoded.push(features);
    }
    let mut answers = Answers::new(pack);
    answers.add(model.answers_together(&encoded)).await?;
    Ok(Together { pooled, answers: answers.finish(), middles })
}
