//! What a run asks WebGPU for.

use prism_tests::runner::Stage;
use prism_tests::webgpu::{Asked, DEFAULTS, Limits};

use crate::device::{open_small, wait_for_network};

pub fn buffers_of_a_run_fit_every_adapter(stage: &Stage) {
    let page = open_small(stage, "gpu");
    Asked::watch(&page);
    page.click("run-button");
    // The weights are there, and the first maps.
    wait_for_network(&page, "Segmenting");
    let asked = Asked::of(&page);
    println!("  {asked:?}");
    assert!(DEFAULTS.within(asked.device), "{asked:?}");
    // The network's input has four bytes a voxel.
    let input = 4 * 48 * 48 * 48;
    let least = Limits { buffer: input, binding: input };
    assert!(least.within(asked.largest), "{asked:?}");
    assert!(asked.largest.within(DEFAULTS), "{asked:?}");
}
