//! The side panel: tabs, what they show, how a run starts and what it leaves.

use leptos::prelude::*;

use super::features::FeaturesPanel;
use super::icons::{Icon, icon};
use super::progress::ProgressLines;
use super::quality::QualityPanel;
use super::report::ReportPanel;
use super::run::RunPanel;
use super::scan::ScanPanel;
use super::structures::Structures;
use crate::cine::CinePanel;
use crate::compare::ComparePanel;
use crate::exports::Download;
use crate::lesions::LesionsPanel;
use crate::state::{App, Tab};
use crate::text;

/// The panel beside the planes (below them on narrow screens).
#[component]
pub fn Side(
    /// The page.
    app: App,
) -> impl IntoView {
    view! {
        <aside class="results" aria-label="Results">
            <ProgressLines app />
            <TabList app />
            <div
                class="panel"
                id="panel"
                role="tabpanel"
                tabindex="0"
                aria-labelledby=move || format!("tab-{}", app.tab.get().key())
            >
                {move || match app.tab.get() {
                    Tab::Structures => view! { <Structures app /> }.into_any(),
                    Tab::Quality => view! { <QualityPanel app /> }.into_any(),
                    Tab::Report => view! { <ReportPanel app /> }.into_any(),
                    Tab::Scan => view! { <ScanPanel app /> }.into_any(),
                    Tab::Run => view! { <RunPanel app /> }.into_any(),
                    Tab::Features => view! { <FeaturesPanel app /> }.into_any(),
                    Tab::Lesions => view! { <LesionsPanel app /> }.into_any(),
                    Tab::Compare => view! { <ComparePanel app /> }.into_any(),
                    Tab::Cine => view! { <CinePanel app /> }.into_any(),
                }}
            </div>
            <Outcome app />
        </aside>
    }
}

/// The tabs: arrow keys move between them, as the pattern of the ARIA authoring
/// practices has it.
#[component]
fn TabList(app: App) -> impl IntoView {
    let keys = move |event: web_sys::KeyboardEvent| {
        let offered: Vec<Tab> =
            untrack(|| Tab::ALL.into_iter().filter(|&tab| app.offers(tab)).collect());
        let tab = match event.key().as_str() {
            "ArrowRight" => app.tab.get_untracked().step(1, &offered),
            "ArrowLeft" => app.tab.get_untracked().step(-1, &offered),
            "Home" => offered[0],
            "End" => offered[offered.len() - 1],
            _ => return,
        };
        event.prevent_default();
        event.stop_propagation();
        app.tab.set(tab);
        super::focus(&format!("tab-{}", tab.key()));
    };
    view! {
        <div class="tabs" role="tablist" aria-label="Results" on:keydown=keys>
            {Tab::ALL
                .into_iter()
                .map(|tab| {
                    let offered = Memo::new(move |_| app.offers(tab));
                    view! {
                        <Show when=move || offered.get()>
                            <button
                                type="button"
                                role="tab"
                                class="tab"
                                id=format!("tab-{}", tab.key())
                                aria-controls="panel"
                                aria-selected=move || {
                                    if app.tab.get() == tab { "true" } else { "false" }
                                }
                                tabindex=move || if app.tab.get() == tab { "0" } else { "-1" }
                                on:click=move |_| app.tab.set(tab)
                            >
                                {tab.title()}
                                {(tab == Tab::Scan).then(|| view! { <WarningCount app /> })}
                            </button>
                        </Show>
                    }
                })
                .collect_view()}
        </div>
    }
}

/// The button that starts a run; it goes while one runs, and hands the focus to Cancel.
#[component]
pub fn RunButton(
    /// The page.
    app: App,
    /// Its id.
    id: &'static str,
    /// How it looks.
    class: &'static str,
    /// What it says.
    words: &'static str,
) -> impl IntoView {
    super::hand_on_focus(id.to_owned(), &["cancel-running", "panel"]);
    view! {
        <button
            type="button"
            class=class
            id=id
            data-test="run-button"
            on:click=move |_| app.segment(app.wanted_device())
        >
            {icon(Icon::Start)}
            <span>{words}</span>
        </button>
    }
}

/// How many warnings came with the scan; nothing without one.
#[component]
fn WarningCount(app: App) -> impl IntoView {
    let count = Memo::new(move |_| {
        app.scan.with(|scan| scan.as_ref().map_or(0, |scan| scan.warnings.len()))
    });
    view! {
        <Show when=move || { count.get() > 0 }>
            " "
            <span
                class="tab-count"
                role="img"
                data-test="scan-warnings"
                aria-label=move || text::counted(count.get(), "warning", "warnings")
            >
                {move || count.get()}
            </span>
        </Show>
    }
}

/// The button that starts a run, or the files that a run made.
#[component]
fn Outcome(app: App) -> impl IntoView {
    let button =
        move |what: Download, words: &'static str, label: &'static str, key: &'static str| {
            view! {
                <button
                    type="button"
                    class="button quiet"
                    data-test=key
                    aria-label=label
                    title=label
                    on:click=move |_| app.save(what)
                >
                    {words}
                </button>
            }
        };
    let known = Memo::new(move |_| app.result.with(Option::is_some));
    let idle =
        Memo::new(move |_| app.result.with(Option::is_none) && app.run.with(Option::is_none));
    view! {
        <Show when=move || idle.get()>
            <div class="start-run">
                <RunButton app id="run-first" class="button primary" words="Segment this scan" />
            </div>
        </Show>
        <Show when=move || known.get()>
            <div class="downloads" role="group" aria-label="Save">
                <span class="downloads-title">{icon(Icon::Save)} <span>"Save"</span></span>
                {button(
                    Download::Segmentation,
                    "Segmentation",
                    "Save the segmentation on the scan's grid (NIfTI)",
                    "download-segmentation",
                )}
                {button(Download::Table, "Table", "Save the structures as a table (CSV)", "download-csv")}
                {button(Download::Report, "Report", "Save the report (HTML)", "download-report")}
                {button(
                    Download::Fhir,
                    "FHIR",
                    "Save report and measurements as a FHIR R4 bundle (JSON)",
                    "download-fhir",
                )}
                {button(Download::Picture, "Image", "Save a picture of the planes (PNG)", "download-screenshot")}
                {button(Download::Manifest, "Run", "Save how the run was made (JSON)", "download-manifest")}
            </div>
        </Show>
    }
}
