//! The decoder against the network it was trained as, and against what was measured.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::maps::Reader;
use super::weights::Matrix;
use super::*;
use crate::lesions::Signal;
use crate::measure::Judgement;
use crate::report::edits::Edits;
use crate::report::tests::{full_input, input};
use crate::report::{ReportInput, Value};

fn file(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap_or_default()
}

fn wording() -> Wording {
    let wording = Wording::read(&file("public/packs/report.safetensors"));
    let Ok(wording) = wording else { unreachable!("{:?}", wording.err()) };
    wording
}

#[derive(Deserialize)]
struct Case {
    section: String,
    facts: Vec<Claim>,
    #[serde(default)]
    maps: Option<StructureMaps>,
    tokens: Vec<usize>,
    logits: Vec<Vec<f32>>,
    likeliest: Vec<usize>,
}

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[test]
fn logits_are_those_of_pytorch() {
    let golden = serde_json::from_slice::<Golden>(&file("tests/golden/report/wording.json"));
    let Ok(golden) = golden else { unreachable!("{:?}", golden.err()) };
    let wording = wording();
    let (mut words, mut worst, mut with_maps) = (0, 0.0_f32, 0);
    for case in golden.cases {
        let maps = case.maps.as_ref();
        let logits = wording.logits(&case.section, &case.facts, maps, &case.tokens);
        // A pack that reads maps is another one without them.
        if let (Some(_), Some(_)) = (maps, &wording.info.maps) {
            let without = wording.logits(&case.section, &case.facts, None, &case.tokens);
            let another =
                StructureMaps { pack: "another".into(), ..maps.cloned().unwrap_or_default() };
            let foreign = wording.logits(&case.section, &case.facts, Some(&another), &case.tokens);
            assert_ne!(logits, without);
            assert_eq!(foreign, without);
            with_maps += 1;
        }
        assert_eq!(logits.len(), case.likeliest.len());
        for ((row, expected), best) in logits.iter().zip(&case.logits).zip(&case.likeliest) {
            for (value, expected) in row.iter().zip(expected) {
                worst = worst.max((value - expected).abs());
            }
            assert_eq!(likeliest(row), *best, "{}", case.section);
            words += 1;
        }
    }
    println!("{words} words, largest difference {worst}");
    assert!(words > 100 && worst < 2e-3, "{worst}");
    assert!(with_maps > 0 || wording.info.maps.is_none());
}

#[test]
fn every_shown_sentence_has_its_measurement_and_nothing_is_lost() {
    let report = Report::write(&input());
    let (worded, count) = wording().word(&report);
    println!("{count:?}\n{}", worded.to_text());
    assert!(count.shown > 5 && count.said <= count.facts, "{count:?}");
    for (section, plain) in worded.sections.iter().zip(&report.sections) {
        assert_eq!(section.key, plain.key);
        for sentence in &section.sentences {
            for value in &sentence.values {
                assert!(sentence.text[value.start..].starts_with(&value.written), "{sentence:?}");
                assert!(value.written.parse::<f64>().is_ok());
            }
            assert!(!sentence.text.contains('<') || plain.sentences.contains(sentence));
        }
        // What no fact says stays: warnings, notes, that it is no medical device.
        if plain.key == "impression" {
            assert!(section.sentences.iter().any(|s| s.text == crate::report::NOT_A_DEVICE));
        }
    }
    // The hippocampus: 2.00 mL against 1.60 mL, in whatever words.
    let all: Vec<&Sentence> = worded.sentences().collect();
    assert!(all.iter().any(|sentence| {
        let has = |written: &str| sentence.values.iter().any(|value| value.written == written);
        sentence.text.contains("hippocampus") && has("2.00") && has("1.60")
    }));
}

/// Inputs in which different plain sentences are said by the decoder.
fn inputs() -> Vec<ReportInput> {
    let (mut even, mut whole) = (input(), full_input());
    for row in &mut even.structures {
        row.asymmetry_percent = row.asymmetry_percent.map(|_| -4.0);
        row.edge_voxels = 0;
    }
    // Everything is found, and many pairs differ.
    let mut percent = 12.0;
    for row in &mut whole.structures {
        (row.voxels, row.millilitres) = (row.voxels.max(900), row.millilitres.max(0.9));
        row.nearest_voxel = row.nearest_voxel.or(Some([1, 1, 1]));
        if row.pair.is_some() {
            row.asymmetry_percent = Some(percent);
            percent += 3.0;
        }
    }
    let mut poor = input();
    for (at, measure) in poor.quality.measures.iter_mut().enumerate() {
        measure.judgement = if at % 2 == 0 { Judgement::Good } else { Judgement::Look };
    }
    vec![input(), even, whole, poor, full_input()]
}

#[test]
fn no_number_is_lost() {
    let wording = wording();
    let mut said = 0;
    for input in inputs() {
        let report = Report::write(&input);
        let (worded, count) = wording.word(&report);
        said += count.said;
        let values = |report: &Report| -> Vec<Value> {
            report.sentences().flat_map(|sentence| sentence.values.clone()).collect()
        };
        let (plain, kept) = (values(&report), values(&worded));
        for value in &plain {
            let known = kept.iter().any(|other| numbers::key(other) == numbers::key(value));
            assert!(known, "{value:?}\n{}", worded.to_text());
        }
        // And each of them can be clicked.
        for sentence in worded.sentences() {
            for value in &sentence.values {
                assert!(sentence.text[value.start..].starts_with(&value.written), "{sentence:?}");
                assert!(sentence.origin_of(value).is_some(), "{sentence:?}");
            }
        }
    }
    assert!(said > 40, "{said}");
}

#[test]
fn a_fact_is_said_once() {
    let report = Report::write(&input());
    let section = report.section("findings_medial_temporal_lobe");
    let facts = section.and_then(|section| facts::facts(&report, section)).map(|(_, facts)| facts);
    let facts = facts.unwrap_or_default();
    let claim = facts[0].claim.clone();
    let said = vec![None; facts.len()];
    assert_eq!(places(core::slice::from_ref(&claim), &facts, &said), Some(vec![0]));
    assert_eq!(places(&[claim.clone(), claim.clone()], &facts, &said), None);
    let mut said = said;
    said[0] = Some(0);
    assert_eq!(places(&[claim], &facts, &said), None);
}

#[test]
fn the_report_says_what_worded_it() {
    let report = Report::write(&input());
    let wording = wording();
    let (worded, _) = wording.word(&report);
    let method = worded.section("method").map(|s| s.sentences.as_slice()).unwrap_or_default();
    let hash: String = wording.info.sha256.chars().take(12).collect();
    let sentence = method.iter().find(|sentence| sentence.text.contains(&hash));
    let words = sentence.map(|sentence| sentence.text.as_str()).unwrap_or_default();
    assert!(words.contains(&wording.info.version) && words.contains("worded by"), "{words}");
    assert_eq!(method.last().map(|s| s.text.as_str()), Some(crate::report::NOT_A_DEVICE));
    assert_eq!(worded.worded_by.map(|pack| pack.sha256), Some(wording.info.sha256));
}

#[test]
fn an_edit_of_a_plain_sentence_waits_for_it() {
    let report = Report::write(&input());
    let (worded, _) = wording().word(&report);
    let section = report.section("findings_medial_temporal_lobe");
    let pair =
        section.and_then(|s| s.sentences.iter().find(|s| s.text.contains("hippocampus meas")));
    let Some(pair) = pair else { unreachable!("the pair has a sentence") };
    let mut edits = Edits::default();
    edits.set("findings_medial_temporal_lobe", &pair.text, "Mine.");
    let own = edits.next("method");
    edits.set("method", &own, "Mine, too.");
    assert_eq!(edits.without_place(&report), 0);
    assert_eq!(edits.without_place(&worded), 1);
    assert_eq!(edits.apply(&report).to_text().matches("[edited]").count(), 3);
}

#[test]
fn a_decoder_that_knows_nothing_says_nothing() {
    let mut wording = wording();
    wording.weights.token = wording.weights.token.zeroed();
    let report = Report::write(&input());
    let (worded, count) = wording.word(&report);
    assert_eq!(worded, report);
    assert_eq!((count.shown, count.said), (0, 0));
    assert!(count.unread > 0);
}

#[test]
fn damaged_packs_are_refused() {
    let whole = file("public/packs/report.safetensors");
    assert!(matches!(Wording::read(&whole[..whole.len() / 2]), Err(WordingError::Container(_))));
    let mut damaged = whole;
    damaged.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
    assert!(matches!(Wording::read(&damaged), Err(WordingError::Hash)));
    let brain = file("public/packs/brain.safetensors");
    assert!(matches!(
        Wording::read(&brain),
        Err(WordingError::Description(_) | WordingError::TooLarge(_))
    ));
}

#[test]
fn quality_that_nothing_judged_is_no_fact() {
    let mut given = input();
    let overall = |given: &ReportInput| {
        let told = Wording::told(&Report::write(given));
        told.iter().flat_map(|(_, claims)| claims).any(|claim| claim.kind == "overall")
    };
    assert!(overall(&given));
    for measure in &mut given.quality.measures {
        measure.judgement = Judgement::NotAssessed;
    }
    assert!(!overall(&given));
}

#[test]
fn maps_of_the_run_reach_the_decoder() {
    let mut given = input();
    assert_eq!(Report::write(&given).maps, None);
    let structures = vec![("Left-Thalamus".to_owned(), vec![0.5; 4])];
    let maps = StructureMaps { pack: "brain".into(), structures };
    given.maps = Some(maps.clone());
    let report = Report::write(&given);
    assert_eq!(report.maps, Some(maps.clone()));
    // Another pack's are left alone, and they are no part of a file.
    assert_eq!(wording().word(&report).0.to_text(), {
        let plain = Report { maps: None, ..report.clone() };
        wording().word(&plain).0.to_text()
    });
    let Ok(json) = serde_json::to_string(&report) else { unreachable!("a report has a JSON form") };
    assert!(!json.contains("Left-Thalamus\",["));
    let info = MapsInfo {
        pack: "brain".into(),
        structures: vec!["Left-Thalamus".into()],
        channels: 4,
        helps: true,
    };
    let matrix = |rows: usize, value: f32| Matrix::filled(rows, 4, value);
    let reader = Reader {
        mean: matrix(1, 0.25),
        deviation: matrix(1, 0.5),
        project: matrix(2, 1.0),
        structure: Matrix::filled(1, 2, 3.0),
    };
    // Four times (0.5 - 0.25) / 0.5, and the embedding.
    assert_eq!(reader.tokens(&info, &maps), [vec![5.0, 5.0]]);
    assert!(reader.tokens(&MapsInfo { pack: "other".into(), ..info }, &maps).is_empty());
}

#[test]
fn a_lesion_is_a_focus_that_the_grammar_can_say() {
    let mut given = full_input();
    let foci_of = |given: &ReportInput, impression: bool| -> Vec<Claim> {
        let told = Wording::told(&Report::write(given)).into_iter();
        told.filter(|(section, _)| (section == "impression") == impression)
            .flat_map(|(_, claims)| claims)
            .filter(|claim| claim.kind == "focus")
            .collect()
    };
    let foci = |given: &ReportInput| foci_of(given, false);
    // Nothing is known of their greys.
    assert!(foci(&given).is_empty());
    // The first and third mark lie in the left white matter (12 and 4 mm), the second and fourth
    // in the right one (6 and 3 mm).
    let lesions = given.lesions.as_mut().map(|facts| facts.lesions.as_mut_slice());
    let Some([first, second, third, fourth, ..]) = lesions else { unreachable!("there are seven") };
    (first.signal, third.signal) = (Some(Signal::Bright), Some(Signal::Dark));
    (second.signal, fourth.signal) = (None, Some(Signal::Dark));
    let expected = [
        ("In the left n:cerebral_white_matter a medium-sized bright place was marked .", 1),
        ("A tiny dark place was marked in the right n:cerebral_white_matter .", 4),
    ];
    // Of several sequences the decoder cannot say which it is.
    assert!(foci(&given).is_empty());
    given.lesions.iter_mut().for_each(|facts| facts.summary.sequences = 1);
    let said = foci(&given);
    assert_eq!(said.len(), expected.len(), "{said:?}");
    // The impression names them, too, the largest first.
    assert_eq!(foci_of(&given, true), said);
    let mut turned = given.clone();
    turned.lesions.iter_mut().for_each(|facts| facts.lesions[3].millilitres = 99.0);
    let reversed: Vec<Claim> = said.iter().rev().cloned().collect();
    assert_eq!(foci_of(&turned, true), reversed);
    let Ok(grammar) = Grammar::read() else { unreachable!("the grammar is built in") };
    let report = Report::write(&given);
    let section = report.section("findings_cerebral_hemispheres");
    let facts = section.and_then(|section| facts::facts(&report, section)).map(|(_, facts)| facts);
    let facts = facts.unwrap_or_default();
    for (text, number) in expected {
        let tokens: Vec<String> = text.split(' ').map(|word| word.replace('_', " ")).collect();
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let claims = grammar.claims(&tokens).unwrap_or_default();
        assert!(claims.len() == 1 && said.contains(&claims[0]), "{claims:?} {said:?}");
        // A click leads to the lesion.
        let fact = facts.iter().find(|fact| fact.claim == claims[0]);
        let place = fact.and_then(|fact| fact.sentence().origin());
        assert_eq!(place, Some(crate::report::Source::Lesion(number)));
    }
}
