//! Comparison: what a second scan says.

use super::sentence::{Sentence, Source, plural, separator};
use super::{ChangeFacts, ComparisonFacts, LesionChangeFacts, ReportInput, Section};
use crate::follow_up::change::LIMITS;
pub(super) use crate::follow_up::finding::MISSED;

/// The second scan, or that there is none.
pub(super) fn comparison(input: &ReportInput) -> Section {
    let mut sentences = match &input.comparison {
        None => vec![Sentence::plain("This report compares with no other scan.")],
        Some(ComparisonFacts { atlas: true, .. }) => vec![Sentence::plain(
            "An atlas, which is nobody's head, was aligned with the scan; this report compares with \
             no other scan.",
        )],
        Some(ComparisonFacts { changes: None, earlier, .. }) => {
            let scan = if *earlier { "An earlier scan" } else { "A second scan" };
            let rest = " was aligned with this one; change between them was not measured.";
            vec![Sentence::plain(scan).say(rest)]
        }
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
    let apart = |sentence: Sentence, years: f64| {
        sentence.number("years between the scans", years, ("years", 2), None)
    };
    let sentence = match (facts.earlier, facts.years) {
        (true, Some(years)) => {
            apart(Sentence::plain("Compared with a scan "), years).say(" earlier, ")
        }
        (true, None) => Sentence::plain("Compared with an earlier scan, "),
        (false, Some(years)) => {
            apart(Sentence::plain("A second scan, "), years).say(" later, was compared ")
        }
        (false, None) => Sentence::plain("A second scan was compared "),
    };
    let mut sentences = vec![
        sentence
            .say("structure by structure: ")
            .count("structures that changed", changed.len())
            .say(" of ")
            .count("structures compared", changes.len())
            .say(plural(changes.len(), " structure", " structures"))
            .say(
                " changed by more than repeated measurements under noise and small motion scatter.",
            ),
    ];
    sentences.extend(changed.into_iter().map(|change| one(facts, change)));
    sentences.push(Sentence::plain(LIMITS));
    sentences
}

/// Millilitres in the earlier scan, then in the later one.
pub(super) fn in_time(facts: &ComparisonFacts, change: &ChangeFacts) -> [f64; 2] {
    let [here, second] = change.millilitres;
    if facts.earlier { [second, here] } else { [here, second] }
}

/// A change and half of its interval in percent of the earlier volume: a year where `yearly`.
pub(super) struct Rate {
    pub percent: f64,
    pub interval: f64,
    pub yearly: bool,
}

/// Half of the interval: 100 `interval_ml` / before / years. None where nothing was there before.
pub(super) fn rate(facts: &ComparisonFacts, change: &ChangeFacts) -> Option<Rate> {
    let [before, after] = in_time(facts, change);
    if before <= 0.0 {
        return None;
    }
    let years = facts.years.filter(|&years| years > 0.0);
    let part = |millilitres: f64| 100.0 * millilitres / before / years.unwrap_or(1.0);
    let (percent, interval) = (part(after - before), part(change.interval_ml));
    Some(Rate { percent, interval, yearly: years.is_some() })
}

fn one(facts: &ComparisonFacts, change: &ChangeFacts) -> Sentence {
    let [before, after] = in_time(facts, change);
    // In the order of time.
    let (names, words) = if facts.earlier {
        (["volume in the earlier scan", "volume in this scan"], [" then to ", " now"])
    } else {
        (["volume in this scan", "volume in the second scan"], [" to ", ""])
    };
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
        .millilitres(names[0], before, None)
        .say(words[0])
        .millilitres(names[1], after, None)
        .say(words[1]);
    let Some(Rate { percent, interval, yearly }) = rate(facts, change) else {
        return sentence.say(".");
    };
    let (names, unit) = if yearly {
        (["change a year", "half of the interval of the change a year"], " a year")
    } else {
        (["change in percent", "half of the interval in percent"], "")
    };
    sentence
        .say(", ")
        .percent(names[0], percent, None)
        .say(unit)
        .say(" (interval ")
        .percent(names[1], interval, None)
        .say(").")
}

/// Heads of the columns of a table of change, in the order of time.
pub(super) const fn scans(facts: &ComparisonFacts) -> [&'static str; 2] {
    if facts.earlier { ["Earlier", "This scan"] } else { ["This scan", "Second"] }
}

/// The span of a change, in words.
pub(super) const fn until(facts: &ComparisonFacts) -> &'static str {
    if facts.earlier { "since the earlier scan" } else { "until the second scan" }
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
            .say(" changed ")
            .say(until(facts))
            .say(" by more than repeated measurements scatter."),
    )
}
