//! Encoders: from a scan to a pyramid of feature maps.

mod residual;

use burn::tensor::{Device, Tensor};

use super::config::EncoderConfig;
use super::pack::{PackError, TensorSource};
use super::prism::{Pace, Stopped};
pub use residual::ResidualPyramid;

/// Any encoder a pack can name.
#[derive(Clone, Debug)]
pub enum Encoder {
    /// Residual convolutions.
    ResidualPyramid(ResidualPyramid),
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
            EncoderConfig::Swin(_) => {
                Err(PackError::Architecture("this version has no Swin encoder".into()))
            }
        }
    }

    /// Feature maps, full resolution first.
    ///
    /// # Shapes
    /// `[batch, in_channels, x, y, z]` to `[batch, channels[i], x / 2^i, y / 2^i, z / 2^i]`
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
        }
    }
}
