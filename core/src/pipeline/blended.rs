//! A feature map of a whole scan, added up window by window on the host.
//!
//! Windows weigh as in the segmentation ([`gaussian`]). They must start at multiples of the
//! map's stride ([`super::sliding::Windows::aligned`]), so that all share one grid.

use burn::tensor::Tensor;

use super::run::PipelineError;
use super::sliding::read;
use super::windows::gaussian;

/// Which axis is fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[channels, x, y, z]`.
    ChannelsFirst,
    /// `[x, y, z, channels]`.
    ChannelsLast,
}

/// Sums of a map.
pub(crate) struct Blended {
    /// Input voxels per voxel along each axis.
    stride: usize,
    channels: usize,
    dims: [usize; 3],
    layout: Layout,
    values: Vec<f32>,
    /// Sum of the windows' weights, a value a voxel; empty for a single window.
    weights: Vec<f32>,
}

impl Blended {
    /// Nothing yet; `dims` are the whole map's sides.
    pub(crate) const fn new(
        stride: usize,
        channels: usize,
        dims: [usize; 3],
        layout: Layout,
    ) -> Self {
        Self { stride, channels, dims, layout, values: Vec::new(), weights: Vec::new() }
    }

    /// Adds the map (`[1, channels, x, y, z]`) of the window that starts at this voxel of the
    /// network's input; `only` when there is no other.
    pub(crate) async fn add(
        &mut self,
        start: [usize; 3],
        map: Tensor<5>,
        only: bool,
    ) -> Result<(), PipelineError> {
        let [_, _, nx, ny, nz] = map.dims();
        let values = read(map).await?;
        self.add_values(start, [nx, ny, nz], &values, only);
        Ok(())
    }

    fn add_values(
        &mut self,
        start: [usize; 3],
        [nx, ny, nz]: [usize; 3],
        values: &[f32],
        only: bool,
    ) {
        let voxels = nx * ny * nz;
        let [_, sy, sz] = self.dims;
        let total = self.dims.iter().product::<usize>();
        self.values.resize(total * self.channels, 0.0);
        if !only {
            self.weights.resize(total, 0.0);
        }
        let weights = (!only).then(|| gaussian([nx, ny, nz]));
        let start = start.map(|place| place / self.stride);
        for voxel in 0..voxels {
            let [x, y, z] = [voxel / (ny * nz), voxel / nz % ny, voxel % nz];
            let at = ((start[0] + x) * sy + start[1] + y) * sz + start[2] + z;
            let weight = weights.as_ref().map_or(1.0, |weights| weights[voxel]);
            for channel in 0..self.channels {
                let target = match self.layout {
                    Layout::ChannelsFirst => channel * total + at,
                    Layout::ChannelsLast => at * self.channels + channel,
                };
                self.values[target] += weight * values[channel * voxels + voxel];
            }
            if !only {
                self.weights[at] += weight;
            }
        }
    }

    /// The map in its layout.
    pub(crate) fn finish(mut self) -> Vec<f32> {
        let total = self.weights.len();
        if total > 0 {
            for (at, value) in self.values.iter_mut().enumerate() {
                *value /= self.weights[match self.layout {
                    Layout::ChannelsFirst => at % total,
                    Layout::ChannelsLast => at / self.channels,
                }];
            }
        }
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two windows of 4 x 2 x 2 voxels at stride 2 over 6 x 2 x 2, both of channels
    /// `[first, first + 10]`.
    fn blended(layout: Layout, [first, second]: [f32; 2]) -> Vec<f32> {
        let mut map = Blended::new(2, 2, [6, 2, 2], layout);
        for (start, value) in [([0, 0, 0], first), ([4, 0, 0], second)] {
            let values: Vec<f32> =
                (0..32).map(|at| value + if at < 16 { 0.0 } else { 10.0 }).collect();
            map.add_values(start, [4, 2, 2], &values, false);
        }
        map.finish()
    }

    #[test]
    fn windows_that_agree_give_what_they_say() {
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            for (at, value) in blended(layout, [3.0, 3.0]).into_iter().enumerate() {
                let channel = if layout == Layout::ChannelsFirst { at / 24 } else { at % 2 };
                assert!((value - 3.0 - 10.0 * channel as f32).abs() < 1e-5, "{layout:?} {at}");
            }
        }
    }

    #[test]
    fn windows_that_differ_are_weighed_by_how_near_their_middle_is() {
        let values = blended(Layout::ChannelsFirst, [0.0, 1.0]);
        let along: Vec<f32> = (0..6).map(|x| values[4 * x]).collect();
        // Weights along x: exp(-0.5 * ((i - 1.5) / 0.5) ** 2) = 0.0111, 0.6065, 0.6065, 0.0111,
        // times exp(-2) for y and for z: 0.0002, which is cut off at 0.001, and 0.0111.
        for (value, expected) in along.iter().zip([0.0, 0.0, 0.082_583, 0.917_417, 1.0, 1.0]) {
            assert!((value - expected).abs() < 1e-5, "{along:?}");
        }
    }

    #[test]
    fn an_only_window_is_left_as_it_is() {
        let values: Vec<f32> = (0..32).map(|at| at as f32).collect();
        let mut map = Blended::new(2, 2, [4, 2, 2], Layout::ChannelsFirst);
        map.add_values([0; 3], [4, 2, 2], &values, true);
        assert_eq!(map.finish(), values);
    }
}
