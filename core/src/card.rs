//! What the description of a pack means, in words that command and page share: the outputs of its
//! heads, how well they were measured, what it was trained on.

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

/// How well a head was measured that reads the feature `input`, as a sentence. Pretraining scores
/// linear probes on its features (`python -m training.probes`), and none of its heads.
pub fn measured(scores: &Value, head: &str, input: &str) -> String {
    let probe = &scores["pretraining"]["pretrained"][head.replace('_', " ")];
    let shares = (probe[format!("from {input} feature")].as_f64(), probe["chance"].as_f64());
    let (Some(right), Some(chance)) = shares else {
        return "How well this head does was not measured here.".into();
    };
    format!(
        "How well this head does was not measured here: a probe on the feature that it reads was \
         right in {:.0} % of scans of other subjects (the most frequent class alone: {:.0} %).",
        100.0 * right,
        100.0 * chance
    )
}

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
    fn only_what_was_measured_is_said() {
        let scores = json!({ "pretraining": { "pretrained": {
            "body part": { "chance": 0.585, "from structure feature": 0.88 },
        } } });
        let words = measured(&scores, "body_part", "structure");
        assert!(words.contains("right in 88 % of scans of other subjects"), "{words}");
        assert!(words.contains("not measured here"), "a probe is not the head: {words}");
        for (head, input) in [("body_part", "fused"), ("sequence_parameters", "sequence")] {
            assert!(!measured(&scores, head, input).contains('%'));
        }
        assert!(!measured(&Value::Null, "body_part", "structure").contains('%'));
    }

    #[test]
    fn data_without_a_name_are_left_out() {
        let provenance = json!({ "data": [{ "name": "OASIS", "licence": "CC BY 4.0" }, {}] });
        assert_eq!(trained_on(&provenance), ["OASIS"]);
        assert!(trained_on(&Value::Null).is_empty());
    }
}
