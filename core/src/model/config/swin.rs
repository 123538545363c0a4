//! Geometry of the published encoder, and the names its tensors have in a pack.
//!
//! PRISM (github.com/zqiuak/PRISM, Apache-2.0) is MONAI's `SwinTransformer` with
//! `use_v2=True`, trained with MONAI 1.4.0. A pack keeps the checkpoint's own names, so
//! that importing is a matter of copying:
//!
//! | part | tensors |
//! | --- | --- |
//! | encoder | `swinViT.patch_embed.proj.{weight,bias}` |
//! | | `swinViT.layers{1..4}c.0.layer.{conv1,conv2}.conv.weight` |
//! | | `swinViT.layers{1..4}.0.blocks.{i}.{norm1,norm2}.{weight,bias}` |
//! | | `swinViT.layers{1..4}.0.blocks.{i}.attn.relative_position_bias_table` |
//! | | `swinViT.layers{1..4}.0.blocks.{i}.attn.{qkv,proj}.{weight,bias}` |
//! | | `swinViT.layers{1..4}.0.blocks.{i}.mlp.{linear1,linear2}.{weight,bias}` |
//! | | `swinViT.layers{1..4}.0.downsample.{reduction.weight,norm.weight,norm.bias}` |
//! | decoder (`SwinUNETR`) | `encoder{1,2,3,4,10}.layer.{conv1,conv2}.conv.weight`, for `encoder1` also `.layer.conv3.conv.weight` |
//! | | `decoder{1..5}.transp_conv.conv.weight`, `decoder{1..5}.conv_block.{conv1,conv2,conv3}.conv.weight` |
//! | segmentation head | `out.conv.conv.{weight,bias}` |
//! | branches | `structure_disentanglement.0.{weight,bias}`, `sequence_disentanglement.0.{weight,bias}`, `latent_agg.0.{weight,bias}` |
//! | renderer | `decoder{1..5}.0.weight`, `decoder{1..5}.0.projector.{weight,bias}`, `recon_head.{weight,bias}`, `w_mapping.noise_mapping.{0..3}.0.{weight,bias}`, `mix_w.mix_conv.{weight,bias}` |
//!
//! A checkpoint of the pretraining repeats most of these under `D.` and `G.` (its two
//! optimisers' groups); a fine-tuned classifier has its encoder under `encoders.0.swinViT`.
//! `relative_position_index` is derived from the window and never stored. Pooled heads
//! have the names that every pack gives them (`super::super::heads::PooledHead`).
//! `super::super::Prism::tensors` lists names and shapes of any architecture.

use serde::{Deserialize, Serialize};

use super::MapShape;

/// MONAI `SwinTransformer`, `use_v2=True`, patches of 2x2x2, MLP four times as wide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwinConfig {
    /// Input channels.
    pub in_channels: usize,
    /// Channels after the patch embedding; every stage doubles them.
    pub dim: usize,
    /// Attention blocks of each stage.
    pub depths: [usize; 4],
    /// Attention heads of each stage.
    pub heads: [usize; 4],
    /// Side of the attention window, in tokens.
    pub window: usize,
    /// Which neighbours a patch merging puts together.
    pub merging: Merging,
}

/// The order in which patch merging takes the eight voxels of a 2x2x2 cell. It is not in
/// the checkpoint: weights only give the right answer with the order they were trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merging {
    /// `PatchMerging` before MONAI 1.5.0, the published weights' order: two voxels are
    /// taken twice and two are left out (MONAI pull request 8285).
    Repeated,
    /// `PatchMerging` from MONAI 1.5.0 on.
    Corners,
    /// `PatchMergingV2`: last axis fastest.
    Ordered,
}

impl Merging {
    /// Offsets within a cell, in the order their channels are joined.
    pub fn offsets(self) -> [[usize; 3]; 8] {
        match self {
            Self::Repeated => [
                [0, 0, 0],
                [1, 0, 0],
                [0, 1, 0],
                [0, 0, 1],
                [1, 0, 1],
                [0, 1, 0],
                [0, 0, 1],
                [1, 1, 1],
            ],
            Self::Corners => [
                [0, 0, 0],
                [1, 0, 0],
                [0, 1, 0],
                [0, 0, 1],
                [1, 1, 0],
                [1, 0, 1],
                [0, 1, 1],
                [1, 1, 1],
            ],
            Self::Ordered => [0, 1, 2, 3, 4, 5, 6, 7].map(|i| [i >> 2 & 1, i >> 1 & 1, i & 1]),
        }
    }
}

impl SwinConfig {
    /// Stages, each of which halves the resolution.
    pub const STAGES: usize = 4;

    /// Sides of the input must be multiples of this: the patches and four stages halve them.
    pub const MULTIPLE: usize = 32;

    /// How much wider the MLP's hidden layer is.
    pub const MLP_RATIO: usize = 4;

    /// The published sizes: `swin-b`, `swin-l`, `swin-h`.
    pub fn published(name: &str) -> Option<Self> {
        let (dim, depths) = match name {
            "swin-b" => (48, [2, 2, 2, 2]),
            "swin-l" => (96, [2, 2, 6, 2]),
            "swin-h" => (192, [2, 2, 18, 2]),
            _ => return None,
        };
        let heads = [3, 6, 12, 24];
        Some(Self { in_channels: 1, dim, depths, heads, window: 7, merging: Merging::Repeated })
    }

    /// Channels in a stage, counted from 0.
    pub fn channels(&self, stage: usize) -> usize {
        self.dim << stage
    }

    /// The maps, finest first: after the patch embedding, then after each stage.
    pub fn maps(&self) -> Vec<MapShape> {
        let shape = |stage| MapShape { channels: self.channels(stage), stride: 2 << stage };
        (0..=Self::STAGES).map(shape).collect()
    }

    /// Channels of the deepest map.
    pub fn deepest_channels(&self) -> usize {
        self.channels(Self::STAGES)
    }

    /// What is wrong with the geometry, if anything.
    pub fn problem(&self) -> Option<String> {
        let heads_fit = self
            .heads
            .iter()
            .enumerate()
            .all(|(stage, &heads)| heads > 0 && self.channels(stage).is_multiple_of(heads));
        if self.in_channels != 1 {
            Some(format!("takes {} input channels where a scan has 1", self.in_channels))
        } else if !(1..=384).contains(&self.dim) {
            Some(format!("has {} channels", self.dim))
        } else if self.depths.iter().any(|depth| !(1..=64).contains(depth)) {
            Some(format!("has stages of {:?} blocks", self.depths))
        } else if !heads_fit {
            Some(format!("has {:?} heads for {} channels and their doubles", self.heads, self.dim))
        } else if !(2..=16).contains(&self.window) {
            Some(format!("has windows of {} tokens a side", self.window))
        } else {
            None
        }
    }
}
