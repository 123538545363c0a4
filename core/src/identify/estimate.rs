//! Age and sex from a T1w scan without skull, as honestly as few people allow.
//!
//! The heads are linear in the encoder's pooled vectors. An age comes with an interval that
//! held its stated share of people who were left out of the fit (the jackknife's, Barber et
//! al., Annals of Statistics 2021), and never outside the ages the head was trained on.

use serde::{Deserialize, Serialize};

use super::heads::{Answer, HeadKind};
use super::pack::{HeadsError, HeadsPack};
use super::{Identification, NamedVector};

/// Names of the heads.
pub mod names {
    /// Years.
    pub const AGE: &str = "age";
    /// "female" or "male".
    pub const SEX: &str = "sex";
}

/// A number with its interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Share of people in whose interval the true number lies.
    pub coverage: f64,
    /// Smallest and largest number of the training data.
    pub range: [f64; 2],
    /// What is to be known before it is believed.
    pub caution: Option<String>,
}

impl Estimate {
    /// Whether part of the interval lies where nobody was trained on.
    pub fn leaves_range(&self) -> bool {
        self.low < self.range[0] || self.high > self.range[1]
    }

    /// In words, the interval first.
    pub fn words(&self) -> String {
        let Self { value, low, high, coverage, range, .. } = self;
        let percent = 100.0 * coverage;
        let mut text = format!("{value:.0} years, {percent:.0} % interval {low:.0} to {high:.0}");
        if self.leaves_range() {
            text += &format!(
                "; the interval leaves the ages {:.0} to {:.0} of the training group",
                range[0], range[1]
            );
        }
        text
    }
}

/// What is estimated of a person, or why not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimates {
    /// Age in years.
    pub age: Option<Estimate>,
    /// "female" or "male".
    pub sex: Option<Answer>,
    /// What is to be known before the sex is believed.
    pub sex_caution: Option<String>,
    /// Why something is missing.
    pub refused: Option<String>,
}

/// Estimates age and sex.
///
/// # Errors
/// [`HeadsError`] when the pack has no such heads or the encoder gives other vectors.
pub fn estimate(
    heads: &HeadsPack,
    vectors: &[NamedVector<'_>],
    scan: &Identification,
) -> Result<Estimates, HeadsError> {
    let nothing =
        |why: String| Estimates { age: None, sex: None, sex_caution: None, refused: Some(why) };
    if let Some(why) = unfit(heads, scan) {
        return Ok(nothing(format!(
            "Age and sex are estimated from T1w scans of the whole brain without skull only: {why}."
        )));
    }
    let head = heads.head(names::AGE)?;
    let HeadKind::Regression { half_width, coverage, range } = head.info.kind else {
        return Err(HeadsError::Kind(names::AGE.into()));
    };
    let value = head.outputs(vectors)?.first().copied().unwrap_or(f64::NAN);
    let age = Estimate {
        value,
        low: value - half_width,
        high: value + half_width,
        coverage,
        range,
        caution: head.info.caution.clone(),
    };
    let sex_head = heads.head(names::SEX)?;
    let sex = Some(sex_head.answer(vectors)?);
    let sex_caution = sex_head.info.caution.clone();
    if !(range[0]..=range[1]).contains(&value) {
        let refused = format!(
            "The age falls outside {:.0} to {:.0} years, the ages that were trained on, and is not shown.",
            range[0], range[1]
        );
        return Ok(Estimates { age: None, sex, sex_caution, refused: Some(refused) });
    }
    Ok(Estimates { age: Some(age), sex, sex_caution, refused: None })
}

/// Why a scan is not one that the heads know.
fn unfit(heads: &HeadsPack, scan: &Identification) -> Option<String> {
    if !scan.body_part.is("head") {
        return Some("this is not known to be a head".into());
    }
    let longest = scan.extent_mm.iter().copied().fold(0.0, f64::max);
    if longest < heads.info.whole_head_mm {
        return Some("this is a crop".into());
    }
    if !scan.sequence.is("T1w") {
        let given = scan.sequence.given.as_deref().unwrap_or("of unknown sequence");
        return Some(format!("this is {given}"));
    }
    // As the people that were learnt from came.
    match &scan.skull {
        Some(skull) if skull.is("stripped") => None,
        Some(skull) if skull.is("whole") => Some("the skull is in the image".into()),
        _ => Some("it is unknown whether the skull was removed".into()),
    }
}
