//! `cargo xtask setup`: everything that the build needs besides Rust, each piece only if it is not there.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{TaskError, TaskResult};
use crate::project;
use crate::steps::{Steps, capture, execute};

/// The target that the page is compiled for.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// The newest trunk that builds with the Rust this project asks for.
const TRUNK_VERSION: &str = "0.21.14";

/// Where the tools of the right version were found.
pub struct Tools {
    /// The trunk executable.
    pub trunk: PathBuf,
    /// The folder of the wasm-bindgen executable, for the PATH.
    pub wasm_bindgen_folder: Option<PathBuf>,
}

/// Installs what is missing and says what is there.
///
/// # Errors
/// The first piece that can neither be found nor installed.
pub fn run(steps: &mut Steps) -> TaskResult<Tools> {
    steps.run("wasm32 target of Rust", wasm_target)?;
    let bindgen_version = project::locked_version("wasm-bindgen")?;
    // Without the features that talk to servers: cargo fetches, trunk works offline here. Without --locked, for the
    // lock file published with this version no longer compiles.
    let wasm_bindgen = steps.run(&format!("wasm-bindgen {bindgen_version}"), || {
        tool("wasm-bindgen", "wasm-bindgen-cli", &bindgen_version, &["--bin", "wasm-bindgen"])
    })?;
    let trunk = steps.run(&format!("trunk {TRUNK_VERSION}"), || {
        tool("trunk", "trunk", TRUNK_VERSION, &["--locked"])
    })?;
    steps.run("crates of the lock file", || {
        execute(project::cargo().args(["fetch", "--quiet", "--locked"]))
    })?;
    let wasm_bindgen_folder = wasm_bindgen.parent().map(Path::to_path_buf);
    Ok(Tools { trunk, wasm_bindgen_folder })
}

/// Makes sure that the standard library for wasm32 is installed.
fn wasm_target() -> TaskResult {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot =
        capture(Command::new(rustc).args(["--print", "sysroot"]).current_dir(project::root()));
    let installed = sysroot.is_some_and(|sysroot| {
        Path::new(&sysroot).join("lib/rustlib").join(WASM_TARGET).join("lib").is_dir()
    });
    if installed {
        eprintln!("   already there");
        return Ok(());
    }
    if capture(Command::new("rustup").arg("--version")).is_none() {
        return Err(TaskError::Missing {
            what: format!("Rust's {WASM_TARGET} target"),
            remedy: format!(
                "this Rust was not installed by rustup, so install the target the way Rust was \
                 installed, or get rustup from https://rustup.rs and run `rustup target add {WASM_TARGET}`"
            ),
        });
    }
    execute(
        Command::new("rustup").args(["target", "add", WASM_TARGET]).current_dir(project::root()),
    )
}

/// The executable `name` of exactly `version`: from the cache, from the PATH, or freshly installed.
fn tool(name: &str, package: &str, version: &str, options: &[&str]) -> TaskResult<PathBuf> {
    let cache = project::tools()?;
    let cached = cache.join("bin").join(name);
    let on_path = env::var_os("PATH")
        .into_iter()
        .flat_map(|path| env::split_paths(&path).collect::<Vec<_>>())
        .map(|folder| folder.join(name));
    if let Some(found) =
        [cached.clone()].into_iter().chain(on_path).find(|path| is_version(path, version))
    {
        eprintln!("   already there: {}", found.display());
        return Ok(found);
    }
    eprintln!("   installing into {} (minutes, once)", cache.display());
    let mut command = project::cargo();
    command.args(["install", "--quiet", package, "--version", version, "--no-default-features"]);
    command.args(options);
    command.arg("--root").arg(&cache);
    // The tools run for seconds: time spent on optimising them is not won back.
    command
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    // They are built apart from the project, so its build folder stays as it is.
    command.env("CARGO_TARGET_DIR", cache.join("build")).current_dir(env::temp_dir());
    execute(&mut command)?;
    if is_version(&cached, version) {
        return Ok(cached);
    }
    Err(TaskError::Missing {
        what: format!("{name} {version}"),
        remedy: format!("it was installed, but {} does not run", cached.display()),
    })
}

/// Whether the executable is there and says that it is of this version.
fn is_version(executable: &Path, version: &str) -> bool {
    executable.is_file()
        && capture(Command::new(executable).arg("--version"))
            .is_some_and(|text| text.split_whitespace().any(|word| word == version))
}
