//! Every operation of the network on the GPU against the CPU, at the sizes a whole head has.
//!
//! A software Vulkan driver (Mesa's lavapipe) is enough. Where there is no adapter at all the test
//! says so and compares nothing.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use burn::tensor::{Distribution, Tensor};
use prism_core::kernels;
use prism_core::pipeline::{Device, DeviceChoice, Devices};

/// Largest difference in standard deviations of the expected values.
fn deviation(expected: Tensor<5>, actual: Tensor<5>) -> f32 {
    let expected: Vec<f32> = expected.into_data().try_into_vec().expect("floats");
    let actual: Vec<f32> = actual.into_data().try_into_vec().expect("floats");
    assert_eq!(expected.len(), actual.len());
    let count = expected.len() as f64;
    let mean = expected.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let squares = expected.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>();
    let scale = (squares / count).sqrt() as f32;
    expected.iter().zip(&actual).map(|(e, a)| (e - a).abs() / scale).fold(0.0, f32::max)
}

#[test]
fn operations_agree_with_the_cpu() {
    let opened = match pollster::block_on(Devices::default().open(DeviceChoice::Gpu)) {
        Ok(opened) => opened,
        Err(error) => {
            eprintln!("no comparison was made: {error}");
            return;
        }
    };
    let (gpu, cpu) = (opened.device, Device::flex());
    let random = |shape: [usize; 5]| Tensor::<5>::random(shape, Distribution::Default, &cpu);
    let mut wrong = Vec::new();
    let mut report = |name: &str, value: f32| {
        eprintln!("{name}: {value:.1e}");
        if value.is_nan() || value > 1e-3 {
            wrong.push(format!("{name} is off by {value:e}"));
        }
    };
    for side in [32, 64, 96] {
        let x = random([1, 16, side, side, side]);
        let y = x.clone().to_device(&gpu);
        report(&format!("transfer {side}"), deviation(x.clone(), y.clone()));
        for (outputs, stride) in [(16, 1), (32, 2)] {
            let weight = random([outputs, 16, 3, 3, 3]) - 0.5;
            let expected = kernels::conv3d(x.clone(), &weight, None, stride);
            let actual = kernels::conv3d(y.clone(), &weight.to_device(&gpu), None, stride);
            report(&format!("conv3d {side} stride {stride}"), deviation(expected, actual));
        }
        let weight = random([33, 16, 1, 1, 1]) - 0.5;
        let bias = Tensor::<1>::random([33], Distribution::Default, &cpu);
        report(
            &format!("pointwise {side}"),
            deviation(
                kernels::conv3d(x.clone(), &weight, Some(&bias), 1),
                kernels::conv3d(
                    y.clone(),
                    &weight.clone().to_device(&gpu),
                    Some(&bias.clone().to_device(&gpu)),
                    1,
                ),
            ),
        );
        let scale = Tensor::<1>::random([16], Distribution::Default, &cpu);
        let (scale_gpu, shift) = (scale.clone().to_device(&gpu), scale.clone());
        let expected =
            kernels::instance_norm(x.clone(), &scale, &shift, Some(x.clone() * 2.0), true);
        let actual =
            kernels::instance_norm(y.clone(), &scale_gpu, &scale_gpu, Some(y.clone() * 2.0), true);
        report(&format!("instance_norm {side}"), deviation(expected, actual));
        let small = random([1, 16, side / 2, side / 2, side / 2]);
        let expected = kernels::upsample_add(small.clone(), x.clone());
        let actual = kernels::upsample_add(small.to_device(&gpu), y);
        report(&format!("upsample_add {side}"), deviation(expected, actual));
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
