//! Multi-head self-attention within windows, a few windows at a time.

use burn::tensor::{Device, Tensor};

use super::windows::Windows;
use crate::kernels;
use crate::model::dense::Linear;
use crate::model::pack::{PackError, TensorSource};
use crate::model::prism::{Pace, Stopped};

/// Most bytes of queries, keys and values at once, so that a buffer is no larger and a slow
/// device takes no more than a second for them.
const JOINT_BYTES: usize = 32 << 20;

/// MONAI's `WindowAttention` (arXiv 2103.14030).
#[derive(Clone, Debug)]
pub struct WindowAttention {
    joint: Linear,
    output: Linear,
    /// `[heads, (2 * window - 1)^3]`, the other way round than in the pack.
    bias: Tensor<2>,
}

impl WindowAttention {
    /// Takes `{name}.qkv`, `.proj` and `.relative_position_bias_table` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        name: &str,
        channels: usize,
        heads: usize,
        window: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        let positions = (2 * window - 1).pow(3);
        let table = format!("{name}.relative_position_bias_table");
        let bias: Tensor<2> = source.take(&table, [positions, heads], device)?;
        Ok(Self {
            bias: bias.transpose(),
            joint: Linear::load(source, &format!("{name}.qkv"), channels, 3 * channels, device)?,
            output: Linear::load(source, &format!("{name}.proj"), channels, channels, device)?,
        })
    }

    /// Attention of every window to itself.
    ///
    /// # Shapes
    /// `[batch * count, tokens, channels]`, unchanged
    ///
    /// # Errors
    /// [`Stopped`] when `pace` says so.
    pub async fn forward<P: Pace>(
        &self,
        x: Tensor<3>,
        windows: &Windows,
        pace: &mut P,
    ) -> Result<Tensor<3>, Stopped> {
        let [count, tokens, channels] = x.dims();
        let at_once = (JOINT_BYTES / (12 * channels * tokens)).clamp(1, count.max(1));
        let mut parts = Vec::new();
        for start in (0..count).step_by(at_once) {
            let length = at_once.min(count - start);
            let joint = self.joint.forward(x.clone().narrow(0, start, length));
            let mixed = kernels::window_attention(joint, &self.bias, &windows.places, start);
            let part = self.output.forward(mixed);
            let work = (length * tokens * channels) as u64 * (4 * channels + 2 * tokens) as u64;
            pace.wait(&part.clone().unsqueeze(), work).await?;
            parts.push(part);
        }
        Ok(Tensor::cat(parts, 0))
    }
}
