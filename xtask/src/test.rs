//! `cargo xtask test`: everything that has to hold before a change lands, the cheapest check first.
//!
//! Every cargo call selects the whole workspace, so that dependencies are compiled once natively (development
//! profile), once for wasm32 (release profile), and checked once for each of the two; for wasm32 the page's own module
//! is checked besides.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::error::{TaskError, TaskResult};
use crate::project;
use crate::setup::{self, WASM_TARGET};
use crate::steps::{Beside, Steps, capture, execute};

/// Names under which Chromium and Chrome are installed.
const BROWSERS: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Tells native tests that there is an adapter (core/tests/adapter).
const REQUIRE_GPU: &str = "PRISM_REQUIRE_GPU";

/// Where the Vulkan loader finds drivers (Vulkan-Loader, "LoaderDriverInterface").
const VULKAN_DRIVERS: [&str; 3] =
    ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];

/// Runs all checks and prints how long each took.
///
/// # Errors
/// The first check that failed.
pub fn run() -> TaskResult {
    let mut steps = Steps::default();
    steps.run("formatting", || {
        component("rustfmt", "fmt")?;
        execute(project::cargo().args(["fmt", "--all", "--check"]))
    })?;
    setup::run(&mut steps)?;
    // Linked as one program, the page keeps a single core busy for minutes: the lints and native tests run
    // beside it.
    let page = page()?;
    let browser = steps.run("browser", browser)?;
    let vulkan = steps.run("Vulkan driver in software", || Ok(vulkan_driver()))?;
    steps.run("lints, native", || {
        component("clippy", "clippy")?;
        let mut command = project::cargo();
        command.args(["clippy", "--locked", "--workspace", "--all-targets"]);
        execute(command.args(["--", "-D", "warnings"]))
    })?;
    steps.run("lints, wasm32", || {
        wasm_lints(&["--bins"])?;
        // The page's own module (index.html) is built without the worker's features.
        wasm_lints(&["--bin", "page", "--no-default-features"])
    })?;
    steps.run("native tests", || {
        // The browser's cases are compiled here and run below: without a browser named they only say so.
        let mut command = project::cargo();
        if vulkan {
            // Without an adapter the tests that compare GPU and CPU then fail.
            command.env(REQUIRE_GPU, "1");
        }
        execute(command.args(["test", "--locked", "--workspace"]))
    })?;
    page.join(&mut steps)?;
    steps.run("browser tests", || browser_tests(&browser))?;
    steps.print_table("all checks passed");
    Ok(())
}

/// Lints the app for wasm32, and prism-core with it: a dependency in the workspace is linted too.
fn wasm_lints(selection: &[&str]) -> TaskResult {
    let mut command = project::cargo();
    command.args(["clippy", "--locked", "-p", "prism-app", "--lib"]).args(selection);
    command.args(["--target", WASM_TARGET, "--", "-D", "warnings"]);
    execute(command.env("CLIPPY_CONF_DIR", project::root().join("xtask/clippy-wasm")))
}

/// Starts building the page, with half of the cores.
fn page() -> TaskResult<Beside> {
    let program = env::current_exe()
        .map_err(|source| TaskError::file("find", std::path::Path::new("xtask"), source))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = Command::new(program);
    command.arg("build").env("CARGO_BUILD_JOBS", (cores / 2).max(1).to_string());
    Beside::start("page (release, wasm32)", &mut command, project::target().join("page.log"))
}

/// Drives the page in the browser, under the production policy, and compares it with the command line.
pub fn browser_tests(browser: &PathBuf) -> TaskResult {
    let mut command = project::cargo();
    command.args(["test", "--locked", "--workspace", "--test", "browser"]);
    execute(command.env("PRISM_BROWSER", browser))
}

/// Makes sure that a component of the toolchain (as rustup names it) answers as a cargo subcommand.
fn component(component: &str, subcommand: &str) -> TaskResult {
    if capture(project::cargo().args([subcommand, "--version"])).is_some() {
        return Ok(());
    }
    execute(
        Command::new("rustup").args(["component", "add", component]).current_dir(project::root()),
    )
}

/// The browser that is there, or one freshly installed where this may be done.
///
/// # Errors
/// [`TaskError::Missing`] when there is none and none can be installed.
pub fn browser() -> TaskResult<PathBuf> {
    if let Some(browser) = installed_browser() {
        eprintln!("   already there: {}", browser.display());
        return Ok(browser);
    }
    if may_install() {
        install("chromium")?;
    }
    installed_browser().ok_or_else(|| TaskError::Missing {
        what: "Chromium or Chrome".into(),
        remedy:
            "install it (Debian: `sudo apt-get install chromium`) or name its executable in CHROME"
                .into(),
    })
}

/// Whether packages may be installed here: by root, on Debian and what comes of it.
pub(crate) fn may_install() -> bool {
    let root = capture(Command::new("id").arg("-u")).is_some_and(|user| user == "0");
    root && capture(Command::new("apt-get").arg("--version")).is_some()
}

pub(crate) fn install(package: &str) -> TaskResult {
    execute(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends", package]);
    execute(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Whether Mesa's software driver (lavapipe) is there, freshly installed where this may be
/// done. Native tests go on without.
fn vulkan_driver() -> bool {
    if !has_lavapipe(&VULKAN_DRIVERS)
        && may_install()
        && let Err(error) = install("mesa-vulkan-drivers")
    {
        eprintln!("   {error}");
    }
    let there = has_lavapipe(&VULKAN_DRIVERS);
    let line = if there {
        "there: native tests compare the GPU's results with the CPU's"
    } else {
        "not there: native tests compare nothing with a GPU unless there is a real one \
         (Debian: `sudo apt-get install mesa-vulkan-drivers`)"
    };
    eprintln!("   {line}");
    there
}

/// Whether one of the folders describes lavapipe to the Vulkan loader.
fn has_lavapipe(folders: &[&str]) -> bool {
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    files
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .any(|name| name.starts_with("lvp_icd") && name.ends_with(".json"))
}

fn installed_browser() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CHROME") {
        return Some(PathBuf::from(named));
    }
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    BROWSERS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lavapipe_is_known_by_the_file_that_describes_it() {
        let folder = env::temp_dir().join(format!("prism-vulkan-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let folders = [folder.to_str().unwrap(), "/there/is/no/such/folder"];
        fs::write(folder.join("intel_icd.x86_64.json"), "{}").unwrap();
        assert!(!has_lavapipe(&folders));
        fs::write(folder.join("lvp_icd.x86_64.json"), "{}").unwrap();
        assert!(has_lavapipe(&folders));
        fs::remove_dir_all(&folder).unwrap();
    }
}
