//! How large the page is, file by file, raw and compressed: the figure that decides whether it opens quickly.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{TaskError, TaskResult};
use crate::project;

/// Prints every file of `folder` above 50 kB and the sum of all, in MB (10^6 bytes): raw, and as a static host
/// sends them. `thorough` compresses as hard as hosts do ahead of time, which takes minutes; otherwise only raw
/// sizes are printed. A column is empty where the machine has no such compressor.
///
/// # Errors
/// [`TaskError::File`] when the folder cannot be read.
pub fn print(folder: &Path, thorough: bool) -> TaskResult {
    eprintln!("   {:<44} {:>9} {:>9} {:>9}", "MB", "raw", "gzip -9", "brotli");
    let (mut raw_sum, mut gzip_sum, mut brotli_sum) = (0, Some(0), Some(0));
    for path in project::files_below(folder)? {
        let raw =
            fs::metadata(&path).map_err(|source| TaskError::file("read", &path, source))?.len();
        let compressed = |program: &str, options: &[&str]| {
            if !thorough {
                return None;
            }
            compressed(Command::new(program).args(options), &path).map(|size| size.min(raw))
        };
        let gzip = compressed("gzip", &["-9", "-c"]);
        let brotli = compressed("brotli", &["-q", "11", "-w", "24", "-c"]);
        raw_sum += raw;
        gzip_sum = gzip_sum.zip(gzip).map(|(sum, size)| sum + size);
        brotli_sum = brotli_sum.zip(brotli).map(|(sum, size)| sum + size);
        if raw > 50_000 {
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            print_row(&name, raw, gzip, brotli);
        }
    }
    print_row("all files", raw_sum, gzip_sum, brotli_sum);
    Ok(())
}

/// How many bytes the command writes for the file; `None` where the command is not installed.
fn compressed(command: &mut Command, path: &Path) -> Option<u64> {
    let output = command.arg(path).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then_some(output.stdout.len() as u64)
}

fn print_row(name: &str, raw: u64, gzip: Option<u64>, brotli: Option<u64>) {
    let megabytes =
        |size: Option<u64>| size.map_or("-".to_owned(), |size| format!("{:.2}", size as f64 / 1e6));
    eprintln!(
        "   {name:<44} {:>9} {:>9} {:>9}",
        megabytes(Some(raw)),
        megabytes(gzip),
        megabytes(brotli)
    );
}
