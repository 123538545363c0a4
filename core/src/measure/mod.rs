//! Measurements on a scan and its labels: volumes of structures and image quality.
//!
//! Everything here is arithmetic with a stated formula; no norm is applied and
//! nothing is a diagnosis. Results are plain serialisable values, so that they cross
//! the worker boundary and can be written to files.
//!
//! | module | what |
//! | --- | --- |
//! | [`anatomy`] | what a FreeSurfer id stands for: region, tissue, readable name |
//! | [`cardiac`] | the heart on short-axis slices: phases, function, plausibility |
//! | [`hippocampus`] | whether labels can be a hippocampus in its two parts |
//! | [`structures`](mod@structures) | millilitres, shares, asymmetry, centroid, contact with the edge |
//! | [`quality`](mod@quality) | signal, noise, contrast, artefacts and coverage, each with its formula |
//! | `coverage`, `signal`, `contrast` | the measures of [`quality`](mod@quality) by kind |
//! | [`caution`] | structures whose volumes a pack is known to get wrong |
//! | `background`, `air` | which voxels are air, and the noise in it |
//! | `statistics` | moments, and quantiles without sorting |

mod air;
pub mod anatomy;
mod background;
pub mod cardiac;
pub mod caution;
mod contrast;
mod coverage;
pub mod hippocampus;
pub mod quality;
mod signal;
mod statistics;
pub mod structures;

pub use anatomy::{Region, Tissue, base_name, display_name};
pub use caution::Caution;
pub use quality::{Judgement, Measure, MeasureGroup, Quality, quality};
pub use structures::{Face, StructureVolume, Totals, structures};
