//! prism-app: the page and its worker, two WebAssembly modules built from one crate.
//!
//! The page never touches a device or a whole volume: it shows what the worker
//! hands over and asks in typed messages.
//!
//! | module | what |
//! | --- | --- |
//! | [`protocol`], [`facts`], [`wire`] | the messages and how they cross |
//! | [`client`] | the page's end: starts, queues, restarts |
//! | `worker` | the worker's end: device, model, volumes |
//! | [`state`] | what the page knows |
//! | [`actions`], [`replies`], [`exports`] | what it does, what it makes of answers, what it saves |
//! | [`features`] | what is done with the encoder's features: colours, similar places, teaching |
//! | [`report`] | sentences that the reader changes |
//! | [`identify`] | what the scan shows; the pack that fits runs by itself |
//! | [`compare`] | a second scan: aligned, laid over, measured |
//! | [`lesions`] | lesions in the scan and further sequences of its study |
//! | [`cine`] | the phases of a heartbeat: played, measured, drawn as curves |
//! | [`panels`] | what is around the planes |
//! | [`viewer`] | the planes |
//! | [`diverging`] | colours for what has two directions, and their scale |
//! | [`packs`], [`kept`] | the models there are, and those that stay on the device |
//! | [`files`], [`download`], [`text`] | files in, files out, numbers as text |
//! | [`offline`] | the page without a network |
//!
//! Feature `worker` (on by default) holds the worker and with it everything of core
//! that needs burn; the page's module is built without it.

pub mod actions;
pub mod cine;
pub mod client;
pub mod compare;
pub mod diverging;
pub mod download;
pub mod exports;
pub mod facts;
pub mod features;
pub mod files;
pub mod identify;
pub mod kept;
pub mod lesions;
pub mod offline;
pub mod packs;
pub mod panels;
pub mod protocol;
pub mod replies;
pub mod report;
pub mod state;
pub mod text;
pub mod viewer;
pub mod wire;
#[cfg(feature = "worker")]
pub mod worker;
