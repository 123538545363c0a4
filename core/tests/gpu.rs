//! Every operation of the network on the GPU against the CPU, whose kernels are tested against
//! PyTorch: all channel counts, odd sides, batches, and as many voxels as a whole head has.
//!
//! A software Vulkan driver (Mesa's lavapipe) is enough. Where there is no adapter at all the test
//! says so and compares nothing, or fails where `PRISM_REQUIRE_GPU=1`.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

mod adapter;

use burn::tensor::{DType, Distribution, Int, Tensor, TensorData};
use prism_core::kernels::{self, WindowPlaces};
use prism_core::model::pack::{NamedTensor, Precision, TensorSource};
use prism_core::model::unetr::UnetrBlock;
use prism_core::model::{Pack, PackInfo, Unpaced};
use prism_core::pipeline::Device;

/// Allowed difference in standard deviations of the expected values.
const TOLERANCE: f32 = 1e-4;

/// The same of values that are kept in half precision: ten bits each, of the largest.
const HALF_TOLERANCE: f32 = 1e-2;

/// Largest difference in standard deviations of the expected values.
fn deviation(expected: Tensor<5>, actual: Tensor<5>) -> f32 {
    let expected: Vec<f32> = expected.into_data().try_into_vec().expect("floats");
    let actual: Vec<f32> = actual.cast(DType::F32).into_data().try_into_vec().expect("floats");
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
    /// What the GPU keeps, it keeps in half precision.
    half: bool,
    wrong: Vec<String>,
}

impl Comparison {
    fn random<const D: usize>(&self, shape: [usize; D]) -> (Tensor<D>, Tensor<D>) {
        let x = Tensor::random(shape, Distribution::Normal(0.0, 1.0), &self.cpu);
        let y = x.clone().to_device(&self.gpu);
        // Vectors are kept in single precision.
        if !self.half || D == 1 {
            return (x, y);
        }
        let y = y.cast(DType::F16);
        (y.clone().cast(DType::F32).to_device(&self.cpu), y)
    }

    fn report(&mut self, name: String, expected: Tensor<5>, actual: Tensor<5>, tolerance: f32) {
        assert_eq!(expected.dims(), actual.dims(), "{name}");
        let value = deviation(expected, actual);
        let tolerance = if self.half { HALF_TOLERANCE } else { tolerance };
        let name = if self.half { format!("half {name}") } else { name };
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

    /// Heads of `each` channels over windows of `side` tokens a side, of which there are
    /// `tokens`; of two regions a window where `masked`.
    fn window_attention(
        &mut self,
        [windows, side, tokens]: [usize; 3],
        [heads, each]: [usize; 2],
        masked: bool,
    ) {
        let (joint, joint_gpu) = self.random([windows, tokens, 3 * heads * each]);
        let span = 2 * side - 1;
        let (bias, bias_gpu) = self.random([heads, span.pow(3)]);
        let place = |token: usize| [token / (side * side), token / side % side, token % side];
        let code = |token| place(token).into_iter().fold(0, |sum, at| sum * span + at) as i32;
        let codes: Vec<i32> = (0..tokens).map(code).collect();
        // One grid of two windows less, so that the count starts anew.
        let count = windows.saturating_sub(2).max(1);
        let regions: Vec<i32> =
            (0..count * tokens).map(|i| i32::from((i / tokens + i % tokens) % 5 < 2)).collect();
        let places = |device: &Device| WindowPlaces {
            codes: Tensor::from_data(TensorData::new(codes.clone(), [tokens]), device),
            regions: masked.then(|| {
                Tensor::from_data(TensorData::new(regions.clone(), [count, tokens]), device)
            }),
        };
        let expected = kernels::window_attention(joint, &bias, &places(&self.cpu), 1);
        let actual = kernels::window_attention(joint_gpu, &bias_gpu, &places(&self.gpu), 1);
        let name = format!("attention of {windows} x {tokens}, {heads} x {each}, masked {masked}");
        self.report(name, expected.unsqueeze(), actual.unsqueeze(), TOLERANCE);
    }

    fn linear(&mut self, rows: usize, [inputs, outputs]: [usize; 2], bias: bool, activate: bool) {
        let (x, x_gpu) = self.random([rows, inputs]);
        // A power of two, exact in any precision, that brings sums to about 1: of large negative
        // ones GELU leaves nothing but rounding.
        let gain = 0.5_f32.powi((inputs.ilog2() / 2) as i32);
        let (x, x_gpu) = (x * gain, x_gpu * gain);
        let (weight, weight_gpu) = self.random([inputs, outputs]);
        let (shift, shift_gpu) = self.random([outputs]);
        let expected = kernels::linear(x, &weight, bias.then_some(&shift), activate);
        let actual = kernels::linear(x_gpu, &weight_gpu, bias.then_some(&shift_gpu), activate);
        let name =
            format!("linear {rows} x {inputs} to {outputs}, bias {bias}, activated {activate}");
        self.report(name, expected.unsqueeze(), actual.unsqueeze(), TOLERANCE);
    }

    fn layer_norm(&mut self, rows: usize, channels: usize, mean: f32) {
        let (x, y) = self.random([rows, channels]);
        let (scale, scale_gpu) = self.random([channels]);
        let (shift, shift_gpu) = self.random([channels]);
        let kept = y.clone() + mean;
        let expected = kernels::layer_norm(x + mean, &scale, &shift);
        let run = |x| kernels::layer_norm(x, &scale_gpu, &shift_gpu);
        // Once into new memory, once in place.
        let (fresh, in_place) = (run(kept.clone()), run(y + mean));
        let name = format!("layer_norm {rows} x {channels}, mean {mean}");
        self.report(name.clone(), expected.clone().unsqueeze(), fresh.unsqueeze(), TOLERANCE);
        self.report(name, expected.unsqueeze(), in_place.unsqueeze(), TOLERANCE);
    }

    fn take_rows(&mut self, shape: [usize; 3], taken: usize) {
        let (x, x_gpu) = self.random(shape);
        // The number of rows, which stands for zeros, comes up too where more are taken.
        let choices = if taken > shape[1] { shape[1] + 1 } else { shape[1] };
        let index: Vec<i32> = (0..taken).map(|i| ((i * 7 + 3) % choices) as i32).collect();
        let index = |device: &Device| -> Tensor<1, Int> {
            Tensor::from_data(TensorData::new(index.clone(), [taken]), device)
        };
        let expected = kernels::take_rows(x, &index(&self.cpu));
        let actual = kernels::take_rows(x_gpu, &index(&self.gpu));
        let name = format!("take_rows {taken} of {shape:?}");
        self.report(name, expected.unsqueeze(), actual.unsqueeze(), TOLERANCE);
    }

    /// A block of the published network whose weights are larger than what one tensor holds of
    /// them (75 MB, as the GPU keeps them), as those of the two largest encoders are.
    fn large_weights(&mut self) {
        const CHANNELS: usize = 832;
        let info: PackInfo = serde_json::from_value(serde_json::json!({
            "schema": 1, "name": "block", "title": "Block", "version": "0", "sha256": "",
            "architecture": {
                "encoder": {
                    "kind": "residual_pyramid", "in_channels": 1,
                    "channels": [4, 8], "convs": [1, 1],
                },
            },
            "preprocessing": {
                "orientation": "RAS", "spacing_mm": [1.0, 1.0, 1.0],
                "intensity": { "rule": "zscore_nonzero" }, "window": [32, 32, 32], "overlap": 0.5,
            },
        }))
        .expect("description");
        let gain = (3.0 / (27 * CHANNELS) as f64).sqrt();
        let tensors = ["conv1", "conv2"].map(|conv| {
            let spread = Distribution::Uniform(-gain, gain);
            let values = Tensor::<1>::random([CHANNELS * CHANNELS * 27], spread, &self.cpu);
            NamedTensor {
                name: format!("block.{conv}.conv.weight"),
                shape: vec![CHANNELS, CHANNELS, 3, 3, 3],
                values: values.into_data().try_into_vec().expect("floats"),
            }
        });
        let pack = Pack::build(info, Vec::from(tensors), Precision::Float32).expect("pack");
        let run = |x: Tensor<5>, dtype: DType| {
            let mut source = TensorSource::new(&pack);
            source.keep_as(dtype);
            let block = UnetrBlock::load(&mut source, "block", CHANNELS, CHANNELS, &x.device());
            let block = block.expect("a block");
            pollster::block_on(block.in_parts(x, &mut Unpaced)).expect("a map")
        };
        let (x, y) = self.random([1, CHANNELS, 4, 4, 4]);
        let kept = y.dtype();
        let (expected, actual) = (run(x, DType::F32), run(y, kept));
        // Sums of 22,464 products, twice.
        self.report("weights in parts".into(), expected, actual, 3.0 * TOLERANCE);
    }

    /// What the published encoder is made of beside convolutions.
    fn transformer(&mut self) {
        for masked in [false, true] {
            self.window_attention([4, 7, 343], [3, 16], masked);
            self.window_attention([1, 7, 216], [24, 16], masked);
            self.window_attention([5, 6, 216], [2, 32], masked);
            self.window_attention([9, 2, 8], [2, 64], masked);
            self.window_attention([3, 3, 27], [3, 4], masked);
            self.window_attention([3, 7, 11], [2, 3], masked);
            self.window_attention([2, 7, 98], [1, 2], masked);
        }
        // More than one dispatch.
        self.window_attention([150, 7, 343], [2, 16], true);
        for (bias, activate) in [(true, false), (false, true), (true, true)] {
            self.linear(343, [48, 144], bias, activate);
            self.linear(1000, [12, 48], bias, activate);
            self.linear(17, [5, 12], bias, activate);
            self.linear(1, [384, 3], bias, activate);
        }
        self.linear(20_000, [192, 768], true, true);
        for (rows, channels) in [(343, 48), (1001, 12), (27, 3072), (5, 3)] {
            self.layer_norm(rows, channels, 0.0);
            self.layer_norm(rows, channels, 3.0);
        }
        for (shape, taken) in [([1, 100, 48], 100), ([2, 30, 6], 41), ([3, 50, 12], 7)] {
            self.take_rows(shape, taken);
        }
    }
}

/// One test for both: a process opens a GPU once.
#[test]
fn operations_agree_with_the_cpu() {
    let Some(opened) = adapter::gpu(None) else { return };
    for half in [false, true] {
        let (gpu, cpu) = (opened.device.clone(), Device::flex());
        if half && !kernels::has_halves(&gpu) {
            eprintln!("the adapter has no half precision");
            continue;
        }
        compare(Comparison { gpu, cpu, half, wrong: Vec::new() });
    }
}

fn compare(mut check: Comparison) {
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
    if !check.half {
        // Half precision resolves a mean of 1000 to 0.5.
        check.instance_norm([1, 2, 96, 96, 96], 1000.0, false, true);
    }
    check.upsample_add([1, 4, 80, 96, 80]);
    check.classify([1, 16, 96, 96, 96], 33);
    check.transformer();
    check.large_weights();
    assert!(check.wrong.is_empty(), "{:#?}", check.wrong);
}
