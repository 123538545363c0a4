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
        let built = build_if_changed(&project::root(), &project::dist(), &stamp(), |inputs| {
            trunk(tools)?;
            write_policy(&inputs[..BUILD_DIGITS])?;
            write_precache(&inputs[..BUILD_DIGITS])?;
            sizes::print(&project::dist(), false)
        })?;
        if !built {
            eprintln!("   unchanged, dist/ is up to date");
        }
        Ok(())
    })
}

/// Builds, from the hash of the inputs below `root`, unless `dist` is there and the file `stamp` says that it was
/// built from the same; whether it did.
fn build_if_changed(
    root: &Path,
    dist: &Path,
    stamp: &Path,
    build: impl FnOnce(&str) -> TaskResult,
) -> TaskResult<bool> {
    let inputs = hash_of_inputs(root)?;
    let same = fs::read_to_string(stamp).is_ok_and(|built| built == inputs);
    if same && dist.join("index.html").is_file() {
        return Ok(false);
    }
    stamped(stamp, &inputs, || build(&inputs))?;
    Ok(true)
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

/// Size in bytes below which the picture of a card is fetched on a first visit.
const PICTURE_BYTES: u64 = 100_000;

/// Whether a first visit fetches a file of the page. Packs that not everybody wants, and the atlas, are kept when
/// they are first fetched; the packs' cards are small.
fn at_first(name: &str, bytes: u64) -> bool {
    const FIRST: [&str; 3] = ["index.json", "brain.safetensors", "identify.safetensors"];
    match name.strip_prefix("packs/") {
        Some(file) => {
            FIRST.contains(&file)
                || file.ends_with(".md")
                || (file.ends_with(".png") && bytes < PICTURE_BYTES)
        }
        None => {
            !name.starts_with("atlas/")
                && !matches!(name, "service_worker.js" | "precache.js" | "_headers")
        }
    }
}

/// Names the files of this version for the service worker, which keeps them for use without a network.
fn write_precache(version: &str) -> TaskResult {
    let dist = project::dist();
    let mut files = Vec::new();
    for path in project::files_below(&dist)? {
        let Some(name) = path.strip_prefix(&dist).ok().and_then(Path::to_str) else { continue };
        let facts = fs::metadata(&path).map_err(|source| TaskError::file("read", &path, source))?;
        if at_first(name, facts.len()) {
            files.push(format!("\"./{name}\""));
        }
    }
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

/// One hash over the names and contents of everything in [`INPUTS`] below `root`, and the compiler.
fn hash_of_inputs(root: &Path) -> TaskResult<String> {
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
        hash.update(file.strip_prefix(root).unwrap_or(&file).as_os_str().as_encoded_bytes());
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

    #[test]
    fn a_page_is_built_once_and_again_when_a_source_the_policy_or_a_pack_changes() {
        let folder = env::temp_dir().join(format!("prism-build-{}", std::process::id()));
        let (root, dist) = (folder.join("root"), folder.join("dist"));
        let stamp = folder.join("stamp.sha256");
        let page = dist.join("index.html");
        let write = |path: &Path, content: &str| {
            fs::create_dir_all(path.parent().expect("a folder")).expect("making a folder");
            fs::write(path, content).expect("writing a file");
        };
        // Whether a run builds.
        let builds = || {
            let mut began = false;
            let built = build_if_changed(&root, &dist, &stamp, |_| {
                began = true;
                write(&page, "<!DOCTYPE html>");
                Ok(())
            });
            assert_eq!(built.expect("a build"), began);
            began
        };
        let inputs = ["core/src/lib.rs", "xtask/src/policy.rs", "public/packs/brain.safetensors"];
        inputs.iter().for_each(|input| write(&root.join(input), "as it was"));
        assert!(builds(), "nothing was built before");
        assert!(!builds(), "nothing changed");
        for input in inputs {
            write(&root.join(input), "as it is");
            assert!(builds(), "{input} changed");
            assert!(!builds(), "nothing changed since");
        }
        write(&root.join("README.md"), "no part of the page");
        assert!(!builds(), "the page is not made from it");
        fs::remove_file(&page).expect("removing the page");
        assert!(builds(), "the page is gone");
        fs::remove_dir_all(&folder).expect("removing the folder");
    }
    #[test]
    fn a_first_visit_fetches_what_everybody_wants() {
        for name in ["index.html", "packs/brain.safetensors", "packs/report.md", "icon.svg"] {
            assert!(at_first(name, 9_000_000), "{name}");
        }
        for name in ["packs/cardiac.safetensors", "atlas/README.md", "precache.js"] {
            assert!(!at_first(name, 10), "{name}");
        }
        for (bytes, first) in [(PICTURE_BYTES - 1, true), (PICTURE_BYTES, false)] {
            assert_eq!(at_first("packs/a.png", bytes), first, "{bytes} bytes");
        }
        // The picture of the card that everybody sees.
        let picture = fs::metadata(project::root().join("public/packs/brain-worst.png"));
        let bytes = picture.expect("the picture").len();
        assert!(at_first("packs/brain-worst.png", bytes), "{bytes} bytes");
    }
}
