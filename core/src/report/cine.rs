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

/// What stands beside a number that is not to be used; [`CineReport::cautions`] say why.
pub const NOT_USABLE: &str = "not usable (see the cautions)";

/// Of a stack without the apex.
pub(super) const CUT: &str = "The stack of slices ends inside the left ventricle: the apex is not \
    in it. Volumes, ejection fraction and mass are of the part that was scanned and are not \
    usable.";

/// Where the function has no right ventricle.
pub(super) const RIGHT_NOT_FOUND: &str = "The right ventricle was not found in both end-diastole and end-systole, which its function \
     needs: none is given for it.";

/// Where [`CineReport::right_usable`] is not so.
pub(super) const RIGHT_WEAK: &str = "The right ventricle is not usable but at end-diastole: at end-systole \
    this model is too far from hearts drawn by hand, and the phases between were not compared.";

/// One phase of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CinePhaseReport {
    /// Its number, from 1.
    pub phase: usize,
    /// Its time in milliseconds, where the files state credible ones for all phases.
    pub time_ms: Option<f64>,
    /// Its volumes; `None` where it was not measured or refused.
    pub volumes: Option<Phase>,
    /// Whether they are those of a stack that ends inside the left ventricle.
    #[serde(default)]
    pub cut: bool,
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
    /// Function; `None` with fewer than two phases of different size, and while phases are not
    /// measured yet.
    pub function: Option<Function>,
    /// Whether the stack ends inside the left ventricle at end-diastole: nothing of the function
    /// is to be used then.
    #[serde(default)]
    pub cut: bool,
    /// Least and most times the drawn one that the pack measures the left myocardial mass, over
    /// the patients that it was scored on.
    #[serde(default)]
    pub mass_times: Option<[f64; 2]>,
    /// The same of the right ventricle at end-diastole.
    #[serde(default)]
    pub right_times: Option<[f64; 2]>,
    /// Whether the right ventricle at end-systole is to be used, and what comes of it: its
    /// end-systolic and stroke volume and its ejection fraction.
    pub right_usable: bool,
}

/// One number of the function.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FunctionRow {
    /// The word in attributes, for example `lv-edv`.
    pub key: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// The number; `None` where the ventricle was not found.
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
                let (volumes, cut, refused) = match measured {
                    Some(Measured::Volumes(volumes)) => (Some(volumes), false, None),
                    Some(Measured::Cut(volumes)) => (Some(volumes), true, None),
                    Some(Measured::Refused(reason)) => (None, false, Some(reason)),
                    None => (None, false, None),
                };
                let time_ms = times.as_ref().and_then(|times| times.get(at).copied());
                CinePhaseReport { phase: at + 1, time_ms, volumes, cut, refused }
            })
            .collect();
        let volumes: Vec<Option<Phase>> = phases.iter().map(|phase| phase.volumes).collect();
        let cavities = phases.iter().filter_map(|p| Some((p.volumes?.left_ml, p.cut)));
        let largest = cavities.max_by(|a, b| a.0.total_cmp(&b.0));
        let mut report = Self {
            unit_stated,
            function: None,
            cut: largest.is_some_and(|(_, cut)| cut),
            mass_times: range(scores, "Myocardium at diastole, predicted / drawn"),
            right_times: range(scores, "Right-Ventricle at diastole, predicted / drawn"),
            right_usable: right_usable(scores),
            phases,
        };
        // End-systole may be a phase that is not measured yet.
        if report.waiting() == 0 {
            report.function = function(&volumes);
        }
        report
    }

    /// How many phases are not measured yet, and not refused.
    pub fn waiting(&self) -> usize {
        self.phases.iter().filter(|p| p.volumes.is_none() && p.refused.is_none()).count()
    }

    /// How many phases have volumes, and of how many; `None` where all have.
    pub(super) fn partial(&self) -> Option<(usize, usize)> {
        let all = self.phases.len();
        let seen = self.phases.iter().filter(|phase| phase.volumes.is_some()).count();
        (seen < all).then_some((seen, all))
    }

    /// Why there is no function; `None` where there is one.
    pub fn no_function(&self) -> Option<String> {
        if self.function.is_some() {
            return None;
        }
        let (waiting, all) = (self.waiting(), self.phases.len());
        Some(if waiting == 0 {
            NO_FUNCTION.into()
        } else {
            format!(
                "No ejection fraction: {waiting} of {all} phases are still to be measured, and \
                 end-systole may be among them."
            )
        })
    }

    /// Whether the right ventricle of a phase is to be used: where its end-systole is not, at
    /// end-diastole only, since packs are scored at these two.
    pub fn right_usable_at(&self, at: usize) -> bool {
        let diastole = || self.function.as_ref().is_some_and(|f| f.end_diastole == at);
        !self.cut && (self.right_usable || diastole())
    }

    /// What speaks against these numbers, a sentence each; [`cine_cautions`] has what speaks
    /// against the pack.
    pub fn cautions(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.cut {
            all.push(CUT.to_owned());
        }
        if let (Some(_), Some((seen, of))) = (&self.function, self.partial()) {
            all.push(format!(
                "The function is from {seen} of {of} phases: the others have no volumes, and \
                 end-diastole or end-systole may be among them."
            ));
        }
        if self.function.as_ref().is_some_and(|function| function.right.is_none()) {
            all.push(RIGHT_NOT_FOUND.to_owned());
        } else if !self.right_usable && !self.cut {
            all.push(RIGHT_WEAK.to_owned());
        }
        all
    }

    /// Phases and function, with the rows of the function and their formulas as `rows` and the
    /// sentences of [`Self::cautions`] as `cautions`.
    ///
    /// # Errors
    /// Those of `serde_json`.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut json = serde_json::to_value(self)?;
        json["rows"] = serde_json::to_value(self.rows())?;
        json["cautions"] = serde_json::to_value(self.cautions())?;
        serde_json::to_string_pretty(&json)
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
        let mut text = String::from(
            "phase,time_ms,lv_ml,rv_ml,myocardium_ml,unit_stated,event,rv_usable,stack_cut,\
             refused\r\n",
        );
        for (at, phase) in self.phases.iter().enumerate() {
            let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.3}"));
            let volume = |of: fn(&Phase) -> f64| number(phase.volumes.as_ref().map(of));
            let right = phase.volumes.map(|v| v.right_ml).filter(|millilitres| *millilitres > 0.0);
            let usable = right.map_or(String::new(), |_| self.right_usable_at(at).to_string());
            let refused = phase.refused.as_deref().unwrap_or_default().replace('"', "\"\"");
            let refused = if refused.is_empty() { refused } else { format!("\"{refused}\"") };
            text.push_str(&format!(
                "{},{},{},{},{},{},{},{usable},{},{refused}\r\n",
                phase.phase,
                number(phase.time_ms),
                volume(|v| v.left_ml),
                number(right),
                volume(|v| v.myocardium_ml),
                self.unit_stated,
                self.event(at),
                self.cut,
            ));
        }
        text
    }

    /// The numbers of the function, each with its formula; empty where there is none.
    pub fn rows(&self) -> Vec<FunctionRow> {
        let mut rows = self.function.as_ref().map(rows).unwrap_or_default();
        for row in &mut rows {
            let supported = self.right_usable || !RIGHT_SYSTOLE.contains(&row.key);
            row.usable = row.value.is_some() && !self.cut && supported;
            if let Some((seen, all)) = self.partial() {
                row.formula.push_str(&format!("; from {seen} of {all} phases"));
            }
            let times = match row.key {
                "lv-mass" => self.mass_times,
                "rv-edv" => self.right_times,
                _ => None,
            };
            if let Some([least, most]) = times {
                row.formula.push_str(&format!(
                    "; {least:.2} to {most:.2} times the drawn one in patients with drawn hearts"
                ));
            }
        }
        rows
    }

    /// The value of a row in words: "64.4 mL", "64.4 mL (unit assumed)", "not found".
    pub(super) fn value(&self, row: &FunctionRow) -> String {
        // A percentage does not depend on the unit of length.
        let unit = unit(row.unit, !self.unit_stated && row.unit != "%");
        row.value.map_or("not found".into(), |value| format!("{value:.1} {unit}"))
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
                (Some(Phase { left_ml, right_ml, myocardium_ml }), _) => {
                    let found = *right_ml > 0.0;
                    let right = if found { format!("{right_ml:.1}") } else { "not found".into() };
                    let weak = found && !self.right_usable_at(at);
                    let mark = if weak { "  RV not usable" } else { "" };
                    let event = self.event(at);
                    format!(" {left_ml:>10.1} {right:>10} {myocardium_ml:>17.1}  {event}{mark}")
                }
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
        for line in self.no_function().into_iter().chain(self.cautions()) {
            text.push_str(&line);
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
    let ventricle = |keys: [&'static str; 4], names: [&'static str; 4], v: Option<Ventricle>| {
        let discs = "voxels of all slices times the volume of a voxel";
        [
            (
                v.map(|v| v.end_diastolic_ml),
                "mL",
                format!("cavity in phase {diastole}, where the left one is largest: {discs}"),
            ),
            (
                v.map(|v| v.end_systolic_ml),
                "mL",
                format!("cavity in phase {systole}, where the left one is smallest: {discs}"),
            ),
            (v.map(|v| v.stroke_ml), "mL", "end-diastolic minus end-systolic volume".into()),
            (
                v.and_then(|v| v.ejection_percent),
                "%",
                "100 times stroke volume over end-diastolic volume".into(),
            ),
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
        Some(function.left),
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
        function.right,
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

/// Least and most of a ratio over the patients that a pack of these scores was scored on.
fn range(scores: &Value, key: &str) -> Option<[f64; 2]> {
    let cases = scores["function"]["cases"].as_object()?;
    let values = || cases.values().filter_map(|case| case[key].as_f64());
    Some([values().reduce(f64::min)?, values().reduce(f64::max)?])
}

/// Largest error of a ventricle's ejection fraction over these patients, in points.
fn worst_fraction(scores: &Value, ventricle: &str) -> Option<f64> {
    let error = |case: &Value| {
        let percent = |what: &str| case[format!("{ventricle} EF % {what}")].as_f64();
        Some((percent("predicted")? - percent("drawn")?).abs())
    };
    let cases = scores["function"]["cases"].as_object()?;
    cases.values().filter_map(error).reduce(f64::max)
}

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
    let worst = |ventricle: &str| {
        worst_fraction(scores, ventricle)
            .map_or(String::new(), |points| format!(" ({points:.1} at worst)"))
    };
    let times = |structure: &str| {
        let key = format!("{structure} at diastole, predicted / drawn");
        let spread = range(scores, &key)
            .map_or(String::new(), |[least, most]| format!(" ({least:.2} to {most:.2})"));
        number(&key).map(|mean| format!("{mean:.2} times the drawn one{spread}"))
    };
    let right = times("Right-Ventricle")
        .map_or(String::new(), |times| format!(", its right ventricle at end-diastole {times}"));
    Some(format!(
        "Against hearts drawn by hand ({} patients, not trained on) this model's ejection fraction is off by \
         {:.1} points on average{} on the left and {:.1}{} on the right; its myocardium measures {}{right}.",
        number("patients")?,
        number("Left-Ventricle EF mean absolute error, points")?,
        worst("Left-Ventricle"),
        number("Right-Ventricle EF mean absolute error, points")?,
        worst("Right-Ventricle"),
        times("Myocardium")?
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
        let expected = "phase,time_ms,lv_ml,rv_ml,myocardium_ml,unit_stated,event,rv_usable,stack_cut,\
                        refused\r\n\
            1,10.000,272.340,128.768,151.380,true,end-diastole,true,false,\r\n\
            2,50.000,,,,true,,,false,\"no \"\"wall\"\"\"\r\n\
            3,90.000,207.923,54.877,179.775,true,end-systole,true,false,\r\n";
        assert_eq!(report(4.9).to_csv(), expected);
        // End-diastole stays.
        let weak = expected.replace("end-systole,true", "end-systole,false");
        assert_eq!(report(14.4).to_csv(), weak);
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
        let phases: Vec<&str> = text.lines().filter(|l| l.ends_with("RV not usable")).collect();
        assert!(phases.len() == 1 && phases[0].contains("54.9"), "{text}");
        assert!(text.contains(RIGHT_WEAK) && !report(4.9).to_text().contains(RIGHT_WEAK));
        let json = serde_json::to_value(&weak).unwrap_or_default();
        assert_eq!(json["right_usable"], false);
        assert!(!report(4.9).to_text().contains(NOT_USABLE));
        // Scores that do not say do not support it either.
        let silent = CineReport::of(true, &[], Vec::new(), &Value::Null);
        assert!(!silent.right_usable);
    }

    #[test]
    fn a_stack_without_the_apex_gives_nothing_to_use() {
        let cut =
            |left_ml| Some(Measured::Cut(Phase { left_ml, right_ml: 40.0, myocardium_ml: 70.0 }));
        let scores = serde_json::json!({
            "function": { "Right-Ventricle EF mean absolute error, points": 1.0 },
        });
        let of = |measured| CineReport::of(true, &[None, None], measured, &scores);
        let report = of(vec![cut(98.1), cut(69.1)]);
        assert!(report.cut && report.rows().iter().all(|row| !row.usable));
        assert!(report.to_text().contains(CUT) && report.cautions() == [CUT]);
        assert!(report.to_csv().lines().skip(1).all(|line| line.ends_with(",false,true,")));
        let json: Value =
            serde_json::from_str(&report.to_json().unwrap_or_default()).unwrap_or_default();
        assert_eq!((&json["cut"], &json["cautions"][0]), (&true.into(), &CUT.into()));
        // At end-systole the apex may be closed, or the base beyond the stack.
        let whole = of(vec![volumes(98.1, 40.0, 70.0), cut(69.1)]);
        assert!(!whole.cut && whole.rows().iter().all(|row| row.usable));
    }

    #[test]
    fn a_function_waits_for_the_last_phase_and_says_how_many_it_is_from() {
        let part = |third| {
            let measured = vec![volumes(80.0, 70.0, 90.0), volumes(60.0, 50.0, 90.0), third];
            CineReport::of(true, &[None; 3], measured, &Value::Null)
        };
        let waiting = part(None);
        assert!(waiting.function.is_none() && waiting.rows().is_empty());
        let why = "No ejection fraction: 1 of 3 phases are still to be measured";
        assert!(waiting.to_text().contains(why), "{}", waiting.to_text());
        let refused = part(Some(Measured::Refused("no wall".into())));
        assert!(refused.rows().iter().all(|row| row.formula.contains("; from 2 of 3 phases")));
        let said = "The function is from 2 of 3 phases";
        assert!(refused.to_text().contains(said), "{}", refused.to_text());
        let all = part(volumes(30.0, 20.0, 90.0));
        assert!(all.rows().iter().all(|row| !row.formula.contains("; from")));
        assert!(!all.to_text().contains("The function is from") && all.no_function().is_none());
    }

    #[test]
    fn a_right_ventricle_that_was_not_found_is_no_number() {
        let measured = vec![volumes(80.0, 70.0, 90.0), volumes(60.0, 0.0, 90.0)];
        let report = CineReport::of(true, &[None, None], measured, &Value::Null);
        let right: Vec<FunctionRow> =
            report.rows().into_iter().filter(|row| row.key.starts_with("rv")).collect();
        assert!(right.len() == 4 && right.iter().all(|row| row.value.is_none() && !row.usable));
        let text = report.to_text();
        assert!(text.contains(RIGHT_NOT_FOUND) && !text.contains("100.0 %"), "{text}");
        assert!(text.lines().nth(2).is_some_and(|line| line.contains("  not found")), "{text}");
        assert!(report.to_csv().contains("\r\n2,,60.000,,90.000,"), "{}", report.to_csv());
    }

    #[test]
    fn formulas_are_in_the_json() {
        let json = report(14.4).to_json().unwrap_or_default();
        let read: Value = serde_json::from_str(&json).unwrap_or_default();
        let rows = read["rows"].as_array().cloned().unwrap_or_default();
        let fraction = rows.iter().find(|row| row["key"] == "rv-ef").cloned().unwrap_or_default();
        assert_eq!(fraction["usable"], false);
        assert!(fraction["formula"].as_str().is_some_and(|f| f.starts_with("100 times stroke")));
        // What is added stays out of the way of reading it back.
        let back = serde_json::from_str::<CineReport>(&json).map(|back| back.phases.len());
        assert_eq!(back.ok(), Some(3));
    }

    #[test]
    fn what_is_not_known_is_said() {
        let measured = vec![volumes(80.0, 70.0, 90.0), None];
        let unknown = CineReport::of(false, &[None, None], measured, &Value::Null);
        assert_eq!(unknown.function, None);
        let text = unknown.to_text();
        assert!(text.contains("1 of 2 phases") && text.contains(UNIT_ASSUMED), "{text}");
        let one = CineReport::of(true, &[None], vec![volumes(80.0, 70.0, 90.0)], &Value::Null);
        assert!(one.to_text().contains(NO_FUNCTION), "{}", one.to_text());
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

    #[test]
    fn cautions_have_the_worst_beside_the_mean() {
        // Patients 51 and 54 of ACDC.
        let case = |left: [f64; 2], right: [f64; 2], diastole: f64, myocardium: f64| {
            serde_json::json!({
                "Left-Ventricle EF % predicted": left[0], "Left-Ventricle EF % drawn": left[1],
                "Right-Ventricle EF % predicted": right[0], "Right-Ventricle EF % drawn": right[1],
                "Right-Ventricle at diastole, predicted / drawn": diastole,
                "Myocardium at diastole, predicted / drawn": myocardium,
            })
        };
        let scores = serde_json::json!({ "function": {
            "patients": 2,
            "cases": {
                "patient051": case([40.0, 43.6], [36.5, 52.9], 1.007, 1.244),
                "patient054": case([28.3, 25.8], [54.3, 62.0], 1.291, 1.308),
            },
            "Left-Ventricle EF mean absolute error, points": 3.05,
            "Right-Ventricle EF mean absolute error, points": 12.05,
            "Right-Ventricle at diastole, predicted / drawn": 1.149,
            "Myocardium at diastole, predicted / drawn": 1.276,
        } });
        let caution = cine_cautions(&scores).concat();
        for words in [
            "(3.6 at worst)",
            "(16.4 at worst)",
            "1.28 times the drawn one (1.24 to 1.31)",
            "1.15 times the drawn one (1.01 to 1.29)",
        ] {
            assert!(caution.contains(words), "{words}: {caution}");
        }
        let measured = vec![volumes(80.0, 70.0, 90.0), volumes(60.0, 50.0, 90.0)];
        let rows = CineReport::of(true, &[None, None], measured, &scores).rows();
        let told = |key: &str, range: &str| {
            rows.iter().any(|row| row.key == key && row.formula.contains(range))
        };
        assert!(told("lv-mass", "1.24 to 1.31 times") && told("rv-edv", "1.01 to 1.29 times"));
    }
}
