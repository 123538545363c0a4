//! Trilinear upsampling by two, added onto the skip.

use pulp::Arch;

use super::for_each;

/// Adds `x` `[channels, x, y, z]`, upsampled by two, to `skip`
/// `[channels, 2x, 2y, 2z]` in place.
pub fn upsample_add(x: &[f32], [nx, ny, nz]: [usize; 3], skip: &mut [f32]) {
    let jobs: Vec<_> =
        skip.chunks_mut(8 * nx * ny * nz).zip(x.chunks_exact(nx * ny * nz)).collect();
    for_each(jobs, |(skip, x)| {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let mut blend = vec![0.0; nz];
                for (at, row) in skip.chunks_exact_mut(2 * nz).enumerate() {
                    let (x0, x1) = neighbours(at / (2 * ny), nx);
                    let (y0, y1) = neighbours(at % (2 * ny), ny);
                    let source = |x_at: usize, y_at: usize| {
                        let start = (x_at * ny + y_at) * nz;
                        &x[start..start + nz]
                    };
                    let rows = [source(x0, y0), source(x0, y1), source(x1, y0), source(x1, y1)];
                    for (z, value) in blend.iter_mut().enumerate() {
                        *value = 0.5625 * rows[0][z]
                            + 0.1875 * (rows[1][z] + rows[2][z])
                            + 0.0625 * rows[3][z];
                    }
                    for (z, pair) in row.chunks_exact_mut(2).enumerate() {
                        let before = blend[z.saturating_sub(1)];
                        let after = blend[(z + 1).min(nz - 1)];
                        pair[0] += 0.75 * blend[z] + 0.25 * before;
                        pair[1] += 0.75 * blend[z] + 0.25 * after;
                    }
                }
            },
        );
    });
}

/// Nearest (weight 3/4) and second nearest (1/4) input of an output voxel.
fn neighbours(output: usize, inputs: usize) -> (usize, usize) {
    let near = output / 2;
    let far =
        if output.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(inputs - 1) };
    (near, far)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_torch() {
        // torch.nn.functional.interpolate(torch.arange(8.).reshape(1, 1, 2, 2, 2),
        //   scale_factor=2, mode="trilinear", align_corners=False)[0, 0, 1, 1]
        let x: Vec<f32> = (0..8).map(|v| v as f32).collect();
        let mut skip = vec![1.0; 64];
        upsample_add(&x, [2, 2, 2], &mut skip);
        assert_eq!(skip[20..24], [2.5, 2.75, 3.25, 3.5]);
        assert_eq!((skip[0], skip[63]), (1.0, 8.0));
    }
}
