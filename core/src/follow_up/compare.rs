//! Two scans of one person, half-way, each measured several times.

use super::alike::{self, LEAST_OVERLAP};
use super::bright::Unsuited;
use super::change::{Change, changes};
use super::repeat::{self, Halfway, noise};
use crate::identify::HeadsPack;
use crate::measure;
use crate::model::{Pack, Prism};
use crate::pipeline::{PipelineError, Watch, segment};
use crate::registration::motion::half;
use crate::registration::{Kind, Plan, RegistrationError, Subject, align};
use crate::volume::{Affine, LabelMap, Volume};

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
    /// Scans in which changed lesions are not looked for.
    #[error(transparent)]
    Unsuited(#[from] Unsuited),
    /// Aligned, they do not overlap.
    #[error("the two scans show different places: once aligned, they do not overlap")]
    Apart,
    /// Structures of one that do not lie on those of the other.
    #[error(
        "once aligned, the structures of the two scans overlap by {:.0} % only (mean Dice); two \
         scans of one person reach {:.0} %: no change is measured",
        100.0 * .0,
        100.0 * LEAST_OVERLAP
    )]
    People(f64),
    /// Two sequences, whose volumes differ by how structures look in them.
    #[error("the sequences differ ({0} and {1}): no change is measured; align the scans instead")]
    Sequences(String, String),
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

/// Compares two scans. `years` is the time between them, where it is known. With `heads`
/// (those of the pack; others are left alone) scans of two sequences are refused.
///
/// # Errors
/// [`FollowUpError`].
pub async fn follow_up<W: Watch>(
    [baseline, later]: [&Volume; 2],
    years: Option<f64>,
    (model, pack): (&Prism, &Pack),
    heads: Option<&HeadsPack>,
    watch: &mut W,
) -> Result<FollowUp, FollowUpError> {
    if let Some(years) = years.filter(|&years| years.is_nan() || years <= 0.0) {
        return Err(FollowUpError::Years(years));
    }
    let (motion, maps) = meet([baseline, later], (model, pack), watch).await?;
    let halfway = Halfway::of([baseline, later], &maps).ok_or(FollowUpError::Apart)?;
    let table = &pack.info.labels;
    let millilitres = |labels: &LabelMap| -> Vec<f64> {
        measure::structures(labels, table).iter().map(|row| row.millilitres).collect()
    };
    let mut volumes: [Vec<Vec<f64>>; 2] = [Vec::new(), Vec::new()];
    let [first, second] = [halfway.shown(baseline, &maps[0])?, halfway.shown(later, &maps[1])?];
    let before = segment(&first, model, pack, watch).await?.labels;
    let after = segment(&second, model, pack, watch).await?.labels;
    let (scans, labels) = ([first, second], [before, after]);
    alike::check(&scans, &labels, pack, heads)?;
    for (time, scan) in [baseline, later].into_iter().enumerate() {
        volumes[time].push(millilitres(&labels[time]));
        let noise = noise(scan);
        for turn in 1..=REPEATS {
            // The same jolts at both times.
            let shown = halfway.measured(scan, &maps[time], turn, noise)?;
            let found = segment(&shown, model, pack, watch).await?.labels;
            volumes[time].push(millilitres(&found));
        }
    }
    let changes = changes(table, &volumes, years);
    Ok(FollowUp { changes, motion: repeat::size(&motion), maps, scans, labels })
}

/// The motion from baseline to follow-up points, and the maps from points half-way to
/// those of each.
pub(super) async fn meet<W: Watch>(
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
