//! A network of the published kind, imported: the GPU gives what the CPU gives, and can be stopped.

use std::path::Path;
use std::time::{Duration, Instant};

use prism_tests::compare::agreement;
use prism_tests::page::PATIENCE;
use prism_tests::runner::Stage;
use prism_tests::scans;

use crate::models::{rows, shipped};
use crate::reading::assert_content;
use crate::segmenting::run;

/// Labels of random weights lie close together: rounding decides a few voxels.
const SAME: f64 = 0.99;

pub fn an_imported_network_gives_the_same_on_both_devices(stage: &Stage) {
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/convert/wrapped.pt");
    let arch = "swin:dim=2,depths=1-2-1-1,heads=1-2-2-4,window=2";
    let pack = stage.convert_by_command(&checkpoint, arch, &["--head", "segmentation"]);
    let scan = scans::small(&stage.folder);
    let page = stage.open();
    page.choose_files("file-input", std::slice::from_ref(&scan));
    page.wait_for_state("scan", PATIENCE);
    page.drop_files("#planes", &[pack]);
    page.wait_until("the list with the pack", PATIENCE, &|page| rows(page) == shipped() + 1);
    page.press("Escape");
    page.wait_until("the list to close", PATIENCE, &|page| !page.has("models"));

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

    page.click("models-button");
    page.click("model-delete");
    page.wait_until("the pack to be gone", PATIENCE, &|page| rows(page) == shipped());
    page.press("Escape");
    assert_content(&page);
}
