//! The compact encoder: a pyramid of residual 3x3x3 convolutions.
//!
//! Level 0 keeps full resolution; every further level halves it with a strided
//! convolution. The design is the residual U-Net's encoder (MONAI `DynUNet` with
//! residual blocks, nnU-Net ResEnc), kept small enough for a browser.

use burn::tensor::{Device, Tensor};

use crate::model::layers::{ConvNorm, ConvShape, ResidualBlock};
use crate::model::pack::{PackError, TensorSource};
use crate::model::prism::{Pace, Stopped};

/// Encoder of [`crate::model::EncoderConfig::ResidualPyramid`].
#[derive(Clone, Debug)]
pub struct ResidualPyramid {
    stem: ConvNorm,
    levels: Vec<Level>,
}

#[derive(Clone, Debug)]
struct Level {
    down: Option<ConvNorm>,
    block: ResidualBlock,
}

impl ResidualPyramid {
    /// Takes `encoder.stem` and `encoder.levels.{i}` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        in_channels: usize,
        channels: &[usize],
        convs: &[usize],
        device: &Device,
    ) -> Result<Self, PackError> {
        let first = channels.first().copied().unwrap_or(0);
        let shape = ConvShape { inputs: in_channels, outputs: first, kernel: 3, stride: 1 };
        let stem = ConvNorm::load(source, "encoder.stem", shape, device)?;
        let mut levels = Vec::with_capacity(channels.len());
        for (i, (&outputs, &convs)) in channels.iter().zip(convs).enumerate() {
            let name = format!("encoder.levels.{i}");
            let down = match i.checked_sub(1) {
                None => None,
                Some(above) => {
                    let shape =
                        ConvShape { inputs: channels[above], outputs, kernel: 3, stride: 2 };
                    Some(ConvNorm::load(source, &format!("{name}.down"), shape, device)?)
                }
            };
            let block =
                ResidualBlock::load(source, &format!("{name}.block"), outputs, convs, device)?;
            levels.push(Level { down, block });
        }
        Ok(Self { stem, levels })
    }

    /// How often a pass calls [`Pace::step`].
    pub fn steps(&self) -> usize {
        1 + self.levels.len()
    }

    /// As [`super::Encoder::forward`].
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn forward<P: Pace>(
        &self,
        x: Tensor<5>,
        pace: &mut P,
    ) -> Result<Vec<Tensor<5>>, Stopped> {
        let mut x = self.stem.activated(x);
        pace.step(&x).await?;
        let mut maps = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            if let Some(down) = &level.down {
                x = down.activated(x);
            }
            x = level.block.forward(x);
            pace.step(&x).await?;
            maps.push(x.clone());
        }
        Ok(maps)
    }
}
