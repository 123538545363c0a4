//! Lesions at two times, through the lesion pack, and what is found where nothing changed.

use super::bright;
use super::compare::{FollowUp, FollowUpError};
use super::finding::LesionChange;
use super::lesions::{Slices, Time, lesion_changes};
use super::repeat::{Halfway, noise};
use crate::model::{Pack, Prism};
use crate::pipeline::{Watch, study_probabilities};
use crate::volume::{Affine, LabelMap, LabelTable, Volume};

/// Repeats of the baseline that it is held against.
const NULLS: usize = 2;

/// Looks for lesions that came, grew or went between the scans of a follow-up. `table` is
/// that of its labels, the network and pack are those of lesions. Scans in which lesions are
/// not bright (T1w) are refused.
///
/// # Errors
/// [`FollowUpError`].
pub async fn find_lesion_change<W: Watch>(
    scans: [&Volume; 2],
    compared: &FollowUp,
    table: &LabelTable,
    (model, pack): (&Prism, &Pack),
    watch: &mut W,
) -> Result<LesionChange, FollowUpError> {
    for (scan, labels) in compared.scans.iter().zip(&compared.labels) {
        bright::check(scan, labels, table)?;
    }
    let maps = &compared.maps;
    let halfway = Halfway::of(scans, maps).ok_or(FollowUpError::Apart)?;
    let [before, after] = &compared.labels;
    let either = before.data.iter().zip(&after.data).map(|(&a, &b)| a.max(b)).collect();
    let brain = LabelMap { data: either, dims: before.dims, affine: before.affine };
    let slices = [0, 1].map(|time| slices(scans[time], &maps[time]));
    let mut odds = Vec::with_capacity(2);
    for scan in &compared.scans {
        odds.push(lesion_odds(scan, &brain, (model, pack), watch).await?);
    }
    let time = |at: usize| Time {
        scan: &compared.scans[at],
        labels: &compared.labels[at],
        odds: &odds[at],
        slices: slices[at],
    };
    let found = lesion_changes([time(0), time(1)], table);
    let mut largest_null_ml = 0.0_f64;
    let noise = noise(scans[0]);
    for turn in 1..=NULLS {
        let again = halfway.again(scans[0], &maps[0], turn, noise)?;
        let odds = lesion_odds(&again, &brain, (model, pack), watch).await?;
        let second = Time { scan: &again, odds: &odds, ..time(0) };
        // Largest first, both ways.
        let spots = lesion_changes([time(0), second], table).spots;
        largest_null_ml = spots.iter().map(|s| s.millilitres).fold(largest_null_ml, f64::max);
    }
    Ok(LesionChange::judged(found, largest_null_ml, maps))
}

/// Probability of any lesion at each voxel of a scan half-way.
async fn lesion_odds<W: Watch>(
    scan: &Volume,
    brain: &LabelMap,
    (model, pack): (&Prism, &Pack),
    watch: &mut W,
) -> Result<Vec<f32>, FollowUpError> {
    // The half-way grid has the axes of RAS, as the probabilities do.
    let found = study_probabilities(&[scan], Some(brain), model, pack, watch).await?;
    let background = found.values.iter().take(scan.data.len());
    Ok(background.map(|background| 1.0 - background).collect())
}

/// The slices of a scan on the half-way grid, whose points `map` takes to the scan's.
fn slices(scan: &Volume, map: &Affine) -> Slices {
    let spacing = scan.spacing_mm();
    let thickest = (0..3).max_by(|&a, &b| spacing[a].total_cmp(&spacing[b])).unwrap_or(2);
    let normal = [0, 1, 2].map(|row| scan.affine.0[row][thickest]);
    // A rotation's inverse is its transpose.
    let along = |axis: usize| (0..3).map(|row| map.0[row][axis] * normal[row]).sum::<f64>().abs();
    let axis = (0..3).max_by(|&a, &b| along(a).total_cmp(&along(b))).unwrap_or(2);
    Slices { axis, thickness_mm: spacing[thickest] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_turn_with_the_head() {
        // Thick along the file's first axis, which lies along z; the head turned by 90 degrees
        // about x half-way.
        let affine = Affine([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [4.0, 0.0, 0.0, 0.0]]);
        let scan = Volume { data: vec![0.0; 8], dims: [2; 3], affine };
        assert_eq!(slices(&scan, &Affine::IDENTITY), Slices { axis: 2, thickness_mm: 4.0 });
        let turned = Affine([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, 0.0]]);
        assert_eq!(slices(&scan, &turned).axis, 1);
    }
}
