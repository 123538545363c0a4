//! The published decoder: MONAI's `SwinUNETR` (arXiv 2201.01266) on the Swin encoder's maps,
//! down to its logits.

use burn::tensor::{Device, Tensor};

use crate::model::config::SwinConfig;
use crate::model::conv_weight::ConvWeight;
use crate::model::groups::ChannelGroups;
use crate::model::layers::Pointwise;
use crate::model::pack::{PackError, TensorSource};
use crate::model::prism::{Features, Pace, Stopped};
use crate::model::unetr::{UnetrBlock, UnetrJoin};

/// Blocks on the skips, and transposed convolutions that join them.
#[derive(Clone, Debug)]
pub struct SwinUnetrDecoder {
    /// `encoder1` on the scan, then `encoder2`, `encoder3`, `encoder4` on the first maps.
    skips: Vec<UnetrBlock>,
    /// `encoder10`, on the deepest map.
    deepest: UnetrBlock,
    /// `decoder1` to `decoder5`, finest first.
    levels: Vec<Level>,
    out: Pointwise,
}

#[derive(Clone, Debug)]
struct Level {
    up: Doubling,
    join: UnetrJoin,
}

impl SwinUnetrDecoder {
    /// How often a pass calls [`Pace::step`].
    pub const STEPS: usize = 6;

    /// Takes `encoder{1,2,3,4,10}`, `decoder{1..5}` and `out` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        config: &SwinConfig,
        classes: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        let dim = config.dim;
        let mut skips = Vec::new();
        for (i, inputs) in [config.in_channels, dim, 2 * dim, 4 * dim].into_iter().enumerate() {
            let name = format!("encoder{}.layer", i + 1);
            skips.push(UnetrBlock::load(source, &name, inputs, inputs.max(dim), device)?);
        }
        let last = config.deepest_channels();
        let deepest = UnetrBlock::load(source, "encoder10.layer", last, last, device)?;
        let mut levels = Vec::new();
        for i in 0..=SwinConfig::STAGES {
            let name = format!("decoder{}", i + 1);
            // Full and half resolution both have `dim` channels.
            let (inputs, outputs) = (dim << i, dim << i.saturating_sub(1));
            let transposed = format!("{name}.transp_conv.conv.weight");
            let block = format!("{name}.conv_block");
            levels.push(Level {
                up: Doubling::load(source, &transposed, inputs, outputs, device)?,
                join: UnetrJoin::load(source, &block, outputs, device)?,
            });
        }
        let out = Pointwise::load(source, "out.conv.conv", dim, classes, device)?;
        Ok(Self { skips, deepest, levels, out })
    }

    /// # Shapes
    /// scan and maps to `[batch, classes, x, y, z]`
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn forward<P: Pace>(
        &self,
        features: Features,
        pace: &mut P,
    ) -> Result<Tensor<5>, Stopped> {
        let Features { input, mut maps, .. } = features;
        let last = maps.pop().ok_or(Stopped)?;
        // Buffers that are free are kept for maps of their size, of which other levels have none.
        let device = input.device();
        device.memory_cleanup();
        // `decoder5` takes its skip as the encoder left it; the others' run through a block,
        // each only when it is needed.
        let mut x = self.deepest.forward(last.into(), pace).await?;
        pace.step(x.latest()).await?;
        for (i, level) in self.levels.iter().enumerate().rev() {
            let skip = match i.checked_sub(1) {
                Some(above) => maps.remove(above),
                None => input.clone(),
            };
            let skip = match self.skips.get(i) {
                Some(block) => block.forward(skip.into(), pace).await?,
                None => skip.into(),
            };
            x = level.join.forward(move || level.up.forward(x), skip, pace).await?;
            pace.step(x.latest()).await?;
            device.memory_cleanup();
        }
        Ok(self.out.on_groups(&x))
    }
}

/// Transposed convolution of 2x2x2 with stride 2: every voxel becomes a cell, so it is a
/// 1x1x1 convolution to eight times the channels and a rearrangement.
#[derive(Clone, Debug)]
struct Doubling {
    /// `[outputs * 8, inputs, 1, 1, 1]`
    weight: ConvWeight,
}

impl Doubling {
    /// Takes `name` `[inputs, outputs, 2, 2, 2]` from the pack.
    fn load(
        source: &mut TensorSource,
        name: &str,
        inputs: usize,
        outputs: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        let values = source.values(name, &[inputs, outputs, 2, 2, 2])?;
        // Turned here: on the device it could not be bound in one piece.
        let mut turned = vec![0.0; values.len()];
        for (input, row) in values.chunks_exact(8 * outputs).enumerate() {
            for (output, &value) in row.iter().enumerate() {
                turned[output * inputs + input] = value;
            }
        }
        drop(values);
        let shape = [8 * outputs, inputs, 1, 1, 1];
        Ok(Self { weight: ConvWeight::of_values(source, turned, shape, device) })
    }

    /// # Shapes
    /// `[batch, inputs, x, y, z]` to `[batch, outputs, 2x, 2y, 2z]`
    fn forward(&self, x: ChannelGroups) -> ChannelGroups {
        let [batch, _, nx, ny, nz] = x.latest().dims();
        let outputs = self.weight.dims()[0] / 8;
        ChannelGroups::build(outputs, 8 * batch * nx * ny * nz, |(start, length)| {
            x.pass(&self.weight.of_outputs(8 * start, 8 * length))
                .reshape([batch * length, 2, 2, 2, nx, ny, nz])
                .permute([0, 4, 1, 5, 2, 6, 3])
                .reshape([batch, length, 2 * nx, 2 * ny, 2 * nz])
        })
    }
}
