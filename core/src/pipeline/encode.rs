//! The encoder alone: pooled features of a scan, and its maps where one pass holds it.

use burn::tensor::Tensor;

use super::encoded::{Encoded, Keeper, LARGEST};
use super::preprocess::Prepared;
use super::run::{Pacer, PipelineError, Watch, prepare_for};
use super::sliding::{Windows, read};
use crate::model::disentangle::Disentangled;
use crate::model::{Features, Pack, PooledInput, Prism};
use crate::volume::{Affine, Volume};

/// The features that stand for a whole scan.
const POOLED: [(&str, PooledInput); 3] = [
    ("structure", PooledInput::Structure),
    ("sequence", PooledInput::Sequence),
    ("fused", PooledInput::Fused),
];

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
    /// The maps, empty when the scan needs more than one window.
    pub maps: Vec<FeatureMap>,
    /// World from voxel of the network's input.
    pub affine: Affine,
}

/// Encodes a scan.
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
    let windows = Windows::new(&prepared, pack);
    let total = windows.count() * model.encoder_steps();
    let mut pacer = Pacer::new(watch, total);
    let mut pooled: Vec<PooledFeature> = Vec::new();
    let mut maps = Vec::new();
    for index in windows.indices() {
        let input = windows.input(&prepared, index, model.device());
        let features =
            model.encode(input, &mut pacer).await.map_err(|stopped| pacer.reason(stopped))?;
        add_pooled(&mut pooled, &features, model, windows.count()).await?;
        if windows.count() > 1 {
            continue;
        }
        let Disentangled { structure, sequence, fused } = features.deepest;
        let deepest: Vec<(&str, Tensor<5>)> =
            [("structure", structure), ("sequence", sequence), ("fused", Some(fused))]
                .into_iter()
                .filter_map(|(name, map)| Some((name, map?)))
                .collect();
        for (level, map) in features.maps.into_iter().enumerate() {
            maps.push(read_map(format!("maps.{level}"), map).await?);
        }
        for (name, map) in deepest {
            maps.push(read_map(name.into(), map).await?);
        }
    }
    Ok(Encoding { pooled, maps, affine: input_affine(&prepared) })
}

/// What small heads read of a scan, and the pass itself for a decoder.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// Structure and sequence, of an encoder without branches neither, fused, and centre.
    pub features: Vec<PooledFeature>,
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
    let prepared = prepare_for(scan, pack)?;
    let windows = Windows::new(&prepared, pack);
    let total = windows.count() * model.encoder_steps();
    let mut pacer = Pacer::new(watch, total);
    let mut sums = Vec::new();
    let mut keeper = Keeper::new(LARGEST);
    for index in windows.indices() {
        let input = windows.input(&prepared, index, model.device());
        let features =
            model.encode(input, &mut pacer).await.map_err(|stopped| pacer.reason(stopped))?;
        add_pooled(&mut sums, &features, model, windows.count()).await?;
        keeper.add(features);
    }
    let sha256 = pack.info.sha256.clone();
    let encoded = keeper.finish().map(|windows| Encoded::new(sha256, prepared, windows));
    Ok(Pooled { features: sums, encoded })
}

/// Adds a window's pooled features to their means over `count` windows.
async fn add_pooled(
    sums: &mut Vec<PooledFeature>,
    features: &Features,
    model: &Prism,
    count: usize,
) -> Result<(), PipelineError> {
    let scale = 1.0 / count as f32;
    let vectors =
        POOLED.iter().filter_map(|&(name, input)| Some((name, model.vector(features, input)?)));
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

async fn read_map(name: String, map: Tensor<5>) -> Result<FeatureMap, PipelineError> {
    let [_, channels, x, y, z] = map.dims();
    Ok(FeatureMap { name, shape: [channels, x, y, z], values: read(map).await? })
}
