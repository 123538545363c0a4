//! The network as one piece: encoder, disentangling, decoder, heads.

use core::future::Future;

use burn::tensor::{DType, Device, Tensor};

use serde::{Deserialize, Serialize};

use super::config::{Architecture, HeadConfig, PooledInput};
use super::decoder::Decoder;
use super::disentangle::{Disentangle, Disentangled, centre, vector};
use super::encoder::Encoder;
use super::heads::{LinearReader, PooledHead, SegmentationHead};
use super::pack::{Pack, PackError, TensorSource};
use super::renderer::Renderer;

/// The run was stopped from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the run was cancelled")]
pub struct Stopped;

/// What happens between the blocks of the network: progress, a breath for the event
/// loop, a chance to stop.
pub trait Pace {
    /// Called after each block with its output, which the device may still be computing.
    fn step(&mut self, latest: &Tensor<5>) -> impl Future<Output = Result<(), Stopped>>;

    /// Called within a block after so much `work` (multiplications) that a slow device takes
    /// about a second for it, with its output. No progress, but a chance to stop.
    fn wait(&mut self, latest: &Tensor<5>, work: u64) -> impl Future<Output = Result<(), Stopped>> {
        let _ = (latest, work);
        async { Ok(()) }
    }
}

/// Most multiplications between two calls of [`Pace::wait`], about.
pub(super) const WORK: u64 = 1 << 31;

/// Runs straight through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unpaced;

impl Pace for Unpaced {
    async fn step(&mut self, _: &Tensor<5>) -> Result<(), Stopped> {
        Ok(())
    }
}

/// How encoder and decoder keep their maps and weights. Sums, norms, branches, heads and what
/// leaves the network are in single precision either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// 32 bits a number.
    #[default]
    Single,
    /// 16 bits a number, where [`crate::kernels::has_halves`].
    Half,
}

impl Storage {
    pub(super) fn dtype(self) -> DType {
        match self {
            Self::Single => DType::F32,
            Self::Half => DType::F16,
        }
    }
}

/// What one encoder pass gives; input and maps are kept as the network's [`Storage`] says.
#[derive(Clone, Debug)]
pub struct Features {
    /// What went in: `[batch, in_channels, x, y, z]`.
    pub input: Tensor<5>,
    /// The pyramid, finest first, as [`Encoder::forward`] gives it.
    pub maps: Vec<Tensor<5>>,
    /// The deepest maps.
    pub deepest: Disentangled,
}

/// A network ready to run on one device.
#[derive(Clone, Debug)]
pub struct Prism {
    encoder: Encoder,
    disentangle: Option<Disentangle>,
    decoder: Option<Decoder>,
    renderer: Option<Renderer>,
    linear: Option<LinearReader>,
    segmentation: Option<SegmentationHead>,
    pooled: Vec<(String, PooledHead)>,
    device: Device,
    storage: Storage,
    steps: usize,
    encoder_steps: usize,
}

impl Prism {
    /// Dequantises the pack's tensors onto the device and builds the network, in single
    /// precision.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing, left over or has another shape.
    pub fn load(pack: &Pack, device: &Device) -> Result<Self, PackError> {
        Self::load_as(pack, device, Storage::Single)
    }

    /// As [`Prism::load`], kept as `storage` says.
    ///
    /// # Errors
    /// As [`Prism::load`].
    pub fn load_as(pack: &Pack, device: &Device, storage: Storage) -> Result<Self, PackError> {
        let mut source = TensorSource::new(pack);
        let model = Self::build(&pack.info.architecture, &mut source, device, storage)?;
        source.finish()?;
        Ok(model)
    }

    /// Names and shapes of the tensors that a pack of this architecture holds, scales
    /// left out.
    ///
    /// # Errors
    /// [`PackError::Architecture`] for a geometry that cannot be built.
    pub fn tensors(architecture: &Architecture) -> Result<Vec<(String, Vec<usize>)>, PackError> {
        if let Some(problem) = architecture.problem() {
            return Err(PackError::Architecture(problem));
        }
        let mut source = TensorSource::listing();
        Self::build(architecture, &mut source, &Device::flex(), Storage::Single)?;
        Ok(source.asked())
    }

    fn build(
        architecture: &Architecture,
        source: &mut TensorSource,
        device: &Device,
        storage: Storage,
    ) -> Result<Self, PackError> {
        let config = &architecture.encoder;
        source.keep_as(storage.dtype());
        let encoder = Encoder::load(config, source, device)?;
        source.keep_as(DType::F32);
        let disentangle = match architecture.branches {
            true => Some(Disentangle::load(source, config, device)?),
            false => None,
        };
        let (mut decoder, mut linear, mut segmentation) = (None, None, None);
        let mut pooled = Vec::new();
        for head in &architecture.heads {
            match head {
                HeadConfig::Segmentation { name, classes } => {
                    source.keep_as(storage.dtype());
                    let loaded = Decoder::load(source, config, *classes, device)?;
                    source.keep_as(DType::F32);
                    segmentation = Some(match loaded {
                        Decoder::Pyramid(_) => {
                            let finest = config.finest_channels();
                            SegmentationHead::load(source, name, finest, *classes, device)?
                        }
                        Decoder::SwinUnetr(_) => SegmentationHead::of_logits(),
                    });
                    decoder = Some(loaded);
                }
                HeadConfig::LinearSegmentation { name, classes, maps } => {
                    let shapes = config.maps();
                    linear =
                        Some(LinearReader::load(source, name, *classes, maps, &shapes, device)?);
                    segmentation = Some(SegmentationHead::of_logits());
                }
                HeadConfig::Classification(head) | HeadConfig::Regression(head) => {
                    let loaded = PooledHead::load(source, head, config, device)?;
                    pooled.push((head.name.clone(), loaded));
                }
            }
        }
        let renderer = match &architecture.renderer {
            Some(renderer) => Some(Renderer::load(source, renderer, config, device)?),
            None => None,
        };
        let encoder_steps = encoder.steps();
        let steps = encoder_steps + decoder.as_ref().map_or(0, Decoder::steps);
        Ok(Self {
            encoder,
            disentangle,
            decoder,
            renderer,
            linear,
            segmentation,
            pooled,
            device: device.clone(),
            storage,
            steps,
            encoder_steps,
        })
    }

    /// Where the network runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How encoder and decoder keep their maps.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// How often [`Pace::step`] is called in one pass of encoder and decoder.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// As [`Prism::steps`], for the encoder alone.
    pub fn encoder_steps(&self) -> usize {
        self.encoder_steps
    }

    /// The segmentation head, if the pack has one.
    pub fn segmentation(&self) -> Option<&SegmentationHead> {
        self.segmentation.as_ref()
    }

    /// Encodes a preprocessed scan.
    ///
    /// # Shapes
    /// `[batch, 1, x, y, z]`, sides multiples of [`EncoderConfig::multiple`]
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn encode<P: Pace>(&self, x: Tensor<5>, pace: &mut P) -> Result<Features, Stopped> {
        let x = x.cast(self.storage.dtype());
        let mut maps = self.encoder.forward(x.clone(), pace).await?;
        // The deepest map lives on in `deepest`; an encoder always has one.
        let last = maps.last().cloned().ok_or(Stopped)?;
        let deepest = match &self.disentangle {
            // A norm over few voxels magnifies rounding.
            Some(disentangle) => disentangle.forward(last.cast(DType::F32)),
            None => Disentangled::without_branches(last),
        };
        maps.shrink_to_fit();
        Ok(Features { input: x, maps, deepest })
    }

    /// Decodes to full-resolution features that the segmentation head takes; `None` for a
    /// pack without segmentation.
    ///
    /// # Shapes
    /// as [`Decoder::forward`]; of a linear head `[batch, classes, x, y, z]`
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn decode<P: Pace>(
        &self,
        features: Features,
        pace: &mut P,
    ) -> Result<Option<Tensor<5>>, Stopped> {
        match (&self.decoder, &self.linear) {
            (Some(decoder), _) => {
                let mut features = features;
                features.deepest.fused = features.deepest.fused.cast(self.storage.dtype());
                decoder.forward(features, pace).await.map(|map| Some(map.cast(DType::F32)))
            }
            (None, Some(linear)) => Ok(linear.forward(&features.maps)),
            (None, None) => Ok(None),
        }
    }

    /// Renders the scan again: as it was, or with `noise` in a style of its own; `None` for
    /// a pack without renderer.
    ///
    /// # Shapes
    /// `noise` `[batch, style]` ([`Prism::style`]), to `[batch, 1, x, y, z]`
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn render<P: Pace>(
        &self,
        features: &Features,
        noise: Option<Tensor<2>>,
        pace: &mut P,
    ) -> Result<Option<Tensor<5>>, Stopped> {
        match (&self.renderer, &self.disentangle) {
            (Some(renderer), Some(disentangle)) => {
                renderer.render(features, disentangle, noise, pace).await
            }
            _ => Ok(None),
        }
    }

    /// How often [`Pace::step`] is called in one [`Prism::render`]; `None` for a pack without
    /// renderer.
    pub fn renderer_steps(&self) -> Option<usize> {
        self.renderer.as_ref().map(Renderer::steps)
    }

    /// Length of the noise that [`Prism::render`] takes.
    pub fn style(&self) -> Option<usize> {
        self.renderer.as_ref().map(Renderer::style)
    }

    /// The feature that stands for a whole scan: what heads read. `None` for a branch that
    /// the encoder does not have.
    ///
    /// # Shapes
    /// `[batch, channels]`, see [`super::EncoderConfig::vector_channels`]
    pub fn vector(&self, features: &Features, input: PooledInput) -> Option<Tensor<2>> {
        vector(self.disentangle.as_ref(), &features.maps, &features.deepest, input)
    }

    /// The encoder's first levels in the middle of the input, see
    /// [`super::disentangle::centre`].
    pub fn centre(&self, features: &Features) -> Tensor<2> {
        centre(&features.maps)
    }

    /// Output of every classification and regression head by name: `[batch, outputs]`. A
    /// head that wants several sequences has none for one.
    pub fn answers(&self, features: &Features) -> Vec<(String, Tensor<2>)> {
        self.answers_together(core::slice::from_ref(features))
    }

    /// As [`Prism::answers`], of one examination's sequences together.
    pub fn answers_together(&self, sequences: &[Features]) -> Vec<(String, Tensor<2>)> {
        self.pooled
            .iter()
            .filter_map(|(name, head)| {
                let vectors = sequences.iter().map(|features| self.vector(features, head.input()));
                Some((name.clone(), head.forward(vectors.collect::<Option<_>>()?)?))
            })
            .collect()
    }
}
