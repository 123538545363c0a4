//! How much each place grew, and how much of that a scan against itself shows.

use super::alike;
use super::compare::{FollowUpError, meet};
use super::repeat::{Halfway, noise};
use crate::identify::HeadsPack;
use crate::model::{Pack, Prism};
use crate::pipeline::Watch;
use crate::registration::{
    Aligned, Deformation, Kind, Plan, RegistrationError, Subject, Transform, align,
};
use crate::volume::{Affine, LabelMap, Volume, percentile};

/// Share of the places of a scan against its own repeat whose change counts as noise, percent.
const NOISE_PERCENTILE: f64 = 99.0;

/// Repeats of each scan; the noise is the largest of what they show, as one alone is often
/// lucky, and either scan may be the noisier one. Each costs a pass through the network and a
/// deformable alignment.
const REPEATS: usize = 2;

/// A map of local change.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalChange {
    /// Above 1 where a place grew, below where it shrank; 1 where nothing was aligned. On the
    /// baseline's own grid.
    pub map: Volume,
    /// What each scan against each of its own repeats stays below in 99 of 100 places, as
    /// a factor above 1. A smaller change, or one nearer to 1 than its inverse, is none.
    pub noise: f64,
}

/// How much each place of the baseline grew (above 1) or shrank until the follow-up:
/// determinant of the Jacobian of a deformable alignment half-way. The same alignment of
/// either scan with its own repeats says how much of it is noise. `maps` are those of
/// [`super::FollowUp`], where it was made; where not, the same pairs of scans are refused as
/// there: two people, or, with `heads`, two sequences.
///
/// # Errors
/// [`FollowUpError`].
pub async fn local_change<W: Watch>(
    scans: [&Volume; 2],
    maps: Option<[Affine; 2]>,
    (model, pack): (&Prism, &Pack),
    heads: Option<&HeadsPack>,
    watch: &mut W,
) -> Result<LocalChange, FollowUpError> {
    let compared = maps.is_some();
    let maps = match maps {
        Some(maps) => maps,
        None => meet(scans, (model, pack), watch).await?.1,
    };
    let halfway = Halfway::of(scans, &maps).ok_or(FollowUpError::Apart)?;
    let shown = [halfway.shown(scans[0], &maps[0])?, halfway.shown(scans[1], &maps[1])?];
    let (onto, before) = Subject::with_labels(&shown[0], model, pack, watch).await?;
    let (from, after) = Subject::with_labels(&shown[1], model, pack, watch).await?;
    if !compared {
        let labels = [on_grid(&before, &shown[0])?, on_grid(&after, &shown[1])?];
        alike::check(&shown, &labels, pack, heads)?;
    }
    let deformation = deformation(&onto, &from, watch).await?;
    let back = maps[0].inverse().map_err(RegistrationError::from)?;
    let map = on_baseline(&deformation, back, scans[0])?;

    drop(shown);
    let mut nulls = Vec::with_capacity(2 * REPEATS);
    for (time, onto) in [onto, from].into_iter().enumerate() {
        let grey = noise(scans[time]);
        for turn in 1..=REPEATS {
            let again = halfway.again(scans[time], &maps[time], turn, grey)?;
            let again = Subject::through(&again, model, pack, watch).await?;
            nulls.push(self::deformation(&onto, &again, watch).await?);
        }
    }
    Ok(LocalChange { map, noise: shown_by(&nulls) })
}

/// What the change of every repeat stays below in 99 of 100 places, as a factor above 1.
fn shown_by(nulls: &[Deformation]) -> f64 {
    nulls.iter().fold(1.0, |largest, null| {
        let inside = null.jacobians().into_iter().zip(&null.mask).filter(|(_, inside)| **inside);
        let mut sizes: Vec<f32> =
            inside.map(|(factor, _)| factor.max(f32::MIN_POSITIVE).ln().abs()).collect();
        f64::max(largest, f64::from(percentile(&mut sizes, NOISE_PERCENTILE)).exp())
    })
}

/// Labels of the network's grid on that of the scan, which they lie on already.
fn on_grid(labels: &LabelMap, scan: &Volume) -> Result<LabelMap, RegistrationError> {
    let stay = Transform { affine: Affine::IDENTITY, deformation: None };
    stay.warp_labels(labels, scan.dims, &scan.affine)
}

/// Where places of a subject are in another that lies on it but for what changed.
async fn deformation<W: Watch>(
    onto: &Subject,
    from: &Subject,
    watch: &mut W,
) -> Result<Deformation, FollowUpError> {
    let plan = Plan { kind: Kind::Deformable, start: Some(Affine::IDENTITY) };
    let Aligned { transform, .. } = align(onto, from, plan, watch).await?;
    transform.deformation.ok_or(FollowUpError::Apart)
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

    #[test]
    fn the_noise_is_that_of_the_worst_repeat() {
        let (dims, affine) = ([16, 4, 4], Affine::from_spacing([2.0; 3]));
        let null = |slope: f32| {
            let push = |at: usize| [slope * 2.0 * (at % 16) as f32, 0.0, 0.0];
            let displacement = (0..256).map(push).collect();
            Deformation { displacement, dims, affine, mask: vec![true; 256] }
        };
        // Determinants 1.1, 0.8 (the inverse of 1.25) and 1.
        let nulls = [null(0.1), null(-0.2), null(0.0)];
        for (nulls, expected) in [(&nulls[..], 1.25), (&nulls[..1], 1.1), (&nulls[2..], 1.0)] {
            let found = shown_by(nulls);
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
    }
}
