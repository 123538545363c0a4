//! Known-answer self-test: every kind of operation of a run, on the device, compared with
//! stored numbers or plain arithmetic.
//!
//! On wasm a shader that fails to compile is only logged and leaves stale buffers,
//! some drivers miscompile, and the CPU runs SIMD kernels of our own; a wrong mask must
//! never come from that. The answers are golden references: PyTorch's (training/golden.py),
//! those of `transformer` MONAI's.

mod arithmetic;
mod hashed;
mod seeded;
mod transformer;

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::SafeTensors;

use super::device::DeviceError;
use super::postprocess::{Between, Refine};
use super::sinks::read_classes;
use super::sliding::read;
use crate::kernels;
use crate::model::heads::SegmentationHead;
use crate::model::{Pack, PackError, Prism, Storage, Unpaced};
use arithmetic::Convolution;
use hashed::noise;

const ANSWERS: &[u8] = include_bytes!("../../../../tests/golden/model/self_test.safetensors");

/// Sides of the small net's input: `[x, y, z]`, unequal so that mixed axes are noticed.
const SIDES: [usize; 3] = [32, 48, 32];

/// The reference keeps one voxel in so many of each axis, from the first on.
const EVERY: usize = 4;

/// Allowed deviation, in standard deviations of the expected values.
const TOLERANCE: f32 = 1e-3;

/// The same with maps in half precision: ten bits of each number, through a transformer.
const HALF_TOLERANCE: f32 = 5e-2;

/// Points between voxels that are classified.
const POINTS: usize = 500;

/// Tests what every pack needs: the small net's logits and classes, points between voxels,
/// convolutions as wide as the packs', a sum over as many voxels as a head has.
///
/// # Errors
/// [`DeviceError::SelfTest`] with the deviation.
pub async fn check(device: &Device, adapter: &str) -> Result<(), DeviceError> {
    let parts = [network(device).await, convolutions(device).await, long_reduction(device).await];
    judge(&parts, adapter)
}

/// Tests what a transformer needs besides: matrix products, softmax, layer norm, selection.
///
/// # Errors
/// [`DeviceError::SelfTest`] with the deviation.
pub async fn check_transformer(device: &Device, adapter: &str) -> Result<(), DeviceError> {
    judge(&[transformer::deepest_map(device, Storage::Single).await], adapter)
}

/// Whether a device that has half precision computes a transformer rightly with it.
pub async fn check_halves(device: &Device) -> bool {
    let deviation = transformer::deepest_map(device, Storage::Half).await;
    deviation.is_some_and(|deviation| deviation <= HALF_TOLERANCE)
}

fn judge(deviations: &[Option<f32>], adapter: &str) -> Result<(), DeviceError> {
    let error = largest(deviations.iter().map(|deviation| deviation.unwrap_or(f32::NAN)));
    // NaN is not within the tolerance either.
    if error <= TOLERANCE {
        Ok(())
    } else {
        Err(DeviceError::SelfTest { adapter: adapter.to_owned(), error })
    }
}

/// The largest value; NaN where one is.
fn largest(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(0.0, |most: f32, value| if value <= most || most.is_nan() { most } else { value })
}

/// Standard deviation, not less than what single precision resolves.
fn spread(values: &[f32]) -> f32 {
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / count).sqrt().max(1e-6)
}

/// Largest deviation in standard deviations of the expected values; `None` where they are
/// not as many.
fn deviation(actual: &[f32], expected: &[f32]) -> Option<f32> {
    let scale = spread(expected);
    let differences = actual.iter().zip(expected).map(|(a, e)| (a - e).abs() / scale);
    (actual.len() == expected.len()).then(|| largest(differences))
}

/// Values of every class on a grid: `[classes, x, y, z]`, z fastest.
struct Scores {
    values: Vec<f32>,
    classes: usize,
    dims: [usize; 3],
}

impl Scores {
    fn at(&self, class: usize, [x, y, z]: [usize; 3]) -> f32 {
        let [nx, ny, nz] = self.dims;
        self.values[((class * nx + x) * ny + y) * nz + z]
    }

    /// The voxels that the reference keeps.
    fn kept(&self) -> Self {
        let dims = self.dims.map(|side| side.div_ceil(EVERY));
        let [nx, ny, nz] = dims;
        let mut values = Vec::with_capacity(self.classes * nx * ny * nz);
        for class in 0..self.classes {
            for x in 0..nx {
                for y in 0..ny {
                    values.extend((0..nz).map(|z| self.at(class, [x, y, z].map(|i| EVERY * i))));
                }
            }
        }
        Self { values, classes: self.classes, dims }
    }

    /// Whether these classes (z fastest) are the most likely ones, where rounding does not
    /// decide.
    fn agree_with(&self, classes: &[u8]) -> bool {
        let margin = TOLERANCE * spread(&self.values);
        let voxels = self.dims.iter().product::<usize>();
        let mut scores = vec![0.0; self.classes];
        self.classes > 0
            && classes.len() == voxels
            && classes.iter().enumerate().all(|(voxel, &found)| {
                for (class, score) in scores.iter_mut().enumerate() {
                    *score = self.values[class * voxels + voxel];
                }
                is_best(&scores, found, margin)
            })
    }
}

/// Whether a class has the largest of the scores, or one as large but for rounding.
fn is_best(scores: &[f32], class: u8, margin: f32) -> bool {
    let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.get(usize::from(class)).is_some_and(|score| best - score <= margin)
}

/// A small net of the packs' kind.
fn small_net() -> Result<Pack, PackError> {
    let labels: Vec<_> = (1..5)
        .map(|n| serde_json::json!({ "index": n, "id": n, "name": n.to_string(), "color": [0, 0, 0] }))
        .collect();
    seeded::pack(serde_json::json!({
        "architecture": {
            "encoder": {
                "kind": "residual_pyramid", "in_channels": 1,
                "channels": [4, 4, 8, 8, 8], "convs": [1, 2, 2, 2, 2],
            },
            "heads": [{ "kind": "segmentation", "name": "segmentation", "classes": 5 }],
        },
        "labels": labels,
    }))
}

/// The small net: deviation of its logits; `None` when nothing came back, a voxel has another
/// class than its logits say, or a point between voxels is not decided by their logits.
async fn network(device: &Device) -> Option<f32> {
    let model = Prism::load(&small_net().ok()?, device).ok()?;
    let answers = SafeTensors::deserialize(ANSWERS).ok()?;
    let [x, y, z] = SIDES;
    let input = TensorData::new(noise("input", x * y * z), [1, 1, x, y, z]);
    let input = Tensor::<5>::from_data(input, device);
    let features = model.encode(input, &mut Unpaced).await.ok()?;
    let decoded = model.decode(features, &mut Unpaced).await.ok()??;
    let head = model.segmentation()?;
    let logits = head.logits(decoded.clone());
    let [_, classes, nx, ny, nz] = logits.dims();
    let logits = Scores { values: read(logits).await.ok()?, classes, dims: [nx, ny, nz] };
    let expected = stored(&answers, "logits.every4")?;
    let off = deviation(&logits.kept().values, &expected)?;

    let mut found = Vec::with_capacity(nx * ny * nz);
    for slab in head.classes(&decoded) {
        found.extend(read_classes(slab).await.ok()?);
    }
    let off_between = between(head, decoded, &logits).await?;
    logits.agree_with(&found).then(|| largest([off, off_between].into_iter()))
}

/// Largest deviation of probabilities at points between voxels from those of the voxels'
/// interpolated logits; `None` when nothing came back or a class is another.
async fn between(head: &SegmentationHead, decoded: Tensor<5>, logits: &Scores) -> Option<f32> {
    let fine = logits.dims.map(|side| 2 * side);
    let between = Between::new(logits.dims, fine, [0.5; 3]);
    let count = fine.iter().product::<usize>();
    let points: Vec<u32> = (0..count).step_by((count / POINTS).max(1)).map(|p| p as u32).collect();
    let refine = Refine::new(head, decoded);
    let shift = [0; 3];
    let probabilities = read(refine.probabilities(&points, &between, shift)).await.ok()?;
    let mut classes = Vec::with_capacity(points.len());
    for slab in refine.classes(&points, &between, shift) {
        classes.extend(read_classes(slab).await.ok()?);
    }
    if probabilities.len() != points.len() * logits.classes || classes.len() != points.len() {
        return None;
    }
    let margin = TOLERANCE * spread(&logits.values);
    let mut off = 0.0;
    for ((&point, &class), actual) in
        points.iter().zip(&classes).zip(probabilities.chunks_exact(logits.classes))
    {
        let corners = between.corners(point as usize);
        let scores: Vec<f32> = (0..logits.classes)
            .map(|class| corners.iter().map(|&(at, weight)| weight * logits.at(class, at)).sum())
            .collect();
        if !is_best(&scores, class, margin) {
            return None;
        }
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = scores.iter().map(|score| (score - most).exp()).sum();
        let each = scores.iter().zip(actual).map(|(s, a)| (a - (s - most).exp() / sum).abs());
        off = largest([off, largest(each)].into_iter());
    }
    Some(off)
}

/// Convolutions as wide as the shipped packs', in tiles as of a whole head, against sums
/// written out.
async fn convolutions(device: &Device) -> Option<f32> {
    let mut off = 0.0;
    for convolution in [
        Convolution { inputs: 16, outputs: 32, dims: [8, 4, 5], kernel: 3, stride: 1 },
        Convolution { inputs: 16, outputs: 32, dims: [16, 4, 6], kernel: 3, stride: 2 },
        Convolution { inputs: 128, outputs: 192, dims: [8, 2, 3], kernel: 3, stride: 1 },
        Convolution { inputs: 192, outputs: 128, dims: [8, 2, 3], kernel: 1, stride: 1 },
    ] {
        let Convolution { inputs, outputs, dims: [nx, ny, nz], kernel: k, stride } = convolution;
        let input = noise("input", inputs * nx * ny * nz);
        let weight = noise("weight", outputs * inputs * k * k * k);
        // As in the network: a bias goes with 1x1x1 only.
        let bias = (k == 1).then(|| noise("bias", outputs));
        let given = |values: &[f32], shape: [usize; 5]| {
            Tensor::<5>::from_data(TensorData::new(values.to_vec(), shape), device)
        };
        let bias_given = bias
            .as_ref()
            .map(|bias| Tensor::<1>::from_data(TensorData::new(bias.clone(), [outputs]), device));
        let result = kernels::conv3d(
            given(&input, [1, inputs, nx, ny, nz]),
            &given(&weight, [outputs, inputs, k, k, k]),
            bias_given.as_ref(),
            stride,
        );
        let actual = read(result).await.ok()?;
        let (places, expected) = convolution.some_outputs(&input, &weight, bias.as_deref());
        let actual: Option<Vec<f32>> = places.iter().map(|&at| actual.get(at).copied()).collect();
        off = largest([off, deviation(&actual?, &expected)?].into_iter());
    }
    Some(off)
}

/// Instance norm of a ramp over as many voxels as a whole head has, where the small net
/// cannot reach: largest deviation from `(i - (n - 1) / 2) / sqrt((n^2 - 1) / 12)`.
async fn long_reduction(device: &Device) -> Option<f32> {
    const SIDE: usize = 96;
    let count = SIDE * SIDE * SIDE;
    let ramp = (0..count).map(|i| i as f32 / count as f32).collect::<Vec<_>>();
    let ramp = Tensor::<5>::from_data(TensorData::new(ramp, [1, 1, SIDE, SIDE, SIDE]), device);
    let one = Tensor::<1>::ones([1], device);
    let normed = kernels::instance_norm(ramp, &one, &Tensor::zeros([1], device), None, false);
    // A plane holds enough of the ramp: the first, a middle and the last voxels.
    let values = read(normed.narrow(3, SIDE / 2, 1)).await.ok()?;
    let n = count as f64;
    // The norm's epsilon acts on the ramp's own variance.
    let variance = (n * n - 1.0) / (12.0 * n * n) + f64::from(kernels::NORM_EPSILON);
    let differences = values.iter().enumerate().map(|(at, &value)| {
        let (x, z) = (at / SIDE, at % SIDE);
        let i = ((x * SIDE + SIDE / 2) * SIDE + z) as f64;
        (value - (((i - (n - 1.0) / 2.0) / n) / variance.sqrt()) as f32).abs()
    });
    (values.len() == SIDE * SIDE).then(|| largest(differences))
}

fn stored(tensors: &SafeTensors, name: &str) -> Option<Vec<f32>> {
    let bytes = tensors.tensor(name).ok()?.data().chunks_exact(4);
    Some(bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_passes() {
        let device = Device::flex();
        assert_eq!(pollster::block_on(check(&device, "CPU")), Ok(()));
        assert_eq!(pollster::block_on(check_transformer(&device, "CPU")), Ok(()));
    }

    #[test]
    fn what_is_not_a_number_is_not_lost() {
        assert!(largest([1.0, f32::NAN, 2.0].into_iter()).is_nan());
        assert_eq!(largest([1.0, 3.0, 2.0].into_iter()), 3.0);
        assert!(judge(&[Some(0.0), None], "GPU").is_err());
        assert!(judge(&[Some(0.0), Some(2e-3)], "GPU").is_err());
        assert_eq!(judge(&[Some(0.0), Some(1e-4)], "GPU"), Ok(()));
        assert_eq!(deviation(&[1.0], &[1.0, 2.0]), None);
    }

    #[test]
    fn classes_that_were_not_written_are_noticed() {
        // Two classes on two voxels, each the most likely of one.
        let scores = Scores { values: vec![1.0, 0.0, 0.0, 1.0], classes: 2, dims: [2, 1, 1] };
        assert!(!scores.agree_with(&[0, 0]));
        assert!(scores.agree_with(&[0, 1]));
        assert!(!scores.agree_with(&[]));
        // The stored net has more than one class, too: zeros would not pass.
        let answers = SafeTensors::deserialize(ANSWERS).unwrap();
        let values = stored(&answers, "logits.every4").unwrap();
        let dims = SIDES.map(|side| side.div_ceil(EVERY));
        let expected = Scores { values, classes: 5, dims };
        assert!(!expected.agree_with(&vec![0; dims.iter().product()]));
    }
}
