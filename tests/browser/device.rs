//! What becomes of a run whose device is not there, goes, or has no memory: it goes on
//! elsewhere, or ends in words, and the scan stays.

use std::time::Duration;

use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;
use serde_json::Value;

use crate::reading::assert_content;

/// How long a start on a GPU in software, or a run on the CPU, may take.
const TIMEOUT: Duration = Duration::from_secs(240);

/// In the worker: keeps the GPU device that is opened next as `lastDevice`.
const KEEP_DEVICE: &str = "(() => {
    const request = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...wanted) {
        self.lastDevice = await request.apply(this, wanted);
        return self.lastDevice;
    };
    return true; })()";

/// In the worker: buffers of four megabytes and more cannot be had, and the device throws.
const THROW_OUT_OF_MEMORY: &str = "(() => {
    const create = GPUDevice.prototype.createBuffer;
    GPUDevice.prototype.createBuffer = function (wanted) {
        if (wanted.size >= 4e6) throw new RangeError('createBuffer failed: out of memory');
        return create.call(this, wanted);
    };
    return true; })()";

/// In the worker: as browsers do, the device reports later that a buffer could not be had.
const REPORT_OUT_OF_MEMORY: &str = "(() => {
    const create = GPUDevice.prototype.createBuffer;
    GPUDevice.prototype.createBuffer = function (wanted) {
        if (wanted.size >= 4e6) setTimeout(() => this.dispatchEvent(
            new GPUUncapturedErrorEvent('uncapturederror',
                { error: new GPUOutOfMemoryError('out of memory') })));
        return create.call(this, wanted);
    };
    return true; })()";

/// In the worker: what is read back from the GPU is all zeros, as if no shader had run.
const COMPUTE_NOTHING: &str = "(() => {
    const map = GPUBuffer.prototype.getMappedRange;
    GPUBuffer.prototype.getMappedRange = function (...part) {
        const range = map.apply(this, part);
        if (this.usage & GPUBufferUsage.MAP_READ) new Uint8Array(range).fill(0);
        return range;
    };
    return true; })()";

/// In the worker: WebAssembly memory is grown until the browser gives no more. Once started,
/// the build's own loader returns what the module exports.
const TAKE_ALL_MEMORY: &str = "(async () => {
    const { memory } = await wasm_bindgen();
    for (let pages = 4096; pages > 0;) {
        try { memory.grow(pages); } catch { pages >>= 1; }
    }
    return memory.buffer.byteLength; })()";

/// Opens the small scan, which waits to be segmented on a device.
pub fn open_small<'stage>(stage: &'stage Stage, device: &str) -> Page<'stage> {
    let page = stage.open();
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    page.choose("device-choice", device);
    page
}

fn wait_for_notice(page: &Page<'_>, words: &str) {
    page.wait_until(&format!("a notice with \"{words}\""), TIMEOUT, &|page| {
        page.texts("notice").contains(words)
    });
    println!("  {}", page.texts("notice").replace('\n', " | "));
}

/// The run ends well, on the CPU, with the same scan as before.
fn assert_done_on_the_cpu(page: &Page<'_>, title: &str) {
    page.wait_for_state("done", TIMEOUT);
    assert_eq!(page.attribute("device-report", "data-kind"), "cpu");
    assert_eq!(page.text("scan-title"), title);
}

/// Waits until the network has taken steps of a stage, which can then be interrupted.
pub fn wait_for_network(page: &Page<'_>, stage: &str) {
    page.wait_until("the network to run", TIMEOUT, &|page| {
        let done = page.attribute("progress", "data-done").parse::<usize>();
        page.attribute("progress", "data-stage") == stage && done.is_ok_and(|done| done > 1)
    });
}

pub fn without_webgpu_the_cpu_runs_and_one_notice_says_so(stage: &Stage) {
    let page = open_small(stage, "auto");
    let title = page.text("scan-title");
    let hide = "Object.defineProperty(WorkerNavigator.prototype, 'gpu', { get() {} }); \
                navigator.gpu === undefined";
    assert_eq!(page.evaluate_in_worker(hide), true);
    page.click("run-button");
    wait_for_notice(&page, "Computing on the CPU");
    let notices = page.evaluate("document.querySelectorAll('[data-test=notice]').length");
    assert_eq!(notices, 1);
    assert_done_on_the_cpu(&page, &title);
    assert_content(&page);
}

pub fn a_gpu_that_is_lost_is_replaced_by_the_cpu(stage: &Stage) {
    let page = open_small(stage, "gpu");
    let title = page.text("scan-title");
    page.evaluate_in_worker(KEEP_DEVICE);
    page.click("run-button");
    wait_for_network(&page, "Segmenting");
    page.evaluate_in_worker("lastDevice.destroy(); true");
    wait_for_notice(&page, "The run starts again on the CPU.");
    let told = page.texts("notice").to_lowercase();
    page.wait_until("the CPU", TIMEOUT, &|page| {
        page.attribute("device-report", "data-kind") == "cpu"
    });
    let notices = page.texts("notice");
    assert!(!notices.contains("Computing on"), "it is said twice: {notices}");
    assert_done_on_the_cpu(&page, &title);
    let manifest: Value =
        serde_json::from_slice(&page.download("download-manifest").bytes).expect("JSON");
    let why = manifest["device"]["fallback"].as_str().expect("why the CPU ran");
    let failure = why.strip_prefix("an earlier try failed: ").expect(why);
    assert!(told.contains(&failure.to_lowercase()), "{failure:?} is not in {told:?}");
    let report = String::from_utf8(page.download("download-report").bytes).expect("text");
    assert!(report.contains(&format!("because “{why}”")), "{why:?} is not in the report");
}

pub fn a_question_whose_gpu_is_lost_is_answered_at_the_next_try(stage: &Stage) {
    let page = open_small(stage, "gpu");
    page.click("#tab-features");
    page.evaluate_in_worker(KEEP_DEVICE);
    page.click("features-colours");
    page.wait_until("the encoder to run", TIMEOUT, &|page| {
        page.text("features-busy").contains("Computing features, ")
    });
    page.evaluate_in_worker("lastDevice.destroy(); true");
    wait_for_notice(&page, "The next try uses the CPU.");
    assert_eq!(page.state(), "scan");
    page.click("features-off");
    page.click("features-colours");
    page.wait_until("the colours", TIMEOUT, &|page| page.has("features-explained"));
}

pub fn a_gpu_without_memory_is_replaced_by_the_cpu(stage: &Stage) {
    for refuse in [THROW_OUT_OF_MEMORY, REPORT_OUT_OF_MEMORY] {
        let page = open_small(stage, "gpu");
        let title = page.text("scan-title");
        page.evaluate_in_worker(refuse);
        page.click("run-button");
        wait_for_notice(&page, "not enough memory. The run starts again on the CPU.");
        assert_done_on_the_cpu(&page, &title);
    }
}

pub fn a_gpu_that_computes_wrongly_is_replaced_by_the_cpu(stage: &Stage) {
    for (choice, words) in [
        ("gpu", "in the self-test; use another device. The run starts again on the CPU."),
        ("auto", "Computing on the CPU"),
    ] {
        let page = open_small(stage, choice);
        let title = page.text("scan-title");
        assert_eq!(page.evaluate_in_worker(COMPUTE_NOTHING), true);
        page.click("run-button");
        wait_for_notice(&page, words);
        assert!(page.texts("notice").contains("in the self-test"), "{}", page.texts("notice"));
        assert_done_on_the_cpu(&page, &title);
    }
}

pub fn a_run_without_memory_ends_in_words_and_the_next_one_runs(stage: &Stage) {
    let page = open_small(stage, "cpu");
    let title = page.text("scan-title");
    let bytes = page.evaluate_in_worker(TAKE_ALL_MEMORY);
    println!("  {bytes} bytes of WebAssembly memory");
    page.click("run-button");
    wait_for_notice(&page, "There was not enough memory. A scan of 48 × 48 × 48 voxels");
    assert_eq!(page.state(), "scan");
    assert_eq!(page.text("scan-title"), title);
    page.click("run-button");
    assert_done_on_the_cpu(&page, &title);
}
