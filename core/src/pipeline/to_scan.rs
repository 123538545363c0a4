//! Labels of the network's input, brought to the scan's own grid.

use super::postprocess::{Between, Refine, carry_labels, remove_islands};
use super::preprocess::Prepared;
use super::run::{PipelineError, Stage, Watch};
use super::sinks::{LabelSink, read_classes};
use crate::model::Stopped;
use crate::volume::{LabelMap, Volume, offset};

/// Removes islands, carries the labels to the scan's grid and decides its voxels between
/// two structures by the features, where they are at hand. Second, the island voxels.
///
/// # Errors
/// [`PipelineError`] when cancelled or the device stops answering.
pub(super) async fn to_scan<W: Watch>(
    scan: &Volume,
    prepared: &Prepared,
    network: LabelSink<'_>,
    watch: &mut W,
) -> Result<(LabelMap, usize), PipelineError> {
    let LabelSink { head, labels: raw, features, .. } = network;
    let mut labels = raw.clone();
    let island_voxels = remove_islands(&mut labels, prepared.dims);
    let grid = Grid::new(prepared);
    let (mut data, mut mixed) = carry_labels(&grid.fill(&labels), &grid.between);
    if let Some(features) = features {
        // Not where an island went: the features still want it.
        mixed.retain(|&point| !grid.touches(point, |at| raw[at] != labels[at]));
        let refine = Refine::new(head, features);
        let pieces = Refine::pieces(&mixed);
        let total = pieces.len();
        for (done, piece) in pieces.enumerate() {
            let mut points = piece.iter();
            for classes in refine.classes(piece, &grid.between, grid.shift) {
                for (class, &point) in read_classes(classes).await?.into_iter().zip(&mut points) {
                    data[point as usize] = class;
                }
            }
            watch.progress(Stage::Labels, done, total);
            watch.breathe().await;
            if watch.cancelled() {
                return Err(Stopped.into());
            }
        }
    }
    let affine = prepared.to_ras.affine(&scan.affine);
    let ras = LabelMap { data, dims: prepared.ras_dims, affine };
    Ok((prepared.to_ras.undo(ras, &scan.affine), island_voxels))
}

/// The way from the network's input to the scan's grid (axes as in RAS).
struct Grid<'a> {
    prepared: &'a Prepared,
    between: Between,
    /// From the resampled grid to the input.
    shift: [isize; 3],
}

impl<'a> Grid<'a> {
    fn new(prepared: &'a Prepared) -> Self {
        let spacing = prepared.grid_affine.spacing_mm();
        let ratio = [0, 1, 2].map(|axis| prepared.ras_spacing_mm[axis] / spacing[axis]);
        let between = Between::new(prepared.grid_dims, prepared.ras_dims, ratio);
        let shift =
            [0, 1, 2].map(|axis| prepared.pad[axis] as isize - prepared.crop[axis].0 as isize);
        Self { prepared, between, shift }
    }

    /// Labels of the input, on the whole resampled grid.
    fn fill(&self, labels: &[u8]) -> Vec<u8> {
        let Prepared { dims, grid_dims, crop, pad, .. } = *self.prepared;
        let mut grid = vec![0_u8; grid_dims.iter().product()];
        let sides = crop.map(|(start, end)| end - start);
        for z in 0..sides[2] {
            for y in 0..sides[1] {
                let from = offset(dims, [pad[0], pad[1] + y, pad[2] + z]);
                let to = offset(grid_dims, [crop[0].0, crop[1].0 + y, crop[2].0 + z]);
                grid[to..to + sides[0]].copy_from_slice(&labels[from..from + sides[0]]);
            }
        }
        grid
    }

    /// Whether something holds for one of the input's voxels around a point of the scan.
    fn touches(&self, point: u32, holds: impl Fn(usize) -> bool) -> bool {
        let dims = self.prepared.dims;
        self.between.corners(point as usize).into_iter().any(|(voxel, _)| {
            let place = [0, 1, 2].map(|axis| voxel[axis].checked_add_signed(self.shift[axis]));
            let [Some(x), Some(y), Some(z)] = place else { return false };
            let inside = x < dims[0] && y < dims[1] && z < dims[2];
            inside && holds(offset(dims, [x, y, z]))
        })
    }
}
