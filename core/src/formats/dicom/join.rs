//! Slices that were stored as a series each, joined to one stack.
//!
//! Scanners take a cine slice a breath-hold and often store each as a series of its own,
//! with all its phases. Alone such a series is one slice over time; together they are the
//! heart over time. The single series stay in the list, in front.

use super::frames::{cross, dot};
use super::{Group, alike};

/// Fewest series that are a stack and not some views.
const FEWEST: usize = 3;

/// Positions nearer than this along the normal are one (mm).
const SAME_POSITION_MM: f64 = 0.01;

/// A stack of several series.
pub(super) struct Joined {
    pub(super) group: Group,
    /// Number of series.
    pub(super) series: usize,
    /// Series whose slice a later one shows again.
    pub(super) repeated: usize,
}

/// The stacks that series of one slice form together: the same size, orientation and number
/// of images, at different positions.
pub(super) fn joined(groups: &[Group]) -> Vec<Joined> {
    let mut sets: Vec<Vec<(f64, &Group)>> = Vec::new();
    for group in groups {
        let Some(at) = single_position(group) else { continue };
        let fits = |set: &&mut Vec<(f64, &Group)>| {
            set.first().is_some_and(|(_, first)| {
                first.frames.len() == group.frames.len()
                    && alike(&first.frames[0], &group.frames[0])
            })
        };
        match sets.iter_mut().find(fits) {
            Some(set) => set.push((at, group)),
            None => sets.push(vec![(at, group)]),
        }
    }
    sets.into_iter().filter_map(join).collect()
}

fn join(set: Vec<(f64, &Group)>) -> Option<Joined> {
    // A slice that was taken again replaces the earlier one.
    let kept: Vec<&Group> = set
        .iter()
        .enumerate()
        .filter(|(at, (position, _))| {
            set[at + 1..].iter().all(|(later, _)| (later - position).abs() >= SAME_POSITION_MM)
        })
        .map(|(_, (_, group))| *group)
        .collect();
    let facts = kept.first().filter(|_| kept.len() >= FEWEST)?.facts.clone();
    let frames = kept.iter().flat_map(|group| group.frames.iter().cloned()).collect();
    let repeated = set.len() - kept.len();
    Some(Joined { group: Group { facts, frames }, series: kept.len(), repeated })
}

/// Where along its normal a series lies that shows one slice several times.
fn single_position(group: &Group) -> Option<f64> {
    let place = group.frames.first()?.place?;
    let normal = cross(place.row, place.column);
    let at = dot(place.position, normal);
    let same = group.frames.iter().all(|frame| {
        frame.place.is_some_and(|place| (dot(place.position, normal) - at).abs() < SAME_POSITION_MM)
    });
    // Frames of a plain multi-frame file may have one position because none was written.
    let meant = group.frames.iter().all(|frame| frame.of == 1 || frame.time_ms.is_some());
    (group.frames.len() > 1 && same && meant).then_some(at)
}
