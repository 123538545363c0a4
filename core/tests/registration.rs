//! Two scans onto each other, end to end, and fields as other programs write them.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use prism_core::follow_up::local_change;
use prism_core::formats::nifti::write_displacement;
use prism_core::formats::{self, InputFile, Selection};
use prism_core::model::{Pack, Prism};
use prism_core::pipeline::{Device, Quiet, Stage, Watch, segment};
use prism_core::registration::motion::{about, rotation};
use prism_core::registration::{
    Deformation, Kept, Kind, Measure, Plan, RegistrationError, Source, Subject, Transform, align,
    itk,
};
use prism_core::volume::{Affine, Volume, offset};
use serde_json::Value;

const BRAIN: &[u8] = include_bytes!("../../public/packs/brain.safetensors");
const SAMPLE: &[u8] = include_bytes!("../../public/samples/sample_t1w.nii.gz");

const SIDES: [usize; 3] = [48, 52, 44];

/// Overlapping ellipsoids of several greys at 2 mm, seen through `place`: what lies at
/// `place(p)` of the first is shown at p.
fn scan(place: impl Fn([f64; 3]) -> [f64; 3]) -> Volume {
    let mut data = vec![0.0; SIDES.iter().product()];
    for z in 0..SIDES[2] {
        for y in 0..SIDES[1] {
            for x in 0..SIDES[0] {
                let point = place([x, y, z].map(|v| 2.0 * v as f64));
                let mut value = 0.0;
                for (centre, radius, grey) in [
                    ([48.0, 52.0, 44.0], [32.0, 38.0, 30.0], 100.0),
                    ([40.0, 50.0, 48.0], [9.0, 16.0, 8.0], 60.0),
                    ([60.0, 45.0, 40.0], [8.0, 10.0, 14.0], -50.0),
                    ([48.0, 72.0, 36.0], [14.0, 7.0, 9.0], 90.0),
                    ([44.0, 34.0, 52.0], [7.0, 6.0, 7.0], 40.0),
                ] {
                    let distance = (0..3)
                        .map(|k| ((point[k] - centre[k]) / radius[k]).powi(2))
                        .sum::<f64>()
                        .sqrt();
                    value += grey / (1.0 + (20.0 * (distance - 1.0)).exp());
                }
                data[offset(SIDES, [x, y, z])] = value as f32;
            }
        }
    }
    Volume { data, dims: SIDES, affine: Affine::from_spacing([2.0; 3]) }
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn a_known_motion_is_found_by_intensities() {
    let motion = about(&rotation([0.08, -0.1, 0.15]), [40.0, 60.0, 40.0]);
    let fixed = scan(|point| motion.apply(point));
    let moving = scan(|point| point);
    let onto = Subject::by_intensity(&fixed).expect("a scan");
    let from = Subject::by_intensity(&moving).expect("a scan");
    let plan = Plan { kind: Kind::Rigid, start: None };
    let aligned = pollster::block_on(align(&onto, &from, plan, &mut Quiet)).expect("aligns");
    let mapper = aligned.transform.mapper().expect("lies somewhere");
    for point in [[48.0, 52.0, 44.0], [30.0, 50.0, 50.0], [60.0, 70.0, 30.0]] {
        let error = distance(mapper.apply(point), motion.apply(point));
        assert!(error < 0.5, "{error} mm");
    }
}

#[test]
fn a_smooth_deformation_is_found_and_folds_nothing() {
    bent_scans_are_aligned(each(Subject::by_intensity), 0.35);
}

#[test]
fn greys_alone_find_it_in_one_sequence() {
    bent_scans_are_aligned(each(Subject::by_greys), 0.35);
}

#[test]
fn the_encoder_alone_finds_it() {
    let (pack, model) = network();
    let pair = |scans: [&Volume; 2]| -> Result<[Subject; 2], RegistrationError> {
        let both = pollster::block_on(Subject::by_encoder(scans, &model, &pack, &mut Quiet))?;
        Ok(both.map(Subject::structures_alone))
    };
    // Its finest map has voxels of 4 mm: borders are left wider than by greys.
    bent_scans_are_aligned(pair, 0.6);
}

/// Both scans on their own.
fn each(
    subject: impl Fn(&Volume) -> Result<Subject, RegistrationError>,
) -> impl Fn([&Volume; 2]) -> Result<[Subject; 2], RegistrationError> {
    move |[first, second]: [&Volume; 2]| Ok([subject(first)?, subject(second)?])
}

/// What is left after the alignment is at most `share` of the difference before.
fn bent_scans_are_aligned(
    pair: impl Fn([&Volume; 2]) -> Result<[Subject; 2], RegistrationError>,
    share: f64,
) {
    // Up to 4 mm, over a wave of 80 mm.
    let bend = |point: [f64; 3]| {
        let wave = |v: f64| 4.0 * (v / 80.0 * core::f64::consts::TAU).sin();
        [point[0] + wave(point[1]), point[1] + wave(point[2]), point[2]]
    };
    let fixed = scan(bend);
    let moving = scan(|point| point);
    let [onto, from] = pair([&fixed, &moving]).expect("two scans");
    let plan = Plan { kind: Kind::Deformable, start: Some(Affine::IDENTITY) };
    let aligned = pollster::block_on(align(&onto, &from, plan, &mut Quiet)).expect("aligns");
    let deformation = aligned.transform.deformation.as_ref().expect("a deformation");
    assert_eq!(deformation.folded(), 0.0);
    let warped =
        aligned.transform.warp(&moving, fixed.dims, &fixed.affine).expect("lies somewhere");
    let error = |volume: &Volume| -> f64 {
        let pairs = volume.data.iter().zip(&fixed.data);
        pairs.map(|(a, b)| f64::from((a - b).powi(2))).sum::<f64>().sqrt()
    };
    let (before, after) = (error(&moving), error(&warped));
    assert!(after < share * before, "{after} {before}");
    assert!(!aligned.agreement.failed(), "{:?}", aligned.agreement);
    // Bit by bit, in whatever order threads finish.
    let again = pollster::block_on(align(&onto, &from, plan, &mut Quiet)).expect("aligns");
    assert!(again.transform == aligned.transform, "another run gives another field");
}

fn network() -> (Pack, Prism) {
    let pack = Pack::read(BRAIN).expect("pack");
    let model = Prism::load(&pack, &Device::flex()).expect("model");
    (pack, model)
}

/// A scan moved along x by whole voxels, in a field of view whose corners are marked, so that
/// the network's input has the same place in both.
fn in_marked_field(shift: usize) -> Volume {
    const FIELD: [usize; 3] = [96, 64, 64];
    let inner = scan(|point| point);
    let mut data = vec![0.0; FIELD.iter().product()];
    for (at, &value) in inner.data.iter().enumerate() {
        let [x, y, z] = [at % SIDES[0], at / SIDES[0] % SIDES[1], at / (SIDES[0] * SIDES[1])];
        data[offset(FIELD, [x + shift, y + 6, z + 10])] = value;
    }
    for corner in 0..8_usize {
        for at in 0..27_usize {
            let voxel = [0, 1, 2].map(|axis| {
                let step = at / [1, 3, 9][axis] % 3;
                if corner >> axis & 1 == 0 { step } else { FIELD[axis] - 1 - step }
            });
            data[offset(FIELD, voxel)] = 100.0;
        }
    }
    Volume { data, dims: FIELD, affine: Affine::from_spacing([2.0; 3]) }
}

#[test]
fn features_of_the_encoder_move_with_the_scan() {
    // One voxel of its deepest map.
    const SHIFT: usize = 16;
    let (pack, model) = network();
    let scans = [in_marked_field(8), in_marked_field(8 + SHIFT)];
    let mut quiet = Quiet;
    let both = Subject::by_encoder([&scans[0], &scans[1]], &model, &pack, &mut quiet);
    let [first, second] = pollster::block_on(both).expect("two scans");
    assert_eq!((first.source, first.structures), (Source::Encoder, 24));
    let grid = &first.features;
    assert_eq!(grid.affine, second.features.affine);
    // Over the scan's inner part: how alike what it shows at a place is to what the moved one
    // shows `moved` voxels further on.
    let alike = |moved: usize| {
        let mut sums = [0.0_f64; 3];
        for at in 0..20 * 20 * 20 {
            let [x, y, z] = [22 + at % 20, 22 + at / 20 % 20, 22 + at / 400];
            let here = offset(grid.dims, [x, y, z]) * grid.channels;
            let there = offset(grid.dims, [x + moved, y, z]) * grid.channels;
            for channel in 0..first.structures {
                let a = f64::from(grid.values[here + channel]);
                let b = f64::from(second.features.values[there + channel]);
                sums = [sums[0] + a * b, sums[1] + a * a, sums[2] + b * b];
            }
        }
        sums[0] / (sums[1] * sums[2]).sqrt()
    };
    let (moved, stayed) = (alike(SHIFT), alike(0));
    assert!(moved > 0.9 && moved > stayed + 0.1, "{moved} {stayed}");
}

/// A cube out of the middle of the sample's brain, `side` voxels of 2 mm wide, at most 48.
fn middle_of_the_sample(side: usize) -> Volume {
    let corner = [40_usize, 56, 62].map(|first| first + 48 - side);
    let file = InputFile { name: "sample_t1w.nii.gz".into(), bytes: SAMPLE.to_vec() };
    let sample = formats::load(&[file], &Selection::default()).expect("the sample").volume;
    let data = (0..side * side * side).map(|at| {
        let place = [at % side, at / side % side, at / (side * side)];
        sample.data[offset(sample.dims, [0, 1, 2].map(|axis| corner[axis] + 2 * place[axis]))]
    });
    let affine = sample.affine.rescaled([2.0; 3], corner.map(|corner| corner as f64));
    Volume { data: data.collect(), dims: [side; 3], affine }
}

/// Counts the network's blocks.
#[derive(Default)]
struct Blocks(usize);

impl Watch for Blocks {
    fn progress(&mut self, stage: Stage, _: usize, _: usize) {
        self.0 += usize::from(stage == Stage::Network);
    }
    fn cancelled(&self) -> bool {
        false
    }
    async fn breathe(&mut self) {}
}

#[test]
fn a_scan_that_is_kept_goes_through_the_network_once() {
    let (pack, model) = network();
    let scan = middle_of_the_sample(48);
    let mut kept = Kept::default();
    let mut passes = |pack: &Pack| {
        let mut blocks = Blocks::default();
        let pair = kept.pair([&scan, &scan], &model, pack, &mut blocks);
        let [first, second] = pollster::block_on(pair).expect("a head");
        assert_eq!(first.source, Source::Network);
        assert!(first.features == second.features, "kept is another than anew");
        blocks.0 / model.steps()
    };
    assert_eq!(passes(&pack), 2);
    assert_eq!(passes(&pack), 1);
    let mut other = pack.clone();
    other.info.sha256 = "another".into();
    assert_eq!(passes(&other), 2);
}

#[test]
fn labels_come_with_the_subject_and_a_failed_alignment_is_told() {
    let (pack, model) = network();
    let scan = middle_of_the_sample(48);
    let mut blocks = Blocks::default();
    let one = Subject::with_labels(&scan, &model, &pack, &mut blocks);
    let (subject, labels) = pollster::block_on(one).expect("a head");
    assert_eq!(blocks.0, model.steps());
    let alone = pollster::block_on(segment(&scan, &model, &pack, &mut Quiet)).expect("labels");
    let stay = Transform { affine: Affine::IDENTITY, deformation: None };
    let labels = stay.warp_labels(&labels, scan.dims, &scan.affine).expect("lies somewhere");
    let same = labels.data.iter().zip(&alone.labels.data).filter(|(a, b)| a == b).count();
    assert!(labels.data.iter().any(|&label| label > 0));
    // Borders are those of the network's grid, and islands are not removed.
    assert!(10 * same > 9 * labels.data.len(), "{same} of {}", labels.data.len());

    // A start that is wrong by 60 mm: the search for large displacements reaches 18.
    let mut start = Affine::IDENTITY;
    for (away_mm, failed) in [(0.0, false), (60.0, true)] {
        start.0[1][3] = away_mm;
        let plan = Plan { kind: Kind::Deformable, start: Some(start) };
        let found = pollster::block_on(align(&subject, &subject, plan, &mut Quiet));
        let agreement = found.expect("aligns").agreement;
        assert_eq!(agreement.measure, Measure::Dice);
        assert_eq!(agreement.failed(), failed, "{agreement:?}");
        assert_eq!(agreement.warning().is_some(), failed);
        assert!(failed || agreement.value > 0.95, "{agreement:?}");
    }
}

#[test]
fn the_noisier_of_two_scans_sets_the_noise_of_local_change() {
    let (pack, model) = network();
    let scan = middle_of_the_sample(32);
    let mut noisy = scan.clone();
    let mut state = 1_u32;
    for value in &mut noisy.data {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let part = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
        *value = (*value + 160.0 * part).max(1.0);
    }
    let mut blocks = Blocks::default();
    let found = local_change([&scan, &scan], None, (&model, &pack), None, &mut blocks);
    let quiet = pollster::block_on(found).expect("one head").noise;
    // The motion between both, both half-way, two repeats of each.
    assert_eq!(blocks.0, 8 * model.steps());
    let maps = Some([Affine::IDENTITY; 2]);
    let mut blocks = Blocks::default();
    let found = local_change([&scan, &noisy], maps, (&model, &pack), None, &mut blocks);
    let loud = pollster::block_on(found).expect("one head").noise;
    assert_eq!(blocks.0, 6 * model.steps());
    assert!(loud > quiet && quiet > 1.0, "{loud} {quiet}");
}

#[test]
fn the_atlas_shows_the_template_where_mni_space_has_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../public/atlas/mni152_t1_2mm.nii.gz");
    let file = InputFile { name: "atlas".into(), bytes: std::fs::read(path).expect("the atlas") };
    let scan = formats::load(&[file], &Selection::default()).expect("a scan");
    assert!(scan.warnings.is_empty(), "{:?}", scan.warnings);
    let atlas = scan.volume;
    let to_voxel = atlas.affine.inverse().expect("lies somewhere");
    // nibabel: means of eight voxels of the 1 mm template around points in MNI space, low in
    // the middle, in the left and in the right hemisphere.
    for (point, expected) in [
        ([0.5, -29.5, -31.5], 189.375),
        ([-15.5, 8.5, 10.5], 203.5),
        ([24.5, -57.5, 40.5], 223.875),
    ] {
        let voxel = to_voxel.apply(point).map(|v| v.round() as usize);
        let found = f64::from(atlas.data[offset(atlas.dims, voxel)]);
        assert!((found - expected).abs() <= 0.5, "{point:?}: {found}");
    }
}

/// A NIfTI file beside the other results of training/golden_registration.py.
fn golden(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/registration/");
    std::fs::read(format!("{folder}{name}")).expect("a golden file")
}

fn golden_scan(name: &str) -> Volume {
    let file = InputFile { name: name.into(), bytes: golden(name) };
    formats::load(&[file], &Selection::default()).expect("a scan").volume
}

/// Sides, intent, rows of the affine and values of a packed NIfTI file of floats.
fn vectors(packed: &[u8]) -> (Vec<i16>, i16, Vec<f32>, Vec<f32>) {
    let mut bytes = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(packed);
    std::io::Read::read_to_end(&mut reader, &mut bytes).expect("a gzip file");
    let short = |at: usize| i16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let float = |at: usize| f32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
    let start = float(108) as usize;
    let values = bytes[start..].chunks_exact(4);
    (
        (0..6).map(|k| short(40 + 2 * k)).collect(),
        short(68),
        (0..12).map(|k| float(280 + 4 * k)).collect(),
        values.map(|four| f32::from_le_bytes(four.try_into().expect("four"))).collect(),
    )
}

fn most(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn simpleitk_reads_the_affine_text_as_it_is_meant() {
    let map =
        Affine([[1.02, 0.08, -0.03, 1.5], [-0.06, 0.97, 0.05, -0.8], [0.02, -0.04, 1.05, 0.6]]);
    // What SimpleITK has read is what is written now.
    let text = String::from_utf8(golden("written.txt")).expect("text");
    assert_eq!(itk::write_affine(&map), text);
    let pairs: Value = serde_json::from_slice(&golden("written_points.json")).expect("JSON");
    let pairs = pairs.as_array().expect("a list");
    assert_eq!(pairs.len(), 4);
    for pair in pairs {
        let [from, to] = ["from", "to"]
            .map(|end| [0, 1, 2].map(|axis| pair[end][axis].as_f64().expect("a number")));
        let [x, y, z] = map.apply([-from[0], -from[1], from[2]]);
        assert!(distance([-x, -y, z], to) < 1e-9, "{from:?}: {x} {y} {z}");
    }
}

#[test]
fn a_transform_does_what_simpleitk_makes_of_it() {
    let (sides, _, _, bend) = vectors(&golden("deformation.nii.gz"));
    let expected = golden_scan("warped.nii.gz");
    let (dims, grid) = (expected.dims, expected.affine);
    assert_eq!(sides[1..4], dims.map(|side| side as i16));
    let voxels = dims.iter().product::<usize>();
    // Components one behind the other, LPS.
    let displacement =
        (0..voxels).map(|at| [-bend[at], -bend[voxels + at], bend[2 * voxels + at]]).collect();
    let deformation = Deformation { displacement, dims, affine: grid, mask: vec![true; voxels] };
    let text = String::from_utf8(golden("affine.txt")).expect("text");
    let affine = itk::read_affine(&text).expect("an affine map");
    let transform = Transform { affine, deformation: Some(deformation) };

    let field = transform.field(dims, &grid).expect("lies somewhere");
    let mine = vectors(&write_displacement(&field, dims, &grid).expect("writes"));
    let theirs = vectors(&golden("field.nii.gz"));
    assert_eq!((mine.0, mine.1), (theirs.0, theirs.1));
    assert!(most(&mine.2, &theirs.2) < 1e-4, "{:?} {:?}", mine.2, theirs.2);
    let error = most(&mine.3, &theirs.3);
    assert!(error < 1e-3, "{error} mm");

    let moving = golden_scan("moving.nii.gz");
    let warped = transform.warp(&moving, dims, &grid).expect("lies somewhere");
    let inside = expected.data.iter().filter(|&&value| value != 0.0).count();
    assert!(10 * inside > 8 * voxels && inside < voxels, "{inside} of {voxels}");
    // Greys of 0 to 100.
    let error = most(&warped.data, &expected.data);
    assert!(error < 0.02, "{error}");
}
