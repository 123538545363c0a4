//! The command's contract: exit code 0, or another one with one line on stderr; whole files or none.

// A helper of a test is no test to clippy.
#![allow(clippy::expect_used, clippy::panic)]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use prism_core::follow_up::change::LIMITS;
use prism_core::formats::nifti::write_volume;
use prism_core::formats::{self, InputFile, Selection};
use prism_core::identify::HeadsPack;
use prism_core::identify::heads::{HeadInfo, HeadKind};
use prism_core::identify::pack::LinearHead;
use prism_core::registration::itk;
use prism_core::report::NOT_A_DEVICE;
use prism_core::volume::{Affine, Volume};
use safetensors::SafeTensors;
use serde_json::Value;

const TINY: &str = "swin:dim=2,depths=1-2-1-1,heads=1-2-2-4,window=2";

fn golden(parts: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    parts.iter().fold(root, |path, part| path.join(part))
}

fn format(case: &str, file: &str) -> PathBuf {
    golden(&["formats", case, file])
}

/// A whole case, without its expectations: DICOM files lie beside their `expected.json`.
fn series(case: &str, to: &Path) -> PathBuf {
    let folder = to.join(case);
    fs::create_dir_all(&folder).expect("a folder");
    for entry in fs::read_dir(golden(&["formats", case])).expect("a case") {
        let path = entry.expect("an entry").path();
        if path.extension() != Some(OsStr::new("json")) {
            fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("a copy");
        }
    }
    folder
}

fn prism<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_prism")).args(arguments).output().expect("prism runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// What the command says when it fails: one line on stderr.
fn failure<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let output = prism(arguments);
    let said = text(&output.stderr);
    assert!(!output.status.success(), "it did not fail: {said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("prism: ") && said.ends_with('\n'), "{said}");
    said
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}

#[test]
fn what_is_missing_or_broken_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("labels.nii.gz");
    let missing = folder.path().join("missing.nii");
    let broken = format("error_data_cut", "scan.nii");
    for (scan, words) in [(&missing, "missing.nii"), (&broken, "incomplete")] {
        for command in ["identify", "estimate"] {
            let said = failure(&[OsStr::new(command), scan.as_os_str()]);
            assert!(said.contains(words), "{command}: {said}");
        }
    }
    assert!(failure(&[OsStr::new("info"), missing.as_os_str()]).contains("missing.nii"));
    let o = OsStr::new("-o");
    for command in ["segment", "report", "encode"] {
        for scan in [&missing, &broken] {
            let said = failure(&[OsStr::new(command), scan.as_os_str(), o, output.as_os_str()]);
            assert!(said.contains("missing.nii") || said.contains("incomplete"), "{said}");
        }
    }
    let shipped = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../public/packs/{name}.safetensors"))
    };
    let (heart, lesions) = (shipped("cardiac"), shipped("lesions"));
    let scan = format("nifti1_type_i16", "scan.nii");
    let pack = OsStr::new("--pack");
    for wrong in [&missing, &broken] {
        let asked: [&[&OsStr]; 4] = [
            &[OsStr::new("cine"), wrong.as_os_str(), pack, heart.as_os_str()],
            &[
                OsStr::new("lesions"),
                wrong.as_os_str(),
                pack,
                lesions.as_os_str(),
                o,
                output.as_os_str(),
            ],
            &[OsStr::new("register"), scan.as_os_str(), wrong.as_os_str(), o, output.as_os_str()],
            &[OsStr::new("follow-up"), scan.as_os_str(), wrong.as_os_str()],
        ];
        for arguments in asked {
            let said = failure(arguments);
            let named = said.contains("missing.nii") || said.contains("incomplete");
            assert!(named, "{:?}: {said}", arguments[0]);
        }
    }
    let pack = format("error_text", "notes.nii");
    let said = failure(&[
        OsStr::new("segment"),
        scan.as_os_str(),
        o,
        output.as_os_str(),
        OsStr::new("--pack"),
        pack.as_os_str(),
    ]);
    assert!(said.contains("pack"), "{said}");
    assert_eq!(entries(folder.path()), 0, "something was written");
}

#[test]
fn an_abnormality_map_wants_a_pack_with_a_renderer_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let scan = format("nifti1_type_i16", "scan.nii");
    let tiny = golden(&["model", "tiny.safetensors"]);
    let missing = folder.path().join("missing.nii");
    let (map, drawn) = (folder.path().join("map.nii.gz"), folder.path().join("drawn.nii.gz"));
    let ask = |scan: &Path, pack: &Path| {
        failure(&[
            OsStr::new("abnormality"),
            scan.as_os_str(),
            OsStr::new("-o"),
            map.as_os_str(),
            OsStr::new("--rendered"),
            drawn.as_os_str(),
            OsStr::new("--pack"),
            pack.as_os_str(),
        ])
    };
    assert!(ask(&scan, &tiny).contains("does not render a scan again"));
    assert!(ask(&scan, &missing).contains("missing.nii"));
    assert!(ask(&scan, &scan).contains("pack"));
    let said = failure(&["abnormality", "scan.nii", "-o", "map.nii.gz"]);
    assert!(said.contains("--pack"), "{said}");
    assert_eq!(entries(folder.path()), 0, "something was written");
}

#[test]
fn a_message_of_several_lines_is_cut_to_the_first() {
    let said = failure(&["info", "first\nsecond.nii"]);
    assert!(!said.contains("second"), "{said}");
}

#[test]
fn a_wrong_command_line_is_one_line_too() {
    for arguments in [&["info", "scan.nii", "--wrong"][..], &["segment"], &["nothing"]] {
        let output = prism(arguments);
        assert_eq!(output.status.code(), Some(2));
        let said = failure(arguments);
        assert!(said.contains("prism --help"), "{said}");
    }
    let said = failure(&["segment"]);
    assert!(said.contains("<SCAN>") && said.contains("--output"), "{said}");
    let help = prism(&["--help"]);
    assert!(help.status.success() && text(&help.stdout).contains("segment"));
}

#[test]
fn what_cannot_be_written_leaves_nothing_and_what_was_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoint = golden(&["convert", "flat.pt"]);
    let convert = |output: &Path| {
        let line = [
            OsStr::new("convert"),
            checkpoint.as_os_str(),
            OsStr::new("-o"),
            output.as_os_str(),
            OsStr::new("--arch"),
            OsStr::new(TINY),
            OsStr::new("--licence"),
            OsStr::new("CC0-1.0"),
        ];
        line.map(OsStr::to_owned)
    };
    // A folder that is not there; a folder where the file should be.
    let nowhere = folder.path().join("nowhere").join("pack.safetensors");
    assert!(failure(&convert(&nowhere)).contains("cannot write the file"));
    let occupied = folder.path().join("occupied");
    fs::create_dir(&occupied).expect("a folder");
    fs::write(occupied.join("inside"), b"kept").expect("a file");
    assert!(failure(&convert(&occupied)).contains("cannot write the file"));
    assert_eq!(fs::read(occupied.join("inside")).expect("the file"), b"kept");
    assert_eq!(entries(folder.path()), 1, "something half-written is left");
    // A failure before writing keeps the file of an earlier run.
    let earlier = folder.path().join("earlier.safetensors");
    fs::write(&earlier, b"earlier").expect("a file");
    let mut wrong = convert(&earlier).to_vec();
    wrong[1] = golden(&["convert", "truncated.pt"]).into_os_string();
    failure(&wrong);
    assert_eq!(fs::read(&earlier).expect("the file"), b"earlier");
    // And where all is well, one whole file.
    let output = prism(&convert(&earlier));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(fs::read(&earlier).expect("the pack").len() > 1000);
    assert_eq!(entries(folder.path()), 2);
}

#[test]
fn info_says_format_orientation_and_what_was_assumed() {
    let scan = format("nifti1_no_orientation", "scan.nii");
    let output = prism(&[OsStr::new("info"), scan.as_os_str()]);
    let said = text(&output.stdout);
    assert!(output.status.success());
    for part in ["format       NIfTI-1", "orientation  RAS, ", "note  ", "left and right"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let marked = said.lines().any(|line| line.contains("RAS, ") && line.ends_with(" (assumed)"));
    assert!(marked, "{said}");
    let output = prism(&[OsStr::new("info"), scan.as_os_str(), OsStr::new("--json")]);
    let listed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(listed[0]["format"], "nifti1");
    assert_eq!(listed[0]["orientation"], "RAS");
    assert_eq!(listed[0]["sides_assumed"], true);
    assert!(listed[0]["plane"].is_string() && listed[0]["key"] == "file-1", "{listed}");
    let warnings = listed[0]["warnings"].as_array().expect("warnings");
    assert!(
        warnings.iter().any(|line| line.as_str().is_some_and(|w| w.contains("left and right")))
    );
}

#[test]
fn info_does_not_state_a_unit_that_the_file_does_not() {
    let spacing = |name: &str| {
        let output = prism(&[OsStr::new("info"), format(name, "scan.nii").as_os_str()]);
        let said = text(&output.stdout);
        said.lines().find(|line| line.starts_with("  spacing")).unwrap_or_default().to_owned()
    };
    let unknown = spacing("nifti1_unit_unknown");
    assert!(
        unknown.contains(" not stated (") && unknown.ends_with(" if millimetres)"),
        "{unknown}"
    );
    let stated = spacing("nifti1_unit_metre");
    assert!(stated.ends_with(" mm") && !stated.contains("not stated"), "{stated}");
}

#[test]
fn info_lists_a_scan_whose_voxels_cannot_be_read() {
    let scan = format("error_data_cut", "scan.nii");
    let output = prism(&[OsStr::new("info"), scan.as_os_str()]);
    assert!(output.status.success());
    let said = text(&output.stdout);
    assert!(said.contains("5 x 4 x 3") && said.contains("unreadable   The image data"), "{said}");
}

#[test]
fn a_series_that_nobody_chose_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let study = series("dicom_two_series", folder.path());
    let output = folder.path().join("features.safetensors");
    // Volume 9 is not there: the command ends before any network runs.
    let line = |more: &[&str]| {
        let fixed = [OsStr::new("encode"), study.as_os_str(), OsStr::new("-o"), output.as_os_str()];
        let mut all: Vec<OsString> = fixed.iter().map(|part| part.to_os_string()).collect();
        all.extend(["--volume", "9"].iter().chain(more).map(|part| OsString::from(*part)));
        all
    };
    let said = text(&prism(&line(&[])).stderr);
    let note = "prism: note: 2 series, took series-1 (Series 2: t1 sagittal); --series chooses";
    assert!(said.lines().any(|one| one == note), "{said}");
    let said = text(&prism(&line(&["--series", "series-2"])).stderr);
    assert!(!said.contains("2 series"), "{said}");
}

/// A box of this many voxels of 1 mm with a bright part of the given size, as a file.
fn bright_box(folder: &Path, name: &str, sides: [usize; 3], seed: u32, bright: f32) -> PathBuf {
    let mut state = seed;
    let noise = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*state >> 8) as f32 / (1 << 24) as f32
    };
    let inside = |at: usize, side: usize| (side / 4..3 * side / 4).contains(&at);
    let mut data = Vec::with_capacity(sides.iter().product());
    for z in 0..sides[2] {
        for y in 0..sides[1] {
            for x in 0..sides[0] {
                let part = inside(x, sides[0]) && inside(y, sides[1]) && inside(z, sides[2]);
                let level = if part { bright } else { 100.0 };
                data.push(level * (1.0 + 0.2 * noise(&mut state)));
            }
        }
    }
    let affine = Affine::from_spacing([1.0; 3]);
    let volume = Volume::new(data, sides, affine).expect("a volume");
    let path = folder.join(name);
    fs::write(&path, write_volume(&volume).expect("NIfTI")).expect("a file");
    path
}

fn converted(folder: &Path) -> PathBuf {
    let pack = folder.join("pack.safetensors");
    let checkpoint = golden(&["convert", "flat.pt"]);
    let line = ["convert".as_ref(), checkpoint.as_os_str(), "-o".as_ref(), pack.as_os_str()];
    let more = ["--arch", TINY, "--licence", "CC0-1.0"].map(OsStr::new);
    let output = prism(&[&line[..], &more[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    pack
}

#[test]
fn a_scan_of_several_windows_has_blended_maps() {
    let folder = tempfile::tempdir().expect("a folder");
    let pack = converted(folder.path());
    // Windows have 96 voxels a side; 150 are padded to 160: three windows, one of which
    // is moved to a multiple of the coarsest stride.
    // Nothing stands out, so nothing is cut away around it.
    let scan = bright_box(folder.path(), "long.nii.gz", [150, 40, 40], 1, 100.0);
    let output = folder.path().join("features.safetensors");
    let said = prism(&[
        OsStr::new("encode"),
        scan.as_os_str(),
        OsStr::new("-o"),
        output.as_os_str(),
        OsStr::new("--pack"),
        pack.as_os_str(),
        OsStr::new("--device"),
        OsStr::new("cpu"),
    ]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    let bytes = fs::read(&output).expect("the features");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let deepest = tensors.tensor("fused").expect("the deepest map");
    let [channels, x, y, z] = deepest.shape()[..] else { panic!("{:?}", deepest.shape()) };
    assert!(x > 3 && x > y && y == z, "several windows: {:?}", deepest.shape());
    for level in 0..5 {
        let map = tensors.tensor(&format!("maps.{level}")).expect("a map");
        assert_eq!(map.shape()[1..], [x, y, z].map(|side| side << (4 - level)), "maps.{level}");
        let values = map.data().chunks_exact(4);
        let mut values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        assert!(values.all(f32::is_finite), "maps.{level} has a voxel that no window covers");
    }
    let pooled = tensors.tensor("pooled.fused").expect("the pooled vector");
    assert_eq!(pooled.shape(), [channels]);
}

#[test]
fn what_shows_the_anatomy_and_what_the_acquisition_is_written_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), ".."].iter().collect();
    let pack = root.join("public/packs/pretrained.safetensors");
    let scan = bright_box(folder.path(), "box.nii.gz", [48; 3], 3, 200.0);
    let output = folder.path().join("features.safetensors");
    let line = [OsStr::new("encode"), scan.as_os_str(), "-o".as_ref(), output.as_os_str()];
    let model = [OsStr::new("--pack"), pack.as_os_str(), "--device".as_ref(), "cpu".as_ref()];
    let said = prism(&[&line[..], &model[..]].concat());
    assert!(said.status.success(), "{}", text(&said.stderr));
    let bytes = fs::read(&output).expect("the features");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let [structure, sequence] = ["structure", "sequence"].map(|name| {
        let vector = tensors.tensor(&format!("pooled.{name}")).expect("a pooled vector");
        let bytes = vector.data().chunks_exact(4);
        bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<f32>>()
    });
    for vector in [&structure, &sequence] {
        assert!(vector.len() > 8 && vector.iter().all(|value| value.is_finite()), "{vector:?}");
        assert!(vector.iter().any(|value| value.abs() > 1e-3), "nothing is in it");
    }
    assert_ne!(structure, sequence);
}

#[test]
fn whole_scans_with_labels_make_a_classifier() {
    let folder = tempfile::tempdir().expect("a folder");
    let pack = converted(folder.path());
    let scan =
        |name: &str, seed: u32, bright: f32| bright_box(folder.path(), name, [40; 3], seed, bright);
    let examples: Vec<PathBuf> = (0..6)
        .map(|n| scan(&format!("{n}.nii.gz"), n, if n % 2 == 0 { 30.0 } else { 400.0 }))
        .collect();
    let new = scan("new.nii.gz", 9, 400.0);
    let head = folder.path().join("head.safetensors");
    let json = folder.path().join("scores.json");
    let run = |line: &[&OsStr], more: &[&str]| {
        let model = [OsStr::new("--pack"), pack.as_os_str(), "--device".as_ref(), "cpu".as_ref()];
        let more: Vec<&OsStr> = more.iter().map(OsStr::new).collect();
        prism(&[line, &more[..], &model[..]].concat())
    };
    let mut fit: Vec<&OsStr> = vec!["fit-classifier".as_ref()];
    fit.extend(examples.iter().map(|path| path.as_os_str()));
    fit.extend([OsStr::new("-o"), head.as_os_str(), "--json".as_ref(), json.as_os_str()]);
    let output = run(&fit, &["--labels", "dark", "bright", "dark", "bright", "dark", "bright"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("6 of 6 scans recognised when left out"), "{said}");
    let scores: Value = serde_json::from_slice(&fs::read(&json).expect("scores")).expect("JSON");
    assert_eq!(scores["scores"]["majority"], 0.5);
    let low = scores["scores"]["interval"][0].as_f64().expect("an interval");
    assert!((low - 0.6097).abs() < 1e-3, "Wilson's interval of 6 of 6: {low}");

    let ask = |scan: &Path| {
        let line = ["classify".as_ref(), scan.as_os_str(), "--head".as_ref(), head.as_os_str()];
        run(&line, &["--json"])
    };
    let output = ask(&new);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer[0]["given"], "bright");
    let share = answer[0]["probabilities"][0][1].as_f64().expect("a probability");
    assert!(share > 0.5 && share < 0.99, "{share}");

    // Features that `prism encode` wrote say the same.
    let features = folder.path().join("new.safetensors");
    let line = ["encode".as_ref(), new.as_os_str(), "-o".as_ref(), features.as_os_str()];
    assert!(run(&line, &[]).status.success());
    let again: Value = serde_json::from_slice(&ask(&features).stdout).expect("JSON");
    assert_eq!(again, answer);

    // One line each: a label with one scan, labels that are not as many, another encoder.
    let labels = |line: &[&str]| text(&run(&fit, &[&["--labels"], line].concat()).stderr);
    assert!(labels(&["a", "a", "a", "a", "a", "b"]).contains("\"b\", 2 are needed"));
    assert!(labels(&["a", "b"]).contains("6 scans and 2 labels"));
    let line = ["classify".as_ref(), new.as_os_str(), "--head".as_ref(), head.as_os_str()];
    assert!(failure(&line).contains("belong to the encoder of"));
}

/// What the heads said, as `prism encode` keeps it.
fn answers(file: &Path) -> Value {
    let bytes = fs::read(file).expect("the features");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("safetensors");
    let answers = header.metadata().as_ref().and_then(|all| all.get("answers")).expect("answers");
    serde_json::from_str(answers).expect("JSON")
}

#[test]
fn the_heads_say_the_same_where_a_scan_is_encoded_and_where_it_is_segmented() {
    let folder = tempfile::tempdir().expect("a folder");
    let pack = golden(&["model", "tiny.safetensors"]);
    let scan = bright_box(folder.path(), "scan.nii.gz", [64; 3], 3, 300.0);
    let path = |name: &str| folder.path().join(name);
    let (features, labels, run) =
        (path("features.safetensors"), path("labels.nii.gz"), path("run.json"));
    let model = [pack.as_os_str(), "--device".as_ref(), "cpu".as_ref()];
    let encode = [
        OsStr::new("encode"),
        scan.as_os_str(),
        "-o".as_ref(),
        features.as_os_str(),
        "--pack".as_ref(),
    ];
    let output = prism(&[&encode[..], &model[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    // No scores on real scans are in the pack.
    for head in ["contrast", "age"] {
        let words = format!("  {head}: not shown: never scored on real scans\n");
        assert!(said.contains(&words), "no {words:?} in {said}");
    }
    let json = [OsStr::new("--json")];
    let output = prism(&[&encode[..], &model[..], &json[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    assert_eq!(printed[0]["outputs"][0], "T1w");
    for head in 0..2_usize {
        assert_eq!(printed[head]["unscored"], true, "{printed}");
    }
    let segment = [
        OsStr::new("segment"),
        scan.as_os_str(),
        "-o".as_ref(),
        labels.as_os_str(),
        "--json".as_ref(),
        run.as_os_str(),
        "--pack".as_ref(),
    ];
    let output = prism(&[&segment[..], &model[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let manifest: Value = serde_json::from_slice(&fs::read(&run).expect("run")).expect("JSON");
    let (encoded, segmented) = (answers(&features), &manifest["results"]["answers"]);
    assert_eq!(encoded, printed);
    assert_eq!(segmented[0]["unscored"], true);
    assert_eq!(encoded.as_array().map(Vec::len), Some(2));
    for (head, outputs) in [(0_usize, 3_usize), (1, 1)] {
        assert_eq!(encoded[head]["head"], segmented[head]["head"]);
        for output in 0..outputs {
            let value = |of: &Value| of[head]["values"][output].as_f64().expect("a number");
            let (one, other) = (value(&encoded), value(segmented));
            assert!((one - other).abs() <= 1e-5 * one.abs().max(1.0), "{one}, {other}");
        }
    }
}

/// Numbers in a text, as written.
fn numbers(text: &str) -> Vec<&str> {
    let parts = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    parts.map(|part| part.trim_matches('.')).filter(|part| !part.is_empty()).collect()
}

#[test]
fn a_report_is_written_in_each_format_and_the_decoder_invents_no_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let scan = bright_box(folder.path(), "scan.nii.gz", [64; 3], 3, 300.0);
    let pack = golden(&["model", "tiny.safetensors"]);
    let report = |output: &Path, more: &[&OsStr]| {
        let line = [
            OsStr::new("report"),
            scan.as_os_str(),
            "-o".as_ref(),
            output.as_os_str(),
            "--pack".as_ref(),
            pack.as_os_str(),
            "--device".as_ref(),
            "cpu".as_ref(),
        ];
        let said = prism(&[&line[..], more].concat());
        assert!(said.status.success(), "{}", text(&said.stderr));
        (text(&said.stdout), fs::read_to_string(output).expect("the report"))
    };
    let (_, html) = report(&path("report.html"), &[]);
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains(NOT_A_DEVICE), "{html:.300}");
    assert!(html.contains("id=\"structure-1\"") && !html.contains("small neural network"));

    let decoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../public/packs/report.safetensors");
    let (facts, plain) = (path("facts.json"), path("plain.txt"));
    let wording = [OsStr::new("--wording"), decoder.as_os_str()];
    let beside =
        [OsStr::new("--facts"), facts.as_os_str(), OsStr::new("--plain"), plain.as_os_str()];
    let all = [&wording[..], &beside[..]].concat();
    let (said, worded) = report(&path("report.txt"), &all);
    let facts: Value = serde_json::from_slice(&fs::read(&facts).expect("facts")).expect("JSON");
    let sections = facts.as_array().expect("sections").iter();
    let told: usize =
        sections.filter_map(|section| section["facts"].as_array()).map(Vec::len).sum();
    let counts = numbers(said.lines().next().unwrap_or_default());
    let counts: Vec<usize> = counts.iter().filter_map(|count| count.parse().ok()).collect();
    assert_eq!(counts.get(1), Some(&told), "{said}");
    assert!(counts[0] >= 1 && counts[0] <= told && counts[2] >= 1, "{said}");
    let flat = worded.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("were worded by a small neural network"), "{worded}");
    assert_eq!(worded.matches(NOT_A_DEVICE).count(), 2, "{worded}");
    let plain = fs::read_to_string(&plain).expect("the plain report");
    assert!(!plain.contains("small neural network"), "{plain}");
    let quality = |text: &str| {
        let rest = text.split("\nImage quality\n").nth(1).expect("the section").to_owned();
        rest.split("\nImpression\n").next().unwrap_or_default().to_owned()
    };
    let (worded, plain) = (quality(&worded), quality(&plain));
    assert_ne!(worded, plain, "the decoder worded something else");
    let known = numbers(&plain);
    assert!(numbers(&worded).iter().all(|number| known.contains(number)), "{worded}\n{plain}");

    let (_, json) = report(&path("report.json"), &wording);
    let bundle: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(bundle["resourceType"], "Bundle");
    let first = &bundle["entry"][0]["resource"];
    assert_eq!(first["resourceType"], "DiagnosticReport");
    assert!(first["text"]["div"].as_str().is_some_and(|div| div.contains(NOT_A_DEVICE)), "{first}");
    assert!(json.contains("decoder that worded the report"), "{json:.300}");
}

#[test]
fn a_head_that_fuses_three_sequences_answers_for_three() {
    let folder = tempfile::tempdir().expect("a folder");
    let pack = folder.path().join("fusing.safetensors");
    let checkpoint = golden(&["convert", "cat.pt"]);
    let line = [OsStr::new("convert"), checkpoint.as_os_str(), "-o".as_ref(), pack.as_os_str()];
    let head = "classification:name=grade,outputs=a/b/c,fusion=cat:3";
    let more = ["--arch", TINY, "--licence", "CC0-1.0", "--head", head].map(OsStr::new);
    let output = prism(&[&line[..], &more[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));

    // Not on one grid.
    let scans: Vec<PathBuf> = (0..3_u32)
        .map(|n| {
            let sides = [40 + 8 * n as usize; 3];
            bright_box(folder.path(), &format!("{n}.nii.gz"), sides, n, 300.0)
        })
        .collect();
    let study = folder.path().join("study.safetensors");
    let encode = |count: usize, more: &[&'static str]| {
        let mut line = vec![OsStr::new("encode")];
        line.extend(scans[..count].iter().map(|path| path.as_os_str()));
        line.extend(more.iter().map(|word| OsStr::new(*word)));
        line.extend(["--device", "cpu", "--pack"].map(OsStr::new));
        line.extend([pack.as_os_str(), OsStr::new("-o"), study.as_os_str()]);
        line
    };
    let said = failure(&encode(2, &["--together"]));
    assert!(said.contains("\"grade\" wants 3 sequences") && said.contains("not 2"), "{said}");
    assert!(failure(&encode(3, &[])).contains("--together"));
    assert!(!study.exists(), "something was written");

    let output = prism(&encode(3, &["--together"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for words in ["  grade: a 30.4 %, b 34.0 %, c 35.6 %", "Imported: not scored by this project"] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let bytes = fs::read(&study).expect("the features");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    assert_eq!(tensors.len(), 6, "fused and centre of each");
    for scan in 0..3 {
        let pooled = tensors.tensor(&format!("{scan}.pooled.fused")).expect("a vector");
        assert_eq!(pooled.shape(), [32]);
    }
    // The checkpoint's encoder is zeros, so its features are, too, and the head reads its own
    // biases: softmax(output(gelu(norm(hidden(fusion.bias))))) in double precision.
    let answers = answers(&study);
    assert_eq!(answers[0]["head"], "grade");
    for (at, expected) in [0.304_034, 0.339_605, 0.356_362].into_iter().enumerate() {
        let value = answers[0]["values"][at].as_f64().expect("a probability");
        assert!((value - expected).abs() < 1e-4, "{at}: {value}, not {expected}");
    }
    // One scan by itself has features, and the head says why it has no answer.
    let output = prism(&encode(1, &[]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("\"grade\" wants 3 sequences"));
}

#[test]
fn labels_that_lie_elsewhere_than_their_scan_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let pack = converted(folder.path());
    let scan = bright_box(folder.path(), "scan.nii.gz", [40; 3], 1, 300.0);
    let mut affine = Affine::from_spacing([1.0; 3]);
    affine.0[2][3] = 1.5;
    let data = (0..40 * 40 * 40).map(|at| if at % 40 < 20 { 1.0 } else { 0.0 }).collect();
    let labels = folder.path().join("labels.nii.gz");
    let volume = Volume::new(data, [40; 3], affine).expect("a volume");
    fs::write(&labels, write_volume(&volume).expect("NIfTI")).expect("a file");
    let head = folder.path().join("head.safetensors");
    let line = [OsStr::new("fit"), scan.as_os_str(), "--labels".as_ref(), labels.as_os_str()];
    let output = [OsStr::new("-o"), head.as_os_str(), "--pack".as_ref(), pack.as_os_str()];
    let more = ["--class", "1=Half", "--device", "cpu"].map(OsStr::new);
    let said = failure(&[&line[..], &output[..], &more[..]].concat());
    assert!(said.contains("up to 1.50 voxels") && said.contains("labels.nii.gz"), "{said}");
    assert!(!head.exists(), "something was written");
}

#[test]
fn lesions_are_not_looked_for_in_what_is_no_head_unless_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (scan, marks) = (format("nifti1_type_i16", "scan.nii"), folder.path().join("marks.nii"));
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../public/packs/lesions.safetensors");
    let mut asked: Vec<&OsStr> = vec![
        OsStr::new("lesions"),
        scan.as_os_str(),
        OsStr::new("--pack"),
        pack.as_os_str(),
        OsStr::new("-o"),
        marks.as_os_str(),
        OsStr::new("--device"),
        OsStr::new("cpu"),
    ];
    let said = failure(&asked);
    assert!(said.contains("90 mm or more") && said.contains("--anyway"), "{said}");
    assert_eq!(entries(folder.path()), 0, "something was written");
    asked.push(OsStr::new("--anyway"));
    let said = text(&prism(&asked).stderr);
    assert!(said.contains("do not trust its marks") && !said.contains("--anyway"), "{said}");
    // The series of one study, of which it has no other.
    asked.extend(["--series", "series-9"].map(OsStr::new));
    let said = failure(&asked);
    assert!(said.contains("series-9"), "{said}");
    asked.insert(2, scan.as_os_str());
    assert!(failure(&asked).contains("give one path"));
}

#[test]
fn a_scan_too_large_for_a_pack_of_crops_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let scan = bright_box(folder.path(), "head.nii.gz", [100, 40, 40], 1, 300.0);
    let output = folder.path().join("labels.nii.gz");
    let pack =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../public/packs/hippocampus.safetensors");
    let said = failure(&[
        OsStr::new("segment"),
        scan.as_os_str(),
        OsStr::new("-o"),
        output.as_os_str(),
        OsStr::new("--pack"),
        pack.as_os_str(),
    ]);
    assert!(said.contains("at most 90 mm") && said.contains("--anyway"), "{said}");
    assert!(!output.exists(), "something was written");
}

#[test]
fn a_scan_too_small_for_a_pack_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let scan = bright_box(folder.path(), "head.nii.gz", [6; 3], 1, 300.0);
    let output = folder.path().join("labels.nii.gz");
    // The brain's, which is taken where none is named.
    let line = [OsStr::new("segment"), scan.as_os_str(), "-o".as_ref(), output.as_os_str()];
    let said = failure(&line);
    assert!(said.contains("90 mm or more") && said.contains("--anyway"), "{said}");
    assert!(!output.exists(), "something was written");
}

#[test]
fn a_place_where_nothing_can_be_written_is_said_before_anything_is_computed() {
    let folder = tempfile::tempdir().expect("a folder");
    let pack = golden(&["model", "tiny.safetensors"]);
    let scan = bright_box(folder.path(), "scan.nii.gz", [64; 3], 3, 300.0);
    let missing = folder.path().join("missing.nii.gz");
    let labels = folder.path().join("labels.nii.gz");
    let nowhere = folder.path().join("nowhere").join("x.nii.gz");
    let occupied = folder.path().join("occupied.nii.gz");
    fs::create_dir(&occupied).expect("a folder");
    for wrong in [&nowhere, &occupied] {
        for option in ["-o", "--csv", "--json", "--report"] {
            // The scan is looked for later.
            for scan in [&scan, &missing] {
                let mut line = vec![OsStr::new("segment"), scan.as_os_str()];
                line.extend([OsStr::new("--pack"), pack.as_os_str()]);
                line.extend(["--device", "cpu", option].map(OsStr::new));
                line.push(wrong.as_os_str());
                if option != "-o" {
                    line.extend([OsStr::new("-o"), labels.as_os_str()]);
                }
                let said = failure(&line);
                let named = said.contains(&wrong.display().to_string());
                assert!(named && said.contains("cannot write the file"), "{option}: {said}");
            }
        }
    }
    assert_eq!(entries(folder.path()), 2, "beside the scan and the folder something was written");
}

/// Every second voxel of the middle of the sample's brain, 106 mm wide by its header: as small as
/// a whole head may be.
fn small_head(folder: &Path) -> PathBuf {
    const SIDE: usize = 48;
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../public/samples/sample_t1w.nii.gz");
    let bytes = fs::read(sample).expect("the sample");
    let files = [InputFile { name: "sample_t1w.nii.gz".into(), bytes }];
    let sample = formats::load(&files, &Selection::default()).expect("a scan").volume;
    let [nx, ny, _] = sample.dims;
    let mut data = Vec::with_capacity(SIDE.pow(3));
    for k in 0..SIDE {
        for j in 0..SIDE {
            let row = nx * (56 + 2 * j + ny * (62 + 2 * k));
            data.extend((0..SIDE).map(|i| sample.data[40 + 2 * i + row]));
        }
    }
    let mut affine = sample.affine;
    affine.0.iter_mut().for_each(|row| row[..3].iter_mut().for_each(|step| *step *= 2.2));
    let volume = Volume::new(data, [SIDE; 3], affine).expect("a volume");
    let path = folder.join("head.nii.gz");
    fs::write(&path, write_volume(&volume).expect("NIfTI")).expect("a file");
    path
}

#[test]
fn a_head_is_identified_and_a_caution_stands_only_beside_what_is_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let scan = small_head(folder.path());
    let asked = |command: &str| {
        let how = ["--device", "cpu", "--json"].map(OsStr::new);
        let output = prism(&[&[OsStr::new(command), scan.as_os_str()][..], &how[..]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let found = asked("identify");
    for (key, expected) in [("sequence", "T1w"), ("body_part", "head"), ("skull", "stripped")] {
        assert_eq!(found[key]["given"], expected, "{found}");
    }
    assert_eq!(found["sequence_name"], "T1w");
    assert_eq!(found["fits"], "brain");
    // The head on the tissues, which knows no cine.
    assert_eq!(found["sequence"]["probabilities"].as_array().map(Vec::len), Some(3));
    let found = asked("estimate");
    assert!(found["sex"]["probabilities"].is_array(), "{found}");
    assert_eq!(found["sex_caution"].is_null(), found["sex"]["given"].is_null(), "{found}");
}

/// The heads that ship, but for the sex: the logit of "male" is ln(a / (a + b)) + 0.7 with the volumes
/// a and b of left and right white matter.
fn heads_with_sex_by_volumes(folder: &Path) -> PathBuf {
    let shipped =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../public/packs/identify.safetensors");
    let shipped = HeadsPack::read(&fs::read(shipped).expect("the heads")).expect("heads");
    let names = ["sequence", "sequence_by_tissues", "body_part", "skull", "age"];
    let mut heads: Vec<_> =
        names.iter().map(|name| shipped.head(name).expect("a head").clone()).collect();
    let sex = LinearHead {
        info: HeadInfo {
            name: "sex".into(),
            inputs: ["volume 2", "volume 41", "volume sum"].map(String::from).to_vec(),
            outputs: ["female", "male"].map(String::from).to_vec(),
            kind: HeadKind::Classification {
                temperature: 1.0,
                least_probability: 0.0,
                most_distance: None,
            },
            body_parts: Vec::new(),
            caution: None,
        },
        weight: vec![0.0, 0.0, 0.0, 1.0, 0.0, -1.0],
        bias: vec![0.0, 0.7],
        mean: vec![0.0; 3],
        deviation: vec![1.0; 3],
    };
    heads.push(sex.into());
    let path = folder.join("heads.safetensors");
    fs::write(&path, HeadsPack::write(shipped.info, &heads).expect("a file")).expect("written");
    path
}

#[test]
fn a_sex_by_volumes_reads_those_that_segment_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let scan = small_head(folder.path());
    let heads = heads_with_sex_by_volumes(folder.path());
    let asked = |arguments: &[&OsStr]| {
        let output = prism(&[arguments, &[OsStr::new("--device"), OsStr::new("cpu")][..]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        output.stdout
    };
    let [labels, table] = ["labels.nii.gz", "table.csv"].map(|name| folder.path().join(name));
    asked(&[
        OsStr::new("segment"),
        scan.as_os_str(),
        OsStr::new("-o"),
        labels.as_os_str(),
        OsStr::new("--csv"),
        table.as_os_str(),
    ]);
    let table = fs::read_to_string(table).expect("the table");
    let volume = |id: &str| -> f64 {
        let mut rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let row = rows.find(|row| row[1] == id).expect("a structure");
        row[7].parse().expect("a volume")
    };
    let (left, right) = (volume("2"), volume("41"));
    assert!(left > 1.0 && right > 1.0, "{left} and {right} mL");
    let odds = 0.7_f64.exp() * left / (left + right);
    let expected = odds / (1.0 + odds);
    let found = asked(&[
        OsStr::new("estimate"),
        scan.as_os_str(),
        OsStr::new("--heads"),
        heads.as_os_str(),
        OsStr::new("--json"),
    ]);
    let found: Value = serde_json::from_slice(&found).expect("JSON");
    assert!(found["waiting"].is_null(), "{found}");
    let classes = found["sex"]["probabilities"].as_array().expect("classes");
    let male = classes.iter().find(|class| class[0] == "male").expect("a class");
    let male = male[1].as_f64().expect("a probability");
    assert!((male - expected).abs() < 1e-4, "{male} where the table gives {expected}");
}

#[test]
fn of_a_label_map_it_is_said_first_that_it_is_no_scan() {
    let folder = tempfile::tempdir().expect("a folder");
    let label = |at: usize| match [at % 20, at / 20 % 20, at / 400] {
        place if place.iter().all(|side| (4..16).contains(side)) => (1 + (place[0] - 4) / 6) as f32,
        _ => 0.0,
    };
    let data = (0..8000).map(label).collect();
    let map = Volume::new(data, [20; 3], Affine::from_spacing([2.0; 3])).expect("a volume");
    let path = folder.path().join("labels.nii.gz");
    fs::write(&path, write_volume(&map).expect("NIfTI")).expect("a file");
    let output = prism(&[
        OsStr::new("identify"),
        path.as_os_str(),
        OsStr::new("--device"),
        OsStr::new("cpu"),
    ]);
    let said = text(&output.stdout);
    let first = said.lines().next().unwrap_or_default();
    assert!(first.starts_with("This looks like a map computed from a scan (labels)"), "{said}");
    assert!(first.ends_with("No model fits it.") && said.matches("looks like a map").count() == 1);
}

#[test]
fn a_table_counts_the_labels_and_nifti_is_packed_as_its_name_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let pack = golden(&["model", "tiny.safetensors"]);
    let scan = bright_box(folder.path(), "scan.nii.gz", [64; 3], 3, 300.0);
    let table = folder.path().join("volumes.csv");
    let segment = |labels: &Path| {
        let line = [OsStr::new("segment"), scan.as_os_str(), "-o".as_ref(), labels.as_os_str()];
        let model = [OsStr::new("--pack"), pack.as_os_str(), "--device".as_ref(), "cpu".as_ref()];
        let more = [OsStr::new("--csv"), table.as_os_str()];
        prism(&[&line[..], &model[..], &more[..]].concat())
    };
    let labelled = |name: &str| {
        let path = folder.path().join(name);
        let output = segment(&path);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let bytes = fs::read(&path).expect("the labels");
        let file = InputFile { name: name.into(), bytes: bytes.clone() };
        (bytes, formats::load(&[file], &Selection::default()).expect("NIfTI").volume)
    };
    let (plain, labels) = labelled("labels.nii");
    let (packed, same) = labelled("labels.nii.gz");
    assert!(packed.starts_with(&[0x1f, 0x8b]) && plain.starts_with(&348_i32.to_le_bytes()));
    assert!(labels == same, "the two files differ");

    let written = fs::read_to_string(&table).expect("the table");
    let mut rows = written.lines();
    let names: Vec<&str> = rows.next().expect("a header").split(',').collect();
    let place = |name: &str| names.iter().position(|other| *other == name).expect("a column");
    let counted: Vec<(f32, usize)> = rows
        .map(|row| {
            let fields: Vec<&str> = row.split(',').collect();
            assert_eq!(fields.len(), names.len(), "{row}");
            let number = |name: &str| fields[place(name)].parse::<u16>().expect("a number");
            let voxels = fields[place("voxels")].parse().expect("a count");
            (f32::from(number("id")), voxels)
        })
        .collect();
    assert_eq!(counted.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2.0, 41.0, 14.0, 16.0]);
    for (id, voxels) in &counted {
        assert_eq!(labels.data.iter().filter(|value| *value == id).count(), *voxels, "{id}");
    }
    assert!(counted.iter().any(|(_, voxels)| *voxels > 0), "no structure was found");

    // Other endings are refused before anything is read.
    let said = failure(&[
        OsStr::new("segment"),
        folder.path().join("missing.nii").as_os_str(),
        "-o".as_ref(),
        folder.path().join("labels.mgz").as_os_str(),
    ]);
    assert!(said.contains("labels.mgz") && said.contains(".nii.gz (compressed) or .nii"), "{said}");
}

#[test]
fn half_of_a_pair_and_a_scan_without_its_sidecar_are_completed_from_beside_them() {
    let info = |case: &str, file: &str| -> Value {
        let path = format(case, file);
        let output = prism(&[OsStr::new("info"), path.as_os_str(), OsStr::new("--json")]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    for (case, file) in [
        ("nifti2_pair", "scan.hdr"),
        ("nifti2_pair", "scan.img"),
        ("nifti1_pair_gzip", "a.hdr.gz"),
        ("nifti1_pair_gzip", "a.img.gz"),
    ] {
        let found = info(case, file);
        assert_eq!(found[0]["files"], 2, "{file}");
        assert_eq!(found[0]["key"], "file-1", "{file}");
        assert_eq!(found[0]["warnings"], Value::Array(Vec::new()), "{file}");
    }
    let found = info("nifti1_sidecar", "sub_T1w.nii.gz");
    assert_eq!(found[0]["acquisition"]["sequence_name"], "tfl3d1");
    assert_eq!(found[0]["key"], "file-1");
}

#[test]
fn each_folder_keeps_its_own_voxels_and_sidecar() {
    let folder = tempfile::tempdir().expect("a folder");
    let [header, voxels] = ["scan.hdr", "scan.img"]
        .map(|file| fs::read(format("nifti2_pair", file)).expect("half of a pair"));
    // One person's voxels are cut: those of the other must not be read instead.
    for (person, voxels) in [("a", &voxels[..]), ("b", &voxels[..voxels.len() - 2])] {
        let own = folder.path().join(person);
        fs::create_dir(&own).expect("a folder");
        fs::write(own.join("scan.hdr"), &header).expect("a header");
        fs::write(own.join("scan.img"), voxels).expect("voxels");
        fs::write(own.join("scan.json"), format!(r#"{{"SeriesDescription": "{person}"}}"#))
            .expect("a sidecar");
    }
    let output = prism(&[OsStr::new("info"), folder.path().as_os_str(), OsStr::new("--json")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found.as_array().map(Vec::len), Some(2), "{found}");
    for (at, person) in ["a", "b"].into_iter().enumerate() {
        assert_eq!(found[at]["acquisition"]["description"], person, "{found}");
        assert_eq!(found[at]["title"], "scan", "{found}");
    }
    assert!(found[0]["error"].is_null(), "{found}");
    let error = found[1]["error"].as_str().unwrap_or_default();
    assert!(error.contains("incomplete") && error.ends_with("File: scan.img"), "{error}");
}

#[test]
fn a_scan_lands_in_mni_space_and_only_after_the_network_has_seen_a_head() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bytes = fs::read(root.join("../public/samples/sample_t1w.nii.gz")).expect("the sample");
    let file = InputFile { name: "sample_t1w.nii.gz".into(), bytes };
    let sample = formats::load(&[file], &Selection::default()).expect("NIfTI").volume;
    // Every other voxel: less to read and to resample.
    let dims = sample.dims.map(|side| side / 2);
    let data = (0..dims.iter().product::<usize>()).map(|at| {
        let [x, y, z] = [at % dims[0], at / dims[0] % dims[1], at / (dims[0] * dims[1])];
        sample.data[2 * (x + sample.dims[0] * (y + sample.dims[1] * z))]
    });
    let affine = sample.affine.rescaled([2.0; 3], [0.0; 3]);
    let head = Volume::new(data.collect(), dims, affine).expect("a volume");
    let [scan, moved, map, json] = ["head.nii.gz", "moved.nii.gz", "map.txt", "came.json"]
        .map(|name| folder.path().join(name));
    fs::write(&scan, write_volume(&head).expect("NIfTI")).expect("a file");
    let start = [OsStr::new("register"), scan.as_os_str(), "--to".as_ref(), "mni".as_ref()];
    let output = [OsStr::new("-o"), moved.as_os_str(), "--device".as_ref(), "cpu".as_ref()];
    let asked = [&start[..], &output[..]].concat();

    let by_mind = [OsStr::new("--features"), "mind".as_ref()];
    let said = failure(&[&asked[..], &by_mind[..]].concat());
    assert!(said.contains("does not look like a head"), "{said}");
    assert!(!moved.exists());

    let how = [OsStr::new("--kind"), "affine".as_ref(), "--affine".as_ref(), map.as_os_str()];
    let more = [OsStr::new("--json"), json.as_os_str()];
    let output = prism(&[&asked[..], &how[..], &more[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("mean Dice"), "{}", text(&output.stdout));
    let came: Value = serde_json::from_slice(&fs::read(&json).expect("JSON")).expect("JSON");
    assert_eq!(came["agreement"]["measure"], "dice");
    assert_eq!(came["failed"], false);
    assert!(came["agreement"]["value"].as_f64().expect("a number") > 0.45, "{came}");
    // The anterior commissure: in the template at (0, 3, -5) mm, in the sample where a person
    // sees it, (-1.7, 38.3, -11) mm.
    let map = itk::read_affine(&fs::read_to_string(&map).expect("text")).expect("an affine map");
    let found = map.apply([0.0, 3.0, -5.0]);
    for (found, seen) in found.into_iter().zip([-1.7, 38.3, -11.0]) {
        assert!((found - seen).abs() < 5.0, "{found} where a person sees {seen}");
    }
}

/// A cube of 96 mm out of the middle of the sample's brain at 2 mm; the second is the same with
/// voxels of 1.94 mm around the same middle, as if the whole head had shrunk.
fn a_head_and_a_smaller_one(folder: &Path) -> [PathBuf; 2] {
    const CORNER: [usize; 3] = [40, 56, 62];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bytes = fs::read(root.join("../public/samples/sample_t1w.nii.gz")).expect("the sample");
    let file = InputFile { name: "sample_t1w.nii.gz".into(), bytes };
    let sample = formats::load(&[file], &Selection::default()).expect("NIfTI").volume;
    let mut data = Vec::with_capacity(48 * 48 * 48);
    for at in 0..48 * 48 * 48 {
        let place = [at % 48, at / 48 % 48, at / (48 * 48)];
        let [x, y, z] = [0, 1, 2].map(|axis| CORNER[axis] + 2 * place[axis]);
        data.push(sample.data[x + sample.dims[0] * (y + sample.dims[1] * z)]);
    }
    let affine = sample.affine.rescaled([2.0; 3], CORNER.map(|corner| corner as f64));
    let middle = affine.apply([23.5; 3]);
    let mut smaller = affine;
    for (row, middle) in smaller.0.iter_mut().zip(middle) {
        row.iter_mut().for_each(|value| *value *= 0.97);
        row[3] += 0.03 * middle;
    }
    [("first.nii.gz", affine), ("second.nii.gz", smaller)].map(|(name, affine)| {
        let volume = Volume::new(data.clone(), [48; 3], affine).expect("a volume");
        let path = folder.join(name);
        fs::write(&path, write_volume(&volume).expect("NIfTI")).expect("a file");
        path
    })
}

#[test]
fn a_head_that_shrank_is_told_in_every_file_of_a_follow_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let [first, second] = a_head_and_a_smaller_one(folder.path());
    let [csv, json, svg, report] = ["change.csv", "change.json", "change.svg", "report.txt"]
        .map(|name| folder.path().join(name));
    let scans = [OsStr::new("follow-up"), first.as_os_str(), second.as_os_str()];
    let how = [OsStr::new("--device"), "cpu".as_ref(), "--years".as_ref(), "2".as_ref()];
    let files = [
        OsStr::new("--csv"),
        csv.as_os_str(),
        "--json".as_ref(),
        json.as_os_str(),
        "--timeline".as_ref(),
        svg.as_os_str(),
        "--report".as_ref(),
        report.as_os_str(),
    ];
    let output = prism(&[&scans[..], &how[..], &files[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));

    let found: Value = serde_json::from_slice(&fs::read(&json).expect("the JSON")).expect("JSON");
    assert_eq!(found["years"], 2.0);
    let changes: &Vec<Value> = found["changes"].as_array().expect("changes");
    let number = |row: &Value, name: &str| row[name].as_f64().expect("a number");
    let changed: Vec<&Value> = changes.iter().filter(|row| row["changed"] == true).collect();
    assert!(!changed.is_empty(), "{changes:?}");
    for row in &changed {
        assert!(number(row, "change_ml") < 0.0, "{row}");
    }
    // Every length is 0.97 of before: every volume 0.913, 8.7 % less.
    let mut percents: Vec<f64> = changes.iter().map(|row| number(row, "change_percent")).collect();
    percents.sort_by(f64::total_cmp);
    let middle = percents[percents.len() / 2];
    assert!((middle + 8.7).abs() < 4.0, "{percents:?}");

    let table = fs::read_to_string(&csv).expect("the table");
    assert_eq!(table.lines().count(), 1 + changes.len());
    for (line, row) in table.lines().skip(1).zip(changes) {
        let yearly = number(row, "percent_a_year");
        assert!((yearly - number(row, "change_percent") / 2.0).abs() < 1e-9, "{row}");
        assert!(line.starts_with(&format!("{},", row["id"])), "{line}");
        assert!(line.contains(&format!(",{yearly:.3},")), "{line} {yearly}");
        assert!(line.ends_with(&format!(",{}", row["changed"])), "{line}");
    }
    let drawn = fs::read_to_string(&svg).expect("the drawing");
    assert!(drawn.starts_with("<svg") && drawn.contains("2.00 years"), "{drawn:.300}");
    assert_eq!(drawn.matches("data-changed=\"true\"").count(), changed.len());
    let told = fs::read_to_string(&report).expect("the report");
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = format!("{} of {} structures changed by", changed.len(), changes.len());
    assert!(told.contains("Compared with a scan 2.00 years earlier"), "{told}");
    assert!(told.contains(&sentence) && told.contains(LIMITS), "{told}");
    let said = text(&output.stdout);
    assert_eq!(said.lines().count(), changed.len() + 1, "{said}");
    assert!(said.contains(LIMITS), "{said}");

    // The sample is T1w: what would be a new lesion there is dark.
    let mask = folder.path().join("lesions.nii.gz");
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../public/packs/lesions.safetensors");
    let lesions =
        [OsStr::new("--lesions"), mask.as_os_str(), "--lesion-pack".as_ref(), pack.as_os_str()];
    let output = prism(&[&scans[..], &how[..], &lesions[..]].concat());
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("dark in T1w scans"), "{said}");
    assert!(output.stdout.is_empty() && !mask.exists());
}
