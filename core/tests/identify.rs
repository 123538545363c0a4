//! The heads that ship: answers as NumPy gives them, and errors that say what is wrong.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use std::path::Path;

use prism_core::formats::{self, Acquisition, InputFile, Scan, Selection};
use prism_core::identify::{HeadsError, HeadsPack, NamedVector, TISSUES, estimate, identify};
use prism_core::model::Pack;
use prism_core::volume::Affine;
use serde_json::Value;

const HEADS: &[u8] = include_bytes!("../../public/packs/identify.safetensors");
const BRAIN: &[u8] = include_bytes!("../../public/packs/brain.safetensors");
const ANSWERS: &str = include_str!("../../tests/golden/identify/answers.json");

fn heads() -> HeadsPack {
    HeadsPack::read(HEADS).expect("the heads that ship")
}

/// Vectors by name, and what each head answers.
type Golden = (Vec<(String, Vec<f32>)>, Value);

/// Cases of `python -m training.identify`: vectors by name, and NumPy's answers.
fn cases() -> Vec<Golden> {
    let cases: Vec<Value> = serde_json::from_str(ANSWERS).expect("the golden file");
    cases
        .into_iter()
        .map(|case| {
            let vectors = case["vectors"].as_object().expect("vectors").iter();
            let vectors = vectors.map(|(name, values)| {
                let values: Vec<f32> = serde_json::from_value(values.clone()).expect("numbers");
                (name.clone(), values)
            });
            (vectors.collect(), case["heads"].clone())
        })
        .collect()
}

fn named(vectors: &[(String, Vec<f32>)]) -> Vec<NamedVector<'_>> {
    vectors.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect()
}

#[test]
fn answers_are_those_of_numpy() {
    let heads = heads();
    for (vectors, expected) in cases() {
        for (head, expected) in expected.as_object().expect("heads") {
            let head = heads.head(head).expect("a head");
            let found = head.answer(&named(&vectors)).expect("an answer");
            for (class, probability) in &found.probabilities {
                let expected = expected["probabilities"][class].as_f64().expect("a probability");
                assert!((probability - expected).abs() < 1e-3, "{class}: {found:?}");
            }
            let distance = expected["distance"].as_f64().expect("a distance");
            assert!((found.distance.expect("judged") - distance).abs() < 1e-3, "{found:?}");
            let given = expected["given"].as_str().filter(|class| !class.is_empty());
            assert_eq!(found.given.as_deref(), given, "{found:?}");
        }
    }
}

#[test]
fn heads_know_their_encoder() {
    let heads = heads();
    let brain = Pack::read(BRAIN).expect("the brain pack").info;
    assert_eq!(heads.check_encoder(&brain.name, &brain.sha256), Ok(()));
    let error = heads.check_encoder("other", "0123456789abcdef").expect_err("another encoder");
    let words = error.to_string();
    assert!(words.contains("\"brain\"") && words.contains("\"other\" (0123456789ab)"), "{words}");
}

#[test]
fn broken_heads_are_errors() {
    let mut damaged = HEADS.to_vec();
    if let Some(last) = damaged.last_mut() {
        *last ^= 1;
    }
    assert!(matches!(HeadsPack::read(&damaged), Err(HeadsError::Hash { .. })));
    assert!(matches!(HeadsPack::read(BRAIN), Err(HeadsError::Container(_))));
    assert!(matches!(HeadsPack::read(b"no pack"), Err(HeadsError::Container(_))));
    let missing = heads().head("sequence").expect("a head").answer(&[("structure", &[0.0])]);
    assert!(matches!(missing, Err(HeadsError::Vector { .. })));
}

#[test]
fn sex_is_for_brains_without_skull_and_no_age_is_shown() {
    let heads = heads();
    let cases = cases();
    let affine = Affine::from_spacing([1.0; 3]);
    let seen = |at: usize, dims: [usize; 3]| {
        let vectors = named(&cases[at].0);
        let scan = identify(&heads, &vectors, &affine, dims, &Acquisition::default())
            .expect("an identification");
        let found = estimate::estimate(&heads, &vectors, &scan, None).expect("an estimate");
        (scan, found)
    };
    // A T1w brain without skull: 162 x 214 x 167 mm.
    let (scan, brain) = seen(0, [162, 214, 167]);
    assert!(scan.sequence.is("T1w") && scan.body_part.is("head"), "{scan:?}");
    assert!(scan.skull.as_ref().is_some_and(|skull| skull.is("stripped")), "{scan:?}");
    // The age that ships is the mean of its group: no number, but the reason.
    assert_eq!(brain.age, None);
    let why = brain.refused.expect("why there is no age");
    assert!(why.starts_with("No age is given.") && why.contains("48 people"), "{why}");
    // Of whom it holds stands beside a sex that is given, and only there.
    let sex = brain.sex.expect("an answer");
    assert_eq!(brain.sex_caution.is_some(), sex.given.is_some());
    if let Some(caution) = brain.sex_caution {
        assert!(caution.contains("15 men") && caution.contains("19 to 55 years"), "{caution}");
    }
    // A child by its file is none of them.
    let vectors = named(&cases[0].0);
    let child = estimate::estimate(&heads, &vectors, &scan, Some(8.0)).expect("an estimate");
    assert!(child.sex.is_none() && child.age.is_none() && child.sex_caution.is_none());
    assert!(child.refused.is_some_and(|why| why.contains("the file states an age outside 19 to")));
    // The same vectors of a crop, and a heart.
    let (_, crop) = seen(0, [40, 50, 40]);
    assert!(crop.sex.is_none() && crop.refused.is_some_and(|why| why.contains("crop")));
    let (scan, heart) = seen(1, [216, 256, 10]);
    assert!(scan.body_part.is("heart") && scan.sequence.is("cine") && scan.skull.is_none());
    assert!(heart.age.is_none() && heart.sex.is_none());
    assert_eq!(scan.stack.map(|stack| stack.slices), Some(10));
}

/// The scan of a golden case of the formats.
fn scan(case: &str) -> Scan {
    scan_of(case, |_| true)
}

/// The scan of those files of a golden case whose names are wanted.
fn scan_of(case: &str, wanted: impl Fn(&str) -> bool) -> Scan {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/formats").join(case);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a case") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.extension().is_none() && wanted(&name) {
            files.push(InputFile { name, bytes: std::fs::read(path).expect("a file") });
        }
    }
    formats::load(&files, &Selection::default()).expect("a scan")
}

#[test]
fn fields_of_a_dicom_file_are_held_against_the_image() {
    // The vectors of a T1w brain with the file of a sagittal FLAIR of a knee.
    let scan = scan("dicom_contradicts");
    let (vectors, _) = &cases()[0];
    let (volume, acquisition) = (&scan.volume, &scan.series.acquisition);
    let found = identify(&heads(), &named(vectors), &volume.affine, volume.dims, acquisition)
        .expect("an identification");
    // Name and times deny the sequence: it is withheld, and nothing is left to contradict.
    assert_eq!(found.sequence.given, None);
    assert_eq!(
        found.sequence_words(),
        "unknown (it looks T1w, but the file names it FLAIR and states an echo time of 128 ms and a repetition time of 9000 ms)"
    );
    assert_eq!(
        found.warnings,
        [
            "The file says body part KNEE, the image looks like head.",
            "The file names the plane sagittal, the slices are axial.",
        ]
    );
    // The name alone is a warning, and the sequence stays, with what the file adds to it.
    let untimed =
        Acquisition { echo_time_ms: None, repetition_time_ms: None, ..acquisition.clone() };
    let found = identify(&heads(), &named(vectors), &volume.affine, volume.dims, &untimed)
        .expect("an identification");
    assert_eq!(found.warnings[0], "The file names the sequence FLAIR, the image looks T1w.");
    assert_eq!(found.warnings.len(), 3);
    let words = found.sequence_words();
    assert!(
        words.starts_with("T1w post-contrast (contrast by the file; T1w by the image, "),
        "{words}"
    );
    assert_eq!(found.sequence_note.as_deref(), Some("the file states a contrast agent"));
    assert!(found.sequence.is("T1w"));
    // A file that says nothing contradicts nothing.
    let silent = Acquisition::default();
    let found = identify(&heads(), &named(vectors), &volume.affine, volume.dims, &silent)
        .expect("an identification");
    assert!(found.warnings.is_empty() && found.sequence_note.is_none(), "{found:?}");
}

#[test]
fn a_scan_of_proton_density_is_not_called_t2w() {
    let scan = scan("dicom_proton_density");
    let (mut vectors, _) = cases().swap_remove(0);
    // Fluid bright, cortex brighter than white matter.
    vectors.push((TISSUES.into(), vec![0.35, 1.0, 0.1, 0.05, 0.3, -0.02]));
    let (volume, acquisition) = (&scan.volume, &scan.series.acquisition);
    let seen = |acquisition: &Acquisition| {
        identify(&heads(), &named(&vectors), &volume.affine, volume.dims, acquisition)
            .expect("an identification")
    };
    assert!(seen(&Acquisition::default()).sequence.is("T2w"));
    let found = seen(acquisition);
    assert_eq!(found.sequence.given, None);
    assert_eq!(
        found.sequence_words(),
        "PD (by the file; it looks T2w, but the file states an echo time of 22 ms at a repetition time of 2300 ms, as proton density has)"
    );
}

#[test]
fn a_scan_with_a_b_value_is_called_diffusion() {
    // Two b-values, 0 and 1000 s/mm²: the files of the second alone.
    let scan = scan_of("dicom_b_values_missing_slice", |name| name >= "IM0002");
    let (vectors, _) = &cases()[0];
    let (volume, acquisition) = (&scan.volume, &scan.series.acquisition);
    assert_eq!(acquisition.b_value, Some(1000.0));
    let found = identify(&heads(), &named(vectors), &volume.affine, volume.dims, acquisition)
        .expect("an identification");
    assert_eq!(found.sequence.given, None);
    assert_eq!(found.sequence_name(), "diffusion (by the file)");
}
