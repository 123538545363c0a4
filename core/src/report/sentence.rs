//! A sentence that carries its numbers.

use serde::{Deserialize, Serialize};

/// How a sentence is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SentenceKind {
    /// A statement.
    #[default]
    Plain,
    /// A measurement beyond a limit that the report states.
    Attention,
    /// Passed on from reading the scan or from the run, in its own words.
    Warning,
}

/// What a sentence or a number was read from: where a click on it leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A structure, by its index.
    Structure(u8),
    /// A measure of image quality, by its key.
    Measure(String),
    /// A sum over structures, by its key in [`Report::sums`](super::Report::sums).
    Sum(String),
    /// The structures, all of them.
    Structures,
    /// The measures of image quality, all of them.
    Quality,
    /// The file and what the image shows.
    Scan,
    /// A lesion, by its number.
    Lesion(usize),
    /// The lesions, all of them.
    Lesions,
    /// A number of the heart's function, by the key of its row.
    Function(String),
    /// The change of a structure until the second scan, by its index.
    Change(u8),
    /// The second scan.
    Comparison,
    /// Device, weights and times of the run.
    Run,
}

impl Source {
    /// The id of its place in the HTML page, where the report has it.
    pub fn anchor(&self) -> String {
        match self {
            Self::Structure(index) => format!("structure-{index}"),
            Self::Measure(key) => format!("measure-{key}"),
            Self::Sum(key) => format!("total-{key}"),
            Self::Structures => "structures".into(),
            Self::Quality => "quality".into(),
            Self::Scan => "technique".into(),
            Self::Lesion(number) => format!("lesion-{number}"),
            Self::Lesions => "lesions".into(),
            Self::Function(key) => format!("function-{key}"),
            Self::Change(index) => format!("change-{index}"),
            Self::Comparison => "comparison".into(),
            Self::Run => "method".into(),
        }
    }
}

/// A number of a sentence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// What was measured, e.g. `volume`.
    pub name: String,
    /// The measurement, not rounded. Always finite.
    pub value: f64,
    /// Its unit; empty for counts and ratios.
    pub unit: String,
    /// The digits in the sentence, rounded and without sign or unit.
    pub written: String,
    /// Where `written` begins in the sentence, in bytes (UTF-8).
    pub start: usize,
    /// Index of the structure it belongs to.
    pub structure: Option<u8>,
    /// What else it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// One sentence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sentence {
    /// The sentence. Free text from files stands in “quotation marks”.
    pub text: String,
    /// How it is to be read.
    pub kind: SentenceKind,
    /// Index of the structure it is about, where it is about one.
    pub structure: Option<u8>,
    /// Key of the quality measure it is about.
    pub measure: Option<String>,
    /// What else it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Its numbers, in the order of the text.
    pub values: Vec<Value>,
    /// What the reader put in its place; empty where the reader took it out. Numbers and
    /// sources belong to `text`, which stays as it was written and is empty where the reader
    /// added the sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<String>,
}

/// Longest piece of free text that a sentence quotes, in characters.
const LONGEST_QUOTE: usize = 200;

/// The mark of a sentence that is no longer the program's.
pub const EDITED: &str = "[edited]";

/// What stands for a sentence that the reader took out.
pub const TAKEN_OUT: &str = "(sentence taken out)";

impl Sentence {
    /// What is to be read: the reader's words where there are any.
    pub fn shown(&self) -> &str {
        match self.edited.as_deref() {
            Some("") => TAKEN_OUT,
            Some(words) => words,
            None => &self.text,
        }
    }

    /// As [`Self::shown`], with a mark where the words are the reader's: for formats that
    /// know no other way to tell them apart.
    pub fn marked(&self) -> String {
        if self.edited.is_some() { format!("{EDITED} {}", self.shown()) } else { self.text.clone() }
    }

    /// Where a click on it leads.
    pub fn origin(&self) -> Option<Source> {
        let of_value = |value: &Value| value.structure.map(Source::Structure);
        self.source
            .clone()
            .or_else(|| self.structure.map(Source::Structure))
            .or_else(|| self.measure.clone().map(Source::Measure))
            .or_else(|| self.values.iter().find_map(of_value))
            .or_else(|| self.values.iter().find_map(|value| value.source.clone()))
    }

    /// Where a click on one of its numbers leads.
    pub fn origin_of(&self, value: &Value) -> Option<Source> {
        value
            .source
            .clone()
            .or_else(|| value.structure.map(Source::Structure))
            .or_else(|| self.origin())
    }

    /// An empty sentence.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A sentence without numbers.
    pub(super) fn plain(text: &str) -> Self {
        Self::new().say(text)
    }

    /// A warning in the words of whoever gave it, without the name of a file.
    pub(super) fn warning(text: &str) -> Self {
        let mut sentence = Self::plain(&clean(without_file_name(text)));
        sentence.kind = SentenceKind::Warning;
        sentence
    }

    /// The sentence is about a structure.
    pub(super) fn about(mut self, structure: u8) -> Self {
        self.structure = Some(structure);
        self
    }

    /// The sentence is about a quality measure.
    pub(super) fn about_measure(mut self, key: &str) -> Self {
        self.measure = Some(key.into());
        self
    }

    /// The sentence is about something else.
    pub(super) fn leads_to(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// The last number was read from something else than the sentence.
    pub(super) fn read_from(mut self, source: Source) -> Self {
        if let Some(value) = self.values.last_mut() {
            value.source = Some(source);
        }
        self
    }

    /// The sentence calls for attention.
    pub(super) fn attention(mut self) -> Self {
        self.kind = SentenceKind::Attention;
        self
    }

    /// Adds words.
    pub(super) fn say(mut self, words: &str) -> Self {
        self.text.push_str(words);
        self
    }

    /// Adds free text from a file in quotation marks: without control characters, and
    /// cut where it is long.
    pub(super) fn quote(mut self, words: &str) -> Self {
        let words = clean(words).replace(['“', '”'], "\"");
        self.text.push('“');
        self.text.extend(words.chars().take(LONGEST_QUOTE));
        if words.chars().count() > LONGEST_QUOTE {
            self.text.push('…');
        }
        self.text.push('”');
        self
    }

    /// Adds a number with its unit. The sign is not written: words say which side is
    /// larger.
    pub(super) fn number(
        self,
        name: &str,
        value: f64,
        (unit, decimals): (&str, usize),
        structure: Option<u8>,
    ) -> Self {
        if !value.is_finite() {
            return self.say("an unknown number of ").say(unit);
        }
        let mut sentence = self;
        let written = format!("{:.decimals$}", value.abs());
        let start = sentence.text.len();
        sentence.text.push_str(&written);
        match unit {
            "" => {}
            "%" => sentence.text.push('%'),
            _ => {
                sentence.text.push(' ');
                sentence.text.push_str(unit);
            }
        }
        sentence.values.push(Value {
            name: name.into(),
            value,
            unit: unit.into(),
            written,
            start,
            structure,
            source: None,
        });
        sentence
    }

    /// Adds a count.
    pub(super) fn count(self, name: &str, count: usize) -> Self {
        self.number(name, count as f64, ("", 0), None)
    }

    /// Adds a volume: two decimals below 10 mL, one below 1000 mL, else none.
    pub(super) fn millilitres(self, name: &str, value: f64, structure: Option<u8>) -> Self {
        let decimals = match value {
            _ if value < 10.0 => 2,
            _ if value < 1000.0 => 1,
            _ => 0,
        };
        self.number(name, value, ("mL", decimals), structure)
    }

    /// Adds a share or difference in percent, with one decimal.
    pub(super) fn percent(self, name: &str, value: f64, structure: Option<u8>) -> Self {
        self.number(name, value, ("%", 1), structure)
    }
}

/// A warning without the file name that errors of `formats` end with: names of files
/// often hold names of patients, and reports and manifests are passed on.
pub(super) fn without_file_name(text: &str) -> &str {
    text.split_once("File:").map_or(text, |(before, _)| before).trim_end()
}

/// Text without control characters, with single spaces.
pub(super) fn clean(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `one` for 1, else `many`.
pub(super) const fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list<S: AsRef<str>>(items: &[S]) -> String {
    let mut text = String::new();
    for (at, item) in items.iter().enumerate() {
        text.push_str(separator(at, items.len()));
        text.push_str(item.as_ref());
    }
    text
}

/// What stands before item `at` of `count` in a list.
pub(super) const fn separator(at: usize, count: usize) -> &'static str {
    match at {
        0 => "",
        _ if at + 1 == count => " and ",
        _ => ", ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_know_their_place() {
        let sentence = Sentence::new()
            .quote("3D\tT1 “x”\u{0}")
            .say(" measures ")
            .millilitres("volume", 3.456, Some(17))
            .say(", ")
            .percent("difference", -12.34, None)
            .say(".");
        assert_eq!(sentence.text, "“3D T1 \"x\"” measures 3.46 mL, 12.3%.");
        for value in &sentence.values {
            assert!(sentence.text[value.start..].starts_with(&value.written));
        }
        assert_eq!(sentence.values[0].structure, Some(17));
        assert_eq!(sentence.values[1].value, -12.34);
    }

    #[test]
    fn long_free_text_is_cut() {
        let sentence = Sentence::new().quote(&"ä".repeat(1000));
        assert_eq!(sentence.text.chars().count(), LONGEST_QUOTE + 3);
    }

    #[test]
    fn warnings_name_no_file() {
        let sentence = Sentence::warning("Left out: the header is damaged. File: DOE^JANE.nii");
        assert_eq!(sentence.text, "Left out: the header is damaged.");
        assert_eq!(sentence.kind, SentenceKind::Warning);
    }

    #[test]
    fn lists_read_as_prose() {
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list::<&str>(&[]), "");
    }
}
