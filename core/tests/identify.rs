//! The heads that ship: answers as NumPy gives them, and errors that say what is wrong.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use std::path::Path;

use prism_core::formats::{self, Acquisition, InputFile, Scan, Selection};
use prism_core::identify::heads::{HeadInfo, HeadKind};
use prism_core::identify::pack::LinearHead;
use prism_core::identify::{
    Answer, Head, HeadsError, HeadsPack, NamedVector, TISSUES, estimate, identify, volumes,
};
use prism_core::model::Pack;
use prism_core::volume::{Affine, LabelTable};
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
            assert_answer(&head.answer(&named(&vectors)).expect("an answer"), expected);
        }
    }
}

fn assert_answer(found: &Answer, expected: &Value) {
    for (class, probability) in &found.probabilities {
        let expected = expected["probabilities"][class].as_f64().expect("a probability");
        assert!((probability - expected).abs() < 1e-3, "{class}: {found:?}");
    }
    let distance = expected["distance"].as_f64().expect("a distance");
    assert!((found.distance.expect("judged") - distance).abs() < 1e-3, "{found:?}");
    let given = expected["given"].as_str().filter(|class| !class.is_empty());
    assert_eq!(found.given.as_deref(), given, "{found:?}");
}

#[test]
fn a_sex_by_volumes_is_that_of_numpy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/identify/volumes.json");
    let heads = heads();
    let told = "`python -m training.identify --people` writes heads and golden file together";
    assert_eq!(path.is_file(), estimate::reads_volumes(&heads), "{told}");
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let head = heads.head("sex").expect("a head");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("the golden file");
    assert!(!cases.is_empty());
    for case in cases {
        let measured: Vec<(u16, f64)> =
            serde_json::from_value(case["volumes"].clone()).expect("numbers and volumes");
        let vectors = volumes::vectors(&head.info, &measured).expect("every structure");
        let vectors: Vec<NamedVector<'_>> =
            vectors.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        assert_answer(&head.answer(&vectors).expect("an answer"), &case["sex"]);
    }
}

#[test]
fn heads_of_volumes_want_their_structures() {
    let shipped = heads();
    let of_volumes = |inputs: &[&str], weights: usize| {
        let info = HeadInfo {
            name: "sex".into(),
            inputs: inputs.iter().map(|&name| name.into()).collect(),
            outputs: vec!["female".into(), "male".into()],
            kind: HeadKind::Classification {
                temperature: 1.0,
                least_probability: 0.8,
                most_distance: None,
            },
            body_parts: Vec::new(),
            caution: None,
        };
        let (weight, bias) = (vec![0.5; 2 * weights], vec![0.0; 2]);
        let (mean, deviation) = (vec![0.0; weights], vec![1.0; weights]);
        let head = LinearHead { info, weight, bias, mean, deviation };
        HeadsPack::write(shipped.info.clone(), &[Head::from(head)])
    };
    let bytes = of_volumes(&["volume 2", "volume 41", "volume sum"], 3).expect("a file");
    let pack = HeadsPack::read(&bytes).expect("heads");
    assert!(estimate::reads_volumes(&pack));
    let mut table = Pack::read(BRAIN).expect("the brain pack").info.labels;
    assert_eq!(pack.check_structures(&table), Ok(()));
    assert_eq!(shipped.check_structures(&table), Ok(()));
    table.labels.retain(|label| label.id != 41);
    let error = pack.check_structures(&table).expect_err("a structure is missing");
    assert!(error.to_string().contains("structure 41"), "{error}");
    // Heads on vectors, as packs had them before, ask for none.
    let head = shipped.head("sequence").expect("a head").clone();
    let bytes = HeadsPack::write(shipped.info.clone(), &[head]).expect("a file");
    let pack = HeadsPack::read(&bytes).expect("heads");
    assert!(!estimate::reads_volumes(&pack));
    assert_eq!(pack.check_structures(&LabelTable::default()), Ok(()));
    let wrong = of_volumes(&["volume 2", "volume sum"], 3);
    assert!(matches!(wrong, Err(HeadsError::Metadata(_))), "{wrong:?}");
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
    // Of a sex that is read from volumes; 5 mL of each structure.
    let labels = Pack::read(BRAIN).expect("the brain pack").info.labels.labels;
    let volumes: Vec<(u16, f64)> = labels.iter().map(|label| (label.id, 5.0)).collect();
    let seen = |at: usize, dims: [usize; 3]| {
        let vectors = named(&cases[at].0);
        let scan = identify(&heads, &vectors, &affine, dims, &Acquisition::default())
            .expect("an identification");
        let found = estimate::estimate(&heads, &vectors, &scan, None).expect("an estimate");
        assert!(found.waiting.is_none() || found.sex.is_none());
        (scan, found.with_volumes(&volumes).expect("every structure"))
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
    assert!(child.waiting.is_none());
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
