//! What a pack says of its network: geometry, heads, preprocessing.

mod swin;

use serde::{Deserialize, Serialize};

use crate::volume::IntensityRule;
pub use swin::{Merging, SwinConfig};

/// Geometry of encoder, decoder and heads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// The encoder; the decoder mirrors it.
    pub encoder: EncoderConfig,
    /// Whether the structure and sequence branches are there; an imported encoder may
    /// come without them.
    #[serde(default = "present")]
    pub branches: bool,
    /// The heads, at most one of them a segmentation.
    #[serde(default)]
    pub heads: Vec<HeadConfig>,
    /// The decoder that renders the anatomy again in another style, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renderer: Option<RendererConfig>,
}

fn present() -> bool {
    true
}

/// Geometry of the decoder that renders a scan from its structure feature and a style.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RendererConfig {
    /// As PRISM publishes it: five modulated convolutions from the fused map.
    Modulated,
    /// As training/pretraining renders: modulated convolutions from the structure map,
    /// each followed by a gain and a shift from the style.
    Styled {
        /// Length of the style vector.
        style: usize,
    },
}

/// Geometry of an encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EncoderConfig {
    /// Residual 3x3x3 convolutions on a pyramid of halved resolutions.
    ResidualPyramid {
        /// Input channels.
        in_channels: usize,
        /// Channels of each level, full resolution first.
        channels: Vec<usize>,
        /// Convolutions in the residual block of each level.
        convs: Vec<usize>,
    },
    /// The published encoder: shifted windows of attention (MONAI `SwinTransformer`,
    /// `use_v2=True`).
    Swin(SwinConfig),
}

/// Channels and resolution of one of an encoder's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapShape {
    /// Channels.
    pub channels: usize,
    /// Input voxels per voxel along each axis, a power of two.
    pub stride: usize,
}

/// One head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HeadConfig {
    /// One class a voxel.
    Segmentation {
        /// Name of its tensors under `heads.`
        name: String,
        /// Classes, background (0) counted.
        classes: usize,
    },
    /// One class a voxel, linear in the encoder's maps: what [`crate::features`] fits.
    LinearSegmentation {
        /// Name of its tensors under `heads.`
        name: String,
        /// Classes, background (0) counted.
        classes: usize,
        /// The maps it reads, finest first.
        maps: Vec<usize>,
    },
    /// One class a scan.
    Classification(PooledHeadConfig),
    /// Numbers a scan.
    Regression(PooledHeadConfig),
}

/// A head on pooled features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PooledHeadConfig {
    /// Name of its tensors under `heads.`
    pub name: String,
    /// The map it pools.
    pub input: PooledInput,
    /// What each output stands for.
    pub outputs: Vec<String>,
    /// How the sequences of one examination become one feature.
    #[serde(default, skip_serializing_if = "Fusion::is_default")]
    pub fusion: Fusion,
}

/// How the pooled features of several sequences become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fusion {
    /// The largest value of each channel; any number of sequences.
    #[default]
    Max,
    /// One behind the other, then linear back to the channels of one.
    Concatenation {
        /// Number of sequences.
        sequences: usize,
    },
    /// A transformer block over the sequences with a class token in front, whose
    /// output is the feature; any number of sequences.
    Transformer {
        /// Attention heads; the published head has 4.
        heads: usize,
    },
}

impl Fusion {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// How many sequences it takes; `None` for any number.
    pub const fn sequences(self) -> Option<usize> {
        match self {
            Self::Concatenation { sequences } => Some(sequences),
            Self::Max | Self::Transformer { .. } => None,
        }
    }
}

/// Levels whose means are the compact encoder's sequence feature.
pub const SHALLOW_LEVELS: usize = 3;

/// The features a head can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PooledInput {
    /// Anatomy.
    Structure,
    /// Acquisition.
    Sequence,
    /// Both, joined.
    Fused,
}

impl PooledInput {
    /// Its name in packs and files.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Sequence => "sequence",
            Self::Fused => "fused",
        }
    }
}

/// Axes of the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Orientation {
    /// Closest to right, anterior, superior.
    #[serde(rename = "RAS")]
    Ras,
    /// The in-plane axes as they are, then the axis of the thickest slices: for scans whose
    /// slices follow an organ and not the body.
    #[serde(rename = "slices")]
    Slices,
}

/// How a scan becomes network input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// How the scan's axes are turned.
    pub orientation: Orientation,
    /// Voxel spacing in millimetres; `None` along an axis that keeps the scan's own, as
    /// thick slices do.
    pub spacing_mm: [Option<f64>; 3],
    /// Field of view in millimetres that the longer in-plane side is taken to cover where
    /// a file does not state its unit of length; see [`crate::pipeline::segment_stated`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_mm: Option<f64>,
    /// Intensity rule.
    pub intensity: IntensityRule,
    /// Voxels of a sliding window.
    pub window: [usize; 3],
    /// Part of a window shared with its neighbour, 0 to below 1.
    pub overlap: f64,
}

impl EncoderConfig {
    /// Sides of the input must be multiples of this many voxels.
    pub fn multiple(&self) -> usize {
        match self {
            Self::ResidualPyramid { channels, .. } => 1 << channels.len().saturating_sub(1),
            Self::Swin(_) => SwinConfig::MULTIPLE,
        }
    }

    /// Smallest side of an input: instance norm needs two voxels a side at the deepest map.
    pub fn smallest_side(&self) -> usize {
        2 * self.multiple()
    }

    /// Whether a scan that is larger than the pack's window may go through in one pass:
    /// convolutions do not mind; an encoder with attention keeps the size it was trained at.
    pub fn any_size(&self) -> bool {
        match self {
            Self::ResidualPyramid { .. } => true,
            Self::Swin(_) => false,
        }
    }

    /// The maps, finest first.
    pub fn maps(&self) -> Vec<MapShape> {
        match self {
            Self::ResidualPyramid { channels, .. } => channels
                .iter()
                .enumerate()
                .map(|(level, &channels)| MapShape { channels, stride: 1 << level })
                .collect(),
            Self::Swin(swin) => swin.maps(),
        }
    }

    /// Channels of the decoder's full-resolution features.
    pub fn finest_channels(&self) -> usize {
        match self {
            Self::ResidualPyramid { channels, .. } => channels.first().copied().unwrap_or(0),
            Self::Swin(swin) => swin.dim,
        }
    }

    /// Length of the feature that a head reads.
    pub fn vector_channels(&self, input: PooledInput) -> usize {
        match (self, input) {
            (Self::ResidualPyramid { channels, .. }, PooledInput::Sequence) => {
                channels.iter().take(SHALLOW_LEVELS).sum()
            }
            _ => self.deepest_channels(),
        }
    }

    /// Channels of the deepest map.
    pub fn deepest_channels(&self) -> usize {
        match self {
            Self::ResidualPyramid { channels, .. } => channels.last().copied().unwrap_or(0),
            Self::Swin(swin) => swin.deepest_channels(),
        }
    }

    /// What is wrong with the geometry, if anything.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::ResidualPyramid { in_channels, channels, convs } => {
                if *in_channels != 1 {
                    Some(format!("takes {in_channels} input channels where a scan has 1"))
                } else if !(2..=7).contains(&channels.len()) || channels.len() != convs.len() {
                    Some(format!("has {} levels and {} blocks", channels.len(), convs.len()))
                } else if channels.iter().any(|&c| c == 0 || c > 4096)
                    || convs.iter().any(|&c| c == 0 || c > 8)
                {
                    Some("has a level without channels or convolutions".into())
                } else {
                    None
                }
            }
            Self::Swin(swin) => swin.problem(),
        }
    }
}

impl Architecture {
    /// What is wrong with the parts taken together, if anything.
    pub fn problem(&self) -> Option<String> {
        if let Some(problem) = self.encoder.problem() {
            return Some(format!("its encoder {problem}"));
        }
        let deepest = self.encoder.deepest_channels();
        for head in self.pooled_heads() {
            if !self.branches && head.input != PooledInput::Fused {
                return Some(format!("head {} reads a branch that is not there", head.name));
            }
            let fits = match head.fusion {
                Fusion::Max => true,
                Fusion::Concatenation { sequences } => (1..=16).contains(&sequences),
                Fusion::Transformer { heads } => heads > 0 && deepest.is_multiple_of(heads),
            };
            if !fits {
                return Some(format!("head {} has {:?}", head.name, head.fusion));
            }
        }
        let fits = match (self.renderer, &self.encoder) {
            (None, _) => true,
            (Some(_), _) if !self.branches => false,
            (Some(RendererConfig::Modulated), EncoderConfig::Swin(_)) => true,
            (Some(RendererConfig::Styled { style }), EncoderConfig::ResidualPyramid { .. }) => {
                (1..=4096).contains(&style)
            }
            (Some(_), _) => false,
        };
        if fits { None } else { Some("its renderer does not belong to its encoder".into()) }
    }

    /// The heads on pooled features.
    pub fn pooled_heads(&self) -> impl Iterator<Item = &PooledHeadConfig> {
        self.heads.iter().filter_map(|head| match head {
            HeadConfig::Classification(head) | HeadConfig::Regression(head) => Some(head),
            HeadConfig::Segmentation { .. } | HeadConfig::LinearSegmentation { .. } => None,
        })
    }

    /// The heads on pooled features that do not answer for so many sequences, and how many each
    /// wants.
    pub fn wanting(&self, sequences: usize) -> Vec<(&str, usize)> {
        self.pooled_heads()
            .filter_map(|head| Some((head.name.as_str(), head.fusion.sequences()?)))
            .filter(|&(_, wanted)| wanted != sequences)
            .collect()
    }

    /// Whether the head of this name gives one class a scan, so that its values are probabilities.
    pub fn classifies(&self, name: &str) -> bool {
        self.heads
            .iter()
            .any(|head| matches!(head, HeadConfig::Classification(head) if head.name == name))
    }
}

impl HeadConfig {
    /// Classes of a voxel, background counted, for heads that give one.
    pub fn voxel_classes(&self) -> Option<usize> {
        match self {
            Self::Segmentation { classes, .. } | Self::LinearSegmentation { classes, .. } => {
                Some(*classes)
            }
            Self::Classification(_) | Self::Regression(_) => None,
        }
    }

    /// Name of the head and of its tensors under `heads.`
    pub fn name(&self) -> &str {
        match self {
            Self::Segmentation { name, .. } | Self::LinearSegmentation { name, .. } => name,
            Self::Classification(pooled) | Self::Regression(pooled) => &pooled.name,
        }
    }
}
