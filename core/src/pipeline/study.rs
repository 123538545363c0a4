//! Several sequences of one study through one network: probabilities on the scan's grid.

use super::postprocess::Between;
use super::preprocess::{FOREGROUND, MARGIN, Prepared, PreprocessError, conform, padded};
use super::run::{PipelineError, Stage, Watch};
use super::sinks::LogitSink;
use super::sliding::{Windows, infer_over};
use crate::model::{Pack, Prism, Stopped};
use crate::volume::{Affine, LabelMap, Volume, foreground_box, offset};

/// Share of a voxel that belongs to what is looked at, from which on its grey counts.
const INSIDE: f32 = 0.5;

/// Slices of the scan's grid between two breaths.
const SLICES: usize = 16;

/// Probability of every class at every voxel of the first scan, axes as in RAS.
#[derive(Clone, Debug)]
pub struct StudyProbabilities {
    /// `[classes, x, y, z]`, x fastest; class 0 is background. Outside the input it is certain.
    pub values: Vec<f32>,
    /// Number of classes.
    pub classes: usize,
    /// Sides.
    pub dims: [usize; 3],
    /// World from voxel.
    pub affine: Affine,
    /// Windows the network ran over.
    pub windows: usize,
}

/// Runs every sequence through encoder and decoder, takes the largest of each feature, and
/// the segmentation head's probabilities.
///
/// The scans lie on the first one's grid. `within` (on that grid) is what to look at, such
/// as the brain's labels: the input is its box with a margin, and its greys alone set the
/// intensities. Outside lie scalp and fat, or a grey that a file gives the air.
///
/// # Errors
/// [`PipelineError`].
pub async fn study_probabilities<W: Watch>(
    scans: &[&Volume],
    within: Option<&LabelMap>,
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<StudyProbabilities, PipelineError> {
    let head = model
        .segmentation()
        .ok_or_else(|| PipelineError::NoSegmentation(pack.info.name.clone()))?;
    watch.progress(Stage::Prepare, 0, scans.len());
    let settings = &pack.info.preprocessing;
    let mask = match within {
        None => None,
        Some(within) => {
            let data = within.data.iter().map(|&label| f32::from(label != 0)).collect();
            let mask = Volume { data, dims: within.dims, affine: within.affine };
            Some(conform(&mask, settings)?.0.data)
        }
    };
    let mut grids = Vec::with_capacity(scans.len());
    for (done, scan) in scans.iter().enumerate() {
        let (mut grid, to_ras, ras_dims, ras_spacing_mm) = conform(scan, settings)?;
        match &mask {
            None => settings.intensity.apply(&mut grid.data),
            Some(mask) => settings.intensity.apply_as(&mut grid.data, |at| mask[at] > INSIDE),
        }
        grids.push((grid, to_ras, ras_dims, ras_spacing_mm));
        watch.progress(Stage::Prepare, done + 1, scans.len());
        watch.breathe().await;
        if watch.cancelled() {
            return Err(Stopped.into());
        }
    }
    let Some((first, to_ras, ras_dims, ras_spacing_mm)) = grids.first() else {
        return Err(PreprocessError::Constant.into());
    };
    let looked_at = mask.as_ref().unwrap_or(&first.data);
    let crop = foreground_box(looked_at, first.dims, FOREGROUND, MARGIN);
    let encoder = &pack.info.architecture.encoder;
    let least = [encoder.smallest_side(); 3];
    let prepared: Vec<_> = grids
        .iter()
        .map(|(grid, ..)| {
            let (input, dims, pad) =
                padded((&grid.data, grid.dims), crop, encoder.multiple(), least);
            Prepared {
                input,
                dims,
                to_ras: *to_ras,
                ras_dims: *ras_dims,
                ras_spacing_mm: *ras_spacing_mm,
                grid_dims: grid.dims,
                grid_affine: grid.affine,
                crop,
                pad,
            }
        })
        .collect();
    let dims = prepared[0].dims;
    let mut sink = LogitSink::new(head, dims);
    let windows = Windows::trained(&prepared[0], pack);
    let (_, windows) =
        infer_over(&windows, &prepared, Vec::new(), model, pack, watch, &mut sink).await?;
    let (mut logits, [classes, ..]) = sink.into_values();
    softmax(&mut logits, classes);

    // To the scan's grid; the sink's order is z fastest.
    let spacing = prepared[0].grid_affine.spacing_mm();
    let ratio = [0, 1, 2].map(|axis| ras_spacing_mm[axis] / spacing[axis]);
    let between = Between::new(first.dims, *ras_dims, ratio);
    let [nx, ny, nz] = *ras_dims;
    let voxels = nx * ny * nz;
    let mut values = vec![0.0; classes * voxels];
    for z in 0..nz {
        if z % SLICES == 0 {
            watch.progress(Stage::Labels, z, nz);
            watch.breathe().await;
            if watch.cancelled() {
                return Err(Stopped.into());
            }
        }
        for y in 0..ny {
            for x in 0..nx {
                let at = offset(*ras_dims, [x, y, z]);
                let mut inside = 0.0;
                for (voxel, weight) in between.corners(at) {
                    let place = [0, 1, 2].map(|axis| {
                        (voxel[axis] + prepared[0].pad[axis]).checked_sub(crop[axis].0)
                    });
                    let [Some(i), Some(j), Some(k)] = place else { continue };
                    if weight == 0.0 || i >= dims[0] || j >= dims[1] || k >= dims[2] {
                        continue;
                    }
                    inside += weight;
                    for class in 0..classes {
                        let from = ((class * dims[0] + i) * dims[1] + j) * dims[2] + k;
                        values[class * voxels + at] += weight * logits[from];
                    }
                }
                values[at] += 1.0 - inside;
            }
        }
    }
    Ok(StudyProbabilities {
        values,
        classes,
        dims: *ras_dims,
        affine: to_ras.affine(&scans[0].affine),
        windows,
    })
}

/// Logits `[classes, voxels]` to probabilities, in place.
fn softmax(values: &mut [f32], classes: usize) {
    let voxels = values.len() / classes.max(1);
    for at in 0..voxels {
        let place = |class: usize| class * voxels + at;
        let most = (0..classes).map(|c| values[place(c)]).fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for class in 0..classes {
            let value = (values[place(class)] - most).exp();
            values[place(class)] = value;
            sum += value;
        }
        (0..classes).for_each(|class| values[place(class)] /= sum);
    }
}
