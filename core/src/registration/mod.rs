//! Two scans onto each other, of one person or two, of the same sequence or not.
//!
//! | module | what |
//! | --- | --- |
//! | `subject` | a scan's features: structures of a network, components of its encoder, or MIND-SSC ([`mind`]) |
//! | [`motion`] | rigid and affine maps, half of a motion |
//! | `linear` | rigid and affine alignment of features |
//! | [`intensity`] | the same by normalised mutual information |
//! | `discrete` | large displacements, all tried |
//! | `instance`, [`velocity`] | the rest: Adam on a velocity field, whose flow never folds space |
//! | `agreement` | whether two scans fit once they are aligned |
//! | `warp` | what a transform does to scans, labels, points |
//! | [`itk`] | affine maps as ITK writes them |
//!
//! The deformable part follows ConvexAdam (Siebert et al., arXiv 2306.08302), with a stationary velocity
//! field in place of its displacements. Gradients are written by hand, so that the
//! browser needs no automatic differentiation.
//!
//! A transform takes points of the fixed scan to the moving scan's, as resampling asks.

// Formulas over axes and nodes name their index.
#![allow(clippy::needless_range_loop)]

mod agreement;
mod discrete;
mod grid;
mod instance;
pub mod intensity;
pub mod itk;
mod linear;
pub mod mind;
pub mod motion;
mod subject;
pub mod velocity;
mod warp;

use serde::{Deserialize, Serialize};

pub use agreement::{Agreement, Measure};
pub use grid::FeatureGrid;
pub use instance::Settings;
pub use motion::Freedom;
pub use subject::{Kept, Source, Subject, intensities};
pub use warp::{Deformation, Mapper, Transform};

use crate::features::FeatureError;
use crate::model::Stopped;
use crate::pipeline::{PipelineError, Stage, Watch};
use crate::volume::{Affine, AffineError};
use instance::{Instance, NODE, nodes, place};
use intensity::Intensities;
use linear::LEVELS;
use velocity::{Flow, Vectors, logarithm, read};

/// How far two scans may be moved apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Turned and shifted: two scans of one head.
    Rigid,
    /// Any affine map.
    Affine,
    /// Affine, then every place on its own.
    Deformable,
}

/// An alignment cannot be made, or not be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RegistrationError {
    /// A scan did not run through the network, or the run was stopped.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A grid that lies nowhere in the world.
    #[error(transparent)]
    Affine(#[from] AffineError),
    /// The network knows nothing of what is in the scan.
    #[error(
        "the network finds none of its structures in a scan; align by intensities (MIND) instead"
    )]
    NothingFound,
    /// A scan that the encoder cannot read.
    #[error("the encoder cannot read a scan: {0}")]
    Encoder(String),
    /// Nothing that lies in the space of an atlas of heads.
    #[error(
        "this does not look like a head: MNI coordinates are given for scans in which the network \
         finds its structures and that fit the template; align it with another scan instead"
    )]
    NoHead,
    /// Nothing to align.
    #[error("a scan has no foreground to align")]
    Empty,
    /// The pack's head has more structures than can be carried.
    #[error("the pack has {0} structures, more than the {most} that can be aligned", most = grid::MOST_CHANNELS)]
    Channels(usize),
    /// Two subjects whose features do not compare.
    #[error("the two scans have features of different kinds; prepare both in the same way")]
    Different,
    /// Not an affine map as ITK writes it.
    #[error("this is not a transform file that can be read: {0}")]
    TransformFile(String),
}

impl From<Stopped> for RegistrationError {
    fn from(stopped: Stopped) -> Self {
        Self::Pipeline(stopped.into())
    }
}

impl From<FeatureError> for RegistrationError {
    fn from(error: FeatureError) -> Self {
        match error {
            FeatureError::Pipeline(error) => Self::Pipeline(error),
            other => Self::Encoder(other.to_string()),
        }
    }
}

/// How an alignment is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// What it may do.
    pub kind: Kind,
    /// A map from fixed to moving points that is known already; it takes the place of the
    /// affine search when `kind` is deformable, else that of the first guess.
    pub start: Option<Affine>,
}

/// What an alignment came to.
#[derive(Clone, Debug)]
pub struct Aligned {
    /// From fixed to moving points.
    pub transform: Transform,
    /// Mean squared difference of the features: after the affine part, and in the end.
    pub differences: (f64, f64),
    /// How well the two fit in the end.
    pub agreement: Agreement,
}

/// Steps of Adam and their settings. The features' variances add up to one over the fixed
/// mask, so that one setting serves every kind of feature.
const SETTINGS: Settings = Settings { iterations: 80, rate: 0.1, smoothness: 0.05 };

/// How far channels are brought to the same variance: 0 not at all, 1 entirely. In
/// between, small structures count for more than their size and noise does not rule.
const EVENNESS: f64 = 0.5;

/// Share of the features' variance that patterns inside structures have.
const PATTERN: f64 = 0.4;

/// Rounds that find the velocity of the first displacements.
const LOGARITHM_ROUNDS: usize = 8;

/// Aligns two scans.
///
/// # Errors
/// [`RegistrationError`].
pub async fn align<W: Watch>(
    fixed: &Subject,
    moving: &Subject,
    plan: Plan,
    watch: &mut W,
) -> Result<Aligned, RegistrationError> {
    let comparable = fixed.source == moving.source
        && fixed.structures == moving.structures
        && fixed.features.channels == moving.features.channels;
    if !comparable {
        return Err(RegistrationError::Different);
    }
    let mut steps = Steps::new(plan.kind, watch);
    let affine = match plan.start.filter(|_| plan.kind == Kind::Deformable) {
        Some(known) => known,
        None => affine(fixed, moving, plan, &mut steps).await?,
    };
    let scales = scales(&fixed.features, fixed.structures, PATTERN);
    let mine = scaled(&fixed.features, &scales);
    let other = scaled(&moving.features, &scales);
    let to_voxel = other.affine.inverse()?.after(&affine).after(&mine.affine);
    let there = other.resampled(mine.dims, mine.affine, &to_voxel);
    drop(other);
    let before = difference(&mine, &there);
    if plan.kind != Kind::Deformable {
        let transform = Transform { affine, deformation: None };
        let agreement = agreement::measured(fixed, moving, &transform)?;
        return Ok(Aligned { transform, differences: (before, before), agreement });
    }
    let (deformation, after) = deform(&mine, &there, &mut steps).await?;
    drop((mine, there));
    let transform = Transform { affine, deformation: Some(deformation) };
    let agreement = agreement::measured(fixed, moving, &transform)?;
    Ok(Aligned { transform, differences: (before, after), agreement })
}

/// Counts steps and lets a cancel through.
struct Steps<'a, W> {
    watch: &'a mut W,
    done: usize,
    total: usize,
}

impl<'a, W: Watch> Steps<'a, W> {
    fn new(kind: Kind, watch: &'a mut W) -> Self {
        let deformable = if kind == Kind::Deformable { SETTINGS.iterations + 1 } else { 0 };
        Self { watch, done: 0, total: 2 * LEVELS.len() + deformable }
    }

    async fn step(&mut self) -> Result<(), RegistrationError> {
        self.done += 1;
        self.watch.progress(Stage::Register, self.done.min(self.total), self.total);
        self.watch.breathe().await;
        if self.watch.cancelled() { Err(Stopped.into()) } else { Ok(()) }
    }
}

/// The rigid or affine part.
async fn affine<W: Watch>(
    fixed: &Subject,
    moving: &Subject,
    plan: Plan,
    steps: &mut Steps<'_, W>,
) -> Result<Affine, RegistrationError> {
    let intensities = Intensities::new(&fixed.intensity, &fixed.features.mask, &moving.intensity)?;
    let known = plan.start.or_else(|| between_landmarks(fixed, moving));
    let mut current = known.unwrap_or_else(|| intensities.first());
    let freedoms: &[Freedom] = match plan.kind {
        Kind::Rigid => &[Freedom::Rigid],
        Kind::Affine | Kind::Deformable => &[Freedom::Rigid, Freedom::Affine],
    };
    steps.step().await?;
    // Structures alone: patterns say nothing of what is far away.
    let scales = scales(&fixed.features, fixed.structures, 0.0);
    let (mine, other) = (scaled(&fixed.features, &scales), scaled(&moving.features, &scales));
    for &freedom in freedoms {
        // Components turn with the head less well than they move with it.
        let by_features = match fixed.source {
            Source::Network => true,
            Source::Encoder => freedom == Freedom::Affine,
            Source::Mind | Source::Greys => false,
        };
        if !by_features {
            current = intensities.climb(current, freedom, 4.0, 0.1);
            steps.step().await?;
            continue;
        }
        for block in LEVELS {
            // Affine maps start where rigid ones ended: not from the coarsest again.
            if freedom == Freedom::Affine && block == LEVELS[0] {
                continue;
            }
            let coarse = (mine.pooled(block), other.pooled(block));
            current = linear::refine(&coarse.0, &coarse.1, current, freedom)?.0;
            steps.step().await?;
        }
    }
    if plan.kind == Kind::Rigid {
        // One head: the intensities know tenths of a millimetre.
        current = intensities.climb(current, Freedom::Rigid, 0.5, 0.02);
    }
    Ok(current)
}

/// The rigid motion that takes the fixed scan's structures to the moving scan's.
fn between_landmarks(fixed: &Subject, moving: &Subject) -> Option<Affine> {
    let pairs: Vec<_> = fixed
        .landmarks
        .iter()
        .zip(&moving.landmarks)
        .filter_map(|(a, b)| {
            let ((from, many), (to, others)) = ((*a)?, (*b)?);
            Some((from, to, many.min(others).sqrt()))
        })
        .collect();
    // Three points that are not in line would do; structures are found wrongly, too.
    (pairs.len() >= 6).then(|| motion::motion_between(&pairs))
}

/// The deformable part, `moving` on the grid of `fixed`.
async fn deform<W: Watch>(
    fixed: &FeatureGrid,
    moving: &FeatureGrid,
    steps: &mut Steps<'_, W>,
) -> Result<(Deformation, f64), RegistrationError> {
    let (cells, sides) = discrete::search(fixed, moving);
    steps.step().await?;
    let grid = nodes(fixed.dims);
    let count: usize = grid.iter().product();
    let cell = discrete::CELL as f32;
    let displacement: Vectors = (0..count)
        .map(|node| {
            let at = [node % grid[0], node / grid[0] % grid[1], node / (grid[0] * grid[1])];
            // A node in voxels, then among the cells.
            let voxel = at.map(|j| j as f32 * NODE as f32 + 0.5 * (NODE as f32 - 1.0));
            let moved = read(&cells, sides, voxel.map(|v| (v - 0.5 * (cell - 1.0)) / cell));
            moved.map(|part| part * cell / NODE as f32)
        })
        .collect();
    let start = logarithm(&displacement, grid, LOGARITHM_ROUNDS);
    let mut instance = Instance::new(fixed, moving, start, SETTINGS);
    let mut last = f64::NAN;
    for _ in 0..SETTINGS.iterations {
        last = f64::from(instance.advance());
        steps.step().await?;
    }
    let flow = Flow::of(&instance.velocity(), grid);
    let [nx, ny, _] = fixed.dims;
    let axes = fixed.affine.0;
    let displacement = (0..fixed.voxels())
        .map(|at| {
            let voxel = [at % nx, at / nx % ny, at / (nx * ny)];
            let moved = read(flow.displacement(), grid, voxel.map(place));
            let voxels = moved.map(|part| f64::from(part) * NODE as f64);
            axes.map(|row| (0..3).map(|k| row[k] * voxels[k]).sum::<f64>() as f32)
        })
        .collect();
    let (dims, affine, mask) = (fixed.dims, fixed.affine, fixed.mask.clone());
    Ok((Deformation { displacement, dims, affine, mask }, last))
}

/// Factor of each channel: structures see [`EVENNESS`], patterns stay as they are to each
/// other; over the mask the variances of patterns add up to `pattern`, all to one.
fn scales(grid: &FeatureGrid, structures: usize, pattern: f64) -> Vec<f32> {
    let mut sums = vec![(0.0_f64, 0.0_f64); grid.channels];
    let mut count = 0.0_f64;
    for (voxel, _) in grid.mask.iter().enumerate().filter(|(_, inside)| **inside) {
        count += 1.0;
        for (sum, &value) in sums.iter_mut().zip(grid.at(voxel)) {
            sum.0 += f64::from(value);
            sum.1 += f64::from(value).powi(2);
        }
    }
    let count = count.max(1.0);
    let variances: Vec<f64> =
        sums.iter().map(|(sum, square)| square / count - (sum / count).powi(2)).collect();
    let (of_structures, of_patterns) = variances.split_at(structures);
    // Below this a structure is nothing but noise.
    let least = 1e-4 * of_structures.iter().sum::<f64>();
    let even = |&variance: &f64| {
        if variance > 0.0 { variance.max(least).powf(-EVENNESS) } else { 0.0 }
    };
    let mut factors: Vec<f64> = of_structures.iter().map(even).collect();
    factors.resize(grid.channels, 1.0);
    let total = |range: core::ops::Range<usize>| -> f64 {
        let sum: f64 = range.map(|channel| variances[channel] * factors[channel]).sum();
        if sum > 0.0 { sum } else { 1.0 }
    };
    let shares = (total(0..structures), total(structures..grid.channels));
    let pattern = match structures {
        0 => 1.0,
        _ if of_patterns.iter().all(|&variance| variance <= 0.0) => 0.0,
        _ => pattern,
    };
    let share = |channel: usize| {
        if channel < structures { (1.0 - pattern) / shares.0 } else { pattern / shares.1 }
    };
    (0..grid.channels).map(|channel| (factors[channel] * share(channel)).sqrt() as f32).collect()
}

fn scaled(grid: &FeatureGrid, scales: &[f32]) -> FeatureGrid {
    let mut result = grid.clone();
    for row in result.values.chunks_exact_mut(grid.channels) {
        row.iter_mut().zip(scales).for_each(|(value, scale)| *value *= scale);
    }
    result
}

/// Mean squared difference over the fixed mask.
fn difference(fixed: &FeatureGrid, moving: &FeatureGrid) -> f64 {
    let inside = fixed.mask.iter().enumerate().filter(|(_, inside)| **inside);
    let (sum, count) = inside.fold((0.0, 0), |(sum, count), (voxel, _)| {
        let pairs = fixed.at(voxel).iter().zip(moving.at(voxel));
        let squares: f32 = pairs.map(|(a, b)| (a - b) * (a - b)).sum();
        (sum + f64::from(squares), count + 1)
    });
    sum / f64::from(count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Volume;

    #[test]
    fn structures_alone_have_all_of_the_variance() {
        // One structure and one pattern on a line of voxels, six channels that are nothing.
        let (dims, affine) = ([64, 1, 1], Affine::IDENTITY);
        let mut values = vec![0.0; 64 * grid::LANES];
        for (voxel, row) in values.chunks_exact_mut(grid::LANES).enumerate() {
            (row[0], row[1]) = ((voxel % 7) as f32, (voxel % 5) as f32);
        }
        let mask = vec![true; 64];
        let features = FeatureGrid { values, channels: grid::LANES, dims, affine, mask };
        let intensity = Volume { data: vec![0.0; 64], dims, affine };
        let (source, landmarks) = (Source::Network, Vec::new());
        let both = Subject { source, features, structures: 1, intensity, landmarks };
        let alone = both.clone().structures_alone();
        let variance = |subject: &Subject, channel: usize| {
            let grid = &subject.features;
            let grid = scaled(grid, &scales(grid, subject.structures, PATTERN));
            let all = || (0..64).map(|voxel| f64::from(grid.at(voxel)[channel]));
            let mean = all().sum::<f64>() / 64.0;
            all().map(|value| (value - mean).powi(2)).sum::<f64>() / 64.0
        };
        for (subject, expected) in [(&both, [0.6, 0.4]), (&alone, [1.0, 0.0])] {
            for (channel, expected) in expected.into_iter().enumerate() {
                let found = variance(subject, channel);
                assert!((found - expected).abs() < 1e-4, "{channel}: {found} {expected}");
            }
        }
    }
}
