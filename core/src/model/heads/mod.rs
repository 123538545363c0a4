//! Task heads on the shared encoder.

mod fusion;
mod linear;
mod pooled;
mod segmentation;

pub use fusion::{SequenceFusion, TransformerFusion};
pub use linear::LinearReader;
pub use pooled::{PooledHead, pool};
pub use segmentation::SegmentationHead;
