//! The folds of a fit: what is left out together, and the setting chosen by leaving out.

use super::few_shot::Fitted;
use super::readout::{Readout, dot};
use super::ridge::{LAMBDAS, Moments};
use super::samples::Samples;
use super::scores::{Metric, Scores, mean};
use super::{DenseFeatures, FeatureError};

/// How a fit is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Setting {
    /// How far rare classes are lifted, see [`Moments::of_classes`].
    pub(super) balance: f64,
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

/// Balances that fits on scans ask for.
pub(super) const SCANS: [f64; 2] = [ALONE.balance, SEVERAL];

/// Shifts that cross-validation chooses from: this many steps of [`SHIFT`].
const SHIFTS: usize = 20;
const SHIFT: f32 = 0.05;

/// For painted places, whose numbers say nothing: all classes alike.
pub(super) const PAINTED: Setting = Setting { balance: 1.0, lambda: 1e-2, shift: 0.0 };

/// Samples that are left out together.
pub(super) struct Fold {
    pub(super) samples: Samples,
    /// With each balance of [`Folds::balances`].
    pub(super) moments: Vec<Moments>,
}

/// The folds of a fit.
pub(super) struct Folds {
    /// Left out in turn.
    pub(super) turns: Vec<Fold>,
    /// Never left out.
    pub(super) always: Vec<Fold>,
    pub(super) classes: usize,
    pub(super) metric: Metric,
    /// Balances that fits may ask for.
    pub(super) balances: &'static [f64],
}

impl Folds {
    /// Moments of each set of samples.
    pub(super) async fn measured(&self, sets: Vec<Samples>) -> Result<Vec<Fold>, FeatureError> {
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

    pub(super) fn every_class_is_there(&self) -> Result<(), FeatureError> {
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

    pub(super) fn fit(&self, turns: &[usize], setting: Setting) -> Result<Readout, FeatureError> {
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
    pub(super) fn choose(&self, turns: &[usize]) -> Result<Setting, FeatureError> {
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

    /// The fit on everything; `levels`: map and channels of each.
    pub(super) fn finish(
        self,
        levels: Vec<(usize, usize)>,
        all: &[usize],
        scores: Scores,
    ) -> Result<Fitted, FeatureError> {
        let setting = self.choose(all)?;
        let readout = self.fit(all, setting)?;
        let voxels = self.parts(all).iter().map(|fold| fold.samples.classes.len()).sum();
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
    pub(super) fn recall(&self, readout: &Readout, classes: usize) -> Vec<Option<f64>> {
        let mut counts = vec![(0.0, 0.0); classes];
        for (found, &class) in self.predicted(readout).iter().zip(&self.samples.classes) {
            let (right, all) = &mut counts[usize::from(class)];
            *all += 1.0;
            *right += f64::from(u8::from(*found == class));
        }
        counts.into_iter().map(|(right, all)| (all > 0.0).then(|| right / all)).collect()
    }
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
pub(super) fn dice(
    predicted: &[u8],
    truth: &[u8],
    weights: &[f64],
    classes: usize,
) -> Vec<Option<f64>> {
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
