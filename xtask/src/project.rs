//! Where things are: the project's folders, the cached tools, and the versions that the lock file fixes.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{TaskError, TaskResult};

/// The repository's root, found from where this crate was compiled.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// The page as static files, made by the build.
pub fn dist() -> PathBuf {
    root().join("dist")
}

/// Cargo's build folder.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where trunk and wasm-bindgen are kept between checkouts: `$XDG_CACHE_HOME/prism-tools` or
/// `~/.cache/prism-tools`.
///
/// # Errors
/// [`TaskError::Missing`] when neither `XDG_CACHE_HOME` nor `HOME` is set.
pub fn tools() -> TaskResult<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    cache.map(|cache| cache.join("prism-tools")).ok_or_else(|| TaskError::Missing {
        what: "a cache folder".into(),
        remedy: "set HOME or XDG_CACHE_HOME".into(),
    })
}

/// The cargo that runs this task, in the project's root.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The version of `package` in `Cargo.lock`, so that a tool that must match a crate cannot drift from it.
///
/// # Errors
/// [`TaskError::File`] when the lock file cannot be read, [`TaskError::Missing`] when the package is not in it.
pub fn locked_version(package: &str) -> TaskResult<String> {
    let path = root().join("Cargo.lock");
    let lock =
        fs::read_to_string(&path).map_err(|source| TaskError::file("read", &path, source))?;
    version_in_lock(&lock, package).ok_or_else(|| TaskError::Missing {
        what: format!("the package {package} in Cargo.lock"),
        remedy: "restore Cargo.lock from git".into(),
    })
}

/// The first version of `package` in the text of a lock file.
fn version_in_lock(lock: &str, package: &str) -> Option<String> {
    let mut lines = lock.lines();
    let name = format!("name = \"{package}\"");
    lines.find(|line| *line == name)?;
    let version = lines.next()?.strip_prefix("version = \"")?;
    Some(version.strip_suffix('"')?.to_owned())
}

/// Every file below `folder`, sorted, hidden ones left out.
///
/// # Errors
/// [`TaskError::File`] when a folder cannot be read.
pub fn files_below(folder: &Path) -> TaskResult<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).map_err(|source| TaskError::file("list", &folder, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| TaskError::file("list", &folder, source))?;
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_fixes_wasm_bindgen() {
        let lock = "[[package]]\nname = \"wasm-bindgen-futures\"\nversion = \"0.4.1\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(version_in_lock(lock, "wasm-bindgen").as_deref(), Some("0.2.130"));
        assert_eq!(version_in_lock(lock, "wasm"), None);
    }
}
