//! The report decoder: facts worded by a small transformer, every sentence checked.
//!
//! The network ([`network`]) is told the facts of a section, sees the encoder's maps inside each
//! structure where its pack reads them ([`StructureMaps`]), and writes sentences of words
//! and placeholders; it never writes a number. Each sentence is parsed back into claims
//! by the grammar's inverse ([`claims`]). A sentence that fits no wording, claims what no
//! measurement supports or asks for a number that was not measured is not shown, and is
//! counted. What the decoder left out is said by the plain sentence, and numbers of a plain
//! sentence that its words do not have are added to them (`numbers`), so that nothing
//! measured is lost. Numbers keep their sources: they can be clicked like the plain ones.
//!
//! Section by section the facts are few, and a wrong word spoils one sentence only. The
//! architecture follows PRISM's report head (a language model fed with what was seen) at
//! a size that writes in a browser without a device.

pub mod claims;
mod facts;
mod maps;
mod network;
mod numbers;
mod weights;

use serde::{Deserialize, Serialize};

use super::{PackFacts, Report, Section, Sentence};
use crate::measure::Measure;
pub use claims::{Claim, Grammar};
use facts::Fact;
pub use maps::{MapsInfo, StructureMaps};
use network::{Writing, add, place};
use weights::Weights;
pub use weights::{LARGEST, WordingError, WordingInfo};

/// Words that every vocabulary begins with.
const PADDING: usize = 0;
const BEGIN: usize = 1;
const END: usize = 2;

/// The decoder with its weights.
#[derive(Clone, Debug)]
pub struct Wording {
    /// What the pack says of itself.
    pub info: WordingInfo,
    weights: Weights,
    grammar: Grammar,
}

/// What became of the decoder's sentences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordingCount {
    /// Facts that were measured.
    pub facts: usize,
    /// Facts that a sentence of the decoder says.
    pub said: usize,
    /// Sentences of the decoder that are shown.
    pub shown: usize,
    /// Sentences that fit no wording.
    pub unread: usize,
    /// Sentences with a claim or a number that no measurement supports, or said before.
    pub unsupported: usize,
}

impl Wording {
    /// Reads the decoder's pack.
    ///
    /// # Errors
    /// [`WordingError`].
    pub fn read(bytes: &[u8]) -> Result<Self, WordingError> {
        let (info, weights) = weights::read(bytes)?;
        let grammar =
            Grammar::read().map_err(|error| WordingError::Description(error.to_string()))?;
        Ok(Self { info, weights, grammar })
    }

    /// Sentences of tokens about the facts of a section; claims that the vocabulary does
    /// not know are left out, and so are maps that the pack does not read.
    pub fn write(
        &self,
        section: &str,
        facts: &[Claim],
        maps: Option<&StructureMaps>,
    ) -> Vec<Vec<&str>> {
        let mut sentences = Vec::new();
        let mut sentence = Vec::new();
        let Some(memory) = self.memory(section, facts, maps) else { return sentences };
        let mut writing = Writing::new(&self.weights, &memory);
        let mut token = BEGIN;
        for _ in 0..self.info.longest {
            token = likeliest(&writing.next(token));
            if token == END {
                break;
            }
            let word = self.info.vocabulary.get(token).map_or("", String::as_str);
            sentence.push(word);
            if word == "." {
                sentences.push(std::mem::take(&mut sentence));
            }
        }
        if !sentence.is_empty() {
            sentences.push(sentence);
        }
        sentences
    }

    /// What a report measured, as the decoder is told it: sections and their claims.
    pub fn told(report: &Report) -> Vec<(String, Vec<Claim>)> {
        report
            .sections
            .iter()
            .filter_map(|section| facts::facts(report, section))
            .map(|(name, facts)| (name, facts.into_iter().map(|fact| fact.claim).collect()))
            .collect()
    }

    /// Claims of a sentence of tokens; none where it fits no wording.
    pub fn claims(&self, tokens: &[&str]) -> Option<Vec<Claim>> {
        self.grammar.claims(tokens)
    }

    /// Logits of the word after each of `tokens`, about the facts of a section and the maps.
    pub fn logits(
        &self,
        section: &str,
        facts: &[Claim],
        maps: Option<&StructureMaps>,
        tokens: &[usize],
    ) -> Vec<Vec<f32>> {
        let Some(memory) = self.memory(section, facts, maps) else { return Vec::new() };
        let mut writing = Writing::new(&self.weights, &memory);
        tokens
            .iter()
            .filter(|&&token| token < self.info.vocabulary.len())
            .map(|&token| writing.next(token))
            .collect()
    }

    /// The section's embedding, then one row a fact, then one a structure of the maps.
    fn memory(
        &self,
        section: &str,
        facts: &[Claim],
        maps: Option<&StructureMaps>,
    ) -> Option<Vec<Vec<f32>>> {
        let (info, weights) = (&self.info, &self.weights);
        let at = |table: &[String], word: &str| table.iter().position(|entry| entry == word);
        let mut memory = vec![weights.section.row(at(&info.sections, section)?).to_vec()];
        for claim in facts {
            let name = if claim.name.is_empty() {
                Some(PADDING)
            } else {
                at(&info.vocabulary, &format!("n:{}", claim.name))
            };
            let fields = [
                at(&info.kinds, &claim.kind).map(|row| weights.kind.row(row)),
                at(&info.sides, &claim.side).map(|row| weights.side.row(row)),
                at(&info.sizes, &claim.size).map(|row| weights.size.row(row)),
                at(&info.signals, &claim.signal).map(|row| weights.signal.row(row)),
                name.map(|row| weights.token.row(row)),
            ];
            if memory.len() > info.facts || fields.iter().any(Option::is_none) {
                continue;
            }
            let mut row = place(memory.len() - 1, info.width);
            fields.into_iter().flatten().for_each(|field| add(&mut row, field));
            memory.push(row);
        }
        // What structures look like is no measure of quality, and no training scan had one.
        let maps = maps.filter(|_| section != facts::QUALITY);
        if let (Some(info), Some(reader), Some(maps)) = (&info.maps, &weights.maps, maps) {
            memory.extend(reader.tokens(info, maps));
        }
        Some(memory)
    }

    /// The report with the decoder's sentences in the place of those that say the same.
    pub fn word(&self, report: &Report) -> (Report, WordingCount) {
        let mut worded = report.clone();
        let mut count = WordingCount::default();
        for section in &mut worded.sections {
            if let Some((name, facts)) = facts::facts(report, section) {
                section.sentences = self.section(report, section, &name, &facts, &mut count);
                if report.unit_assumed {
                    section.sentences.iter_mut().for_each(Sentence::assume_unit);
                }
            }
        }
        if count.shown > 0 {
            self.sign(&mut worded);
        }
        (worded, count)
    }

    /// Says in the report what worded it.
    fn sign(&self, report: &mut Report) {
        let info = &self.info;
        if let Some(method) = report.sections.iter_mut().find(|section| section.key == "method") {
            let sentence = Sentence::new()
                .leads_to(super::Source::Run)
                .say("Findings and impression were worded by a small neural network, the pack ");
            let sentence =
                super::closing::weights(sentence, &info.title, &info.version, &info.sha256).say(
                    "; each of its sentences was checked against the measurements, which give the \
                     numbers.",
                );
            // The last sentence is that it is no medical device.
            method.sentences.insert(method.sentences.len().saturating_sub(1), sentence);
        }
        report.worded_by = Some(PackFacts {
            name: info.title.clone(),
            title: info.title.clone(),
            version: info.version.clone(),
            sha256: info.sha256.clone(),
            ..PackFacts::default()
        });
    }

    /// Checked sentences, then plain ones for what they do not say.
    fn section(
        &self,
        report: &Report,
        section: &Section,
        name: &str,
        facts: &[Fact<'_>],
        count: &mut WordingCount,
    ) -> Vec<Sentence> {
        let claims: Vec<Claim> = facts.iter().map(|fact| fact.claim.clone()).collect();
        // The sentence that says each fact.
        let mut said: Vec<Option<usize>> = vec![None; facts.len()];
        let mut sentences: Vec<Sentence> = Vec::new();
        let mut facts_of: Vec<usize> = Vec::new();
        let helps = self.info.maps.as_ref().is_some_and(|maps| maps.helps);
        for tokens in self.write(name, &claims, report.maps.as_ref().filter(|_| helps)) {
            let Some(claims) = self.claims(&tokens) else {
                count.unread += 1;
                continue;
            };
            let sentence = places(&claims, facts, &said).and_then(|places| {
                let about = facts.get(*places.first()?)?;
                let mut sentence = render(&tokens, about, &report.quality.measures)?;
                if places.len() > 1 {
                    (sentence.structure, sentence.measure) = (None, None);
                    sentence.source = Some(about.place());
                }
                Some((places, sentence))
            });
            let Some((places, sentence)) = sentence else {
                count.unsupported += 1;
                continue;
            };
            places.iter().for_each(|&place| said[place] = Some(sentences.len()));
            sentences.push(sentence);
            facts_of.push(places.len());
            count.shown += 1;
        }
        count.facts += facts.len();
        count.said += said.iter().flatten().count();
        let mut plain: Vec<Sentence> = Vec::new();
        for (index, sentence) in section.sentences.iter().enumerate() {
            let here = facts.iter().zip(&said).filter(|(fact, _)| fact.plain == Some(index));
            let saying: Option<Vec<usize>> = here.map(|(_, said)| *said).collect();
            // Said in full by the decoder, or no fact's sentence at all.
            match saying.and_then(|saying| saying.into_iter().max()) {
                None => plain.push(sentence.clone()),
                Some(last) => {
                    let missing = numbers::missing(sentence, &sentences, report);
                    numbers::add(&mut sentences[last], &missing, facts_of[last] > 1, report);
                }
            }
        }
        sentences.extend(plain);
        sentences
    }
}

/// The facts that claims make, each of which nothing has said yet; none where one is no fact
/// or comes twice.
fn places(claims: &[Claim], facts: &[Fact<'_>], said: &[Option<usize>]) -> Option<Vec<usize>> {
    let mut places = Vec::with_capacity(claims.len());
    for claim in claims {
        let place = facts.iter().position(|fact| fact.claim == *claim)?;
        if said[place].is_some() || places.contains(&place) {
            return None;
        }
        places.push(place);
    }
    Some(places)
}

fn likeliest(logits: &[f32]) -> usize {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(END, |(token, _)| token)
}

/// Tokens as a sentence, with the numbers of a fact; none where it has not all of them.
fn render(tokens: &[&str], about: &Fact<'_>, measures: &[Measure]) -> Option<Sentence> {
    let mut sentence = about.sentence();
    let mut open = true;
    for token in tokens {
        if !open && !matches!(*token, "." | "," | ";" | ":" | ")") {
            sentence = sentence.say(" ");
        }
        open = *token == "(";
        sentence = if let Some(name) = token.strip_prefix("n:") {
            let measure = measures.iter().find(|measure| measure.key == name);
            sentence.say(&measure.map_or(name.to_owned(), |measure| measure.name.to_lowercase()))
        } else if token.starts_with('<') {
            about.fill(sentence, token)?
        } else {
            sentence.say(token)
        };
    }
    Some(sentence)
}

#[cfg(test)]
mod tests;
