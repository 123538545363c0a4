//! Trilinear upsampling by two, added onto the skip.

use burn::tensor::Tensor;
use cubecl::ir::ElemType;
use cubecl::prelude::*;

use super::{UNITS, element, empty, groups, kept, tensor};

/// As [`crate::kernels::upsample_add`]; in place where nobody else holds the skip.
pub fn upsample_add(x: Tensor<5>, skip: Tensor<5>) -> Tensor<5> {
    let [batch, channels, nx, ny, nz] = x.dims();
    let (x, skip) = (kept(x), kept(skip));
    let client = x.client.clone();
    let elements = [element(&x), element(&skip)];
    let in_place = skip.can_mut();
    let output = if in_place {
        skip.clone()
    } else {
        empty(&skip, &[batch, channels, 2 * nx, 2 * ny, 2 * nz])
    };
    let written = if in_place { skip.as_tensor_alias(0) } else { output.clone().into_tensor_arg() };
    upsample_kernel::launch(
        &client,
        groups(ny * nz, nx, batch * channels),
        CubeDim::new_1d(UNITS as u32),
        skip.into_buffer_arg(),
        written.into_buffer_arg(),
        x.into_buffer_arg(),
        nx as u32,
        ny as u32,
        nz as u32,
        elements,
    );
    tensor(output)
}

/// A thread computes the eight voxels of the output that lie in one of the input.
#[cube(launch)]
fn upsample_kernel<X: Float, S: Float>(
    skip: &[S],
    output: &mut [S],
    x: &[X],
    nx: u32,
    ny: u32,
    nz: u32,
    #[define(X, S)] _elements: [ElemType; 2],
) {
    if ABSOLUTE_POS_X >= ny * nz {
        terminate!();
    }
    let at_x = CUBE_POS_Y;
    let at_y = ABSOLUTE_POS_X / nz;
    let at_z = ABSOLUTE_POS_X % nz;
    let channel = CUBE_POS_Z * nx;
    let xs = neighbours(at_x, nx);
    let ys = neighbours(at_y, ny);
    let zs = neighbours(at_z, nz);

    // Rows of three along z become pairs; then y, then x.
    let mut along_y = Sequence::<(f32, f32)>::new();
    #[unroll]
    for i in 0..3usize {
        let mut along_z = Sequence::<(f32, f32)>::new();
        #[unroll]
        for j in 0..3usize {
            let row = ((channel + xs[i]) * ny + ys[j]) * nz;
            along_z.push(blend(
                f32::cast_from(x[(row + zs[0usize]) as usize]),
                f32::cast_from(x[(row + zs[1usize]) as usize]),
                f32::cast_from(x[(row + zs[2usize]) as usize]),
            ));
        }
        let even = blend(along_z[0usize].0, along_z[1usize].0, along_z[2usize].0);
        let odd = blend(along_z[0usize].1, along_z[1usize].1, along_z[2usize].1);
        along_y.push((even.0, odd.0));
        along_y.push((even.1, odd.1));
    }
    #[unroll]
    for j in 0..2usize {
        let row_0 = along_y[j];
        let row_1 = along_y[comptime!(2 + j)];
        let row_2 = along_y[comptime!(4 + j)];
        let even = blend(row_0.0, row_1.0, row_2.0);
        let odd = blend(row_0.1, row_1.1, row_2.1);
        let y = 2 * at_y + comptime!(j as u32);
        let first = ((2 * (channel + at_x)) * (2 * ny) + y) * (2 * nz) + 2 * at_z;
        let second = first + 4 * ny * nz;
        let first = first as usize;
        let second = second as usize;
        output[first] = S::cast_from(f32::cast_from(skip[first]) + even.0);
        output[first + 1] = S::cast_from(f32::cast_from(skip[first + 1]) + odd.0);
        output[second] = S::cast_from(f32::cast_from(skip[second]) + even.1);
        output[second + 1] = S::cast_from(f32::cast_from(skip[second + 1]) + odd.1);
    }
}

/// The input before, at and behind a place, within the side.
#[cube]
fn neighbours(at: u32, side: u32) -> Sequence<u32> {
    let mut places = Sequence::<u32>::new();
    places.push(select(at > 0, at - 1, at));
    places.push(at);
    places.push(min(at + 1, side - 1));
    places
}

/// The two output voxels in the middle one of three.
#[cube]
fn blend(before: f32, here: f32, behind: f32) -> (f32, f32) {
    (0.75 * here + 0.25 * before, 0.75 * here + 0.25 * behind)
}
