//! Operations on rows of channels: what a transformer needs beside attention.

use burn::tensor::{DType, Int, Tensor, activation};

use super::{flex, gpu};

/// Layer norm of each row: `scale * (x - mean) / sqrt(var + eps) + shift`
/// (arXiv 1607.06450).
///
/// # Shapes
/// `x` `[rows, channels]`, `scale` and `shift` `[channels]`
pub fn layer_norm(x: Tensor<2>, scale: &Tensor<1>, shift: &Tensor<1>) -> Tensor<2> {
    if flex::runs_on(&x.device()) {
        flex::layer_norm(x, scale, shift)
    } else {
        gpu::layer_norm(x, scale, shift)
    }
}

/// `x * (1 + erf(x / sqrt 2)) / 2` (arXiv 1606.08415), the exact form, not the one with tanh.
///
/// # Shapes
/// `[rows, channels]`, unchanged
pub fn gelu(x: Tensor<2>) -> Tensor<2> {
    if flex::runs_on(&x.device()) { flex::gelu(x) } else { activation::gelu(x) }
}

/// `x weight + bias`, then an optional [`gelu`].
///
/// # Shapes
/// `x` `[rows, inputs]`, `weight` `[inputs, outputs]`, `bias` `[outputs]`, to
/// `[rows, outputs]`
pub fn linear(
    x: Tensor<2>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    activate: bool,
) -> Tensor<2> {
    if !flex::runs_on(&x.device()) && weight.dims()[1].is_multiple_of(gpu::LANES) {
        return gpu::linear(x, weight, bias, activate);
    }
    // Sums are in single precision; `x` is kept as it came.
    let kept = x.dtype();
    let mut y = x.cast(DType::F32).matmul(weight.clone().cast(DType::F32));
    if let Some(bias) = bias {
        y = y + bias.clone().unsqueeze();
    }
    let y = if activate { gelu(y) } else { y };
    y.cast(kept)
}

/// Rows by index; where more are taken than there are, the number of rows stands for a row
/// of zeros.
///
/// # Shapes
/// `x` `[batch, rows, channels]`, `index` `[taken]`, to `[batch, taken, channels]`
pub fn take_rows(x: Tensor<3>, index: &Tensor<1, Int>) -> Tensor<3> {
    if !flex::runs_on(&x.device()) {
        return gpu::take_rows(x, index);
    }
    let [batch, rows, channels] = x.dims();
    // Without padding the extra row would only be copied about.
    if index.dims()[0] <= rows {
        return x.select(1, index.clone());
    }
    let zeros = Tensor::zeros([batch, 1, channels], &x.device());
    Tensor::cat(vec![x, zeros], 1).select(1, index.clone())
}
