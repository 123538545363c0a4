//! prism-core: everything that is not the page.
//!
//! Builds natively and for wasm32, and knows no DOM. Arrows point one way:
//! `report` -> `measure` -> `volume`, `pipeline` -> `model` -> `kernels`,
//! `formats` -> `volume`.
//!
//! | module | what |
//! | --- | --- |
//! | [`volume`] | voxels with their affine, orientation, resampling, intensity rules, label tables |
//! | [`formats`] | file bytes to a scan (NIfTI, DICOM) and back |
//! | [`model`] | the PRISM network and its packs (weights on disk) |
//! | [`kernels`] | our own kernels behind the same functions as burn's |
//! | `convert` | checkpoints of others into packs (native only) |
//! | [`pipeline`] | scan to labels on the scan's own grid; device choice and self-test |
//! | [`features`] | what an encoder without heads is good for: colours, similarity, fitted heads |
//! | [`registration`] | two scans onto each other: rigid, affine, deformable |
//! | [`follow_up`] | one person at two times: change with its interval, new lesions |
//! | [`cine`] | the phases of one heartbeat: read, measured |
//! | [`identify`] | sequence, body part, plane, age: what a scan shows, and which pack fits |
//! | [`lesions`] | lesions in one or several sequences of a study |
//! | [`card`] | what the description of a pack means, in words |
//! | [`measure`] | volumes of structures, image quality |
//! | [`report`] | findings to text, HTML, CSV and the run manifest |
//! | [`facts`] | a finished run in the report's terms; the only module that knows both |
//!
//! Feature `network` (on by default) holds `model`, `kernels`, `pipeline`, `features`, `registration`, `cine` and `facts`.

pub mod card;
#[cfg(feature = "network")]
pub mod cine;
#[cfg(all(feature = "network", not(target_arch = "wasm32")))]
pub mod convert;
#[cfg(feature = "network")]
pub mod facts;
#[cfg(feature = "network")]
pub mod features;
pub mod follow_up;
pub mod formats;
pub mod identify;
#[cfg(feature = "network")]
pub mod kernels;
pub mod lesions;
pub mod measure;
#[cfg(feature = "network")]
pub mod model;
#[cfg(feature = "network")]
pub mod pipeline;
#[cfg(feature = "network")]
pub mod registration;
pub mod report;
pub mod volume;
