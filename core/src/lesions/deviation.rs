//! How far a scan is from its rendering, in robust deviations of the neighbourhood.
//!
//! A decoder without skips blurs. So the scan is blurred first by as much as makes the two most
//! alike; greys are then mapped from the rendering to the scan by the best rising curve, so that
//! a window or a gamma is no difference; what is left is divided by its usual size around.

use crate::volume::neighbours::smoothed_along;
use crate::volume::percentile;

/// Gaussians that the scan is blurred by, standard deviations in mm, ascending. The rendering is
/// blurred by the first: below it there is the noise of the scan and the seams of windows.
const BLURS_MM: [f64; 6] = [2.0, 3.0, 4.0, 6.0, 8.0, 10.0];

/// Neighbourhood whose usual difference is the unit, standard deviation of a Gaussian in mm.
const LOCAL_MM: f64 = 12.0;

/// The unit is nowhere less than this share of that of the whole region.
const LEAST_SHARE: f64 = 0.5;

/// A difference counts for the unit with at most so many deviations of the whole region: what is
/// looked for must not raise what it is measured by.
const WINSOR: f64 = 3.0;

/// Steps of the curve of greys.
const STEPS: usize = 32;

/// Standard deviation of a Gaussian from its median absolute deviation, and from its mean one.
const OF_MEDIAN: f64 = 1.482_602_2;
const OF_MEAN: f64 = 1.253_314_1;

/// A scan against its rendering.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// Positive where the scan is brighter than its rendering; 0 outside the region.
    pub values: Vec<f32>,
    /// How far the scan was blurred, standard deviation in mm.
    pub blur_mm: f64,
    /// Correlation (Pearson) of the blurred scan with the rendering in the region.
    pub correlation: f64,
}

/// Compares a scan with its rendering inside a region; both `dims` voxels, x fastest.
pub fn deviation(
    scan: &[f32],
    rendering: &[f32],
    region: &[bool],
    (dims, spacing_mm): ([usize; 3], [f64; 3]),
) -> Deviation {
    let blurred = |data: &[f32], mm: f64| {
        (0..3).fold(data.to_vec(), |data, axis| {
            smoothed_along(&data, dims, axis, mm / spacing_mm[axis])
        })
    };
    let rendering = blurred(rendering, BLURS_MM[0]);
    let inside: Vec<usize> = (0..region.len()).filter(|&at| region[at]).collect();
    let mut best = (f64::NEG_INFINITY, BLURS_MM[0], Vec::new());
    for mm in BLURS_MM {
        let blurred = blurred(scan, mm);
        let alike = correlation(&blurred, &rendering, &inside);
        if alike > best.0 {
            best = (alike, mm, blurred);
        }
    }
    let (correlation, blur_mm, scan) = best;
    let curve = Curve::fit(&rendering, &scan, &inside);
    let mut values = vec![0.0; region.len()];
    for &at in &inside {
        values[at] = scan[at] - curve.at(rendering[at]);
    }
    let mut some: Vec<f32> = inside.iter().map(|&at| values[at]).collect();
    let middle = percentile(&mut some, 50.0);
    inside.iter().for_each(|&at| values[at] -= middle);
    let mut sizes: Vec<f32> = inside.iter().map(|&at| values[at].abs()).collect();
    let whole = OF_MEDIAN * f64::from(percentile(&mut sizes, 50.0));
    if whole <= 0.0 {
        values.fill(0.0);
        return Deviation { values, blur_mm, correlation };
    }
    // Mean of the neighbourhood inside the region alone (normalised convolution).
    let most = (WINSOR * whole) as f32;
    let sizes: Vec<f32> = values.iter().map(|value| value.abs().min(most)).collect();
    let counts: Vec<f32> = region.iter().map(|&inside| f32::from(inside)).collect();
    let (sizes, counts) = (blurred(&sizes, LOCAL_MM), blurred(&counts, LOCAL_MM));
    for &at in &inside {
        let around = OF_MEAN * f64::from(sizes[at]) / f64::from(counts[at]).max(1e-6);
        values[at] = (f64::from(values[at]) / around.max(LEAST_SHARE * whole)) as f32;
    }
    Deviation { values, blur_mm, correlation }
}

/// Pearson's correlation at some places; 0 where one of the two is constant.
fn correlation(a: &[f32], b: &[f32], inside: &[usize]) -> f64 {
    let count = inside.len().max(1) as f64;
    let mean = |data: &[f32]| inside.iter().map(|&at| f64::from(data[at])).sum::<f64>() / count;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for &at in inside {
        let (a, b) = (f64::from(a[at]) - mean_a, f64::from(b[at]) - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    let both = (aa * bb).sqrt();
    if both > 0.0 { ab / both } else { 0.0 }
}

/// A curve that never falls: medians of equally many pairs, made to rise by pooling adjacent
/// violators (Ayer et al., Ann. Math. Statist. 26, 1955), linear between them, level beyond.
struct Curve {
    points: Vec<(f32, f32)>,
}

impl Curve {
    /// From the greys of `from` to those of `to` at the same places.
    fn fit(from: &[f32], to: &[f32], inside: &[usize]) -> Self {
        let mut pairs: Vec<(f32, f32)> = inside.iter().map(|&at| (from[at], to[at])).collect();
        pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let median = |values: &mut dyn Iterator<Item = f32>| {
            let mut values: Vec<f32> = values.collect();
            percentile(&mut values, 50.0)
        };
        // Level, and how many medians it is the mean of.
        let mut levels: Vec<(f32, usize)> = Vec::new();
        let mut places = Vec::new();
        for part in pairs.chunks(pairs.len().div_ceil(STEPS).max(1)) {
            places.push(median(&mut part.iter().map(|pair| pair.0)));
            let mut level = (median(&mut part.iter().map(|pair| pair.1)), 1);
            while let Some(last) = levels.pop_if(|last| last.0 > level.0) {
                let count = last.1 + level.1;
                let sum = last.0 * last.1 as f32 + level.0 * level.1 as f32;
                level = (sum / count as f32, count);
            }
            levels.push(level);
        }
        let levels =
            levels.into_iter().flat_map(|(level, count)| core::iter::repeat_n(level, count));
        Self { points: places.into_iter().zip(levels).collect() }
    }

    fn at(&self, grey: f32) -> f32 {
        let after = self.points.partition_point(|point| point.0 <= grey);
        match (after.checked_sub(1).and_then(|at| self.points.get(at)), self.points.get(after)) {
            (Some(a), Some(b)) => a.1 + (b.1 - a.1) * (grey - a.0) / (b.0 - a.0),
            (Some(only), None) | (None, Some(only)) => only.1,
            (None, None) => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: [usize; 3] = [32, 32, 32];
    const GRID: ([usize; 3], [f64; 3]) = (DIMS, [2.0; 3]);

    /// Waves of 32 mm with a ball of 10 mm radius that is `brighter` around the middle.
    fn waves(brighter: f32) -> Vec<f32> {
        (0..32_768)
            .map(|at| {
                let place = [at % 32, at / 32 % 32, at / 1024].map(|v| v as f32);
                let far: f32 = place.iter().map(|v| (v - 16.0).powi(2)).sum();
                let wave: f32 = place.iter().map(|v| (v * core::f32::consts::PI / 8.0).sin()).sum();
                0.5 + 0.1 * wave + if far < 25.0 { brighter } else { 0.0 }
            })
            .collect()
    }

    /// Numbers in [-1, 1): splitmix64 of the index, its upper 24 bits.
    fn noise(at: usize) -> f32 {
        let z = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ z >> 31) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn blurred(data: &[f32], voxels: f64) -> Vec<f32> {
        (0..3).fold(data.to_vec(), |data, axis| smoothed_along(&data, DIMS, axis, voxels))
    }

    #[test]
    fn what_the_rendering_lacks_stands_out_and_the_rest_does_not() {
        // Blurred by 4 mm, in other greys, and without the ball.
        let rendering: Vec<f32> =
            blurred(&waves(0.0), 2.0).iter().map(|v| 0.2 + 0.5 * v.sqrt()).collect();
        let region = vec![true; 32_768];
        for (brighter, sign) in [(0.2, 1.0), (-0.2, -1.0)] {
            let scan: Vec<f32> =
                waves(brighter).iter().enumerate().map(|(at, v)| v + 0.05 * noise(at)).collect();
            let found = deviation(&scan, &rendering, &region, GRID);
            let middle = 16 + 32 * (16 + 32 * 16);
            assert!(sign * found.values[middle] > 5.0, "{}", found.values[middle]);
            let far: Vec<f32> = (0..32_768)
                .filter(|at| at % 32 < 4 || at % 32 > 28)
                .map(|at| found.values[at].abs())
                .collect();
            let beyond = far.iter().filter(|value| **value > 4.0).count();
            assert!(beyond * 100 < far.len(), "{beyond} of {}", far.len());
        }
    }

    #[test]
    fn a_scan_is_blurred_as_much_as_its_rendering() {
        // Two Gaussians make one: 4 mm and the 2 mm that every rendering gets.
        let fine: Vec<f32> = (0..32_768).map(noise).collect();
        let rough = blurred(&fine, 2.0);
        let found = deviation(&fine, &rough, &vec![true; 32_768], GRID);
        assert_eq!(found.blur_mm, 4.0);
        assert!(found.correlation > 0.98, "{}", found.correlation);
    }

    #[test]
    fn nothing_is_said_outside_the_region_and_of_a_scan_that_is_its_rendering() {
        let scan = waves(0.2);
        let mut region = vec![false; 32_768];
        region[5_000..20_000].fill(true);
        let found = deviation(&scan, &vec![0.5; 32_768], &region, GRID);
        assert!(found.values.iter().zip(&region).all(|(value, inside)| *inside || *value == 0.0));
        assert_eq!(found.correlation, 0.0);
        let none = deviation(&[0.3; 64], &[0.3; 64], &[true; 64], ([4; 3], [2.0; 3]));
        assert_eq!(none.values, [0.0; 64]);
        let nowhere = deviation(&scan, &scan, &vec![false; 32_768], GRID);
        assert!(nowhere.values.iter().all(|value| *value == 0.0));
    }

    #[test]
    fn the_curve_rises_and_pools_what_falls() {
        // sklearn.isotonic.IsotonicRegression().fit_transform(range(6), [1, 3, 2, 4, 3.5, 6]):
        // 1, 2.5, 2.5, 3.75, 3.75, 6.
        let from: Vec<f32> = (0..6).map(|v| v as f32).collect();
        let curve = Curve::fit(&from, &[1.0, 3.0, 2.0, 4.0, 3.5, 6.0], &[0, 1, 2, 3, 4, 5]);
        let levels: Vec<f32> = from.iter().map(|&grey| curve.at(grey)).collect();
        assert_eq!(levels, [1.0, 2.5, 2.5, 3.75, 3.75, 6.0]);
        assert_eq!([curve.at(-9.0), curve.at(4.5), curve.at(9.0)], [1.0, 4.875, 6.0]);
        assert_eq!(Curve::fit(&[], &[], &[]).at(1.0), 0.0);
    }
}
