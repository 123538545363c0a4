//! What a pack says of its network: geometry, heads, preprocessing.

use serde::{Deserialize, Serialize};

use crate::volume::IntensityRule;

/// Geometry of encoder, decoder and heads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// The encoder; the decoder mirrors it.
    pub encoder: EncoderConfig,
    /// The heads, at most one of them a segmentation.
    pub heads: Vec<HeadConfig>,
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
}

/// The deepest maps a head can pool.
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

/// How a scan becomes network input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Axis directions; `RAS` is the only one known.
    pub orientation: String,
    /// Voxel spacing in millimetres.
    pub spacing_mm: [f64; 3],
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
        }
    }

    /// Smallest side of an input: instance norm needs two voxels a side at the deepest map.
    pub fn smallest_side(&self) -> usize {
        2 * self.multiple()
    }

    /// Channels of the full-resolution map.
    pub fn finest_channels(&self) -> usize {
        match self {
            Self::ResidualPyramid { channels, .. } => channels.first().copied().unwrap_or(0),
        }
    }

    /// Channels of the deepest map.
    pub fn deepest_channels(&self) -> usize {
        match self {
            Self::ResidualPyramid { channels, .. } => channels.last().copied().unwrap_or(0),
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
        }
    }
}

impl Architecture {
    /// Whether the head of this name gives one class a scan, so that its values are probabilities.
    pub fn classifies(&self, name: &str) -> bool {
        self.heads
            .iter()
            .any(|head| matches!(head, HeadConfig::Classification(head) if head.name == name))
    }
}

impl HeadConfig {
    /// Name of the head and of its tensors under `heads.`
    pub fn name(&self) -> &str {
        match self {
            Self::Segmentation { name, .. } => name,
            Self::Classification(pooled) | Self::Regression(pooled) => &pooled.name,
        }
    }
}
