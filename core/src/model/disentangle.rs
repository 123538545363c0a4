//! Structure and sequence branches on the deepest map (PRISM, arXiv 2508.07165).
//!
//! Two parallel 1x1x1 convolutions with instance norm and leaky ReLU read what is
//! in the scan (structure) and how it was acquired (sequence); both are joined
//! again by a 1x1x1 convolution and added to the map.

use burn::tensor::{Device, Tensor};

use super::layers::{ConvNorm, ConvShape, Pointwise};
use super::pack::{PackError, TensorSource};

/// The two branches and their fusion.
#[derive(Clone, Debug)]
pub struct Disentangle {
    structure: ConvNorm,
    sequence: ConvNorm,
    fuse: Pointwise,
}

/// The deepest maps, each `[batch, channels, x, y, z]`.
#[derive(Clone, Debug)]
pub struct Disentangled {
    /// What is in the scan.
    pub structure: Tensor<5>,
    /// How it was acquired.
    pub sequence: Tensor<5>,
    /// Both joined, added to the encoder's map.
    pub fused: Tensor<5>,
}

impl Disentangle {
    /// Takes `disentangle.*` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        channels: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        let shape = ConvShape::pointwise(channels, channels);
        Ok(Self {
            structure: ConvNorm::load(source, "disentangle.structure", shape, device)?,
            sequence: ConvNorm::load(source, "disentangle.sequence", shape, device)?,
            fuse: Pointwise::load(source, "disentangle.fuse", 2 * channels, channels, device)?,
        })
    }

    /// # Shapes
    /// `[batch, channels, x, y, z]` in and for each map out
    pub fn forward(&self, deepest: Tensor<5>) -> Disentangled {
        let structure = self.structure.activated(deepest.clone());
        let sequence = self.sequence.activated(deepest.clone());
        let joined = Tensor::cat(vec![structure.clone(), sequence.clone()], 1);
        let fused = deepest + self.fuse.forward(joined);
        Disentangled { structure, sequence, fused }
    }
}
