//! Whether two scans fit once they are aligned.

use serde::{Deserialize, Serialize};

use super::grid::{MOST_CHANNELS, corners};
use super::warp::{Transform, outside};
use super::{RegistrationError, Source, Subject};
use crate::kernels::cpu::for_each;

/// Mean Dice below which an alignment has failed. Of 56 pairs of heads with hand-drawn
/// structures, all have more than 0.65 after the affine part alone
/// (training/results/registration.json); the structures of one such head moved by 10 mm
/// have 0.25 to 0.33 with themselves, upside down 0.16.
const LEAST_DICE: f64 = 0.45;

/// Correlation below which an alignment has failed. Of MIND-SSC after an affine part alone
/// (SimpleITK's, by mutual information): three heads onto the MNI atlas 0.30 to 0.58, two
/// without skull onto one with it 0.19 and 0.25; the first of these moved by 20 mm 0.15, by
/// 40 mm 0.07; two hearts onto the atlas and onto a head -0.01 to 0.05. For components of an
/// encoder and for greys it was not measured and is taken over.
const LEAST_CORRELATION: f64 = 0.1;

/// A probability above this is a structure.
const PRESENT: f32 = 0.5;

/// What an agreement counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Mean Dice of the structures that the network finds in both scans; 0 without any.
    Dice,
    /// Correlation of the features, the channels' covariances and variances added up.
    Correlation,
}

/// How well two aligned scans fit, over what is aligned of the fixed one and lies in the
/// moving one's field of view.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// What is counted.
    pub measure: Measure,
    /// Its value, at most 1.
    pub value: f64,
}

impl Agreement {
    /// Whether the alignment has failed.
    pub fn failed(self) -> bool {
        self.value.is_nan() || self.value < self.least()
    }

    /// The value below which an alignment has failed.
    pub const fn least(self) -> f64 {
        match self.measure {
            Measure::Dice => LEAST_DICE,
            Measure::Correlation => LEAST_CORRELATION,
        }
    }

    /// The value in words, without a full stop.
    pub fn words(self) -> String {
        match self.measure {
            Measure::Dice => {
                format!("structures overlap by {:.0} % (mean Dice)", 100.0 * self.value)
            }
            Measure::Correlation => format!("features correlate by {:.2}", self.value),
        }
    }

    /// What is to be said of a failed alignment, without a full stop.
    pub fn warning(self) -> Option<String> {
        self.failed().then(|| {
            let least = match self.measure {
                Measure::Dice => format!("{:.0} %", 100.0 * self.least()),
                Measure::Correlation => format!("{:.2}", self.least()),
            };
            format!(
                "the alignment has probably failed: once aligned, the {}, and {least} is the least \
                 for scans that show the same; look at both before anything is read from them",
                self.words()
            )
        })
    }
}

/// Sums over voxels of one channel: of 1, of the fixed and the moving values, of their squares,
/// of their products. Of structures, whose values are 0 or 1, their counts.
type Sums = [f64; 6];

/// The agreement of two subjects under a transform.
///
/// # Errors
/// [`RegistrationError`] for grids that lie nowhere.
pub(super) fn measured(
    fixed: &Subject,
    moving: &Subject,
    transform: &Transform,
) -> Result<Agreement, RegistrationError> {
    let mapper = transform.mapper()?;
    let (grid, other) = (&fixed.features, &moving.features);
    let to_voxel = other.affine.inverse()?;
    let counted = if fixed.structures > 0 { fixed.structures } else { grid.channels };
    let structures = fixed.source == Source::Network;
    let [nx, ny, nz] = grid.dims;
    let mut slabs: Vec<Vec<Sums>> = vec![vec![[0.0; 6]; counted]; nz];
    for_each(slabs.iter_mut().enumerate().collect(), |(z, sums): (usize, &mut Vec<Sums>)| {
        let mut buffer = [0.0_f32; MOST_CHANNELS];
        let there = &mut buffer[..grid.channels];
        for at in 0..nx * ny {
            let voxel = z * nx * ny + at;
            if !grid.mask[voxel] {
                continue;
            }
            let point = grid.affine.apply([at % nx, at / nx, z].map(|v| v as f64));
            let place = to_voxel.apply(mapper.apply(point));
            if outside(place, other.dims) {
                continue;
            }
            other.read(&corners(other.dims, place.map(|v| v as f32)), there);
            for ((sum, &a), &b) in sums.iter_mut().zip(grid.at(voxel)).zip(there.iter()) {
                let value = |v: f32| match structures {
                    true => f64::from(u8::from(v > PRESENT)),
                    false => f64::from(v),
                };
                let (a, b) = (value(a), value(b));
                let terms = [1.0, a, b, a * a, b * b, a * b];
                sum.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            }
        }
    });
    let mut sums: Vec<Sums> = vec![[0.0; 6]; counted];
    for slab in &slabs {
        for (sum, more) in sums.iter_mut().zip(slab) {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }
    Ok(if structures {
        Agreement { measure: Measure::Dice, value: mean_dice(&sums) }
    } else {
        Agreement { measure: Measure::Correlation, value: correlation(&sums) }
    })
}

/// Mean Dice of the channels but the first, the background, that both scans have.
fn mean_dice(sums: &[Sums]) -> f64 {
    let both = sums.iter().skip(1).filter(|[_, a, b, ..]| *a > 0.0 && *b > 0.0);
    let dice: Vec<f64> = both.map(|&[_, a, b, _, _, common]| 2.0 * common / (a + b)).collect();
    dice.iter().sum::<f64>() / dice.len().max(1) as f64
}

/// Sum of the channels' covariances over the root of the product of their summed variances.
fn correlation(sums: &[Sums]) -> f64 {
    let total = sums.iter().fold([0.0_f64; 3], |total, &[count, a, b, aa, bb, ab]| {
        let count = f64::max(count, 1.0);
        [
            total[0] + aa - a * a / count,
            total[1] + bb - b * b / count,
            total[2] + ab - a * b / count,
        ]
    });
    let [first, second, both] = total;
    if first > 0.0 && second > 0.0 { both / (first * second).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::grid::{FeatureGrid, LANES};
    use super::*;
    use crate::volume::{Affine, Volume};

    /// Bars of two structures on a line of 40 voxels of 2 mm.
    fn subject(source: Source) -> Subject {
        let (dims, affine) = ([40, 1, 1], Affine::from_spacing([2.0; 3]));
        let mut values = vec![0.0; 40 * LANES];
        for (at, row) in values.chunks_exact_mut(LANES).enumerate() {
            let channel = match at {
                8..16 => 1,
                20..30 => 2,
                _ => 0,
            };
            row[channel] = 1.0;
        }
        let mask = vec![true; 40];
        let features = FeatureGrid { values, channels: LANES, dims, affine, mask };
        let intensity = Volume { data: vec![0.0; 40], dims, affine };
        Subject { source, features, structures: 3, intensity, landmarks: Vec::new() }
    }

    fn shifted(source: Source, voxels: f64) -> Agreement {
        let mut affine = Affine::IDENTITY;
        affine.0[0][3] = 2.0 * voxels;
        let transform = Transform { affine, deformation: None };
        let found = measured(&subject(source), &subject(source), &transform);
        let Ok(found) = found else { unreachable!("lies somewhere") };
        found
    }

    #[test]
    fn dice_is_that_of_what_lies_on_each_other() {
        assert_eq!(shifted(Source::Network, 0.0).value, 1.0);
        // Two voxels further on: 6 of 8 and 8 of 10 are common.
        let moved = shifted(Source::Network, 2.0);
        assert_eq!(moved.measure, Measure::Dice);
        assert!((moved.value - 0.5 * (0.75 + 0.8)).abs() < 1e-9, "{moved:?}");
        assert!(!moved.failed() && moved.warning().is_none());
        let apart = shifted(Source::Network, 9.0);
        assert!(apart.failed(), "{apart:?}");
        assert!(apart.warning().expect("a warning").contains("probably failed"));
    }

    #[test]
    fn correlation_is_that_of_numpy() {
        assert!((shifted(Source::Encoder, 0.0).value - 1.0).abs() < 1e-9);
        // numpy: bars (40 x 3); x, y = bars[:38], bars[2:]; a, b = x - x.mean(0), y - y.mean(0);
        // (a * b).sum() / sqrt((a * a).sum() * (b * b).sum())
        let moved = shifted(Source::Encoder, 2.0);
        assert_eq!(moved.measure, Measure::Correlation);
        assert!((moved.value - 0.654_545).abs() < 1e-5, "{moved:?}");
    }
}
