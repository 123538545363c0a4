//! Symmetric matrices, row by row in one `Vec`: solving and leading eigenvectors.
//!
//! Sides are some hundred (channels of the maps), a handful for [`jacobi`]; plain
//! loops in double precision are fast enough and the same in the browser.

/// Eigenvectors carried along in [`leading`] beyond those asked for: the more, the
/// faster the wanted ones settle.
const GUARD: usize = 5;
const MOST_ROUNDS: usize = 200;

/// Solves `matrix * x = right` for a positive definite matrix by Cholesky
/// decomposition. `right` is `[side, columns]`, and so is the result; `None` when the
/// matrix is not positive definite.
pub(crate) fn solve(matrix: &[f64], side: usize, right: &[f64]) -> Option<Vec<f64>> {
    let mut lower = vec![0.0; side * side];
    for row in 0..side {
        for column in 0..=row {
            let (a, b) = (row * side, column * side);
            let sum = matrix[a + column]
                - lower[a..a + column]
                    .iter()
                    .zip(&lower[b..b + column])
                    .map(|(x, y)| x * y)
                    .sum::<f64>();
            lower[a + column] = if row != column {
                sum / lower[b + column]
            } else if sum > 0.0 {
                sum.sqrt()
            } else {
                return None;
            };
        }
    }
    let columns = right.len() / side.max(1);
    let mut x = right.to_vec();
    for row in 0..side {
        for before in 0..row {
            let factor = lower[row * side + before];
            for column in 0..columns {
                x[row * columns + column] -= factor * x[before * columns + column];
            }
        }
        x[row * columns..][..columns].iter_mut().for_each(|v| *v /= lower[row * side + row]);
    }
    for row in (0..side).rev() {
        for behind in row + 1..side {
            let factor = lower[behind * side + row];
            for column in 0..columns {
                x[row * columns + column] -= factor * x[behind * columns + column];
            }
        }
        x[row * columns..][..columns].iter_mut().for_each(|v| *v /= lower[row * side + row]);
    }
    Some(x)
}

/// The `count` largest eigenvalues of a positive semidefinite matrix with their unit
/// vectors, largest first: orthogonal iteration, then Rayleigh-Ritz (Golub and Van
/// Loan, Matrix Computations, 8.2.4 and 8.3). The start is fixed, so the result is
/// the same each time; the largest entry of each vector is positive.
pub(crate) fn leading(matrix: &[f64], side: usize, count: usize) -> Vec<(f64, Vec<f64>)> {
    let width = (count + GUARD).min(side);
    // Any start that is orthogonal to no eigenvector will do.
    let mut basis: Vec<Vec<f64>> = (0..width)
        .map(|k| (0..side).map(|i| ((1 + i) as f64 * (1 + k) as f64 * 0.7).sin()).collect())
        .collect();
    orthonormalise(&mut basis);
    let mut before = vec![0.0; width];
    for _ in 0..MOST_ROUNDS {
        let mut next: Vec<Vec<f64>> =
            basis.iter().map(|vector| multiply(matrix, side, vector)).collect();
        let lengths: Vec<f64> = next.iter().map(|v| product(v, v).sqrt()).collect();
        orthonormalise(&mut next);
        basis = next;
        let scale = lengths.iter().fold(0.0, |a: f64, &b| a.max(b));
        let moved = lengths.iter().zip(&before).take(count).map(|(a, b)| (a - b).abs());
        if moved.fold(0.0, f64::max) <= 1e-13 * scale {
            break;
        }
        before = lengths;
    }
    let images: Vec<Vec<f64>> = basis.iter().map(|vector| multiply(matrix, side, vector)).collect();
    let small: Vec<f64> = basis.iter().flat_map(|a| images.iter().map(|b| product(a, b))).collect();
    let (values, vectors) = jacobi(small, width);
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order.truncate(count);
    order
        .into_iter()
        .map(|k| {
            let mut vector = vec![0.0; side];
            for (row, basis) in basis.iter().enumerate() {
                let factor = vectors[row * width + k];
                vector.iter_mut().zip(basis).for_each(|(v, b)| *v += factor * b);
            }
            let largest =
                vector.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0);
            if largest < 0.0 {
                vector.iter_mut().for_each(|v| *v = -*v);
            }
            (values[k], vector)
        })
        .collect()
}

/// Eigenvalues, and eigenvectors as columns, of a small symmetric matrix: cyclic
/// Jacobi rotations (Golub and Van Loan, 8.5).
fn jacobi(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    for _ in 0..50 {
        let off: f64 = (0..n * n).filter(|i| i / n != i % n).map(|i| a[i] * a[i]).sum();
        let all: f64 = a.iter().map(|v| v * v).sum();
        if off <= 1e-28 * all {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p * n + q] == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                let rotate = |x: &mut [f64], i: usize, j: usize| {
                    let (u, v) = (x[i], x[j]);
                    (x[i], x[j]) = (c * u - s * v, s * u + c * v);
                };
                for k in 0..n {
                    rotate(&mut a, k * n + p, k * n + q);
                }
                for k in 0..n {
                    rotate(&mut a, p * n + k, q * n + k);
                    rotate(&mut vectors, k * n + p, k * n + q);
                }
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn multiply(matrix: &[f64], side: usize, vector: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(side).map(|row| product(row, vector)).collect()
}

/// Gram-Schmidt, twice, since once loses digits; a vector that vanishes stays zero.
fn orthonormalise(basis: &mut [Vec<f64>]) {
    for at in 0..basis.len() {
        let (done, rest) = basis.split_at_mut(at);
        let vector = &mut rest[0];
        let length = product(vector, vector).sqrt();
        for _ in 0..2 {
            for other in done.iter() {
                let along = product(vector, other);
                vector.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
            }
        }
        let left = product(vector, vector).sqrt();
        let scale = if left > 1e-12 * length && left > 0.0 { 1.0 / left } else { 0.0 };
        vector.iter_mut().for_each(|v| *v *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entry (i, j) is 1 / (i + j + 1).
    fn hilbert(side: usize) -> Vec<f64> {
        (0..side * side).map(|at| 1.0 / (at / side + at % side + 1) as f64).collect()
    }

    #[test]
    fn eigenvalues_are_those_of_numpy() {
        // numpy.linalg.eigh of the 12 x 12 Hilbert matrix, largest three, and the
        // vector of the second with its largest entry made positive.
        let expected = EIGENVALUES;
        let found = leading(&hilbert(12), 12, 3);
        for ((value, _), expected) in found.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-12, "{value} {expected}");
        }
        for (value, expected) in found[1].1.iter().zip(SECOND) {
            assert!((value - expected).abs() < 1e-8, "{value} {expected}");
        }
    }

    #[test]
    fn solutions_are_those_of_numpy() {
        // numpy.linalg.solve(hilbert + 0.1 * eye, [[1, 0], [0, 1], [1, 1], [2, -1]])
        let mut matrix = hilbert(4);
        (0..4).for_each(|i| matrix[i * 5] += 0.1);
        let right = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, -1.0];
        let Some(x) = solve(&matrix, 4, &right) else { unreachable!("positive definite") };
        for (value, expected) in x.iter().zip(SOLUTION) {
            assert!((value - expected).abs() < 1e-10, "{x:?}");
        }
        assert_eq!(solve(&[1.0, 2.0, 2.0, 1.0], 2, &[1.0, 1.0]), None);
    }

    const EIGENVALUES: [f64; 3] = [1.795372059562, 0.380275245955037, 0.044738548752181];
    const SECOND: [f64; 12] = [
        0.642495534472,
        -0.0310045712059,
        -0.194909798359,
        -0.248332624863,
        -0.264760109626,
        -0.266288235239,
        -0.261300241739,
        -0.253434896655,
        -0.244407838972,
        -0.235068096297,
        -0.22584416081,
        -0.216949517189,
    ];
    const SOLUTION: [f64; 8] = [
        1.286678308863,
        -2.396711438817,
        -8.357803505595,
        6.338960394972,
        1.94812754673,
        7.322941594981,
        12.45671905655,
        -11.89631258579,
    ];
}
