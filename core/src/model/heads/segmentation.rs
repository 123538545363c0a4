//! Segmentation head: one class a voxel from the full-resolution features.

use burn::tensor::{Device, Int, Tensor};

use crate::model::layers::Pointwise;
use crate::model::pack::{PackError, TensorSource};

/// A 1x1x1 convolution and the most likely class.
#[derive(Clone, Debug)]
pub struct SegmentationHead {
    /// `None` where the features are logits already.
    conv: Option<Pointwise>,
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
        Ok(Self { conv: Some(conv) })
    }

    /// For features that are logits already.
    pub fn of_logits() -> Self {
        Self { conv: None }
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

    /// Most likely class of each voxel; the logits of all classes never leave the device.
    ///
    /// # Shapes
    /// `[1, channels, x, y, z]` to a list of `[1, 1, slab, y, z]` that make up x in order
    pub fn classes(&self, features: &Tensor<5>) -> Vec<Tensor<5, Int>> {
        match &self.conv {
            Some(conv) => conv.classify(features),
            None => vec![features.clone().argmax(1)],
        }
    }
}
