//! A block of the shifted-window transformer, and the patch merging between stages.

use burn::tensor::{Device, Int, Tensor};

use super::attention::WindowAttention;
use super::windows::{Windows, merged};
use crate::kernels;
use crate::model::config::{Merging, SwinConfig};
use crate::model::dense::{LayerNorm, Linear};
use crate::model::pack::{PackError, TensorSource};
use crate::model::prism::{Pace, Stopped};

/// Most bytes of the MLP's hidden layer at once.
const HIDDEN_BYTES: usize = 32 << 20;

/// MONAI's `SwinTransformerBlock`: attention within windows, then an MLP on every token,
/// each behind a layer norm and added to its input.
#[derive(Clone, Debug)]
pub struct SwinBlock {
    before_attention: LayerNorm,
    attention: WindowAttention,
    before_mlp: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl SwinBlock {
    /// Takes `{name}.norm1`, `.attn`, `.norm2` and `.mlp` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        name: &str,
        config: &SwinConfig,
        stage: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        let channels = config.channels(stage);
        let hidden = SwinConfig::MLP_RATIO * channels;
        let (heads, window) = (config.heads[stage], config.window);
        let attention = format!("{name}.attn");
        let (first, second) = (format!("{name}.mlp.linear1"), format!("{name}.mlp.linear2"));
        Ok(Self {
            before_attention: LayerNorm::load(source, &format!("{name}.norm1"), channels, device)?,
            attention: WindowAttention::load(source, &attention, channels, heads, window, device)?,
            before_mlp: LayerNorm::load(source, &format!("{name}.norm2"), channels, device)?,
            widen: Linear::load(source, &first, channels, hidden, device)?,
            narrow: Linear::load(source, &second, hidden, channels, device)?,
        })
    }

    /// # Shapes
    /// `[batch, tokens, channels]`, unchanged
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn forward<P: Pace>(
        &self,
        x: Tensor<3>,
        windows: &Windows,
        pace: &mut P,
    ) -> Result<Tensor<3>, Stopped> {
        let seen = windows.partition(self.before_attention.forward(x.clone()));
        let x = x + windows.reverse(self.attention.forward(seen, windows, pace).await?);
        let change = self.mlp(self.before_mlp.forward(x.clone()), pace).await?;
        Ok(x + change)
    }

    async fn mlp<P: Pace>(&self, x: Tensor<3>, pace: &mut P) -> Result<Tensor<3>, Stopped> {
        let [batch, tokens, channels] = x.dims();
        let rows = batch * tokens;
        let hidden = SwinConfig::MLP_RATIO * channels;
        let x = x.reshape([rows, channels]);
        let at_once = (HIDDEN_BYTES / (4 * hidden)).clamp(1, rows);
        let mut parts = Vec::new();
        for start in (0..rows).step_by(at_once) {
            let length = at_once.min(rows - start);
            let part = x.clone().narrow(0, start, length);
            let part = self.narrow.forward(self.widen.activated(part));
            let work = (2 * length * channels) as u64 * hidden as u64;
            pace.wait(&part.clone().unsqueeze(), work).await?;
            parts.push(part);
        }
        Ok(Tensor::cat(parts, 0).reshape([batch, tokens, channels]))
    }
}

/// MONAI's `PatchMerging`: the eight tokens of a 2x2x2 cell become one of twice the channels.
#[derive(Clone, Debug)]
pub struct PatchMerging {
    norm: LayerNorm,
    reduction: Linear,
    order: Merging,
}

impl PatchMerging {
    /// Takes `{name}.norm` and `{name}.reduction` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        name: &str,
        channels: usize,
        order: Merging,
        device: &Device,
    ) -> Result<Self, PackError> {
        let reduction = format!("{name}.reduction");
        let outputs = 2 * channels;
        Ok(Self {
            reduction: Linear::without_bias(source, &reduction, 8 * channels, outputs, device)?,
            norm: LayerNorm::load(source, &format!("{name}.norm"), 8 * channels, device)?,
            order,
        })
    }

    /// # Shapes
    /// `[batch, tokens, channels]` to `[batch, tokens / 8, 2 * channels]`; `cells` is
    /// [`PatchMerging::cells`] of the tokens' grid
    pub fn forward(&self, x: Tensor<3>, cells: &Tensor<1, Int>) -> Tensor<3> {
        let [batch, tokens, channels] = x.dims();
        let cells = kernels::take_rows(x, cells).reshape([batch, tokens / 8, 8 * channels]);
        self.reduction.forward(self.norm.forward(cells))
    }

    /// The tokens of each cell of a grid with even sides, one cell behind the other.
    pub fn cells(&self, dims: [usize; 3], device: &Device) -> Tensor<1, Int> {
        merged(dims, self.order.offsets(), device)
    }
}
