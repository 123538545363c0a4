//! Deformable alignment of one pair: Adam on a velocity field.
//!
//! The velocity lives on nodes two voxels apart, smoothed by boxes as the control grid
//! of ConvexAdam (Siebert et al., arXiv 2306.08302); its flow moves the voxels. The loss is the mean squared
//! difference of features over the fixed mask, plus the mean squared difference of
//! neighbouring velocities (diffusion). Gradients are written out: features by place,
//! voxels to nodes, the flow's adjoint, the boxes (their own adjoint).

use pulp::Arch;

use super::grid::{FeatureGrid, MOST_CHANNELS, corners};
use super::velocity::{Flow, Vectors, read};
use crate::kernels::cpu::for_each;

/// Voxels between nodes.
pub const NODE: usize = 2;

/// How the optimiser works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Steps of Adam.
    pub iterations: usize,
    /// Its step, in nodes.
    pub rate: f32,
    /// Weight of the diffusion term.
    pub smoothness: f32,
}

/// The optimiser, between two steps.
pub struct Instance<'a> {
    fixed: &'a FeatureGrid,
    /// On the grid of `fixed`.
    moving: &'a FeatureGrid,
    nodes: [usize; 3],
    settings: Settings,
    control: Vectors,
    mean: Vectors,
    square: Vectors,
    step: i32,
    /// The voxels that each node moves along each axis, with weights.
    reach: [Vec<Vec<(usize, f32)>>; 3],
}

/// Sides of the grid of nodes.
pub fn nodes(dims: [usize; 3]) -> [usize; 3] {
    dims.map(|side| side.div_ceil(NODE))
}

/// Place of a voxel among the nodes.
pub fn place(voxel: usize) -> f32 {
    (voxel as f32 - 0.5 * (NODE as f32 - 1.0)) / NODE as f32
}

impl<'a> Instance<'a> {
    /// Starts from a velocity in nodes.
    pub fn new(
        fixed: &'a FeatureGrid,
        moving: &'a FeatureGrid,
        start: Vectors,
        settings: Settings,
    ) -> Self {
        let nodes = nodes(fixed.dims);
        let reach = [0, 1, 2].map(|axis| reach(fixed.dims[axis], nodes[axis]));
        let zero = vec![[0.0; 3]; start.len()];
        let (mean, square) = (zero.clone(), zero);
        Self { fixed, moving, nodes, settings, control: start, mean, square, step: 0, reach }
    }

    /// The velocity in nodes.
    pub fn velocity(&self) -> Vectors {
        smoothed(&self.control, self.nodes)
    }

    /// One step of Adam (Kingma and Ba, arXiv 1412.6980); the loss before it.
    pub fn advance(&mut self) -> f32 {
        const DECAY: (f32, f32) = (0.9, 0.999);
        let (loss, gradient) = self.gradient();
        self.step += 1;
        let rate = self.settings.rate * (1.0 - DECAY.1.powi(self.step)).sqrt()
            / (1.0 - DECAY.0.powi(self.step));
        for node in 0..gradient.len() {
            for axis in 0..3 {
                let g = gradient[node][axis];
                let (m, s) = (&mut self.mean[node][axis], &mut self.square[node][axis]);
                *m = DECAY.0 * *m + (1.0 - DECAY.0) * g;
                *s = DECAY.1 * *s + (1.0 - DECAY.1) * g * g;
                self.control[node][axis] -= rate * *m / (s.sqrt() + 1e-10);
            }
        }
        loss
    }

    /// The loss and its gradient by the control grid.
    fn gradient(&self) -> (f32, Vectors) {
        let velocity = self.velocity();
        let flow = Flow::of(&velocity, self.nodes);
        let (difference, by_voxel) = self.difference(flow.displacement());
        let mut gradient = flow.pull_back(self.to_nodes(&by_voxel));
        let roughness = self.roughness(&velocity, &mut gradient);
        (difference + roughness, smoothed(&gradient, self.nodes))
    }

    /// Mean squared difference, and its gradient by the displacement of each voxel (in voxels).
    fn difference(&self, displacement: &[[f32; 3]]) -> (f32, Vectors) {
        let dims = self.fixed.dims;
        let slab = dims[0] * dims[1];
        let count = self.fixed.mask.iter().filter(|&&inside| inside).count().max(1);
        let scale = 2.0 / count as f32;
        let mut gradient = vec![[0.0_f32; 3]; self.fixed.voxels()];
        let mut sums = vec![0.0_f32; dims[2]];
        let work = gradient.chunks_mut(slab).zip(&mut sums).enumerate().collect();
        for_each(work, |(z, (rows, sum)): (usize, (&mut [[f32; 3]], &mut f32))| {
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    let mut buffer = [0.0_f32; MOST_CHANNELS];
                    let residual = &mut buffer[..self.fixed.channels];
                    for (at, row) in rows.iter_mut().enumerate() {
                        let voxel = z * slab + at;
                        if !self.fixed.mask[voxel] {
                            continue;
                        }
                        let place_of = [at % dims[0], at / dims[0], z];
                        let moved = read(displacement, self.nodes, place_of.map(place));
                        let target = [0, 1, 2].map(|i| place_of[i] as f32 + NODE as f32 * moved[i]);
                        let corners = corners(self.moving.dims, target);
                        self.moving.read(&corners, residual);
                        let mut squares = 0.0;
                        for (r, &f) in residual.iter_mut().zip(self.fixed.at(voxel)) {
                            *r -= f;
                            squares += *r * *r;
                        }
                        *sum += squares;
                        *row = self.moving.slope(&corners, residual).map(|g| scale * g);
                    }
                },
            );
        });
        (sums.iter().sum::<f32>() / count as f32, gradient)
    }

    /// Gradient by the nodes (in nodes) from that by the voxels: the adjoint of reading
    /// the nodes at the voxels.
    fn to_nodes(&self, by_voxel: &[[f32; 3]]) -> Vectors {
        let [nx, ny, _] = self.nodes;
        let dims = self.fixed.dims;
        let mut result = vec![[0.0_f32; 3]; self.control.len()];
        for_each(
            result.chunks_mut(nx * ny).enumerate().collect(),
            |(z, rows): (usize, &mut [_])| {
                for (at, sum) in rows.iter_mut().enumerate() {
                    let sum: &mut [f32; 3] = sum;
                    for &(vz, wz) in &self.reach[2][z] {
                        for &(vy, wy) in &self.reach[1][at / nx] {
                            for &(vx, wx) in &self.reach[0][at % nx] {
                                let g = by_voxel[vx + dims[0] * (vy + dims[1] * vz)];
                                for axis in 0..3 {
                                    sum[axis] += NODE as f32 * wx * wy * wz * g[axis];
                                }
                            }
                        }
                    }
                }
            },
        );
        result
    }

    /// The diffusion term; adds its gradient.
    fn roughness(&self, velocity: &[[f32; 3]], gradient: &mut [[f32; 3]]) -> f32 {
        let weight = self.settings.smoothness / velocity.len() as f32;
        let strides = [1, self.nodes[0], self.nodes[0] * self.nodes[1]];
        let mut sum = 0.0;
        for axis in 0..3 {
            for node in 0..velocity.len() {
                if node / strides[axis] % self.nodes[axis] + 1 == self.nodes[axis] {
                    continue;
                }
                let next = node + strides[axis];
                for part in 0..3 {
                    let step = velocity[next][part] - velocity[node][part];
                    sum += step * step;
                    gradient[next][part] += 2.0 * weight * step;
                    gradient[node][part] -= 2.0 * weight * step;
                }
            }
        }
        weight * sum
    }
}

/// For each node of an axis, the voxels it moves and how much.
fn reach(voxels: usize, nodes: usize) -> Vec<Vec<(usize, f32)>> {
    let mut result = vec![Vec::new(); nodes];
    for voxel in 0..voxels {
        let at = place(voxel).clamp(0.0, (nodes - 1) as f32);
        let below = (at as usize).min(nodes.saturating_sub(2));
        let fraction = at - below as f32;
        result[below].push((voxel, 1.0 - fraction));
        if below + 1 < nodes && fraction > 0.0 {
            result[below + 1].push((voxel, fraction));
        }
    }
    result
}

/// Two means over 3 x 3 x 3 nodes, zeros outside: symmetric, so its own adjoint.
pub fn smoothed(field: &[[f32; 3]], dims: [usize; 3]) -> Vectors {
    let mut current = field.to_vec();
    let strides = [1, dims[0], dims[0] * dims[1]];
    for pass in 0..6 {
        let axis = pass % 3;
        let (stride, side) = (strides[axis], dims[axis]);
        let mut next = vec![[0.0_f32; 3]; current.len()];
        let slab = dims[0] * dims[1];
        for_each(next.chunks_mut(slab).enumerate().collect(), |(z, rows): (usize, &mut [_])| {
            for (at, value) in rows.iter_mut().enumerate() {
                let value: &mut [f32; 3] = value;
                let node = z * slab + at;
                let along = node / stride % side;
                let before = (along > 0).then(|| current[node - stride]);
                let after = (along + 1 < side).then(|| current[node + stride]);
                for part in 0..3 {
                    let neighbours =
                        before.map_or(0.0, |v| v[part]) + after.map_or(0.0, |v| v[part]);
                    value[part] = (current[node][part] + neighbours) / 3.0;
                }
            }
        });
        current = next;
    }
    current
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::grid::LANES;
    use crate::volume::Affine;

    const DIMS: [usize; 3] = [16, 14, 12];

    /// Two smooth channels, displaced by `shift` voxels.
    fn waves(shift: [f32; 3]) -> FeatureGrid {
        let count = DIMS.iter().product();
        let mut values = vec![0.0; count * LANES];
        for voxel in 0..count {
            let [x, y, z] = [voxel % 16, voxel / 16 % 14, voxel / 224].map(|v| v as f32);
            let [x, y, z] = [x - shift[0], y - shift[1], z - shift[2]];
            values[voxel * LANES] = (0.6 * x).sin() + (0.5 * y).cos();
            values[voxel * LANES + 1] = (0.55 * z + 0.2 * x).sin();
        }
        let affine = Affine::from_spacing([2.0; 3]);
        FeatureGrid { values, channels: LANES, dims: DIMS, affine, mask: vec![true; count] }
    }

    fn optimiser<'a>(fixed: &'a FeatureGrid, moving: &'a FeatureGrid) -> Instance<'a> {
        let start = vec![[0.0; 3]; nodes(DIMS).iter().product()];
        let settings = Settings { iterations: 60, rate: 0.05, smoothness: 0.05 };
        Instance::new(fixed, moving, start, settings)
    }

    #[test]
    fn the_gradient_is_the_derivative_of_the_loss() {
        let (fixed, moving) = (waves([0.0; 3]), waves([0.6, -0.4, 0.5]));
        let mut instance = optimiser(&fixed, &moving);
        for (node, value) in instance.control.iter_mut().enumerate() {
            *value = [0, 1, 2].map(|axis| 0.3 * ((node * (axis + 2)) as f32 * 0.37).sin());
        }
        let (_, gradient) = instance.gradient();
        let start = instance.control.clone();
        let direction = |node: usize, axis: usize| ((node + 31 * axis) as f32 * 0.11).cos();
        let step = 5e-3;
        let mut loss = |sign: f32| {
            instance.control = start.clone();
            for (node, value) in instance.control.iter_mut().enumerate() {
                for axis in 0..3 {
                    value[axis] += sign * step * direction(node, axis);
                }
            }
            f64::from(instance.gradient().0)
        };
        let expected = (loss(1.0) - loss(-1.0)) / (2.0 * f64::from(step));
        let along: f64 = gradient
            .iter()
            .enumerate()
            .flat_map(|(node, g)| {
                (0..3).map(move |axis| f64::from(g[axis] * direction(node, axis)))
            })
            .sum();
        assert!((along - expected).abs() < 0.02 * expected.abs() + 1e-5, "{along} {expected}");
    }

    #[test]
    fn a_known_shift_is_found() {
        // The moving features lie 1.2 voxels further along x: so does what they show.
        let (fixed, moving) = (waves([0.0; 3]), waves([1.2, 0.0, 0.0]));
        let mut instance = optimiser(&fixed, &moving);
        for _ in 0..60 {
            instance.advance();
        }
        let flow = Flow::of(&instance.velocity(), nodes(DIMS));
        let moved = read(flow.displacement(), nodes(DIMS), [8, 7, 6].map(place));
        let found = moved.map(|part| part * NODE as f32);
        // Along z the waves say little at this place; the neighbours decide.
        assert!((found[0] - 1.2).abs() < 0.15, "{found:?}");
        assert!(found[1].abs() < 0.15 && found[2].abs() < 0.3, "{found:?}");
    }
}
