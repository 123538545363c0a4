//! A network of the published kind, imported: the GPU gives what the CPU gives, and can be stopped; heads that fuse
//! sequences answer for several.

// Values of a hash, as core/tests/swin.rs takes them; the library's own, which is not public.
#[path = "../../core/src/pipeline/self_test/hashed.rs"]
mod hashed;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hashed::weight;
use prism_core::model::pack::{NamedTensor, Precision};
use prism_core::model::{Pack, PackInfo, Prism};
use prism_tests::compare::agreement;
use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;
use serde_json::{Value, json};

use crate::models::{rows, shipped};
use crate::reading::assert_content;
use crate::segmenting::run;

/// Labels of random weights lie close together: rounding decides a few voxels.
const SAME: f64 = 0.99;

/// How long heads may take on two shared cores.
const TIMEOUT: Duration = Duration::from_secs(240);

/// A small relative of the published network with these heads, as a pack. All its widths are multiples of four, as
/// the published ones are: the GPU has kernels of its own for these alone.
fn seeded(folder: &Path, heads: Value) -> PathBuf {
    let label = |index: u8| {
        json!({
            "index": index, "id": index, "name": format!("Part {index}"), "color": [200, 80 * index, 0],
            "side": null, "pair": null,
        })
    };
    let info = json!({
        "schema": 1, "name": "seeded", "title": "Seeded network", "version": "0", "sha256": "",
        "architecture": {
            "encoder": {
                "kind": "swin", "in_channels": 1, "dim": 12, "depths": [2, 1, 1, 1],
                "heads": [3, 6, 12, 24], "window": 7, "merging": "repeated",
            },
            "branches": false, "heads": heads,
        },
        "labels": [label(1), label(2)],
        "preprocessing": {
            "orientation": "RAS", "spacing_mm": [2.0, 2.0, 2.0],
            "intensity": { "rule": "zscore_nonzero" }, "window": [64, 64, 64], "overlap": 0.5,
        },
        "provenance": { "imported": { "file": "seeded.pt" } },
    });
    let info: PackInfo = serde_json::from_value(info).expect("a description");
    let tensors = Prism::tensors(&info.architecture).expect("an architecture").into_iter();
    let tensors = tensors
        .map(|(name, shape)| NamedTensor { values: weight(&name, &shape), name, shape })
        .collect();
    let pack = Pack::build(info, tensors, Precision::Float32).expect("a pack");
    let path = folder.join("seeded.safetensors");
    fs::write(&path, pack.to_bytes().expect("a file")).expect("writing the pack");
    path
}

/// Has the page keep a pack.
fn keep(page: &Page<'_>, pack: PathBuf) {
    page.drop_files("#planes", &[pack]);
    page.wait_until("the list with the pack", PATIENCE, &|page| rows(page) == shipped() + 1);
    page.press("Escape");
    page.wait_until("the list to close", PATIENCE, &|page| !page.has("models"));
}

/// Deletes the pack that is chosen, the only one that is kept.
fn delete(page: &Page<'_>) {
    page.click("models-button");
    page.click("model-delete");
    page.wait_until("the pack to be gone", PATIENCE, &|page| rows(page) == shipped());
    page.press("Escape");
}

/// Fails where the page's heads say something else than the command's.
fn assert_answers(page: &Page<'_>, expected: &Value) {
    let expected = expected.as_array().expect("answers");
    assert!(!expected.is_empty());
    let said = page.evaluate("document.querySelectorAll('[data-test=head-answer]').length");
    assert_eq!(said, expected.len());
    for answer in expected {
        let hook = format!("[data-head={}]", answer["head"].as_str().expect("a name"));
        let values = page.attribute(&hook, "data-values");
        let values: Vec<f64> = values.split(',').filter_map(|value| value.parse().ok()).collect();
        let theirs: Vec<f64> =
            answer["values"].as_array().expect("values").iter().filter_map(Value::as_f64).collect();
        assert_eq!(values.len(), theirs.len(), "{hook}");
        for (a, b) in values.iter().zip(&theirs) {
            assert!((a - b).abs() < 2e-3 * (1.0 + b.abs()), "{hook}: {values:?}, not {theirs:?}");
        }
    }
}

pub fn an_imported_network_gives_the_same_on_both_devices(stage: &Stage) {
    let outputs = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
    let heads = json!([
        { "kind": "segmentation", "name": "segmentation", "classes": 3 },
        { "kind": "regression", "name": "numbers", "input": "fused", "outputs": outputs },
    ]);
    let pack = seeded(&stage.folder, heads);
    let scan = scans::small(&stage.folder);
    // What the library reads of the encoder's features on the CPU.
    let expected = stage.answers_of(&pack, &[&scan]);
    let page = stage.open();
    page.choose_files("file-input", std::slice::from_ref(&scan));
    page.wait_for_state("scan", PATIENCE);
    keep(&page, pack);

    let mut found = Vec::new();
    for device in ["cpu", "gpu"] {
        // Another visit: the pack is kept and chosen, the scan is opened anew.
        page.reload();
        page.choose_files("file-input", std::slice::from_ref(&scan));
        page.wait_for_state("scan", PATIENCE);
        let took = run(&page, device);
        println!("  {device}: {:.1} s", took.as_secs_f64());
        let labels = page.download("download-segmentation");
        found.push(scans::read(&labels.name, &labels.bytes));
        page.click("#tab-run");
        page.wait_until("the answers", PATIENCE, &|page| page.has("head-answer"));
        assert_answers(&page, &expected);
    }
    let same = agreement(&found[1], &found[0]);
    println!("  GPU against CPU: Dice {:.4} overall, {:.4} mean", same.overall, same.mean);
    assert!(same.structures > 0, "nothing was found");
    assert!(same.overall >= SAME && same.mean >= SAME, "{same:?}");

    page.reload();
    page.choose_files("file-input", std::slice::from_ref(&scan));
    page.wait_for_state("scan", PATIENCE);
    page.choose("device-choice", "gpu");
    page.click("run-button");
    page.wait_for_state("running", PATIENCE);
    let start = Instant::now();
    page.click("cancel-button");
    page.wait_for_state("scan", PATIENCE);
    let took = start.elapsed();
    println!("  cancelled on the GPU in {:.2} s", took.as_secs_f64());
    assert!(took < Duration::from_millis(1_500), "it took {took:?}");

    delete(&page);
    assert_content(&page);
}

pub fn heads_that_fuse_sequences_answer_as_the_command_does(stage: &Stage) {
    let head = |name: &str, fusion: Value| {
        json!({
            "kind": "classification", "name": name, "input": "fused", "outputs": ["a", "b", "c"],
            "fusion": fusion,
        })
    };
    let heads = json!([
        head("largest", json!({ "kind": "max" })),
        head("joined", json!({ "kind": "concatenation", "sequences": 3 })),
        head("attended", json!({ "kind": "transformer", "heads": 4 })),
    ]);
    let pack = seeded(&stage.folder, heads);
    let shown = scans::small(&stage.folder);
    let inverted = |value: f32| if value > 20.0 { (300.0 - value).max(1.0) } else { value };
    let second = scans::changed(&stage.folder, "inverted_two.nii.gz", inverted);
    // On a grid of its own.
    let third = scans::hippocampus(&stage.folder);

    let page = stage.open();
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", std::slice::from_ref(&shown));
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-features");
    assert!(!page.has("heads-add"), "the page's first model reads one scan");
    keep(&page, pack.clone());
    page.wait_until("the way to add sequences", PATIENCE, &|page| page.has("heads-add"));
    let mut all = vec![shown.as_path()];
    for more in [&second, &third] {
        page.choose_files("heads-input", std::slice::from_ref(more));
        all.push(more);
        let listed = "document.querySelectorAll('[data-test=heads-sequence]').length";
        page.wait_until("the sequence", PATIENCE, &|page| page.evaluate(listed) == all.len() - 1);
        page.click("heads-together");
        let count = all.len().to_string();
        page.wait_until("the answers", TIMEOUT, &|page| {
            page.attribute("heads-told", "data-sequences") == count
        });
        assert_answers(&page, &stage.answers_of(&pack, &all));
        let said = page.text("heads-told");
        let wants = said.contains("wants 3 sequences of one study together, not 2");
        assert_eq!(wants, all.len() == 2, "{said}");
    }
    let read = page.text("heads-read");
    let places = ["small_t1w", "inverted_two", "hippocampus_t1w"].map(|name| read.find(name));
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{read}");
    delete(&page);
    assert_content(&page);
}
