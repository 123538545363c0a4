//! Image quality: signal, noise, contrast, artefacts and coverage, as far as a single
//! image without a processing pipeline allows.
//!
//! Formulas are those of the literature and of MRIQC (Esteban et al., PLoS ONE 12,
//! 2017, e0184661); masks are simpler than MRIQC's, so values must not be compared
//! with its norms. A judgement is given only where a threshold can be argued from the
//! formula itself, from geometry or from a published criterion; its rule is stated
//! with it.

use serde::{Deserialize, Serialize};

use super::background::Background;
use super::structures::{StructureVolume, structures};
use super::{contrast, coverage, signal};
use crate::volume::{LabelMap, LabelTable, Volume};

/// What a measure says about the scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// On the good side of the stated threshold.
    Good,
    /// Worth a look at the images before the numbers are used.
    Look,
    /// Volumes from this scan are to be distrusted.
    Poor,
    /// A value for comparison between scans; nothing justifies a threshold.
    NoThreshold,
    /// Could not be measured; the rule says why.
    NotAssessed,
}

impl Judgement {
    /// The word shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Look => "look",
            Self::Poor => "poor",
            Self::NoThreshold => "no threshold",
            Self::NotAssessed => "not assessed",
        }
    }
}

/// Kind of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureGroup {
    /// Geometry: spacing, field of view, cut structures.
    Coverage,
    /// Signal against noise.
    Signal,
    /// Tissue against tissue.
    Contrast,
    /// Ghosting, blurring, motion.
    Artefacts,
}

impl MeasureGroup {
    /// All groups in the order shown.
    pub const ALL: [Self; 4] = [Self::Coverage, Self::Signal, Self::Contrast, Self::Artefacts];

    /// Heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Coverage => "Coverage",
            Self::Signal => "Signal and noise",
            Self::Contrast => "Contrast",
            Self::Artefacts => "Artefacts",
        }
    }
}

/// One measure of image quality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Stable name for files, e.g. `snr_dietrich`.
    pub key: String,
    /// Kind.
    pub group: MeasureGroup,
    /// Name shown.
    pub name: String,
    /// The value; `None` where it could not be measured. Always finite.
    pub value: Option<f64>,
    /// Unit; empty for ratios.
    pub unit: String,
    /// Digits after the point that are worth showing.
    pub decimals: u8,
    /// What it is, in one or two plain sentences.
    pub explanation: String,
    /// Formula and where it comes from.
    pub source: String,
    /// What it says.
    pub judgement: Judgement,
    /// The threshold with its reason; for `NotAssessed` why not; empty without one.
    pub rule: String,
}

impl Measure {
    /// A measure without value yet.
    pub(super) fn new(
        group: MeasureGroup,
        key: &str,
        name: &str,
        (unit, decimals): (&str, u8),
        explanation: &str,
        source: &str,
    ) -> Self {
        Self {
            key: key.into(),
            group,
            name: name.into(),
            value: None,
            unit: unit.into(),
            decimals,
            explanation: explanation.into(),
            source: source.into(),
            judgement: Judgement::NotAssessed,
            rule: "not measured".into(),
        }
    }

    /// With a value and no judgement; a value that is not finite is not assessed.
    pub(super) fn valued(mut self, value: f64) -> Self {
        if value.is_finite() {
            self.value = Some(value);
            self.judgement = Judgement::NoThreshold;
            self.rule = String::new();
            self
        } else {
            self.not_assessed("the formula divides by zero here")
        }
    }

    /// With a judgement of the value, if there is one.
    pub(super) fn judged(mut self, rule: &str, judge: impl FnOnce(f64) -> Judgement) -> Self {
        if let Some(value) = self.value {
            self.judgement = judge(value);
            self.rule = rule.into();
        }
        self
    }

    /// Without a value, for a reason.
    pub(super) fn not_assessed(mut self, reason: &str) -> Self {
        self.value = None;
        self.judgement = Judgement::NotAssessed;
        self.rule = reason.into();
        self
    }

    /// A value or the reason why there is none.
    pub(super) fn result(self, result: Result<f64, String>) -> Self {
        match result {
            Ok(value) => self.valued(value),
            Err(reason) => self.not_assessed(&reason),
        }
    }

    /// The value as shown, with its unit; a dash without one.
    pub fn written(&self) -> String {
        match self.value {
            Some(value) => {
                let number = format!("{value:.*}", usize::from(self.decimals));
                if self.unit.is_empty() { number } else { format!("{number} {}", self.unit) }
            }
            None => "-".into(),
        }
    }
}

/// Image quality of a scan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// All measures, by group.
    pub measures: Vec<Measure>,
    /// What a reader has to know before using the measures.
    pub warnings: Vec<String>,
}

impl Quality {
    /// The measure of a key.
    pub fn get(&self, key: &str) -> Option<&Measure> {
        self.measures.iter().find(|measure| measure.key == key)
    }

    /// Measures of a judgement.
    pub fn judged(&self, judgement: Judgement) -> impl Iterator<Item = &Measure> {
        self.measures.iter().filter(move |measure| measure.judgement == judgement)
    }
}

/// Measures image quality, with contrast and coverage of structures where labels on
/// the scan's own grid are given. Labels on another grid are left out with a warning.
pub fn quality(volume: &Volume, labels: Option<(&LabelMap, &LabelTable)>) -> Quality {
    let rows: Option<Vec<StructureVolume>> =
        labels.map(|(labels, table)| structures(labels, table));
    let mut warnings = Vec::new();
    let on_grid = labels
        .filter(|(labels, _)| labels.dims == volume.dims && labels.data.len() == volume.data.len());
    if let (Some((labels, _)), None) = (labels, on_grid) {
        warnings.push(format!(
            "The labels lie on another grid ({} x {} x {}) than the scan: contrast was not measured.",
            labels.dims[0], labels.dims[1], labels.dims[2]
        ));
    }
    let broken = volume.data.iter().filter(|v| !v.is_finite()).count();
    if broken > 0 {
        warnings.push(format!(
            "The scan holds {broken} voxels whose value is not a number; they were left out."
        ));
    }
    let background = Background::of(volume);
    let tissues = contrast::Tissues::of(volume, on_grid);
    let mut measures = coverage::measures(volume, rows.as_deref());
    measures.extend(signal::signal_measures(volume, &background, &tissues));
    measures.extend(contrast::measures(&tissues, &background));
    measures.extend(signal::artefact_measures(volume, &background));
    if let Some(reason) = &background.no_zero {
        warnings.push(format!("Signal-to-noise ratios are not given: {reason}."));
    }
    Quality { measures, warnings }
}

#[cfg(test)]
#[path = "quality_tests.rs"]
mod tests;
