//! The page as static files: trunk compiles and bundles, then the security policy and the list of files
//! to keep for use without a network are written into the result.
//!
//! A build whose inputs are unchanged is skipped altogether: their hash is kept beside the build folder.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{TaskError, TaskResult};
use crate::policy;
use crate::project;
use crate::setup::Tools;
use crate::sizes;
use crate::steps::{Steps, execute};

/// What the page is made from, relative to the root.
const INPUTS: [&str; 10] = [
    "app",
    "core",
    "public",
    "tests/golden/model",
    "xtask/src",
    "index.html",
    "Trunk.toml",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml",
];

/// How much of the hash of the inputs names a build.
const BUILD_DIGITS: usize = 16;

/// Builds `dist/` if anything that it is made from has changed.
///
/// # Errors
/// A failing trunk, or a file that cannot be written.
pub fn run(steps: &mut Steps, tools: &Tools) -> TaskResult {
    steps.run("page (release, wasm32)", || {
        let inputs = hash_of_inputs()?;
        let stamp = stamp();
        if fs::read_to_string(&stamp).is_ok_and(|built| built == inputs)
            && project::dist().join("index.html").is_file()
        {
            eprintln!("   unchanged, dist/ is up to date");
            return Ok(());
        }
        stamped(&stamp, &inputs, || {
            trunk(tools)?;
            write_policy(&inputs[..BUILD_DIGITS])?;
            write_precache(&inputs[..BUILD_DIGITS])?;
            sizes::print(&project::dist(), false)
        })
    })
}

/// Builds, with the inputs' hash in the file `stamp` only when all of it is done: a build that
/// ends half-way leaves none, not that of an earlier one.
fn stamped(stamp: &Path, inputs: &str, build: impl FnOnce() -> TaskResult) -> TaskResult {
    match fs::remove_file(stamp) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            return Err(TaskError::file("remove", stamp, source));
        }
        _ => {}
    }
    build()?;
    fs::write(stamp, inputs).map_err(|source| TaskError::file("write", stamp, source))
}

fn stamp() -> PathBuf {
    project::target().join("prism-dist.sha256")
}

/// Runs trunk. The network is off: crates were fetched before, tools are on the PATH.
fn trunk(tools: &Tools) -> TaskResult {
    let mut path = OsString::new();
    if let Some(folder) = &tools.wasm_bindgen_folder {
        path.push(folder);
        path.push(":");
    }
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut command = std::process::Command::new(&tools.trunk);
    command.args(["build", "--release", "--offline", "--skip-version-check"]);
    // Trunk reads NO_COLOR as the value of its own flag and refuses "1".
    command.current_dir(project::root()).env("PATH", path).env_remove("NO_COLOR");
    execute(&mut command)
}

/// Puts policy and build into the page, the policy also into the file that some static hosts read their
/// headers from.
fn write_policy(build: &str) -> TaskResult {
    let page = project::dist().join("index.html");
    let html =
        fs::read_to_string(&page).map_err(|source| TaskError::file("read", &page, source))?;
    let html = policy::with_meta(&policy::with_build(&html, build));
    fs::write(&page, &html).map_err(|source| TaskError::file("write", &page, source))?;
    let mut headers = format!("/*\n  Content-Security-Policy: {}\n", policy::for_header(&html));
    for (name, value) in policy::SECURITY_HEADERS {
        headers.push_str(&format!("  {name}: {value}\n"));
    }
    let path = project::dist().join("_headers");
    fs::write(&path, headers).map_err(|source| TaskError::file("write", &path, source))
}

/// Names the files of this version for the service worker, which keeps them for use without a network.
/// Packs that not everybody wants, and the atlas, are kept when they are first fetched.
fn write_precache(version: &str) -> TaskResult {
    let dist = project::dist();
    const FIRST: [&str; 4] =
        ["index.json", "brain.safetensors", "brain.md", "identify.safetensors"];
    let later = |name: &str| {
        name.starts_with("atlas/")
            || name.strip_prefix("packs/").is_some_and(|file| !FIRST.contains(&file))
    };
    let kept = |name: &str| {
        !matches!(name, "service_worker.js" | "precache.js" | "_headers") && !later(name)
    };
    let files: Vec<String> = project::files_below(&dist)?
        .iter()
        .filter_map(|path| path.strip_prefix(&dist).ok()?.to_str())
        .filter(|name| kept(name))
        .map(|name| format!("\"./{name}\""))
        .collect();
    let script =
        format!("const PRECACHE = {{ version: \"{version}\", files: [{}] }};\n", files.join(", "));
    let path = dist.join("precache.js");
    fs::write(&path, script).map_err(|source| TaskError::file("write", &path, source))
}

/// What the compiler says of itself; nothing where it cannot be asked (the build will say so).
fn compiler() -> Vec<u8> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    std::process::Command::new(rustc)
        .arg("-vV")
        .output()
        .map_or_else(|_| vec![], |done| done.stdout)
}

/// One hash over the names and contents of everything in [`INPUTS`], and the compiler.
fn hash_of_inputs() -> TaskResult<String> {
    let root = project::root();
    let mut files = Vec::new();
    for input in INPUTS {
        let path = root.join(input);
        if path.is_dir() {
            files.extend(project::files_below(&path)?);
        } else if path.is_file() {
            files.push(path);
        }
    }
    let mut hash = Sha256::new();
    hash.update(compiler());
    for file in files {
        let content = fs::read(&file).map_err(|source| TaskError::file("read", &file, source))?;
        hash.update(file.strip_prefix(&root).unwrap_or(&file).as_os_str().as_encoded_bytes());
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(content);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_ends_half_way_leaves_no_stamp() {
        let name = format!("prism-stamp-{}.sha256", std::process::id());
        let stamp = env::temp_dir().join(name);
        // Nothing was built before, then the same inputs again.
        for _ in 0..2 {
            stamped(&stamp, "one", || Ok(())).expect("a build");
            assert_eq!(fs::read_to_string(&stamp).expect("its stamp"), "one");
        }
        let failing = || Err(TaskError::file("write", &stamp, ErrorKind::Interrupted.into()));
        assert!(stamped(&stamp, "two", failing).is_err());
        assert!(!stamp.exists(), "the stamp of the earlier build is left");
    }
}
