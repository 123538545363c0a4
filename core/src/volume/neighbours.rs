//! Filters over a grid, x fastest.

/// The six voxels that share a face, by axis, below and above; `None` beyond the grid.
pub fn faces(at: usize, dims: [usize; 3]) -> [Option<usize>; 6] {
    let strides = [1, dims[0], dims[0] * dims[1]];
    let mut found = [None; 6];
    for axis in 0..3 {
        let place = at / strides[axis] % dims[axis];
        found[2 * axis] = (place > 0).then(|| at - strides[axis]);
        found[2 * axis + 1] = (place + 1 < dims[axis]).then(|| at + strides[axis]);
    }
    found
}

/// Steps to the voxels within `radius` voxels.
fn ball(radius: f64) -> Vec<[isize; 3]> {
    let reach = radius.floor() as isize;
    let side = || -reach..=reach;
    let all = side().flat_map(|x| side().flat_map(move |y| side().map(move |z| [x, y, z])));
    all.filter(|step| step.iter().map(|&v| (v * v) as f64).sum::<f64>() <= radius * radius)
        .collect()
}

/// Largest value within `radius` voxels of each.
pub fn balls_largest(data: &[f32], dims: [usize; 3], radius: f64) -> Vec<f32> {
    let mut result = data.to_vec();
    over_ball(dims, radius, |at, other| result[at] = result[at].max(data[other]));
    result
}

/// Whether any place of a mask lies within `radius` voxels of each.
pub fn within(mask: &[bool], dims: [usize; 3], radius: f64) -> Vec<bool> {
    let mut result = mask.to_vec();
    over_ball(dims, radius, |at, other| result[at] |= mask[other]);
    result
}

/// Each voxel with each other one of its ball, row by row.
fn over_ball(dims: [usize; 3], radius: f64, mut visit: impl FnMut(usize, usize)) {
    let [nx, ny, nz] = dims;
    // Where both a row and its other, moved by a step, lie on the grid.
    let range = |step: isize, side: usize| {
        let low = (-step).max(0) as usize;
        (low, (side as isize - step.max(0)).max(low as isize) as usize)
    };
    for [dx, dy, dz] in ball(radius) {
        let ((x0, x1), (y0, y1), (z0, z1)) = (range(dx, nx), range(dy, ny), range(dz, nz));
        for z in z0..z1 {
            for y in y0..y1 {
                let row = nx * (y + ny * z);
                let other = nx * ((y as isize + dy) as usize + ny * (z as isize + dz) as usize);
                for x in x0..x1 {
                    visit(row + x, other + (x as isize + dx) as usize);
                }
            }
        }
    }
}

/// Along one axis blurred by a Gaussian of `sigma` voxels; beyond the grid its last voxel
/// goes on.
pub fn smoothed_along(data: &[f32], dims: [usize; 3], axis: usize, sigma: f64) -> Vec<f32> {
    if sigma < 0.1 {
        return data.to_vec();
    }
    let reach = (3.0 * sigma).ceil() as isize;
    let shape = |step: isize| (-0.5 * (step as f64 / sigma).powi(2)).exp();
    let total: f64 = (-reach..=reach).map(shape).sum();
    let weights: Vec<f32> = (-reach..=reach).map(|step| (shape(step) / total) as f32).collect();
    let stride = dims[..axis].iter().product::<usize>();
    let last = dims[axis] as isize - 1;
    let mut result = vec![0.0; data.len()];
    for (at, value) in result.iter_mut().enumerate() {
        let place = (at / stride % dims[axis]) as isize;
        let first = at - place as usize * stride;
        for (step, weight) in (-reach..=reach).zip(&weights) {
            let other = (place + step).clamp(0, last) as usize;
            *value += weight * data[first + other * stride];
        }
    }
    result
}

/// Mean over a box of `radius` voxels each way, zero beyond the grid: a running sum an axis.
pub fn boxed(data: &[f32], dims: [usize; 3], radius: usize) -> Vec<f32> {
    let share = 1.0 / (2 * radius + 1) as f64;
    let mut current = data.to_vec();
    let mut line = Vec::new();
    for axis in 0..3 {
        let stride = dims[..axis].iter().product::<usize>();
        for start in (0..current.len()).filter(|at| at / stride % dims[axis] == 0) {
            line.clear();
            line.extend((0..dims[axis]).map(|step| f64::from(current[start + step * stride])));
            let mut sum: f64 = line.iter().take(radius).sum();
            for step in 0..dims[axis] {
                sum += line.get(step + radius).copied().unwrap_or(0.0);
                if let Some(gone) = step.checked_sub(radius + 1) {
                    sum -= line[gone];
                }
                current[start + step * stride] = (share * sum) as f32;
            }
        }
    }
    current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_spreads_as_scipy_spreads_it() {
        let dims = [7, 9, 11];
        let middle = 3 + 7 * (4 + 9 * 5);
        let mut data = vec![0.0; 693];
        data[middle] = 1.0;
        // scipy.ndimage.gaussian_filter1d([0, 0, 0, 0, 1, 0, 0, 0, 0], 1.5, truncate=10 / 3)[4:6]
        let blurred = smoothed_along(&data, dims, 1, 1.5);
        for (at, expected) in [(middle, 0.266_011_7), (middle + 7, 0.213_005_5)] {
            assert!((blurred[at] - expected).abs() < 1e-5, "{}", blurred[at]);
        }
        // scipy.ndimage.uniform_filter(data, 3, mode="constant")
        let mean = boxed(&data, dims, 1);
        assert!((mean[middle - 1] - 1.0 / 27.0).abs() < 1e-6 && mean[middle - 2].abs() < 1e-6);
        assert!((mean.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        // 19 voxels lie within 1.5, 33 within 2.
        let count =
            |radius| within(&data.iter().map(|&v| v > 0.0).collect::<Vec<_>>(), dims, radius);
        assert_eq!(count(1.5).iter().filter(|&&v| v).count(), 19);
        assert_eq!(count(2.0).iter().filter(|&&v| v).count(), 33);
        assert_eq!(balls_largest(&data, dims, 1.5).iter().sum::<f32>(), 19.0);
        assert_eq!(faces(0, dims), [None, Some(1), None, Some(7), None, Some(63)]);
    }
}
