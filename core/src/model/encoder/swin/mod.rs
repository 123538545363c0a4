//! The published encoder: MONAI's `SwinTransformer` with `use_v2=True` (arXiv 2103.14030,
//! 2201.01266).
//!
//! A scan is cut into patches of 2x2x2 voxels; four stages follow, each a residual
//! convolution block, attention within windows (every second time shifted by half a
//! window), and a merging that halves the resolution and doubles the channels. Between the
//! stages tokens lie `[batch, tokens, channels]`, last axis of the grid fastest.

mod attention;
mod block;
mod windows;

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Int, Tensor};

use crate::kernels;
use crate::model::config::SwinConfig;
use crate::model::dense::LayerNorm;
use crate::model::pack::{PackError, TensorSource};
use crate::model::prism::{Pace, Stopped};
use crate::model::unetr::UnetrBlock;
use block::{PatchMerging, SwinBlock};
use windows::Windows;

/// Encoder of [`crate::model::EncoderConfig::Swin`].
#[derive(Clone, Debug)]
pub struct SwinTransformer {
    embedding: PatchEmbedding,
    stages: Vec<Stage>,
    window: usize,
    /// Of the last pass: the next one's input mostly has the same size.
    grids: Arc<Mutex<Option<Arc<Grids>>>>,
}

/// What goes where in a pass over an input of one size.
#[derive(Debug)]
struct Grids {
    /// Sides of the patches' grid.
    dims: [usize; 3],
    /// For each stage windows as they are, windows shifted, and the merging's cells.
    stages: Vec<([Windows; 2], Tensor<1, Int>)>,
}

#[derive(Clone, Debug)]
struct Stage {
    convolution: UnetrBlock,
    blocks: Vec<SwinBlock>,
    merging: PatchMerging,
}

impl SwinTransformer {
    /// Takes `swinViT.*` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        config: &SwinConfig,
        device: &Device,
    ) -> Result<Self, PackError> {
        let embedding = PatchEmbedding::load(source, config, device)?;
        let mut stages = Vec::with_capacity(SwinConfig::STAGES);
        for stage in 0..SwinConfig::STAGES {
            let name = format!("swinViT.layers{}", stage + 1);
            let channels = config.channels(stage);
            let convolution = format!("{name}c.0.layer");
            let merging = format!("{name}.0.downsample");
            stages.push(Stage {
                convolution: UnetrBlock::load(source, &convolution, channels, channels, device)?,
                blocks: (0..config.depths[stage])
                    .map(|i| {
                        let name = format!("{name}.0.blocks.{i}");
                        SwinBlock::load(source, &name, config, stage, device)
                    })
                    .collect::<Result<_, _>>()?,
                merging: PatchMerging::load(source, &merging, channels, config.merging, device)?,
            });
        }
        Ok(Self { embedding, stages, window: config.window, grids: Arc::default() })
    }

    /// How often a pass calls [`Pace::step`].
    pub fn steps(&self) -> usize {
        1 + self.stages.iter().map(|stage| stage.blocks.len() + 2).sum::<usize>()
    }

    /// Five maps, the patches' first, normalised over their channels without affine as
    /// MONAI puts them out (`proj_out`).
    ///
    /// # Shapes
    /// `[batch, in_channels, x, y, z]` to `[batch, dim * 2^i, x / 2^(i+1), ...]`
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn forward<P: Pace>(
        &self,
        x: Tensor<5>,
        pace: &mut P,
    ) -> Result<Vec<Tensor<5>>, Stopped> {
        let [_, _, nx, ny, nz] = x.dims();
        let mut dims = [nx, ny, nz].map(|side| side / 2);
        let grids = self.grids(dims, &x.device());
        let mut x = self.embedding.forward(x);
        let mut maps = vec![put_out(&x, dims)];
        pace.step(&maps[0]).await?;
        for (stage, (windows, cells)) in self.stages.iter().zip(&grids.stages) {
            let map = stage.convolution.in_parts(to_map(x, dims), pace).await?;
            pace.step(&map).await?;
            x = to_tokens(map);
            for (i, block) in stage.blocks.iter().enumerate() {
                x = block.forward(x, &windows[i % 2], pace).await?;
                pace.step(&x.clone().unsqueeze()).await?;
            }
            x = stage.merging.forward(x, cells);
            dims = dims.map(|side| side / 2);
            let map = put_out(&x, dims);
            pace.step(&map).await?;
            maps.push(map);
        }
        Ok(maps)
    }

    /// Those of the last pass, or new ones for another size.
    fn grids(&self, dims: [usize; 3], device: &Device) -> Arc<Grids> {
        let mut kept = self.grids.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(grids) = kept.as_ref().filter(|grids| grids.dims == dims) {
            return grids.clone();
        }
        let mut at = dims;
        let stages = self.stages.iter().map(|stage| {
            let windows =
                [false, true].map(|shifted| Windows::new(at, self.window, shifted, device));
            let cells = stage.merging.cells(at, device);
            at = at.map(|side| side / 2);
            (windows, cells)
        });
        let grids = Arc::new(Grids { dims, stages: stages.collect() });
        *kept = Some(grids.clone());
        grids
    }
}

/// Patches of 2x2x2 voxels, each a linear function of its voxels.
#[derive(Clone, Debug)]
struct PatchEmbedding {
    /// `[8, dim]`
    weight: Tensor<2>,
    bias: Tensor<1>,
}

impl PatchEmbedding {
    fn load(
        source: &mut TensorSource,
        config: &SwinConfig,
        device: &Device,
    ) -> Result<Self, PackError> {
        let name = "swinViT.patch_embed.proj";
        let shape = [config.dim, config.in_channels, 2, 2, 2];
        let weight: Tensor<5> = source.take(&format!("{name}.weight"), shape, device)?;
        Ok(Self {
            weight: weight.reshape([config.dim, 8 * config.in_channels]).transpose(),
            bias: source.take(&format!("{name}.bias"), [config.dim], device)?,
        })
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<3> {
        let [batch, channels, nx, ny, nz] = x.dims();
        let [values, dim] = self.weight.dims();
        let tokens = nx * ny * nz / 8;
        let patches = x
            .reshape([batch * channels, nx / 2, 2, ny / 2, 2, nz / 2, 2])
            .permute([0, 1, 3, 5, 2, 4, 6])
            .reshape([batch, channels, tokens, 8])
            .swap_dims(1, 2)
            .reshape([batch * tokens, values]);
        kernels::linear(patches, &self.weight, Some(&self.bias), false)
            .reshape([batch, tokens, dim])
    }
}

/// `[batch, tokens, channels]` to `[batch, channels, x, y, z]`.
fn to_map(x: Tensor<3>, [nx, ny, nz]: [usize; 3]) -> Tensor<5> {
    let [batch, _, channels] = x.dims();
    x.swap_dims(1, 2).reshape([batch, channels, nx, ny, nz])
}

fn to_tokens(map: Tensor<5>) -> Tensor<3> {
    let [batch, channels, nx, ny, nz] = map.dims();
    map.reshape([batch, channels, nx * ny * nz]).swap_dims(1, 2)
}

fn put_out(x: &Tensor<3>, dims: [usize; 3]) -> Tensor<5> {
    let channels = x.dims()[2];
    to_map(LayerNorm::plain(channels, &x.device()).forward(x.clone()), dims)
}
