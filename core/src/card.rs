//! What the description of a pack means, in words that command and page share: the outputs of its
//! heads, how well they were measured, what it was trained on.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A value of a regression head as people read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Of what.
    pub name: String,
    /// The value.
    pub value: f64,
    /// Its unit; empty where the head names none.
    pub unit: String,
}

/// Reads a value by the name of its output: `flip angle / degrees` is a quantity with its unit
/// (ISO 80000-1, 7.1.4), `ln TR / ms` the natural logarithm of one, which is undone.
pub fn reading(output: &str, value: f64) -> Reading {
    let (quantity, unit) = output.split_once(" / ").unwrap_or((output, ""));
    let (name, value) = match quantity.strip_prefix("ln ") {
        Some(name) => (name, value.exp()),
        None => (quantity, value),
    };
    Reading { name: name.trim().into(), value, unit: unit.trim().into() }
}

/// Whether a head's answers may be told as findings, and what is known of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Whether they may: real scans were scored, and the answers were better than a guess.
    pub told: bool,
    /// How well the head does, as a sentence; where its answers may not be told, why, in a few
    /// words.
    pub words: String,
}

/// How well a head did on real scans, by the pack's scores: `heads` holds by the head's name
/// `scans`, the number of real scans it did not learn from, with `accuracy` and `chance` (the share
/// of the most frequent class) of a classification, or the mean absolute `error` and the
/// `error_of_mean`, that of always giving the mean, of a regression. Probes on the features that a
/// head reads (`python -m training.probes`) are no scores of it.
pub fn measured(scores: &Value, head: &str) -> Measured {
    let known = &scores["heads"][head];
    let number = |name: &str| known[name].as_f64().filter(|value| value.is_finite());
    let untold = |words: &str| Measured { told: false, words: words.into() };
    let Some(scans) = known["scans"].as_u64().filter(|&scans| scans > 0) else {
        return untold(NEVER_SCORED);
    };
    let shares = number("accuracy").zip(number("chance"));
    match (shares, number("error").zip(number("error_of_mean"))) {
        (Some((right, chance)), _) if right > chance => Measured {
            told: true,
            words: format!(
                "Right in {:.0} % of {scans} real scans that it did not learn from (the most \
                 frequent class alone: {:.0} %).",
                100.0 * right,
                100.0 * chance
            ),
        },
        (None, Some((error, of_mean))) if error < of_mean => Measured {
            told: true,
            words: format!(
                "Mean error {error:.2} in {scans} real scans that it did not learn from (their \
                 mean alone: {of_mean:.2})."
            ),
        },
        (None, None) => untold(NEVER_SCORED),
        _ => untold("no better than a guess on real scans"),
    }
}

/// Why a head's answers are not told that was not scored.
const NEVER_SCORED: &str = "never scored on real scans";

/// Names of the data that a pack was trained on, from its provenance.
pub fn trained_on(provenance: &Value) -> Vec<String> {
    let data = provenance.get("data").and_then(Value::as_array).into_iter().flatten();
    data.filter_map(|entry| entry.get("name")?.as_str()).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn logarithms_are_undone_and_units_taken_off() {
        let read = |output: &str, value| {
            let Reading { name, value, unit } = reading(output, value);
            (name, value.round() as i64, unit)
        };
        // math.exp(6.2) = 492.749
        for (output, value, name, expected, unit) in [
            ("ln TR / ms", 6.2, "TR", 493, "ms"),
            ("flip angle / degrees", 70.2, "flip angle", 70, "degrees"),
            ("age_years", 41.0, "age_years", 41, ""),
        ] {
            assert_eq!(read(output, value), (name.to_owned(), expected, unit.to_owned()));
        }
    }

    #[test]
    fn heads_that_real_scans_did_not_bear_out_are_not_told() {
        let scores = json!({
            "pretraining": { "pretrained": {
                "body part": { "chance": 0.585, "from structure feature": 0.88 },
            } },
            "heads": {
                "plane": { "scans": 40, "accuracy": 0.9, "chance": 0.5 },
                "sex": { "scans": 40, "accuracy": 0.6, "chance": 0.6 },
                "age": { "scans": 48, "error": 5.25, "error_of_mean": 7.5 },
                "height": { "scans": 48, "error": 7.5, "error_of_mean": 7.5 },
                "weight": { "scans": 0, "error": 1.0, "error_of_mean": 7.5 },
                "contrast": { "scans": 9 },
            },
        });
        for (head, words) in [
            ("plane", "Right in 90 % of 40 real scans"),
            ("age", "Mean error 5.25 in 48 real scans"),
        ] {
            let found = measured(&scores, head);
            assert!(found.told && found.words.starts_with(words), "{head}: {found:?}");
        }
        for (head, why) in [
            // A probe of its features is not the head.
            ("body_part", "never scored on real scans"),
            ("sex", "no better than a guess on real scans"),
            ("height", "no better than a guess on real scans"),
            ("weight", "never scored on real scans"),
            ("contrast", "never scored on real scans"),
        ] {
            let found = measured(&scores, head);
            assert_eq!((found.told, found.words.as_str()), (false, why), "{head}");
        }
        assert!(!measured(&Value::Null, "age").told);
    }

    #[test]
    fn data_without_a_name_are_left_out() {
        let provenance = json!({ "data": [{ "name": "OASIS", "licence": "CC BY 4.0" }, {}] });
        assert_eq!(trained_on(&provenance), ["OASIS"]);
        assert!(trained_on(&Value::Null).is_empty());
    }
}
