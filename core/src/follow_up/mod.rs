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
//! | `compare` | two scans half-way, measured (feature `network`) |
//! | `repeat` | a scan measured again: motion, noise, half-way grid (feature `network`) |
//! | `alike` | whether two scans may be compared at all (feature `network`) |
//! | `bright` | whether changed lesions may be looked for in them (feature `network`) |
//! | [`change`] | volumes at two times to a change with its interval |
//! | `search` | the lesion pack at both times, and where nothing changed (feature `network`) |
//! | [`lesions`] | new, larger and shrunken lesions |
//! | [`finding`] | what is said of them |
//! | `local` | map of local change, and of nothing changed (feature `network`) |

#[cfg(feature = "network")]
mod alike;
#[cfg(feature = "network")]
mod bright;
pub mod change;
#[cfg(feature = "network")]
mod compare;
pub mod finding;
pub mod lesions;
#[cfg(feature = "network")]
mod local;
#[cfg(feature = "network")]
mod repeat;
#[cfg(feature = "network")]
mod search;

#[cfg(feature = "network")]
pub use alike::{LEAST_OVERLAP, overlap};
#[cfg(feature = "network")]
pub use bright::Unsuited;
pub use change::{Change, changes, changes_csv};
#[cfg(feature = "network")]
pub use compare::{FollowUp, FollowUpError, REPEATS, follow_up};
pub use finding::{ChangedLesions, Finding, LesionChange};
pub use lesions::{Fate, Lesion, Lesions, lesion_changes};
#[cfg(feature = "network")]
pub use local::{LocalChange, local_change};
#[cfg(feature = "network")]
pub use search::find_lesion_change;
