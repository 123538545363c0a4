//! Which token goes where: windows, their cyclic shift, their padding, and patch merging,
//! all as lists of indices, so that each is one gather on the device.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::kernels::{self, WindowPlaces};

/// How a grid of tokens is cut into windows, on one device.
#[derive(Clone, Debug)]
pub struct Windows {
    /// Tokens of a window.
    tokens: usize,
    /// Number of windows.
    count: usize,
    /// Grid index of each token of each window; the number of grid tokens stands for padding.
    gather: Tensor<1, Int>,
    /// Place of each grid token among the windows' tokens.
    scatter: Tensor<1, Int>,
    /// Where a window's tokens lie, and which see each other.
    pub places: WindowPlaces,
}

impl Windows {
    /// Windows of `window` tokens a side over a grid, shifted by half a window if `shifted`.
    ///
    /// As MONAI (`get_window_size`, `SwinTransformerBlock.forward_part1`, `compute_mask`):
    /// an axis that is no longer than the window becomes one window and is not shifted;
    /// the far end is padded with zeros to a whole number of windows, and the padding
    /// takes part.
    pub fn new(dims: [usize; 3], window: usize, shifted: bool, device: &Device) -> Self {
        let size = dims.map(|side| window.min(side));
        let shift = dims.map(|side| if shifted && side > window { window / 2 } else { 0 });
        let grid = [0, 1, 2].map(|axis| dims[axis].div_ceil(size[axis]));
        let padded = [0, 1, 2].map(|axis| grid[axis] * size[axis]);
        let padding = dims.iter().product::<usize>();
        let mut scatter = vec![0; padding];
        let (mut gather, mut regions) = (Vec::new(), Vec::new());
        let masked = shift.iter().any(|&shift| shift > 0);
        for cell in cells(grid) {
            for token in cells(size) {
                // Place after the shift, and before.
                let place = [0, 1, 2].map(|axis| cell[axis] * size[axis] + token[axis]);
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
        let (tokens, count): (usize, usize) = (size.iter().product(), grid.iter().product());
        let regions =
            masked.then(|| Tensor::from_data(TensorData::new(regions, [count, tokens]), device));
        Self {
            tokens,
            count,
            gather: indices(gather, device),
            scatter: indices(scatter, device),
            places: WindowPlaces { codes: indices(codes(window, tokens), device), regions },
        }
    }

    /// Cuts tokens into windows.
    ///
    /// # Shapes
    /// `[batch, grid tokens, channels]` to `[batch * count, tokens, channels]`
    pub fn partition(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, _, channels] = x.dims();
        let windows = kernels::take_rows(x, &self.gather);
        windows.reshape([batch * self.count, self.tokens, channels])
    }

    /// Puts the windows' tokens back; what was padding falls away.
    ///
    /// # Shapes
    /// `[batch * count, tokens, channels]` to `[batch, grid tokens, channels]`
    pub fn reverse(&self, windows: Tensor<3>) -> Tensor<3> {
        let [all, tokens, channels] = windows.dims();
        let x = windows.reshape([all / self.count, self.count * tokens, channels]);
        kernels::take_rows(x, &self.scatter)
    }
}

/// Index of each token of a window in a head's table of relative position biases, as it
/// counts in [`WindowPlaces`].
///
/// As MONAI: a window that shrank takes the first rows and columns of the whole window's
/// index, whatever its own shape.
fn codes(window: usize, tokens: usize) -> Vec<i32> {
    let span = 2 * window - 1;
    let place = |token: usize| [token / (window * window), token / window % window, token % window];
    (0..tokens).map(place).map(|[x, y, z]| ((x * span + y) * span + z) as i32).collect()
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
    indices(values, device)
}

fn indices(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

fn flat(dims: [usize; 3], [x, y, z]: [usize; 3]) -> usize {
    (x * dims[1] + y) * dims[2] + z
}

/// Every place of a grid, last axis fastest.
fn cells([nx, ny, nz]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..nx * ny * nz).map(move |i| [i / (ny * nz), i / nz % ny, i % nz])
}
