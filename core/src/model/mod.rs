//! The PRISM network (arXiv 2508.07165) and its packs.
//!
//! A scan runs through an encoder ([`encoder`]) to a pyramid of feature maps; the
//! deepest is split into what is in the scan and how it was acquired
//! ([`disentangle`]); a decoder with skips ([`decoder`]) brings it back to full
//! resolution for segmentation, and small heads ([`heads`]) read single answers
//! from the pooled features; [`renderer`] draws the anatomy again in another style.
//! Each part comes in two kinds behind one interface: the compact network's and the
//! published one's, which is MONAI's Swin transformer and SwinUNETR. [`pack`] holds
//! weights on disk, [`config`] their geometry.
//!
//! Tensors are `[batch, channels, x, y, z]`, x towards the patient's right, y to
//! the front, z to the head.

pub mod config;
pub mod conv_weight;
pub mod decoder;
pub mod dense;
pub mod disentangle;
pub mod encoder;
pub mod groups;
pub mod heads;
pub mod layers;
pub mod pack;
mod prism;
pub mod renderer;
pub mod unetr;

pub use config::{
    Architecture, EncoderConfig, Fusion, HeadConfig, MapShape, Merging, Orientation,
    PooledHeadConfig, PooledInput, Preprocessing, RendererConfig, SwinConfig,
};
pub use pack::{Pack, PackError, PackInfo};
pub use prism::{Features, Pace, Prism, Stopped, Storage, Unpaced};
