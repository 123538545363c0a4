//! Whether a pack's volumes of a structure may be read as measurements.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::anatomy::{base_name, display_name};

/// Mean ratio of a pack's volumes to those drawn by hand within which they pass: 15 % either way
/// (1 / 1.15 = 0.87). Two repeated scans of one head differ by up to 1.96 * sqrt(2) * 6.1 % = 17 %
/// in a structure (Maclaren et al., Scientific Data 1, 2014, 140037), so that a mean error of that
/// size over several heads would pass for a difference between two of them.
pub const RATIOS: std::ops::RangeInclusive<f64> = 0.87..=1.15;

/// Least intraclass correlation of a pack's volumes with those drawn by hand: from 0.60 on it is
/// called good (Cicchetti, Psychological Assessment 6, 1994, 284-290).
pub const LEAST_ICC: f64 = 0.6;

/// How far a pack's volumes of a structure are from those drawn by hand, where that is too far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caution {
    /// Scans with outlines drawn by hand.
    pub scans: usize,
    /// Mean ratio of the pack's volumes to the drawn ones, where it lies outside of [`RATIOS`].
    pub ratio: Option<f64>,
    /// Intraclass correlation ICC(2,1) with the drawn volumes, where it is below [`LEAST_ICC`].
    pub icc: Option<f64>,
}

impl Caution {
    /// That of a structure (its name in prose) by a pack's scores (`python -m training.evaluate`);
    /// `None` where its volumes pass or were not scored.
    pub fn of(scores: &Value, structure: &str) -> Option<Self> {
        let scans = ["subjects", "scans"].iter().find_map(|name| scores[name].as_u64())?;
        let all = scores["structures"].as_object()?;
        let is_it = |name: &str| name == structure || name == base_name(structure);
        let (_, scored) = all.iter().find(|(name, _)| is_it(&display_name(name)))?;
        let ratio = scored["volume_ratio"].as_f64().filter(|ratio| !RATIOS.contains(ratio));
        let icc = scored["volume_icc"].as_f64().filter(|&icc| icc < LEAST_ICC);
        let scans = usize::try_from(scans).ok()?;
        (scans > 0 && (ratio.is_some() || icc.is_some())).then_some(Self { scans, ratio, icc })
    }

    /// In words, without a comma.
    pub fn words(&self) -> String {
        let (what, scans) = (self.what(), self.scans);
        format!("{what} in {scans} scan{}; not a measurement", if scans == 1 { "" } else { "s" })
    }

    fn what(&self) -> String {
        match (self.ratio, self.icc) {
            (Some(ratio), _) => {
                let decimals = ratio_decimals(ratio);
                format!("{ratio:.decimals$} times as large as drawn by hand")
            }
            (None, icc) => {
                let icc = icc.unwrap_or_default();
                format!("volumes correlate by {icc:.2} (ICC) with those drawn by hand")
            }
        }
    }
}

/// Decimals that a ratio is written with: two digits of those near 1.
pub const fn ratio_decimals(ratio: f64) -> usize {
    if ratio < 1.0 { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_known_to_be_wrong_is_said() {
        // Of the brain pack 0.3.0, training/results/brain.json.
        let scores = json!({ "subjects": 8, "structures": {
            "thalamus": { "volume_icc": 0.727, "volume_ratio": 0.916 },
            "amygdala": { "volume_icc": 0.097, "volume_ratio": 1.702 },
            "ventral DC": { "volume_icc": 0.386, "volume_ratio": 0.814 },
            "4th ventricle": { "volume_icc": 0.848, "volume_ratio": 0.842 },
            "cerebral cortex": { "volume_icc": 0.5, "volume_ratio": 1.0 },
            "brainstem": { "dice": 0.9 },
        } });
        let words = |name: &str| Caution::of(&scores, name).map(|caution| caution.words());
        let large = "1.7 times as large as drawn by hand in 8 scans; not a measurement";
        assert_eq!(words("left amygdala").as_deref(), Some(large));
        assert_eq!(words("amygdala").as_deref(), Some(large));
        for (name, begin) in [
            ("right ventral diencephalon", "0.81 times"),
            ("fourth ventricle", "0.84 times"),
            ("left cerebral cortex", "volumes correlate by 0.50 (ICC)"),
        ] {
            assert!(words(name).is_some_and(|words| words.starts_with(begin)), "{name}");
        }
        for name in ["left thalamus", "brainstem", "left hippocampus", ""] {
            assert_eq!(words(name), None, "{name}");
        }
    }

    #[test]
    fn without_scores_nothing_is_marked() {
        let scored = json!({ "amygdala": { "volume_ratio": 1.7 } });
        for scores in [
            Value::Null,
            json!({}),
            json!({ "structures": scored }),
            json!({ "scans": 0, "structures": scored }),
            json!({ "scans": 20, "structures": { "Amygdala": { "volume_icc": 0.9 } } }),
        ] {
            assert_eq!(Caution::of(&scores, "left amygdala"), None, "{scores}");
        }
        // Sides that are two labels, not a pair.
        let scores = json!({ "scans": 20, "structures": {
            "Right-Ventricle": { "volume_ratio": 1.3 }, "Left-Ventricle": { "volume_ratio": 1.0 },
        } });
        assert!(Caution::of(&scores, "right ventricle").is_some());
        assert_eq!(Caution::of(&scores, "left ventricle"), None);
    }
}
