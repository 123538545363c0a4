//! Contrast between the brain's tissues: what tells one sequence from another for sure.
//!
//! Pooled features mix contrast with anatomy; a T1w scan of a brain with much fluid looks
//! like FLAIR to them. The network's labels hold in any contrast, and between them the
//! order of the medians says how the scan was acquired. What heads read here is computed
//! as training/identification/tissues.py does it.

use super::encoded::Encoded;
use super::run::{PipelineError, Watch, prepare_for};
use super::sinks::LabelSink;
use super::sliding::infer;
use crate::model::{Pack, Prism};
use crate::volume::{LabelTable, Volume, percentile};

/// FreeSurfer ids of cerebral white matter, then of what is held against it: cortex,
/// ventricles, thalamus, striatum, cerebellar cortex, cerebellar white matter.
const TISSUES: [&[u16]; 7] =
    [&[2, 41], &[3, 42], &[4, 43], &[10, 49], &[11, 12, 50, 51], &[8, 47], &[7, 46]];

/// Least voxels of every tissue: two tenths of a millilitre at 2 mm.
const LEAST_VOXELS: usize = 25;

/// Medians of the tissues less that of white matter, over the largest such difference:
/// -1 to 1, whatever the scan's units. `None` where a tissue is not in the scan, or where
/// all are alike.
///
/// `image` and `labels` (indices of `table`) lie on one grid.
pub fn contrast(image: &[f32], labels: &[u8], table: &LabelTable) -> Option<Vec<f32>> {
    let mut values: [Vec<f32>; 7] = Default::default();
    let mut tissue_of = [None; 256];
    for label in &table.labels {
        tissue_of[usize::from(label.index)] =
            TISSUES.iter().position(|ids| ids.contains(&label.id));
    }
    for (&value, &label) in image.iter().zip(labels) {
        if let Some(tissue) = tissue_of[usize::from(label)] {
            values[tissue].push(value);
        }
    }
    if values.iter().any(|values| values.len() < LEAST_VOXELS) {
        return None;
    }
    let [white, others @ ..] = values.map(|mut values| percentile(&mut values, 50.0));
    let differences = others.map(|median| median - white);
    let largest = differences.iter().map(|value| value.abs()).fold(0.0, f32::max);
    (largest > 0.0).then(|| differences.iter().map(|value| value / largest).collect())
}

/// [`contrast`] of a scan by the network's labels on its own grid, going on from an earlier
/// pass of the encoder; one of another pack or device is left alone.
///
/// # Errors
/// [`PipelineError`].
pub async fn tissue_contrast<W: Watch>(
    scan: &Volume,
    encoded: Option<Encoded>,
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<Option<Vec<f32>>, PipelineError> {
    let head = model
        .segmentation()
        .ok_or_else(|| PipelineError::NoSegmentation(pack.info.name.clone()))?;
    let (prepared, encoded) = match encoded.and_then(|encoded| encoded.parts(model, pack)) {
        Some(parts) => parts,
        None => (prepare_for(scan, pack)?, Vec::new()),
    };
    let mut sink = LabelSink::new(head, prepared.dims);
    infer(core::slice::from_ref(&prepared), encoded, model, pack, watch, &mut sink).await?;
    Ok(contrast(&prepared.input, &sink.labels, &pack.info.labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Label;

    fn table() -> LabelTable {
        let label = |(index, &id): (usize, &u16)| Label {
            index: index as u8 + 1,
            id,
            name: id.to_string(),
            color: [0; 3],
            side: None,
            pair: None,
        };
        LabelTable { labels: [2, 3, 4, 10, 11, 8, 7].iter().enumerate().map(label).collect() }
    }

    #[test]
    fn medians_are_those_of_numpy() {
        // rng = np.arange(30); tissue k holds base[k] + rng / 100, base as below;
        // d = [np.median(t) for t in tissues]; (d[1:] - d[0]) / abs(d[1:] - d[0]).max()
        let base = [0.6_f32, 0.5, 0.2, 0.62, 0.58, 0.52, 0.64];
        let (mut image, mut labels) = (vec![9.0], vec![0_u8]);
        for (tissue, base) in base.iter().enumerate() {
            for step in 0..30 {
                image.push(base + step as f32 / 100.0);
                labels.push(tissue as u8 + 1);
            }
        }
        let found = contrast(&image, &labels, &table()).unwrap();
        for (value, expected) in found.iter().zip([-0.25, -1.0, 0.05, -0.05, -0.2, 0.1]) {
            assert!((value - expected).abs() < 1e-5, "{found:?}");
        }
        assert_eq!(contrast(&image[..200], &labels[..200], &table()), None, "19 voxels of one");
    }
}
