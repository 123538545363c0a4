//! Renders the same anatomy again, as it was or in another style (PRISM, arXiv 2508.07165).
//!
//! A decoder without skips turns the deepest map back into a scan; a style vector scales the
//! input channels of its convolutions, whose kernels are scaled back to unit length
//! (StyleGAN2, arXiv 1912.04958). Two kinds: as the public repository has it, and as
//! training/pretraining has it at the compact network's size.

use burn::tensor::{DType, Device, Tensor, activation};

use super::config::{EncoderConfig, PooledInput, RendererConfig, SwinConfig};
use super::conv_weight::ConvWeight;
use super::dense::Linear;
use super::disentangle::{Disentangle, vector};
use super::layers::Pointwise;
use super::pack::{PackError, TensorSource};
use super::prism::{Features, Pace, Stopped};
use crate::kernels::{self, LEAKY_SLOPE};

/// Keeps divisions by a norm finite; PyTorch's and StyleGAN2's value.
const EPSILON: f32 = 1e-8;

/// Any renderer a pack can name.
#[derive(Clone, Debug)]
pub struct Renderer {
    kind: Kind,
    mapping: Mapping,
    convs: Vec<ModulatedConv>,
    image: Pointwise,
    style: usize,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Mixes the mapped noise into the sequence map.
    Modulated { mix: Box<Pointwise> },
    /// Adds the mapped noise to a style read from the sequence feature; each level's norm is
    /// followed by the style's gain and shift.
    Styled { own: Linear, affines: Vec<Linear> },
}

impl Renderer {
    /// Takes the renderer's tensors from the pack: under the checkpoint's names
    /// ([`super::config::SwinConfig`]), or under `renderer.`
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        config: &RendererConfig,
        encoder: &EncoderConfig,
        device: &Device,
    ) -> Result<Self, PackError> {
        let deepest = encoder.deepest_channels();
        // Channels in and out of every level, deepest first; the last keeps its channels.
        let widths: Vec<usize> = match encoder {
            EncoderConfig::ResidualPyramid { channels, .. } => {
                channels.iter().rev().copied().chain(channels.first().copied()).collect()
            }
            EncoderConfig::Swin(swin) => (0..=SwinConfig::STAGES)
                .rev()
                .map(|stage| swin.channels(stage))
                .chain([swin.dim])
                .collect(),
        };
        let pairs = || widths.iter().zip(&widths[1..]).map(|(&a, &b)| (a, b));
        let finest = encoder.finest_channels();
        match *config {
            RendererConfig::Modulated => {
                let mapping = |i: usize| format!("w_mapping.noise_mapping.{i}.0");
                Ok(Self {
                    mapping: Mapping::load(source, mapping, deepest, 0.0, device)?,
                    convs: pairs()
                        .enumerate()
                        .map(|(i, pair)| {
                            let name = format!("decoder{}.0", i + 1);
                            let (names, unit) = ((name.as_str(), "projector"), Unit::ByLastTap);
                            ModulatedConv::load(source, names, pair, deepest, unit, device)
                        })
                        .collect::<Result<_, _>>()?,
                    kind: Kind::Modulated {
                        mix: Box::new(Pointwise::load(
                            source,
                            "mix_w.mix_conv",
                            2 * deepest,
                            deepest,
                            device,
                        )?),
                    },
                    image: Pointwise::load(source, "recon_head", finest, 1, device)?,
                    style: deepest,
                })
            }
            RendererConfig::Styled { style } => {
                let mapping = |i: usize| format!("renderer.mapping.layers.{}", 2 * i);
                let name = "renderer.decoder";
                Ok(Self {
                    mapping: Mapping::load(source, mapping, style, 0.2, device)?,
                    convs: pairs()
                        .enumerate()
                        .map(|(i, pair)| {
                            let name = format!("{name}.convs.{i}");
                            let (names, unit) = ((name.as_str(), "scale"), Unit::Whole);
                            ModulatedConv::load(source, names, pair, style, unit, device)
                        })
                        .collect::<Result<_, _>>()?,
                    kind: Kind::Styled {
                        own: Linear::load(
                            source,
                            "renderer.sequence_style",
                            encoder.vector_channels(PooledInput::Sequence),
                            style,
                            device,
                        )?,
                        affines: pairs()
                            .enumerate()
                            .map(|(i, (_, outputs))| {
                                let name = format!("{name}.affines.{i}");
                                Linear::load(source, &name, style, 2 * outputs, device)
                            })
                            .collect::<Result<_, _>>()?,
                    },
                    image: Pointwise::load(source, &format!("{name}.image"), finest, 1, device)?,
                    style,
                })
            }
        }
    }

    /// How often [`Pace::step`] is called in one rendering.
    pub fn steps(&self) -> usize {
        self.convs.len()
    }

    /// Length of the noise.
    pub fn style(&self) -> usize {
        self.style
    }

    /// As [`super::Prism::render`].
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn render<P: Pace>(
        &self,
        features: &Features,
        disentangle: &Disentangle,
        noise: Option<Tensor<2>>,
        pace: &mut P,
    ) -> Result<Option<Tensor<5>>, Stopped> {
        let deepest = &features.deepest;
        let (Some(structure), Some(sequence)) = (&deepest.structure, &deepest.sequence) else {
            return Ok(None);
        };
        let mapped = noise.map(|noise| self.mapping.forward(noise));
        match &self.kind {
            Kind::Modulated { mix } => {
                let start = match (&mapped, features.maps.last()) {
                    (Some(style), Some(map)) => {
                        let [batch, channels, ..] = sequence.dims();
                        let spread = style.clone().reshape([batch, channels, 1, 1, 1]);
                        let spread = spread.expand(sequence.dims());
                        let mixed = mix.forward(Tensor::cat(vec![sequence.clone(), spread], 1));
                        let map = map.clone().cast(DType::F32);
                        disentangle.join(map, structure.clone(), mixed)
                    }
                    _ => deepest.fused.clone(),
                };
                self.decode(start, mapped, &[], pace).await.map(Some)
            }
            Kind::Styled { own, affines } => {
                let sequence = PooledInput::Sequence;
                let Some(sequence) = vector(Some(disentangle), &features.maps, deepest, sequence)
                else {
                    return Ok(None);
                };
                let style = own.forward(sequence);
                let style = match mapped {
                    Some(mapped) => style + mapped,
                    None => style,
                };
                self.decode(structure.clone(), Some(style), affines, pace).await.map(Some)
            }
        }
    }

    async fn decode<P: Pace>(
        &self,
        mut x: Tensor<5>,
        style: Option<Tensor<2>>,
        affines: &[Linear],
        pace: &mut P,
    ) -> Result<Tensor<5>, Stopped> {
        let last = self.convs.len() - 1;
        for (i, conv) in self.convs.iter().enumerate() {
            x = conv.forward(x, style.as_ref());
            let [batch, channels, ..] = x.dims();
            let device = x.device();
            let (one, zero) =
                (Tensor::ones([channels], &device), Tensor::zeros([channels], &device));
            x = match (affines.get(i), &style) {
                (Some(affine), Some(style)) => {
                    let x = kernels::instance_norm(x, &one, &zero, None, false);
                    let affine = affine.forward(style.clone());
                    let [gain, shift] = [0, channels].map(|start| {
                        affine
                            .clone()
                            .narrow(1, start, channels)
                            .reshape([batch, channels, 1, 1, 1])
                    });
                    activation::leaky_relu(x * (gain + 1.0) + shift, LEAKY_SLOPE)
                }
                _ => kernels::instance_norm(x, &one, &zero, None, true),
            };
            pace.step(&x).await?;
            if i < last {
                x = doubled(x);
            }
        }
        // The published decoder doubles the resolution once more before its last, 1x1x1
        // convolution. Both are linear and the convolution's weights sum nothing in space, so
        // the order does not matter, and this way one channel is doubled instead of many.
        let image = self.image.forward(x);
        Ok(match self.kind {
            Kind::Modulated { .. } => doubled(image),
            Kind::Styled { .. } => image,
        })
    }
}

fn doubled(x: Tensor<5>) -> Tensor<5> {
    let [batch, channels, nx, ny, nz] = x.dims();
    let zeros = Tensor::zeros([batch, channels, 2 * nx, 2 * ny, 2 * nz], &x.device());
    kernels::upsample_add(x, zeros)
}

/// Noise to style: scaled to unit length a channel, then four linear layers, each with a
/// leaky ReLU.
#[derive(Clone, Debug)]
struct Mapping {
    layers: Vec<Linear>,
    slope: f64,
}

impl Mapping {
    fn load(
        source: &mut TensorSource,
        name: impl Fn(usize) -> String,
        size: usize,
        slope: f64,
        device: &Device,
    ) -> Result<Self, PackError> {
        let layers = (0..4)
            .map(|i| Linear::load(source, &name(i), size, size, device))
            .collect::<Result<_, _>>()?;
        Ok(Self { layers, slope })
    }

    fn forward(&self, noise: Tensor<2>) -> Tensor<2> {
        let length = (noise.clone().powi_scalar(2).mean_dim(1) + EPSILON).sqrt();
        self.layers
            .iter()
            .fold(noise / length, |x, layer| activation::leaky_relu(layer.forward(x), self.slope))
    }
}

/// What of an output channel's kernel is brought back to unit length after a style scaled it.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// All of it.
    Whole,
    /// The taps at each place along its last axis by themselves, as PRISM's `ModConv3d` has it
    /// (github.com/zqiuak/PRISM, main/model/model_pt.py): its sum leaves that axis out.
    ByLastTap,
}

/// 3x3x3 convolution whose kernel a style scales per input channel and brings back to unit
/// length per output channel ([`Unit`]). The style's scales are applied to the input instead, and
/// those of whole kernels to the output, which is the same.
#[derive(Clone, Debug)]
struct ModulatedConv {
    weight: ConvWeight,
    unit: Unit,
    /// Sum of squares over the taps that are brought to unit length together:
    /// `[inputs, outputs]`, or `[inputs, outputs * 3]`, the last axis' place fastest.
    energy: Tensor<2>,
    scale: Linear,
}

impl ModulatedConv {
    fn load(
        source: &mut TensorSource,
        (name, scale): (&str, &str),
        (inputs, outputs): (usize, usize),
        style: usize,
        unit: Unit,
        device: &Device,
    ) -> Result<Self, PackError> {
        let shape = [outputs, inputs, 3, 3, 3];
        let weight = ConvWeight::load(source, &format!("{name}.weight"), shape, device)?;
        let energy = match unit {
            Unit::Whole => weight.energy().transpose(),
            Unit::ByLastTap => {
                weight.energy_by_last_tap().swap_dims(0, 1).reshape([inputs, 3 * outputs])
            }
        };
        Ok(Self {
            energy,
            unit,
            weight,
            scale: Linear::load(source, &format!("{name}.{scale}"), style, inputs, device)?,
        })
    }

    /// Without a style, the convolution as it stands.
    fn forward(&self, x: Tensor<5>, style: Option<&Tensor<2>>) -> Tensor<5> {
        let Some(style) = style else { return self.weight.convolve(&x, 1) };
        let [batch, inputs, ..] = x.dims();
        let outputs = self.weight.dims()[0];
        let scale = self.scale.forward(style.clone());
        let energy = scale.clone().powi_scalar(2).matmul(self.energy.clone());
        let back = (energy + EPSILON).sqrt().recip();
        let x = x * scale.reshape([batch, inputs, 1, 1, 1]);
        match self.unit {
            Unit::Whole => self.weight.convolve(&x, 1) * back.reshape([batch, outputs, 1, 1, 1]),
            Unit::ByLastTap => {
                let sample = |at: usize| {
                    let back = back.clone().narrow(0, at, 1).reshape([outputs, 3]);
                    self.weight.convolve_weighed(&x.clone().narrow(0, at, 1), &back)
                };
                Tensor::cat((0..batch).map(sample).collect(), 0)
            }
        }
    }
}
