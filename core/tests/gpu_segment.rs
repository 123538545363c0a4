//! Labels on a scan's own grid, on the GPU against the CPU, where that grid lies between the
//! network's voxels: borders are then interpolated at fractions of a voxel.
//!
//! A software Vulkan driver (Mesa's lavapipe) is enough; see [`adapter::gpu`].

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

mod adapter;

use prism_core::formats::{InputFile, Selection, load};
use prism_core::model::{Pack, Prism};
use prism_core::pipeline::{Device, Quiet, segment};
use prism_core::volume::{Volume, offset};

const BRAIN: &[u8] = include_bytes!("../../public/packs/brain.safetensors");
const SAMPLE: &[u8] = include_bytes!("../../public/samples/sample_t1w.nii.gz");

/// Agreement that counts as the same result on GPU and CPU.
const SAME: f64 = 0.995;

/// Structures smaller than this in both have no stable coefficient, in voxels.
const SMALLEST: u32 = 30;

/// A cube of 96 mm out of the middle of the sample's brain, every `step`-th voxel of 1 mm.
fn crop(step: [usize; 3]) -> Volume {
    const CORNER: [usize; 3] = [40, 56, 62];
    let file = InputFile { name: "sample_t1w.nii.gz".into(), bytes: SAMPLE.to_vec() };
    let sample = load(&[file], &Selection::default()).expect("the sample").volume;
    let dims = step.map(|step| 96 / step);
    let mut data = Vec::with_capacity(dims.iter().product());
    for z in 0..dims[2] {
        for y in 0..dims[1] {
            for x in 0..dims[0] {
                let at = [0, 1, 2].map(|axis| CORNER[axis] + step[axis] * [x, y, z][axis]);
                data.push(sample.data[offset(sample.dims, at)]);
            }
        }
    }
    let affine = sample.affine.rescaled(step.map(|n| n as f64), CORNER.map(|n| n as f64));
    Volume { data, dims, affine }
}

/// Dice coefficients (Dice 1945): over all structures at once, the mean over those that are
/// large enough, and how many these are.
fn dice(left: &[u8], right: &[u8]) -> (f64, f64, usize) {
    assert_eq!(left.len(), right.len());
    // Voxels of each label in one, in the other, in both.
    let mut counts = [[0_u32; 3]; 256];
    for (&a, &b) in left.iter().zip(right) {
        counts[usize::from(a)][0] += 1;
        counts[usize::from(b)][1] += 1;
        counts[usize::from(a)][2] += u32::from(a == b);
    }
    let of = |[left, right, both]: [u32; 3]| 2.0 * f64::from(both) / f64::from(left + right);
    let structures = &counts[1..];
    let all = structures.iter().fold([0; 3], |sum, count| [0, 1, 2].map(|n| sum[n] + count[n]));
    let large = structures.iter().filter(|count| count[0].max(count[1]) >= SMALLEST);
    let large: Vec<f64> = large.map(|&count| of(count)).collect();
    (of(all), large.iter().sum::<f64>() / large.len() as f64, large.len())
}

/// One test for both scans: a process opens a GPU once.
#[test]
fn labels_between_the_networks_voxels_are_the_same_on_gpu_and_cpu() {
    let pack = Pack::read(BRAIN).expect("pack");
    let Some(opened) = adapter::gpu(Some(&pack)) else { return };
    let gpu = opened.load(&pack).expect("model");
    let cpu = Prism::load(&pack, &Device::flex()).expect("model");
    // Half of the network's 2 mm: intensities decide between tissues, by probabilities that
    // the device gives. Slices thicker than that: the device decides by itself.
    for step in [[1, 1, 1], [1, 1, 3]] {
        let scan = crop(step);
        let run = |model: &Prism| {
            let mut quiet = Quiet;
            let found = segment(&scan, model, &pack, &mut quiet);
            let found = pollster::block_on(found).expect("labels");
            assert!(!found.coarse_borders, "nothing was interpolated");
            assert_eq!(found.labels.dims, scan.dims);
            found.labels.data
        };
        let (overall, mean, structures) = dice(&run(&gpu), &run(&cpu));
        eprintln!("{step:?} mm: Dice {overall:.4} overall, {mean:.4} mean of {structures}");
        assert!(structures >= 10, "{structures} structures at {step:?} mm");
        assert!(overall >= SAME && mean >= SAME, "{overall} and {mean} at {step:?} mm");
    }
}
