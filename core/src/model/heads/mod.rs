//! Task heads on the shared encoder.

mod pooled;
mod segmentation;

pub use pooled::{PooledHead, pool};
pub use segmentation::SegmentationHead;
