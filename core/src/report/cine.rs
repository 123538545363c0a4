//! Phases of a heartbeat and the function over them, as text, CSV (RFC 4180) and JSON.

use serde::{Deserialize, Serialize};

use crate::measure::cardiac::{Function, Phase, Ventricle};

/// Where a file states no unit of length.
const UNIT_ASSUMED: &str = "The files do not state their unit of length: millimetres were assumed, \
    so that millilitres and grams are uncertain. The ejection fraction does not depend on it.";

/// Phases in order, with what they give together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CineReport {
    /// Whether every file states its unit of length.
    pub unit_stated: bool,
    /// Volumes, a phase each.
    pub phases: Vec<Phase>,
    /// Function; `None` with fewer than two phases of different size.
    pub function: Option<Function>,
}

impl CineReport {
    /// One line a phase, below a header.
    pub fn to_csv(&self) -> String {
        let mut text = String::from("phase,lv_ml,rv_ml,myocardium_ml,unit_stated\r\n");
        for (at, phase) in self.phases.iter().enumerate() {
            text.push_str(&format!(
                "{},{:.3},{:.3},{:.3},{}\r\n",
                at + 1,
                phase.left_ml,
                phase.right_ml,
                phase.myocardium_ml,
                self.unit_stated
            ));
        }
        text
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = String::from("phase      LV mL      RV mL     myocardium mL\n");
        for (at, phase) in self.phases.iter().enumerate() {
            let Phase { left_ml, right_ml, myocardium_ml } = phase;
            text.push_str(&format!(
                "{:>5} {left_ml:>10.1} {right_ml:>10.1} {myocardium_ml:>17.1}\n",
                at + 1
            ));
        }
        match &self.function {
            Some(function) => text.push_str(&lines(function)),
            None => text.push_str(
                "No ejection fraction: it needs two phases in which the left ventricle differs.\n",
            ),
        }
        if !self.unit_stated {
            text.push_str(UNIT_ASSUMED);
            text.push('\n');
        }
        text
    }
}

fn lines(function: &Function) -> String {
    let ventricle = |name: &str, v: &Ventricle| {
        let ejection = v.ejection_percent.map_or("-".into(), |percent| format!("{percent:.1} %"));
        format!(
            "{name}: EDV {:.1} mL, ESV {:.1} mL, SV {:.1} mL, EF {ejection}\n",
            v.end_diastolic_ml, v.end_systolic_ml, v.stroke_ml
        )
    };
    format!(
        "End-diastole is phase {}, end-systole phase {} (largest and smallest left ventricle).\n\
         {}{}Myocardial mass {:.1} g (1.05 g/mL at end-diastole)\n",
        function.end_diastole + 1,
        function.end_systole + 1,
        ventricle("Left ventricle", &function.left),
        ventricle("Right ventricle", &function.right),
        function.mass_g
    )
}
