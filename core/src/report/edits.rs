//! What the reader put in the place of sentences.
//!
//! An edit belongs to a section and to the words it replaces, so that it survives a
//! second run that says the same again, and never ends up on another sentence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Report;
use super::sentence::clean;

/// Longest sentence of a reader, in characters.
const LONGEST: usize = 2000;

/// The reader's sentences, by the key of the section and the program's sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edits(BTreeMap<(String, String), String>);

impl Edits {
    /// Puts `words` in the place of a sentence: in one line, without control characters.
    /// The program's own words, or nothing changed, take the edit back.
    pub fn set(&mut self, section: &str, generated: &str, words: &str) {
        let words: String = clean(words).chars().take(LONGEST).collect();
        if words == clean(generated) {
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

    /// Whether nothing was edited.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The report with the reader's sentences in it.
    pub fn apply(&self, report: &Report) -> Report {
        let mut report = report.clone();
        for section in &mut report.sections {
            for sentence in &mut section.sentences {
                sentence.edited = self.get(&section.key, &sentence.text).map(str::to_owned);
            }
        }
        report
    }

    /// How many edits stand in no sentence of the report.
    pub fn without_place(&self, report: &Report) -> usize {
        let placed = report
            .sections
            .iter()
            .flat_map(|section| section.sentences.iter().map(move |s| (&section.key, &s.text)))
            .filter(|(section, text)| self.get(section, text).is_some())
            .count();
        self.0.len().saturating_sub(placed)
    }
}
