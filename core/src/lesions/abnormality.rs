//! An abnormality map without labels: what the pretrained decoder would draw of the anatomy
//! against what is there.
//!
//! The decoder has no skips, so all it knows of a window is a small map of anatomy and a style;
//! it was taught with scans without lesions. Where a scan differs from its own rendering, the
//! decoder could not draw it: something rare, or something it never learnt to draw. That is no
//! finding; the pack's scores say how often it is a lesion.

use super::alignment::onto;
use super::deviation::{Deviation, deviation};
use super::find::LesionError;
use crate::model::{Pack, Prism};
use crate::pipeline::{Rendered, Watch, render};
use crate::volume::neighbours::within;
use crate::volume::{LabelMap, Volume, percentile};

/// Share of a voxel of the network's grid that is labelled, from which on it is in the brain.
const INSIDE: f32 = 0.5;

/// Gaps in the brain's labels up to twice this wide are closed: a lesion may have no label.
const CLOSE_MM: f64 = 6.0;

/// Of the deviations inside the brain.
const HIGH_PERCENTILE: f64 = 99.0;

/// A map of abnormality.
#[derive(Clone, Debug, PartialEq)]
pub struct Abnormality {
    /// Robust standard deviations of the neighbourhood, on the scan's own grid: positive where
    /// the scan is brighter than its rendering, 0 outside the brain.
    pub map: Volume,
    /// What the decoder drew, in the network's greys and on its grid.
    pub rendering: Volume,
    /// How far the scan was blurred before it was compared, standard deviation in mm.
    pub blur_mm: f64,
    /// Correlation of the blurred scan with the rendering inside the brain.
    pub correlation: f64,
    /// Size that 99 of 100 places of the brain stay below.
    pub high: f64,
    /// The largest size, and where it is (world, mm).
    pub largest: (f64, [f64; 3]),
    /// Windows the network ran over.
    pub windows: usize,
}

/// Compares a scan with its own rendering, inside the brain: `brain` are the labels of a brain
/// pack on the scan's grid.
///
/// # Errors
/// [`LesionError`]: no brain, a pack without renderer, a cancel.
pub async fn abnormality<W: Watch>(
    scan: &Volume,
    brain: &LabelMap,
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<Abnormality, LesionError> {
    if brain.data.iter().all(|&label| label == 0) {
        return Err(LesionError::NoBrain);
    }
    let Rendered { input, rendering, windows } = render(scan, model, pack, watch).await?;
    let region = region(brain, &input)?;
    let grid = (input.dims, input.spacing_mm());
    let Deviation { values, blur_mm, correlation } =
        deviation(&input.data, &rendering.data, &region, grid);
    let mut inside: Vec<f32> =
        values.iter().zip(&region).filter(|(_, inside)| **inside).map(|(v, _)| v.abs()).collect();
    let high = f64::from(percentile(&mut inside, HIGH_PERCENTILE));
    let first = values.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
    let (at, largest) = first.map_or((0, 0.0), |(at, value)| (at, f64::from(value.abs())));
    let [nx, ny, _] = input.dims;
    let place = input.affine.apply([at % nx, at / nx % ny, at / (nx * ny)].map(|v| v as f64));
    let map = onto(scan, &Volume { data: values, ..input }, None)?;
    Ok(Abnormality {
        map,
        rendering,
        blur_mm,
        correlation,
        high,
        largest: (largest, place),
        windows,
    })
}

/// The brain on another grid, gaps closed.
fn region(brain: &LabelMap, grid: &Volume) -> Result<Vec<bool>, LesionError> {
    let data = brain.data.iter().map(|&label| f32::from(label != 0)).collect();
    let mask = Volume { data, dims: brain.dims, affine: brain.affine };
    let mask: Vec<bool> = onto(grid, &mask, None)?.data.iter().map(|&v| v >= INSIDE).collect();
    let spacing = grid.spacing_mm();
    let radius = CLOSE_MM / spacing.iter().copied().fold(f64::INFINITY, f64::min).max(0.1);
    // Closing (Serra 1982): grown, and what is around grown back.
    let around: Vec<bool> = within(&mask, grid.dims, radius).iter().map(|inside| !inside).collect();
    let back = within(&around, grid.dims, radius);
    Ok(mask.iter().zip(back).map(|(&inside, back)| inside || !back).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, offset};

    #[test]
    fn a_hole_in_the_brain_is_closed_and_its_border_stays() {
        // A box of 40 mm with a hole of 6 mm, on a grid of 1 mm; the network's has 2 mm.
        let dims = [60; 3];
        let mut data = vec![0_u8; 216_000];
        for (at, label) in data.iter_mut().enumerate() {
            let place = [at % 60, at / 60 % 60, at / 3600];
            let box_of = |low: usize, high: usize| place.iter().all(|v| (low..high).contains(v));
            *label = u8::from(box_of(10, 50) && !box_of(27, 33));
        }
        let brain = LabelMap { data, dims, affine: Affine::from_spacing([1.0; 3]) };
        let affine = brain.affine.rescaled([2.0; 3], [0.5; 3]);
        let grid = Volume { data: vec![0.0; 27_000], dims: [30; 3], affine };
        let region = region(&brain, &grid).unwrap();
        assert!(region[offset(grid.dims, [15; 3])]);
        assert!(region[offset(grid.dims, [5; 3])] && !region[offset(grid.dims, [4; 3])]);
        assert_eq!(region.iter().filter(|inside| **inside).count(), 8_000);
    }
}
