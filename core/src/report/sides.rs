//! Differences between the sides: which of them the report names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ASYMMETRY_NAMED_PERCENT;
use super::findings::comparable;
use crate::measure::{StructureVolume, base_name};

/// How many of a pack's mean absolute errors a difference must exceed the limit by: of a normal
/// error, 1.6 standard deviations, which leave one in nine to chance, as either side is named.
const ERRORS: f64 = 2.0;

/// How far a pack's asymmetry indices are from those of outlines drawn by hand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SideErrors {
    /// Scans with outlines.
    pub scans: usize,
    /// Mean absolute error of the asymmetry index in percentage points, by structure.
    pub points: BTreeMap<String, f64>,
}

impl SideErrors {
    /// That of a pack's scores (`training.report.truth --describe`); `None` where it was not
    /// measured.
    pub fn of(scores: &serde_json::Value) -> Option<Self> {
        serde_json::from_value(scores.get("side_errors")?.clone()).ok()
    }

    /// Asymmetry index in percent from which a difference of this structure is named; `None`
    /// where the pack's errors were measured, but not in this structure.
    pub(super) fn limit(errors: Option<&Self>, row: &StructureVolume) -> Option<f64> {
        let points = match errors {
            Some(errors) => *errors.points.get(base_name(&row.display_name))?,
            None => 0.0,
        };
        let limit = ASYMMETRY_NAMED_PERCENT + ERRORS * points.max(0.0);
        // As it is printed.
        Some((10.0 * limit).round() / 10.0)
    }
}

/// How a difference between two sides is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// A side is cut by the field of view.
    Cut,
    /// Below [`ASYMMETRY_NAMED_PERCENT`].
    Even,
    /// In a structure that is too small to be compared ([`comparable`]).
    Tiny,
    /// Below the limit that the pack's error sets, or in a structure whose error is not known.
    Unsure,
    /// Named.
    Named,
}

/// Judges a pair by its asymmetry index; `None` where it has none.
pub(super) fn difference(
    left: &StructureVolume,
    right: &StructureVolume,
    errors: Option<&SideErrors>,
) -> Option<Difference> {
    let percent = left.asymmetry_percent?.abs();
    Some(if left.edge_voxels + right.edge_voxels > 0 {
        Difference::Cut
    } else if percent < ASYMMETRY_NAMED_PERCENT {
        Difference::Even
    } else if !comparable(left, right) {
        Difference::Tiny
    } else if SideErrors::limit(errors, left).is_some_and(|limit| percent >= limit) {
        Difference::Named
    } else {
        Difference::Unsure
    })
}
