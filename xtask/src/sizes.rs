//! How large the page is, file by file, raw and compressed: the figure that decides whether it opens quickly.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{TaskError, TaskResult};
use crate::project;
use crate::steps::capture;
use crate::test;

/// Bytes of a file or of several; `None` where it is not known what a compressor makes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    raw: u64,
    gzip: Option<u64>,
    brotli: Option<u64>,
}

impl Size {
    const NOTHING: Self = Self { raw: 0, gzip: Some(0), brotli: Some(0) };

    fn plus(self, other: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| one.zip(other).map(|(a, b)| a + b);
        Self {
            raw: self.raw + other.raw,
            gzip: sum(self.gzip, other.gzip),
            brotli: sum(self.brotli, other.brotli),
        }
    }
}

/// Prints every file of `folder` above 50 kB, the sum of all, and that of what a first visit fetches, in MB
/// (10^6 bytes): raw, and as a static host sends them. `thorough` compresses as hard as hosts do ahead of time
/// (brotli: quality 11, window 2^24), which takes minutes; otherwise only raw sizes are printed. A column is empty
/// where the machine has no such compressor.
///
/// # Errors
/// [`TaskError::File`] when the folder cannot be read, [`TaskError::Missing`] when it is not a whole page.
pub fn print(folder: &Path, thorough: bool) -> TaskResult {
    eprintln!("   {:<44} {:>9} {:>9} {:>9}", "MB", "raw", "gzip -9", "brotli 11");
    let mut sizes = Vec::new();
    for path in project::files_below(folder)? {
        let size = size(&path, thorough)?;
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        if size.raw > 50_000 {
            print_row(&name, size);
        }
        sizes.push((name, size));
    }
    print_row("all files", sizes.iter().fold(Size::NOTHING, |sum, (_, size)| sum.plus(*size)));
    let list = folder.join("precache.js");
    let script =
        fs::read_to_string(&list).map_err(|source| TaskError::file("read", &list, source))?;
    print_row("first visit (files of precache.js)", first_visit(&script, &sizes)?);
    Ok(())
}

/// Sum over the files that the list for the service worker names.
fn first_visit(script: &str, sizes: &[(String, Size)]) -> TaskResult<Size> {
    let missing = |what: &str| TaskError::Missing {
        what: what.to_owned(),
        remedy: "remove dist/ and run `cargo xtask build`".into(),
    };
    let names: Vec<&str> =
        script.split("\"./").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    if names.is_empty() {
        return Err(missing("the list of files in precache.js"));
    }
    names.iter().try_fold(Size::NOTHING, |sum, name| {
        let known = sizes.iter().find(|(known, _)| known == name);
        known
            .map(|(_, size)| sum.plus(*size))
            .ok_or_else(|| missing(&format!("{name}, which precache.js names,")))
    })
}

/// Looks for the `brotli` command, freshly installed where this may be done. Sizes are printed without it, too.
pub fn find_brotli() {
    let there = || capture(Command::new("brotli").arg("--version")).is_some();
    if !there()
        && test::may_install()
        && let Err(error) = test::install("brotli")
    {
        eprintln!("   {error}");
    }
    let line = if there() {
        "there"
    } else {
        "not there: its column stays empty, gzip -9 stands beside (Debian: `sudo apt-get install brotli`)"
    };
    eprintln!("   {line}");
}

/// How large a file is; compressed only if `thorough`. A host sends as it is what would grow.
fn size(path: &Path, thorough: bool) -> TaskResult<Size> {
    let raw = fs::metadata(path).map_err(|source| TaskError::file("read", path, source))?.len();
    let compressed = |program: &str, options: &[&str]| {
        if !thorough {
            return None;
        }
        compressed(Command::new(program).args(options), path).map(|size| size.min(raw))
    };
    let gzip = compressed("gzip", &["-9", "-c"]);
    Ok(Size { raw, gzip, brotli: compressed("brotli", &["-q", "11", "-w", "24", "-c"]) })
}

/// How many bytes the command writes for the file; `None` where the command is not installed.
fn compressed(command: &mut Command, path: &Path) -> Option<u64> {
    let output = command.arg(path).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then_some(output.stdout.len() as u64)
}

fn print_row(name: &str, size: Size) {
    let megabytes =
        |size: Option<u64>| size.map_or("-".to_owned(), |size| format!("{:.2}", size as f64 / 1e6));
    eprintln!(
        "   {name:<44} {:>9} {:>9} {:>9}",
        megabytes(Some(size.raw)),
        megabytes(size.gzip),
        megabytes(size.brotli)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_visit_fetches_what_the_list_names() {
        let size = |raw, brotli| Size { raw, gzip: Some(raw - 1), brotli };
        let mut sizes = vec![
            ("index.html".to_owned(), size(30, Some(10))),
            ("packs/brain.safetensors".to_owned(), size(500, Some(200))),
            ("packs/cardiac.safetensors".to_owned(), size(600, Some(300))),
        ];
        let script = "const PRECACHE = { version: \"ab\", \
                      files: [\"./index.html\", \"./packs/brain.safetensors\"] };\n";
        let sum = Size { raw: 530, gzip: Some(528), brotli: Some(210) };
        assert_eq!(first_visit(script, &sizes).unwrap(), sum);
        // What one file is compressed to is not known.
        sizes[0].1.brotli = None;
        assert_eq!(first_visit(script, &sizes).unwrap(), Size { brotli: None, ..sum });
        for (script, sizes) in [(script, &sizes[..1]), ("const PRECACHE = {};", &sizes[..])] {
            let outcome = first_visit(script, sizes);
            assert!(matches!(outcome, Err(TaskError::Missing { .. })), "{outcome:?}");
        }
    }
}
