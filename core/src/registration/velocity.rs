//! Displacements of a stationary velocity field, and how they answer to its change.
//!
//! Scaling and squaring (Arsigny et al., MICCAI 2006): the velocity divided by
//! 2^[`STEPS`] is a small displacement; composed with itself again and again it becomes
//! the flow at time one, which is smooth and invertible where the velocity is smooth.
//! [`Flow::pull_back`] is the exact adjoint of the discrete composition.

use super::grid::corners;
use crate::kernels::cpu::for_each;

/// Compositions: a displacement of 16 voxels starts as a quarter of a voxel.
pub const STEPS: usize = 6;

/// A vector a node, in units of nodes, x fastest.
pub type Vectors = Vec<[f32; 3]>;

/// The flow of a velocity field and what its adjoint needs.
pub struct Flow {
    dims: [usize; 3],
    /// The displacement after each composition; the last is the flow's.
    levels: Vec<Vectors>,
}

/// Trilinear value of a vector field at a place in voxels.
pub fn read(field: &[[f32; 3]], dims: [usize; 3], place: [f32; 3]) -> [f32; 3] {
    let corners = corners(dims, place);
    let mut sum = [0.0; 3];
    for (&at, &weight) in corners.at.iter().zip(&corners.weights) {
        for axis in 0..3 {
            sum[axis] += weight * field[at][axis];
        }
    }
    sum
}

/// Where a node's displacement leads.
fn target(dims: [usize; 3], node: usize, moved: [f32; 3]) -> [f32; 3] {
    let [x, y, z] = [node % dims[0], node / dims[0] % dims[1], node / (dims[0] * dims[1])];
    [x as f32 + moved[0], y as f32 + moved[1], z as f32 + moved[2]]
}

/// Displacement of going along `first`, then along `second`.
pub fn compose(second: &[[f32; 3]], first: &[[f32; 3]], dims: [usize; 3]) -> Vectors {
    let slab = dims[0] * dims[1];
    let mut result = first.to_vec();
    for_each(result.chunks_mut(slab).enumerate().collect(), |(z, rows): (usize, &mut [_])| {
        for (at, moved) in rows.iter_mut().enumerate() {
            let more = read(second, dims, target(dims, z * slab + at, *moved));
            for axis in 0..3 {
                moved[axis] += more[axis];
            }
        }
    });
    result
}

impl Flow {
    /// Flow of `velocity` (nodes in unit time) from time 0 to 1.
    pub fn of(velocity: &[[f32; 3]], dims: [usize; 3]) -> Self {
        let scale = 1.0 / (1 << STEPS) as f32;
        let small: Vectors = velocity.iter().map(|v| v.map(|part| part * scale)).collect();
        let mut levels = vec![small];
        for step in 0..STEPS {
            let next = compose(&levels[step], &levels[step], dims);
            levels.push(next);
        }
        Self { dims, levels }
    }

    /// Displacement at each node.
    pub fn displacement(&self) -> &[[f32; 3]] {
        &self.levels[STEPS]
    }

    /// Gradient with respect to the velocity, from that with respect to the displacement.
    pub fn pull_back(&self, gradient: Vectors) -> Vectors {
        let mut gradient = gradient;
        for level in self.levels[..STEPS].iter().rev() {
            // out(x) = u(x) + u(x + u(x)): by the first u, by the place, by the second u.
            let mut next = gradient.clone();
            for (node, (&moved, &g)) in level.iter().zip(&gradient).enumerate() {
                if g == [0.0; 3] {
                    continue;
                }
                let corners = corners(self.dims, target(self.dims, node, moved));
                let mut by_place = [0.0; 3];
                for corner in 0..8 {
                    let at = corners.at[corner];
                    let u = level[at];
                    let product = u[0] * g[0] + u[1] * g[1] + u[2] * g[2];
                    for axis in 0..3 {
                        by_place[axis] += corners.slopes[axis][corner] * product;
                        next[at][axis] += corners.weights[corner] * g[axis];
                    }
                }
                for axis in 0..3 {
                    next[node][axis] += by_place[axis];
                }
            }
            gradient = next;
        }
        let scale = 1.0 / (1 << STEPS) as f32;
        gradient.iter_mut().flatten().for_each(|part| *part *= scale);
        gradient
    }
}

/// A velocity whose flow is near to a displacement: v, then v + (u - flow of v) again and
/// again. Good where the displacement is smooth.
pub fn logarithm(displacement: &[[f32; 3]], dims: [usize; 3], rounds: usize) -> Vectors {
    let mut velocity = displacement.to_vec();
    for _ in 0..rounds {
        let flow = Flow::of(&velocity, dims);
        for ((v, &u), &reached) in velocity.iter_mut().zip(displacement).zip(flow.displacement()) {
            for axis in 0..3 {
                v[axis] += 0.5 * (u[axis] - reached[axis]);
            }
        }
    }
    velocity
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: [usize; 3] = [9, 8, 7];

    fn wave(phase: f32) -> Vectors {
        (0..504)
            .map(|node| {
                let [x, y, z] = [node % 9, node / 9 % 8, node / 72].map(|v| v as f32);
                let s = |a: f32, b: f32| 0.8 * (0.5 * a + 0.3 * b + phase).sin();
                [s(x, y), s(y, z), s(z, x)]
            })
            .collect()
    }

    #[test]
    fn a_uniform_velocity_is_a_shift() {
        let flow = Flow::of(&vec![[0.75, -0.5, 0.25]; 504], DIMS);
        for moved in flow.displacement() {
            for (value, expected) in moved.iter().zip([0.75, -0.5, 0.25]) {
                assert!((value - expected).abs() < 1e-5, "{moved:?}");
            }
        }
    }

    #[test]
    fn a_linear_velocity_grows_exponentially() {
        // dx/dt = 0.2 x around the centre: x(1) = x(0) exp(0.2), and e^0.2 = 1.221403.
        let velocity: Vectors =
            (0..21).map(|node| [0.2 * (node as f32 - 10.0), 0.0, 0.0]).collect();
        let flow = Flow::of(&velocity, [21, 1, 1]);
        for (node, moved) in flow.displacement().iter().enumerate().skip(4).take(13) {
            let expected = 0.221_403 * (node as f32 - 10.0);
            assert!((moved[0] - expected).abs() < 0.01, "{node}: {} {expected}", moved[0]);
        }
    }

    #[test]
    fn the_adjoint_is_the_derivative() {
        let velocity = wave(0.0);
        let weights = wave(1.3);
        let value = |velocity: &[[f32; 3]]| -> f64 {
            let flow = Flow::of(velocity, DIMS);
            let terms = flow.displacement().iter().flatten().zip(weights.iter().flatten());
            terms.map(|(&u, &w)| f64::from(u) * f64::from(w)).sum()
        };
        let gradient = Flow::of(&velocity, DIMS).pull_back(weights.clone());
        let direction = wave(2.1);
        let along: f64 = gradient
            .iter()
            .flatten()
            .zip(direction.iter().flatten())
            .map(|(&g, &d)| f64::from(g) * f64::from(d))
            .sum();
        let step = 2e-3;
        let moved = |sign: f32| -> Vectors {
            velocity
                .iter()
                .zip(&direction)
                .map(|(v, d)| [0, 1, 2].map(|axis| v[axis] + sign * step * d[axis]))
                .collect()
        };
        let expected = (value(&moved(1.0)) - value(&moved(-1.0))) / (2.0 * f64::from(step));
        assert!((along - expected).abs() < 0.01 * expected.abs(), "{along} {expected}");
    }

    #[test]
    fn the_logarithm_leads_back() {
        let displacement = Flow::of(&wave(0.4), DIMS).displacement().to_vec();
        let velocity = logarithm(&displacement, DIMS, 20);
        let flow = Flow::of(&velocity, DIMS);
        let wrong: f32 = flow
            .displacement()
            .iter()
            .flatten()
            .zip(displacement.iter().flatten())
            .map(|(a, b)| (a - b).abs())
            .sum::<f32>()
            / 1512.0;
        assert!(wrong < 0.02, "{wrong}");
    }
}
