//! Encoders: from a scan to a pyramid of feature maps.

mod residual;
mod swin;

use burn::tensor::{Device, Tensor};

use super::config::EncoderConfig;
use super::pack::{PackError, TensorSource};
use super::prism::{Pace, Stopped};
pub use residual::ResidualPyramid;
pub use swin::SwinTransformer;

/// Any encoder a pack can name.
#[allow(clippy::large_enum_variant, reason = "a network holds few and moves none")]
#[derive(Clone, Debug)]
pub enum Encoder {
    /// Residual convolutions.
    ResidualPyramid(ResidualPyramid),
    /// Shifted windows of attention, as published.
    Swin(SwinTransformer),
}

impl Encoder {
    /// Builds the encoder from the pack's tensors under `encoder.`
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        config: &EncoderConfig,
        source: &mut TensorSource,
        device: &Device,
    ) -> Result<Self, PackError> {
        match config {
            EncoderConfig::ResidualPyramid { in_channels, channels, convs } => {
                ResidualPyramid::load(source, *in_channels, channels, convs, device)
                    .map(Self::ResidualPyramid)
            }
            EncoderConfig::Swin(config) => {
                SwinTransformer::load(source, config, device).map(Self::Swin)
            }
        }
    }

    /// How often a pass calls [`Pace::step`].
    pub fn steps(&self) -> usize {
        match self {
            Self::ResidualPyramid(encoder) => encoder.steps(),
            Self::Swin(encoder) => encoder.steps(),
        }
    }

    /// Feature maps, finest first.
    ///
    /// # Shapes
    /// `[batch, in_channels, x, y, z]` to `[batch, channels[i], x / 2^i, y / 2^i, z / 2^i]`;
    /// the Swin encoder's maps start at half the resolution
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn forward<P: Pace>(
        &self,
        x: Tensor<5>,
        pace: &mut P,
    ) -> Result<Vec<Tensor<5>>, Stopped> {
        match self {
            Self::ResidualPyramid(encoder) => encoder.forward(x, pace).await,
            Self::Swin(encoder) => encoder.forward(x, pace).await,
        }
    }
}
