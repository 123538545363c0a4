//! Labels: small islands removed, carried back to the scan's own grid, borders refined.

mod carry;
mod islands;
mod refine;
mod tissue;

pub use carry::{Between, carry_labels};
pub use islands::{keep_largest, remove_islands};
pub(super) use refine::Refine;
pub(super) use tissue::{Mixture, Tissues};
