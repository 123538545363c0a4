//! Age and sex from a T1w scan without skull, as honestly as few people allow.
//!
//! The heads are linear in the encoder's pooled vectors; that of the sex may read the volumes of
//! structures instead, and waits for them. An age comes with an interval that
//! held its stated share of people who were left out of the fit (the jackknife's, Barber et
//! al., Annals of Statistics 2021), and never outside the ages the head was trained on. A head
//! that reads nothing of the scan gives no number: the mean of a group would look like an
//! estimate of a person.

use serde::{Deserialize, Serialize};

use super::heads::{Answer, Head, HeadKind};
use super::pack::{HeadsError, HeadsPack};
use super::{Identification, NamedVector, volumes};

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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimates {
    /// Age in years.
    pub age: Option<Estimate>,
    /// "female" or "male".
    pub sex: Option<Answer>,
    /// What is to be known before the sex is believed.
    pub sex_caution: Option<String>,
    /// Why something is missing.
    pub refused: Option<String>,
    /// The sex, as long as it waits for the volumes of structures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

/// A sex that is read from the volumes of structures, before these are known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// SHA-256 of the pack that measures them.
    pub pack: String,
    head: Head,
    /// Smallest and largest age of the training data.
    ages: Option<[f64; 2]>,
}

/// Said where the sex waits.
pub const WAITING: &str =
    "Sex is estimated from the volumes of the brain's structures: segment the scan first.";

impl Estimates {
    /// The sex, too, where it waits for volumes: numbers of structures in files and their volumes
    /// in mL, as [`Waiting::pack`] labels the same scan.
    ///
    /// # Errors
    /// [`HeadsError::Structure`] when a structure is not among them.
    pub fn with_volumes(&self, volumes: &[(u16, f64)]) -> Result<Self, HeadsError> {
        let Some(Waiting { head, ages, .. }) = &self.waiting else { return Ok(self.clone()) };
        let vectors = volumes::vectors(&head.info, volumes)?;
        let named: Vec<NamedVector<'_>> =
            vectors.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let sex = head.answer(&named)?;
        let sex_caution = caution_of(&sex, head.info.caution.as_deref(), *ages);
        Ok(Self { sex: Some(sex), sex_caution, waiting: None, ..self.clone() })
    }
}

/// Whether the head of the sex reads volumes of structures.
pub fn reads_volumes(heads: &HeadsPack) -> bool {
    heads.head(names::SEX).is_ok_and(|head| !volumes::structures(&head.info).is_empty())
}

/// Estimates age and sex; a sex that is read from volumes waits for [`Estimates::with_volumes`].
/// `stated_years`: the age by the file, where it states one.
///
/// # Errors
/// [`HeadsError`] when the pack has no such heads or the encoder gives other vectors.
pub fn estimate(
    heads: &HeadsPack,
    vectors: &[NamedVector<'_>],
    scan: &Identification,
    stated_years: Option<f64>,
) -> Result<Estimates, HeadsError> {
    let nothing = |why: String| Estimates { refused: Some(why), ..Estimates::default() };
    if let Some(why) = unfit(heads, scan) {
        return Ok(nothing(format!(
            "Age and sex are estimated from T1w scans of the whole brain without skull only: {why}."
        )));
    }
    let ages = match heads.head(names::AGE)?.info.kind {
        HeadKind::Regression { range, .. } => Some(range),
        HeadKind::Classification { .. } => None,
    };
    if let Some(why) = ages.zip(stated_years).and_then(|(ages, years)| of_other_age(ages, years)) {
        return Ok(nothing(why));
    }
    let (age, refused) = age_of(heads.head(names::AGE)?, vectors)?;
    if age.is_none() && heads.head(names::AGE)?.reads_the_scan() {
        // Unlike the people that were learnt from, in sex as in age.
        return Ok(Estimates { age, refused, ..Estimates::default() });
    }
    let sex_head = heads.head(names::SEX)?;
    if reads_volumes(heads) {
        let pack = heads.info.encoder.sha256.clone();
        let waiting = Some(Waiting { pack, head: sex_head.clone(), ages });
        return Ok(Estimates { age, refused, waiting, ..Estimates::default() });
    }
    let sex = sex_head.answer(vectors)?;
    let sex_caution = caution_of(&sex, sex_head.info.caution.as_deref(), ages);
    Ok(Estimates { age, sex: Some(sex), sex_caution, refused, waiting: None })
}

/// Why nothing is estimated of a person whose stated age lies where nobody was trained on.
fn of_other_age([youngest, oldest]: [f64; 2], years: f64) -> Option<String> {
    // Files state whole years: whoever is "55" may be nearly 56.
    (years < youngest.floor() || years >= oldest.floor() + 1.0).then(|| {
        format!(
            "Age and sex are not estimated: the file states an age outside {youngest:.0} to {oldest:.0} years, the ages that were trained on."
        )
    })
}

/// What is to be known of a sex that is given; nothing of one that is not. One group of people
/// was learnt from, and the head of the age says how old they were.
fn caution_of(sex: &Answer, caution: Option<&str>, ages: Option<[f64; 2]>) -> Option<String> {
    sex.given.as_ref()?;
    ages.map(|ages| with_ages(caution, ages)).or_else(|| caution.map(Into::into))
}

/// A caution that says of which ages an answer holds.
fn with_ages(caution: Option<&str>, [youngest, oldest]: [f64; 2]) -> String {
    let ages = format!("{youngest:.0} to {oldest:.0} years");
    let stated = format!("It holds for people of {ages} only, the ages that were trained on.");
    match caution {
        Some(caution) if caution.contains(&ages) => caution.to_owned(),
        Some(caution) => format!("{caution} {stated}"),
        None => stated,
    }
}

/// The age, or why there is none.
fn age_of(
    head: &Head,
    vectors: &[NamedVector<'_>],
) -> Result<(Option<Estimate>, Option<String>), HeadsError> {
    let HeadKind::Regression { half_width, coverage, range } = head.info.kind else {
        return Err(HeadsError::Kind(names::AGE.into()));
    };
    let caution = head.info.caution.clone();
    if !head.reads_the_scan() {
        let why = caution.map(|why| format!(" {why}")).unwrap_or_default();
        return Ok((None, Some(format!("No age is given.{why}"))));
    }
    let value = head.outputs(vectors)?.first().copied().unwrap_or(f64::NAN);
    if !(range[0]..=range[1]).contains(&value) {
        let refused = format!(
            "Age and sex are not shown: the age falls outside {:.0} to {:.0} years, the ages that were trained on.",
            range[0], range[1]
        );
        return Ok((None, Some(refused)));
    }
    let caution = Some(with_ages(caution.as_deref(), range));
    let (low, high) = (value - half_width, value + half_width);
    Ok((Some(Estimate { value, low, high, coverage, range, caution }), None))
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

#[cfg(test)]
mod tests {
    use super::super::heads::HeadInfo;
    use super::*;

    /// Years = 30 + weight * x.
    fn age(weight: f32, x: f32) -> (Option<Estimate>, Option<String>) {
        let head = Head {
            info: HeadInfo {
                name: names::AGE.into(),
                inputs: vec!["structure".into()],
                outputs: vec!["years".into()],
                kind: HeadKind::Regression { half_width: 9.0, coverage: 0.9, range: [19.0, 55.0] },
                body_parts: Vec::new(),
                caution: Some("Forty-eight people are few.".into()),
            },
            weight: vec![weight],
            bias: vec![30.0],
            mean: vec![0.0],
            deviation: vec![1.0],
            whitening: Vec::new(),
            centres: Vec::new(),
        };
        age_of(&head, &[("structure", &[x])]).unwrap()
    }

    #[test]
    fn a_sex_by_volumes_waits_for_them() {
        let info = HeadInfo {
            name: names::SEX.into(),
            inputs: vec!["volume 2".into(), "volume sum".into()],
            outputs: vec!["female".into(), "male".into()],
            kind: HeadKind::Classification {
                temperature: 1.0,
                least_probability: 0.8,
                most_distance: None,
            },
            body_parts: Vec::new(),
            caution: Some("41 of 48 were right.".into()),
        };
        // The logit of "male" is 3 (ln mL of structure 2 - ln 200).
        let head = Head {
            info,
            weight: vec![0.0, 0.0, 3.0, 0.0],
            bias: vec![0.0, 0.0],
            mean: vec![200.0_f32.ln(), 0.0],
            deviation: vec![1.0, 1.0],
            whitening: Vec::new(),
            centres: Vec::new(),
        };
        let waiting = Some(Waiting { pack: "0123".into(), head, ages: Some([19.0, 55.0]) });
        let refused = Some("No age is given.".to_owned());
        let before = Estimates { refused: refused.clone(), waiting, ..Estimates::default() };
        let sent: Estimates =
            serde_json::from_str(&serde_json::to_string(&before).unwrap()).unwrap();
        assert_eq!(sent, before);
        // (400 / 200)^3 = 8 to 1.
        let found = sent.with_volumes(&[(41, 300.0), (2, 400.0)]).unwrap();
        let sex = found.sex.unwrap();
        assert!(sex.is("male") && (sex.probabilities[0].1 - 8.0 / 9.0).abs() < 1e-5, "{sex:?}");
        assert!(found.sex_caution.is_some_and(|caution| caution.contains("19 to 55 years")));
        assert_eq!((found.refused, found.waiting), (refused, None));
        // As large as the mean: nobody knows.
        let unsure = before.with_volumes(&[(2, 200.0)]).unwrap();
        assert!(unsure.sex.is_some_and(|sex| sex.given.is_none()));
        assert_eq!(unsure.sex_caution, None);
        let missing = before.with_volumes(&[(41, 300.0)]);
        assert!(matches!(missing, Err(HeadsError::Structure { id: 2, .. })), "{missing:?}");
        // One that waits for nothing stays.
        let silent = Estimates::default();
        assert_eq!(silent.with_volumes(&[]), Ok(silent));
    }

    #[test]
    fn a_caution_states_the_ages_once() {
        let range = [19.0, 55.0];
        assert!(with_ages(None, range).contains("19 to 55 years"));
        let own = "Learnt from people of 19 to 55 years.";
        assert_eq!(with_ages(Some(own), range), own);
    }

    #[test]
    fn a_caution_stands_beside_a_sex_that_is_given_alone() {
        let sex = |given: Option<&str>| Answer {
            given: given.map(Into::into),
            probabilities: vec![("female".into(), 0.6), ("male".into(), 0.4)],
            distance: None,
            most_distance: None,
        };
        let of = |given, ages| caution_of(&sex(given), Some("41 of 48 were right."), ages);
        assert_eq!(of(None, Some([19.0, 55.0])), None);
        let said = of(Some("female"), Some([19.0, 55.0])).unwrap_or_default();
        assert!(said.starts_with("41 of 48 were right. It holds for people of 19"), "{said}");
        assert_eq!(of(Some("female"), None).as_deref(), Some("41 of 48 were right."));
    }

    #[test]
    fn a_stated_age_outside_the_trained_ones_is_refused() {
        for inside in [19.0, 19.4, 45.0, 55.0, 55.9] {
            assert_eq!(of_other_age([19.2, 55.0], inside), None, "{inside}");
        }
        for outside in [0.5, 8.0, 18.9, 56.0, 81.0] {
            let why = of_other_age([19.2, 55.0], outside).unwrap_or_default();
            assert!(why.contains("outside 19 to 55 years"), "{outside}: {why}");
        }
    }

    #[test]
    fn a_head_that_reads_nothing_gives_no_number() {
        let (found, why) = age(0.0, 1.0);
        assert_eq!(found, None);
        assert_eq!(why.as_deref(), Some("No age is given. Forty-eight people are few."));
    }

    #[test]
    fn a_head_that_reads_gives_its_interval_within_the_ages_of_the_group() {
        let (found, why) = age(1.0, 12.0);
        let found = found.unwrap();
        assert_eq!((found.value, found.low, found.high, why), (42.0, 33.0, 51.0, None));
        let caution = found.caution.unwrap_or_default();
        assert!(
            caution.starts_with("Forty-eight people are few. It holds for people of 19 to 55"),
            "{caution}"
        );
        let (found, why) = age(1.0, 40.0);
        assert_eq!(found, None);
        assert!(why.is_some_and(|why| why.contains("outside 19 to 55 years")));
    }
}
