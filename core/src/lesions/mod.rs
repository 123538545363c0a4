//! Lesions in one or several sequences of a study.
//!
//! | module | what |
//! | --- | --- |
//! | [`alignment`] | whether sequences lie on each other, and one onto the other's grid |
//! | `sequences` | which series of a study are taken |
//! | `place` | a sequence onto the first one's grid, registered where it has moved (feature `network`) |
//! | `find` | the pack over all sequences, lesions inside the brain (feature `network`) |
//! | `abnormality` | a scan against its own rendering, without any label (feature `network`) |
//! | `deviation` | two greys of one place to robust deviations |
//! | `rows` | a lesion's volume, place, side, longest diameter (feature `network`) |
//! | `signal` | a lesion's grey beside what lies around it (feature `network`) |
//! | `table` | what a row holds |
//! | `csv` | the table for machines |
//! | `caution` | what a pack is known to mark where nothing is |

#[cfg(feature = "network")]
mod abnormality;
pub mod alignment;
mod caution;
mod csv;
#[cfg(feature = "network")]
mod deviation;
#[cfg(feature = "network")]
mod find;
#[cfg(feature = "network")]
mod place;
#[cfg(feature = "network")]
mod rows;
mod sequences;
#[cfg(feature = "network")]
mod signal;
mod table;

#[cfg(feature = "network")]
pub use abnormality::{Abnormality, abnormality};
pub use caution::FalseAlarms;
pub use csv::lesions_csv;
#[cfg(feature = "network")]
pub use find::{Found, LesionError, find};
#[cfg(feature = "network")]
pub use place::{Placed, place};
pub use sequences::{MOST_SEQUENCES, finest_first, left_by_header, taken};
pub use table::{Lesion, Place, SMALLEST_ML, Signal, Summary};

/// Motions from here on are larger than a head moves between the sequences of one visit, in
/// millimetres: it lay anew, or it is another head.
pub const FAR_MM: f64 = 20.0;
