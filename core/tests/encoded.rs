//! One pass of the encoder for identifying and segmenting: the labels stay as they are.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use std::time::Instant;

use prism_core::formats::{InputFile, Selection, load};
use prism_core::model::{Pack, Prism};
use prism_core::pipeline::{
    Device, Quiet, Stage, Timings, Watch, pooled, segment_encoded, segment_stated,
};
use prism_core::volume::Volume;

const BRAIN: &[u8] = include_bytes!("../../public/packs/brain.safetensors");
const SAMPLE: &[u8] = include_bytes!("../../public/samples/sample_t1w.nii.gz");
const TINY: &[u8] = include_bytes!("../../tests/golden/model/tiny.safetensors");

/// Counts the network's blocks.
#[derive(Default)]
struct Blocks(usize);

impl Watch for Blocks {
    fn progress(&mut self, stage: Stage, done: usize, total: usize) {
        if stage == Stage::Network {
            self.0 += 1;
            assert!(done <= total);
        }
    }
    fn cancelled(&self) -> bool {
        false
    }
    async fn breathe(&mut self) {}
}

/// The sample scan, every third voxel: 59 x 64 x 57 of 3 mm.
fn coarse_sample() -> Volume {
    let file = InputFile { name: "sample_t1w.nii.gz".into(), bytes: SAMPLE.to_vec() };
    let volume = load(&[file], &Selection::default()).expect("the sample").volume;
    let dims = volume.dims.map(|side| side.div_ceil(3));
    let mut data = Vec::with_capacity(dims.iter().product());
    for z in 0..dims[2] {
        for y in 0..dims[1] {
            for x in 0..dims[0] {
                data.push(volume.data[3 * x + volume.dims[0] * (3 * y + volume.dims[1] * 3 * z)]);
            }
        }
    }
    let affine = volume.affine.rescaled([3.0; 3], [0.0; 3]);
    Volume { data, dims, affine }
}

fn network(bytes: &[u8]) -> (Pack, Prism) {
    let pack = Pack::read(bytes).expect("pack");
    let model = Prism::load(&pack, &Device::flex()).expect("model");
    (pack, model)
}

/// A run's times hold those of the pass that it went on from, beside its own `took` seconds.
fn assert_pass_counted(pass: Timings, run: Timings, took: f64) {
    assert!(pass.prepare_seconds > 0.0 && pass.network_seconds > 0.0, "{pass:?}");
    assert!(run.prepare_seconds >= pass.prepare_seconds, "{run:?} after {pass:?}");
    assert!(run.network_seconds > pass.network_seconds, "{run:?} after {pass:?}");
    let all = run.prepare_seconds + run.network_seconds + run.labels_seconds;
    assert!(all >= took && all - run.earlier_seconds <= took, "{run:?} after {pass:?}, {took} s");
}

#[test]
fn labels_are_the_same_to_the_voxel_and_the_encoder_runs_once() {
    let scan = coarse_sample();
    let (pack, model) = network(BRAIN);
    let given = (&scan, true);
    let mut whole = Blocks::default();
    let alone = pollster::block_on(segment_stated(given, &model, &pack, &mut whole));
    let alone = alone.expect("labels");
    assert!(alone.labels.data.iter().any(|&label| label > 0), "nothing was found in the sample");
    assert_eq!(whole.0, model.steps());

    let pass = pollster::block_on(pooled(&scan, &model, &pack, &mut Quiet)).expect("a pass");
    let mut rest = Blocks::default();
    let before = pass.encoded.as_ref().expect("few windows are kept").timings();
    let clock = Instant::now();
    let after = segment_encoded(given, pass.encoded, &model, &pack, &mut rest);
    let after = pollster::block_on(after).expect("labels");
    let took = clock.elapsed().as_secs_f64();
    assert_pass_counted(before, after.timings, took);
    assert_eq!(rest.0, model.steps() - model.encoder_steps());
    assert!(after.labels == alone.labels);
    assert_eq!(after.answers, alone.answers);
    assert_eq!(after.island_voxels, alone.island_voxels);
    // The two deepest maps (128 and 192 channels) inside each structure, for the report decoder.
    let maps = alone.structure_maps.as_deref().unwrap_or_default();
    assert!(maps.len() > 10 && maps.iter().all(|(_, values)| values.len() == 320));
    assert_eq!(after.structure_maps, alone.structure_maps);
}

#[test]
fn a_pass_of_another_pack_is_left_alone() {
    let scan = coarse_sample();
    let (tiny, small) = network(TINY);
    let pass = pollster::block_on(pooled(&scan, &small, &tiny, &mut Quiet)).expect("a pass");
    assert!(pass.encoded.is_some());
    let (pack, model) = network(BRAIN);
    let mut blocks = Blocks::default();
    let result = segment_encoded((&scan, true), pass.encoded, &model, &pack, &mut blocks);
    let result = pollster::block_on(result).expect("labels");
    assert_eq!(blocks.0, model.steps());
    assert_eq!(result.timings.earlier_seconds, 0.0, "the time of a pass that was of no use");
}
