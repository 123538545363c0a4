//! Borders between the brain's tissues, decided by the scan's own intensities.
//!
//! The network sees a coarser grid than most scans have, and its borders are smooth. On
//! the scan's grid a mixture model knows better: one Gaussian per tissue, fitted to this
//! scan by expectation-maximisation with the network's probabilities as prior (as in
//! Ashburner and Friston, Unified segmentation, NeuroImage 2005), so it holds for any
//! contrast. Only white matter, cortex and fluid are decided so: deep structures differ
//! too little from their surroundings, the network knows them better.

use crate::volume::LabelTable;

const TISSUES: usize = 12;

/// FreeSurfer ids that look alike in a scan, each row with a Gaussian of its own.
const IDS: [&[u16]; TISSUES] = [
    &[2, 41],
    &[3, 42],
    &[17, 18, 53, 54],
    &[11, 26, 50, 58],
    &[12, 51],
    &[13, 52],
    &[10, 49],
    &[28, 60],
    &[16],
    &[8, 47],
    &[7, 46],
    &[4, 5, 14, 15, 24, 43, 44],
];
const WHITE_MATTER: usize = 0;
const CORTEX: usize = 1;

/// Rows of [`IDS`] whose borders the intensities decide: white matter, cortex,
/// cerebellum, fluid.
const DECIDED: [usize; 5] = [WHITE_MATTER, CORTEX, 9, 10, 11];

/// A smoothed belief taken whole would outvote the intensities.
const PRIOR_EXPONENT: f32 = 0.7;
/// Added to a probability: no class is impossible.
const FLOOR: f32 = 1e-5;
/// Least standard deviation of a tissue, in parts of the scan's range.
const LEAST_SPREAD: f64 = 0.02;
/// A likelihood is at most `exp` of this below the best one.
const FURTHEST: f32 = 8.0;
/// Background fits every intensity, `exp` of this worse than the best tissue.
const BACKGROUND: f32 = -1.0;
const ROUNDS: usize = 5;

/// Which tissue the classes of a pack belong to.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct Tissues {
    /// By class; none for background.
    of: Vec<Option<usize>>,
}

/// What a voxel adds to the fit.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline) struct Sample {
    grey: f32,
    /// Probability of each tissue.
    prior: [f32; TISSUES],
    /// Sum of its classes' powered probabilities, and background's.
    powered: [f32; TISSUES],
    background: f32,
}

/// The mixture, fitted to a scan.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct Mixture {
    tissues: Tissues,
    mean: [f32; TISSUES],
    spread: [f32; TISSUES],
}

fn powered(probability: f32) -> f32 {
    (probability + FLOOR).powf(PRIOR_EXPONENT)
}

impl Tissues {
    /// `None` where the labels are not those of a whole brain: a class without a tissue
    /// or a tissue without a class.
    pub(in crate::pipeline) fn of(labels: &LabelTable) -> Option<Self> {
        let last = labels.labels.iter().map(|label| usize::from(label.index)).max()?;
        let mut of = vec![None; last + 1];
        for label in &labels.labels {
            let tissue = IDS.iter().position(|ids| ids.contains(&label.id))?;
            of[usize::from(label.index)] = Some(tissue);
        }
        (0..TISSUES).all(|tissue| of.contains(&Some(tissue))).then_some(Self { of })
    }

    /// A voxel's normalised intensity and the probability of each class.
    pub(in crate::pipeline) fn sample(&self, grey: f32, probabilities: &[f32]) -> Sample {
        let mut sample = Sample {
            grey,
            prior: [0.0; TISSUES],
            powered: [0.0; TISSUES],
            background: powered(probabilities[0]),
        };
        for (&tissue, &probability) in self.of.iter().zip(probabilities) {
            if let Some(tissue) = tissue {
                sample.prior[tissue] += probability;
                sample.powered[tissue] += powered(probability);
            }
        }
        sample
    }

    /// Fits the Gaussians. `None` where the scan does not tell white matter from cortex:
    /// their means then differ by less than a standard deviation.
    pub(in crate::pipeline) fn fit(self, samples: &[Sample]) -> Option<Mixture> {
        let mut mixture = Mixture { tissues: self, mean: [0.0; TISSUES], spread: [0.0; TISSUES] };
        mixture.update(samples, |sample| sample.prior);
        for _ in 1..ROUNDS {
            let last = mixture.clone();
            mixture.update(samples, |sample| last.belief(sample));
        }
        let [white, cortex] = [WHITE_MATTER, CORTEX].map(|t| (mixture.mean[t], mixture.spread[t]));
        ((white.0 - cortex.0).abs() > 0.5 * (white.1 + cortex.1)).then_some(mixture)
    }
}

impl Mixture {
    /// Mean and deviation of every tissue, each voxel weighted by its squared belief: those
    /// at borders count little.
    fn update(&mut self, samples: &[Sample], belief: impl Fn(&Sample) -> [f32; TISSUES]) {
        // Weight, weighted intensity, weighted squared intensity.
        let mut sums = [[0.0_f64; 3]; TISSUES];
        for sample in samples {
            let grey = f64::from(sample.grey);
            for (sum, belief) in sums.iter_mut().zip(belief(sample)) {
                let weight = f64::from(belief).powi(2);
                sum[0] += weight;
                sum[1] += weight * grey;
                sum[2] += weight * grey * grey;
            }
        }
        for (tissue, [weight, grey, square]) in sums.into_iter().enumerate() {
            let total = weight + 1e-6;
            let mean = grey / total;
            let variance = (square - 2.0 * mean * grey + mean * mean * weight) / total;
            self.mean[tissue] = mean as f32;
            self.spread[tissue] = (variance.max(0.0).sqrt() + LEAST_SPREAD) as f32;
        }
    }

    /// Log likelihood of an intensity in every tissue, and in background.
    fn likelihood(&self, grey: f32) -> ([f32; TISSUES], f32) {
        let mut values: [f32; TISSUES] = core::array::from_fn(|tissue| {
            let distance = (grey - self.mean[tissue]) / self.spread[tissue];
            -0.5 * distance * distance - self.spread[tissue].ln()
        });
        let best = values.iter().copied().fold(f32::MIN, f32::max);
        values.iter_mut().for_each(|value| *value = value.max(best - FURTHEST));
        (values, best + BACKGROUND)
    }

    /// Probability of every tissue, given the intensity.
    fn belief(&self, sample: &Sample) -> [f32; TISSUES] {
        let (likelihood, background) = self.likelihood(sample.grey);
        // By the background's, so that nothing over- or underflows.
        let mut belief: [f32; TISSUES] = core::array::from_fn(|tissue| {
            sample.powered[tissue] * (likelihood[tissue] - background).exp()
        });
        let total = sample.background + belief.iter().sum::<f32>();
        belief.iter_mut().for_each(|value| *value /= total);
        belief
    }

    /// The class at a voxel: the network's own, unless that is a tissue which intensities
    /// decide; then the most probable of these and background.
    pub(in crate::pipeline) fn decide(&self, grey: f32, probabilities: &[f32]) -> u8 {
        let of = &self.tissues.of;
        let tissue = |class: usize| of.get(class).copied().flatten();
        let decided = |class: usize| tissue(class).filter(|tissue| DECIDED.contains(tissue));
        let own = most(probabilities.iter().copied());
        if decided(own).is_none() {
            return own as u8;
        }
        let (likelihood, background) = self.likelihood(grey);
        let scores = probabilities.iter().enumerate().map(|(class, &probability)| {
            let likelihood = match decided(class) {
                Some(tissue) => likelihood[tissue],
                None if class == 0 => background,
                None => return f32::NEG_INFINITY,
            };
            PRIOR_EXPONENT * (probability + FLOOR).ln() + likelihood
        });
        most(scores) as u8
    }
}

/// Where the first of the largest values is.
fn most(values: impl Iterator<Item = f32>) -> usize {
    let better = |best: (usize, f32), next: (usize, f32)| if next.1 > best.1 { next } else { best };
    values.enumerate().fold((0, f32::NEG_INFINITY), better).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Label;

    const CLASSES: usize = 14;
    const VOXELS: usize = 420;

    /// One class a tissue, and the second white matter.
    fn tissues() -> Tissues {
        let ids = [2, 3, 17, 11, 12, 13, 10, 28, 16, 8, 7, 4, 41];
        let label = |(index, id): (u8, u16)| Label {
            index,
            id,
            name: format!("structure {id}"),
            color: [0; 3],
            side: None,
            pair: None,
        };
        Tissues::of(&LabelTable { labels: (1..).zip(ids).map(label).collect() }).unwrap()
    }

    fn class_at(voxel: usize) -> usize {
        voxel * 5 % 13 + 1
    }

    fn prior(voxel: usize) -> Vec<f32> {
        let raw = |class: usize| {
            let sure = if class == class_at(voxel) { 40 } else { 0 };
            (1 + (class * 7 + voxel * 3) % 5 + sure) as f32
        };
        let total: f32 = (0..CLASSES).map(raw).sum();
        (0..CLASSES).map(|class| raw(class) / total).collect()
    }

    fn samples(level: impl Fn(usize) -> f32) -> Vec<Sample> {
        let tissues = tissues();
        let noise = |voxel: usize| 0.02 * ((voxel * 7 % 11) as f32 - 5.0);
        (0..VOXELS)
            .map(|voxel| tissues.sample(level(class_at(voxel)) + noise(voxel), &prior(voxel)))
            .collect()
    }

    fn fitted() -> Mixture {
        let levels =
            [0.0, 0.75, 0.5, 0.5, 0.55, 0.6, 0.7, 0.62, 0.68, 0.72, 0.45, 0.74, 0.15, 0.75];
        tissues().fit(&samples(|class| levels[class])).unwrap()
    }

    #[test]
    fn gaussians_are_those_of_the_training_code() {
        // gaussians() of training/self_training.py in numpy, prior exponent .7, same arrays.
        let mean = [
            0.77382, 0.47564, 0.4817, 0.53904, 0.59119, 0.70052, 0.61076, 0.67712, 0.73355,
            0.41993, 0.76588, 0.15191,
        ];
        let spread = [
            0.07364, 0.07275, 0.074, 0.07212, 0.07264, 0.07563, 0.07267, 0.07388, 0.0782, 0.0724,
            0.07485, 0.08222,
        ];
        let mixture = fitted();
        for (mine, numpy) in mixture.mean.iter().zip(mean).chain(mixture.spread.iter().zip(spread))
        {
            assert!((mine - numpy).abs() < 2e-5, "{mine} {numpy}");
        }
    }

    #[test]
    fn decisions_are_those_of_the_training_code() {
        // Intensity, probabilities of some classes, class by posterior() of the same file with
        // only white matter, cortex, cerebellum, fluid and background allowed.
        type Case<'a> = (f32, &'a [(usize, f32)], u8);
        let cases: [Case; 8] = [
            (0.75, &[(2, 0.5), (1, 0.45)], 1),
            (0.2, &[(2, 0.5), (1, 0.3), (12, 0.15)], 12),
            (0.75, &[(3, 0.5), (1, 0.45)], 3),
            (0.55, &[(1, 0.5), (2, 0.3)], 2),
            (0.75, &[(0, 0.6), (1, 0.35)], 0),
            (0.3, &[(2, 0.45), (0, 0.44), (12, 0.05)], 0),
            (0.74, &[(2, 0.55), (13, 0.3), (1, 0.1)], 13),
            (0.62, &[(2, 0.5), (1, 0.45)], 2),
        ];
        let mixture = fitted();
        for (grey, some, class) in cases {
            let mut probabilities = [0.002; CLASSES];
            some.iter().for_each(|&(class, value)| probabilities[class] = value);
            let total: f32 = probabilities.iter().sum();
            probabilities.iter_mut().for_each(|value| *value /= total);
            assert_eq!(mixture.decide(grey, &probabilities), class, "{grey} {some:?}");
        }
    }

    #[test]
    fn a_scan_without_contrast_fits_no_mixture() {
        assert!(tissues().fit(&samples(|_| 0.5)).is_none());
    }

    #[test]
    fn other_labels_have_no_tissues() {
        assert!(Tissues::of(&LabelTable::default()).is_none());
    }
}
