//! Volumes at two times, each measured several times, to a change with its interval.

use serde::{Deserialize, Serialize};

use crate::measure::display_name;
use crate::volume::LabelTable;

/// Chance that any structure at all is called changed when none is.
const ERROR: f64 = 0.05;

/// Least share of a structure that can be called a change, whatever the repeats say: they
/// know nothing of scanners, positions and water.
const LEAST_SHARE: f64 = 0.01;

/// What is to be known of every interval.
pub const LIMITS: &str = "The intervals ignore another scanner, protocol or hydration; changes \
                          smaller than their interval are not seen.";

/// The change of one structure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Value in the label map.
    pub index: u8,
    /// Number in files.
    pub id: u16,
    /// Name in prose.
    pub name: String,
    /// Mean volume at the baseline, millilitres.
    pub baseline_ml: f64,
    /// Mean volume at the follow-up, millilitres.
    pub later_ml: f64,
    /// Their difference.
    pub change_ml: f64,
    /// Half of the interval around it: what repeats, noise and position alone may do.
    pub interval_ml: f64,
    /// The same around the volume at each time.
    pub intervals_ml: [f64; 2],
    /// Difference in percent of the baseline.
    pub change_percent: f64,
    /// Half of the interval around it.
    pub interval_percent: f64,
    /// The same for a year, where the time between the scans is known.
    pub percent_a_year: Option<f64>,
    /// Half of the interval around it.
    pub interval_percent_a_year: Option<f64>,
    /// Whether the difference lies outside the interval.
    pub changed: bool,
}

impl Change {
    /// With percent a year, where the years between the scans are known.
    #[must_use]
    pub fn over(self, years: Option<f64>) -> Self {
        Self {
            percent_a_year: years.map(|years| self.change_percent / years),
            interval_percent_a_year: years.map(|years| self.interval_percent / years),
            ..self
        }
    }

    /// Percent, half of its interval, and the unit of both: a year where the time is known.
    pub fn rate(&self) -> (f64, f64, &'static str) {
        match self.percent_a_year.zip(self.interval_percent_a_year) {
            Some((percent, interval)) => (percent, interval, "% a year"),
            None => (self.change_percent, self.interval_percent, "%"),
        }
    }
}

/// The changes as a table for machines; what is a year's is empty where the time is unknown.
pub fn changes_csv(changes: &[Change]) -> String {
    let mut text = String::from(
        "id,structure,baseline_ml,follow_up_ml,change_ml,interval_ml,change_percent,\
         interval_percent,percent_a_year,interval_percent_a_year,changed\n",
    );
    let yearly = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.3}"));
    for c in changes {
        text.push_str(&format!(
            "{},{},{:.4},{:.4},{:.4},{:.4},{:.3},{:.3},{},{},{}\n",
            c.id,
            c.name,
            c.baseline_ml,
            c.later_ml,
            c.change_ml,
            c.interval_ml,
            c.change_percent,
            c.interval_percent,
            yearly(c.percent_a_year),
            yearly(c.interval_percent_a_year),
            c.changed
        ));
    }
    text
}

/// Changes of the structures of `table` that have a volume at both times;
/// `volumes[time][repeat][structure]` in millilitres, structures in the table's order.
///
/// The interval is Student's t times the scatter of one measurement at each time; t is
/// chosen so that over all structures together a false change comes in one of twenty
/// comparisons (Bonferroni). The intervals of the two times add as independent ones do.
///
/// Not the standard error of the means, which would be the root of the number of repeats
/// smaller: repeats of one scan share its noise, its artefacts and its slices, so what they
/// scatter is only a part of what another scan of the same head would show, and their mean
/// does not come nearer to the truth by being taken of more of them.
pub fn changes(
    table: &LabelTable,
    volumes: &[Vec<Vec<f64>>; 2],
    years: Option<f64>,
) -> Vec<Change> {
    let spread = |time: usize, structure: usize| {
        let values: Vec<f64> = volumes[time].iter().map(|row| row[structure]).collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (mean, squares / (values.len() as f64 - 1.0).max(1.0))
    };
    let freedom: usize = volumes.iter().map(|rows| rows.len().saturating_sub(1)).sum();
    let tail = ERROR / (2.0 * table.labels.len().max(1) as f64);
    let quantile = student_quantile(1.0 - tail, freedom.max(1) as f64);
    table
        .labels
        .iter()
        .enumerate()
        .filter_map(|(at, label)| {
            let ((before, first), (after, second)) = (spread(0, at), spread(1, at));
            if before <= 0.0 || after <= 0.0 {
                return None;
            }
            let change = after - before;
            // Both together make the least share of the change's interval.
            let least = LEAST_SHARE * before / core::f64::consts::SQRT_2;
            let intervals = [first, second].map(|part| f64::max(quantile * part.sqrt(), least));
            let interval = intervals[0].hypot(intervals[1]);
            let found = Change {
                index: label.index,
                id: label.id,
                name: display_name(&label.name),
                baseline_ml: before,
                later_ml: after,
                change_ml: change,
                interval_ml: interval,
                intervals_ml: intervals,
                change_percent: 100.0 * change / before,
                interval_percent: 100.0 * interval / before,
                percent_a_year: None,
                interval_percent_a_year: None,
                changed: change.abs() > interval,
            };
            Some(found.over(years))
        })
        .collect()
}

/// Quantile of Student's t: Newton's method on its distribution, whose density is known
/// and whose integral is summed by Simpson's rule.
fn student_quantile(probability: f64, freedom: f64) -> f64 {
    let shape = |t: f64| (1.0 + t * t / freedom).powf(-0.5 * (freedom + 1.0));
    // The integral of the shape over all t, by t = sqrt(freedom) tan(angle).
    let whole = {
        let steps = 2000;
        let width = core::f64::consts::PI / f64::from(steps);
        let sum: f64 = (0..steps)
            .map(|k| (-0.5 * core::f64::consts::PI + (f64::from(k) + 0.5) * width).cos())
            .map(|cosine| cosine.powf(freedom - 1.0))
            .sum();
        freedom.sqrt() * sum * width
    };
    let below = |t: f64| {
        let steps = 400;
        let width = t / f64::from(steps);
        let sum: f64 = (0..=steps)
            .map(|k| {
                let weight = if k == 0 || k == steps {
                    1.0
                } else if k % 2 == 1 {
                    4.0
                } else {
                    2.0
                };
                weight * shape(f64::from(k) * width)
            })
            .sum();
        0.5 + sum * width / 3.0 / whole
    };
    let mut t = 2.0;
    for _ in 0..60 {
        let step = (below(t) - probability) * whole / shape(t);
        // The tail is flat: a full step may leap over it.
        t = f64::max(t - step.clamp(-1.0, 1.0), 0.0);
        if step.abs() < 1e-10 {
            break;
        }
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Label;

    #[test]
    fn quantiles_are_those_of_scipy() {
        // scipy.stats.t.ppf
        for (probability, freedom, expected) in [
            (0.975, 8.0, 2.306_004),
            (0.95, 3.0, 2.353_363),
            (0.999_218_75, 8.0, 4.689_519),
            (0.999, 20.0, 3.551_808),
        ] {
            let found = student_quantile(probability, freedom);
            assert!((found - expected).abs() < 1e-3, "{probability} {freedom}: {found}");
        }
    }

    #[test]
    fn what_scatters_as_much_as_it_differs_did_not_change() {
        let label = |index: u8, name: &str| Label {
            index,
            id: u16::from(index),
            name: name.into(),
            color: [0; 3],
            side: None,
            pair: None,
        };
        let labels = vec![label(1, "Brain-Stem"), label(2, "3rd-Ventricle")];
        let table = LabelTable { labels };
        // The first scatters by 1 mL, the second by 0.01 mL.
        let rows = |a: f64, b: f64| -> Vec<Vec<f64>> {
            [-1.0, 0.0, 1.0].iter().map(|k| vec![a + k, b + 0.01 * k]).collect()
        };
        let found = changes(&table, &[rows(20.0, 1.0), rows(22.0, 1.2)], Some(2.0));
        assert!(!found[0].changed && found[1].changed, "{found:?}");
        assert!((found[1].change_ml - 0.2).abs() < 1e-12);
        assert!((found[1].percent_a_year.unwrap_or(0.0) - 10.0).abs() < 1e-9);
        // scipy.stats.t.ppf(1 - 0.05 / 4, 4) is 3.495406, the spread of each time 1 mL.
        assert!((found[0].intervals_ml[0] - 3.495_406).abs() < 1e-3, "{:?}", found[0]);
        assert!((found[0].interval_ml - 3.495_406 * 2.0_f64.sqrt()).abs() < 2e-3);
        // Of 20 mL, in two years.
        let yearly = found[0].interval_ml / 20.0 * 100.0 / 2.0;
        assert!((found[0].interval_percent_a_year.unwrap_or(0.0) - yearly).abs() < 1e-9);

        let csv = changes_csv(&found);
        assert!(csv.starts_with("id,structure,") && csv.contains("percent_a_year,changed\n"));
        let second = csv.lines().nth(2).unwrap_or_default();
        assert!(second.starts_with("2,") && second.ends_with("true"), "{second}");
        assert!(second.contains(",20.000,") && second.contains(",10.000,"), "{second}");

        // Swapped, what grew shrank by as much, inside as wide an interval.
        let back = changes(&table, &[rows(22.0, 1.2), rows(20.0, 1.0)], Some(2.0));
        for (there, back) in found.iter().zip(&back) {
            assert!((there.change_ml + back.change_ml).abs() < 1e-12);
            assert_eq!(there.changed, back.changed);
            assert!((there.interval_ml - back.interval_ml).abs() < 1e-3);
        }
    }
}
