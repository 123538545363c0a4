//! Every operation of the network on the GPU against the CPU, whose kernels are tested against
//! PyTorch: all channel counts, odd sides, batches, and as many voxels as a whole head has.
//!
//! A software Vulkan driver (Mesa's lavapipe) is enough. Where there is no adapter at all the test
//! says so and compares nothing, or fails where `PRISM_REQUIRE_GPU=1`.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

mod adapter;

use burn::tensor::{Distribution, Int, Tensor};
use prism_core::kernels;
use prism_core::pipeline::Device;

/// Allowed difference in standard deviations of the expected values.
const TOLERANCE: f32 = 1e-4;

/// Largest difference in standard deviations of the expected values.
fn deviation(expected: Tensor<5>, actual: Tensor<5>) -> f32 {
    let expected: Vec<f32> = expected.into_data().try_into_vec().expect("floats");
    let actual: Vec<f32> = actual.into_data().try_into_vec().expect("floats");
    assert_eq!(expected.len(), actual.len());
    let count = expected.len() as f64;
    let mean = expected.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let squares = expected.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
    let scale = (squares / count).sqrt() as f32;
    let differences = expected.iter().zip(&actual).map(|(e, a)| (e - a).abs() / scale);
    // NaN must not get lost in a maximum.
    differences.fold(0.0, |worst, d| if d <= worst { worst } else { d })
}

struct Comparison {
    gpu: Device,
    cpu: Device,
    wrong: Vec<String>,
}

impl Comparison {
    fn random<const D: usize>(&self, shape: [usize; D]) -> (Tensor<D>, Tensor<D>) {
        let x = Tensor::random(shape, Distribution::Normal(0.0, 1.0), &self.cpu);
        (x.clone(), x.to_device(&self.gpu))
    }

    fn report(&mut self, name: String, expected: Tensor<5>, actual: Tensor<5>, tolerance: f32) {
        assert_eq!(expected.dims(), actual.dims(), "{name}");
        let value = deviation(expected, actual);
        eprintln!("{name}: {value:.1e}");
        // NaN is not within the tolerance either.
        if !matches!(value.partial_cmp(&tolerance), Some(core::cmp::Ordering::Less)) {
            self.wrong.push(format!("{name} is off by {value:e}"));
        }
    }

    fn conv3d(&mut self, shape: [usize; 5], outputs: usize, kernel: usize, stride: usize) {
        let (x, y) = self.random(shape);
        let (weight, weight_gpu) = self.random([outputs, shape[1], kernel, kernel, kernel]);
        let (bias, bias_gpu) = self.random([outputs]);
        // As in the network: a bias goes with 1x1x1 only.
        let bias = (kernel == 1).then_some((&bias, &bias_gpu));
        let expected = kernels::conv3d(x, &weight, bias.map(|b| b.0), stride);
        let actual = kernels::conv3d(y, &weight_gpu, bias.map(|b| b.1), stride);
        let name = format!("conv3d {shape:?} to {outputs}, kernel {kernel}, stride {stride}");
        self.report(name, expected, actual, TOLERANCE);
    }

    fn classify(&mut self, shape: [usize; 5], classes: usize) {
        let (x, y) = self.random(shape);
        let (weight, weight_gpu) = self.random([classes, shape[1], 1, 1, 1]);
        let (bias, bias_gpu) = self.random([classes]);
        let read = |slabs: Vec<Tensor<5, Int>>| -> Vec<i64> {
            slabs.into_iter().flat_map(|slab| slab.into_data().iter().collect::<Vec<_>>()).collect()
        };
        let expected = read(kernels::classify(&x, &weight, &bias));
        let actual = read(kernels::classify(&y, &weight_gpu, &bias_gpu));
        assert_eq!(expected.len(), actual.len());
        let differ = expected.iter().zip(&actual).filter(|(e, a)| e != a).count();
        eprintln!("classify {shape:?} to {classes}: {differ} of {} differ", expected.len());
        // Rounding may decide between classes that are equal but for it.
        if differ * 10_000 > expected.len() {
            self.wrong.push(format!("classify {shape:?}: {differ} of {} differ", expected.len()));
        }
    }

    fn instance_norm(&mut self, shape: [usize; 5], mean: f32, residual: bool, activate: bool) {
        let (x, y) = self.random(shape);
        // No channel next to constant: what is small against its own rounding says nothing.
        let scale = Tensor::random([shape[1]], Distribution::Uniform(0.5, 1.5), &self.cpu);
        let shift = Tensor::random([shape[1]], Distribution::Uniform(-0.5, 0.5), &self.cpu);
        let (scale_gpu, shift_gpu) =
            (scale.clone().to_device(&self.gpu), shift.clone().to_device(&self.gpu));
        let (other, other_gpu) = self.random(shape);
        let kept = y.clone() + mean;
        let expected =
            kernels::instance_norm(x + mean, &scale, &shift, residual.then_some(other), activate);
        let other_gpu = residual.then_some(other_gpu);
        let run =
            |x| kernels::instance_norm(x, &scale_gpu, &shift_gpu, other_gpu.clone(), activate);
        // Once into new memory, once in place.
        let (fresh, in_place) = (run(kept.clone()), run(y + mean));
        let name = format!("instance_norm {shape:?}, mean {mean}, residual {residual}");
        // Single precision resolves a mean of 1000 to 6e-5.
        let tolerance = TOLERANCE + mean * f32::EPSILON * 4.0;
        self.report(name.clone(), expected.clone(), fresh, tolerance);
        self.report(name + ", in place", expected, in_place, tolerance);
    }

    fn upsample_add(&mut self, [batch, channels, x, y, z]: [usize; 5]) {
        let shape = [batch, channels, x, y, z];
        let (small, small_gpu) = self.random(shape);
        let (skip, skip_gpu) = self.random([batch, channels, 2 * x, 2 * y, 2 * z]);
        let kept = skip_gpu.clone() + 0.0;
        let expected = kernels::upsample_add(small, skip.clone());
        let fresh = kernels::upsample_add(small_gpu.clone(), skip_gpu.clone());
        let name = format!("upsample_add {shape:?}");
        self.report(name.clone(), expected.clone(), fresh, TOLERANCE);
        self.report(name.clone() + ", skip afterwards", skip, skip_gpu, TOLERANCE);
        let in_place = kernels::upsample_add(small_gpu, kept);
        self.report(name + ", in place", expected, in_place, TOLERANCE);
    }
}

#[test]
fn operations_agree_with_the_cpu() {
    let Some(opened) = adapter::gpu(None) else { return };
    let mut check = Comparison { gpu: opened.device, cpu: Device::flex(), wrong: Vec::new() };

    // The compact network level by level, on a grid of 48 x 56 x 48.
    check.conv3d([1, 1, 48, 56, 48], 16, 3, 1);
    let mut sides = [48, 56, 48];
    for (inputs, outputs) in [(16, 32), (32, 64), (64, 128), (128, 192)] {
        let [x, y, z] = sides;
        check.conv3d([1, inputs, x, y, z], outputs, 3, 2);
        sides = sides.map(|side| side / 2);
        let [x, y, z] = sides;
        check.conv3d([1, outputs, x, y, z], outputs, 3, 1);
        check.conv3d([1, outputs, x, y, z], inputs, 1, 1);
        check.instance_norm([1, outputs, x, y, z], 0.0, true, true);
        check.upsample_add([1, inputs, x, y, z]);
    }
    check.conv3d([1, 384, 3, 3, 3], 192, 1, 1);
    // Classes of the segmentation head.
    check.conv3d([1, 16, 24, 24, 24], 33, 1, 1);
    check.classify([1, 16, 24, 24, 24], 33);
    check.classify([1, 16, 501, 1, 1], 33);
    check.classify([1, 3, 7, 9, 11], 5);

    // Odd sides, batches, channels that fill no vector.
    for shape in [[2, 3, 7, 9, 11], [2, 16, 17, 5, 3], [1, 2, 1, 1, 1], [3, 5, 2, 19, 6]] {
        check.conv3d(shape, 16, 3, 1);
        check.conv3d(shape, 7, 3, 2);
        check.conv3d(shape, 5, 1, 1);
        check.upsample_add(shape);
        if shape[2..] != [1, 1, 1] {
            check.instance_norm(shape, 0.0, false, true);
            check.instance_norm(shape, 3.0, true, false);
        }
    }

    // A whole head.
    check.conv3d([1, 1, 160, 192, 160], 4, 3, 1);
    check.conv3d([1, 16, 96, 96, 96], 8, 3, 1);
    check.instance_norm([1, 4, 160, 192, 160], 0.0, true, true);
    check.instance_norm([1, 2, 96, 96, 96], 1000.0, false, true);
    check.upsample_add([1, 4, 80, 96, 80]);
    check.classify([1, 16, 96, 96, 96], 33);
    assert!(check.wrong.is_empty(), "{:#?}", check.wrong);
}
