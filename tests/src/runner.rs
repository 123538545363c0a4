//! Runs the cases in two browsers side by side, each of which compiles the page's program once and keeps it.

use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::Value;
use xtask::project;
use xtask::server::Server;

use crate::browser::Browser;
use crate::page::Page;

/// One thing that has to hold, by a name that says so.
pub struct Case {
    /// A claim, in the words of a function name.
    pub name: &'static str,
    /// Panics when the claim does not hold.
    pub run: fn(&Stage),
}

/// What every case has at hand.
pub struct Stage {
    /// The browser.
    pub browser: Browser,
    /// The page's address on a server that outlives all cases.
    pub url: String,
    /// A folder for files that a case makes.
    pub folder: PathBuf,
}

impl Stage {
    /// Opens the page in a new tab; scans wait until they are asked to be segmented.
    pub fn open(&self) -> Page<'_> {
        Page::open(&self.browser, &self.url, false)
    }

    /// Segments a scan with the command line on the CPU and returns the labels' file.
    pub fn segment_by_command(&self, scan: &Path) -> Vec<u8> {
        let labels = self.folder.join("command_labels.nii.gz");
        by_command(&["segment", text(scan), "--device", "cpu", "--output", text(&labels)]);
        fs::read(&labels).expect("the labels")
    }

    /// Looks for lesions in the sequences of a study with the command line on the CPU and returns the mask's file.
    pub fn lesions_by_command(&self, scans: &[&Path]) -> Vec<u8> {
        let mask = self.folder.join("command_lesions.nii.gz");
        let scans: Vec<&str> = scans.iter().map(|scan| text(scan)).collect();
        let pack = pack("lesions");
        let how = ["--pack", text(&pack), "--device", "cpu", "--output", text(&mask)];
        by_command(&[["lesions"].as_slice(), &scans, &how].concat());
        fs::read(&mask).expect("the mask")
    }

    /// Compares a scan with its own rendering with the command line on the CPU and returns the map's file.
    pub fn abnormality_by_command(&self, scan: &Path) -> Vec<u8> {
        let map = self.folder.join("command_abnormality.nii.gz");
        let pack = pack("pretrained");
        let how = ["--pack", text(&pack), "--device", "cpu", "--output", text(&map)];
        by_command(&[["abnormality", text(scan)].as_slice(), &how].concat());
        fs::read(&map).expect("the map")
    }

    /// Measures a heartbeat with the command line on the CPU and returns what it says (JSON).
    pub fn cine_by_command(&self, scan: &Path) -> Value {
        let json = self.folder.join("command_cine.json");
        let pack = pack("cardiac");
        let how = ["--pack", text(&pack), "--device", "cpu", "--json", text(&json)];
        by_command(&[["cine", text(scan)].as_slice(), &how].concat());
        let said = fs::read(&json).expect("what the command says");
        serde_json::from_slice(&said).expect("JSON")
    }

    /// Aligns one scan with another by the command line on the CPU, by an affine map, and returns the map's file:
    /// from points of `fixed` to those of `moving`.
    pub fn register_by_command(&self, moving: &Path, fixed: &Path) -> String {
        let map = self.folder.join("command_affine.txt");
        let warped = self.folder.join("command_warped.nii.gz");
        let how = ["--device", "cpu", "--kind", "affine", "--output", text(&warped)];
        let scans = ["register", text(moving), text(fixed)];
        by_command(&[scans.as_slice(), &how, &["--affine", text(&map)]].concat());
        fs::read_to_string(&map).expect("the map")
    }

    /// Asks the heads of a pack that ships with the command line on the CPU and returns their answers (JSON).
    pub fn answers_by_command(&self, scan: &Path, name: &str) -> Value {
        self.answers_of(&pack(name), &[scan])
    }

    /// Asks the heads of a pack about a scan, or about several together, with the command line on the CPU and returns
    /// their answers (JSON).
    pub fn answers_of(&self, pack: &Path, scans: &[&Path]) -> Value {
        let features = self.folder.join("command_features.safetensors");
        let scans: Vec<&str> = scans.iter().map(|scan| text(scan)).collect();
        let together: &[&str] = if scans.len() > 1 { &["--together"] } else { &[] };
        let how = ["--pack", text(pack), "--device", "cpu", "--output", text(&features)];
        by_command(&[["encode"].as_slice(), &scans, together, &how].concat());
        let bytes = fs::read(&features).expect("the features");
        // A safetensors file begins with the length of its JSON header.
        let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length)) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
        let answers = header["__metadata__"]["answers"].as_str().expect("answers");
        serde_json::from_str(answers).expect("JSON")
    }

    /// Classifies a scan with the command line on the CPU and returns what it says (JSON).
    pub fn classify_by_command(&self, scan: &Path, head: &Path) -> Value {
        let how = ["--head", text(head), "--device", "cpu", "--json"];
        let said = by_command(&[["classify", text(scan)].as_slice(), &how].concat());
        serde_json::from_slice(&said).expect("JSON")
    }

    /// Looks for the place of a scan that looks most like one of its own, `x,y,z` in millimetres, by the encoder of a
    /// pack, with the command line on the CPU, and returns what it says (JSON).
    pub fn similarity_by_command(&self, scan: &Path, pack: &Path, at: &str) -> Value {
        let at = format!("--at={at}");
        let how = ["--pack", text(pack), "--device", "cpu", "--json", at.as_str()];
        let said = by_command(&[["similarity", text(scan)].as_slice(), &how].concat());
        serde_json::from_slice(&said).expect("JSON")
    }

    /// Makes a pack of a checkpoint with the command line, given `more` arguments, and returns its path.
    pub fn convert_by_command(&self, checkpoint: &Path, arch: &str, more: &[&str]) -> PathBuf {
        let pack = self.folder.join("converted.safetensors");
        let about = ["--arch", arch, "--licence", "CC0-1.0", "--title", "Tiny encoder"];
        let checkpoint = ["convert", text(checkpoint)];
        let output = ["--output", text(&pack)];
        by_command(&[checkpoint.as_slice(), &about, more, &output].concat());
        pack
    }
}

/// Runs the command line, which has to succeed, and returns what it wrote to its standard output.
fn by_command(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(command_line_program())
        .args(arguments)
        .output()
        .expect("the command line program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A pack that ships.
fn pack(name: &str) -> PathBuf {
    project::root().join(format!("public/packs/{name}.safetensors"))
}

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Browsers side by side: most cases keep one core busy.
const MOST_BROWSERS: usize = 2;

/// Runs the cases whose names contain one of the arguments, or all; prints a line for each. Those of `alone` measure
/// time and have the machine to themselves, after the others.
///
/// The browser comes in `PRISM_BROWSER`; without it nothing is run, and that is said.
pub fn run(cases: &'static [Case], alone: &'static [Case]) -> ExitCode {
    let filters: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let Some(browser) = env::var_os("PRISM_BROWSER") else {
        println!(
            "the browser cases need the built page and a browser: `cargo xtask test` runs them"
        );
        return ExitCode::SUCCESS;
    };
    let chosen = |cases: &'static [Case]| -> Vec<&'static Case> {
        let wanted =
            |case: &&Case| filters.iter().any(|filter| case.name.contains(filter.as_str()));
        cases.iter().filter(|case| filters.is_empty() || wanted(case)).collect()
    };
    let (together, alone) = (chosen(cases), chosen(alone));
    let folder = project::target().join("browser-tests");
    let _ = fs::remove_dir_all(&folder);
    let server = Server::start(&project::dist(), 0).expect("the built page in dist/");
    let stage = |number: usize| {
        let folder = folder.join(number.to_string());
        let browser = Browser::start(Path::new(&browser), &folder);
        Stage { browser, url: server.url(), folder }
    };
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let count = MOST_BROWSERS.min(cores).min(together.len());
    thread::scope(|scope| {
        for number in 0..count {
            let (next, failed, together, stage) = (&next, &failed, &together, &stage);
            scope.spawn(move || {
                let stage = stage(number);
                while let Some(case) = together.get(next.fetch_add(1, Ordering::Relaxed)) {
                    failed.fetch_add(usize::from(!holds(case, &stage)), Ordering::Relaxed);
                }
            });
        }
    });
    let mut failed = failed.into_inner();
    if !alone.is_empty() {
        let stage = stage(count);
        failed += alone.iter().filter(|case| !holds(case, &stage)).count();
    }
    let run = together.len() + alone.len();
    println!("\n{} passed, {failed} failed", run - failed);
    if failed == 0 && run > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a case and prints how it went; of one that fails the last picture is kept under its name.
fn holds(case: &Case, stage: &Stage) -> bool {
    let start = Instant::now();
    let held = panic::catch_unwind(AssertUnwindSafe(|| (case.run)(stage))).is_ok();
    let seconds = start.elapsed().as_secs_f64();
    let outcome = if held { "ok" } else { "FAILED" };
    println!("browser case {} ... {outcome} ({seconds:.1} s)", case.name);
    if !held {
        let picture = stage.folder.join("failure.png");
        let _ = fs::rename(picture, stage.folder.with_file_name(format!("{}.png", case.name)));
    }
    held
}

/// The `prism` that was built beside this test.
fn command_line_program() -> PathBuf {
    let own = env::current_exe().expect("the test's own path");
    let folder = own.ancestors().nth(2).expect("the build folder");
    let program = folder.join("prism");
    assert!(program.is_file(), "{} is not built: run `cargo xtask test`", program.display());
    program
}
