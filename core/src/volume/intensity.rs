//! Intensity rules: from scanner units, which MRI leaves arbitrary, to network input.

use serde::{Deserialize, Serialize};

use super::offset;

/// How voxel values become network input; named in a pack's preprocessing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum IntensityRule {
    /// The `low` and `high` percentiles (0-100) of the voxels above zero become
    /// 0 and 1; values outside are clipped.
    Percentile {
        /// Percentile that becomes 0.
        low: f64,
        /// Percentile that becomes 1.
        high: f64,
    },
    /// Non-zero voxels to mean 0 and standard deviation 1 (population); zeros stay 0.
    /// MONAI's `NormalizeIntensity(nonzero=True)`, which PRISM uses.
    ZscoreNonzero,
}

impl IntensityRule {
    /// Applies the rule in place. A volume without contrast becomes all zeros.
    pub fn apply(&self, data: &mut [f32]) {
        self.apply_as(data, |_| true);
    }

    /// Applies the rule in place, its statistics those of the voxels `inside` alone.
    pub fn apply_as(&self, data: &mut [f32], inside: impl Fn(usize) -> bool) {
        let within = |(at, value): (usize, &f32)| inside(at).then_some(*value);
        match *self {
            Self::Percentile { low, high } => {
                let mut positive: Vec<f32> =
                    data.iter().enumerate().filter_map(within).filter(|&v| v > 0.0).collect();
                let low = percentile(&mut positive, low);
                let high = percentile(&mut positive, high);
                let range = high - low;
                for value in data {
                    *value =
                        if range > 0.0 { ((*value - low) / range).clamp(0.0, 1.0) } else { 0.0 };
                }
            }
            Self::ZscoreNonzero => {
                let mut count = 0.0_f64;
                let mut sum = 0.0_f64;
                let some = || data.iter().enumerate().filter_map(within).filter(|&v| v != 0.0);
                for value in some() {
                    count += 1.0;
                    sum += f64::from(value);
                }
                let mean = sum / f64::max(count, 1.0);
                let squares: f64 = some().map(|v| (f64::from(v) - mean).powi(2)).sum();
                let deviation = (squares / f64::max(count, 1.0)).sqrt();
                let scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
                for value in data.iter_mut().filter(|v| **v != 0.0) {
                    *value = ((f64::from(*value) - mean) * scale) as f32;
                }
            }
        }
    }
}

/// Percentile (0-100) with linear interpolation between the two nearest ranks, as
/// numpy's default; 0 for no values. Reorders `values`.
pub fn percentile(values: &mut [f32], percent: f64) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let rank = (percent.clamp(0.0, 100.0) / 100.0) * (values.len() - 1) as f64;
    let below = rank.floor() as usize;
    let fraction = rank - below as f64;
    let (_, &mut first, above) = values.select_nth_unstable_by(below, f32::total_cmp);
    let second = above.iter().copied().min_by(f32::total_cmp).unwrap_or(first);
    (f64::from(first) + fraction * (f64::from(second) - f64::from(first))) as f32
}

/// Half-open box `[start, end)` of the voxels above `threshold`, enlarged by
/// `margin` voxels a side and clipped to the volume; the whole volume when no voxel
/// is above the threshold.
pub fn foreground_box(
    data: &[f32],
    dims: [usize; 3],
    threshold: f32,
    margin: usize,
) -> [(usize, usize); 3] {
    let mut low = dims;
    let mut high = [0; 3];
    for z in 0..dims[2] {
        for y in 0..dims[1] {
            let row = offset(dims, [0, y, z]);
            let row = &data[row..row + dims[0]];
            let Some(first) = row.iter().position(|&v| v > threshold) else { continue };
            let last = row.iter().rposition(|&v| v > threshold).unwrap_or(first);
            low = [low[0].min(first), low[1].min(y), low[2].min(z)];
            high = [high[0].max(last + 1), high[1].max(y + 1), high[2].max(z + 1)];
        }
    }
    if high[0] == 0 {
        return dims.map(|n| (0, n));
    }
    [0, 1, 2].map(|axis| (low[axis].saturating_sub(margin), (high[axis] + margin).min(dims[axis])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_can_be_those_of_a_part() {
        // Of 10, 20, 30: numpy.percentile gives 10 and 30 for 0 and 100.
        let mut data = [35.0, 10.0, 20.0, 30.0, 200.0];
        let rule = IntensityRule::Percentile { low: 0.0, high: 100.0 };
        rule.apply_as(&mut data, |at| (1..4).contains(&at));
        assert_eq!(data, [1.0, 0.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn percentile_interpolates_as_numpy() {
        // numpy.percentile([3, 1, 4, 1, 5, 9, 2, 6], [0, 10, 50, 99.5, 100])
        let values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        for (percent, expected) in
            [(0.0, 1.0), (10.0, 1.0), (50.0, 3.5), (99.5, 8.895), (100.0, 9.0)]
        {
            let actual = percentile(&mut values.to_vec(), percent);
            assert!((actual - expected).abs() < 1e-6, "{percent}: {actual}");
        }
    }

    #[test]
    fn zscore_leaves_zeros_and_standardises_the_rest() {
        let mut data = [0.0, 2.0, 4.0, 6.0, 0.0];
        IntensityRule::ZscoreNonzero.apply(&mut data);
        let expected = [0.0, -1.224_744_9, 0.0, 1.224_744_9, 0.0];
        for (value, expected) in data.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{data:?}");
        }
    }

    #[test]
    fn constant_volume_has_no_contrast() {
        let mut data = [7.0; 8];
        IntensityRule::Percentile { low: 0.5, high: 99.5 }.apply(&mut data);
        assert_eq!(data, [0.0; 8]);
    }

    #[test]
    fn box_is_enlarged_and_clipped() {
        let mut data = vec![0.0; 10 * 8 * 6];
        data[offset([10, 8, 6], [4, 1, 5])] = 1.0;
        assert_eq!(foreground_box(&data, [10, 8, 6], 0.1, 2), [(2, 7), (0, 4), (3, 6)]);
        assert_eq!(foreground_box(&data, [10, 8, 6], 2.0, 2), [(0, 10), (0, 8), (0, 6)]);
    }
}
