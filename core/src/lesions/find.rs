//! The lesion pack over one or several sequences of a study.

use super::rows::lesions;
use super::table::{Lesion, Summary};
use crate::model::{Pack, Prism};
use crate::pipeline::{PipelineError, Watch, study_probabilities};
use crate::registration::RegistrationError;
use crate::volume::{AffineError, LabelMap, LabelTable, Reorientation, Volume};

/// A voxel belongs to a lesion from this probability on.
const THRESHOLD: f32 = 0.5;

/// Added to the evidence before its logarithm, in millilitres.
const EVIDENCE_FLOOR_ML: f64 = 0.001;

/// Lesions of a study.
#[derive(Clone, Debug)]
pub struct Found {
    /// Class of every voxel, on the first scan's own grid.
    pub labels: LabelMap,
    /// One row a lesion, largest first; voxels are those of `labels`.
    pub lesions: Vec<Lesion>,
    /// All of them.
    pub summary: Summary,
    /// Windows the network ran over, for each sequence.
    pub windows: usize,
}

/// No lesions could be looked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LesionError {
    /// The network did not run.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A scan lies nowhere.
    #[error(transparent)]
    Affine(#[from] AffineError),
    /// Nothing to register.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// A sequence that could not be brought onto the first one.
    #[error(
        "this sequence does not lie on the first scan and could not be registered to it: another \
         position still fits better; is it of the same head?"
    )]
    NotAligned,
    /// Nothing of the brain's structures.
    #[error("no brain was found in the first scan, so there is nowhere to look for lesions")]
    NoBrain,
    /// No scan at all.
    #[error("no scan was given")]
    Empty,
}

/// Looks for lesions in scans that lie on one grid (see [`super::place`]); `brain` holds the labels
/// of a brain pack on it, with their table.
///
/// # Errors
/// [`LesionError`].
pub async fn find<W: Watch>(
    scans: &[&Volume],
    brain: (&LabelMap, &LabelTable),
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<Found, LesionError> {
    let first = scans.first().ok_or(LesionError::Empty)?;
    if brain.0.data.iter().all(|&label| label == 0) {
        return Err(LesionError::NoBrain);
    }
    let study = study_probabilities(scans, Some(brain.0), model, pack, watch).await?;
    let voxels = study.dims.iter().product::<usize>();
    let any: Vec<f32> = study.values[..voxels].iter().map(|background| 1.0 - background).collect();
    let class = |at: usize| {
        let value = |class: &u8| study.values[usize::from(*class) * voxels + at];
        (1..study.classes as u8).max_by(|a, b| value(a).total_cmp(&value(b))).unwrap_or(0)
    };
    let data = (0..voxels).map(|at| if any[at] > THRESHOLD { class(at) } else { 0 }).collect();
    let mut classes = LabelMap { data, dims: study.dims, affine: study.affine };

    let to_ras = Reorientation::to_ras(&first.affine, first.dims);
    let labels = Volume {
        data: brain.0.data.iter().map(|&label| f32::from(label)).collect(),
        dims: brain.0.dims,
        affine: brain.0.affine,
    };
    let data = to_ras.apply(&labels).data.into_iter().map(|label| label as u8).collect();
    let turned = LabelMap { data, dims: study.dims, affine: study.affine };
    let table = &pack.info.labels;
    let grey = to_ras.apply(first).data;
    let mut rows = lesions(&mut classes, &any, table, (&turned, brain.1), &grey);

    let voxel_ml = classes.affine.determinant().abs() / 1000.0;
    let counts = classes.counts();
    let above = |at: usize| f64::from(2.0 * (any[at] - THRESHOLD).max(0.0));
    // An empty sum of floats is negative zero.
    let marked = (0..voxels).filter(|&at| classes.data[at] != 0);
    let evidence_ml = marked.map(above).fold(0.0, |sum, part| sum + part) * voxel_ml;
    let summary = Summary {
        lesions: rows.len(),
        millilitres: rows.iter().fold(0.0, |sum, row| sum + row.millilitres),
        by_class: table
            .labels
            .iter()
            .map(|label| (label.name.clone(), counts[usize::from(label.index)] as f64 * voxel_ml))
            .collect(),
        evidence_ml,
        probability: calibrated(pack, evidence_ml),
        sequences: scans.len(),
    };
    // Rows speak of the scan's own voxels.
    let to_voxel = first.affine.inverse()?;
    for row in &mut rows {
        let place = to_voxel.apply(row.inside_mm);
        row.voxel = place.map(|v| v.round().max(0.0) as usize);
    }
    let labels = to_ras.undo(classes, &first.affine);
    Ok(Found { labels, lesions: rows, summary, windows: study.windows })
}

/// 1 / (1 + exp(-(intercept + slope ln(evidence)))), with the pack's own calibration
/// (`scores.study`), which held-out synthetic studies gave.
fn calibrated(pack: &Pack, evidence_ml: f64) -> Option<f64> {
    let study = pack.info.scores.get("study")?;
    let value = |name: &str| study.get(name)?.as_f64();
    let z = value("intercept")? + value("slope")? * (evidence_ml + EVIDENCE_FLOOR_ML).ln();
    Some(1.0 / (1.0 + (-z).exp()))
}
