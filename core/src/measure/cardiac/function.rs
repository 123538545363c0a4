//! Function of the ventricles over the phases of a heartbeat.
//!
//! Definitions as in Schulz-Menger et al., "Standardized image interpretation and
//! post-processing in cardiovascular magnetic resonance - 2020 update" (J Cardiovasc Magn
//! Reson 22:19): end-diastole is the phase with the largest left-ventricular cavity,
//! end-systole the one with the smallest. A volume is as good as the file's spacing; the
//! ejection fraction is a ratio and does not depend on it.

use serde::{Deserialize, Serialize};

use super::Phase;

/// Density of myocardium, g/mL (the same source; Vinnakota and Bassingthwaighte, Am J
/// Physiol Heart 2004, 286:H1742, give 1.053).
pub const MYOCARDIUM_G_PER_ML: f64 = 1.05;

/// Function of one ventricle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ventricle {
    /// EDV: cavity at end-diastole, mL.
    pub end_diastolic_ml: f64,
    /// ESV: cavity at end-systole, mL.
    pub end_systolic_ml: f64,
    /// SV = EDV - ESV, mL.
    pub stroke_ml: f64,
    /// EF = 100 SV / EDV, percent; `None` without an end-diastolic cavity.
    pub ejection_percent: Option<f64>,
}

impl Ventricle {
    fn of(end_diastolic_ml: f64, end_systolic_ml: f64) -> Self {
        let stroke_ml = end_diastolic_ml - end_systolic_ml;
        let ejection_percent =
            (end_diastolic_ml > 0.0).then(|| 100.0 * stroke_ml / end_diastolic_ml);
        Self { end_diastolic_ml, end_systolic_ml, stroke_ml, ejection_percent }
    }
}

/// Function of the heart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Which phase is end-diastole, counted from 0.
    pub end_diastole: usize,
    /// Which phase is end-systole, counted from 0.
    pub end_systole: usize,
    /// Left ventricle.
    pub left: Ventricle,
    /// Right ventricle, at the left one's phases; `None` where it was not found in both.
    pub right: Option<Ventricle>,
    /// Mass of the left ventricle's myocardium at end-diastole, without papillary muscles
    /// that lie in the cavity: 1.05 g/mL times its volume.
    pub mass_g: f64,
}

/// Function over the phases of one heartbeat, as far as they were measured; `None` with
/// fewer than two phases that show a left ventricle of different size.
pub fn function(phases: &[Option<Phase>]) -> Option<Function> {
    let cavity = |at: &usize| phases[*at].map_or(0.0, |phase| phase.left_ml);
    let seen = || (0..phases.len()).filter(|at| cavity(at) > 0.0);
    // The first of equals.
    let end_diastole = seen().rev().max_by(|a, b| cavity(a).total_cmp(&cavity(b)))?;
    let end_systole = seen().min_by(|a, b| cavity(a).total_cmp(&cavity(b)))?;
    let (diastole, systole) = (phases[end_diastole]?, phases[end_systole]?);
    (diastole.left_ml > systole.left_ml).then(|| Function {
        end_diastole,
        end_systole,
        left: Ventricle::of(diastole.left_ml, systole.left_ml),
        right: (diastole.right_ml > 0.0 && systole.right_ml > 0.0)
            .then(|| Ventricle::of(diastole.right_ml, systole.right_ml)),
        mass_g: MYOCARDIUM_G_PER_ML * diastole.myocardium_ml,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(left_ml: f64, right_ml: f64, myocardium_ml: f64) -> Option<Phase> {
        Some(Phase { left_ml, right_ml, myocardium_ml })
    }

    #[test]
    fn drawn_volumes_give_the_function() {
        // Patient 1 of ACDC as drawn, at the nominal 1.5 x 1.5 x 10 mm, by numpy: LV 272.34
        // and 207.9225 mL, RV 128.7675 and 54.8775 mL, myocardium 151.38 mL.
        let phases = [
            phase(240.0, 90.0, 160.0),
            None,
            phase(207.9225, 54.8775, 179.775),
            phase(272.34, 128.7675, 151.38),
        ];
        let function = function(&phases).unwrap_or_else(|| unreachable!("three measured phases"));
        assert_eq!((function.end_diastole, function.end_systole), (3, 2));
        let close = |mine: f64, expected: f64| assert!((mine - expected).abs() < 1e-4, "{mine}");
        close(function.left.stroke_ml, 64.4175);
        close(function.left.ejection_percent.unwrap_or_default(), 23.65334);
        let right = function.right.and_then(|right| right.ejection_percent);
        close(right.unwrap_or_default(), 57.38249);
        close(function.mass_g, 158.949);
    }

    #[test]
    fn a_right_ventricle_that_was_not_found_has_no_function() {
        // Missing at end-systole it would eject 100 %.
        for (diastole, systole) in [(130.0, 0.0), (0.0, 55.0), (0.0, 0.0)] {
            let found = function(&[phase(272.0, diastole, 151.0), phase(208.0, systole, 180.0)]);
            let found = found.unwrap_or_else(|| unreachable!("two measured phases"));
            assert_eq!(found.right, None);
            assert!(found.left.ejection_percent.is_some());
        }
    }

    #[test]
    fn one_phase_has_no_function() {
        assert_eq!(function(&[phase(120.0, 100.0, 90.0)]), None);
        assert_eq!(function(&[phase(120.0, 100.0, 90.0), phase(0.0, 0.0, 0.0)]), None);
        assert_eq!(function(&[]), None);
    }
}
