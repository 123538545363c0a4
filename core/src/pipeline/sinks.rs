//! What becomes of the network's full-resolution features: labels or logits.

use burn::tensor::{Int, Tensor};

use super::run::PipelineError;
use super::sliding::{Sink, read};
use super::structure_maps::DEEPEST;
use crate::model::Features;
use crate::model::heads::SegmentationHead;
use crate::volume::offset;

/// Keeps the most likely class of each voxel, x fastest, and the features themselves
/// where they come in one piece.
pub(super) struct LabelSink<'a> {
    pub(super) head: &'a SegmentationHead,
    pub(super) labels: Vec<u8>,
    pub(super) dims: [usize; 3],
    pub(super) features: Option<Tensor<5>>,
    /// The encoder's deepest maps, finer first, where they come in one piece; else none.
    pub(super) deepest: Vec<Tensor<5>>,
}

impl<'a> LabelSink<'a> {
    /// For a grid of `dims` voxels.
    pub(super) fn new(head: &'a SegmentationHead, dims: [usize; 3]) -> Self {
        let labels = vec![0; dims.iter().product()];
        Self { head, labels, dims, features: None, deepest: Vec::new() }
    }
}

/// Reads classes back, in order.
pub(super) async fn read_classes(classes: Tensor<5, Int>) -> Result<Vec<u8>, PipelineError> {
    let failed = |what: String| PipelineError::Device(what);
    let data = classes.into_data_async().await.map_err(|error| failed(format!("{error:?}")))?;
    let read =
        |class| u8::try_from(class).map_err(|_| failed(format!("class {class} does not exist")));
    data.iter::<i64>().map(read).collect()
}

impl Sink for LabelSink<'_> {
    async fn piece(&mut self, start: [usize; 3], features: Tensor<5>) -> Result<(), PipelineError> {
        let mut x0 = start[0];
        for slab in self.head.classes(&features) {
            let [_, _, nx, ny, nz] = slab.dims();
            let mut classes = read_classes(slab).await?.into_iter();
            for x in 0..nx {
                for y in 0..ny {
                    for z in 0..nz {
                        let at = offset(self.dims, [x0 + x, start[1] + y, start[2] + z]);
                        self.labels[at] = classes
                            .next()
                            .ok_or_else(|| PipelineError::Device("labels cut off".into()))?;
                    }
                }
            }
            x0 += nx;
        }
        let [_, _, nx, ny, nz] = features.dims();
        self.features = ([nx, ny, nz] == self.dims).then_some(features);
        Ok(())
    }

    fn encoded(&mut self, features: &Features) {
        let [_, _, nx, ny, nz] = features.input.dims();
        let maps = &features.maps;
        self.deepest.clear();
        if [nx, ny, nz] == self.dims {
            self.deepest.extend(maps.iter().skip(maps.len().saturating_sub(DEEPEST)).cloned());
        }
    }
}

/// Keeps every logit: `[classes, x, y, z]`, z fastest.
pub(super) struct LogitSink<'a> {
    head: &'a SegmentationHead,
    values: Vec<f32>,
    classes: usize,
    dims: [usize; 3],
}

impl<'a> LogitSink<'a> {
    pub(super) fn new(head: &'a SegmentationHead, dims: [usize; 3]) -> Self {
        Self { head, values: Vec::new(), classes: 0, dims }
    }

    pub(super) fn into_values(self) -> (Vec<f32>, [usize; 4]) {
        (self.values, [self.classes, self.dims[0], self.dims[1], self.dims[2]])
    }
}

impl Sink for LogitSink<'_> {
    async fn piece(&mut self, start: [usize; 3], features: Tensor<5>) -> Result<(), PipelineError> {
        let logits = self.head.logits(features);
        let [_, classes, nx, ny, nz] = logits.dims();
        let values = read(logits).await?;
        let [sx, sy, sz] = self.dims;
        self.classes = classes;
        self.values.resize(classes * sx * sy * sz, 0.0);
        for (row, run) in values.chunks_exact(nz).enumerate() {
            let (y, x, class) = (row % ny, row / ny % nx, row / (ny * nx));
            let place = ((class * sx + start[0] + x) * sy + start[1] + y) * sz + start[2];
            self.values[place..place + nz].copy_from_slice(run);
        }
        Ok(())
    }
}
