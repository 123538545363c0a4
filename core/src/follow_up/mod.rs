//! One person at two times: what changed, and what may be chance.
//!
//! Both scans meet half-way: the rigid motion between them is halved, so that both are
//! resampled alike (Reuter et al., NeuroImage 61, 2012: a scan that alone is resampled
//! looks changed). There each is segmented several times, turned and shifted a little
//! and with noise added; how much the volumes scatter says how large a change has to be.
//! A change inside its interval is not called one.
//!
//! | module | what |
//! | --- | --- |
//! | `repeat` | a scan measured again: motion, noise, half-way grid |
//! | [`change`] | volumes at two times to a change with its interval |
//! | [`lesions`] | new and larger bright spots |

pub mod change;
pub mod lesions;
mod repeat;

pub use change::{Change, changes};
pub use lesions::{Lesion, Lesions, new_lesions};

use crate::measure;
use crate::model::{Pack, Prism};
use crate::pipeline::{PipelineError, Watch, segment};
use crate::registration::motion::half;
use crate::registration::{
    Aligned, Deformation, Kind, Plan, RegistrationError, Subject, Transform, align,
};
use crate::volume::{Affine, LabelMap, Volume};
use repeat::{Halfway, noise};

/// How often each scan is measured again.
pub const REPEATS: usize = 4;

/// Two scans that cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FollowUpError {
    /// They could not be aligned.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// They could not be segmented.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// Aligned, they do not overlap.
    #[error("the two scans show different places: once aligned, they do not overlap")]
    Apart,
    /// A time between the scans that is none.
    #[error("the time between the scans is {0} years; it has to be above zero")]
    Years(f64),
}

/// What two scans say together.
#[derive(Clone, Debug)]
pub struct FollowUp {
    /// The change of each structure that was found at both times.
    pub changes: Vec<Change>,
    /// Rotation (degrees) and shift (mm) between the scans as they were taken.
    pub motion: (f64, f64),
    /// From points half-way to those of the baseline and the follow-up.
    pub maps: [Affine; 2],
    /// Both scans half-way, on one grid.
    pub scans: [Volume; 2],
    /// Their labels there.
    pub labels: [LabelMap; 2],
}

/// Compares two scans. `years` is the time between them, where it is known.
///
/// # Errors
/// [`FollowUpError`].
pub async fn follow_up<W: Watch>(
    baseline: &Volume,
    later: &Volume,
    years: Option<f64>,
    (model, pack): (&Prism, &Pack),
    watch: &mut W,
) -> Result<FollowUp, FollowUpError> {
    if let Some(years) = years.filter(|&years| years.is_nan() || years <= 0.0) {
        return Err(FollowUpError::Years(years));
    }
    let (motion, maps) = meet([baseline, later], (model, pack), watch).await?;
    let halfway = Halfway::of([baseline, later], &maps).ok_or(FollowUpError::Apart)?;
    let mut volumes: [Vec<Vec<f64>>; 2] = [Vec::new(), Vec::new()];
    let mut scans = Vec::with_capacity(2);
    let mut labels = Vec::with_capacity(2);
    for (time, scan) in [baseline, later].into_iter().enumerate() {
        let noise = noise(scan);
        for turn in 0..=REPEATS {
            // The same jolts at both times.
            let shown = halfway.measured(scan, &maps[time], turn, noise)?;
            let found = segment(&shown, model, pack, watch).await?.labels;
            let rows = measure::structures(&found, &pack.info.labels);
            volumes[time].push(rows.iter().map(|row| row.millilitres).collect());
            if turn == 0 {
                scans.push(shown);
                labels.push(found);
            }
        }
    }
    let changes = changes(&pack.info.labels, &volumes, years);
    let (Ok(scans), Ok(labels)) = (scans.try_into(), labels.try_into()) else {
        return Err(FollowUpError::Apart);
    };
    Ok(FollowUp { changes, motion: repeat::size(&motion), maps, scans, labels })
}

/// The motion from baseline to follow-up points, and the maps from points half-way to
/// those of each.
async fn meet<W: Watch>(
    scans: [&Volume; 2],
    (model, pack): (&Prism, &Pack),
    watch: &mut W,
) -> Result<(Affine, [Affine; 2]), FollowUpError> {
    let first = Subject::through(scans[0], model, pack, watch).await?;
    let second = Subject::through(scans[1], model, pack, watch).await?;
    let motion = between(&first, &second, watch).await?;
    let half = half(&motion);
    // Half-way point h: the baseline shows it at the inverse of half, the follow-up at half.
    let maps = [half.inverse().map_err(RegistrationError::from)?, half];
    Ok((motion, maps))
}

/// The motion from baseline to follow-up points: aligned both ways and averaged, so that
/// neither scan is favoured.
async fn between<W: Watch>(
    first: &Subject,
    second: &Subject,
    watch: &mut W,
) -> Result<Affine, FollowUpError> {
    let plan = Plan { kind: Kind::Rigid, start: None };
    let there = align(first, second, plan, watch).await?.transform.affine;
    let back = align(second, first, plan, watch).await?.transform.affine;
    let back = back.inverse().map_err(RegistrationError::from)?;
    // Both go from baseline to follow-up; half of the way between them is their mean.
    let rest = there.inverse().map_err(RegistrationError::from)?.after(&back);
    Ok(there.after(&half(&rest)))
}

/// How much each place of the baseline grew (above 1) or shrank until the follow-up:
/// determinant of the Jacobian of a deformable alignment half-way, on the baseline's own
/// grid; 1 where nothing was aligned. `maps` are those of [`FollowUp`], where it was made.
///
/// No interval belongs to it: what is smaller than a scan against itself makes is noise.
///
/// # Errors
/// [`FollowUpError`].
pub async fn local_change<W: Watch>(
    scans: [&Volume; 2],
    maps: Option<[Affine; 2]>,
    (model, pack): (&Prism, &Pack),
    watch: &mut W,
) -> Result<Volume, FollowUpError> {
    let maps = match maps {
        Some(maps) => maps,
        None => meet(scans, (model, pack), watch).await?.1,
    };
    let halfway = Halfway::of(scans, &maps).ok_or(FollowUpError::Apart)?;
    let mut subjects = Vec::with_capacity(2);
    for (scan, map) in scans.into_iter().zip(&maps) {
        let shown = halfway.shown(scan, map)?;
        subjects.push(Subject::through(&shown, model, pack, watch).await?);
    }
    let plan = Plan { kind: Kind::Deformable, start: Some(Affine::IDENTITY) };
    let Aligned { transform: Transform { deformation, .. }, .. } =
        align(&subjects[0], &subjects[1], plan, watch).await?;
    let Some(deformation) = deformation else { return Err(FollowUpError::Apart) };
    let back = maps[0].inverse().map_err(RegistrationError::from)?;
    Ok(on_baseline(&deformation, back, scans[0])?)
}

/// The determinants on the baseline's grid, whose points `back` takes half-way.
fn on_baseline(
    deformation: &Deformation,
    back: Affine,
    baseline: &Volume,
) -> Result<Volume, RegistrationError> {
    // What lies outside is read as 0, which here is no change.
    let pairs = deformation.jacobians().into_iter().zip(&deformation.mask);
    let data = pairs.map(|(value, &inside)| if inside { value - 1.0 } else { 0.0 }).collect();
    let change = Volume { data, dims: deformation.dims, affine: deformation.affine };
    let transform = Transform { affine: back, deformation: None };
    let mut map = transform.warp(&change, baseline.dims, &baseline.affine)?;
    map.data.iter_mut().for_each(|value| *value += 1.0);
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_half_way_lies_where_the_baseline_shows_it() {
        // u = x / 4 from x = 10 mm on, on a grid of 2 mm: determinant 1.25 there.
        let (dims, affine) = ([16, 4, 4], Affine::from_spacing([2.0; 3]));
        let push = |x: usize| (2.0 * x as f32 - 10.0).max(0.0) * 0.25;
        let displacement = (0..256).map(|at| [push(at % 16), 0.0, 0.0]).collect();
        let deformation = Deformation { displacement, dims, affine, mask: vec![true; 256] };
        let mut back = Affine::IDENTITY;
        back.0[0][3] = 4.0;
        let baseline = Volume { data: vec![0.0; 1024], dims: [64, 4, 4], affine: Affine::IDENTITY };
        let map = on_baseline(&deformation, back, &baseline).expect("lies somewhere");
        // Point 20 of the baseline is point 24 half-way; 2 is 6; 50 lies beyond the grid.
        for (at, expected) in [(20, 1.25), (2, 1.0), (50, 1.0)] {
            assert!((map.data[at] - expected).abs() < 1e-5, "{at}: {}", map.data[at]);
        }
    }
}
