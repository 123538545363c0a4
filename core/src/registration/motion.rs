//! Rigid and affine maps of world points: their steps, rotations, half of a motion.

use serde::{Deserialize, Serialize};

use crate::features::linalg::leading;
use crate::volume::Affine;

/// What an affine map may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Freedom {
    /// Turn and shift: 6 numbers.
    Rigid,
    /// Any affine map: 12 numbers.
    Affine,
}

/// Generators of rotations about x, y, z.
const TURNS: [[[f64; 3]; 3]; 3] = [
    [[0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]],
    [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 0.0]],
    [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
];

/// Changes of the twelve entries (rows of 3 x 4, acting on a point less the centre) that
/// are free at `current`.
pub fn directions(freedom: Freedom, current: &Affine) -> Vec<[f64; 12]> {
    let mut result = Vec::new();
    match freedom {
        Freedom::Affine => {
            for entry in 0..12 {
                let mut one = [0.0; 12];
                one[entry] = 1.0;
                result.push(one);
            }
        }
        Freedom::Rigid => {
            for turn in TURNS {
                let mut change = [0.0; 12];
                for row in 0..3 {
                    for column in 0..3 {
                        change[4 * row + column] =
                            (0..3).map(|k| turn[row][k] * current.0[k][column]).sum();
                    }
                }
                result.push(change);
            }
            for axis in 0..3 {
                let mut shift = [0.0; 12];
                shift[4 * axis + 3] = 1.0;
                result.push(shift);
            }
        }
    }
    result
}

/// `current` after a step along [`directions`], turning about the image of `centre`.
pub fn moved(freedom: Freedom, current: &Affine, step: &[f64], centre: [f64; 3]) -> Affine {
    match freedom {
        Freedom::Affine => {
            let mut next = *current;
            for (axis, row) in next.0.iter_mut().enumerate() {
                for column in 0..4 {
                    row[column] += step[4 * axis + column];
                }
                row[3] -= (0..3).map(|k| step[4 * axis + k] * centre[k]).sum::<f64>();
            }
            next
        }
        Freedom::Rigid => {
            let pivot = current.apply(centre);
            let mut turn = about(&rotation([step[0], step[1], step[2]]), pivot);
            (0..3).for_each(|axis| turn.0[axis][3] += step[3 + axis]);
            turn.after(current)
        }
    }
}

/// Rotation by a vector: its direction the axis, its length the angle in radians (Rodrigues).
pub fn rotation(vector: [f64; 3]) -> Affine {
    let angle = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
    let mut result = Affine::IDENTITY;
    if angle < 1e-15 {
        return result;
    }
    let axis = vector.map(|v| v / angle);
    let (sine, rest) = (angle.sin(), 1.0 - angle.cos());
    for row in 0..3 {
        for column in 0..3 {
            let turn: f64 = (0..3).map(|k| axis[k] * TURNS[k][row][column]).sum();
            let same = f64::from(u8::from(row == column));
            result.0[row][column] = same + sine * turn + rest * (axis[row] * axis[column] - same);
        }
    }
    result
}

/// A linear map done about a point that stays where it is.
pub fn about(linear: &Affine, point: [f64; 3]) -> Affine {
    let image = linear.apply(point);
    let mut result = *linear;
    (0..3).for_each(|axis| result.0[axis][3] += point[axis] - image[axis]);
    result
}

/// The rotation vector of a rotation (the inverse of [`rotation`]).
pub fn rotation_vector(map: &Affine) -> [f64; 3] {
    let m = map.0;
    let cosine = ((m[0][0] + m[1][1] + m[2][2] - 1.0) / 2.0).clamp(-1.0, 1.0);
    let angle = cosine.acos();
    let odd = [m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]];
    let scale = if angle < 1e-7 { 0.5 } else { angle / (2.0 * angle.sin()) };
    odd.map(|v| v * scale)
}

/// Half of a rigid motion: done twice, it is the whole. Its rotation is half as far about
/// the same axis; its shift s solves s + R s = t.
pub fn half(motion: &Affine) -> Affine {
    let turn = rotation(rotation_vector(motion).map(|v| 0.5 * v));
    let mut sum = turn;
    (0..3).for_each(|axis| sum.0[axis][axis] += 1.0);
    let shift = motion.0.map(|row| row[3]);
    let mut result = turn;
    // I + R is singular only for half-turns; then half of the shift is as good as any.
    let half = sum.inverse().map_or(shift.map(|v| 0.5 * v), |inverse| inverse.apply(shift));
    (0..3).for_each(|axis| result.0[axis][3] = half[axis]);
    result
}

/// The rigid motion that takes points onto others best, in weighted least squares (Horn,
/// J. Opt. Soc. Am. A 4, 1987: the largest eigenvector of a 4 x 4 matrix is the quaternion).
pub fn motion_between(pairs: &[([f64; 3], [f64; 3], f64)]) -> Affine {
    let total: f64 = pairs.iter().map(|pair| pair.2).sum();
    if total <= 0.0 {
        return Affine::IDENTITY;
    }
    let from = [0, 1, 2].map(|k| pairs.iter().map(|(a, _, w)| w * a[k]).sum::<f64>() / total);
    let to = [0, 1, 2].map(|k| pairs.iter().map(|(_, b, w)| w * b[k]).sum::<f64>() / total);
    let mut s = [[0.0; 3]; 3];
    for (a, b, weight) in pairs {
        for i in 0..3 {
            for j in 0..3 {
                s[i][j] += weight * (a[i] - from[i]) * (b[j] - to[j]);
            }
        }
    }
    let n = [
        [s[0][0] + s[1][1] + s[2][2], s[1][2] - s[2][1], s[2][0] - s[0][2], s[0][1] - s[1][0]],
        [s[1][2] - s[2][1], s[0][0] - s[1][1] - s[2][2], s[0][1] + s[1][0], s[2][0] + s[0][2]],
        [s[2][0] - s[0][2], s[0][1] + s[1][0], s[1][1] - s[0][0] - s[2][2], s[1][2] + s[2][1]],
        [s[0][1] - s[1][0], s[2][0] + s[0][2], s[1][2] + s[2][1], s[2][2] - s[0][0] - s[1][1]],
    ];
    // Shifted so that it is positive and its largest eigenvalue the largest in size.
    let bound: f64 = n.iter().flatten().map(|v| v.abs()).sum();
    let mut shifted: Vec<f64> = n.into_iter().flatten().collect();
    (0..4).for_each(|k| shifted[5 * k] += bound);
    let Some((_, q)) = leading(&shifted, 4, 1).into_iter().next() else { return Affine::IDENTITY };
    let sine = (q[1] * q[1] + q[2] * q[2] + q[3] * q[3]).sqrt();
    let angle = 2.0 * sine.atan2(q[0]);
    let scale = if sine > 1e-15 { angle / sine } else { 0.0 };
    let mut result = rotation([q[1] * scale, q[2] * scale, q[3] * scale]);
    let image = result.apply(from);
    (0..3).for_each(|axis| result.0[axis][3] = to[axis] - image[axis]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: &Affine, b: &Affine) -> bool {
        a.0.iter().flatten().zip(b.0.iter().flatten()).all(|(x, y)| (x - y).abs() < 1e-6)
    }

    #[test]
    fn rotations_are_those_of_scipy() {
        // scipy.spatial.transform.Rotation.from_rotvec([0.1, -0.2, 0.3]).as_matrix()
        let expected = Affine([
            [0.935_754_80, -0.302_932_71, -0.180_540_08, 0.0],
            [0.283_164_96, 0.950_580_62, -0.127_334_58, 0.0],
            [0.210_191_70, 0.068_031_32, 0.975_290_31, 0.0],
        ]);
        let turn = rotation([0.1, -0.2, 0.3]);
        assert!(close(&turn, &expected), "{turn:?}");
        for (value, expected) in rotation_vector(&turn).iter().zip([0.1, -0.2, 0.3]) {
            assert!((value - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn half_a_motion_twice_is_the_motion() {
        let mut motion = rotation([0.2, 0.1, -0.3]);
        (0..3).for_each(|axis| motion.0[axis][3] = [5.0, -3.0, 8.0][axis]);
        let half = half(&motion);
        assert!(close(&half.after(&half), &motion), "{half:?}");
    }

    #[test]
    fn the_motion_between_moved_points_is_found() {
        let motion = about(&rotation([0.5, -0.3, 0.4]), [10.0, 0.0, -20.0]);
        let points = [[0.0, 0.0, 0.0], [30.0, 5.0, 1.0], [-4.0, 40.0, 9.0], [7.0, -8.0, 50.0]];
        let pairs: Vec<_> = points.iter().map(|&p| (p, motion.apply(p), 2.0)).collect();
        let found = motion_between(&pairs);
        assert!(close(&found, &motion), "{found:?} {motion:?}");
    }

    #[test]
    fn rigid_steps_keep_lengths_and_follow_their_directions() {
        let start = about(&rotation([0.3, 0.2, 0.1]), [1.0, 2.0, 3.0]);
        let (centre, point) = ([4.0, -5.0, 6.0], [20.0, 11.0, -7.0]);
        let step = [2e-6, -1e-6, 3e-6, 1e-6, 2e-6, -2e-6];
        let next = moved(Freedom::Rigid, &start, &step, centre);
        let mut change = [0.0; 12];
        for (direction, amount) in directions(Freedom::Rigid, &start).iter().zip(step) {
            change.iter_mut().zip(direction).for_each(|(c, d)| *c += amount * d);
        }
        let (before, after) = (start.apply(point), next.apply(point));
        for axis in 0..3 {
            let linear: f64 = change[4 * axis + 3]
                + (0..3).map(|k| change[4 * axis + k] * (point[k] - centre[k])).sum::<f64>();
            assert!((after[axis] - before[axis] - linear).abs() < 1e-9);
        }
        assert!((next.determinant() - 1.0).abs() < 1e-12);
    }
}
