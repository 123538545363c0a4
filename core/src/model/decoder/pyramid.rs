//! The compact encoder's decoder.

use burn::tensor::{Device, Tensor};

use crate::kernels;
use crate::model::layers::{Pointwise, ResidualBlock};
use crate::model::pack::{PackError, TensorSource};
use crate::model::prism::{Pace, Stopped};

/// Mirror of the residual pyramid: 1x1x1 convolution, trilinear x2, skip added, block.
#[derive(Clone, Debug)]
pub struct PyramidDecoder {
    levels: Vec<Level>,
}

#[derive(Clone, Debug)]
struct Level {
    up: Pointwise,
    block: ResidualBlock,
}

impl PyramidDecoder {
    /// Takes `decoder.levels.{i}` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        channels: &[usize],
        convs: &[usize],
        device: &Device,
    ) -> Result<Self, PackError> {
        let mut levels = Vec::new();
        for i in 0..channels.len().saturating_sub(1) {
            let name = format!("decoder.levels.{i}");
            levels.push(Level {
                up: Pointwise::load(
                    source,
                    &format!("{name}.up"),
                    channels[i + 1],
                    channels[i],
                    device,
                )?,
                block: ResidualBlock::load(
                    source,
                    &format!("{name}.block"),
                    channels[i],
                    convs[i],
                    device,
                )?,
            });
        }
        Ok(Self { levels })
    }

    /// How often a pass calls [`Pace::step`].
    pub fn steps(&self) -> usize {
        self.levels.len()
    }

    /// Full-resolution features.
    ///
    /// # Shapes
    /// `fused` `[batch, channels[last], ...]` and the encoder's `maps` (full resolution
    /// first) to `[batch, channels[0], x, y, z]`
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn forward<P: Pace>(
        &self,
        fused: Tensor<5>,
        mut maps: Vec<Tensor<5>>,
        pace: &mut P,
    ) -> Result<Tensor<5>, Stopped> {
        let mut x = fused;
        maps.truncate(self.levels.len());
        for level in self.levels.iter().rev() {
            let up = level.up.forward(x);
            // Each skip is dropped as soon as it was added: memory is what ends first.
            x = match maps.pop() {
                Some(skip) => kernels::upsample_add(up, skip),
                None => up,
            };
            x = level.block.forward(x);
            pace.step(&x).await?;
        }
        Ok(x)
    }
}
