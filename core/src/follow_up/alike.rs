//! Whether two scans may be compared: one person, one sequence.

use super::compare::FollowUpError;
use crate::identify::{HeadsPack, TISSUES, names};
use crate::model::Pack;
use crate::pipeline::contrast;
use crate::volume::{LabelMap, LabelTable, Volume};

/// Mean Dice of the structures below which two scans are not of one person.
pub const LEAST_OVERLAP: f64 = 0.72;

/// Mean Dice of the structures that both label maps, on one grid, hold; `None` for none.
pub fn overlap(labels: &[LabelMap; 2], table: &LabelTable) -> Option<f64> {
    let mut counts = vec![[0_u64; 3]; 256];
    for (&a, &b) in labels[0].data.iter().zip(&labels[1].data) {
        counts[usize::from(a)][0] += 1;
        counts[usize::from(b)][1] += 1;
        counts[usize::from(a)][2] += u64::from(a == b);
    }
    let found: Vec<f64> = table
        .labels
        .iter()
        .map(|label| counts[usize::from(label.index)])
        .filter(|[a, b, _]| *a > 0 && *b > 0)
        .map(|[a, b, both]| 2.0 * both as f64 / (a + b) as f64)
        .collect();
    (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
}

/// Checks two scans half-way with their labels.
///
/// # Errors
/// [`FollowUpError::Apart`], [`FollowUpError::Sequences`], [`FollowUpError::People`].
pub fn check(
    scans: &[Volume; 2],
    labels: &[LabelMap; 2],
    pack: &Pack,
    heads: Option<&HeadsPack>,
) -> Result<(), FollowUpError> {
    let table = &pack.info.labels;
    let overlap = overlap(labels, table).ok_or(FollowUpError::Apart)?;
    let known =
        heads.filter(|heads| heads.check_encoder(&pack.info.name, &pack.info.sha256).is_ok());
    let sequence = |time: usize| {
        let tissues = contrast(&scans[time].data, &labels[time].data, table)?;
        let head = known?.head(names::SEQUENCE_BY_TISSUES).ok()?;
        head.answer(&[(TISSUES, &tissues)]).ok()?.given
    };
    if let (Some(first), Some(second)) = (sequence(0), sequence(1))
        && first != second
    {
        return Err(FollowUpError::Sequences(first, second));
    }
    if overlap < LEAST_OVERLAP {
        return Err(FollowUpError::People(overlap));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, Label};

    #[test]
    fn overlap_is_the_mean_dice_of_what_both_hold() {
        let label = |index: u8| Label {
            index,
            id: u16::from(index),
            name: index.to_string(),
            color: [0; 3],
            side: None,
            pair: None,
        };
        let table = LabelTable { labels: [1, 2, 3].map(label).into() };
        let map = |data: [u8; 6]| LabelMap {
            data: data.into(),
            dims: [6, 1, 1],
            affine: Affine::IDENTITY,
        };
        // 1: 2 of 3 and 2, 2: 1 of 2 and 2; 3 is in one alone.
        let pair = [map([1, 1, 1, 2, 2, 0]), map([1, 1, 0, 2, 3, 2])];
        let expected = (4.0 / 5.0 + 2.0 / 4.0) / 2.0;
        assert!((overlap(&pair, &table).unwrap_or(0.0) - expected).abs() < 1e-12);
        assert_eq!(overlap(&[map([0; 6]), map([1; 6])], &table), None);
    }
}
