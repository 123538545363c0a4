//! What a lesion pack is known to get wrong, in sentences: from the scores in its own
//! description (`training.lesions.evaluate --describe` and `training.lesions.calibrate`).

use prism_core::lesions::FalseAlarms;
use serde_json::Value;

use crate::text;

/// What is to be known before anything that the pack calls is believed.
pub fn caution(scores: &Value) -> String {
    match FalseAlarms::of(scores).map(false_alarms) {
        Some(words) => format!("{words} What it marks is a place to look at, not a finding."),
        None => "How much this model marks in healthy heads was not measured: what it marks is a \
                 place to look at, not a finding."
            .into(),
    }
}

fn false_alarms(known: FalseAlarms) -> String {
    let FalseAlarms { studies, marked, median_ml, largest_ml } = known;
    if marked == 0 {
        return format!("In {studies} studies of healthy heads this model marked nothing.");
    }
    format!(
        "In {marked} of {studies} studies of healthy heads this model marked lesions that are not there: \
         {} mL in the median study, {} mL in the worst.",
        text::millilitres(median_ml),
        text::millilitres(largest_ml),
    )
}

/// How well its outlines and its probability held where the truth is known.
pub fn accuracy(scores: &Value) -> Vec<String> {
    let real = &scores["real"];
    [outlines(&real["dice"]), probability(real), synthetic(&scores["study"])]
        .into_iter()
        .flatten()
        .collect()
}

fn outlines(dice: &Value) -> Option<String> {
    let values: Vec<f64> = dice.as_object()?.values().filter_map(Value::as_f64).collect();
    let least = values.iter().copied().reduce(f64::min)?;
    let most = values.iter().copied().reduce(f64::max)?;
    Some(format!(
        "On {} of patients with multiple sclerosis its outlines agree with drawn ones to a Dice of \
         {} to {}.",
        text::counted(values.len(), "study", "studies"),
        text::fixed(least, 2),
        text::fixed(most, 2),
    ))
}

fn probability(real: &Value) -> Option<String> {
    let count = |who: &str, what: &str| real[who][what].as_u64();
    Some(format!(
        "It gave a probability above one half to {} of {} studies of {} patients, and to {} of {} \
         of healthy heads.",
        count("patients", "said_likely")?,
        count("patients", "studies")?,
        count("patients", "people")?,
        count("healthy", "said_likely")?,
        count("healthy", "studies")?,
    ))
}

fn synthetic(study: &Value) -> Option<String> {
    let percent = |name: &str| Some(text::fixed(100.0 * study[name].as_f64()?, 0));
    Some(format!(
        "The probability was fitted on synthetic studies: above one half were {}% of those with a \
         lesion, at most one half {}% of those without.",
        percent("synthetic_sensitivity")?,
        percent("synthetic_specificity")?,
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn false_alarms_are_said_with_their_counts() {
        let scores = json!({ "real": { "healthy": {
            "studies": 20, "without_a_call": 3, "median_ml": 1.5, "largest_ml": 33.26,
        } } });
        let words = caution(&scores);
        assert!(words.starts_with("In 17 of 20 studies of healthy heads"), "{words}");
        assert!(words.contains("1.50 mL in the median study, 33.3 mL in the worst"), "{words}");
        assert!(caution(&json!({})).contains("was not measured"));
    }

    #[test]
    fn accuracy_says_only_what_was_measured() {
        assert!(accuracy(&json!({ "shift": 1.25 })).is_empty());
        let scores = json!({
            "study": { "synthetic_sensitivity": 0.917, "synthetic_specificity": 0.333 },
            "real": { "dice": { "patient07 FLAIR": 0.31, "patient19 T1": 0.05 } },
        });
        let words = accuracy(&scores);
        assert_eq!(words.len(), 2);
        assert!(words[0].contains("On 2 studies") && words[0].contains("0.05 to 0.31"));
        assert!(words[1].contains("92%") && words[1].contains("33%"), "{}", words[1]);
    }
}
