//! Two scans onto each other, end to end, and fields as other programs write them.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use prism_core::formats::nifti::write_displacement;
use prism_core::formats::{self, InputFile, Selection};
use prism_core::pipeline::Quiet;
use prism_core::registration::motion::{about, rotation};
use prism_core::registration::{
    Deformation, Kind, Plan, RegistrationError, Subject, Transform, align, itk,
};
use prism_core::volume::{Affine, Volume, offset};

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
    bent_scans_are_aligned(Subject::by_intensity);
}

#[test]
fn greys_alone_find_it_in_one_sequence() {
    bent_scans_are_aligned(Subject::by_greys);
}

fn bent_scans_are_aligned(subject: impl Fn(&Volume) -> Result<Subject, RegistrationError>) {
    // Up to 4 mm, over a wave of 80 mm.
    let bend = |point: [f64; 3]| {
        let wave = |v: f64| 4.0 * (v / 80.0 * core::f64::consts::TAU).sin();
        [point[0] + wave(point[1]), point[1] + wave(point[2]), point[2]]
    };
    let fixed = scan(bend);
    let moving = scan(|point| point);
    let onto = subject(&fixed).expect("a scan");
    let from = subject(&moving).expect("a scan");
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
    assert!(after < 0.35 * before, "{after} {before}");
    // Bit by bit, in whatever order threads finish.
    let again = pollster::block_on(align(&onto, &from, plan, &mut Quiet)).expect("aligns");
    assert!(again.transform == aligned.transform, "another run gives another field");
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
