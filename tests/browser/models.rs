//! Models: a pack that is dropped stays on the device, is chosen, runs, and is deleted.

use std::fs;
use std::path::{Path, PathBuf};

use prism_core::model::Pack;
use prism_tests::page::{PATIENCE, Page};
use prism_tests::runner::Stage;
use prism_tests::scans;

use crate::reading::{assert_content, open_sample, pane};

/// A run of the small network on the CPU.
const RUN: std::time::Duration = std::time::Duration::from_secs(240);

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/model/tiny.safetensors")
}

/// Packs beside the page.
pub fn shipped() -> u64 {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../public/packs/index.json");
    let list = fs::read(list).expect("the list of packs");
    let list: Vec<serde_json::Value> = serde_json::from_slice(&list).expect("JSON");
    list.len() as u64
}

pub fn rows(page: &Page) -> u64 {
    let count = "document.querySelectorAll('[data-test=model]').length";
    page.evaluate(count).as_u64().unwrap_or_default()
}

fn chosen(page: &Page) -> String {
    page.text(".model.chosen .model-title")
}

/// Names of the files in the page's folder for packs.
fn kept_files(page: &Page) -> u64 {
    let count = "(async () => {
        const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle('packs', { create: true });
        let count = 0;
        for await (const _ of folder.keys()) count += 1;
        return count;
    })()";
    page.evaluate(count).as_u64().unwrap_or_default()
}

pub fn a_pack_that_is_dropped_stays_runs_and_is_deleted(stage: &Stage) {
    let expected = Pack::read(&fs::read(tiny()).expect("the pack")).expect("a pack").info;
    let page = stage.open();
    open_sample(&page);
    page.drop_files("#planes", &[tiny()]);
    page.wait_until("the list with the pack", PATIENCE, &|page| rows(page) == shipped() + 1);
    assert_eq!(chosen(&page), expected.title);
    assert!(page.texts("model").contains("4 structures, contrast, age"), "{}", page.texts("model"));
    assert_eq!(kept_files(&page), 2, "the pack and its card");

    // Another visit: still there, still chosen.
    page.reload();
    page.wait_until("the chosen model", PATIENCE, &|page| {
        page.text("models-button") == expected.title
    });
    open_sample(&page);
    page.choose("device-choice", "cpu");
    page.click("run-button");
    page.wait_for_state("done", RUN);
    let manifest = page.download("download-manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
    assert_eq!(manifest["pack"]["sha256"], expected.sha256.as_str());

    // By keyboard back to the page's own.
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| rows(page) == shipped() + 1);
    page.click(".model.chosen input");
    // From the last one around to the first.
    page.press("ArrowDown");
    page.wait_until("the other choice", PATIENCE, &|page| chosen(page) != expected.title);
    page.click("model-delete");
    page.wait_until("the pack to be gone", PATIENCE, &|page| rows(page) == shipped());
    assert_eq!(kept_files(&page), 0);
    page.press("Escape");
    page.wait_until("the list to close", PATIENCE, &|page| !page.has("models"));
    assert_eq!(page.state(), "done", "the result stays");
}

/// What a script makes of the page's folder for packs: `folder` is its handle, `write` writes a file.
fn in_kept(page: &Page, script: &str) -> serde_json::Value {
    page.evaluate(&format!(
        "(async () => {{
            const root = await navigator.storage.getDirectory();
            const folder = await root.getDirectoryHandle('packs');
            const write = async (name, text) => {{
                const handle = await folder.getFileHandle(name, {{ create: true }});
                const stream = await handle.createWritable();
                await stream.write(text);
                await stream.close();
            }};
            {script}
        }})()"
    ))
}

pub fn a_kept_model_without_its_card_is_listed_and_what_is_no_model_is_deleted(stage: &Stage) {
    let expected = Pack::read(&fs::read(tiny()).expect("the pack")).expect("a pack").info;
    let page = stage.open();
    page.wait_until("the first model", PATIENCE, &|page| {
        !matches!(page.text("models-button").as_str(), "" | "Model")
    });
    let first = page.text("models-button");
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| rows(page) == shipped());
    page.choose_files("pack-input", &[tiny()]);
    page.wait_until("the list with the pack", PATIENCE, &|page| rows(page) == shipped() + 1);
    let said = page.text(".model.chosen .model-more");

    // As another version of the page may have written it, and a pack whose writing was broken off.
    let (card, orphan) = (format!("{}.json", expected.sha256), "0".repeat(64));
    in_kept(
        &page,
        &format!("await write('{card}', '{{}}'); await write('{orphan}.safetensors', 'half');"),
    );
    page.reload();
    page.wait_until("the chosen model", PATIENCE, &|page| {
        page.text("models-button") == expected.title
    });
    page.wait_until("what became of the other", PATIENCE, &|page| {
        page.texts("notice").contains("was deleted, for it cannot be used")
    });
    assert_eq!(kept_files(&page), 2, "the pack and its card");
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| rows(page) == shipped() + 1);
    assert_eq!(page.text(".model.chosen .model-more"), said);
    page.press("Escape");

    let written =
        format!("return (await (await folder.getFileHandle('{card}')).getFile()).text();");
    let written = in_kept(&page, &written);
    assert!(written.as_str().is_some_and(|card| card.contains(&expected.title)), "{written}");

    // As a browser does that needs the space.
    in_kept(
        &page,
        "const names = [];
         for await (const name of folder.keys()) names.push(name);
         for (const name of names) await folder.removeEntry(name);",
    );
    page.reload();
    page.wait_until("that the chosen model is gone", PATIENCE, &|page| {
        page.texts("notice").contains("The model that you had chosen is not here any more")
    });
    page.wait_until("the first model", PATIENCE, &|page| page.text("models-button") == first);
    assert_eq!(kept_files(&page), 0);
    assert_content(&page);
}

pub fn a_broken_pack_gets_one_sentence(stage: &Stage) {
    let page = stage.open();
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| rows(page) == shipped());
    let whole = fs::read(tiny()).expect("the pack");
    let mut damaged = whole.clone();
    *damaged.last_mut().expect("bytes") ^= 1;
    let cases: [(&str, &[u8], &str); 3] = [
        ("short.safetensors", &whole[..whole.len() / 2], "not a safetensors file"),
        ("damaged.safetensors", &damaged, "damaged"),
        ("text.safetensors", b"no pack at all", "not a safetensors file"),
    ];
    for (name, bytes, words) in cases {
        let path = stage.folder.join(name);
        fs::write(&path, bytes).expect("writing the file");
        page.choose_files("pack-input", std::slice::from_ref(&path));
        page.wait_until("a sentence", PATIENCE, &|page| page.text("models-line").contains(words));
        let line = page.text("models-line");
        println!("  {line}");
        assert!(line.ends_with('.') && line.len() < 300, "not a sentence: {line:?}");
        assert_eq!(rows(&page), shipped());
    }
    assert_eq!(kept_files(&page), 0);
}

pub fn a_converted_encoder_says_what_it_can_and_where_it_comes_from(stage: &Stage) {
    let checkpoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/convert/flat.pt");
    let arch = "swin:dim=2,depths=1-2-1-1,heads=1-2-2-4,window=2";
    let pack = stage.convert_by_command(&checkpoint, arch, &[]);
    let page = stage.open();
    open_sample(&page);
    page.drop_files("#planes", &[pack]);
    page.wait_until("the list with the pack", PATIENCE, &|page| rows(page) == shipped() + 1);
    assert_eq!(chosen(&page), "Tiny encoder");
    assert!(page.text(".model.chosen .model-more").contains("features only"));
    assert_eq!(page.text("model-origin"), "not made here");
    page.click(".model.chosen summary");
    let card = page.text(".model.chosen .model-card");
    for words in ["flat.pt", arch, "CC0-1.0", "neither trained nor tested by this project"] {
        assert!(card.contains(words), "no {words:?} in {card}");
    }
    page.press("Escape");
    page.wait_until("the list to close", PATIENCE, &|page| !page.has("models"));
    page.click("run-button");
    page.wait_until("what it cannot do", PATIENCE, &|page| {
        page.texts("notice").contains("gives features and no segmentation")
    });
    assert_eq!(page.state(), "scan");
    page.click("models-button");
    page.click("model-delete");
    page.wait_until("the pack to be gone", PATIENCE, &|page| rows(page) == shipped());
    assert_eq!(kept_files(&page), 0);
}

pub fn cards_show_their_pictures_and_all_are_listed(stage: &Stage) {
    let page = stage.open();
    page.choose_files("file-input", &[scans::small(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-run");
    let width = "document.querySelector('[data-test=card-picture]')?.naturalWidth ?? 0";
    page.wait_until("the picture of the card", PATIENCE, &|page| {
        page.evaluate(width).as_u64().is_some_and(|width| width > 0)
    });
    assert!(!page.attribute("card-picture", "alt").is_empty());

    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| rows(page) == shipped());
    let read = page.evaluate(
        "Promise.all([...document.querySelectorAll('[data-test=model-cards] a')].map(async link => {
            const card = await fetch(link.href);
            return card.ok && (await card.text()).startsWith('# ');
        }))",
    );
    let read = read.as_array().expect("cards");
    assert_eq!(read.len() as u64, shipped() + 2, "packs, heads that identify, report decoder");
    assert!(read.iter().all(|read| *read == true), "{read:?}");
    page.press("Escape");
}

/// Chooses the model whose row holds some words in the open list.
fn choose(page: &Page, words: &str) {
    page.evaluate(&format!(
        "[...document.querySelectorAll('[data-test=model]')]
            .find(row => row.textContent.includes('{words}')).querySelector('input').click()"
    ));
    page.wait_until("the choice", PATIENCE, &|page| chosen(page).starts_with(words));
}

pub fn the_heads_of_a_model_without_segmentation_answer_as_the_command_does(stage: &Stage) {
    let page = stage.open();
    let scan = scans::small(&stage.folder);
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", std::slice::from_ref(&scan));
    page.wait_for_state("scan", PATIENCE);
    page.click("#tab-features");
    assert!(!page.has("heads-ask"), "the first model's heads need no question");
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| rows(page) == shipped());
    choose(&page, "Pretrained");
    page.press("Escape");
    page.wait_until("the list to close", PATIENCE, &|page| !page.has("models"));
    page.click("#tab-features");
    page.click("heads-ask");
    page.wait_until("the answers", RUN, &|page| page.has("heads-told"));
    let expected = stage.answers_by_command(&scan, "pretrained");
    let expected = expected.as_array().expect("answers");
    assert!(!expected.is_empty());
    for answer in expected {
        let hook = format!("[data-head={}]", answer["head"].as_str().expect("a name"));
        let values = page.attribute(&hook, "data-values");
        let values: Vec<f64> = values.split(',').filter_map(|value| value.parse().ok()).collect();
        let theirs = answer["values"].as_array().expect("values");
        assert_eq!(values.len(), theirs.len(), "{hook}");
        for (mine, theirs) in values.iter().zip(theirs) {
            let theirs = theirs.as_f64().expect("a number");
            assert!(
                (mine - theirs).abs() < 2e-3 * (1.0 + theirs.abs()),
                "{hook}: {mine}, {theirs}"
            );
        }
        assert_eq!(answer["unscored"], true);
        let words = page.text(&hook);
        assert!(words.contains("Not shown: never scored on real scans."), "{words}");
        assert!(page.has(&format!("{hook} details:not([open])")), "shown all the same");
    }
    // The choice is remembered; the next case begins with the first model.
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| rows(page) == shipped());
    page.click(".model:first-child input");
    page.press("Escape");
    page.wait_until("no answers of another model", PATIENCE, &|page| !page.has("heads-told"));
}

pub fn a_scan_that_the_model_cannot_take_is_refused_in_words(stage: &Stage) {
    let page = stage.open();
    page.choose("device-choice", "cpu");
    open_sample(&page);
    let grey = page.colour_shown(&pane("axial"));
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| rows(page) == shipped());
    choose(&page, "Heart");
    page.click("model-run");
    // A head of 1 mm voxels is no stack of short-axis slices.
    page.wait_until("the refusal", RUN, &|page| {
        page.texts("notice").contains("This is no short-axis stack")
    });
    assert!(page.texts("notice").contains("Use another model"), "{}", page.texts("notice"));
    page.wait_for_state("scan", PATIENCE);
    for hook in ["volumes-table", "download-segmentation", "download-report"] {
        assert!(!page.has(hook), "{hook} of a scan that was refused");
    }
    let colour = page.colour_shown(&pane("axial"));
    assert!((colour - grey).abs() < 0.3, "labels are shown: {grey:.2} to {colour:.2}");
    // The choice is remembered; the next case begins with the first model.
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| rows(page) == shipped());
    page.click(".model:first-child input");
    page.press("Escape");
    page.wait_until("the list to close", PATIENCE, &|page| !page.has("models"));
    assert_content(&page);
}

pub fn another_pack_of_the_page_is_fetched_when_it_is_chosen(stage: &Stage) {
    let page = stage.open();
    page.choose("device-choice", "cpu");
    page.choose_files("file-input", &[scans::hippocampus(&stage.folder)]);
    page.wait_for_state("scan", PATIENCE);
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| rows(page) == shipped());
    let fetched = "performance.getEntriesByType('resource').some(e => e.name.endsWith('hippocampus.safetensors'))";
    assert_eq!(page.evaluate(fetched), false, "fetched before it was wanted");
    choose(&page, "Hippocampus");
    page.click("model-run");
    page.wait_for_state("done", RUN);
    assert_eq!(page.evaluate(fetched), true);
    let manifest = page.download("download-manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
    let pack = fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../public/packs/hippocampus.safetensors"),
    );
    let pack = Pack::read(&pack.expect("the pack")).expect("a pack");
    assert_eq!(manifest["pack"]["sha256"], pack.info.sha256.as_str());
    // The choice is remembered; the next case begins with the first model.
    page.click("models-button");
    page.wait_until("the list", PATIENCE, &|page| rows(page) == shipped());
    page.click(".model:first-child input");
    page.press("Escape");
}
