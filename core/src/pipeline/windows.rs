//! Sliding windows with Gaussian blending, in bounded memory.
//!
//! MONAI's sliding-window inference keeps an accumulator of every class for the
//! whole volume. Here the starts and ends of the windows cut each axis into
//! intervals; a cell of the product grid is covered by the same windows throughout,
//! so it is finished, classified and forgotten as soon as its last window ran. And
//! since the head is linear, the features before it are blended, not the logits:
//! the same result with fewer channels.

/// Windows along one axis, and the intervals their ends cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// First voxel of each window.
    pub starts: Vec<usize>,
    /// Length of a window.
    pub window: usize,
    /// Interval boundaries, from 0 to the side.
    pub cuts: Vec<usize>,
}

impl Axis {
    /// Windows of `window` voxels over `side` voxels with the given overlap; the last
    /// one ends with the side. `window` is cut to the side.
    pub fn new(side: usize, window: usize, overlap: f64) -> Self {
        let window = window.min(side);
        let stride = ((window as f64 * (1.0 - overlap)).floor() as usize).clamp(1, window);
        let last = side - window;
        let mut starts: Vec<usize> = (0..).map(|i| i * stride).take_while(|&s| s < last).collect();
        starts.push(last);
        let mut cuts: Vec<usize> = starts.iter().flat_map(|&s| [s, s + window]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        Self { starts, window, cuts }
    }

    /// Intervals `[start, end)`.
    pub fn intervals(&self) -> impl Iterator<Item = (usize, usize)> {
        self.cuts.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// The intervals that window `index` covers.
    pub fn covered(&self, index: usize) -> impl Iterator<Item = usize> {
        let (start, end) = (self.starts[index], self.starts[index] + self.window);
        self.intervals()
            .enumerate()
            .filter(move |(_, (a, b))| *a >= start && *b <= end)
            .map(|(i, _)| i)
    }

    /// How many windows cover interval `index`.
    pub fn coverage(&self, index: usize) -> usize {
        let (a, b) = (self.cuts[index], self.cuts[index + 1]);
        self.starts.iter().filter(|&&s| a >= s && b <= s + self.window).count()
    }
}

/// Weight of each voxel of a window, last side fastest: MONAI's `compute_importance_map` with mode
/// `gaussian` and `sigma_scale` 0.125, the product of a Gaussian along each side, of standard
/// deviation an eighth of the side around the centre; the product is never below 1e-3. Rounded as
/// in `gaussian_window` of training/predict.py.
pub fn gaussian(window: [usize; 3]) -> Vec<f32> {
    let [x, y, z] = window.map(|side| {
        let (centre, sigma) = ((side as f64 - 1.0) / 2.0, 0.125 * side as f64);
        let along = |i: usize| (-0.5 * ((i as f64 - centre) / sigma).powi(2)).exp() as f32;
        (0..side).map(along).collect::<Vec<_>>()
    });
    let mut weights = Vec::with_capacity(x.len() * y.len() * z.len());
    for wx in &x {
        for wy in &y {
            let row = wx * wy;
            weights.extend(z.iter().map(|wz| (row * wz).max(1e-3)));
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_reach_both_ends() {
        // monai.inferers.utils.dense_patch_slices((112,), (48,), (24,)): 0, 24, 48, 64.
        let axis = Axis::new(112, 48, 0.5);
        assert_eq!(axis.starts, [0, 24, 48, 64]);
        assert_eq!(axis.cuts.first(), Some(&0));
        assert_eq!(axis.cuts.last(), Some(&112));
    }

    #[test]
    fn weights_are_those_of_monai() {
        // monai.data.utils.compute_importance_map((8, 8, 8), mode="gaussian", sigma_scale=0.125).
        let weights = gaussian([8, 8, 8]);
        for (place, expected) in [([3, 3, 3], 0.687_289), ([0, 3, 3], 0.001_703), ([0, 0, 3], 1e-3)]
        {
            let [x, y, z] = place;
            let weight = weights[(x * 8 + y) * 8 + z];
            assert!((weight - expected).abs() < 1e-6, "{place:?}: {weight}");
        }
    }

    #[test]
    fn one_window_where_it_fits() {
        let axis = Axis::new(40, 96, 0.5);
        assert_eq!((axis.starts.as_slice(), axis.window), ([0].as_slice(), 40));
        assert_eq!(axis.intervals().collect::<Vec<_>>(), [(0, 40)]);
    }

    #[test]
    fn every_interval_is_covered_by_whole_windows() {
        for (side, window, overlap) in
            [(112, 48, 0.5), (100, 32, 0.25), (97, 48, 0.3), (64, 64, 0.5)]
        {
            let axis = Axis::new(side, window, overlap);
            let mut counts = vec![0; axis.cuts.len() - 1];
            for window in 0..axis.starts.len() {
                axis.covered(window).for_each(|interval| counts[interval] += 1);
            }
            for (interval, &count) in counts.iter().enumerate() {
                assert!(count > 0);
                assert_eq!(count, axis.coverage(interval));
            }
        }
    }
}
