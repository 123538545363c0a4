//! Which token goes where: windows, their cyclic shift, their padding, and patch merging,
//! all as lists of indices, so that each is one gather on the device.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// How a grid of tokens is cut into windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Tokens of a window.
    pub tokens: usize,
    /// Number of windows.
    pub count: usize,
    /// Grid index of each token of each window; the number of grid tokens stands for padding.
    gather: Vec<i32>,
    /// Place of each grid token among the windows' tokens.
    scatter: Vec<i32>,
    /// Region of each token of each window; tokens of two regions do not see each other.
    /// Empty when nothing is shifted.
    regions: Vec<u8>,
}

impl Windows {
    /// Windows of `window` tokens a side over a grid, shifted by half a window if `shifted`.
    ///
    /// As MONAI (`get_window_size`, `SwinTransformerBlock.forward_part1`, `compute_mask`):
    /// an axis that is no longer than the window becomes one window and is not shifted;
    /// the far end is padded with zeros to a whole number of windows, and the padding
    /// takes part.
    pub fn new(dims: [usize; 3], window: usize, shifted: bool) -> Self {
        let size = dims.map(|side| window.min(side));
        let shift = dims.map(|side| if shifted && side > window { window / 2 } else { 0 });
        let grid = [0, 1, 2].map(|axis| dims[axis].div_ceil(size[axis]));
        let padded = [0, 1, 2].map(|axis| grid[axis] * size[axis]);
        let padding = dims.iter().product::<usize>();
        let mut scatter = vec![0; padding];
        let (mut gather, mut regions) = (Vec::new(), Vec::new());
        let masked = shift.iter().any(|&shift| shift > 0);
        for window in cells(grid) {
            for token in cells(size) {
                // Place after the shift, and before.
                let place = [0, 1, 2].map(|axis| window[axis] * size[axis] + token[axis]);
                let from = [0, 1, 2].map(|axis| (place[axis] + shift[axis]) % padded[axis]);
                if [0, 1, 2].iter().all(|&axis| from[axis] < dims[axis]) {
                    let index = flat(dims, from);
                    scatter[index] = gather.len() as i32;
                    gather.push(index as i32);
                } else {
                    gather.push(padding as i32);
                }
                if masked {
                    let region = [0, 1, 2].map(|axis| {
                        let end = padded[axis];
                        match place[axis] {
                            _ if shift[axis] == 0 => 0,
                            at if at < end - size[axis] => 0,
                            at if at < end - shift[axis] => 1,
                            _ => 2,
                        }
                    });
                    regions.push((region[0] * 3 + region[1]) * 3 + region[2]);
                }
            }
        }
        Self {
            tokens: size.iter().product(),
            count: grid.iter().product(),
            gather,
            scatter,
            regions,
        }
    }

    /// Cuts tokens into windows.
    ///
    /// # Shapes
    /// `[batch, grid tokens, channels]` to `[batch * count, tokens, channels]`
    pub fn partition(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, channels] = x.dims();
        let device = x.device();
        // Without padding the extra row would only be copied about.
        let x = if self.gather.len() == tokens {
            x
        } else {
            Tensor::cat(vec![x, Tensor::zeros([batch, 1, channels], &device)], 1)
        };
        let windows = x.select(1, indices(&self.gather, &device));
        windows.reshape([batch * self.count, self.tokens, channels])
    }

    /// Puts the windows' tokens back; what was padding falls away.
    ///
    /// # Shapes
    /// `[batch * count, tokens, channels]` to `[batch, grid tokens, channels]`
    pub fn reverse(&self, windows: Tensor<3>) -> Tensor<3> {
        let [all, tokens, channels] = windows.dims();
        let device = windows.device();
        let x = windows.reshape([all / self.count, self.count * tokens, channels]);
        x.select(1, indices(&self.scatter, &device))
    }

    /// What to add to the attention scores of `length` windows from `start` on (windows of
    /// a batch counted through): -100 between regions, as MONAI; `None` where all is 0.
    ///
    /// # Shapes
    /// `[length, 1, tokens, tokens]`
    pub fn mask(&self, start: usize, length: usize, device: &Device) -> Option<Tensor<4>> {
        if self.regions.is_empty() {
            return None;
        }
        let regions: Vec<&[u8]> = (start..start + length)
            .map(|window| {
                let first = window % self.count * self.tokens;
                &self.regions[first..first + self.tokens]
            })
            .collect();
        if regions.iter().all(|window| window.iter().all(|region| *region == window[0])) {
            return None;
        }
        let values: Vec<f32> = regions.concat().into_iter().map(f32::from).collect();
        let shape = [length, 1, self.tokens];
        let regions = Tensor::<3>::from_data(TensorData::new(values, shape), device);
        let (rows, columns) = (regions.clone().unsqueeze_dim::<4>(3), regions.unsqueeze_dim(2));
        // Regions are whole numbers: their distance, cut at 1, says whether they differ.
        Some((rows - columns).abs().clamp_max(1.0) * -100.0)
    }
}

/// Index into the table of relative position biases for each pair of a window's tokens.
///
/// As MONAI: a window that shrank takes the first rows and columns of the whole window's
/// index, whatever its own shape.
pub fn relative_positions(window: usize, tokens: usize, device: &Device) -> Tensor<1, Int> {
    let place = |token: usize| [token / (window * window), token / window % window, token % window];
    let span = 2 * window - 1;
    let mut values = Vec::with_capacity(tokens * tokens);
    for a in (0..tokens).map(place) {
        for b in (0..tokens).map(place) {
            let [x, y, z] = [0, 1, 2].map(|axis| a[axis] + window - 1 - b[axis]);
            values.push(((x * span + y) * span + z) as i32);
        }
    }
    indices(&values, device)
}

/// For patch merging: the tokens of each 2x2x2 cell, one cell behind the other.
pub fn merged(dims: [usize; 3], offsets: [[usize; 3]; 8], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = cells(dims.map(|side| side / 2))
        .flat_map(|cell| {
            offsets.map(|offset| {
                flat(dims, [0, 1, 2].map(|axis| 2 * cell[axis] + offset[axis])) as i32
            })
        })
        .collect();
    indices(&values, device)
}

fn indices(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

fn flat(dims: [usize; 3], [x, y, z]: [usize; 3]) -> usize {
    (x * dims[1] + y) * dims[2] + z
}

/// Every place of a grid, last axis fastest.
fn cells([nx, ny, nz]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..nx * ny * nz).map(move |i| [i / (ny * nz), i / nz % ny, i % nz])
}
