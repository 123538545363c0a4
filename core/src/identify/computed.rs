//! Whether voxels are those of a map that was computed from a scan, not those of a scan.
//!
//! Heads and networks answer whatever they are given, label maps too. Two kinds are told by
//! their values alone:
//!
//! - labels: whole numbers, at most 256 different ones, and of neighbours along x, neither of
//!   which has the commonest value, 0.6 or more are equal. In 28 label maps (hippocampus, heart,
//!   brain, body, lesions) 0.84 or more are; in 80 scans of 8 bits (T1w heads and brains, FLAIR,
//!   T2w, cine, crops of the hippocampus, the sample scan) 0.37 or less, in all but cine 0.16 or
//!   less.
//! - shares: all within 0 to 1, a tenth of the voxels or more exactly 0, and a tenth of the
//!   others or more exactly 1. Of the same scans brought to 0 to 1 by their largest value 0.012
//!   or less of the voxels that are not 0 would be 1.
//!
//! Maps of fractional anisotropy and smoothed maps of shares hardly ever reach 1 and are not
//! told.

use std::collections::BTreeSet;

use super::{Answer, Identification};
use crate::volume::Volume;

/// Most different values of a label map.
const MOST_LABELS: usize = 256;

/// Least share of equal neighbours of a label map.
const LEAST_EQUAL: f64 = 0.6;

/// Least share of voxels that are exactly 0 in a map of shares, and of the others that are
/// exactly 1.
const LEAST_EXACT: f64 = 0.1;

/// What a map holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Computed {
    /// A label a voxel.
    Labels,
    /// The share of a voxel that is of one tissue.
    Shares,
}

impl Computed {
    /// What the voxels are if they are no scan.
    pub fn of(volume: &Volume) -> Option<Self> {
        if are_labels(volume) {
            Some(Self::Labels)
        } else if are_shares(&volume.data) {
            Some(Self::Shares)
        } else {
            None
        }
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Labels => "This looks like a map computed from a scan (labels), not a scan.",
            Self::Shares => {
                "This looks like a map computed from a scan (shares of a tissue), not a scan."
            }
        }
    }
}

impl Identification {
    /// With sequence and body part unknown and a warning, where the voxels are those of a map
    /// that was computed from a scan.
    pub fn unless_computed(mut self, volume: &Volume) -> Self {
        let Some(map) = Computed::of(volume) else { return self };
        let unknown = || Answer {
            given: None,
            probabilities: Vec::new(),
            distance: None,
            most_distance: None,
        };
        (self.sequence, self.body_part) = (unknown(), unknown());
        (self.sequence_note, self.sequence_by_file, self.skull) = (None, None, None);
        self.warnings = vec![map.words().into()];
        self
    }

    /// What [`Self::unless_computed`] found the voxels to be, if no scan.
    pub fn computed(&self) -> Option<Computed> {
        let said = |map: &Computed| self.warnings.iter().any(|warning| warning == map.words());
        [Computed::Labels, Computed::Shares].into_iter().find(said)
    }
}

fn are_labels(volume: &Volume) -> bool {
    let mut values = BTreeSet::new();
    let mut last = f32::NAN;
    for &value in &volume.data {
        // Most voxels have the value of the one before them.
        if value == last {
            continue;
        }
        if value.fract() != 0.0 {
            return false;
        }
        values.insert(value as i64);
        if values.len() > MOST_LABELS {
            return false;
        }
        last = value;
    }
    let Some(commonest) = commonest(&volume.data, values) else { return false };
    let (mut pairs, mut equal) = (0_u64, 0_u64);
    for row in volume.data.chunks_exact(volume.dims[0].max(1)) {
        for pair in row.windows(2) {
            if pair.iter().all(|&value| value as i64 != commonest) {
                pairs += 1;
                equal += u64::from(pair[0] == pair[1]);
            }
        }
    }
    pairs > 0 && equal as f64 >= LEAST_EQUAL * pairs as f64
}

/// The commonest of a few values.
fn commonest(data: &[f32], values: BTreeSet<i64>) -> Option<i64> {
    let values: Vec<i64> = values.into_iter().collect();
    let mut counts = vec![0_u64; values.len()];
    for &value in data {
        if let Ok(at) = values.binary_search(&(value as i64)) {
            counts[at] += 1;
        }
    }
    let (at, _) = counts.iter().enumerate().max_by_key(|(_, count)| **count)?;
    values.get(at).copied()
}

fn are_shares(data: &[f32]) -> bool {
    let (mut zeros, mut ones) = (0_u64, 0_u64);
    for &value in data {
        if !(0.0..=1.0).contains(&value) {
            return false;
        }
        zeros += u64::from(value == 0.0);
        ones += u64::from(value == 1.0);
    }
    let all = data.len() as f64;
    let others = all - zeros as f64;
    others > 0.0 && zeros as f64 >= LEAST_EXACT * all && ones as f64 >= LEAST_EXACT * others
}

#[cfg(test)]
mod tests {
    use super::super::geometry::{Direction, Plane};
    use super::*;
    use crate::volume::Affine;

    const SIDE: usize = 20;

    fn volume(value: impl Fn([usize; 3]) -> f32) -> Volume {
        let place = |at: usize| [at % SIDE, at / SIDE % SIDE, at / (SIDE * SIDE)];
        let data = (0..SIDE.pow(3)).map(|at| value(place(at))).collect();
        Volume { data, dims: [SIDE; 3], affine: Affine::from_spacing([1.0; 3]) }
    }

    fn inside(place: [usize; 3]) -> bool {
        place.into_iter().all(|at| (4..16).contains(&at))
    }

    /// Pieces of 6 mm with a number each, in air.
    fn labels() -> Volume {
        volume(
            |[x, y, z]| {
                if inside([x, y, z]) { (1 + (x - 4) / 6 + 2 * ((y - 4) / 6)) as f32 } else { 0.0 }
            },
        )
    }

    #[test]
    fn labels_and_shares_are_told() {
        assert_eq!(Computed::of(&labels()), Some(Computed::Labels));
        // One structure of a mask.
        let mask = volume(|place| f32::from(u8::from(inside(place))));
        assert_eq!(Computed::of(&mask), Some(Computed::Labels));
        let shares = volume(|[x, y, z]| match (inside([x, y, z]), x) {
            (false, _) => 0.0,
            (true, 4 | 15) => 0.4,
            (true, _) => 1.0,
        });
        assert_eq!(Computed::of(&shares), Some(Computed::Shares));
    }

    #[test]
    fn scans_of_eight_bits_are_left_alone() {
        // Grey levels with noise, in air that is none.
        let noise = |[x, y, z]: [usize; 3]| ((x * 7 + y * 13 + z * 29) * 2_654_435 % 61) as f32;
        let scan =
            |air: f32| volume(move |place| if inside(place) { 90.0 + noise(place) } else { air });
        for air in [0.0, 12.0] {
            assert_eq!(Computed::of(&scan(air)), None, "{air}");
        }
        // The same between 0 and 1.
        let scaled =
            volume(|place| if inside(place) { (90.0 + noise(place)) / 150.0 } else { 0.0 });
        assert_eq!(Computed::of(&scaled), None);
        assert_eq!(Computed::of(&volume(|_| 0.0)), None);
        assert_eq!(Computed::of(&volume(|_| f32::NAN)), None);
    }

    #[test]
    fn nothing_is_said_of_a_map_but_that_it_is_one() {
        let answer = |class: &str| Answer {
            given: Some(class.into()),
            probabilities: vec![(class.into(), 0.9)],
            distance: None,
            most_distance: None,
        };
        let found = Identification {
            sequence: answer("T1w"),
            sequence_note: Some("the file states a contrast agent".into()),
            sequence_by_file: Some("T1w post-contrast".into()),
            body_part: answer("head"),
            skull: Some(answer("whole")),
            plane: Plane { direction: Direction::Isotropic, tilt_degrees: 0.0 },
            extent_mm: [20.0; 3],
            stack: None,
            warnings: Vec::new(),
        };
        let scan = volume(|[x, y, z]| (x * y + z) as f32 + 0.5);
        assert_eq!(found.clone().unless_computed(&scan), found);
        let map = found.clone().unless_computed(&labels());
        assert!(map.sequence.given.is_none() && map.body_part.given.is_none());
        assert!(!map.is_whole_head() && map.sequence_words() == "unknown");
        assert_eq!((map.computed(), found.computed()), (Some(Computed::Labels), None));
        assert_eq!(
            map.warnings,
            ["This looks like a map computed from a scan (labels), not a scan."]
        );
    }
}
