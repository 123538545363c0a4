//! Rigid and affine alignment of features: Levenberg-Marquardt on their squared
//! difference, coarse to fine.

use pulp::Arch;

use super::RegistrationError;
use super::grid::{FeatureGrid, MOST_CHANNELS, corners};
use super::motion::{Freedom, directions, moved};
use crate::features::linalg::solve;
use crate::kernels::cpu::for_each;
use crate::volume::Affine;

/// Blocks of voxels that the levels average over, coarsest first.
pub const LEVELS: [usize; 3] = [4, 2, 1];

/// Most steps a level.
const STEPS: usize = 12;

/// Most voxels of the fixed mask that are looked at.
const SAMPLES: usize = 60_000;

/// Sums over places: half the Hessian by the twelve entries of a matrix, half the
/// gradient, the squares.
#[derive(Clone)]
struct Sums {
    hessian: [[f64; 12]; 12],
    gradient: [f64; 12],
    squares: f64,
    count: f64,
}

impl Sums {
    const ZERO: Self =
        Self { hessian: [[0.0; 12]; 12], gradient: [0.0; 12], squares: 0.0, count: 0.0 };

    fn add(&mut self, other: &Self) {
        for (row, more) in self.hessian.iter_mut().flatten().zip(other.hessian.iter().flatten()) {
            *row += more;
        }
        for (value, more) in self.gradient.iter_mut().zip(other.gradient) {
            *value += more;
        }
        self.squares += other.squares;
        self.count += other.count;
    }
}

/// Refines `start`, which takes world points of the fixed scan to those of the moving one,
/// on one level. The loss after it: mean squared difference.
///
/// # Errors
/// [`RegistrationError`] for grids that lie nowhere, and masks without voxels.
pub fn refine(
    fixed: &FeatureGrid,
    moving: &FeatureGrid,
    start: Affine,
    freedom: Freedom,
) -> Result<(Affine, f64), RegistrationError> {
    let places = places(fixed);
    if places.is_empty() {
        return Err(RegistrationError::Empty);
    }
    let to_voxel = moving.affine.inverse()?;
    let centre = centre(fixed, &places);
    let mut current = start;
    let mut sums = evaluate(fixed, moving, &places, &to_voxel, &current, centre);
    let mut damping = 1e-3;
    for _ in 0..STEPS {
        // From the entries of a matrix to the directions that are free.
        let directions = directions(freedom, &current);
        let count = directions.len();
        let mut hessian = vec![0.0; count * count];
        let mut right = vec![0.0; count];
        for (i, a) in directions.iter().enumerate() {
            right[i] = -(0..12).map(|k| a[k] * sums.gradient[k]).sum::<f64>();
            for (j, b) in directions.iter().enumerate() {
                hessian[i * count + j] = (0..12)
                    .map(|k| a[k] * (0..12).map(|l| sums.hessian[k][l] * b[l]).sum::<f64>())
                    .sum();
            }
        }
        let mut better = false;
        for _ in 0..6 {
            let mut damped = hessian.clone();
            (0..count).for_each(|i| damped[i * count + i] *= 1.0 + damping);
            let Some(step) = solve(&damped, count, &right) else { break };
            let next = moved(freedom, &current, &step, centre);
            let there = evaluate(fixed, moving, &places, &to_voxel, &next, centre);
            if there.squares / there.count < sums.squares / sums.count {
                let gain = 1.0 - there.squares / there.count / (sums.squares / sums.count);
                (current, sums, better) = (next, there, gain > 1e-5);
                damping = f64::max(damping * 0.2, 1e-7);
                break;
            }
            damping *= 8.0;
        }
        if !better {
            break;
        }
    }
    Ok((current, sums.squares / sums.count))
}

/// Voxels of the mask, evenly thinned.
fn places(fixed: &FeatureGrid) -> Vec<u32> {
    let inside = || (0_u32..).zip(&fixed.mask).filter(|(_, inside)| **inside).map(|(at, _)| at);
    let step = inside().count().div_ceil(SAMPLES).max(1);
    // A step that shares no factor with a side would be best; an odd one is good enough.
    inside().step_by(step | 1).collect()
}

/// Mean world point of some voxels.
fn centre(grid: &FeatureGrid, places: &[u32]) -> [f64; 3] {
    let mut sum = [0.0; 3];
    for &at in places {
        let world = grid.affine.apply(voxel(grid.dims, at as usize));
        (0..3).for_each(|axis| sum[axis] += world[axis] / places.len() as f64);
    }
    sum
}

fn voxel(dims: [usize; 3], at: usize) -> [f64; 3] {
    [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])].map(|v| v as f64)
}

/// The sums for a transform; entries of the matrix act on world points less `centre`.
fn evaluate(
    fixed: &FeatureGrid,
    moving: &FeatureGrid,
    places: &[u32],
    to_voxel: &Affine,
    transform: &Affine,
    centre: [f64; 3],
) -> Sums {
    let to_moving = to_voxel.after(transform);
    let rows = to_voxel.0;
    let mut parts = vec![Sums::ZERO; places.len().div_ceil(4096)];
    let work = parts.iter_mut().zip(places.chunks(4096)).collect();
    for_each(work, |(sums, places): (&mut Sums, &[u32])| {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let channels = fixed.channels;
                let mut residual = [0.0_f32; MOST_CHANNELS];
                let mut slopes = [[0.0_f32; MOST_CHANNELS]; 3];
                for &at in places {
                    let world = fixed.affine.apply(voxel(fixed.dims, at as usize));
                    let place = to_moving.apply(world).map(|v| v as f32);
                    let corners = corners(moving.dims, place);
                    let residual = &mut residual[..channels];
                    moving.read(&corners, residual);
                    for (r, &f) in residual.iter_mut().zip(fixed.at(at as usize)) {
                        *r -= f;
                    }
                    let mut square = [[0.0_f64; 3]; 3];
                    let mut product = [0.0_f64; 3];
                    for (axis, slope) in slopes.iter_mut().enumerate() {
                        let slope = &mut slope[..channels];
                        slope.fill(0.0);
                        for (corner, &at) in corners.at.iter().enumerate() {
                            let weight = corners.slopes[axis][corner];
                            for (s, &v) in slope.iter_mut().zip(moving.at(at)) {
                                *s += weight * v;
                            }
                        }
                        product[axis] = f64::from(dot(slope, residual));
                    }
                    for a in 0..3 {
                        for b in a..3 {
                            square[a][b] =
                                f64::from(dot(&slopes[a][..channels], &slopes[b][..channels]));
                            square[b][a] = square[a][b];
                        }
                    }
                    sums.squares += f64::from(dot(residual, residual));
                    sums.count += 1.0;
                    accumulate(
                        sums,
                        &world_square(&rows, &square),
                        &world_product(&rows, &product),
                        [world[0] - centre[0], world[1] - centre[1], world[2] - centre[2], 1.0],
                    );
                }
            },
        );
    });
    let mut total = Sums::ZERO;
    parts.iter().for_each(|part| total.add(part));
    total.count = f64::max(total.count, 1.0);
    total
}

/// Slopes by moving voxels become slopes by moving millimetres.
fn world_product(rows: &[[f64; 4]; 3], product: &[f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|axis| (0..3).map(|v| rows[v][axis] * product[v]).sum())
}

fn world_square(rows: &[[f64; 4]; 3], square: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let half = square.map(|row| world_product(rows, &row));
    [0, 1, 2].map(|a| [0, 1, 2].map(|b| (0..3).map(|v| rows[v][a] * half[v][b]).sum()))
}

fn accumulate(sums: &mut Sums, square: &[[f64; 3]; 3], product: &[f64; 3], point: [f64; 4]) {
    for a in 0..3 {
        for i in 0..4 {
            sums.gradient[4 * a + i] += product[a] * point[i];
            for b in 0..3 {
                for j in 0..4 {
                    sums.hessian[4 * a + i][4 * b + j] += square[a][b] * point[i] * point[j];
                }
            }
        }
    }
}

/// Sum of products, in lanes so that it vectorises.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; super::grid::LANES];
    for (a, b) in a.chunks_exact(lanes.len()).zip(b.chunks_exact(lanes.len())) {
        for lane in 0..lanes.len() {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum()
}
