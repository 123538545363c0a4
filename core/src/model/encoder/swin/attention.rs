//! Multi-head self-attention within windows, a few windows at a time.

use burn::tensor::{Device, Tensor, activation};

use super::windows::{Windows, relative_positions};
use crate::model::dense::Linear;
use crate::model::pack::{PackError, TensorSource};

/// Most bytes of scores at once. All windows of a 96x96x96 crop would have 484 MB of them
/// in the first stage, more than a WebGPU buffer may hold.
const SCORE_BYTES: usize = 16 << 20;

/// MONAI's `WindowAttention` (arXiv 2103.14030).
#[derive(Clone, Debug)]
pub struct WindowAttention {
    joint: Linear,
    output: Linear,
    /// `[(2 * window - 1)^3, heads]`
    bias: Tensor<2>,
    heads: usize,
    window: usize,
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
        Ok(Self {
            bias: source.take(&table, [positions, heads], device)?,
            joint: Linear::load(source, &format!("{name}.qkv"), channels, 3 * channels, device)?,
            output: Linear::load(source, &format!("{name}.proj"), channels, channels, device)?,
            heads,
            window,
        })
    }

    /// Attention of every window to itself.
    ///
    /// # Shapes
    /// `[batch * count, tokens, channels]`, unchanged
    pub fn forward(&self, x: Tensor<3>, windows: &Windows) -> Tensor<3> {
        let [count, tokens, _] = x.dims();
        let device = x.device();
        let bias = self
            .bias
            .clone()
            .select(0, relative_positions(self.window, tokens, &device))
            .transpose()
            .reshape([1, self.heads, tokens, tokens]);
        let at_once = (SCORE_BYTES / (4 * self.heads * tokens * tokens)).clamp(1, count);
        let parts = (0..count)
            .step_by(at_once)
            .map(|start| {
                let length = at_once.min(count - start);
                let bias = match windows.mask(start, length, &device) {
                    Some(mask) => bias.clone() + mask,
                    None => bias.clone(),
                };
                self.attend(x.clone().narrow(0, start, length), bias)
            })
            .collect();
        Tensor::cat(parts, 0)
    }

    /// `softmax(q k^T / sqrt(d) + bias) v`, heads joined and projected.
    fn attend(&self, x: Tensor<3>, bias: Tensor<4>) -> Tensor<3> {
        let [count, tokens, channels] = x.dims();
        let each = channels / self.heads;
        let joint = self.joint.forward(x);
        let [query, key, value] = [0, 1, 2].map(|part| {
            joint
                .clone()
                .narrow(2, part * channels, channels)
                .reshape([count, tokens, self.heads, each])
                .swap_dims(1, 2)
        });
        let query = query * (each as f32).powf(-0.5);
        let scores = query.matmul(key.swap_dims(2, 3)) + bias;
        let mixed = activation::softmax(scores, 3).matmul(value);
        self.output.forward(mixed.swap_dims(1, 2).reshape([count, tokens, channels]))
    }
}
