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
use crate::registration::{Aligned, Kind, Plan, RegistrationError, Subject, Transform, align};
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
    let first = Subject::through(baseline, model, pack, watch).await?;
    let second = Subject::through(later, model, pack, watch).await?;
    let motion = between(&first, &second, watch).await?;
    let half = half(&motion);
    // Half-way point h: the baseline shows it at the inverse of half, the follow-up at half.
    let maps = [half.inverse().map_err(RegistrationError::from)?, half];
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

/// How much each place grew (above 1) or shrank from baseline to follow-up: determinant
/// of the Jacobian of a deformable alignment half-way, on its grid; 1 where nothing was
/// aligned.
///
/// # Errors
/// [`FollowUpError`].
pub async fn local_change<W: Watch>(
    scans: &[Volume; 2],
    (model, pack): (&Prism, &Pack),
    watch: &mut W,
) -> Result<Volume, FollowUpError> {
    let first = Subject::through(&scans[0], model, pack, watch).await?;
    let second = Subject::through(&scans[1], model, pack, watch).await?;
    let plan = Plan { kind: Kind::Deformable, start: Some(Affine::IDENTITY) };
    let Aligned { transform: Transform { deformation, .. }, .. } =
        align(&first, &second, plan, watch).await?;
    let Some(deformation) = deformation else { return Err(FollowUpError::Apart) };
    let pairs = deformation.jacobians().into_iter().zip(&deformation.mask);
    let data = pairs.map(|(value, &inside)| if inside { value } else { 1.0 }).collect();
    Ok(Volume { data, dims: deformation.dims, affine: deformation.affine })
}
