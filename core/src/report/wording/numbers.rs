//! Numbers of a plain sentence that the decoder's words for it do not have.

use crate::measure::{StructureVolume, base_name};
use crate::report::{Report, Sentence, Source, Value};
use crate::volume::Side;

/// What a number is known by: its name, its digits, its unit, its structure. Limits are one
/// number wherever they are named.
pub(super) fn key(value: &Value) -> (&str, &str, &str, Option<u8>) {
    let name = if value.name.starts_with("limit") { "limit" } else { value.name.as_str() };
    (name, value.written.as_str(), value.unit.as_str(), value.structure)
}

/// Values of a plain sentence that neither the worded ones nor the method have.
pub(super) fn missing(plain: &Sentence, worded: &[Sentence], report: &Report) -> Vec<Value> {
    let method = report.section("method").into_iter().flat_map(|section| &section.sentences);
    let known: Vec<_> =
        worded.iter().chain(method).flat_map(|sentence| &sentence.values).map(key).collect();
    plain.values.iter().filter(|value| !known.contains(&key(value))).cloned().collect()
}

/// Adds values to the end of a sentence; `named` says whether it is about several things, so
/// that each value needs the name of its own.
pub(super) fn add(sentence: &mut Sentence, values: &[Value], named: bool, report: &Report) {
    if values.is_empty() {
        return;
    }
    let mut longer = std::mem::take(sentence);
    let end = longer.text.trim_end_matches('.').len();
    longer.text.truncate(end);
    let lead = if longer.text.contains(LEAD) { "; " } else { LEAD };
    longer = longer.say(lead);
    let mut last = None;
    for (at, value) in values.iter().enumerate() {
        let row = report.structures.iter().find(|row| Some(row.index) == value.structure);
        let name = row.map(|row| base_name(&row.display_name));
        longer = longer.say(if at == 0 { "" } else { ", " });
        if let Some(name) = name.filter(|name| named && last != Some(*name)) {
            longer = longer.say(name).say(" ");
        }
        last = name;
        longer = longer.say(&label(value, row)).say(" ");
        let decimals = value.written.split_once('.').map_or(0, |(_, digits)| digits.len());
        longer = longer.number(&value.name, value.value, (&value.unit, decimals), value.structure);
        if let Some(source) = &value.source {
            longer = longer.read_from(source.clone());
        }
    }
    *sentence = longer.say(".");
}

/// What stands before numbers that were added.
const LEAD: &str = "; in numbers: ";

fn label(value: &Value, row: Option<&StructureVolume>) -> String {
    match (value.name.as_str(), row.and_then(|row| row.side)) {
        ("volume", Some(Side::Left)) => "left".into(),
        ("volume", Some(Side::Right)) => "right".into(),
        ("asymmetry index", _) => "difference".into(),
        (name, _) if matches!(value.source, Some(Source::Measure(_))) => name.to_lowercase(),
        (name, _) => name.into(),
    }
}
