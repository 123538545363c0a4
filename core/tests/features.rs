//! Features end to end: maps of a scan, heads fitted on them, packs that hold them.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use prism_core::features::{
    DenseFeatures, FeatureError, Labelled, LeftOut, Naming, Painted, extract, fit_painted,
    fit_scans, principal_components, query, similarity,
};
use prism_core::formats::{InputFile, Selection, load};
use prism_core::model::{HeadConfig, Pack, PackError, Prism};
use prism_core::pipeline::{Device, Quiet, logits, segment};
use prism_core::volume::{Affine, Label, LabelMap, LabelTable, Volume, offset};

const BRAIN: &[u8] = include_bytes!("../../public/packs/brain.safetensors");
const SAMPLE: &[u8] = include_bytes!("../../public/samples/sample_t1w.nii.gz");
const TINY: &[u8] = include_bytes!("../../tests/golden/model/tiny.safetensors");

const SIDES: [usize; 3] = [40, 36, 44];

/// A ball of texture in air, `seed` its texture, at 2 mm.
fn scan(seed: u32) -> Volume {
    let mut state = seed;
    let mut data = vec![0.0; SIDES.iter().product()];
    for z in 0..SIDES[2] {
        for y in 0..SIDES[1] {
            for x in 0..SIDES[0] {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if ball([x, y, z], [20.0, 18.0, 22.0], 15.0) {
                    let noise = (state >> 8) as f32 / (1 << 24) as f32;
                    data[offset(SIDES, [x, y, z])] = 50.0 + 2.0 * x as f32 + 40.0 * noise;
                }
            }
        }
    }
    Volume { data, dims: SIDES, affine: Affine::from_spacing([2.0; 3]) }
}

fn ball(place: [usize; 3], centre: [f64; 3], radius: f64) -> bool {
    let square = |axis: usize| (place[axis] as f64 - centre[axis]).powi(2);
    (square(0) + square(1) + square(2)).sqrt() <= radius
}

/// Balls of labels on the scan's grid.
fn labels(balls: &[([f64; 3], f64, u8)]) -> LabelMap {
    let mut data = vec![0; SIDES.iter().product()];
    for z in 0..SIDES[2] {
        for y in 0..SIDES[1] {
            for x in 0..SIDES[0] {
                for &(centre, radius, label) in balls {
                    if ball([x, y, z], centre, radius) {
                        data[offset(SIDES, [x, y, z])] = label;
                    }
                }
            }
        }
    }
    LabelMap { data, dims: SIDES, affine: Affine::from_spacing([2.0; 3]) }
}

fn network() -> (Pack, Prism) {
    let pack = Pack::read(TINY).expect("pack");
    let model = Prism::load(&pack, &Device::flex()).expect("model");
    (pack, model)
}

fn features(scan: &Volume, network: &(Pack, Prism)) -> DenseFeatures {
    pollster::block_on(extract(scan, &network.1, &network.0, &mut Quiet)).expect("features")
}

fn naming(classes: usize) -> Naming {
    let label = |index: u8| Label {
        index,
        id: 100 + u16::from(index),
        name: format!("class {index}"),
        color: [index; 3],
        side: None,
        pair: None,
    };
    let labels = (1..classes as u8).map(label).collect();
    Naming { name: "mine".into(), title: "Mine".into(), labels: LabelTable { labels } }
}

#[test]
fn a_fitted_head_computes_in_the_network_what_was_fitted_on_the_features() {
    let network = network();
    let (scan, labels) = (scan(1), labels(&[([14.0, 18.0, 22.0], 5.0, 1), ([26.0; 3], 5.0, 2)]));
    let features = features(&scan, &network);
    let example = Labelled { features: &features, labels: &labels };
    let fitted = pollster::block_on(fit_scans(&[example], 3)).expect("fit");
    assert_eq!(fitted.scores.mean, None);
    assert!(fitted.scores.note.is_some(), "one scan cannot be scored");

    let bytes =
        fitted.to_pack(&network.0, naming(3), 1).and_then(|pack| pack.to_bytes()).expect("pack");
    let pack = Pack::read(&bytes).expect("a fitted pack is a pack");
    assert_eq!(pack.info.labels.labels[1].name, "class 2");
    let model = Prism::load(&pack, &Device::flex()).expect("every tensor is used");
    let (values, shape) =
        pollster::block_on(logits(&scan, &model, &pack, &mut Quiet)).expect("logits");
    assert_eq!(shape[1..], features.dims);
    let expected = features.read_out(&fitted.readout);
    let largest = values.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest < 1e-3, "off by {largest}");
    let result = pollster::block_on(segment(&scan, &model, &pack, &mut Quiet)).expect("labels");
    assert_eq!(result.labels.dims, SIDES);
}

#[test]
fn left_out_blobs_are_scored_without_their_own_voxels() {
    // Blobs of one texture, their class by a coin: there is nothing to learn, and only
    // voxels seen in the fit could be recognised.
    let network = network();
    let scan = scan(2);
    let features = features(&scan, &network);
    let mut balls = Vec::new();
    for at in 0..12_u8 {
        let angle = f64::from(at) * std::f64::consts::TAU / 12.0;
        let centre = [20.0, 18.0 + 10.0 * angle.cos(), 22.0 + 10.0 * angle.sin()];
        balls.push((centre, 1.5, 1 + [0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1][usize::from(at)]));
    }
    let labels = labels(&balls);
    let painted = Painted::of(&features, &labels).expect("examples");
    let fitted = pollster::block_on(fit_painted(&[painted], 2)).expect("fit");
    let recall = fitted.scores.mean.expect("six blobs a class");
    assert!((0.1..=0.9).contains(&recall), "recall {recall} where there is nothing to learn");
    assert_eq!(fitted.scores.folds, 5);
}

#[test]
fn too_few_blobs_are_fitted_but_not_scored() {
    let network = network();
    let scan = scan(3);
    let features = features(&scan, &network);
    let fit = |balls: &[([f64; 3], f64, u8)]| {
        let painted = Painted::of(&features, &labels(balls)).expect("examples");
        pollster::block_on(fit_painted(&[painted], 2))
    };
    let two = fit(&[([12.0, 18.0, 22.0], 2.0, 1), ([28.0, 18.0, 22.0], 2.0, 2)]).expect("fit");
    assert_eq!((two.scores.folds, two.scores.mean), (0, None));
    assert!(two.scores.note.is_some_and(|note| note.contains("too few examples")));
    assert!(matches!(fit(&[([12.0, 18.0, 22.0], 2.0, 1)]), Err(FeatureError::Examples(_))));
}

#[test]
fn examples_of_two_scans_outlive_them_and_leave_scans_out() {
    let network = network();
    // The x coordinate is written into the grey values, so left and right can be told.
    let balls = [([10.0, 18.0, 22.0], 2.5, 1), ([30.0, 18.0, 22.0], 2.5, 2)];
    let kept: Vec<Vec<u8>> = [4, 5]
        .map(|seed| {
            let features = features(&scan(seed), &network);
            let painted = Painted::of(&features, &labels(&balls)).expect("examples");
            assert_eq!(painted.places(2), [1, 1]);
            painted.to_bytes().expect("a file")
        })
        .to_vec();
    let scans: Vec<Painted> =
        kept.iter().map(|bytes| Painted::read(bytes).expect("examples")).collect();
    let fitted = pollster::block_on(fit_painted(&scans, 2)).expect("fit");
    // One blob a class and scan: only another scan can be left out.
    assert_eq!((fitted.scores.left_out, fitted.scores.folds), (LeftOut::Scans, 2));
    let recall = fitted.scores.mean.expect("two scans");
    assert!(recall > 0.8, "recall {recall} of what the grey values say");
    let bytes = fitted
        .to_pack(&network.0, naming(2), scans.len())
        .and_then(|pack| pack.to_bytes())
        .expect("pack");
    let pack = Pack::read(&bytes).expect("a fitted pack is a pack");
    assert_eq!(pack.info.provenance["examples"], 2);
}

#[test]
fn a_place_is_found_again_in_the_same_scan() {
    let pack = Pack::read(BRAIN).expect("pack");
    let model = Prism::load(&pack, &Device::flex()).expect("model");
    let files = [InputFile { name: "sample.nii.gz".into(), bytes: SAMPLE.to_vec() }];
    let scan = load(&files, &Selection::default()).expect("sample").volume;
    let features = pollster::block_on(extract(&scan, &model, &pack, &mut Quiet)).expect("features");
    let middle = scan.affine.apply(scan.dims.map(|side| side as f64 / 2.0));
    for shift in [[0.0, 0.0, 0.0], [25.0, 10.0, 15.0], [-25.0, -20.0, 20.0]] {
        let point = [0, 1, 2].map(|axis| middle[axis] + shift[axis]);
        let found = query(&features, point).and_then(|query| similarity(&query, &features));
        let found = found.expect("inside");
        let distance: f64 = found.best_mm.iter().zip(point).map(|(a, b)| (a - b).powi(2)).sum();
        assert!(distance.sqrt() < 4.0, "{point:?} was found at {:?}", found.best_mm);
    }
    let colours = principal_components(&features).expect("foreground");
    assert_eq!(colours.rgba.len(), 4 * features.dims.iter().product::<usize>());
}

#[test]
fn a_head_on_maps_that_are_not_there_is_refused() {
    let (pack, _) = network();
    let mut info = pack.info.clone();
    let maps = vec![1, 9];
    info.architecture.heads =
        vec![HeadConfig::LinearSegmentation { name: "fitted".into(), classes: 2, maps }];
    info.labels = naming(2).labels;
    let refused = pack.with_heads(info, Vec::new());
    assert!(matches!(refused, Err(PackError::Architecture(_))));
}
