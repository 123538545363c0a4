//! What a lesion pack is known to mark where nothing is, from the scores in its own
//! description (`training.lesions.evaluate --describe`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a pack marked in heads without a known lesion.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FalseAlarms {
    /// Studies that were looked at.
    pub studies: u64,
    /// Those in which something was marked.
    pub marked: u64,
    /// Marked in the median study, in millilitres.
    pub median_ml: f64,
    /// Marked in the worst study, in millilitres.
    pub largest_ml: f64,
}

impl FalseAlarms {
    /// Those of a pack's scores; `None` where they were not measured.
    pub fn of(scores: &Value) -> Option<Self> {
        let healthy = &scores["real"]["healthy"];
        let studies = healthy["studies"].as_u64()?;
        Some(Self {
            studies,
            marked: studies.checked_sub(healthy["without_a_call"].as_u64()?)?,
            median_ml: healthy["median_ml"].as_f64()?,
            largest_ml: healthy["largest_ml"].as_f64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_scores() {
        let healthy = serde_json::json!({
            "studies": 20, "without_a_call": 3, "median_ml": 1.5, "largest_ml": 33.26,
        });
        let scores = serde_json::json!({ "real": { "healthy": healthy } });
        let expected = FalseAlarms { studies: 20, marked: 17, median_ml: 1.5, largest_ml: 33.26 };
        assert_eq!(FalseAlarms::of(&scores), Some(expected));
        assert_eq!(FalseAlarms::of(&Value::Null), None);
    }
}
