//! Moments and quantiles in one pass, without a copy of the voxels.

/// Count, mean and variance of a stream of values.
///
/// Sums are taken relative to the first value, which keeps the variance accurate when
/// the mean is large against the deviation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    pub(super) count: u64,
    shift: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    pub(super) fn push(&mut self, value: f64) {
        if self.count == 0 {
            self.shift = value;
        }
        let centred = value - self.shift;
        self.count += 1;
        self.sum += centred;
        self.squares += centred * centred;
    }

    /// Adds `count` zeros.
    pub(super) fn push_zeros(&mut self, count: u64) {
        let n = count as f64;
        self.count += count;
        self.sum -= n * self.shift;
        self.squares += n * self.shift * self.shift;
    }

    /// Mean; 0 for no values.
    pub(super) fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.shift + self.sum / self.count as f64 }
    }

    /// Sample standard deviation (denominator n - 1); 0 below two values.
    pub(super) fn deviation(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        let n = self.count as f64;
        ((self.squares - self.sum * self.sum / n).max(0.0) / (n - 1.0)).sqrt()
    }

    /// Mean of the squared values.
    pub(super) fn energy(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let n = self.count as f64;
        self.shift * self.shift + 2.0 * self.shift * self.sum / n + self.squares / n
    }
}

/// Bits of an `f32` that number its bin: 8 of exponent, 11 of mantissa.
const KEY_SHIFT: u32 = 12;
const BINS: usize = 1 << 19;

/// Histogram of values >= 0 whose bins are 0.05 % wide at any scale (the upper bits of
/// the `f32`), so that one bright vessel does not coarsen it.
pub(super) struct Histogram {
    counts: Vec<u32>,
    total: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; BINS], total: 0 }
    }

    /// Counts a value; negative and non-finite ones are left out.
    pub(super) fn push(&mut self, value: f32) {
        if value >= 0.0 && value.is_finite() {
            // `abs` turns -0.0 into 0.0, whose sign bit would leave the table.
            self.counts[(value.abs().to_bits() >> KEY_SHIFT) as usize] += 1;
            self.total += 1;
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    fn lower(bin: usize) -> f64 {
        f64::from(f32::from_bits((bin as u32) << KEY_SHIFT))
    }

    /// Value below which a share `q` (0 to 1) of the values at or above `from` lies,
    /// to 0.05 %; `None` for no such values. Within a bin the lower edge is returned,
    /// which is exact for whole numbers up to 4096.
    pub(super) fn quantile_from(&self, from: f64, q: f64) -> Option<f64> {
        let first = ((from.max(0.0) as f32).to_bits() >> KEY_SHIFT) as usize;
        let total: u64 = self.counts[first..].iter().map(|&c| u64::from(c)).sum();
        if total == 0 {
            return None;
        }
        let rank = (q.clamp(0.0, 1.0) * (total - 1) as f64).round() as u64;
        let mut below = 0;
        for (bin, &count) in self.counts.iter().enumerate().skip(first) {
            below += u64::from(count);
            if below > rank {
                return Some(Self::lower(bin));
            }
        }
        None
    }

    /// Median of all values.
    pub(super) fn median(&self) -> Option<f64> {
        self.quantile_from(0.0, 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_match_numpy() {
        // x = np.array([1003., 1001., 1004., 1001., 1005.])
        // x.mean() = 1002.8, x.std(ddof=1) = 1.7888543819998317, (x**2).mean() = 1005610.4
        let mut moments = Moments::default();
        for value in [1003.0, 1001.0, 1004.0, 1001.0, 1005.0] {
            moments.push(value);
        }
        assert!((moments.mean() - 1002.8).abs() < 1e-9);
        assert!((moments.deviation() - 1.788_854_381_999_831_7).abs() < 1e-9);
        assert!((moments.energy() - 1_005_610.4).abs() < 1e-6);
    }

    #[test]
    fn quantiles_are_exact_for_whole_numbers() {
        let mut histogram = Histogram::new();
        for value in 0..=100 {
            histogram.push(value as f32);
        }
        histogram.push(-1.0);
        histogram.push(f32::NAN);
        assert_eq!(histogram.total(), 101);
        assert_eq!(histogram.median(), Some(50.0));
        assert_eq!(histogram.quantile_from(0.0, 0.9), Some(90.0));
        // np.median(np.arange(60, 101)) = 80
        assert_eq!(histogram.quantile_from(60.0, 0.5), Some(80.0));
        assert_eq!(Histogram::new().median(), None);
    }
}
