//! The day of a study: what tells how far two scans of one person lie apart.
//!
//! Read for that alone. A date can name a person to those who know more: it is kept out of
//! reports, manifests, logs and addresses.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// Days in a year on average (Gregorian calendar).
const YEAR_DAYS: f64 = 365.2425;

/// A day of the Gregorian calendar; as text, ISO 8601 (`2019-03-07`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// A text that names no day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no date: write year-month-day, as in 2019-03-07")]
pub struct DateError;

impl Date {
    /// A day, if there is one.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let known =
            (1800..=2999).contains(&year) && (1..=12).contains(&month) && (1..=days).contains(&day);
        known.then_some(Self { year, month, day })
    }

    /// DICOM's value representation DA (PS3.5, 6.2): `19930822`, or `1993.08.22` as before 1993.
    pub fn from_dicom(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|&c| c != '.').collect();
        (digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(())?;
        Self::new(digits[..4].parse().ok()?, digits[4..6].parse().ok()?, digits[6..].parse().ok()?)
    }

    /// Years from this day to another; below zero where that one is earlier.
    pub fn years_to(self, later: Self) -> f64 {
        (later.days() - self.days()) as f64 / YEAR_DAYS
    }

    /// Julian day number (Fliegel and Van Flandern, Communications of the ACM 11, 1968).
    fn days(self) -> i64 {
        let (year, month, day) = (i64::from(self.year), i64::from(self.month), i64::from(self.day));
        let late = (month - 14) / 12;
        day - 32_075 + 1461 * (year + 4800 + late) / 4 + 367 * (month - 2 - late * 12) / 12
            - 3 * ((year + 4900 + late) / 100) / 4
    }
}

impl fmt::Display for Date {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for Date {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, DateError> {
        let mut parts = text.trim().split('-');
        let parsed = (|| {
            let date = Self::new(
                parts.next()?.parse().ok()?,
                parts.next()?.parse().ok()?,
                parts.next()?.parse().ok()?,
            )?;
            parts.next().is_none().then_some(date)
        })();
        parsed.ok_or(DateError)
    }
}

impl TryFrom<String> for Date {
    type Error = DateError;

    fn try_from(text: String) -> Result<Self, DateError> {
        text.parse()
    }
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_examples_are_read() {
        // PS3.5, table 6.2-1: "19930822" would represent August 22, 1993.
        let date = Date::new(1993, 8, 22);
        assert!(date.is_some());
        assert_eq!(Date::from_dicom("19930822"), date);
        assert_eq!(Date::from_dicom("1993.08.22 "), date);
        assert_eq!("1993-08-22".parse().ok(), date);
        for wrong in ["", "1993", "19930230", "19931301", "1993082", "Aug 22 1993", "00000000"] {
            assert_eq!(Date::from_dicom(wrong), None, "{wrong}");
        }
        assert!("1993-8".parse::<Date>().is_err() && "2023-02-29".parse::<Date>().is_err());
    }

    #[test]
    fn days_are_those_of_pythons_calendar() {
        // (datetime.date(2019, 3, 7) - datetime.date(1970, 1, 1)).days is 17962, to
        // datetime.date(2024, 2, 29) another 1820.
        let day = |text: &str| text.parse::<Date>().ok();
        let (Some(epoch), Some(first), Some(later)) =
            (day("1970-01-01"), day("2019-03-07"), day("2024-02-29"))
        else {
            unreachable!("they are dates")
        };
        assert_eq!(first.days() - epoch.days(), 17_962);
        assert_eq!(later.days() - first.days(), 1820);
        assert!((first.years_to(later) - 1820.0 / 365.2425).abs() < 1e-12);
        assert!(later.years_to(first) < 0.0);
    }
}
