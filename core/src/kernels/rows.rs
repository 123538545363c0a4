//! Operations on rows of channels: what a transformer needs beside matrix products.

use burn::tensor::{Tensor, activation};

use super::{NORM_EPSILON, flex};

/// Layer norm of each row: `scale * (x - mean) / sqrt(var + eps) + shift`
/// (arXiv 1607.06450).
///
/// # Shapes
/// `x` `[rows, channels]`, `scale` and `shift` `[channels]`
pub fn layer_norm(x: Tensor<2>, scale: &Tensor<1>, shift: &Tensor<1>) -> Tensor<2> {
    if flex::runs_on(&x.device()) {
        return flex::layer_norm(x, scale, shift);
    }
    let centred = x.clone() - x.mean_dim(1);
    let variance = centred.clone().powi_scalar(2).mean_dim(1);
    let normed = centred / (variance + NORM_EPSILON).sqrt();
    normed * scale.clone().unsqueeze() + shift.clone().unsqueeze()
}

/// `x * (1 + erf(x / sqrt 2)) / 2` (arXiv 1606.08415), the exact form, not the one with tanh.
///
/// # Shapes
/// `[rows, channels]`, unchanged
pub fn gelu(x: Tensor<2>) -> Tensor<2> {
    if flex::runs_on(&x.device()) { flex::gelu(x) } else { activation::gelu(x) }
}
