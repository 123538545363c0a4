//! Differences between the sides: which of them the report names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ASYMMETRY_NAMED_PERCENT, ASYMMETRY_SMALLEST_MILLILITRES};
use crate::measure::{StructureVolume, base_name};

/// What a pack gives for the asymmetry index of people who were not chosen for a difference: within
/// this range a difference says as much of the pack as of the person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UsualSides {
    /// People.
    pub people: usize,
    /// Lower and upper limit of the asymmetry index in percent (mean less and plus two standard
    /// deviations), by structure.
    pub percent: BTreeMap<String, [f64; 2]>,
}

impl UsualSides {
    /// That of a pack's scores (`training.report.sides`); `None` where it was not measured.
    pub fn of(scores: &serde_json::Value) -> Option<Self> {
        serde_json::from_value(scores.get("usual_sides")?.clone()).ok()
    }

    fn holds(&self, name: &str, percent: f64) -> bool {
        self.percent.get(name).is_some_and(|[low, high]| (low..=high).contains(&&percent))
    }
}

/// How a difference between two sides is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// A side is cut by the field of view.
    Cut,
    /// Below [`ASYMMETRY_NAMED_PERCENT`].
    Even,
    /// In a structure below [`ASYMMETRY_SMALLEST_MILLILITRES`].
    Tiny,
    /// As the pack gives it for others, too.
    Usual,
    /// Named.
    Named,
}

/// Judges a pair by its asymmetry index; `None` where it has none.
pub(super) fn difference(
    left: &StructureVolume,
    right: &StructureVolume,
    usual: Option<&UsualSides>,
) -> Option<Difference> {
    let percent = left.asymmetry_percent?;
    Some(if left.edge_voxels + right.edge_voxels > 0 {
        Difference::Cut
    } else if percent.abs() < ASYMMETRY_NAMED_PERCENT {
        Difference::Even
    } else if left.millilitres.min(right.millilitres) < ASYMMETRY_SMALLEST_MILLILITRES {
        Difference::Tiny
    } else if usual.is_some_and(|usual| usual.holds(base_name(&left.display_name), percent)) {
        Difference::Usual
    } else {
        Difference::Named
    })
}
