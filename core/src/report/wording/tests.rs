//! The decoder against the network it was trained as, and against what was measured.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::*;
use crate::report::tests::input;

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
    let (mut words, mut worst) = (0, 0.0_f32);
    for case in golden.cases {
        let logits = wording.logits(&case.section, &case.facts, &case.tokens);
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
