//! What the browser tests are made of: a browser driven over a pipe, the page with its hooks, scans to drop on
//! it, what it asks of WebGPU, and the comparison of two segmentations.
//!
//! The cases themselves are in `browser/`; `cargo xtask test` runs them. No driver, no Node: Chromium's own
//! debugging protocol needs two pipes and JSON. A broken expectation panics, as in any test.

// Everything here runs inside a test case, whose way to fail is a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod browser;
pub mod compare;
pub mod page;
pub mod runner;
pub mod scans;
pub mod webgpu;
