//! The grammar's inverse: a sentence of tokens back into the claims it makes.
//!
//! `grammar.json` is the one list of wordings; training words facts with it, and here a
//! sentence that fits none of its templates has no claims and is never shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

const GRAMMAR: &str = include_str!("grammar.json");

/// What a sentence says, without numbers. Empty where a field does not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claim {
    /// Kind of finding, e.g. `pair`.
    pub kind: String,
    /// Structure or measure.
    pub name: String,
    /// `left` or `right`: of a pair the larger one.
    pub side: String,
    /// How much, e.g. `mild`.
    pub size: String,
    /// `bright` or `dark`.
    pub signal: String,
}

#[derive(Deserialize)]
struct File {
    words: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    templates: BTreeMap<String, Vec<String>>,
}

/// All wordings with their choices made.
#[derive(Clone, Debug)]
pub struct Grammar {
    words: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    wordings: Vec<(String, Vec<String>)>,
}

impl Grammar {
    /// Reads the grammar.
    ///
    /// # Errors
    /// As `serde_json`; none is expected of the file that is built in.
    pub fn read() -> Result<Self, serde_json::Error> {
        let file: File = serde_json::from_str(GRAMMAR)?;
        let mut wordings = Vec::new();
        for (keys, templates) in &file.templates {
            for key in keys.split_whitespace() {
                for template in templates {
                    let texts = expand(template);
                    wordings.extend(texts.into_iter().map(|text| {
                        (key.to_owned(), text.split_whitespace().map(str::to_owned).collect())
                    }));
                }
            }
        }
        Ok(Self { words: file.words, wordings })
    }

    /// The claims of a sentence; none where it fits no wording.
    pub fn claims(&self, tokens: &[&str]) -> Option<Vec<Claim>> {
        self.wordings.iter().find_map(|(key, wording)| self.fit(key, wording, tokens))
    }

    fn fit(&self, key: &str, wording: &[String], tokens: &[&str]) -> Option<Vec<Claim>> {
        let mut parts = key.split('/');
        let mut claim = Claim { kind: parts.next().unwrap_or_default().into(), ..Claim::default() };
        if let Some(size) = parts.next().filter(|part| !matches!(*part, "sided" | "single")) {
            claim.size = size.into();
        }
        let mut names: Vec<String> = Vec::new();
        let mut rest = tokens;
        for part in wording {
            let Some(slot) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
                rest = rest.strip_prefix(&[part.as_str()])?;
                continue;
            };
            if slot == "list" {
                (names, rest) = list(rest)?;
                continue;
            }
            let (&word, after) = rest.split_first()?;
            rest = after;
            match slot {
                "name" => names = vec![word.strip_prefix("n:")?.to_owned()],
                "side" => agree(&mut claim.side, side(word)?)?,
                "other" => agree(&mut claim.side, other(side(word)?))?,
                _ => {
                    let words = self.words.get(slot)?;
                    let (value, _) =
                        words.iter().find(|(_, words)| words.iter().any(|w| w == word))?;
                    let field = if slot == "signal" { &mut claim.signal } else { &mut claim.size };
                    agree(field, value)?;
                }
            }
        }
        if !rest.is_empty() {
            return None;
        }
        if names.is_empty() {
            return Some(vec![claim]);
        }
        Some(names.into_iter().map(|name| Claim { name, ..claim.clone() }).collect())
    }
}

/// Every choice of a template.
fn expand(template: &str) -> Vec<String> {
    let Some((before, rest)) = template.split_once('[') else { return vec![template.into()] };
    let Some((choices, after)) = rest.split_once(']') else { return Vec::new() };
    let tails = expand(after);
    choices
        .split('|')
        .flat_map(|choice| tails.iter().map(move |tail| format!("{before}{choice}{tail}")))
        .collect()
}

/// `n:a , n:b and n:c`, and what follows.
fn list<'a>(tokens: &'a [&'a str]) -> Option<(Vec<String>, &'a [&'a str])> {
    let mut names = Vec::new();
    let mut rest = tokens;
    loop {
        let (&word, after) = rest.split_first()?;
        names.push(word.strip_prefix("n:")?.to_owned());
        rest = after;
        match rest.first() {
            Some(&("," | "and")) if rest.get(1).is_some_and(|next| next.starts_with("n:")) => {
                rest = &rest[1..];
            }
            _ => return Some((names, rest)),
        }
    }
}

fn side(word: &str) -> Option<&str> {
    matches!(word, "left" | "right").then_some(word)
}

fn other(side: &str) -> &'static str {
    if side == "left" { "right" } else { "left" }
}

/// Sets a field, or fails where it says something else already.
fn agree(field: &mut String, value: &str) -> Option<()> {
    if field.is_empty() {
        *field = value.into();
    }
    (field == value).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Option<Vec<[String; 5]>> {
        let tokens: Vec<&str> = text.split('_').collect();
        let grammar = Grammar::read().ok()?;
        let claims = grammar.claims(&tokens)?;
        Some(claims.into_iter().map(|c| [c.kind, c.name, c.side, c.size, c.signal]).collect())
    }

    #[test]
    fn sentences_become_claims() {
        // Worded by training.report.grammar, spaces written as underscores.
        let cases: [(&str, &[[&str; 5]]); 6] = [
            (
                "The_left_n:cerebral cortex_is_mildly_smaller_than_the_right_,_by_<percent>_(_<left>_left_,_<right>_right_)_.",
                &[["pair", "cerebral cortex", "right", "mild", ""]],
            ),
            (
                "The_n:lateral ventricle_and_n:inferior lateral ventricle_each_differ_by_less_than_<limit>_between_the_sides_.",
                &[
                    ["pair", "lateral ventricle", "", "even", ""],
                    ["pair", "inferior lateral ventricle", "", "even", ""],
                ],
            ),
            (
                "A_punctate_hyperintense_place_was_marked_in_the_right_n:cerebellar white matter_.",
                &[["focus", "cerebellar white matter", "right", "punctate", "bright"]],
            ),
            ("The_n:brainstem_measures_<ml>_.", &[["single", "brainstem", "", "", ""]]),
            ("Image_quality_is_to_be_looked_at_.", &[["overall", "", "", "look", ""]]),
            (
                "No_right_n:amygdala_could_be_outlined_.",
                &[["missing", "amygdala", "right", "", ""]],
            ),
        ];
        for (text, expected) in cases {
            let expected: Vec<[String; 5]> =
                expected.iter().map(|claim| claim.map(str::to_owned)).collect();
            assert_eq!(claims(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_the_grammar_does_not_know_claims_nothing() {
        for text in [
            "",
            "The_n:brainstem_measures_<ml>",
            // Both sides the same.
            "The_left_n:putamen_is_markedly_larger_than_the_left_(_<left>_left_,_<right>_right_;_<percent>_)_.",
            "The_n:putamen_is_ill_.",
            // More than was measured: pairs that were not compared, measures that were not judged,
            // sides that are within the limit, a mark.
            "The_sides_differ_nowhere_by_<limit>_or_more_.",
            "No_structure_differs_between_the_sides_by_<limit>_or_more_.",
            "Image_quality_is_good_.",
            "The_n:putamen_is_symmetric_(_<left>_left_,_<right>_right_)_.",
            "The_sides_are_alike_in_the_n:putamen_and_n:caudate_.",
            "There_is_a_small_bright_focus_in_the_left_n:putamen_.",
            "The_n:ghosting_and_n:efc_are_good_.",
        ] {
            assert_eq!(claims(text), None, "{text}");
        }
    }
}
