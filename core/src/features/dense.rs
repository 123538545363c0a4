//! The encoder's maps over a whole scan.
//!
//! Maps at the scan's full resolution are left out: they cost most and say least
//! (training/results/similarity.json). Where the scan needs several windows, their
//! maps are blended with the Gaussian of the segmentation; windows then start at
//! multiples of the coarsest stride, so that every map has one grid.

use super::FeatureError;
use crate::model::{Features, MapShape, Pack, Prism};
use crate::pipeline::preprocess::{FOREGROUND, Prepared, conform};
use crate::pipeline::{
    Blended, Layout, Pacer, PipelineError, Watch, Windows, input_affine, prepare_for,
};
use crate::volume::{Affine, IntensityRule, Volume, offset};

/// Most numbers held of one scan (384 MiB); the finest maps beyond are left out.
const MOST_VALUES: usize = 96 << 20;

/// What marks foreground, whatever rule the network's input follows.
const RULE: IntensityRule = IntensityRule::Percentile { low: 0.5, high: 99.5 };

/// One map.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Its place in the encoder's list, finest first.
    pub map: usize,
    /// Input voxels per voxel along each axis, a power of two.
    pub stride: usize,
    /// Channels.
    pub channels: usize,
    /// Sides.
    pub dims: [usize; 3],
    /// `[x, y, z, channels]`, channels fastest.
    pub values: Vec<f32>,
}

/// The encoder's maps of one scan.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseFeatures {
    /// The maps, finest first, at least one.
    pub levels: Vec<Level>,
    /// Sides of the network's input.
    pub dims: [usize; 3],
    /// World from voxel of the network's input.
    pub affine: Affine,
    /// Which voxels of the input are not air: `[x, y, z]`, z fastest.
    pub foreground: Vec<bool>,
}

impl Level {
    /// The channels of a voxel.
    pub fn at(&self, [x, y, z]: [usize; 3]) -> &[f32] {
        let start = ((x * self.dims[1] + y) * self.dims[2] + z) * self.channels;
        &self.values[start..start + self.channels]
    }
}

impl DenseFeatures {
    /// Length of a stacked feature: channels of all levels.
    pub fn channels(&self) -> usize {
        self.levels.iter().map(|level| level.channels).sum()
    }

    /// Number of the voxel in values that lie z fastest.
    pub(super) fn index(&self, [x, y, z]: [usize; 3]) -> usize {
        (x * self.dims[1] + y) * self.dims[2] + z
    }

    /// The voxel of a number, see [`DenseFeatures::index`].
    pub(super) fn voxel(&self, index: usize) -> [usize; 3] {
        let [_, ny, nz] = self.dims;
        [index / (ny * nz), index / nz % ny, index % nz]
    }

    /// The input voxel nearest to a world point (mm), if the point is inside.
    pub fn nearest(&self, point_mm: [f64; 3]) -> Option<[usize; 3]> {
        let place = self.affine.inverse().ok()?.apply(point_mm).map(f64::round);
        let inside = place.iter().zip(self.dims).all(|(&v, n)| v >= 0.0 && v < n as f64);
        inside.then(|| place.map(|v| v as usize))
    }

    /// Values that lie z fastest as a volume.
    pub(super) fn volume(&self, values: &[f32]) -> Volume {
        let [nx, ny, nz] = self.dims;
        let mut data = vec![0.0; nx * ny * nz];
        let mut values = values.iter();
        for x in 0..nx {
            for y in 0..ny {
                for z in 0..nz {
                    if let Some(&value) = values.next() {
                        data[offset(self.dims, [x, y, z])] = value;
                    }
                }
            }
        }
        Volume { data, dims: self.dims, affine: self.affine }
    }

    /// Whether both come from encoders of the same shape.
    pub(super) fn same_encoder(&self, other: &Self) -> bool {
        self.shape() == other.shape()
    }

    /// Map, stride and channels of each level.
    pub(super) fn shape(&self) -> Vec<(usize, usize, usize)> {
        self.levels.iter().map(|level| (level.map, level.stride, level.channels)).collect()
    }
}

/// Runs the encoder over a scan.
///
/// # Errors
/// [`FeatureError`].
pub async fn extract<W: Watch>(
    scan: &Volume,
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<DenseFeatures, FeatureError> {
    maps_of(scan, (model, pack), false, watch).await
}

/// As [`extract`], the structure branch in place of the deepest map where the encoder has one.
///
/// # Errors
/// [`FeatureError`].
pub async fn extract_anatomy<W: Watch>(
    scan: &Volume,
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<DenseFeatures, FeatureError> {
    maps_of(scan, (model, pack), true, watch).await
}

async fn maps_of<W: Watch>(
    scan: &Volume,
    (model, pack): (&Prism, &Pack),
    anatomy: bool,
    watch: &mut W,
) -> Result<DenseFeatures, FeatureError> {
    let prepared = prepare_for(scan, pack).map_err(PipelineError::from)?;
    let foreground = foreground(scan, pack, &prepared)?;
    let encoder = &pack.info.architecture.encoder;
    let windows = Windows::new(&prepared, pack).aligned(encoder.multiple());
    let count = windows.count();
    let mut pacer = Pacer::new(watch, count * model.encoder_steps());
    let mut sums = kept(&encoder.maps(), prepared.dims)?;
    for index in windows.indices() {
        let input = windows.input(&prepared, index, model.device());
        let Features { mut maps, deepest, .. } =
            model.encode(input, &mut pacer).await.map_err(|stopped| pacer.reason(stopped))?;
        if let (true, Some(last), Some(structure)) = (anatomy, maps.last_mut(), deepest.structure) {
            *last = structure;
        }
        for (map, tensor) in maps.into_iter().enumerate() {
            if let Some(sum) = sums.iter_mut().find(|sum| sum.level.map == map) {
                sum.blended.add(windows.start(index), tensor, count == 1).await?;
            }
        }
    }
    let levels = sums.into_iter().map(Sum::finish).collect();
    Ok(DenseFeatures { levels, dims: prepared.dims, affine: input_affine(&prepared), foreground })
}

/// Empty levels for the maps that are kept: coarser than the input, within [`MOST_VALUES`].
fn kept(maps: &[MapShape], dims: [usize; 3]) -> Result<Vec<Sum>, FeatureError> {
    let mut sums: Vec<Sum> = Vec::new();
    let mut held = 0;
    for (map, &MapShape { channels, stride }) in maps.iter().enumerate().rev() {
        let sides = dims.map(|side| side / stride);
        held += channels * sides.iter().product::<usize>();
        if stride == 1 || held > MOST_VALUES {
            break;
        }
        let level = Level { map, stride, channels, dims: sides, values: Vec::new() };
        let blended = Blended::new(stride, channels, sides, Layout::ChannelsLast);
        sums.insert(0, Sum { level, blended });
    }
    if sums.is_empty() { Err(FeatureError::NoMaps) } else { Ok(sums) }
}

/// A level that windows are added to.
struct Sum {
    level: Level,
    blended: Blended,
}

impl Sum {
    fn finish(mut self) -> Level {
        self.level.values = self.blended.finish();
        self.level
    }
}

/// Voxels of the network's input above a tenth of the bright end, z fastest.
fn foreground(scan: &Volume, pack: &Pack, prepared: &Prepared) -> Result<Vec<bool>, PipelineError> {
    let (mut grid, ..) = conform(scan, &pack.info.preprocessing)?;
    RULE.apply(&mut grid.data);
    let [nx, ny, nz] = prepared.dims;
    let mut result = vec![false; nx * ny * nz];
    let sides = prepared.crop.map(|(start, end)| end - start);
    for x in 0..sides[0] {
        for y in 0..sides[1] {
            let row = ((x + prepared.pad[0]) * ny + y + prepared.pad[1]) * nz + prepared.pad[2];
            for z in 0..sides[2] {
                let from = [x, y, z];
                let place = [0, 1, 2].map(|axis| prepared.crop[axis].0 + from[axis]);
                result[row + z] = grid.data[offset(grid.dims, place)] > FOREGROUND;
            }
        }
    }
    Ok(result)
}
