//! Task heads on the shared encoder.

mod fusion;
mod pooled;
mod segmentation;

pub use fusion::{SequenceFusion, TransformerFusion};
pub use pooled::{PooledHead, pool};
pub use segmentation::SegmentationHead;
