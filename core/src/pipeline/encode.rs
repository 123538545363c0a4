//! The encoder alone: pooled features of a scan, its maps, and what the heads on the features say.

use burn::tensor::Tensor;
use web_time::Instant;

use super::answers::{Answer, Answers};
use super::blended::{Blended, Layout};
use super::encoded::{Encoded, Keeper, LARGEST};
use super::preprocess::Prepared;
use super::run::{Pacer, PipelineError, Timings, Watch, prepare_for};
use super::sliding::{Windows, read};
use crate::model::disentangle::Disentangled;
use crate::model::{Features, MapShape, Pack, PooledInput, Prism};
use crate::volume::{Affine, Volume};

/// Most numbers in the maps of a scan (1 GiB).
const MOST_VALUES: usize = 256 << 20;

/// The features that stand for a whole scan.
const POOLED: [PooledInput; 3] =
    [PooledInput::Structure, PooledInput::Sequence, PooledInput::Fused];

/// One feature map read back from the device.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMap {
    /// `maps.{level}`, `structure`, `sequence` or `fused`.
    pub name: String,
    /// `[channels, x, y, z]`, z fastest.
    pub shape: [usize; 4],
    /// Its values.
    pub values: Vec<f32>,
}

/// One feature vector of a scan, for heads.
#[derive(Clone, Debug, PartialEq)]
pub struct PooledFeature {
    /// `structure`, `sequence`, `fused` or `centre`; `tissues` ([`super::contrast`]).
    pub name: &'static str,
    /// Of the encoder's one value a channel, averaged over windows.
    pub values: Vec<f32>,
}

/// What the encoder says of a scan.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoding {
    /// Structure and sequence, of an encoder without branches neither, fused, and centre.
    pub pooled: Vec<PooledFeature>,
    /// The maps; of several windows blended, as those of the segmentation.
    pub maps: Vec<FeatureMap>,
    /// What the pack's heads say; one that wants several sequences says nothing.
    pub answers: Vec<Answer>,
    /// Names of the finest maps that are left out, for together they would hold more than
    /// [`MOST_VALUES`] numbers.
    pub left_out: Vec<String>,
    /// World from voxel of the network's input.
    pub affine: Affine,
}

/// Encodes a scan. Blended maps come from windows that start at multiples of the coarsest
/// stride, the pooled features from those of [`pooled`], so that heads read the same from
/// both; where these windows differ, the encoder runs over each.
///
/// # Errors
/// [`PipelineError`].
pub async fn encode<W: Watch>(
    scan: &Volume,
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<Encoding, PipelineError> {
    let prepared = prepare_for(scan, pack)?;
    let encoder = &pack.info.architecture.encoder;
    let windows = Windows::new(&prepared, pack);
    let aligned = Windows::new(&prepared, pack).aligned(encoder.multiple());
    let same = windows.indices().all(|index| windows.start(index) == aligned.start(index));
    let passes = if same {
        vec![(&windows, true, true)]
    } else {
        vec![(&windows, true, false), (&aligned, false, true)]
    };
    let count = windows.count();
    let left_out = left_out(&encoder.maps(), prepared.dims);
    let mut pacer = Pacer::new(watch, passes.len() * count * model.encoder_steps());
    let mut sums: Vec<PooledFeature> = Vec::new();
    let mut answers = Answers::new(pack);
    let mut maps: Vec<(String, Blended, [usize; 4])> = Vec::new();
    for (windows, for_pooled, for_maps) in passes {
        for index in windows.indices() {
            let input = windows.input(&prepared, index, model.device());
            let side = input.dims()[2];
            let features =
                model.encode(input, &mut pacer).await.map_err(|stopped| pacer.reason(stopped))?;
            if for_pooled {
                add_pooled(&mut sums, &features, model, count).await?;
                answers.add(model.answers(&features)).await?;
            }
            if !for_maps {
                continue;
            }
            for (name, map) in named(features) {
                if left_out.contains(&name) {
                    continue;
                }
                let at = maps.iter().position(|(held, ..)| *held == name).unwrap_or(maps.len());
                if at == maps.len() {
                    let [_, channels, across, ..] = map.dims();
                    let stride = side / across;
                    let [x, y, z] = prepared.dims.map(|side| side / stride);
                    let sum = Blended::new(stride, channels, [x, y, z], Layout::ChannelsFirst);
                    maps.push((name, sum, [channels, x, y, z]));
                }
                maps[at].1.add(windows.start(index), map, count == 1).await?;
            }
        }
    }
    let maps = maps
        .into_iter()
        .map(|(name, sum, shape)| FeatureMap { name, shape, values: sum.finish() })
        .collect();
    let (answers, affine) = (answers.finish(), input_affine(&prepared));
    Ok(Encoding { pooled: sums, maps, answers, left_out, affine })
}

/// The encoder's maps, finest first, and the deepest by its branches.
fn named(features: Features) -> Vec<(String, Tensor<5>)> {
    let Disentangled { structure, sequence, fused } = features.deepest;
    let levels = features.maps.into_iter().enumerate();
    let levels = levels.map(|(level, map)| (level_name(level), map));
    let deepest = [("structure", structure), ("sequence", sequence), ("fused", Some(fused))];
    levels.chain(deepest.into_iter().filter_map(|(name, map)| Some((name.into(), map?)))).collect()
}

fn level_name(level: usize) -> String {
    format!("maps.{level}")
}

/// The finest maps, from where all together hold more than [`MOST_VALUES`] numbers.
fn left_out(maps: &[MapShape], dims: [usize; 3]) -> Vec<String> {
    let mut held = 0;
    let mut names = Vec::new();
    for (level, &MapShape { channels, stride }) in maps.iter().enumerate().rev() {
        held += channels * dims.map(|side| side / stride).iter().product::<usize>();
        if held > MOST_VALUES {
            names.insert(0, level_name(level));
        }
    }
    names
}

/// What small heads read of a scan, and the pass itself for a decoder.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// Structure and sequence, of an encoder without branches neither, fused, and centre.
    pub features: Vec<PooledFeature>,
    /// As [`Encoding::answers`].
    pub answers: Vec<Answer>,
    /// For [`super::segment_encoded`]; `None` over [`super::encoded::LARGEST`] bytes.
    pub encoded: Option<Encoded>,
}

/// The pooled features alone, without reading the maps back: what small heads read.
///
/// # Errors
/// [`PipelineError`].
pub async fn pooled<W: Watch>(
    scan: &Volume,
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<Pooled, PipelineError> {
    let begin = Instant::now();
    let prepared = prepare_for(scan, pack)?;
    let prepare_seconds = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let windows = Windows::new(&prepared, pack);
    let total = windows.count() * model.encoder_steps();
    let mut pacer = Pacer::new(watch, total);
    let mut sums = Vec::new();
    let mut answers = Answers::new(pack);
    let mut keeper = Keeper::new(LARGEST);
    for index in windows.indices() {
        let input = windows.input(&prepared, index, model.device());
        let features =
            model.encode(input, &mut pacer).await.map_err(|stopped| pacer.reason(stopped))?;
        add_pooled(&mut sums, &features, model, windows.count()).await?;
        answers.add(model.answers(&features)).await?;
        keeper.add(features);
    }
    let sha256 = pack.info.sha256.clone();
    let timings = Timings {
        prepare_seconds,
        network_seconds: begin.elapsed().as_secs_f64(),
        windows: windows.count(),
        ..Timings::default()
    };
    let encoded = keeper.finish().map(|maps| Encoded::new(sha256, prepared, maps, timings));
    Ok(Pooled { features: sums, answers: answers.finish(), encoded })
}

/// Adds a window's pooled features to their means over `count` windows.
pub(super) async fn add_pooled(
    sums: &mut Vec<PooledFeature>,
    features: &Features,
    model: &Prism,
    count: usize,
) -> Result<(), PipelineError> {
    let scale = 1.0 / count as f32;
    let vectors =
        POOLED.iter().filter_map(|&input| Some((input.key(), model.vector(features, input)?)));
    for (name, vector) in vectors.chain([("centre", model.centre(features))]) {
        let values = read(vector).await?.into_iter().map(|value| value * scale);
        match sums.iter_mut().find(|sum| sum.name == name) {
            Some(sum) => sum.values.iter_mut().zip(values).for_each(|(s, v)| *s += v),
            None => sums.push(PooledFeature { name, values: values.collect() }),
        }
    }
    Ok(())
}

/// World from voxel of the network's input.
pub fn input_affine(prepared: &Prepared) -> Affine {
    let shift = [0, 1, 2].map(|axis| prepared.crop[axis].0 as f64 - prepared.pad[axis] as f64);
    prepared.grid_affine.rescaled([1.0; 3], shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finest_maps_of_a_huge_scan_are_left_out() {
        let maps = [(16, 1), (32, 2), (64, 4)];
        let maps = maps.map(|(channels, stride)| MapShape { channels, stride });
        assert!(left_out(&maps, [128; 3]).is_empty());
        // 16 * 256 ** 3 = 268 million numbers alone.
        assert_eq!(left_out(&maps, [256; 3]), ["maps.0"]);
        assert_eq!(left_out(&maps, [512; 3]), ["maps.0", "maps.1"]);
    }
}
