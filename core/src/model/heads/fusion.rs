//! One feature from those of several sequences, as PRISM publishes it: the largest value of
//! each channel, a linear layer on all of them, or a transformer block.

use burn::tensor::{Device, Tensor, activation};

use crate::model::config::Fusion;
use crate::model::dense::{LayerNorm, Linear};
use crate::model::pack::{PackError, TensorSource};

/// How sequences become one.
#[allow(clippy::large_enum_variant, reason = "a network holds few and moves none")]
#[derive(Clone, Debug)]
pub enum SequenceFusion {
    /// Largest value of each channel (`mil` in the published code).
    Max,
    /// One behind the other, then linear (`cat`).
    Concatenation {
        /// Number of sequences.
        sequences: usize,
        /// Back to the channels of one.
        linear: Linear,
    },
    /// A transformer block behind a class token (`trans`).
    Transformer(Box<TransformerFusion>),
}

impl SequenceFusion {
    /// Takes `{name}.*` from the pack.
    ///
    /// # Errors
    /// [`PackError`] when a tensor is missing or has another shape.
    pub fn load(
        source: &mut TensorSource,
        name: &str,
        config: Fusion,
        channels: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        Ok(match config {
            Fusion::Max => Self::Max,
            Fusion::Concatenation { sequences } => Self::Concatenation {
                sequences,
                linear: Linear::load(source, name, sequences * channels, channels, device)?,
            },
            Fusion::Transformer { heads } => Self::Transformer(Box::new(TransformerFusion::load(
                source, name, channels, heads, device,
            )?)),
        })
    }

    /// One feature of all sequences' features; `None` for another number of sequences than
    /// the weights are for.
    ///
    /// # Shapes
    /// each `[batch, channels]`, to `[batch, channels]`
    pub fn forward(&self, features: Vec<Tensor<2>>) -> Option<Tensor<2>> {
        match self {
            Self::Max => features.into_iter().reduce(Tensor::max_pair),
            Self::Concatenation { sequences, linear } => {
                (features.len() == *sequences).then(|| linear.forward(Tensor::cat(features, 1)))
            }
            Self::Transformer(block) => {
                (!features.is_empty()).then(|| block.forward(Tensor::stack(features, 1)))
            }
        }
    }
}

/// MONAI's `TransformerBlock(channels, channels, heads, with_cross_attention=True)` on a
/// learned class token and the sequences' features, without positions; the token's output is
/// the feature. Called without context, the block's cross-attention looks at its own input:
///
/// `x += attn(norm1(x)); x += cross_attn(norm_cross_attn(x)); x += mlp(norm2(x))`
///
/// with an MLP as wide as its input and GELU (arXiv 2010.11929).
#[derive(Clone, Debug)]
pub struct TransformerFusion {
    token: Tensor<3>,
    heads: usize,
    norms: [LayerNorm; 3],
    /// Query, key and value in one.
    joint: Linear,
    joint_output: Linear,
    query: Linear,
    key: Linear,
    value: Linear,
    cross_output: Linear,
    widen: Linear,
    narrow: Linear,
}

impl TransformerFusion {
    fn load(
        source: &mut TensorSource,
        name: &str,
        channels: usize,
        heads: usize,
        device: &Device,
    ) -> Result<Self, PackError> {
        let token = source.take(&format!("{name}.cls_token"), [1, 1, channels], device)?;
        let mut norm =
            |part: &str| LayerNorm::load(source, &format!("{name}.{part}"), channels, device);
        let norms = [norm("norm1")?, norm("norm_cross_attn")?, norm("norm2")?];
        let mut plain = |part: &str, outputs: usize| {
            Linear::without_bias(source, &format!("{name}.{part}"), channels, outputs, device)
        };
        let joint = plain("attn.qkv", 3 * channels)?;
        let [query, key, value] = [
            plain("cross_attn.to_q", channels)?,
            plain("cross_attn.to_k", channels)?,
            plain("cross_attn.to_v", channels)?,
        ];
        let mut biased = |part: &str| {
            Linear::load(source, &format!("{name}.{part}"), channels, channels, device)
        };
        Ok(Self {
            token,
            heads,
            norms,
            joint,
            joint_output: biased("attn.out_proj")?,
            query,
            key,
            value,
            cross_output: biased("cross_attn.out_proj")?,
            widen: biased("mlp.linear1")?,
            narrow: biased("mlp.linear2")?,
        })
    }

    /// `[batch, sequences, channels]` to `[batch, channels]`.
    fn forward(&self, features: Tensor<3>) -> Tensor<2> {
        let [batch, _, channels] = features.dims();
        let token = self.token.clone().expand([batch, 1, channels]);
        let x = Tensor::cat(vec![token, features], 1);
        let joint = self.joint.forward(self.norms[0].forward(x.clone()));
        let [query, key, value] =
            [0, 1, 2].map(|part| joint.clone().narrow(2, part * channels, channels));
        let x = x + self.joint_output.forward(self.attend(query, key, value));
        let seen = self.norms[1].forward(x.clone());
        let [query, key, value] =
            [&self.query, &self.key, &self.value].map(|linear| linear.forward(seen.clone()));
        let x = x + self.cross_output.forward(self.attend(query, key, value));
        let seen = self.norms[2].forward(x.clone());
        let x = x + self.narrow.forward(self.widen.activated(seen));
        x.narrow(1, 0, 1).reshape([batch, channels])
    }

    fn attend(&self, query: Tensor<3>, key: Tensor<3>, value: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, channels] = query.dims();
        let each = channels / self.heads;
        let split = |x: Tensor<3>| x.reshape([batch, tokens, self.heads, each]).swap_dims(1, 2);
        let scores = split(query).matmul(split(key).swap_dims(2, 3)) * (each as f32).powf(-0.5);
        let mixed = activation::softmax(scores, 3).matmul(split(value));
        mixed.swap_dims(1, 2).reshape([batch, tokens, channels])
    }
}
