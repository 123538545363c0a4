//! Opening the page and a scan.

use std::time::{Duration, Instant};

use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;
use xtask::project;
use xtask::server::Server;

/// An error that waits to be dismissed.
pub const PROBLEM: &str = "[data-test=notice][data-kind=error]";

/// Fails with the page's complaints, if there are any.
pub fn assert_content(page: &Page<'_>) {
    let complaints = page.complaints();
    assert!(complaints.is_empty(), "the page complained: {complaints:#?}");
}

/// The hook of a pane of the viewer.
pub fn pane(name: &str) -> String {
    format!("[data-pane={name}]")
}

/// Opens the sample by its button and waits until it is shown.
pub fn open_sample(page: &Page<'_>) {
    page.click("sample-button");
    page.wait_for_state("scan", PATIENCE);
}

pub fn the_page_loads_and_asks_only_its_own_server(stage: &Stage) {
    let page = stage.open();
    assert_eq!(page.state(), "empty");
    assert!(page.has("file-input") && page.has("folder-input") && page.has("sample-button"));
    let requests = page.network_requests();
    assert!(requests.len() >= 5, "page, scripts and modules were requested: {requests:?}");
    for request in requests {
        assert!(request.starts_with(&stage.url), "{request} is not on the page's own server");
    }
    assert_content(&page);
}

pub fn the_sample_scan_is_shown_in_three_planes(stage: &Stage) {
    let page = stage.open();
    open_sample(&page);
    assert_eq!(page.attribute("scan-title", "data-dims"), "176x192x170");
    assert_eq!(page.attribute("scan-title", "data-spacing"), "1x1x1");
    for plane in ["axial", "coronal", "sagittal"] {
        let contrast = page.contrast_shown(&pane(plane));
        assert!(contrast > 20.0, "the {plane} plane looks blank: grey deviation {contrast:.1}");
    }
    assert!(page.text("research-strip").contains("not a medical device"));
    assert_eq!(page.text("convention-toggle"), "Radiological");
    page.click("convention-toggle");
    assert_eq!(page.text("convention-toggle"), "Neurological");
    assert_content(&page);
}

pub fn the_page_opens_again_without_its_server(stage: &Stage) {
    let server = Server::start(&project::dist(), 0).expect("a server");
    let url = server.url();
    let page = Page::open(&stage.browser, &url, false);
    page.wait_until("every file to be kept", Duration::from_secs(180), &|page| {
        page.attribute("privacy", "data-offline") == "true"
    });
    drop(server);
    // A new tab: page, worker, model and sample come from what was kept.
    let page = Page::open(&stage.browser, &url, false);
    open_sample(&page);
    assert_eq!(page.attribute("scan-title", "data-dims"), "176x192x170");
    page.choose("device-choice", "cpu");
    page.click("run-button");
    page.wait_for_state("running", PATIENCE);
    page.click("cancel-button");
    page.wait_for_state("scan", PATIENCE);
    assert_content(&page);
}

pub fn a_zip_of_dicom_files_is_one_scan(stage: &Stage) {
    let page = stage.open();
    let study = project::root().join("tests/golden/formats/dicom_zip/study.zip");
    page.choose_files("file-input", &[study]);
    page.wait_for_state("scan", PATIENCE);
    // As pydicom sees it: the folder's expected.json.
    assert_eq!(page.attribute("scan-title", "data-dims"), "16x12x2");
    assert_content(&page);
}

pub fn a_folder_that_is_chosen_is_one_scan(stage: &Stage) {
    let page = stage.open();
    // The input takes a folder only: the browser lists it, with the folders in it.
    page.choose_files("folder-input", &[scans::study(&stage.folder, "dicom_explicit")]);
    page.wait_for_state("scan", PATIENCE);
    assert_eq!(page.attribute("scan-title", "data-dims"), "16x12x4");
    assert_content(&page);
}

pub fn a_folder_that_is_dropped_is_walked(stage: &Stage) {
    let page = stage.open();
    page.drop_files("app", &[scans::study(&stage.folder, "dicom_explicit")]);
    page.wait_for_state("scan", PATIENCE);
    assert_eq!(page.attribute("scan-title", "data-dims"), "16x12x4");
    assert_content(&page);
}

pub fn folders_keep_their_own_files(stage: &Stage) {
    let study = stage.folder.join("two people");
    let _ = std::fs::remove_dir_all(&study);
    for person in ["a", "b"] {
        let own = study.join(person);
        std::fs::create_dir_all(&own).expect("a folder");
        for file in scans::golden("nifti2_pair") {
            let mut bytes = std::fs::read(&file).expect("half of a pair");
            // One person's voxels are cut: those of the other must not be shown instead.
            if person == "b" && file.extension().is_some_and(|end| end == "img") {
                bytes.truncate(bytes.len() - 2);
            }
            let name = file.file_name().expect("a file's name");
            std::fs::write(own.join(name), bytes).expect("writing half of a pair");
        }
    }
    for dropped in [true, false] {
        let page = stage.open();
        let study = std::slice::from_ref(&study);
        if dropped {
            page.drop_files("app", study);
        } else {
            page.choose_files("folder-input", study);
        }
        page.wait_until("the list of series", PATIENCE, &|page| page.has("series-choice"));
        page.click("[data-series=file-3]");
        page.wait_until("an error in words", PATIENCE, &|page| page.has(PROBLEM));
        let sentence = page.text(&format!("{PROBLEM} p"));
        assert!(sentence.contains("incomplete"), "{sentence:?}");
        assert_content(&page);
    }
}

pub fn a_volume_of_a_4d_scan_is_chosen(stage: &Stage) {
    let page = stage.open();
    page.choose_files("file-input", &scans::golden("nifti1_4d_volume_0"));
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-scan");
    let shows = |page: &Page<'_>, range: &str| page.texts(".facts").contains(range);
    // The case's ramp: 24 voxels a volume, from -7 in steps of 3.
    page.wait_until("the values of the first volume", PATIENCE, &|page| shows(page, "to 62"));
    page.choose("volume-choice", "3");
    page.wait_until("those of the third", PATIENCE, &|page| shows(page, "137 to 206"));
    page.wait_for_state("scan", PATIENCE);
    assert_eq!(page.evaluate("document.querySelector('[data-test=volume-choice]').value"), "3");
    assert_eq!(page.attribute("scan-title", "data-dims"), "4x3x2");
    assert_content(&page);
}

pub fn files_that_are_dropped_are_opened(stage: &Stage) {
    let page = stage.open();
    page.drop_files("app", &[scans::small(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    assert_eq!(page.attribute("scan-title", "data-dims"), "48x48x48");
    // A broken one gets a sentence, and the scan stays.
    page.drop_files("#planes", &[scans::not_a_scan(&stage.folder)]);
    page.wait_until("an error in words", PATIENCE, &|page| page.has(PROBLEM));
    let sentence = page.text(&format!("{PROBLEM} p"));
    assert!(sentence.ends_with('.') && sentence.contains("not a scan"), "{sentence:?}");
    assert_eq!(page.state(), "scan");
    assert_eq!(page.attribute("scan-title", "data-dims"), "48x48x48");
    // A good one takes its place, several files at once.
    page.drop_files("#planes", &scans::golden("dicom_explicit"));
    page.wait_until("the dropped series", PATIENCE, &|page| {
        page.attribute("scan-title", "data-dims") == "16x12x4"
    });
    page.wait_for_state("scan", PATIENCE);
    assert_content(&page);
}

/// In the worker: files take half a minute to arrive.
const READ_SLOWLY: &str = "(() => {
    const read = Blob.prototype.arrayBuffer;
    Blob.prototype.arrayBuffer = async function () {
        await new Promise(done => setTimeout(done, 30000));
        return read.call(this);
    };
    return true; })()";

pub fn reading_is_cancelled_and_the_scan_stays(stage: &Stage) {
    let page = stage.open();
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    let title = page.text("scan-title");
    assert_eq!(page.evaluate_in_worker(READ_SLOWLY), true);
    let other = scans::golden("dicom_explicit");
    page.drop_files("#planes", &other);
    page.wait_for_state("reading", PATIENCE);
    page.click("cancel-button");
    page.wait_for_state("scan", Duration::from_secs(1));
    assert_eq!(page.text("scan-title"), title);
    assert!(!page.has(PROBLEM), "{}", page.texts("notice"));
    // The same files again, which a fresh worker reads.
    page.drop_files("#planes", &other);
    page.wait_until("the dropped series", PATIENCE, &|page| {
        page.attribute("scan-title", "data-dims") == "16x12x4"
    });
    page.wait_for_state("scan", PATIENCE);
    assert_content(&page);
}

/// Of the panes that say their convention: how many there are, and how many letters of a side lie nearer to it than
/// four pixels.
const CONVENTIONS: &str = "(() => {
    const near = (a, b) => a.left - 4 < b.right && b.left - 4 < a.right
        && a.top - 4 < b.bottom && b.top - 4 < a.bottom;
    const boxes = (pane, hook) => [...pane.querySelectorAll(hook)]
        .map(element => element.getBoundingClientRect()).filter(box => box.width > 0);
    const letters = [...document.querySelectorAll('[data-pane]')].flatMap(pane =>
        boxes(pane, '.pane-sides').map(words =>
            boxes(pane, '.side').filter(letter => near(words, letter)).length));
    return [letters.length, letters.reduce((sum, count) => sum + count, 0)]; })()";

pub fn the_convention_does_not_meet_the_letters_of_sides(stage: &Stage) {
    let page = stage.open();
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    for width in [1600, 1400, 1300, 1200, 1100, 1000, 900, 375] {
        page.resize(width, 900);
        page.wait_until("the new size", PATIENCE, &|page| {
            page.evaluate("window.innerWidth") == width
        });
        let found = page.evaluate(CONVENTIONS);
        assert!(found[0].as_u64() > Some(0) || width < 900, "no convention at {width} pixels");
        assert_eq!(found[1], 0, "letters of sides near the convention at {width} pixels");
    }
    assert_content(&page);
}

pub fn a_scan_that_is_dropped_does_not_wait_for_a_search(stage: &Stage) {
    let page = stage.open();
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-lesions");
    page.click("lesions-find");
    page.wait_until("the search", Duration::from_secs(300), &|page| {
        page.text("lesions-busy").contains(" of ")
    });
    let start = Instant::now();
    page.drop_files("#planes", &scans::golden("dicom_explicit"));
    page.wait_until("the search to be over", Duration::from_secs(5), &|page| {
        !page.has("lesions-cancel")
    });
    page.wait_until("the other scan", Duration::from_secs(30), &|page| {
        page.attribute("scan-title", "data-dims") == "16x12x4"
    });
    println!("  shown after {:.1} s", start.elapsed().as_secs_f64());
    page.wait_for_state("scan", PATIENCE);
    assert!(!page.has("lesions-found"));
    assert_content(&page);
}

pub fn what_is_odd_about_a_scan_is_said(stage: &Stage) {
    // The cases' own words: what holds of the files is in their expected.json.
    for (case, words) in [
        ("dicom_missing_slice", "1 of 6 slices is missing"),
        ("dicom_uneven", "unevenly spaced (1.70 to 3.30 mm)"),
        ("nifti1_no_orientation", "left and right"),
    ] {
        let page = stage.open();
        page.choose_files("file-input", &scans::golden(case));
        page.wait_until(&format!("a notice of {case}"), PATIENCE, &|page| {
            page.texts("notice").contains(words)
        });
        println!("  {}", page.texts("notice"));
        page.wait_for_state("scan", PATIENCE);
        page.click("#tab-scan");
        page.wait_until("the panel", PATIENCE, &|page| page.has(".facts"));
        let panel = page.text("#panel");
        assert!(panel.contains(words), "{case}: {panel}");
        assert_content(&page);
    }
}
