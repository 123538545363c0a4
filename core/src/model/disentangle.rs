//! Structure and sequence branches on the deepest map (PRISM, arXiv 2508.07165).
//!
//! Two parallel 1x1x1 convolutions with instance norm and leaky ReLU read what is
//! in the scan (structure) and how it was acquired (sequence); both are joined
//! again by a 1x1x1 convolution and added to the map. The compact network's norms have
//! an affine and nothing follows its last convolution; the published one's have none,
//! and its last convolution is normalised and activated like the other two.
//!
//! Heads read vectors. The published ones are the branches' means over all voxels. In the
//! compact network the norms leave nothing in those means, so its vectors are taken before
//! a norm: structure from its branch, sequence from the encoder's first levels, where
//! contrast can still be read (training/README.md has the numbers).

use burn::tensor::{DType, Device, Tensor};

use super::config::{EncoderConfig, PooledInput, SHALLOW_LEVELS};
use super::heads::pool;
use super::layers::{ConvNorm, ConvShape, Pointwise};
use super::pack::{PackError, TensorSource};
use crate::kernels;

/// The two branches and their fusion.
#[derive(Clone, Debug)]
pub struct Disentangle {
    structure: Branch,
    sequence: Branch,
    fuse: Branch,
}

#[allow(clippy::large_enum_variant, reason = "a network holds few and moves none")]
#[derive(Clone, Debug)]
enum Branch {
    /// Convolution, norm with affine, leaky ReLU.
    Affine(ConvNorm),
    /// Convolution alone.
    Linear(Pointwise),
    /// Convolution, norm without affine, leaky ReLU.
    Plain { conv: Pointwise, ones: Tensor<1>, zeros: Tensor<1> },
}

impl Branch {
    fn plain(
        source: &mut TensorSource,
        name: &str,
        inputs: usize,
        outputs: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        let conv = Pointwise::load(source, &format!("{name}.0"), inputs, outputs, device)?;
        let (ones, zeros) = (Tensor::ones([outputs], device), Tensor::zeros([outputs], device));
        Ok(Self::Plain { conv, ones, zeros })
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        match self {
            Self::Affine(conv) => conv.activated(x),
            Self::Linear(conv) => conv.forward(x),
            Self::Plain { conv, ones, zeros } => {
                kernels::instance_norm(conv.forward(x), ones, zeros, None, true)
            }
        }
    }
}

/// The deepest maps, each `[batch, channels, x, y, z]`.
#[derive(Clone, Debug)]
pub struct Disentangled {
    /// What is in the scan; `None` for an encoder without branches.
    pub structure: Option<Tensor<5>>,
    /// How it was acquired; `None` for an encoder without branches.
    pub sequence: Option<Tensor<5>>,
    /// Both joined, added to the encoder's map; without branches the map itself.
    pub fused: Tensor<5>,
}

impl Disentangled {
    /// The deepest map of an encoder without branches.
    pub fn without_branches(deepest: Tensor<5>) -> Self {
        Self { structure: None, sequence: None, fused: deepest }
    }
}

/// What a head reads: `None` for a branch that the encoder does not have. `maps` are the
/// encoder's, finest first.
///
/// # Shapes
/// `[batch, inputs]`, see [`EncoderConfig::vector_channels`]
pub fn vector(
    disentangle: Option<&Disentangle>,
    maps: &[Tensor<5>],
    deepest: &Disentangled,
    input: PooledInput,
) -> Option<Tensor<2>> {
    let structure = disentangle.map(|disentangle| &disentangle.structure);
    match (input, structure) {
        (PooledInput::Fused, _) => Some(pool(&deepest.fused)),
        (PooledInput::Structure, Some(Branch::Affine(conv))) => {
            // Linear, so that the mean may come first.
            let [batch, channels, ..] = deepest.fused.dims();
            let mean = pool(maps.last()?).reshape([batch, channels, 1, 1, 1]);
            Some(pool(&conv.convolve(mean)))
        }
        (PooledInput::Sequence, Some(Branch::Affine(_))) => {
            Some(Tensor::cat(maps.iter().take(SHALLOW_LEVELS).map(pool).collect(), 1))
        }
        (PooledInput::Structure, _) => deepest.structure.as_ref().map(pool),
        (PooledInput::Sequence, _) => deepest.sequence.as_ref().map(pool),
    }
}

/// Means, then deviations, of the first levels over the middle half of every side. Over the
/// whole input the share of air, skull and padding drowns the contrast.
///
/// # Shapes
/// maps `[batch, channels, x, y, z]`, finest first, to `[batch, 2 * their channels]`
pub fn centre(maps: &[Tensor<5>]) -> Tensor<2> {
    let (mut means, mut deviations) = (Vec::new(), Vec::new());
    for map in maps.iter().take(SHALLOW_LEVELS) {
        let mut middle = map.clone();
        for axis in 2..5 {
            let side = middle.dims()[axis];
            middle = middle.narrow(axis, side / 4, side / 2);
        }
        let middle = middle.cast(DType::F32);
        let mean = pool(&middle);
        let [batch, channels] = mean.dims();
        let rest = middle - mean.clone().reshape([batch, channels, 1, 1, 1]);
        deviations.push(pool(&(rest.clone() * rest)).sqrt());
        means.push(mean);
    }
    means.append(&mut deviations);
    Tensor::cat(means, 1)
}

impl Disentangle {
    /// Takes the branches from the pack: `disentangle.*`, for the published encoder
    /// `structure_disentanglement`, `sequence_disentanglement` and `latent_agg`.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        encoder: &EncoderConfig,
        device: &Device,
    ) -> Result<Self, PackError> {
        let channels = encoder.deepest_channels();
        match encoder {
            EncoderConfig::ResidualPyramid { .. } => {
                let shape = ConvShape::pointwise(channels, channels);
                let branch = |source: &mut TensorSource, name: &str| {
                    ConvNorm::load(source, name, shape, device).map(Branch::Affine)
                };
                Ok(Self {
                    structure: branch(source, "disentangle.structure")?,
                    sequence: branch(source, "disentangle.sequence")?,
                    fuse: Pointwise::load(
                        source,
                        "disentangle.fuse",
                        2 * channels,
                        channels,
                        device,
                    )
                    .map(Branch::Linear)?,
                })
            }
            EncoderConfig::Swin(_) => {
                let mut branch = |name: &str, inputs: usize| {
                    Branch::plain(source, name, inputs, channels, device)
                };
                Ok(Self {
                    structure: branch("structure_disentanglement", channels)?,
                    sequence: branch("sequence_disentanglement", channels)?,
                    fuse: branch("latent_agg", 2 * channels)?,
                })
            }
        }
    }

    /// # Shapes
    /// `[batch, channels, x, y, z]` in and for each map out
    pub fn forward(&self, deepest: Tensor<5>) -> Disentangled {
        let structure = self.structure.forward(deepest.clone());
        let sequence = self.sequence.forward(deepest.clone());
        let fused = self.join(deepest, structure.clone(), sequence.clone());
        Disentangled { structure: Some(structure), sequence: Some(sequence), fused }
    }

    /// Structure and sequence joined, added to the encoder's map.
    ///
    /// # Shapes
    /// `[batch, channels, x, y, z]` for each map in and out
    pub fn join(&self, deepest: Tensor<5>, structure: Tensor<5>, sequence: Tensor<5>) -> Tensor<5> {
        deepest + self.fuse.forward(Tensor::cat(vec![structure, sequence], 1))
    }
}
