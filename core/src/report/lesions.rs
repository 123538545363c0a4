//! Findings: lesions, as they were marked, with what is to be known before they are
//! believed.

use super::sentence::{Sentence, Source, list, plural, separator};
use super::{LesionFacts, ReportInput, Section};
use crate::lesions::{FalseAlarms, Lesion, Place};

/// Lesions that have a sentence of their own; the table has all.
const TOLD: usize = 5;

/// What is known of lesions; none in a report of a heart.
pub(super) fn lesions(input: &ReportInput) -> Option<Section> {
    let sentences = match &input.lesions {
        Some(lesions) => found(lesions),
        None if super::heart::is_heart(input) => return None,
        None => vec![Sentence::plain("Lesions were not looked for.").leads_to(Source::Lesions)],
    };
    Some(Section { key: "findings_lesions".into(), title: "Findings: lesions".into(), sentences })
}

fn found(facts: &LesionFacts) -> Vec<Sentence> {
    let mut sentences = vec![sum(facts)];
    sentences.extend(kinds(facts));
    sentences.extend(places(&facts.lesions));
    let several = facts.summary.sequences > 1;
    sentences.extend(facts.lesions.iter().take(TOLD).map(|lesion| one(lesion, several)));
    let rest = facts.lesions.get(TOLD..).unwrap_or_default();
    if !rest.is_empty() {
        let millilitres = rest.iter().map(|lesion| lesion.millilitres).sum();
        sentences.push(
            Sentence::new()
                .count("further marks", rest.len())
                .say(plural(
                    rest.len(),
                    " smaller mark measures ",
                    " smaller marks together measure ",
                ))
                .millilitres("volume of the further marks", millilitres, None)
                .say(plural(rest.len(), "; it is in the table.", "; they are in the table.")),
        );
    }
    sentences.extend(probability(facts));
    sentences.push(caution(facts.false_alarms));
    for sentence in &mut sentences {
        sentence.source.get_or_insert(Source::Lesions);
    }
    sentences
}

fn sum(facts: &LesionFacts) -> Sentence {
    let summary = &facts.summary;
    let in_sequences = |sentence: Sentence| {
        sentence.say(" in ").count("sequences", summary.sequences).say(plural(
            summary.sequences,
            " sequence",
            " sequences",
        ))
    };
    if summary.lesions == 0 {
        return in_sequences(Sentence::new().say("No lesion was marked")).say(".");
    }
    let sentence = Sentence::new().attention().count("marks", summary.lesions).say(plural(
        summary.lesions,
        " place was marked as a lesion",
        " places were marked as lesions",
    ));
    in_sequences(sentence)
        .say(", in all ")
        .millilitres("volume", summary.millilitres, None)
        .say(".")
}

fn kinds(facts: &LesionFacts) -> Option<Sentence> {
    let some: Vec<&(String, f64)> =
        facts.summary.by_class.iter().filter(|(_, millilitres)| *millilitres > 0.0).collect();
    if some.is_empty() {
        return None;
    }
    let mut sentence = Sentence::new().say("By kind: ");
    for (at, (name, millilitres)) in some.iter().copied().enumerate() {
        sentence = sentence
            .say(separator(at, some.len()))
            .say(&crate::measure::display_name(name))
            .say(" ")
            .millilitres(name, *millilitres, None);
    }
    Some(sentence.say("."))
}

fn places(lesions: &[Lesion]) -> Option<Sentence> {
    let counts: Vec<(Place, usize)> = [
        Place::Periventricular,
        Place::Juxtacortical,
        Place::Infratentorial,
        Place::Deep,
        Place::Unknown,
    ]
    .into_iter()
    .map(|place| (place, lesions.iter().filter(|lesion| lesion.place == place).count()))
    .filter(|(_, count)| *count > 0)
    .collect();
    if counts.is_empty() {
        return None;
    }
    let mut sentence = Sentence::new().say("By place: ");
    for (at, (place, count)) in counts.iter().enumerate() {
        sentence = sentence
            .say(separator(at, counts.len()))
            .count(place.words(), *count)
            .say(" ")
            .say(if *place == Place::Unknown { "at an unknown place" } else { place.words() });
    }
    Some(sentence.say("."))
}

/// A lesion: how large, where, its signal (in the first one of `several` sequences), how sure.
fn one(lesion: &Lesion, several: bool) -> Sentence {
    let sentence = Sentence::new()
        .leads_to(Source::Lesion(lesion.number))
        .say("Mark ")
        .count("number of the mark", lesion.number)
        .say(", ")
        .say(&lesion.kind)
        .say(": ")
        .millilitres("volume", lesion.millilitres, None)
        .say(", longest diameter ")
        .number("longest diameter", lesion.diameter_mm, ("mm", 0), None);
    let mut place: Vec<String> = Vec::new();
    if lesion.place != Place::Unknown {
        place.push(lesion.place.words().into());
    }
    // The name of a structure of one side begins with it.
    place.extend(lesion.region.as_ref().map(|region| format!("in the {region}")));
    let sentence =
        if place.is_empty() { sentence } else { sentence.say(", ").say(&place.join(" ")) };
    let sentence = match lesion.signal {
        Some(signal) => sentence.say(", ").say(signal.words()).say(if several {
            " in the first sequence"
        } else {
            ""
        }),
        None => sentence,
    };
    sentence
        .say(" (probability ")
        .percent("mean probability", 100.0 * f64::from(lesion.probability), None)
        .say(").")
}

fn probability(facts: &LesionFacts) -> Option<Sentence> {
    let probability = facts.summary.probability?;
    Some(
        Sentence::new()
            .say("The probability that the study shows any lesion is ")
            .percent("probability of any lesion", 100.0 * probability, None)
            .say(", by a calibration on synthetic studies, from ")
            .millilitres("volume weighted by certainty", facts.summary.evidence_ml, None)
            .say(" weighted by certainty."),
    )
}

/// What the pack marks where nothing is: to be read beside everything that it marks.
pub fn caution(known: Option<FalseAlarms>) -> Sentence {
    let sentence = Sentence::new().leads_to(Source::Lesions).attention();
    let Some(FalseAlarms { studies, marked, median_ml, largest_ml }) = known else {
        return sentence.say(
            "How much this model marks in healthy heads was not measured: what it marks is a place \
             to look at, not a finding.",
        );
    };
    sentence
        .say("This model also marks healthy heads: in ")
        .count("healthy studies with a mark", marked as usize)
        .say(" of ")
        .count("healthy studies", studies as usize)
        .say(" studies of them, ")
        .millilitres("marked in the median healthy study", median_ml, None)
        .say(" in the median study and ")
        .millilitres("marked in the worst healthy study", largest_ml, None)
        .say(" in the worst. What it marks is a place to look at, not a finding.")
}

/// For the impression.
pub(super) fn in_short(facts: &LesionFacts) -> Sentence {
    let summary = &facts.summary;
    let weak = match facts.false_alarms {
        Some(FalseAlarms { marked: 0, .. }) => ".",
        Some(_) => "; this model also marks healthy heads.",
        None => "; how much it marks in healthy heads is not known.",
    };
    if summary.lesions == 0 {
        return Sentence::plain("No lesion was marked; this model misses many.")
            .leads_to(Source::Lesions);
    }
    let kinds: Vec<String> = summary
        .by_class
        .iter()
        .filter(|(_, millilitres)| *millilitres > 0.0)
        .map(|(name, _)| crate::measure::display_name(name))
        .collect();
    Sentence::new()
        .leads_to(Source::Lesions)
        .attention()
        .count("marks", summary.lesions)
        .say(plural(summary.lesions, " place was marked (", " places were marked ("))
        .say(&list(&kinds))
        .say("), in all ")
        .millilitres("volume", summary.millilitres, None)
        .say(weak)
}
