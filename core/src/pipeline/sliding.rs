//! The network over a grid: one pass where it fits, else windows blended cell by cell.

use core::future::Future;
use std::collections::HashMap;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::answers::{Answer, Answers};
use super::preprocess::Prepared;
use super::run::{Pacer, PipelineError, Watch};
use super::windows::{Axis, gaussian};
use crate::model::{Features, Pack, Prism};
use crate::volume::offset;

/// Most voxels in one pass without windows: a 16-channel f32 map of this size fills
/// WebGPU's default storage binding (128 MiB).
const ONE_PASS_VOXELS: usize = 1 << 21;

/// Takes finished pieces of the grid.
pub(super) trait Sink {
    /// Blended full-resolution features `[1, channels, x, y, z]` of the piece that
    /// starts at voxel `start`.
    fn piece(
        &mut self,
        start: [usize; 3],
        features: Tensor<5>,
    ) -> impl Future<Output = Result<(), PipelineError>>;

    /// What the encoder gives for a window of a single scan, before it is decoded.
    fn encoded(&mut self, _features: &Features) {}
}

/// Runs the network over a prepared scan, or over the sequences of one study, of whose
/// decoded features the largest are taken; returns the pooled heads' answers (of a single
/// scan) and the number of windows.
///
/// `encoded` are the features of all windows where the encoder has run already, none where
/// it has not.
pub(super) async fn infer<W: Watch, S: Sink>(
    sequences: &[Prepared],
    encoded: Vec<Features>,
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
    sink: &mut S,
) -> Result<(Vec<Answer>, usize), PipelineError> {
    let Some(first) = sequences.first() else { return Ok((Vec::new(), 0)) };
    let windows = Windows::new(first, pack);
    infer_over(&windows, sequences, encoded, model, pack, watch, sink).await
}

/// As [`infer`], over given windows.
pub(super) async fn infer_over<W: Watch, S: Sink>(
    windows: &Windows,
    sequences: &[Prepared],
    encoded: Vec<Features>,
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
    sink: &mut S,
) -> Result<(Vec<Answer>, usize), PipelineError> {
    let count = windows.count();
    let views = windows.views();
    let mut pacer = Pacer::new(watch, windows.steps(model) * sequences.len());
    let mut blend = windows.blend(model.device());
    let mut answers = Answers::new(pack);
    let mut encoded = encoded.into_iter();
    for index in windows.indices() {
        let mut fused: Option<Tensor<5>> = None;
        for prepared in sequences {
            let mut sum: Option<Tensor<5>> = None;
            for (view, mirrored) in views.iter().enumerate() {
                // Encoded before was the scan as it is.
                let before = if view == 0 { encoded.next() } else { None };
                let features = if let Some(features) = before {
                    pacer.done += model.encoder_steps();
                    features
                } else {
                    let input = windows.input(prepared, index, model.device());
                    let encoded = model.encode(mirror(input, mirrored), &mut pacer).await;
                    encoded.map_err(|stopped| pacer.reason(stopped))?
                };
                if sequences.len() == 1 && view == 0 {
                    answers.add(model.answers(&features)).await?;
                    sink.encoded(&features);
                }
                let decoded = model.decode(features, &mut pacer).await;
                let decoded = decoded.map_err(|stopped| pacer.reason(stopped))?;
                let Some(decoded) = decoded.map(|decoded| mirror(decoded, mirrored)) else {
                    break;
                };
                sum = Some(match sum {
                    None => decoded,
                    Some(sum) => sum + decoded,
                });
            }
            let Some(sum) = sum else { continue };
            let decoded = if views.len() > 1 { sum / views.len() as f32 } else { sum };
            fused = Some(match fused {
                None => decoded,
                Some(largest) => largest.max_pair(decoded),
            });
        }
        let Some(features) = fused else { continue };
        for (start, features) in blend.add(index, features) {
            sink.piece(start, features).await?;
        }
    }
    Ok((answers.finish(), count))
}

/// Mirrors a window along some of x, y, z.
fn mirror(window: Tensor<5>, axes: &[usize]) -> Tensor<5> {
    axes.iter().fold(window, |window, axis| window.flip([axis + 2]))
}

/// The windows that cover a prepared scan.
pub(crate) struct Windows {
    axes: [Axis; 3],
    /// Axes along which each is mirrored besides ([`crate::model::PackInfo::mirrors`]).
    mirrors: Vec<usize>,
}

impl Windows {
    pub(crate) fn new(prepared: &Prepared, pack: &Pack) -> Self {
        let p = &pack.info.preprocessing;
        let any_size = pack.info.architecture.encoder.any_size();
        if any_size && prepared.input.len() <= ONE_PASS_VOXELS {
            let axes = prepared.dims.map(|side| Axis::new(side, side, p.overlap));
            return Self { axes, mirrors: pack.info.mirrors.clone() };
        }
        Self::trained(prepared, pack)
    }

    /// Windows of the pack's own size even where one pass would do: what a network's norms
    /// see of a small lesion depends on how much else is there.
    pub(crate) fn trained(prepared: &Prepared, pack: &Pack) -> Self {
        let p = &pack.info.preprocessing;
        let axes = [0, 1, 2].map(|axis| Axis::new(prepared.dims[axis], p.window[axis], p.overlap));
        Self { axes, mirrors: pack.info.mirrors.clone() }
    }

    /// The same windows, each looked at once, as it is.
    pub(super) fn unmirrored(mut self) -> Self {
        self.mirrors.clear();
        self
    }

    /// The combinations of axes along which a window is mirrored; the first is none.
    fn views(&self) -> Vec<Vec<usize>> {
        self.mirrors.iter().fold(vec![Vec::new()], |views, &axis| {
            let mirrored = views.iter().map(|view| view.iter().copied().chain([axis]).collect());
            let mirrored: Vec<Vec<usize>> = mirrored.collect();
            views.into_iter().chain(mirrored).collect()
        })
    }

    /// One window: all of the input where one pass does, else of the pack's own size in the middle.
    /// As [`Self::aligned`] it cannot be blended.
    pub(super) fn middle(prepared: &Prepared, pack: &Pack) -> Self {
        let mut windows = Self::new(prepared, pack);
        for (axis, side) in windows.axes.iter_mut().zip(prepared.dims) {
            axis.starts = vec![(side - axis.window) / 2];
            axis.cuts.clear();
        }
        windows
    }

    /// The same windows, each moved back to start at a multiple of `multiple` voxels, as
    /// maps of that stride need it. Their intervals are void: nothing can be blended by
    /// cells any more.
    pub(crate) fn aligned(mut self, multiple: usize) -> Self {
        for axis in &mut self.axes {
            axis.starts.iter_mut().for_each(|start| *start -= *start % multiple);
            axis.cuts.clear();
        }
        self
    }

    /// Blends what the network gives for them.
    pub(super) fn blend(&self, device: &Device) -> Blend<'_> {
        Blend::new(&self.axes, device)
    }

    /// First voxel of a window.
    pub(crate) fn start(&self, index: [usize; 3]) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.axes[axis].starts[index[axis]])
    }

    /// Steps of a whole pass of one scan over them.
    pub(super) fn steps(&self, model: &Prism) -> usize {
        self.count() * model.steps() * self.views().len()
    }

    pub(crate) fn count(&self) -> usize {
        self.axes.iter().map(|axis| axis.starts.len()).product()
    }

    /// Window indices along x, y, z; x slowest, so that few cells wait at a time.
    pub(crate) fn indices(&self) -> impl Iterator<Item = [usize; 3]> {
        let [nx, ny, nz] = [0, 1, 2].map(|axis| self.axes[axis].starts.len());
        (0..nx * ny * nz).map(move |i| [i / (ny * nz), i / nz % ny, i % nz])
    }

    /// Network input of a window: `[1, 1, x, y, z]`, z fastest.
    pub(crate) fn input(
        &self,
        prepared: &Prepared,
        index: [usize; 3],
        device: &Device,
    ) -> Tensor<5> {
        let start = self.start(index);
        let [nx, ny, nz] = [0, 1, 2].map(|axis| self.axes[axis].window);
        let step = prepared.dims[0] * prepared.dims[1];
        let mut values = Vec::with_capacity(nx * ny * nz);
        for x in 0..nx {
            for y in 0..ny {
                let first = offset(prepared.dims, [start[0] + x, start[1] + y, start[2]]);
                values.extend((0..nz).map(|z| prepared.input[first + z * step]));
            }
        }
        Tensor::from_data(TensorData::new(values, [1, 1, nx, ny, nz]), device)
    }
}

/// Cells that wait for more windows.
pub(super) struct Blend<'a> {
    axes: &'a [Axis; 3],
    weight: Option<Tensor<5>>,
    cells: HashMap<[usize; 3], Cell>,
}

struct Cell {
    features: Tensor<5>,
    weight: Tensor<5>,
    windows: usize,
}

impl<'a> Blend<'a> {
    fn new(axes: &'a [Axis; 3], device: &Device) -> Self {
        let single = axes.iter().all(|axis| axis.starts.len() == 1);
        let weight = (!single).then(|| {
            let [nx, ny, nz] = [0, 1, 2].map(|axis| axes[axis].window);
            let values = gaussian([nx, ny, nz]);
            Tensor::from_data(TensorData::new(values, [1, 1, nx, ny, nz]), device)
        });
        Self { axes, weight, cells: HashMap::new() }
    }

    /// Adds a window; returns the cells that are complete with it.
    pub(super) fn add(
        &mut self,
        index: [usize; 3],
        features: Tensor<5>,
    ) -> Vec<([usize; 3], Tensor<5>)> {
        let Some(weight) = self.weight.clone() else { return vec![([0; 3], features)] };
        let weighted = features * weight.clone();
        let start = [0, 1, 2].map(|axis| self.axes[axis].starts[index[axis]]);
        let mut done = Vec::new();
        let covered =
            [0, 1, 2].map(|axis| self.axes[axis].covered(index[axis]).collect::<Vec<_>>());
        for &cx in &covered[0] {
            for &cy in &covered[1] {
                for &cz in &covered[2] {
                    let cell = [cx, cy, cz];
                    let mut part = (weighted.clone(), weight.clone());
                    let mut first = [0; 3];
                    let mut coverage = 1;
                    for axis in 0..3 {
                        let cuts = &self.axes[axis].cuts;
                        let (from, to) = (cuts[cell[axis]], cuts[cell[axis] + 1]);
                        first[axis] = from;
                        coverage *= self.axes[axis].coverage(cell[axis]);
                        let within = from - start[axis];
                        part.0 = part.0.narrow(axis + 2, within, to - from);
                        part.1 = part.1.narrow(axis + 2, within, to - from);
                    }
                    let (features, weight, windows) = match self.cells.remove(&cell) {
                        Some(sum) => (sum.features + part.0, sum.weight + part.1, sum.windows + 1),
                        None => (part.0, part.1, 1),
                    };
                    if windows == coverage {
                        done.push((first, features / weight));
                    } else {
                        self.cells.insert(cell, Cell { features, weight, windows });
                    }
                }
            }
        }
        done
    }
}

/// Reads floats back from the device.
pub(crate) async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, PipelineError> {
    let failed = |what: String| PipelineError::Device(what);
    let data = tensor
        .cast(DType::F32)
        .into_data_async()
        .await
        .map_err(|error| failed(format!("{error:?}")))?;
    data.try_into_vec().map_err(|error| failed(format!("{error:?}")))
}
