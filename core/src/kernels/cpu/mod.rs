//! CPU kernels on plain slices: `[channels, x, y, z]`, z fastest.
//!
//! Vectorised through pulp (AVX2 with FMA where the processor has it, simd128 in the
//! browser), parallel over rayon natively. burn's own CPU convolution writes every
//! patch out before it multiplies (im2col); with 16 channels that costs more than the
//! multiplication.

mod conv;
mod norm;
mod rows;
mod upsample;

pub use conv::{Conv, conv3d};
pub use norm::instance_norm;
pub use rows::{ERF_END, ERF_EVEN, ERF_ODD, gelu, layer_norm};
pub use upsample::upsample_add;

/// Runs `work` for every item, on all cores natively.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn for_each<T: Send>(items: Vec<T>, work: impl Fn(T) + Sync + Send) {
    use rayon::prelude::*;
    items.into_par_iter().for_each(work);
}

/// Runs `work` for every item.
#[cfg(target_arch = "wasm32")]
pub(crate) fn for_each<T>(items: Vec<T>, work: impl Fn(T)) {
    items.into_iter().for_each(work);
}
