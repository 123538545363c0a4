//! Phases of a heartbeat and the function over them, as text, CSV (RFC 4180) and JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text::unit;
use super::{HeartFacts, PackFacts};
use crate::measure::cardiac::{
    Function, MYOCARDIUM_G_PER_ML, Measured, Phase, Ventricle, function, phase_times,
};

/// Where a file states no unit of length, or no spacing of its voxels.
pub const UNIT_ASSUMED: &str = "The files do not state the size of their voxels, or not its unit: \
    millimetres were assumed, so that millilitres and grams are uncertain.";

/// What goes on from [`UNIT_ASSUMED`] beside the function of the heart.
pub const FRACTION_STANDS: &str = "The ejection fraction does not depend on it.";

/// Where there is no function.
pub const NO_FUNCTION: &str =
    "No ejection fraction: it needs two phases in which the left ventricle differs.";

/// What stands beside a number that a pack's scores do not support.
pub const NOT_USABLE: &str = "not usable: this model is too far from hearts drawn by hand";

/// One phase of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CinePhaseReport {
    /// Its number, from 1.
    pub phase: usize,
    /// Its time in milliseconds, where the files state credible ones for all phases.
    pub time_ms: Option<f64>,
    /// Its volumes; `None` where it was not measured or refused.
    pub volumes: Option<Phase>,
    /// Why it has no volumes, where it was tried.
    pub refused: Option<String>,
}

/// Phases in order, with what they give together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CineReport {
    /// Whether every file states its spacing and the unit of length.
    pub unit_stated: bool,
    /// The phases.
    pub phases: Vec<CinePhaseReport>,
    /// Function; `None` with fewer than two phases of different size.
    pub function: Option<Function>,
    /// Whether the right ventricle at end-systole is to be used, and what comes of it: its
    /// end-systolic and stroke volume and its ejection fraction.
    pub right_usable: bool,
}

/// One number of the function.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionRow {
    /// The word in attributes, for example `lv-edv`.
    pub key: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// The number.
    pub value: Option<f64>,
    /// mL, % or g.
    pub unit: &'static str,
    /// Whether it is to be used; where not, [`NOT_USABLE`] says why.
    pub usable: bool,
    /// How it comes about, in words.
    pub formula: String,
}

impl CineReport {
    /// Of phases in order: their times as the files state them, and their volumes as far as
    /// they were measured, with a pack of these scores.
    pub fn of(
        unit_stated: bool,
        times_ms: &[Option<f64>],
        measured: Vec<Option<Measured>>,
        scores: &Value,
    ) -> Self {
        let times = phase_times(times_ms);
        let phases: Vec<CinePhaseReport> = measured
            .into_iter()
            .enumerate()
            .map(|(at, measured)| {
                let (volumes, refused) = match measured {
                    Some(Measured::Volumes(volumes)) => (Some(volumes), None),
                    Some(Measured::Refused(reason)) => (None, Some(reason)),
                    None => (None, None),
                };
                let time_ms = times.as_ref().and_then(|times| times.get(at).copied());
                CinePhaseReport { phase: at + 1, time_ms, volumes, refused }
            })
            .collect();
        let volumes: Vec<Option<Phase>> = phases.iter().map(|phase| phase.volumes).collect();
        let right_usable = right_usable(scores);
        Self { unit_stated, function: function(&volumes), right_usable, phases }
    }

    /// What a phase is at the heart's extremes; empty for the others.
    pub fn event(&self, at: usize) -> &'static str {
        match &self.function {
            Some(function) if function.end_diastole == at => "end-diastole",
            Some(function) if function.end_systole == at => "end-systole",
            _ => "",
        }
    }

    /// One line a phase, below a header; fields that are not known are empty.
    pub fn to_csv(&self) -> String {
        let mut text =
            String::from("phase,time_ms,lv_ml,rv_ml,myocardium_ml,unit_stated,event,refused\r\n");
        for (at, phase) in self.phases.iter().enumerate() {
            let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.3}"));
            let volume = |of: fn(&Phase) -> f64| number(phase.volumes.as_ref().map(of));
            let refused = phase.refused.as_deref().unwrap_or_default().replace('"', "\"\"");
            let refused = if refused.is_empty() { refused } else { format!("\"{refused}\"") };
            text.push_str(&format!(
                "{},{},{},{},{},{},{},{refused}\r\n",
                phase.phase,
                number(phase.time_ms),
                volume(|v| v.left_ml),
                volume(|v| v.right_ml),
                volume(|v| v.myocardium_ml),
                self.unit_stated,
                self.event(at),
            ));
        }
        text
    }

    /// The numbers of the function, each with its formula; empty where there is none.
    pub fn rows(&self) -> Vec<FunctionRow> {
        let mut rows = self.function.as_ref().map(rows).unwrap_or_default();
        for row in &mut rows {
            row.usable = self.right_usable || !RIGHT_SYSTOLE.contains(&row.key);
        }
        rows
    }

    /// The value of a row in words: "64.4 mL", "64.4 mL (unit assumed)", "-".
    pub(super) fn value(&self, row: &FunctionRow) -> String {
        // A percentage does not depend on the unit of length.
        let unit = unit(row.unit, !self.unit_stated && row.unit != "%");
        row.value.map_or("-".into(), |value| format!("{value:.1} {unit}"))
    }

    /// Characters that the values of rows take.
    pub(super) fn value_width(&self) -> usize {
        self.rows().iter().map(|row| self.value(row).len()).max().unwrap_or(0).max(10)
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let timed = self.phases.iter().any(|phase| phase.time_ms.is_some());
        let mut text = String::from("phase");
        text.push_str(if timed { "    time ms" } else { "" });
        text.push_str("      LV mL      RV mL     myocardium mL");
        if !self.unit_stated {
            text.push_str(&format!("  {}", unit("mL", true)));
        }
        text.push('\n');
        for (at, phase) in self.phases.iter().enumerate() {
            text.push_str(&format!("{:>5}", phase.phase));
            if let Some(time) = phase.time_ms {
                text.push_str(&format!(" {time:>10.1}"));
            }
            let line = match (&phase.volumes, &phase.refused) {
                (Some(Phase { left_ml, right_ml, myocardium_ml }), _) => format!(
                    " {left_ml:>10.1} {right_ml:>10.1} {myocardium_ml:>17.1}  {}",
                    self.event(at)
                ),
                (None, Some(reason)) => format!("  not measured: {reason}"),
                (None, None) => "  not measured".into(),
            };
            text.push_str(line.trim_end());
            text.push('\n');
        }
        let width = self.value_width();
        for row in self.rows() {
            let value = self.value(&row);
            let mark = if row.usable { String::new() } else { format!("{NOT_USABLE}; ") };
            text.push_str(&format!("{:<32} {value:>width$}   {mark}{}\n", row.name, row.formula));
        }
        if self.function.is_none() {
            text.push_str(NO_FUNCTION);
            text.push('\n');
        }
        if !self.unit_stated {
            text.push_str(&format!("{UNIT_ASSUMED} {FRACTION_STANDS}\n"));
        }
        text
    }
}

fn rows(function: &Function) -> Vec<FunctionRow> {
    let diastole = function.end_diastole + 1;
    let systole = function.end_systole + 1;
    let ventricle = |keys: [&'static str; 4], names: [&'static str; 4], v: &Ventricle| {
        let discs = "voxels of all slices times the volume of a voxel";
        [
            (
                Some(v.end_diastolic_ml),
                "mL",
                format!("cavity in phase {diastole}, where the left one is largest: {discs}"),
            ),
            (
                Some(v.end_systolic_ml),
                "mL",
                format!("cavity in phase {systole}, where the left one is smallest: {discs}"),
            ),
            (Some(v.stroke_ml), "mL", "end-diastolic minus end-systolic volume".into()),
            (v.ejection_percent, "%", "100 times stroke volume over end-diastolic volume".into()),
        ]
        .into_iter()
        .zip(keys.into_iter().zip(names))
        .map(|((value, unit, formula), (key, name))| FunctionRow {
            key,
            name,
            value,
            unit,
            usable: true,
            formula,
        })
        .collect::<Vec<_>>()
    };
    let mut rows = ventricle(
        ["lv-edv", "lv-esv", "lv-sv", "lv-ef"],
        [
            "Left end-diastolic volume (EDV)",
            "Left end-systolic volume (ESV)",
            "Left stroke volume (SV)",
            "Left ejection fraction (EF)",
        ],
        &function.left,
    );
    rows.push(FunctionRow {
        key: "lv-mass",
        name: "Left myocardial mass",
        value: Some(function.mass_g),
        unit: "g",
        usable: true,
        formula: format!(
            "myocardium in phase {diastole} times {MYOCARDIUM_G_PER_ML} g/mL, papillary muscles in the cavity left out"
        ),
    });
    rows.extend(ventricle(
        ["rv-edv", "rv-esv", "rv-sv", "rv-ef"],
        [
            "Right end-diastolic volume (EDV)",
            "Right end-systolic volume (ESV)",
            "Right stroke volume (SV)",
            "Right ejection fraction (EF)",
        ],
        &function.right,
    ));
    rows
}

/// Rows that rest on the right ventricle at end-systole, which a model that misses the ejection
/// fraction outlines too large or too small.
const RIGHT_SYSTOLE: [&str; 3] = ["rv-esv", "rv-sv", "rv-ef"];

/// Mean error of the right ejection fraction, in points, up to which it is usable: what
/// repeated scans of one heart scatter by, 8.3 % of about 60 points (Grothues et al., Am Heart
/// J 2004, 147:218).
const RIGHT_USABLE_POINTS: f64 = 5.0;

/// Whether a pack of these scores measures it that well; not where they do not say.
fn right_usable(scores: &Value) -> bool {
    let error = scores["function"]["Right-Ventricle EF mean absolute error, points"].as_f64();
    error.is_some_and(|points| points <= RIGHT_USABLE_POINTS)
}

impl HeartFacts {
    /// Phases measured with a pack of these scores.
    pub fn of(report: CineReport, pack: PackFacts, scores: &Value) -> Self {
        Self { report, cautions: cine_cautions(scores), pack }
    }
}

/// How far a pack was from hearts drawn by hand, as its scores say: a sentence each.
pub fn cine_cautions(scores: &Value) -> Vec<String> {
    function_error(scores).into_iter().chain(right_ventricle(scores)).collect()
}

fn function_error(scores: &Value) -> Option<String> {
    let function = scores.get("function")?;
    let number = |key: &str| function.get(key)?.as_f64();
    Some(format!(
        "Against hearts drawn by hand ({} patients, not trained on) this model's ejection fraction is off by \
         {:.1} points on average on the left and {:.1} on the right; its myocardium measures {:.2} times \
         the drawn one.",
        number("patients")?,
        number("Left-Ventricle EF mean absolute error, points")?,
        number("Right-Ventricle EF mean absolute error, points")?,
        number("Myocardium at diastole, predicted / drawn")?
    ))
}

/// The right ventricle where its scores are below the left one's.
fn right_ventricle(scores: &Value) -> Option<String> {
    let score =
        |structure: &str, key: &str| scores.get("structures")?.get(structure)?.get(key)?.as_f64();
    let (right, left) = (score("Right-Ventricle", "dice")?, score("Left-Ventricle", "dice")?);
    let worst = score("Right-Ventricle", "worst")?;
    (right < left).then(|| {
        format!(
            "Figures of the right ventricle are weak: it overlaps with the drawn one by Dice {right:.2} on \
             average and {worst:.2} at worst, the left one by {left:.2}."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes(left_ml: f64, right_ml: f64, myocardium_ml: f64) -> Option<Measured> {
        Some(Measured::Volumes(Phase { left_ml, right_ml, myocardium_ml }))
    }

    /// Patient 1 of ACDC as drawn, nominal 1.5 x 1.5 x 10 mm, by numpy; see `cardiac::function`.
    /// The right ejection fraction is off by `error` points.
    fn report(error: f64) -> CineReport {
        let refused = Some(Measured::Refused("no \"wall\"".into()));
        let measured =
            vec![volumes(272.34, 128.7675, 151.38), refused, volumes(207.9225, 54.8775, 179.775)];
        let scores = serde_json::json!({
            "function": { "Right-Ventricle EF mean absolute error, points": error },
        });
        CineReport::of(true, &[Some(10.0), Some(50.0), Some(90.0)], measured, &scores)
    }

    #[test]
    fn a_table_has_a_line_a_phase() {
        let expected = "phase,time_ms,lv_ml,rv_ml,myocardium_ml,unit_stated,event,refused\r\n\
            1,10.000,272.340,128.768,151.380,true,end-diastole,\r\n\
            2,50.000,,,,true,,\"no \"\"wall\"\"\"\r\n\
            3,90.000,207.923,54.877,179.775,true,end-systole,\r\n";
        assert_eq!(report(4.9).to_csv(), expected);
    }

    #[test]
    fn every_number_has_its_formula() {
        let rows = report(4.9).rows();
        let value = |key: &str| rows.iter().find(|row| row.key == key).and_then(|row| row.value);
        let close = |key: &str, expected: f64| {
            assert!((value(key).unwrap_or_default() - expected).abs() < 1e-4, "{key}: {rows:?}");
        };
        close("lv-sv", 64.4175);
        close("lv-ef", 23.65334);
        close("rv-ef", 57.38249);
        close("lv-mass", 158.949);
        assert!(rows.iter().all(|row| row.usable && !row.formula.is_empty()), "{rows:?}");
    }

    #[test]
    fn a_right_end_systole_that_is_off_is_marked_wherever_it_stands() {
        let weak = report(14.4);
        let rows = weak.rows();
        let marked: Vec<&str> = rows.iter().filter(|row| !row.usable).map(|row| row.key).collect();
        assert_eq!(marked, ["rv-esv", "rv-sv", "rv-ef"]);
        let text = weak.to_text();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(NOT_USABLE)).collect();
        let starts = ["Right end-systolic", "Right stroke", "Right ejection fraction"];
        assert!(lines.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{text}");
        assert!(lines.len() == 3 && lines[2].contains("57.4 %"), "{text}");
        let json = serde_json::to_value(&weak).unwrap_or_default();
        assert_eq!(json["right_usable"], false);
        assert!(!report(4.9).to_text().contains(NOT_USABLE));
        // Scores that do not say do not support it either.
        let silent = CineReport::of(true, &[], Vec::new(), &Value::Null);
        assert!(!silent.right_usable);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let measured = vec![volumes(80.0, 70.0, 90.0), None];
        let unknown = CineReport::of(false, &[None, None], measured, &Value::Null);
        assert_eq!(unknown.function, None);
        let text = unknown.to_text();
        assert!(text.contains(NO_FUNCTION) && text.contains(UNIT_ASSUMED), "{text}");
        assert!(
            text.lines().next().is_some_and(|line| line.ends_with("mL (unit assumed)")),
            "{text}"
        );
        assert!(unknown.phases.iter().all(|phase| phase.time_ms.is_none()));
    }

    #[test]
    fn an_assumed_unit_stands_beside_every_volume() {
        let assumed = CineReport { unit_stated: false, ..report(4.9) }.to_text();
        // Heading, seven rows of mL and g, none of the two of percent.
        assert_eq!(assumed.matches("(unit assumed)").count(), 1 + 7, "{assumed}");
        assert!(assumed.contains("64.4 mL (unit assumed)") && assumed.contains("23.7 %  "));
        assert!(!report(4.9).to_text().contains("(unit assumed)"));
    }

    #[test]
    fn cautions_are_the_scores_own() {
        let scores = serde_json::json!({
            "structures": {
                "Right-Ventricle": { "dice": 0.773, "worst": 0.393 },
                "Left-Ventricle": { "dice": 0.926, "worst": 0.878 }
            }
        });
        let cautions = cine_cautions(&scores);
        assert_eq!(cautions.len(), 1);
        assert!(cautions[0].contains("0.77") && cautions[0].contains("0.39"), "{cautions:?}");
        assert!(cine_cautions(&Value::Null).is_empty());
    }
}
