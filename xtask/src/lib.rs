//! What the tasks and the browser tests share: the static server, the security policy and the runner that
//! times every step.
//!
//! One file per task (`setup`, `build`, `serve`, `test`, `bench`); `main` only reads the command line. The
//! crate depends on nothing but a hash function, so that `cargo xtask` starts within seconds on a fresh machine.

pub mod bench;
pub mod build;
pub mod error;
pub mod policy;
pub mod project;
pub mod serve;
pub mod server;
pub mod setup;
pub mod sizes;
pub mod steps;
pub mod test;
