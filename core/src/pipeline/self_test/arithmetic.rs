//! A convolution written out, for the self-test.

/// One output channel in so many is computed: an odd number, so that every place in a vector
/// of channels comes up.
const EVERY: usize = 7;

/// A convolution as [`crate::kernels::conv3d`] computes it.
#[derive(Clone, Copy)]
pub struct Convolution {
    pub inputs: usize,
    pub outputs: usize,
    pub dims: [usize; 3],
    pub kernel: usize,
    pub stride: usize,
}

impl Convolution {
    /// Some of the outputs: where they are in `[outputs, x, y, z]` (z fastest), and their values.
    pub fn some_outputs(
        &self,
        input: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> (Vec<usize>, Vec<f32>) {
        let [ox, oy, oz] = self.dims.map(|side| (side - 1) / self.stride + 1);
        let mut places = Vec::new();
        let mut values = Vec::new();
        for output in (0..self.outputs).step_by(EVERY) {
            let start = bias.map_or(0.0, |bias| f64::from(bias[output]));
            for at in 0..ox * oy * oz {
                let centre = [at / (oy * oz), at / oz % oy, at % oz].map(|i| i * self.stride);
                places.push(output * ox * oy * oz + at);
                values.push((start + self.sum(input, weight, output, centre)) as f32);
            }
        }
        (places, values)
    }

    /// The sum over inputs and taps around a voxel; outside the volume lie zeros.
    fn sum(&self, input: &[f32], weight: &[f32], output: usize, centre: [usize; 3]) -> f64 {
        let [nx, ny, nz] = self.dims;
        let k = self.kernel;
        // Taps whose voxel is inside, and the voxel along the axis.
        let taps = [0, 1, 2].map(|axis| {
            let inside = |tap: usize| {
                let place = (centre[axis] + tap).checked_sub(k / 2)?;
                (place < self.dims[axis]).then_some((tap, place))
            };
            (0..k).filter_map(inside).collect::<Vec<_>>()
        });
        let mut sum = 0.0;
        for channel in 0..self.inputs {
            let (from, with) = (channel * nx, (output * self.inputs + channel) * k);
            for &(tx, x) in &taps[0] {
                for &(ty, y) in &taps[1] {
                    for &(tz, z) in &taps[2] {
                        let value = input[((from + x) * ny + y) * nz + z];
                        let factor = weight[((with + tx) * k + ty) * k + tz];
                        sum += f64::from(value) * f64::from(factor);
                    }
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convolution_is_the_sum_of_its_neighbours() {
        // numpy: two voxels along z, kernel of ones, so each is the sum of both.
        let small = Convolution { inputs: 1, outputs: 1, dims: [1, 1, 2], kernel: 3, stride: 1 };
        let (places, values) = small.some_outputs(&[2.0, 3.0], &[1.0; 27], None);
        assert_eq!((places, values), (vec![0, 1], vec![5.0, 5.0]));
        let point = Convolution { inputs: 2, outputs: 1, dims: [2, 1, 1], kernel: 1, stride: 2 };
        let (_, values) = point.some_outputs(&[1.0, 2.0, 3.0, 4.0], &[10.0, 1.0], Some(&[0.5]));
        assert_eq!(values, [13.5]);
    }
}
