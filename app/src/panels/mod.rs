//! The page around the planes.
//!
//! | file | what |
//! | --- | --- |
//! | `header` | name, scan, device |
//! | `start` | the screen without a scan; pickers |
//! | `picker` | files from the device; what takes time, with Cancel |
//! | `models` | which model runs, packs that are kept |
//! | `series` | choice of series and volume |
//! | `side` | tabs and downloads; each tab has a file: `structures` (order in `table`), `quality`, `report` (sentences in `editable`), `scan`, `run` (with the model's `card`), `features` (with `heads`, `teach` and `label_scans`) |
//! | `progress`, `notices` | what takes time, what has to be said |
//! | `icons` | line icons |

mod card;
mod editable;
mod features;
mod header;
mod heads;
mod icons;
mod label_scans;
mod models;
mod notices;
mod picker;
mod progress;
mod quality;
mod report;
mod run;
mod scan;
mod series;
mod side;
mod start;
mod structures;
mod table;
mod teach;

use std::time::Duration;

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{DragEvent, HtmlElement};

use crate::files;
use crate::state::{App, Tone};
use crate::viewer::Viewer;
use header::Header;
pub use header::device_words;
use icons::{Icon, icon};
use models::Models;
use notices::Notices;
pub use picker::{Busy, FilePicker};
use progress::ProgressLines;
pub use scan::pairs;
use series::SeriesPicker;
use side::Side;
use start::Start;

/// The whole page.
#[component]
pub fn Page() -> impl IntoView {
    let app = App::new();
    app.fetch_ahead();
    app.wake();
    app.obey_address();
    app.keep_for_offline();
    app.watch_brush();
    app.watch_brush_keys();
    app.watch_crosshair();
    files::guard_window();
    // Counts entered minus left elements: a drag over children leaves and enters.
    let depth = RwSignal::new(0_i32);
    let carries_files = |event: &DragEvent| {
        event.data_transfer().is_some_and(|data| data.types().includes(&"Files".into(), 0))
    };
    let enter = move |event: DragEvent| {
        event.prevent_default();
        if carries_files(&event) {
            depth.update(|depth| *depth += 1);
        }
    };
    let leave = move |event: DragEvent| {
        if carries_files(&event) {
            depth.update(|depth| *depth = (*depth - 1).max(0));
        }
    };
    let over = move |event: DragEvent| event.prevent_default();
    let dropped = move |event: DragEvent| {
        event.prevent_default();
        depth.set(0);
        let Some(data) = event.data_transfer() else { return };
        let (entries, list) = files::entries(&data);
        leptos::task::spawn_local(async move {
            let found = match (entries.is_empty(), list) {
                (true, Some(list)) => files::from_list(&list),
                _ => files::walk(entries).await,
            };
            match found {
                Ok(found) => app.open(found),
                Err(error) => app.notify(Tone::Problem, error.to_string()),
            }
        });
    };
    let empty = Memo::new(move |_| app.is_empty());
    view! {
        <div
            class="page"
            data-test="app"
            data-state=move || app.phase()
            class:dragging=move || { depth.get() > 0 }
            on:dragenter=enter
            on:dragleave=leave
            on:dragover=over
            on:drop=dropped
        >
            <Header app />
            {move || {
                if empty.get() {
                    view! {
                        <main class="main empty">
                            <Start app />
                            <div class="start-progress"><ProgressLines app /></div>
                        </main>
                    }
                        .into_any()
                } else {
                    view! { <Reading app /> }.into_any()
                }
            }}
            <Notices app />
            <SeriesPicker app />
            <Models app />
            <div class="drop-veil" aria-hidden="true">
                <p>{icon(Icon::File)} "Drop to open"</p>
            </div>
        </div>
    }
}

/// The planes and what is known about the scan.
#[component]
fn Reading(app: App) -> impl IntoView {
    view! {
        <main class="main">
            <div class="stage" id="planes">
                <Viewer
                    state=app.view
                    volume=app.cine.shown_volume(app.volume, app.tab)
                    labels=app
                        .cine
                        .shown_labels(
                            app
                                .lesions
                                .shown_labels(app.features, app.features.shown_labels(app.labels)),
                            app.tab,
                        )
                    colours=app
                        .lesions
                        .shown_colours(app.features, app.compare.shown_colours(app.features))
                />
            </div>
            <Side app />
        </main>
        <footer class="strip" role="note" data-test="research-strip">
            "Research and education only, not a medical device"
        </footer>
    }
}

/// Moves the keyboard focus to an element.
fn focus(id: &str) {
    if let Some(element) = document().get_element_by_id(id)
        && let Some(element) = element.dyn_ref::<HtmlElement>()
    {
        // Fails only for elements that take no focus.
        let _ = element.focus();
    }
}

/// Where the keyboard focus goes from an element that is taken away with what is being built
/// here: to the first of `others` that is there then. Who uses a mouse keeps the focus on
/// nothing, so that keys go to the planes.
fn hand_on_focus(id: String, others: &'static [&'static str]) {
    on_cleanup(move || {
        let held = document().active_element().is_some_and(|element| {
            element.id() == id && element.matches(":focus-visible").unwrap_or(false)
        });
        if !held {
            return;
        }
        // The others are there once the page is up to date.
        let go = move || {
            let page = document();
            let moved_on = page.active_element().is_some_and(|now| now.tag_name() != "BODY");
            let there = others.iter().find(|other| page.get_element_by_id(other).is_some());
            if let Some(other) = there.filter(|_| !moved_on) {
                focus(other);
            }
        };
        set_timeout(go, Duration::ZERO);
    });
}
