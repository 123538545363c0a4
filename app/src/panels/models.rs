//! The models: which one runs, what each can say, where it comes from; packs are added
//! here (or dropped anywhere on the page) and deleted.

use leptos::html::Dialog;
use leptos::prelude::*;

use super::icons::{Icon, icon};
use super::picker::FilePicker;
use super::run::card_rows;
use super::series::show_modal;
use crate::facts::{PackCard, Shipped};
use crate::kept;
use crate::packs::{FOLDER, abilities};
use crate::state::{App, Tone};
use crate::text;

/// How packs come here.
const HINT: &str = "Or drop a pack (.safetensors) onto the page. It stays on this device.";

/// What is said of packs that the browser does not promise to keep.
const FLEETING: &str = "The browser may delete added models when space is short; keep their files.";

/// The button that names the model of the next run and opens the list.
#[component]
pub fn ModelChip(
    /// The page.
    app: App,
) -> impl IntoView {
    let title = move || app.models.card().map_or_else(|| "Model".to_owned(), |card| card.title);
    view! {
        <button
            type="button"
            class="chip model-chip"
            data-test="models-button"
            aria-haspopup="dialog"
            aria-label=move || format!("Models; now: {}", title())
            title="Models"
            on:click=move |_| app.show_models(true)
        >
            {icon(Icon::Stack)}
            <span>{title}</span>
        </button>
    }
}

/// The list of models, over the page while it is open.
#[component]
pub fn Models(
    /// The page.
    app: App,
) -> impl IntoView {
    view! { {move || app.models.open.get().then(|| view! { <ModelsDialog app /> })} }
}

#[component]
fn ModelsDialog(app: App) -> impl IntoView {
    let dialog = NodeRef::<Dialog>::new();
    Effect::new(move || {
        if let Some(dialog) = dialog.get() {
            show_modal(&dialog);
        }
    });
    // The list opens when a pack was added. Firefox asks the user, Chromium decides by itself.
    let fleeting = RwSignal::new(false);
    Effect::new(move || {
        let some = app.models.kept.with(|kept| !kept.is_empty());
        fleeting.set(false);
        if some {
            leptos::task::spawn_local(async move {
                let agreed = kept::persist().await;
                // The list may be closed by then.
                let _ = fleeting.try_set(!agreed);
            });
        }
    });
    let close = move || app.show_models(false);
    let line = move || {
        if !app.models.checking.with(Vec::is_empty) {
            return "Checking …".to_owned();
        }
        app.models.said.get().map_or_else(|| HINT.to_owned(), |(_, line)| line)
    };
    let problem = move || app.models.said.with(|s| matches!(s, Some((Tone::Problem, _))));
    view! {
        <dialog
            class="sheet"
            aria-labelledby="models-title"
            data-test="models"
            node_ref=dialog
            on:cancel=move |_: web_sys::Event| close()
        >
            <header class="sheet-header">
                <h2 id="models-title" tabindex="-1">"Models"</h2>
                <button type="button" class="icon-button" aria-label="Close" on:click=move |_| close()>
                    {icon(Icon::Close)}
                </button>
            </header>
            <ul class="models" aria-labelledby="models-title" data-test="models-list">
                <For
                    each=move || app.models.shipped.get().into_iter().enumerate()
                    key=|(_, shipped)| shipped.card.sha256.clone()
                    children=move |(place, shipped)| {
                        let key = (place > 0).then(|| shipped.card.sha256.clone());
                        view! { <ModelRow app card=shipped.card key=key kept=false /> }
                    }
                />
                <For
                    each=move || app.models.kept.get()
                    key=|card| card.sha256.clone()
                    children=move |card| {
                        let key = Some(card.sha256.clone());
                        view! { <ModelRow app card key=key kept=true /> }
                    }
                />
            </ul>
            <details class="model-cards" data-test="model-cards">
                <summary>"Model cards: how each was made, how well it does"</summary>
                <ul>{move || app.models.shipped.with(|shipped| card_links(shipped))}</ul>
            </details>
            <div class="models-add">
                <FilePicker
                    app
                    hooks=("pick-pack", "pack-input")
                    label="Add a pack"
                    sign=Icon::File
                    accept=".safetensors"
                    take=move |files| app.keep_packs(files)
                />
                <p role="status" class:problem=problem data-test="models-line">
                    {line}
                </p>
                <Show when=move || fleeting.get()>
                    <p data-test="models-fleeting">{FLEETING}</p>
                </Show>
            </div>
        </dialog>
    }
}

/// Cards beside the page of what runs without being chosen: its file's name and title.
const UNCHOSEN: [(&str, &str); 2] =
    [("identify.md", "Sequence, body part, skull, age, sex"), ("report.md", "Report decoder")];

/// The cards of all models beside the page.
fn card_links(shipped: &[Shipped]) -> impl IntoView + use<> {
    let listed =
        shipped.iter().map(|one| (one.file.replace(".safetensors", ".md"), one.card.title.clone()));
    let others = UNCHOSEN.map(|(file, title)| (file.to_owned(), title.to_owned()));
    listed
        .chain(others)
        .map(|(file, title)| {
            let href = format!("{FOLDER}{file}");
            view! { <li><a href=href target="_blank" rel="noopener">{title}</a></li> }
        })
        .collect_view()
}

/// One model: the choice, what it can say, where it comes from.
#[component]
fn ModelRow(app: App, card: PackCard, key: Option<String>, kept: bool) -> impl IntoView {
    let is_chosen = {
        let key = key.clone();
        Memo::new(move |_| app.models.chosen.get() == key)
    };
    // What the next run would add: this model's labels in place of another's.
    let sha256 = card.sha256.clone();
    let segments = card.segments();
    let offers_run = Memo::new(move |_| {
        let labelled = app.result.with(Option::is_some)
            && app.pack.with(|pack| pack.as_ref().is_some_and(|pack| pack.sha256 == sha256));
        segments && is_chosen.get() && !app.is_empty() && !labelled
    });
    let can = if card.segments() { "Segments" } else { "Gives" };
    let origin = card.imported().then(|| {
        view! { <span class="model-origin" data-test="model-origin">"not made here"</span> }
    });
    let provenance = card_rows(&card.provenance);
    let title = card.title.clone();
    let delete = kept.then(|| {
        let sha256 = card.sha256.clone();
        let label = format!("Delete {title}");
        view! {
            <button
                type="button"
                class="button quiet"
                data-test="model-delete"
                aria-label=label.clone()
                title=label
                on:click=move |_| {
                    // The button goes with its row; the focus stays in the dialog.
                    super::focus("models-title");
                    app.forget_pack(&sha256);
                }
            >
                "Delete"
            </button>
        }
    });
    view! {
        <li class="model" class:chosen=move || is_chosen.get() data-test="model">
            <label class="model-choice">
                <input
                    type="radio"
                    name="model"
                    data-test="model-choice"
                    prop:checked=move || is_chosen.get()
                    on:change=move |_| app.choose_pack(key.clone())
                />
                <span class="model-title">{title}</span>
                <span class="model-more">
                    {format!("{can} {} · {}", abilities(&card), text::bytes(card.bytes as f64))}
                    {origin}
                </span>
            </label>
            <span class="model-actions">
                <Show when=move || offers_run.get()>
                    <button
                        type="button"
                        class="button"
                        data-test="model-run"
                        on:click=move |_| {
                            app.show_models(false);
                            app.segment(app.wanted_device());
                        }
                    >
                        {icon(Icon::Start)}
                        <span>"Segment"</span>
                    </button>
                </Show>
                {delete}
            </span>
            <details class="model-card facts">
                <summary>"Where it comes from"</summary>
                <dl>
                    {provenance
                        .into_iter()
                        .map(|(name, value)| view! { <div><dt>{name}</dt><dd>{value}</dd></div> })
                        .collect_view()}
                    <div><dt>"SHA-256"</dt><dd>{card.sha256.clone()}</dd></div>
                </dl>
            </details>
        </li>
    }
}
