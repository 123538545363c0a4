//! From a scan to labels on the scan's own grid.
//!
//! [`preprocess`] brings a scan to the pack's grid and intensities, [`windows`]
//! covers the grid with the network's windows, `run` drives the network over
//! them (`sliding`), [`postprocess`] and `to_scan` clean the labels and carry them back. `render` has a pack
//! draw the scan again instead, `answers` has its heads say what they read of whole scans. [`device`] opens and
//! tests what it runs on, [`run_on`] runs there and once more on the CPU.

mod answers;
mod blended;
mod contrast;
pub mod device;
mod encode;
pub mod encoded;
pub mod postprocess;
pub mod preprocess;
mod render;
mod run;
mod run_on;
mod self_test;
mod sinks;
mod sliding;
mod structure_maps;
mod study;
mod to_scan;
pub mod windows;

pub use answers::{Answer, Together, answer_together, measured};
pub(crate) use blended::{Blended, Layout};
pub use contrast::{contrast, tissue_contrast};
pub use device::{
    Device, DeviceChoice, DeviceError, DeviceKind, DeviceReport, Devices, OpenedDevice,
    SUBMISSION_WORK,
};
pub use encode::{Encoding, FeatureMap, Pooled, PooledFeature, encode, input_affine, pooled};
pub use encoded::Encoded;
pub use render::{Rendered, render};
pub(crate) use run::Pacer;
pub use run::{
    PipelineError, Quiet, Segmentation, Stage, Timings, Watch, logits, prepare_for, segment,
    segment_encoded, segment_stated,
};
pub use run_on::{Ran, run_on};
pub(crate) use sliding::{Windows, read};
pub use study::{StudyProbabilities, study_probabilities};
