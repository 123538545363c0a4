//! Lesions that changed, and which of them may be said to have.

use serde::{Deserialize, Serialize};

use super::lesions::{Fate, Lesion, Lesions};
use crate::volume::{Affine, LabelMap};

/// What is to be known of every search for changed lesions.
pub const MISSED: &str = "Most small changes of lesions are missed, and so are lesions that are \
                          darker than what is around them.";

/// A change of a lesion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What became of it.
    pub fate: Fate,
    /// Volume of what came or went, millilitres.
    pub millilitres: f64,
    /// A place inside it in the baseline's world and the follow-up's, millimetres (RAS+).
    pub places_mm: [[f64; 3]; 2],
    /// Mean rise of its grey (or fall) in standard deviations of normal white matter.
    pub strength: f64,
    /// Whether it is larger than anything that the baseline against its own repeats shows.
    pub outside: bool,
}

/// All of them.
#[derive(Clone, Debug, PartialEq)]
pub struct LesionChange {
    /// Largest first.
    pub findings: Vec<Finding>,
    /// [`Fate::index`] where there is one that lies outside, on the half-way grid.
    pub mask: LabelMap,
    /// Largest spot, millilitres, that the baseline against its own repeats shows; 0 for none.
    pub largest_null_ml: f64,
}

impl LesionChange {
    /// What is larger than the largest null is outside; the mask holds nothing else.
    pub fn judged(found: Lesions, largest_null_ml: f64, maps: &[Affine; 2]) -> Self {
        let Lesions { spots, mut mask, members } = found;
        let outside = |spot: &Lesion| spot.millilitres > largest_null_ml;
        for (spot, members) in spots.iter().zip(&members) {
            if !outside(spot) {
                members.iter().for_each(|&at| mask.data[at] = 0);
            }
        }
        let findings = spots.iter().map(|spot| Finding {
            fate: spot.fate,
            millilitres: spot.millilitres,
            places_mm: maps.map(|map| map.apply(spot.inside_mm)),
            strength: spot.strength,
            outside: outside(spot),
        });
        Self { findings: findings.collect(), mask, largest_null_ml }
    }

    /// [`words`] of it.
    pub fn words(&self) -> String {
        words(&self.findings, self.largest_null_ml)
    }
}

/// What may be said of all of them together: only what no repeat shows is a change.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangedLesions {
    /// What became of those that lie outside, how many and how many millilitres together, in
    /// the order of [`Fate::ALL`].
    pub changed: Vec<(Fate, usize, f64)>,
    /// Spots that are no larger than what repeats show.
    pub smaller: usize,
    /// Largest spot that repeats show, millilitres.
    pub largest_null_ml: f64,
}

impl ChangedLesions {
    /// Counts and sums them.
    pub fn of(findings: &[Finding], largest_null_ml: f64) -> Self {
        let (outside, rest): (Vec<&Finding>, Vec<_>) = findings.iter().partition(|f| f.outside);
        let of = |fate: Fate| {
            let volumes = outside.iter().filter(|f| f.fate == fate).map(|f| f.millilitres);
            let (count, sum) = volumes.fold((0, 0.0), |(count, sum), ml| (count + 1, sum + ml));
            (count > 0).then_some((fate, count, sum))
        };
        let changed = Fate::ALL.into_iter().filter_map(of).collect();
        Self { changed, smaller: rest.len(), largest_null_ml }
    }
}

/// What may be said, in words, with [`MISSED`].
pub fn words(findings: &[Finding], largest_null_ml: f64) -> String {
    let ChangedLesions { changed, smaller, .. } = ChangedLesions::of(findings, largest_null_ml);
    let rest = if smaller == 0 {
        String::new()
    } else {
        format!("; {smaller} more no larger than what repeats show ({largest_null_ml:.2} mL)")
    };
    let part = |(fate, count, sum): &(Fate, usize, f64)| {
        let fate = fate.word();
        format!("{count} {fate} ({sum:.2} mL)")
    };
    let parts: Vec<String> = changed.iter().map(part).collect();
    if parts.is_empty() {
        return format!("lesions: none changed outside what repeats show{rest}. {MISSED}");
    }
    format!("lesions: {}{rest}. {MISSED}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(fate: Fate, millilitres: f64) -> Lesion {
        Lesion { fate, millilitres, inside_mm: [1.0, 2.0, 3.0], strength: 5.0 }
    }

    #[test]
    fn what_a_repeat_shows_is_no_change() {
        let lesions = || Lesions {
            spots: vec![spot(Fate::New, 0.3), spot(Fate::Shrunken, 0.1)],
            members: vec![vec![0, 1], vec![2]],
            mask: LabelMap { data: vec![1, 1, 3, 0], dims: [4, 1, 1], affine: Affine::IDENTITY },
        };
        let mut shift = Affine::IDENTITY;
        shift.0[0][3] = 10.0;
        let found = LesionChange::judged(lesions(), 0.1, &[Affine::IDENTITY, shift]);
        assert_eq!(found.findings.iter().map(|f| f.outside).collect::<Vec<_>>(), [true, false]);
        assert_eq!(found.findings[0].places_mm, [[1.0, 2.0, 3.0], [11.0, 2.0, 3.0]]);
        assert_eq!(found.mask.data, [1, 1, 0, 0]);
        assert_eq!(
            found.words(),
            "lesions: 1 new (0.30 mL); 1 more no larger than what repeats show (0.10 mL). Most small \
             changes of lesions are missed, and so are lesions that are darker than what is around them."
        );
        let none = LesionChange::judged(lesions(), 0.5, &[Affine::IDENTITY, shift]);
        assert!(none.words().starts_with("lesions: none changed outside what repeats show"));
        assert!(none.words().ends_with(MISSED), "{}", none.words());
        assert!(none.mask.data.iter().all(|&value| value == 0));
    }
}
