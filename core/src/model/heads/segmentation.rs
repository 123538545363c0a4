//! Segmentation head: one class a voxel from the full-resolution features.

use burn::tensor::{Device, Int, Tensor};

use crate::model::layers::Pointwise;
use crate::model::pack::{PackError, TensorSource};

/// Most bytes of logits to hold at once: half of WebGPU's default storage binding.
const LOGITS_BYTES: usize = 64 << 20;

/// A 1x1x1 convolution and the most likely class.
#[derive(Clone, Debug)]
pub struct SegmentationHead {
    /// `None` where the features are logits already.
    conv: Option<Pointwise>,
    classes: usize,
}

impl SegmentationHead {
    /// Takes `heads.{name}.weight` and `.bias` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        name: &str,
        channels: usize,
        classes: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        let conv = Pointwise::load(source, &format!("heads.{name}"), channels, classes, device)?;
        Ok(Self { conv: Some(conv), classes })
    }

    /// For features that are logits already.
    pub fn of_logits(classes: usize) -> Self {
        Self { conv: None, classes }
    }

    /// Logits of every class.
    ///
    /// # Shapes
    /// `[batch, channels, x, y, z]` to `[batch, classes, x, y, z]`
    pub fn logits(&self, features: Tensor<5>) -> Tensor<5> {
        match &self.conv {
            Some(conv) => conv.forward(features),
            None => features,
        }
    }

    /// Most likely class of each voxel, computed slab by slab so that the logits of
    /// all classes never exist at once and never leave the device.
    ///
    /// # Shapes
    /// `[1, channels, x, y, z]` to a list of `[1, 1, slab, y, z]` that make up x in order
    pub fn classes(&self, features: &Tensor<5>) -> Vec<Tensor<5, Int>> {
        let [_, _, x, y, z] = features.dims();
        let slab = (LOGITS_BYTES / (4 * self.classes * y * z).max(1)).clamp(1, x.max(1));
        (0..x)
            .step_by(slab)
            .map(|start| {
                let length = slab.min(x - start);
                self.logits(features.clone().narrow(2, start, length)).argmax(1)
            })
            .collect()
    }
}
