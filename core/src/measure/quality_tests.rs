//! Quality measures against values worked out in numpy.
//!
//! The phantom is a box of 20 x 16 x 16 voxels, half 400 and half 300, in Rician noise
//! of deviation 20, drawn from a generator that numpy replays:
//! `state = state * 6364136223846793005 + 1442695040888963407 (mod 2**64)`, uniform
//! `((state >> 11) + 0.5) / 2**53`, two normals by Box and Muller. Its head and air are
//! known by construction: air is everything further than 6 voxels from the box.

use super::*;
use crate::volume::{Affine, Label, offset};

const DIMS: [usize; 3] = [48, 40, 36];

fn inside([x, y, z]: [usize; 3]) -> bool {
    (14..34).contains(&x) && (12..28).contains(&y) && (10..26).contains(&z)
}

fn for_each_voxel(mut visit: impl FnMut([usize; 3])) {
    for z in 0..DIMS[2] {
        for y in 0..DIMS[1] {
            for x in 0..DIMS[0] {
                visit([x, y, z]);
            }
        }
    }
}

fn phantom() -> Volume {
    let mut state = 1_u64;
    let mut uniform = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    };
    let mut data = Vec::new();
    for_each_voxel(|voxel| {
        let signal = match (inside(voxel), voxel[0] < 24) {
            (false, _) => 0.0,
            (true, true) => 400.0,
            (true, false) => 300.0,
        };
        let radius = 20.0 * (-2.0 * uniform().ln()).sqrt();
        let angle = std::f64::consts::TAU * uniform();
        data.push((signal + radius * angle.cos()).hypot(radius * angle.sin()) as f32);
    });
    Volume { data, dims: DIMS, affine: Affine::from_spacing([1.0; 3]) }
}

fn labels() -> (LabelMap, LabelTable) {
    let mut data = Vec::new();
    for_each_voxel(|voxel| data.push(if inside(voxel) { 1 + u8::from(voxel[0] >= 24) } else { 0 }));
    let label = |index, id, name: &str| Label {
        index,
        id,
        name: name.into(),
        color: [0; 3],
        side: None,
        pair: None,
    };
    let table = LabelTable {
        labels: vec![
            label(1, 2, "Left-Cerebral-White-Matter"),
            label(2, 3, "Left-Cerebral-Cortex"),
        ],
    };
    (LabelMap { data, dims: DIMS, affine: Affine::from_spacing([1.0; 3]) }, table)
}

fn value(quality: &Quality, key: &str) -> f64 {
    let measure = quality.get(key);
    measure.and_then(|m| m.value).unwrap_or_else(|| unreachable!("{key}: {measure:?}"))
}

fn near(quality: &Quality, key: &str, expected: f64, relative: f64) {
    let actual = value(quality, key);
    assert!(
        (actual - expected).abs() <= relative * expected.abs(),
        "{key}: {actual} is not {expected}"
    );
}

fn reason(quality: &Quality, key: &str) -> String {
    let Some(measure) = quality.get(key) else { unreachable!("{key}") };
    assert_eq!(measure.judgement, Judgement::NotAssessed, "{key}");
    assert_eq!(measure.value, None, "{key}");
    measure.rule.clone()
}

#[test]
fn the_phantom_matches_numpy() {
    let (labels, table) = labels();
    let quality = quality(&phantom(), Some((&labels, &table)));
    // a = v[air]; w, g = v of the box halves whose six neighbours are of the same half
    near(&quality, "noise_air", 13.085_855_482_475_72, 1e-5); // a.std(ddof=1)
    // w.mean() / (np.sqrt(2 / (4 - np.pi)) * a.std(ddof=1)); true: 400 / 20
    near(&quality, "snr_dietrich", 20.065_380_151_391_476, 1e-5);
    // np.median(abs(c)) / .67449, c = alternating sum of 2 x 2 x 2 blocks / sqrt(8)
    near(&quality, "noise_wavelet", 19.067_9, 2e-3);
    near(&quality, "snr_wavelet", 21.018_9, 2e-3);
    near(&quality, "noise_shape", 1.911_215_010_097_685_5, 1e-5); // a.mean() / a.std(ddof=1)
    near(&quality, "snr_white_matter", 19.947_751_212_323_55, 1e-5); // w.mean() / w.std(ddof=1)
    near(&quality, "snr_grey_matter", 15.089_471_200_074_138, 1e-5);
    near(&quality, "white_grey_ratio", 1.336_541_295_912_039_7, 1e-6);
    // abs(w.mean() - g.mean()) / a.std(ddof=1)
    near(&quality, "cnr", 7.712_082_341_534_612, 1e-5);
    // (w.std(ddof=1) + g.std(ddof=1)) / abs(w.mean() - g.mean())
    near(&quality, "cjv", 0.396_009_286_390_788_1, 1e-5);
    // efc_max = n / sqrt(n) * log(1 / sqrt(n)); b = sqrt((v**2).sum())
    // sum(v / b * log((v + 1e-16) / b)) / efc_max
    near(&quality, "efc", 0.482_608_240_964_797_93, 1e-6);
    near(&quality, "fber", 157.925_347_383_725_18, 1e-5); // (v[box]**2).mean() / (a**2).mean()
    // 100 * (a > np.median(a) * np.sqrt(np.log(1000) / np.log(2))).mean()
    near(&quality, "background_outliers", 0.106_740_552_325_581_38, 0.05);
    // m = mean air beside the box along x, y, z; 100 * (max(m) - min(m)) / v[box].mean()
    near(&quality, "ghosting", 0.230_467_191_538_802_19, 1e-4);
    for key in ["snr_dietrich", "cnr", "cjv", "ghosting", "structures_cut"] {
        assert_eq!(quality.get(key).map(|m| m.judgement), Some(Judgement::Good), "{key}");
    }
    assert!(quality.warnings.is_empty(), "{:?}", quality.warnings);
}

#[test]
fn a_ghost_along_one_axis_is_seen() {
    let mut volume = phantom();
    // Air beside the box along y, 40 brighter: 100 * (max(m) - min(m)) / v[box].mean()
    // = 11.565837643390068.
    for_each_voxel(|[x, y, z]| {
        let beside = (14..34).contains(&x) && (10..26).contains(&z) && !(6..34).contains(&y);
        if beside {
            volume.data[offset(DIMS, [x, y, z])] += 40.0;
        }
    });
    let quality = quality(&volume, None);
    near(&quality, "ghosting", 11.565_837_643_390_068, 1e-4);
    assert_eq!(quality.get("ghosting").map(|m| m.judgement), Some(Judgement::Look));
    assert!(value(&quality, "background_outliers") > 1.0);
}

#[test]
fn without_labels_signal_is_all_foreground() {
    let quality = quality(&phantom(), None);
    // v[box].mean() / (np.sqrt(2 / (4 - np.pi)) * a.std(ddof=1)) is about
    // (0.5 * 400 + 0.5 * 300) / 20 = 17.5 for equal halves.
    near(&quality, "snr_dietrich", 17.5, 0.03);
    assert!(reason(&quality, "cnr").contains("no labels"));
    assert!(reason(&quality, "structures_cut").contains("no structures"));
    assert_eq!(quality.get("largest_spacing").map(|m| m.judgement), Some(Judgement::NoThreshold));
}

#[test]
fn a_stripped_head_has_no_noise_in_air() {
    let mut volume = phantom();
    for_each_voxel(|voxel| {
        if !inside(voxel) {
            volume.data[offset(DIMS, voxel)] = 0.0;
        }
    });
    let (labels, table) = labels();
    let quality = quality(&volume, Some((&labels, &table)));
    for key in [
        "noise_air",
        "snr_dietrich",
        "noise_shape",
        "cnr",
        "fber",
        "ghosting",
        "background_outliers",
    ] {
        let reason = reason(&quality, key);
        assert!(reason.contains("no background"), "{key}: {reason}");
    }
    // What needs no air is measured all the same, with the same numbers.
    near(&quality, "noise_wavelet", 19.067_9, 2e-3);
    near(&quality, "cjv", 0.396_009_286_390_788_1, 1e-5);
    assert!(value(&quality, "efc") < 0.4826);
}

#[test]
fn coarse_steps_are_corrected_for() {
    // The phantom in steps of 16: air.std(ddof=1) of the unrounded scan is 13.0859.
    // a = (np.round(v / 16) * 16)[air]; a.std(ddof=1) = 13.9282,
    // np.sqrt(a.std(ddof=1)**2 - 16**2 / 12) = 13.140081; a.mean() over that is 1.900695.
    let mut volume = phantom();
    volume.data.iter_mut().for_each(|v| *v = (*v / 16.0).round() * 16.0);
    let quality = quality(&volume, None);
    near(&quality, "noise_air", 13.140_081_467, 1e-5);
    near(&quality, "noise_shape", 1.900_695_270, 1e-5);
    near(&quality, "snr_dietrich", 17.5, 0.03);
    assert!(value(&quality, "background_outliers") < 0.3);
    // In steps of 80 nearly all of the air is zero.
    let mut volume = phantom();
    volume.data.iter_mut().for_each(|v| *v = (*v / 80.0).round() * 80.0);
    let quality = super::quality(&volume, None);
    assert!(quality.get("noise_air").is_some_and(|m| m.value.is_none()));
}

#[test]
fn a_shifted_scale_has_no_signal_to_noise() {
    let mut volume = phantom();
    volume.data.iter_mut().for_each(|v| *v -= 50.0);
    let (labels, table) = labels();
    let quality = quality(&volume, Some((&labels, &table)));
    for key in ["snr_dietrich", "snr_wavelet", "snr_white_matter", "efc", "white_grey_ratio"] {
        assert!(reason(&quality, key).contains("negative"), "{key}");
    }
    // Differences do not mind a shift.
    near(&quality, "cjv", 0.396_009_286_390_788_1, 1e-4);
    assert_eq!(quality.warnings.len(), 1);
}

#[test]
fn thick_slices_and_labels_of_another_grid_are_named() {
    let mut volume = phantom();
    volume.affine = Affine::from_spacing([1.0, 1.0, 5.0]);
    let (mut labels, table) = labels();
    labels.dims = [48, 36, 40];
    let quality = quality(&volume, Some((&labels, &table)));
    near(&quality, "largest_spacing", 5.0, 1e-12);
    near(&quality, "anisotropy", 5.0, 1e-12);
    near(&quality, "voxel_volume", 5.0, 1e-12);
    near(&quality, "field_of_view_head_foot", 180.0, 1e-12);
    assert_eq!(quality.get("largest_spacing").map(|m| m.judgement), Some(Judgement::Poor));
    assert!(quality.warnings.iter().any(|w| w.contains("another grid")), "{:?}", quality.warnings);
    assert!(reason(&quality, "cjv").contains("no labels"));
}

#[test]
fn hostile_volumes_give_no_number_that_is_not_one() {
    let mut broken = phantom();
    broken.data[17] = f32::NAN;
    broken.data[18] = f32::INFINITY;
    let repaired = quality(&broken, None);
    near(&repaired, "snr_dietrich", 17.5, 0.03);
    assert!(repaired.warnings[0].contains("2 voxels"), "{:?}", repaired.warnings);
    let empty =
        Volume { data: vec![0.0; 27], dims: [3; 3], affine: Affine::from_spacing([1.0; 3]) };
    let nothing = Volume { data: Vec::new(), dims: [0; 3], affine: Affine::from_spacing([1.0; 3]) };
    let slice =
        Volume { data: vec![1.0; 64], dims: [8, 8, 1], affine: Affine::from_spacing([1.0; 3]) };
    for volume in [broken, empty, nothing, slice] {
        let quality = quality(&volume, None);
        assert!(quality.measures.iter().all(|m| m.value.is_none_or(f64::is_finite)));
        let keys: std::collections::BTreeSet<&str> =
            quality.measures.iter().map(|m| m.key.as_str()).collect();
        assert_eq!(keys.len(), quality.measures.len());
    }
}
