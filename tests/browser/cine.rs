//! The phases of a heartbeat: played, measured as the command line measures them, cancelled.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use serde_json::Value;

use crate::reading::{assert_content, pane};

/// How long all phases may take on two shared cores.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Voxels along x, y, z, and their spacing.
const DIMS: [usize; 3] = [128, 128, 8];
const SPACING: [f32; 3] = [1.5, 1.5, 10.0];

/// Radius of the left cavity at the base in each phase, and the time between phases.
const RADII: [f64; 4] = [24.0, 18.0, 15.0, 20.0];
const STEP_MS: f32 = 180.0;

/// A drawn heart on short-axis slices: bright cavities, a wall that keeps its area while the
/// left cavity shrinks, lungs, liver and chest wall around it.
fn heart(phase: usize) -> Vec<f32> {
    let [nx, ny, nz] = DIMS;
    let radius = RADII[phase];
    let mut values = Vec::with_capacity(nx * ny * nz);
    for k in 0..nz {
        let taper = 1.0 - 0.07 * k as f64;
        let outer = (radius * radius + 34.0 * 34.0 - 24.0 * 24.0).sqrt() * taper;
        let right = (14.0 + radius) * 0.95 * taper;
        for j in 0..ny {
            for i in 0..nx {
                let [x, y] = [i, j].map(|at| (at as f64 - 63.5) * 1.5);
                let body = x.hypot(1.15 * y);
                let from_left = (x - 8.0).hypot(y);
                let from_right = (x + 26.0 * taper).hypot(0.8 * (y + 4.0));
                let grey = if from_left < radius * taper {
                    205.0
                } else if from_left < outer {
                    70.0
                } else if from_right < right {
                    190.0
                } else if from_right < right + 3.0 {
                    75.0
                } else if y < -34.0 && body < 78.0 {
                    90.0
                } else if body > 92.0 {
                    4.0
                } else if body > 78.0 {
                    150.0
                } else {
                    25.0
                };
                values.push((grey + 12.0 * noise([i, j, k, phase])) as f32);
            }
        }
    }
    values
}

/// Something between -0.5 and 0.5 that looks random and is the same every time.
fn noise(place: [usize; 4]) -> f64 {
    let primes = [73_856_093_u32, 19_349_663, 83_492_791, 2_654_435_761];
    let mixed = place
        .into_iter()
        .zip(primes)
        .fold(0, |mixed, (at, prime)| mixed ^ (at as u32).wrapping_mul(prime));
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(2_246_822_519);
    f64::from((mixed ^ (mixed >> 13)) & 1023) / 1023.0 - 0.5
}

/// A NIfTI-1 file of some volumes, with a time between them (nifti1.h has the offsets).
fn nifti(volumes: &[Vec<f32>]) -> Vec<u8> {
    let mut header = vec![0_u8; 352];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let short = |value: usize| (value as i16).to_le_bytes();
    put(0, &348_i32.to_le_bytes());
    let dim = [4, DIMS[0], DIMS[1], DIMS[2], volumes.len(), 1, 1, 1];
    for (axis, side) in dim.into_iter().enumerate() {
        put(40 + 2 * axis, &short(side));
    }
    // 32-bit floats.
    put(70, &short(16));
    put(72, &short(32));
    let pixdim = [1.0, SPACING[0], SPACING[1], SPACING[2], STEP_MS, 1.0, 1.0, 1.0];
    for (axis, length) in pixdim.into_iter().enumerate() {
        put(76 + 4 * axis, &length.to_le_bytes());
    }
    put(108, &352_f32.to_le_bytes());
    put(112, &1_f32.to_le_bytes());
    // Millimetres and milliseconds.
    put(123, &[2 | 16]);
    put(254, &short(1));
    for (axis, length) in SPACING.into_iter().enumerate() {
        put(280 + 20 * axis, &length.to_le_bytes());
    }
    put(344, b"n+1\0");
    header.extend(volumes.iter().flatten().flat_map(|value| value.to_le_bytes()));
    header
}

/// The heartbeat as a file.
fn heartbeat(folder: &Path) -> PathBuf {
    let path = folder.join("heartbeat.nii");
    let phases: Vec<Vec<f32>> = (0..RADII.len()).map(heart).collect();
    fs::write(&path, nifti(&phases)).expect("writing the heartbeat");
    path
}

fn open<'stage>(stage: &'stage Stage, path: PathBuf) -> Page<'stage> {
    let page = stage.open();
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[path]);
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-cine");
    page.wait_until("the panel", PATIENCE, &|page| page.has("cine"));
    page
}

fn shows_phase(page: &Page<'_>, number: usize) {
    page.wait_until(&format!("phase {number}"), PATIENCE, &|page| {
        page.attribute("cine", "data-phase") == number.to_string()
    });
}

fn has_phases(page: &Page<'_>, count: usize) {
    page.wait_until("the phases", PATIENCE, &|page| {
        page.attribute("cine", "data-phases") == count.to_string()
    });
}

/// Numbers in `data-value` of the cells behind a selector, a list a row.
fn numbers(page: &Page<'_>, hook: &str) -> Vec<Vec<f64>> {
    let found = page.evaluate(&format!(
        "[...document.querySelectorAll('[data-test={hook}] tbody tr')].map(row =>
            [...row.querySelectorAll('td[data-value]')].map(cell => Number(cell.dataset.value)))"
    ));
    serde_json::from_value(found).expect("numbers")
}

/// The same to the rounding of two builds: a few voxels on a border.
fn assert_near(page: f64, command: f64, what: &str) {
    let most = 0.005 * command.abs() + 0.1;
    assert!((page - command).abs() <= most, "{what}: {page} in the page, {command} by the command");
}

pub fn a_heartbeat_plays_and_measures_as_the_command_line_does(stage: &Stage) {
    let path = heartbeat(&stage.folder);
    let page = open(stage, path.clone());
    has_phases(&page, 4);
    shows_phase(&page, 1);

    page.choose("cine-scrub", "3");
    shows_phase(&page, 3);
    // The file states its times.
    assert!(page.text("cine-phase").contains("360 ms"), "{}", page.text("cine-phase"));
    page.press(".");
    shows_phase(&page, 4);
    page.press("p");
    page.wait_until("playing", PATIENCE, &|page| {
        page.attribute("cine", "data-playing") == "true"
            && page.attribute("cine", "data-phase") != "4"
    });
    page.press("p");
    page.wait_until("the pause", PATIENCE, &|page| {
        page.attribute("cine", "data-playing") == "false"
    });
    page.choose("cine-scrub", "1");
    shows_phase(&page, 1);
    let bare = page.colour_shown(&pane("axial"));

    page.click("cine-measure");
    page.wait_until("all phases", TIMEOUT, &|page| {
        page.attribute("cine", "data-measured") == "4" && page.text("cine-busy").is_empty()
    });
    let tinted = page.colour_shown(&pane("axial"));
    assert!(tinted > bare + 0.2, "the labels are not shown: {bare:.2} to {tinted:.2}");

    let json: Value = stage.cine_by_command(&path);
    let phases = json["phases"].as_array().expect("phases");
    let shown = numbers(&page, "cine-phase-table");
    assert_eq!(shown.len(), phases.len());
    for (row, phase) in shown.iter().zip(phases) {
        let volumes = &phase["volumes"];
        let expected = ["left_ml", "right_ml", "myocardium_ml"].map(|key| volumes[key].as_f64());
        assert_eq!(row.len(), 3, "phase {}: {volumes}", phase["phase"]);
        for (mine, theirs) in row.iter().zip(expected) {
            assert_near(*mine, theirs.expect("a volume"), &format!("phase {}", phase["phase"]));
        }
    }
    // Drawn with the largest cavity first and the smallest third.
    let function = &json["function"];
    assert_eq!((&function["end_diastole"], &function["end_systole"]), (&0.into(), &2.into()));
    for (row, theirs) in [
        ("lv-edv", &function["left"]["end_diastolic_ml"]),
        ("lv-esv", &function["left"]["end_systolic_ml"]),
        ("lv-sv", &function["left"]["stroke_ml"]),
        ("lv-ef", &function["left"]["ejection_percent"]),
        ("rv-edv", &function["right"]["end_diastolic_ml"]),
        ("lv-mass", &function["mass_g"]),
    ] {
        let mine = page.attribute(&format!("[data-row={row}]"), "data-value");
        let mine: f64 = mine.parse().unwrap_or_else(|_| panic!("{row}: {mine}"));
        assert_near(mine, theirs.as_f64().expect("a number"), row);
    }
    // What is not to be used says so where it stands.
    assert_eq!(json["right_usable"], false);
    let right = page.text("[data-row=rv-ef]");
    assert!(right.contains("not usable"), "{right}");
    let cell = |phase: usize| {
        page.evaluate(&format!(
            "document.querySelector('[data-test=cine-phase-table] tbody tr:nth-child({phase}) \
             td:nth-child(3)').textContent.includes('not usable')"
        ))
    };
    // End-diastole and end-systole.
    assert_eq!((cell(1), cell(3)), (false.into(), true.into()));
    assert!(json["rows"][0]["formula"].is_string(), "{json}");
    // Drawn down to the apex.
    assert_eq!(
        (&json["cut"], page.attribute("cine-cautions", "data-cut").as_str()),
        (&false.into(), "false")
    );
    let cautions = page.text("cine-cautions");
    assert!(cautions.contains("right ventricle"), "{cautions}");
    assert!(!page.has("cine-unit"), "the file states its unit");

    // The last phase lies at the right end of the curve.
    page.click_at("cine-curve", [0.96, 0.5]);
    shows_phase(&page, 4);
    let table = page.download("cine-csv");
    let text = String::from_utf8(table.bytes).expect("a text");
    assert!(table.name.ends_with("_cine.csv"), "{}", table.name);
    assert!(text.lines().count() == 5 && text.contains("540.000"), "{text}");
    assert_content(&page);
}

pub fn a_heartbeat_that_is_opened_finds_its_pack_and_is_led_to_its_phases(stage: &Stage) {
    let page = Page::open(&stage.browser, &stage.url, true);
    let remembered = || page.evaluate("localStorage.getItem('prism.pack') || ''");
    let chosen = remembered();
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[heartbeat(&stage.folder)]);
    // It goes away by itself, maybe before the run ends.
    page.wait_until("the way to the phases", TIMEOUT, &|page| {
        let notices = page.texts("notice");
        notices.contains("4 phases") && notices.contains("under Cine")
    });
    page.wait_for_state("done", TIMEOUT);
    // What this scan was routed to is nobody's choice for the next visit.
    assert_eq!(remembered(), chosen);
    page.click("#tab-scan");
    page.wait_until("what the image shows", PATIENCE, &|page| page.has("identified"));
    assert_eq!(page.attribute("identified", "data-body-part"), "heart");
    // A heart has no lesions of the brain.
    page.click("#tab-lesions");
    page.click("lesions-find");
    page.wait_until("why not", PATIENCE, &|page| {
        page.texts("notice").contains("Lesions are not looked for in this scan")
    });
    assert_content(&page);
}

pub fn measuring_phases_is_cancelled_and_goes_on_later(stage: &Stage) {
    let page = open(stage, heartbeat(&stage.folder));
    has_phases(&page, 4);
    page.click("cine-measure");
    page.wait_until("two phases, and the network", TIMEOUT, &|page| {
        page.attribute("cine", "data-measured") == "2" && page.text("cine-busy").contains('%')
    });
    let start = Instant::now();
    page.click("cine-cancel");
    page.wait_until("the end of it", PATIENCE, &|page| !page.has("cine-cancel"));
    let took = start.elapsed();
    println!("  cancelled in {:.2} s", took.as_secs_f64());
    // A third of a second alone; two cases share two cores. A phase takes a quarter of a minute.
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    assert_ne!(page.attribute("cine", "data-measured"), "4");
    // Two phases differ; end-systole is the third.
    let why = page.text("cine-no-function");
    assert!(!page.has("cine-function") && why.contains("of 4 phases are still to be"), "{why}");
    page.click("cine-measure");
    page.wait_until("all phases", TIMEOUT, &|page| page.attribute("cine", "data-measured") == "4");
    page.wait_until("the function", PATIENCE, &|page| page.has("cine-function"));
    assert_content(&page);
}

pub fn two_scans_without_a_unit_are_taken_as_phases(stage: &Stage) {
    let single = |name: &str, phase: usize| {
        let path = stage.folder.join(name);
        let mut bytes = nifti(&[heart(phase)]);
        // No unit, neither of length nor of time.
        bytes[123] = 0;
        fs::write(&path, bytes).expect("writing a phase");
        path
    };
    let page = stage.open();
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[single("first.nii", 0), single("second.nii", 2)]);
    page.wait_until("the list of series", PATIENCE, &|page| page.has("series-choice"));
    assert!(page.text("series-choice").contains("not stated ("), "{}", page.text("series-choice"));
    page.click("[data-series=file-1]");
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-scan");
    let facts = page.text("#panel");
    assert!(facts.contains("not stated (1.5 × 1.5 × 10 if millimetres)"), "{facts}");
    page.click("#tab-cine");
    page.wait_until("the other scan", PATIENCE, &|page| page.has("cine-alike"));
    page.click("cine-alike");
    has_phases(&page, 2);
    page.click("cine-measure");
    page.wait_until("a phase", TIMEOUT, &|page| page.has("cine-unit"));
    let said = page.text("cine-unit");
    assert!(said.contains("millimetres were assumed"), "{said}");
    page.click("cine-cancel");
    page.wait_until("the end of it", PATIENCE, &|page| !page.has("cine-cancel"));
    assert_content(&page);
}

pub fn phases_in_files_of_their_own_are_added(stage: &Stage) {
    let single = |name: &str, phase: usize| {
        let path = stage.folder.join(name);
        fs::write(&path, nifti(&[heart(phase)])).expect("writing a phase");
        path
    };
    let (diastole, systole) = (single("diastole.nii", 0), single("systole.nii", 2));
    let page = open(stage, diastole);
    // Nothing to play yet.
    assert!(!page.has("cine-scrub") && page.has("cine-add"));
    page.choose_files("cine-input", &[systole]);
    has_phases(&page, 2);
    page.choose("cine-scrub", "2");
    shows_phase(&page, 2);
    // Single files state no times.
    assert_eq!(page.text("cine-phase"), "Phase 2 of 2");
    assert_content(&page);
}
