//! Labels of the network's input, brought to the scan's own grid.
//!
//! Classes are decided on the device and read back as such, with one exception: where a pack
//! labels the tissues of the brain and the scan's grid is as fine as the network's (2 mm) or
//! finer, the scan's intensities decide between tissues at borders, on the CPU. For that the
//! probabilities of all classes are read back, of at most [`SAMPLES`] voxels for the fit and
//! of the voxels between two structures, in pieces: 4 bytes a class and voxel, so 132 with
//! the brain's 33 classes, 1 MiB at a time, 8 MB for the fit.

use super::postprocess::{
    Between, Mixture, Refine, Tissues, carry_labels, keep_largest, remove_islands,
};
use super::preprocess::Prepared;
use super::run::{PipelineError, Stage, Watch};
use super::sinks::{LabelSink, read_classes};
use super::sliding::read;
use crate::model::{Pack, Stopped};
use crate::volume::{LabelMap, Volume, offset};

/// Most voxels that the tissues' Gaussians are fitted to.
const SAMPLES: usize = 60_000;

/// Voxels that are more probably background add nothing to the fit.
const SURELY_BACKGROUND: f32 = 0.98;

/// Removes islands, carries the labels to the scan's grid and decides its voxels between
/// two structures by the features, where they are at hand, and tissues by the scan's
/// intensities, where its grid is finer. Second, the island voxels.
///
/// # Errors
/// [`PipelineError`] when cancelled or the device stops answering.
pub(super) async fn to_scan<W: Watch>(
    scan: &Volume,
    prepared: &Prepared,
    pack: &Pack,
    network: LabelSink<'_>,
    watch: &mut W,
) -> Result<(LabelMap, usize), PipelineError> {
    let LabelSink { head, labels: raw, features, .. } = network;
    let mut labels = raw.clone();
    let mut island_voxels = remove_islands(&mut labels, prepared.dims);
    if pack.info.one_organ {
        island_voxels += keep_largest(&mut labels, prepared.dims);
    }
    let grid = Grid::new(prepared);
    let (mut data, mut mixed) = carry_labels(&grid.fill(&labels), &grid.between);
    if let Some(features) = features {
        // Not where an island went: the features still want it.
        mixed.retain(|&point| !grid.touches(point, |at| raw[at] != labels[at]));
        let refine = Refine::new(head, features);
        let mut borders = None;
        if let Some(tissues) = Tissues::of(&pack.info.labels).filter(|_| grid.is_coarser()) {
            let mut grey = prepared.to_ras.apply(scan).data;
            pack.info.preprocessing.intensity.apply(&mut grey);
            let points = spread_points(&data, &mixed);
            let mixture = fit(tissues, &grey, &points, &refine, &grid, watch).await?;
            borders = mixture.map(|mixture| (mixture, grey));
        }
        let pieces = Refine::pieces(&mixed);
        let total = pieces.len();
        for (done, piece) in pieces.enumerate() {
            if let Some((mixture, grey)) = &borders {
                let each = grid.probabilities(&refine, piece).await?;
                for (probabilities, &point) in
                    each.chunks_exact(each.len() / piece.len()).zip(piece)
                {
                    data[point as usize] = mixture.decide(grey[point as usize], probabilities);
                }
            } else {
                let mut points = piece.iter();
                for classes in refine.classes(piece, &grid.between, grid.shift) {
                    for (class, &point) in read_classes(classes).await?.into_iter().zip(&mut points)
                    {
                        data[point as usize] = class;
                    }
                }
            }
            pause(watch, done, total).await?;
        }
        if borders.is_some() {
            // Noise near a border leaves single voxels of the other tissue.
            remove_islands(&mut data, prepared.ras_dims);
        }
    }
    let affine = prepared.to_ras.affine(&scan.affine);
    let ras = LabelMap { data, dims: prepared.ras_dims, affine };
    Ok((prepared.to_ras.undo(ras, &scan.affine), island_voxels))
}

/// Reports a piece and lets a cancel through.
async fn pause<W: Watch>(watch: &mut W, done: usize, total: usize) -> Result<(), PipelineError> {
    watch.progress(Stage::Labels, done, total);
    watch.breathe().await;
    if watch.cancelled() { Err(Stopped.into()) } else { Ok(()) }
}

/// At most [`SAMPLES`] voxels of the scan, evenly among those in or at a structure.
fn spread_points(data: &[u8], mixed: &[u32]) -> Vec<u32> {
    let inside = || {
        let labelled = (0_u32..).zip(data).filter(|(_, label)| **label != 0);
        let border = mixed.iter().copied().filter(|&point| data[point as usize] == 0);
        labelled.map(|(point, _)| point).chain(border)
    };
    inside().step_by(inside().count().div_ceil(SAMPLES).max(1)).collect()
}

/// The mixture of this scan; see [`Tissues::fit`].
async fn fit<W: Watch>(
    tissues: Tissues,
    grey: &[f32],
    points: &[u32],
    refine: &Refine<'_>,
    grid: &Grid<'_>,
    watch: &mut W,
) -> Result<Option<Mixture>, PipelineError> {
    let mut samples = Vec::with_capacity(points.len());
    for piece in Refine::pieces(points) {
        let each = grid.probabilities(refine, piece).await?;
        for (probabilities, &point) in each.chunks_exact(each.len() / piece.len()).zip(piece) {
            if probabilities[0] < SURELY_BACKGROUND {
                samples.push(tissues.sample(grey[point as usize], probabilities));
            }
        }
        pause(watch, 0, 1).await?;
    }
    Ok(tissues.fit(&samples))
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

    /// Whether no side of the scan's voxels is longer than the input's.
    fn is_coarser(&self) -> bool {
        let spacing = self.prepared.grid_affine.spacing_mm();
        // As files round them.
        [0, 1, 2]
            .into_iter()
            .all(|axis| self.prepared.ras_spacing_mm[axis] <= 1.001 * spacing[axis])
    }

    /// Probability of each class at points of the scan, a point's together.
    async fn probabilities(
        &self,
        refine: &Refine<'_>,
        points: &[u32],
    ) -> Result<Vec<f32>, PipelineError> {
        read(refine.probabilities(points, &self.between, self.shift)).await
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
