//! A second scan: aligned, laid over the planes in four ways, cancelled.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prism_core::formats::nifti::write_volume;
use prism_core::volume::Volume;
use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;

use crate::reading::{assert_content, pane};

/// How long an alignment of two small scans may take on two shared cores.
const TIMEOUT: Duration = Duration::from_secs(240);

/// The small scan, its header 6 mm further to the right: the same head, moved.
fn moved(folder: &Path) -> PathBuf {
    let path = scans::small(folder);
    let mut volume: Volume = scans::read("small", &fs::read(path).expect("the small scan"));
    volume.affine.0[0][3] += 6.0;
    let path = folder.join("small_moved.nii.gz");
    fs::write(&path, write_volume(&volume).expect("a NIfTI file")).expect("writing the moved scan");
    path
}

fn open_small<'stage>(stage: &'stage Stage) -> Page<'stage> {
    let page = stage.open();
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-compare");
    page
}

pub fn a_second_scan_is_aligned_and_laid_over_the_first(stage: &Stage) {
    let page = open_small(stage);
    page.choose("compare-kind", "rigid");
    page.choose_files("compare-input", &[moved(&stage.folder)]);
    page.wait_until("the alignment", TIMEOUT, &|page| page.has("compare-outcome"));
    // Nothing but a shift: what is left of the difference is rounding.
    let left: f64 = page.attribute("compare-outcome", "data-after").parse().expect("a number");
    assert!(left < 0.05, "{left}");
    assert_eq!(page.attribute("compare", "data-mode"), "blend");
    for mode in ["checkerboard", "flicker", "cells", "off"] {
        page.click(&format!("compare-{mode}"));
        page.wait_until("another way to see it", PATIENCE, &|page| {
            page.attribute("compare", "data-mode") == mode && page.text("compare-busy").is_empty()
        });
        if mode == "cells" {
            page.wait_until("tinted cubes", PATIENCE, &|page| {
                page.colour_shown(&pane("axial")) > 5.0
            });
        }
    }
    assert_content(&page);
}

pub fn an_alignment_is_cancelled_and_the_scan_stays(stage: &Stage) {
    let page = open_small(stage);
    page.choose_files("compare-input", &[moved(&stage.folder)]);
    page.wait_until("the work to begin", TIMEOUT, &|page| page.has("compare-cancel"));
    page.wait_until("a first step", TIMEOUT, &|page| page.text("compare-busy").contains(" of "));
    page.click("compare-cancel");
    page.wait_until("the end of it", PATIENCE, &|page| !page.has("compare-cancel"));
    assert!(!page.has("compare-outcome"));
    assert_eq!(page.state(), "scan");
    assert_content(&page);
}
