//! `cargo xtask bench`: the figures of the README, measured again on this machine.

use std::env;

use crate::build;
use crate::error::TaskResult;
use crate::project;
use crate::setup;
use crate::sizes;
use crate::steps::{Steps, execute};
use crate::test;

/// Prints sizes, times and memory; nothing is judged.
///
/// # Errors
/// Whatever stopped the set-up, the build or the page.
pub fn run() -> TaskResult {
    let mut steps = Steps::default();
    let tools = setup::run(&mut steps)?;
    let browser = steps.run("browser", test::browser)?;
    build::run(&mut steps, &tools)?;
    // An imported network alone is measured then.
    if env::var_os("PRISM_BENCH_IMPORTED").is_none() {
        steps.run("brotli", || {
            sizes::find_brotli();
            Ok(())
        })?;
        steps.run("size of the page", || sizes::print(&project::dist(), true))?;
    }
    steps.run("command line program", || {
        // All tests' programs: what they are linked from is compiled once.
        execute(project::cargo().args(["test", "--no-run", "--locked", "--workspace"]))
    })?;
    steps.run("time and memory", || {
        let mut command = project::cargo();
        command.args(["test", "--quiet", "--locked", "--workspace", "--test", "bench"]);
        execute(command.env("PRISM_BENCH_BROWSER", &browser))
    })?;
    steps.print_table("measured");
    Ok(())
}
