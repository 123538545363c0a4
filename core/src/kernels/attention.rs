//! Attention within windows, with a bias for the tokens' relative positions.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};

use super::{flex, gpu};

/// What is added to the score of two tokens of different regions, as MONAI.
pub(super) const APART: f32 = -100.0;

/// Most bytes of scores to hold at once on the CPU.
const SCORE_BYTES: usize = 16 << 20;

/// Where the tokens of a window lie.
#[derive(Clone, Debug)]
pub struct WindowPlaces {
    /// `[tokens]`: `codes[a] - codes[b]` counted from the middle of a head's table of biases
    /// is the entry for query a and key b.
    pub codes: Tensor<1, Int>,
    /// `[count, tokens]`, the region of each token of each window of a grid: tokens of two
    /// regions do not see each other. `None` where all is one region.
    pub regions: Option<Tensor<2, Int>>,
}

/// Attention of every window to itself: `softmax(q k^T / sqrt(d) + bias) v` for each head,
/// -100 added between regions (arXiv 2103.14030). `first` is the number of the first window
/// in its batch of grids.
///
/// # Shapes
/// `joint` `[windows, tokens, 3 * channels]`, queries, keys and values behind each other, each
/// `[heads, channels / heads]`; `bias` `[heads, positions]`; to `[windows, tokens, channels]`
pub fn window_attention(
    joint: Tensor<3>,
    bias: &Tensor<2>,
    places: &WindowPlaces,
    first: usize,
) -> Tensor<3> {
    if !flex::runs_on(&joint.device()) {
        return gpu::window_attention(joint, bias, places, first);
    }
    let [count, tokens, _] = joint.dims();
    let [heads, positions] = bias.dims();
    let device = joint.device();
    let codes = flex::integers(places.codes.clone());
    let middle = positions as i32 / 2;
    let pairs: Vec<i32> =
        codes.iter().flat_map(|a| codes.iter().map(move |b| middle + a - b)).collect();
    let pairs = Tensor::<1, Int>::from_data(TensorData::new(pairs, [tokens * tokens]), &device);
    let bias = bias.clone().select(1, pairs).reshape([1, heads, tokens, tokens]);
    let regions = places.regions.clone().map(flex::integers);
    let at_once = (SCORE_BYTES / (4 * heads * tokens * tokens)).clamp(1, count.max(1));
    let parts = (0..count)
        .step_by(at_once)
        .map(|start| {
            let length = at_once.min(count - start);
            let mask = regions.as_ref().and_then(|regions| {
                let grid = regions.len() / tokens;
                let windows = (first + start..first + start + length).map(|window| window % grid);
                mask(regions, windows, tokens, &device)
            });
            let bias = match mask {
                Some(mask) => bias.clone() + mask,
                None => bias.clone(),
            };
            attend(joint.clone().narrow(0, start, length), heads, bias)
        })
        .collect();
    Tensor::cat(parts, 0)
}

/// What to add to the scores of some windows: [`APART`] between regions; `None` where all is 0.
///
/// # Shapes
/// `[windows, 1, tokens, tokens]`
fn mask(
    regions: &[i32],
    windows: impl ExactSizeIterator<Item = usize>,
    tokens: usize,
    device: &Device,
) -> Option<Tensor<4>> {
    let shape = [windows.len(), 1, tokens];
    let regions: Vec<&[i32]> =
        windows.map(|window| &regions[window * tokens..(window + 1) * tokens]).collect();
    if regions.iter().all(|window| window.iter().all(|region| *region == window[0])) {
        return None;
    }
    let values: Vec<f32> = regions.concat().into_iter().map(|region| region as f32).collect();
    let regions = Tensor::<3>::from_data(TensorData::new(values, shape), device);
    let (rows, columns) = (regions.clone().unsqueeze_dim::<4>(3), regions.unsqueeze_dim(2));
    // Regions are whole numbers: their distance, cut at 1, says whether they differ.
    Some((rows - columns).abs().clamp_max(1.0) * APART)
}

fn attend(joint: Tensor<3>, heads: usize, bias: Tensor<4>) -> Tensor<3> {
    let [count, tokens, width] = joint.dims();
    let (channels, each) = (width / 3, width / 3 / heads);
    let [query, key, value] = [0, 1, 2].map(|part| {
        joint
            .clone()
            .narrow(2, part * channels, channels)
            .reshape([count, tokens, heads, each])
            .swap_dims(1, 2)
    });
    let query = query * (each as f32).powf(-0.5);
    let scores = query.matmul(key.swap_dims(2, 3)) + bias;
    let mixed = activation::softmax(scores, 3).matmul(value);
    mixed.swap_dims(1, 2).reshape([count, tokens, channels])
}
