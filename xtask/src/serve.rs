//! `cargo xtask serve`: from a fresh checkout to the page in a browser.

use crate::build;
use crate::error::TaskResult;
use crate::project;
use crate::server::Server;
use crate::setup;
use crate::steps::Steps;

/// Sets up, builds and serves until interrupted.
///
/// # Errors
/// Whatever stopped the set-up or the build, or no free port.
pub fn run(port: u16) -> TaskResult {
    let mut steps = Steps::default();
    let tools = setup::run(&mut steps)?;
    build::run(&mut steps, &tools)?;
    let server = Server::start(&project::dist(), port)?;
    steps.print_table("ready");
    eprintln!("\nPrism runs at {}", server.url());
    eprintln!("Only this machine can reach it. Ctrl-C stops it.");
    server.wait();
    Ok(())
}
