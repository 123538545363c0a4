//! Labels between the network's voxels, decided by its features.
//!
//! Where the eight voxels around a point of the scan agree, so does any average of
//! their logits. Where they differ, the features are interpolated at the point and
//! classified: the head is linear, so this interpolates the logits of every class,
//! for a fraction of the voxels.
//!
//! What comes back from the device is a class a point ([`Refine::classes`]), or, where the
//! scan's intensities have a say, the probability of every class ([`Refine::probabilities`]):
//! 4 bytes a class, 1 MiB a piece of [`POINTS`] with the brain's 33. The logits of the grid
//! are read back in neither case.

use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor, TensorData};

use super::Between;
use crate::model::heads::SegmentationHead;

/// Points at a time: with sixteen channels their eight neighbours are 4 MiB, which stay
/// in a CPU's cache (a third faster than 32 MiB) and keep a GPU's submissions short.
const POINTS: usize = 1 << 13;

/// Classifies points between voxels.
pub(in crate::pipeline) struct Refine<'a> {
    head: &'a SegmentationHead,
    /// `[voxels, channels]`: a voxel's features lie together.
    features: Tensor<2>,
    dims: [usize; 3],
}

impl<'a> Refine<'a> {
    /// From full-resolution features `[1, channels, x, y, z]`.
    pub(in crate::pipeline) fn new(head: &'a SegmentationHead, features: Tensor<5>) -> Self {
        let [_, channels, x, y, z] = features.dims();
        let voxels = x * y * z;
        // Through one axis, so that the order is true in memory once and for all pieces.
        let features = features.reshape([channels, voxels]).transpose();
        let features = features.reshape([voxels * channels]).reshape([voxels, channels]);
        Self { head, features, dims: [x, y, z] }
    }

    /// The points (target voxels) in pieces of a size the device can take.
    pub(in crate::pipeline) fn pieces(points: &[u32]) -> core::slice::Chunks<'_, u32> {
        points.chunks(POINTS)
    }

    /// Most likely class at each point: `[1, 1, points, 1, 1]`. `shift` goes from the
    /// source grid of `between` to the features' grid; beyond their ends the nearest counts.
    pub(in crate::pipeline) fn classes(
        &self,
        points: &[u32],
        between: &Between,
        shift: [isize; 3],
    ) -> Vec<Tensor<5, Int>> {
        self.head.classes(&self.features_at(points, between, shift))
    }

    /// Probability of each class at each point: `[1, points, classes, 1, 1]`; see
    /// [`Self::classes`].
    pub(in crate::pipeline) fn probabilities(
        &self,
        points: &[u32],
        between: &Between,
        shift: [isize; 3],
    ) -> Tensor<5> {
        let logits = self.head.logits(self.features_at(points, between, shift));
        softmax(logits.swap_dims(1, 2), 2)
    }

    /// `[1, channels, points, 1, 1]`
    fn features_at(&self, points: &[u32], between: &Between, shift: [isize; 3]) -> Tensor<5> {
        let device = self.features.device();
        let [_, ny, nz] = self.dims;
        let mut places = Vec::with_capacity(8 * points.len());
        let mut weights = Vec::with_capacity(8 * points.len());
        for &point in points {
            for (voxel, weight) in between.corners(point as usize) {
                let [x, y, z] = [0, 1, 2].map(|axis| {
                    voxel[axis].saturating_add_signed(shift[axis]).min(self.dims[axis] - 1)
                });
                places.push(((x * ny + y) * nz + z) as i32);
                weights.push(weight);
            }
        }
        let count = points.len();
        let channels = self.features.dims()[1];
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [8 * count]), &device);
        let weights = Tensor::<3>::from_data(TensorData::new(weights, [count, 8, 1]), &device);
        let around = self.features.clone().select(0, places).reshape([count, 8, channels]);
        let between = (around * weights).sum_dim(1).reshape([count, channels]);
        between.transpose().reshape([1, channels, count, 1, 1])
    }
}
