//! What the reader put in the place of sentences.
//!
//! An edit belongs to a section and to the words it replaces, so that it survives a
//! second run that says the same again, and never ends up on another sentence. What the
//! reader adds stands at the end of its section. Words whose sentence the report does not
//! have any more stand in a section of their own at its end. The line that the program is no
//! medical device cannot be changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sentence::{Sentence, clean};
use super::{NOT_A_DEVICE, Report, Section};

/// Longest sentence of a reader, in characters.
const LONGEST: usize = 2000;

/// What an added sentence is kept under begins with it: no sentence of the program does.
const ADDED: char = '\u{1}';

/// Key of the section of words whose sentence the report does not have any more.
const DISPLACED: &str = "displaced";

/// The reader's sentences, by the key of the section and the program's sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edits(BTreeMap<(String, String), String>);

impl Edits {
    /// Puts `words` in the place of a sentence: in one line, without control characters.
    /// The program's own words, or nothing changed, take the edit back; a sentence that
    /// [is fixed](Self::is_fixed) stays.
    pub fn set(&mut self, section: &str, generated: &str, words: &str) {
        if Self::is_fixed(generated) {
            return;
        }
        let words: String = clean(words).chars().take(LONGEST).collect();
        // An added sentence without words is none.
        let own = if Self::is_added(generated) { String::new() } else { clean(generated) };
        if words == own {
            self.reset(section, generated);
        } else {
            self.0.insert((section.into(), generated.into()), words);
        }
    }

    /// Gives a sentence back its own words.
    pub fn reset(&mut self, section: &str, generated: &str) {
        self.0.remove(&(section.into(), generated.into()));
    }

    /// The reader's words for a sentence.
    pub fn get(&self, section: &str, generated: &str) -> Option<&str> {
        self.0.get(&(section.into(), generated.into())).map(String::as_str)
    }

    /// Whether a sentence of the program cannot be changed: no report goes without it.
    pub fn is_fixed(generated: &str) -> bool {
        generated == NOT_A_DEVICE
    }

    /// What a further sentence of a section is kept under, for [`Self::set`].
    pub fn next(&self, section: &str) -> String {
        let last = self.added(section).last().and_then(|(key, _)| {
            let digits = key.strip_prefix(ADDED)?;
            digits.parse::<u32>().ok()
        });
        format!("{ADDED}{:06}", last.map_or(0, |last| last.saturating_add(1)))
    }

    /// Whether a sentence is kept under a key of [`Self::next`].
    pub fn is_added(generated: &str) -> bool {
        generated.starts_with(ADDED)
    }

    /// The sentences that the reader added to a section, with their keys, in order.
    pub fn added<'a>(&'a self, section: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .filter(move |((of, key), _)| of == section && Self::is_added(key))
            .map(|((_, key), words)| (key.as_str(), words.as_str()))
    }

    /// Whether nothing was edited.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The report with the reader's sentences in it.
    pub fn apply(&self, report: &Report) -> Report {
        let displaced = self.displaced_section(report);
        let mut report = report.clone();
        for section in &mut report.sections {
            for sentence in &mut section.sentences {
                sentence.edited = self.get(&section.key, &sentence.text).map(str::to_owned);
            }
            let added = self.added(&section.key).map(|(_, words)| Sentence {
                edited: Some(words.to_owned()),
                ..Sentence::default()
            });
            section.sentences.extend(added);
        }
        report.sections.extend(displaced);
        report
    }

    /// Edits whose sentence the report does not have: section, the program's sentence or the
    /// key of an added one, and the reader's words, empty where the sentence was taken out.
    pub fn displaced<'a>(
        &'a self,
        report: &'a Report,
    ) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
        self.0
            .iter()
            .map(|((section, generated), words)| (&**section, &**generated, &**words))
            .filter(move |(section, generated, _)| !Self::has_place(report, section, generated))
    }

    /// How many edits stand in no sentence of the report.
    pub fn without_place(&self, report: &Report) -> usize {
        self.displaced(report).count()
    }

    /// Whether the report has the sentence, or for an added one its section.
    pub fn has_place(report: &Report, section: &str, generated: &str) -> bool {
        report.section(section).is_some_and(|section| {
            Self::is_added(generated) || section.sentences.iter().any(|s| s.text == generated)
        })
    }

    /// The words of [`Self::displaced`] as a section; none where there are none. A sentence
    /// that was taken out and is written anew has no words to show.
    pub fn displaced_section(&self, report: &Report) -> Option<Section> {
        let words = self.displaced(report).filter(|(.., words)| !words.is_empty());
        let words = words.map(|(_, generated, words)| Sentence {
            text: if Self::is_added(generated) { String::new() } else { generated.to_owned() },
            edited: Some(words.to_owned()),
            ..Sentence::default()
        });
        let mut sentences: Vec<Sentence> = words.collect();
        if sentences.is_empty() {
            return None;
        }
        let why = "The report no longer has the sentences that these words belong to: what was \
                   measured, or the wording, is another.";
        sentences.insert(0, Sentence::plain(why));
        Some(Section {
            key: DISPLACED.into(),
            title: "Reader's sentences without a place".into(),
            sentences,
        })
    }
}
