//! Segmentation decoders: back to full resolution, with the encoder's maps as skips.

mod pyramid;
mod swin_unetr;

use burn::tensor::{Device, Tensor};

use super::config::EncoderConfig;
use super::pack::{PackError, TensorSource};
use super::prism::{Features, Pace, Stopped};
pub use pyramid::PyramidDecoder;
pub use swin_unetr::SwinUnetrDecoder;

/// The decoder that belongs to an encoder.
#[allow(clippy::large_enum_variant, reason = "a network holds few and moves none")]
#[derive(Clone, Debug)]
pub enum Decoder {
    /// Of the compact encoder; ends with features.
    Pyramid(PyramidDecoder),
    /// Of the Swin encoder, as published; ends with logits.
    SwinUnetr(SwinUnetrDecoder),
}

impl Decoder {
    /// Takes the decoder's tensors from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        encoder: &EncoderConfig,
        classes: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        match encoder {
            EncoderConfig::ResidualPyramid { channels, convs, .. } => {
                PyramidDecoder::load(source, channels, convs, device).map(Self::Pyramid)
            }
            EncoderConfig::Swin(config) => {
                SwinUnetrDecoder::load(source, config, classes, device).map(Self::SwinUnetr)
            }
        }
    }

    /// How often a pass calls [`Pace::step`].
    pub fn steps(&self) -> usize {
        match self {
            Self::Pyramid(decoder) => decoder.steps(),
            Self::SwinUnetr(_) => SwinUnetrDecoder::STEPS,
        }
    }

    /// Full-resolution features, or logits where the decoder ends with them.
    ///
    /// # Shapes
    /// to `[batch, channels, x, y, z]` or `[batch, classes, x, y, z]`
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn forward<P: Pace>(
        &self,
        features: Features,
        pace: &mut P,
    ) -> Result<Tensor<5>, Stopped> {
        match self {
            Self::Pyramid(decoder) => {
                let Features { maps, deepest, .. } = features;
                decoder.forward(deepest.fused, maps, pace).await
            }
            Self::SwinUnetr(decoder) => decoder.forward(features, pace).await,
        }
    }
}
