//! The heart on short-axis slices: volumes of a phase, function over phases, plausibility.
//!
//! A pack is for the heart where its label table names both ventricles and the
//! myocardium; its number for them does not matter.
//!
//! | file | what |
//! | --- | --- |
//! | `function` | end-diastole and end-systole, stroke volume, ejection fraction, mass |
//! | `plausible` | whether a scan is a stack of slices, and its labels a heart |
//! | `times` | whether stated times can be those of a heartbeat |

mod function;
mod plausible;
mod times;

use serde::{Deserialize, Serialize};

pub use function::{Function, MYOCARDIUM_G_PER_ML, Ventricle, function};
pub use plausible::{Implausible, check_labels, check_stack, is_cut};
pub use times::phase_times;

use crate::volume::{LabelMap, LabelTable};

/// Label indices of the heart's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chambers {
    /// Cavity of the right ventricle.
    pub right: u8,
    /// Myocardium of the left ventricle.
    pub myocardium: u8,
    /// Cavity of the left ventricle.
    pub left: u8,
}

impl Chambers {
    /// Those of a table; `None` where it does not name all three.
    pub fn of(table: &LabelTable) -> Option<Self> {
        let named = |words: &[&str]| {
            let fits = |name: &str| words.iter().all(|word| name.contains(word));
            let label = table.labels.iter().find(|label| fits(&label.name.to_lowercase()))?;
            Some(label.index)
        };
        Some(Self {
            right: named(&["right", "ventricle"])?,
            myocardium: named(&["myocard"])?,
            left: named(&["left", "ventricle"])?,
        })
    }
}

/// The heart at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Cavity of the left ventricle in millilitres.
    pub left_ml: f64,
    /// Cavity of the right ventricle in millilitres; 0 where it was not found, and then not
    /// written.
    #[serde(default, skip_serializing_if = "is_none")]
    pub right_ml: f64,
    /// Myocardium of the left ventricle in millilitres.
    pub myocardium_ml: f64,
}

impl Phase {
    /// Measures one phase by summation of discs (Simpson's rule): the voxels of all slices
    /// times the volume of a voxel, `n |det A| / 1000` mL, which counts the distance between
    /// slices as their thickness (Schulz-Menger et al., J Cardiovasc Magn Reson 2020, 22:19).
    pub fn of(labels: &LabelMap, chambers: Chambers) -> Self {
        let counts = labels.counts();
        let voxel_ml = labels.affine.determinant().abs() / 1000.0;
        let millilitres = |index: u8| counts[usize::from(index)] as f64 * voxel_ml;
        Self {
            left_ml: millilitres(chambers.left),
            right_ml: millilitres(chambers.right),
            myocardium_ml: millilitres(chambers.myocardium),
        }
    }
}

fn is_none(millilitres: &f64) -> bool {
    *millilitres <= 0.0
}

/// What came of measuring a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Measured {
    /// Its volumes.
    Volumes(Phase),
    /// Its volumes as far as the stack goes, which [`is_cut`].
    Cut(Phase),
    /// What was outlined is no heart: why.
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, Label};

    fn table(names: &[(u8, &str)]) -> LabelTable {
        let label = |&(index, name): &(u8, &str)| Label {
            index,
            id: u16::from(index),
            name: name.into(),
            color: [0; 3],
            side: None,
            pair: None,
        };
        LabelTable { labels: names.iter().map(label).collect() }
    }

    #[test]
    fn ventricles_of_a_brain_are_not_those_of_a_heart() {
        let brain = table(&[(1, "Left-Lateral-Ventricle"), (2, "Right-Lateral-Ventricle")]);
        assert_eq!(Chambers::of(&brain), None);
        let heart = table(&[(1, "Right-Ventricle"), (2, "Myocardium"), (3, "Left-Ventricle")]);
        assert_eq!(Chambers::of(&heart), Some(Chambers { right: 1, myocardium: 2, left: 3 }));
    }

    #[test]
    fn a_right_ventricle_that_was_not_found_is_not_written() {
        let phase = Phase { left_ml: 45.0, right_ml: 0.0, myocardium_ml: 22.5 };
        let written = serde_json::to_string(&phase).unwrap_or_default();
        assert_eq!(written, r#"{"left_ml":45.0,"myocardium_ml":22.5}"#);
        assert_eq!(serde_json::from_str::<Phase>(&written).ok(), Some(phase));
    }

    #[test]
    fn a_phase_counts_discs() {
        // 1.5 x 1.5 x 10 mm: 22.5 mm3 a voxel; 2 000 voxels are 45 mL.
        let mut data = vec![3_u8; 2000];
        data.resize(3000, 2);
        data.resize(3400, 1);
        let affine = Affine::from_spacing([1.5, 1.5, 10.0]);
        let labels = LabelMap { data, dims: [20, 17, 10], affine };
        let phase = Phase::of(&labels, Chambers { right: 1, myocardium: 2, left: 3 });
        let Phase { left_ml, right_ml, myocardium_ml } = phase;
        let all = [(left_ml, 45.0), (right_ml, 9.0), (myocardium_ml, 22.5)];
        assert!(all.iter().all(|(mine, expected)| (mine - expected).abs() < 1e-9), "{phase:?}");
    }
}
