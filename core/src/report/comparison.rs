//! Comparison: what a second scan says.

use super::sentence::{Sentence, Source, plural, separator};
use super::{ChangeFacts, ComparisonFacts, LesionChangeFacts, ReportInput, Section};

/// What is to be known of every comparison of lesions.
pub(super) const MISSED: &str = "Most small changes of lesions are missed.";

/// The second scan, or that there is none.
pub(super) fn comparison(input: &ReportInput) -> Section {
    let mut sentences = match &input.comparison {
        None => vec![Sentence::plain("This report compares with no other scan.")],
        Some(ComparisonFacts { atlas: true, .. }) => vec![Sentence::plain(
            "An atlas, which is nobody's head, was aligned with the scan; this report compares with \
             no other scan.",
        )],
        Some(ComparisonFacts { changes: None, .. }) => vec![Sentence::plain(
            "A second scan was aligned with this one; change between them was not measured.",
        )],
        Some(facts) => changes(facts, facts.changes.as_deref().unwrap_or_default()),
    };
    sentences.extend(input.comparison.as_ref().and_then(looked_for).map(lesions));
    let sentences = sentences.into_iter().map(|mut sentence| {
        sentence.source.get_or_insert(Source::Comparison);
        sentence
    });
    Section { key: "comparison".into(), title: "Comparison".into(), sentences: sentences.collect() }
}

fn changes(facts: &ComparisonFacts, changes: &[ChangeFacts]) -> Vec<Sentence> {
    let changed: Vec<&ChangeFacts> = changes.iter().filter(|change| change.changed).collect();
    let sentence = Sentence::new().say("A second scan");
    let sentence = match facts.years {
        Some(years) => sentence
            .say(", ")
            .number("years between the scans", years, ("years", 2), None)
            .say(" later,"),
        None => sentence,
    };
    let mut sentences = vec![
        sentence
            .say(" was compared structure by structure: ")
            .count("structures that changed", changed.len())
            .say(" of ")
            .count("structures compared", changes.len())
            .say(plural(changes.len(), " structure", " structures"))
            .say(
                " changed by more than repeated measurements under noise and small motion scatter.",
            ),
    ];
    sentences.extend(changed.into_iter().map(|change| one(change, facts.years)));
    sentences
}

fn one(change: &ChangeFacts, years: Option<f64>) -> Sentence {
    let [before, after] = change.millilitres;
    let difference = after - before;
    let source = Source::Change(change.index);
    let sentence = Sentence::new()
        .leads_to(source)
        .attention()
        .say("The ")
        .say(&change.name)
        .say(if difference < 0.0 { " shrank by " } else { " grew by " })
        .number("change", difference, ("mL", 2), None)
        .say(" (interval ")
        .number("half of the interval of the change", change.interval_ml, ("mL", 2), None)
        .say("), from ")
        .millilitres("volume in this scan", before, None)
        .say(" to ")
        .millilitres("volume in the second scan", after, None);
    if before <= 0.0 {
        return sentence.say(".");
    }
    let percent = 100.0 * difference / before;
    match years {
        Some(years) if years > 0.0 => {
            sentence.say(", ").percent("change a year", percent / years, None).say(" a year.")
        }
        _ => sentence.say(", ").percent("change in percent", percent, None).say("."),
    }
}

/// Lesions of two scans of one person.
pub(super) fn looked_for(facts: &ComparisonFacts) -> Option<&LesionChangeFacts> {
    facts.lesions.as_ref().filter(|_| !facts.atlas)
}

fn lesions(facts: &LesionChangeFacts) -> Sentence {
    let mut sentence = Sentence::new();
    if facts.changed.is_empty() {
        sentence = sentence.say("No lesion changed by more than repeated measurements show");
    } else {
        sentence = sentence.attention().say("Lesions that changed: ");
        for (at, (fate, count, millilitres)) in facts.changed.iter().enumerate() {
            sentence = sentence
                .say(separator(at, facts.changed.len()))
                .count(&format!("{fate} lesions"), *count)
                .say(&format!(" {fate} ("))
                .millilitres(&format!("volume of {fate} lesions"), *millilitres, None)
                .say(")");
        }
    }
    if facts.smaller > 0 {
        sentence = sentence
            .say("; ")
            .count("spots no larger than repeats show", facts.smaller)
            .say(" more no larger than what repeats show (")
            .millilitres("largest spot that repeats show", facts.largest_null_ml, None)
            .say(")");
    }
    sentence.say(". ").say(MISSED)
}

/// For the impression.
pub(super) fn in_short(facts: &ComparisonFacts) -> Option<Sentence> {
    let changes = facts.changes.as_ref().filter(|_| !facts.atlas)?;
    let changed = changes.iter().filter(|change| change.changed).count();
    let sentence = Sentence::new().leads_to(Source::Comparison);
    let sentence = if changed > 0 { sentence.attention() } else { sentence };
    Some(
        sentence
            .count("structures that changed", changed)
            .say(" of ")
            .count("structures compared", changes.len())
            .say(plural(changes.len(), " structure", " structures"))
            .say(" changed until the second scan by more than repeated measurements scatter."),
    )
}
