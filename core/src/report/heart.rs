//! Findings: the heart over the phases of a heartbeat.

use super::cine::{CUT, RIGHT_NOT_FOUND};
use super::sentence::{Sentence, Source, plural};
use super::{FRACTION_STANDS, HeartFacts, NO_FUNCTION, ReportInput, Section, UNIT_ASSUMED};
use crate::measure::cardiac::{Function, Ventricle};

/// Whether the structures are a heart's.
pub(super) fn is_heart(input: &ReportInput) -> bool {
    let named = |name: &str| name.to_lowercase().contains("myocard");
    input.heart.is_some() || input.structures.iter().any(|row| named(&row.name))
}

/// The function of the heart, or that it was not measured; none for other organs.
pub(super) fn heart(input: &ReportInput) -> Option<Section> {
    let sentences = match &input.heart {
        Some(heart) => measured(heart),
        None if is_heart(input) => {
            let words = "The function of the heart was not measured: it needs the phases of a \
                         heartbeat.";
            vec![Sentence::plain(words).leads_to(Source::Function(String::new()))]
        }
        None => return None,
    };
    Some(Section { key: "findings_heart".into(), title: "Findings: heart".into(), sentences })
}

fn source(key: &str) -> Source {
    Source::Function(key.into())
}

fn measured(heart: &HeartFacts) -> Vec<Sentence> {
    let report = &heart.report;
    let mut sentences = Vec::new();
    match &report.function {
        Some(function) => {
            sentences.push(ventricle("left", "lv", &function.left, function));
            sentences.push(
                Sentence::new()
                    .leads_to(source("lv-mass"))
                    .say("The mass of the left ventricle's myocardium is ")
                    .number("left myocardial mass", function.mass_g, ("g", 1), None)
                    .say("."),
            );
            let right = function.right.as_ref();
            sentences.push(match right.map(|of| ventricle("right", "rv", of, function)) {
                None => Sentence::plain(RIGHT_NOT_FOUND).attention(),
                Some(right) if report.right_usable => right,
                Some(right) => right.attention().say(
                    " With this model end-systolic volume, stroke volume and ejection fraction \
                     of the right ventricle are not usable.",
                ),
            });
        }
        None => sentences.push(Sentence::plain(NO_FUNCTION)),
    }
    if report.cut {
        sentences.insert(0, Sentence::plain(CUT).attention());
    }
    let refused = report.phases.iter().filter(|phase| phase.refused.is_some()).count();
    let missing = report.phases.iter().filter(|phase| phase.volumes.is_none()).count();
    if missing > 0 {
        sentences.push(
            Sentence::new()
                .attention()
                .count("phases without volumes", missing)
                .say(" of ")
                .count("phases", report.phases.len())
                .say(plural(report.phases.len(), " phase", " phases"))
                .say(plural(missing, " has", " have"))
                .say(" no volumes; ")
                .count("phases outlined unlike a heart", refused)
                .say(plural(refused, " was", " were"))
                .say(" outlined unlike a heart and left out.")
                .say(if report.function.is_some() {
                    " End-diastole or end-systole may be among those without volumes."
                } else {
                    ""
                }),
        );
    }
    if !report.unit_stated {
        sentences.iter_mut().for_each(Sentence::assume_unit);
        let sentence = Sentence::plain(UNIT_ASSUMED).attention();
        sentences.push(sentence.say(" ").say(FRACTION_STANDS));
    }
    sentences.extend(heart.cautions.iter().map(|caution| Sentence::warning(caution)));
    for sentence in &mut sentences {
        sentence.source.get_or_insert(source(""));
    }
    sentences
}

/// Volumes at both extremes, stroke volume, ejection fraction.
fn ventricle(side: &str, key: &str, of: &Ventricle, function: &Function) -> Sentence {
    let row = |name: &str| source(&format!("{key}-{name}"));
    let sentence = Sentence::new()
        .leads_to(row("ef"))
        .say("The ")
        .say(side)
        .say(" ventricle measures ")
        .number("end-diastolic volume", of.end_diastolic_ml, ("mL", 1), None)
        .read_from(row("edv"))
        .say(" at end-diastole (phase ")
        .count("phase of end-diastole", function.end_diastole + 1)
        .say(") and ")
        .number("end-systolic volume", of.end_systolic_ml, ("mL", 1), None)
        .read_from(row("esv"))
        .say(" at end-systole (phase ")
        .count("phase of end-systole", function.end_systole + 1)
        .say("): stroke volume ")
        .say(if of.stroke_ml < 0.0 { "minus " } else { "" })
        .number("stroke volume", of.stroke_ml, ("mL", 1), None)
        .read_from(row("sv"));
    match of.ejection_percent {
        Some(percent) => sentence
            .say(", ejection fraction ")
            .say(if percent < 0.0 { "minus " } else { "" })
            .percent("ejection fraction", percent, None)
            .read_from(row("ef"))
            .say("."),
        None => sentence.say("; no ejection fraction without an end-diastolic cavity."),
    }
}

/// For the impression.
pub(super) fn in_short(heart: &HeartFacts) -> Option<Sentence> {
    let function = heart.report.function.as_ref()?;
    if heart.report.cut {
        // Numbers of a part of the ventricle are no impression.
        return Some(Sentence::plain(CUT).attention().leads_to(source("lv-ef")));
    }
    let percent = function.left.ejection_percent?;
    let mut sentence = Sentence::new()
        .leads_to(source("lv-ef"))
        .say("The ejection fraction of the left ventricle is ")
        .percent("ejection fraction", percent, None)
        .say(", the mass of its myocardium ")
        .number("left myocardial mass", function.mass_g, ("g", 1), None)
        .read_from(source("lv-mass"));
    if let Some([least, most]) = heart.report.mass_times {
        sentence = sentence
            .say(" (")
            .number("least mass over the drawn one", least, ("", 2), None)
            .say(" to ")
            .number("most mass over the drawn one", most, ("", 2), None)
            .say(" times the drawn one in patients with drawn hearts)");
    }
    if let Some((seen, all)) = heart.report.partial() {
        sentence = sentence
            .say(", from ")
            .count("phases with volumes", seen)
            .say(" of ")
            .count("phases", all)
            .say(plural(all, " phase", " phases"));
    }
    let mut sentence = sentence.say(match function.right {
        None => "; the right ventricle was not found in both phases.",
        Some(_) if heart.report.right_usable => ".",
        Some(_) => "; the ejection fraction of the right ventricle is not usable.",
    });
    if !heart.report.unit_stated {
        sentence.assume_unit();
    }
    Some(sentence)
}
