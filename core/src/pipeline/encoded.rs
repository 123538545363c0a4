//! A scan's pass through an encoder, kept so that the decoder can go on from it.
//!
//! Identifying a scan and segmenting it read the same windows through the same encoder;
//! with the features of the first at hand the second runs the decoder alone. They are
//! gigabytes for large networks and tens of megabytes at 2 mm: over [`LARGEST`] none are
//! kept, and the encoder runs again.

use burn::tensor::Tensor;

use super::preprocess::Prepared;
use super::run::Timings;
use crate::model::{Features, Pack, Prism};

/// Most bytes of feature maps that are kept: what the compact network has of the largest
/// input that it takes without windows.
pub const LARGEST: usize = 192 << 20;

/// The features of every window of a scan, on the device of the network that made them.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// SHA-256 of the pack.
    pack: String,
    prepared: Prepared,
    windows: Vec<Features>,
    timings: Timings,
}

impl Encoded {
    /// Of a prepared scan and all its windows in their order, with what preparing and the
    /// encoder took.
    pub(super) const fn new(
        pack: String,
        prepared: Prepared,
        windows: Vec<Features>,
        timings: Timings,
    ) -> Self {
        Self { pack, prepared, windows, timings }
    }

    /// Seconds that preparing and the encoder took; a run that goes on from here counts them.
    pub const fn timings(&self) -> Timings {
        self.timings
    }

    /// Whether a network can go on from here: its pack and device are those of the pass.
    fn goes_with(&self, model: &Prism, pack: &Pack) -> bool {
        let here = |window: &Features| window.input.device() == *model.device();
        self.pack == pack.info.sha256 && self.windows.iter().all(here)
    }

    /// The prepared scan and its windows' features; `None` where they are of no use to this
    /// network.
    pub(super) fn parts(self, model: &Prism, pack: &Pack) -> Option<(Prepared, Vec<Features>)> {
        self.goes_with(model, pack).then_some((self.prepared, self.windows))
    }
}

/// Collects windows until they are too many bytes.
pub(super) struct Keeper {
    windows: Option<Vec<Features>>,
    bytes: usize,
    most: usize,
}

impl Keeper {
    pub(super) const fn new(most: usize) -> Self {
        Self { windows: Some(Vec::new()), bytes: 0, most }
    }

    pub(super) fn add(&mut self, features: Features) {
        self.bytes += bytes(&features);
        if self.bytes > self.most {
            self.windows = None;
        } else if let Some(windows) = &mut self.windows {
            windows.push(features);
        }
    }

    /// All windows, unless they were too many.
    pub(super) fn finish(self) -> Option<Vec<Features>> {
        self.windows
    }
}

fn bytes(features: &Features) -> usize {
    let deepest = &features.deepest;
    let branches = deepest.structure.iter().chain(&deepest.sequence).chain([&deepest.fused]);
    let all = features.maps.iter().chain(branches).chain([&features.input]);
    all.map(|map: &Tensor<5>| map.dims().iter().product::<usize>() * size_of::<f32>()).sum()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model::disentangle::Disentangled;

    #[test]
    fn too_many_bytes_are_not_kept() {
        let features = || {
            let map = Tensor::<5>::zeros([1, 2, 4, 4, 4], &Device::flex());
            let deepest = Disentangled::without_branches(map.clone());
            Features { input: map.clone(), maps: vec![map], deepest }
        };
        // Three maps of 128 values in four bytes.
        for (most, kept) in [(2 * 1536, Some(2)), (2 * 1536 - 1, None)] {
            let mut keeper = Keeper::new(most);
            keeper.add(features());
            keeper.add(features());
            assert_eq!(keeper.finish().map(|windows| windows.len()), kept);
        }
    }
}
