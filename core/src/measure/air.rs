//! Intensities of the air around the head.
//!
//! Exact zeros are a trap: in scans with decimals or fine steps they are filled in
//! (unwarping, defacing) and say nothing of noise, so they are left out; in scans that
//! were stored in steps as coarse as the noise they are rounded noise and belong to
//! it. There, the rounding's own variance (a twelfth of the squared step, Sheppard's
//! correction) is taken off.

use super::background::Background;
use super::statistics::{Histogram, Moments};
use crate::volume::Volume;

/// Fewest voxels from which noise is estimated.
pub(super) const FEWEST_AIR_VOXELS: u64 = 1000;
/// Share of air in its lowest value from which that value is a step of rounding.
const STEP_SHARE: f64 = 0.01;
/// Median of the air in steps below which the steps are coarse.
const COARSE_STEPS: f64 = 3.0;
/// Median of Rayleigh noise of scale 1: sqrt(2 ln 2).
const RAYLEIGH_MEDIAN: f64 = 1.177_410_022_515_474_7;

/// Noise of the air.
pub(super) struct Air {
    /// Voxels it was taken from.
    pub(super) count: u64,
    /// Mean intensity.
    pub(super) mean: f64,
    /// Standard deviation (n - 1), without that of rounding.
    pub(super) deviation: f64,
    /// Mean squared intensity, without that of rounding.
    pub(super) energy: f64,
    /// Median; for coarse steps that of Rayleigh noise of the same energy.
    pub(super) median: f64,
    /// Whether zeros count as noise.
    zeros: bool,
}

impl Air {
    /// Whether a value in the air is noise.
    pub(super) fn takes(&self, value: f64) -> bool {
        value > 0.0 || (self.zeros && value == 0.0)
    }

    /// Noise of a scan whose air is known.
    ///
    /// # Errors
    /// Why the air holds no noise that can be measured, as a clause.
    pub(super) fn of(volume: &Volume, background: &Background) -> Result<Self, String> {
        let mut moments = Moments::default();
        let mut histogram = Histogram::new();
        let mut zeros = 0;
        let (mut least, mut at_least) = (f32::INFINITY, 0_u64);
        for (at, &value) in volume.data.iter().enumerate() {
            if !value.is_finite() || value < 0.0 || !background.is_air(at) {
                continue;
            }
            if value == 0.0 {
                zeros += 1;
                continue;
            }
            moments.push(f64::from(value));
            histogram.push(value);
            if value < least {
                (least, at_least) = (value, 0);
            }
            at_least += u64::from(value == least);
        }
        let Some(median) = histogram.median().filter(|_| moments.count >= FEWEST_AIR_VOXELS) else {
            return Err(
                "no background: fewer than a thousand voxels of air with a value above zero".into(),
            );
        };
        let step = f64::from(least);
        let stepped = at_least as f64 > STEP_SHARE * moments.count as f64;
        if !stepped || median >= COARSE_STEPS * step {
            return Ok(Self {
                count: moments.count,
                mean: moments.mean(),
                deviation: moments.deviation(),
                energy: moments.energy(),
                median,
                zeros: false,
            });
        }
        // Rounded Rayleigh noise has more ones than zeros from half a step on.
        if zeros > at_least {
            return Err("the background is mostly zero: its noise is smaller than the steps in \
                        which the scan was stored"
                .into());
        }
        moments.push_zeros(zeros);
        let rounding = step * step / 12.0;
        let energy = moments.energy() - rounding;
        Ok(Self {
            count: moments.count,
            mean: moments.mean(),
            deviation: (moments.deviation().powi(2) - rounding).max(0.0).sqrt(),
            energy,
            median: (energy / 2.0).sqrt() * RAYLEIGH_MEDIAN,
            zeros: true,
        })
    }
}
