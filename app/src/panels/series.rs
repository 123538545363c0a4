//! Which scan of a study, and which volume of a 4-D scan.

use js_sys::{Function, Reflect};
use leptos::html::Dialog;
use leptos::prelude::*;
use prism_core::formats::{Acquisition, Selection, Series};
use wasm_bindgen::{JsCast, JsValue};

use super::icons::{Icon, icon};
use crate::state::App;
use crate::text;

/// The list of series, over the page while there is a choice to make.
#[component]
pub fn SeriesPicker(
    /// The page.
    app: App,
) -> impl IntoView {
    let open = Memo::new(move |_| app.choice.with(Option::is_some));
    view! { {move || open.get().then(|| view! { <SeriesDialog app /> })} }
}

#[component]
fn SeriesDialog(app: App) -> impl IntoView {
    let dialog = NodeRef::<Dialog>::new();
    Effect::new(move || {
        if let Some(dialog) = dialog.get() {
            show_modal(&dialog);
        }
    });
    let rows = move || {
        app.choice.with(|choice| choice.as_ref().map(|c| c.series.clone()).unwrap_or_default())
    };
    view! {
        <dialog
            class="sheet"
            aria-labelledby="series-title"
            node_ref=dialog
            on:cancel=move |_: web_sys::Event| app.leave_choice()
        >
            <header class="sheet-header">
                <h2 id="series-title">
                    {move || format!("This study has {}", text::counted(rows().len(), "series", "series"))}
                </h2>
                <button
                    type="button"
                    class="icon-button"
                    aria-label="Close"
                    on:click=move |_| app.leave_choice()
                >
                    {icon(Icon::Close)}
                </button>
            </header>
            <ul class="series-list" data-test="series-choice">
                <For each=rows key=|series| series.key.clone() let:series>
                    <SeriesRow app series />
                </For>
            </ul>
        </dialog>
    }
}

#[component]
fn SeriesRow(app: App, series: Series) -> impl IntoView {
    let key = series.key.clone();
    let spacing = text::spacing(series.spacing_mm, series.unit_stated);
    let size = format!("{} · {spacing}", text::by(series.dims));
    let more = match (series.volumes, series.files) {
        (1, 1) => series.format.title().to_owned(),
        (1, files) => format!("{} · {files} files", series.format.title()),
        (volumes, _) => format!("{} · {volumes} volumes", series.format.title()),
    };
    view! {
        <li>
            <button
                type="button"
                class="series"
                data-series=series.key.clone()
                on:click=move |_| app.open_series(Selection { series: Some(key.clone()), volume: 0 })
            >
                {icon(Icon::Stack)}
                <span class="series-title">{series.title.clone()}</span>
                <span class="series-size">{size}</span>
                <span class="series-more">{more}</span>
                <span class="series-more">{timing(&series.acquisition)}</span>
            </button>
        </li>
    }
}

/// Echo and repetition time, where the files say them.
fn timing(acquisition: &Acquisition) -> String {
    [
        ("TR", acquisition.repetition_time_ms),
        ("TE", acquisition.echo_time_ms),
        ("TI", acquisition.inversion_time_ms),
    ]
    .into_iter()
    .filter_map(|(name, value)| {
        value.map(|value| format!("{name} {} ms", text::trimmed((value * 10.0).round() / 10.0)))
    })
    .collect::<Vec<_>>()
    .join(" · ")
}

/// The choice of the volume of a 4-D series; nothing for a 3-D one.
#[component]
pub fn VolumeChoice(
    /// The page.
    app: App,
) -> impl IntoView {
    let volumes =
        Memo::new(move |_| app.scan.with(|scan| scan.as_ref().map_or(1, |s| s.series.volumes)));
    let current = Memo::new(move |_| app.scan.with(|scan| scan.as_ref().map_or(0, |s| s.volume)));
    let open = move |event: web_sys::Event| {
        let Ok(number) = event_target_value(&event).trim().parse::<usize>() else { return };
        let volume = number.clamp(1, volumes.get_untracked()) - 1;
        let series = app.scan.with_untracked(|scan| scan.as_ref().map(|s| s.series.key.clone()));
        if volume != current.get_untracked() {
            app.open_series(Selection { series, volume });
        }
    };
    view! {
        <Show when=move || { volumes.get() > 1 }>
            <label class="volume-choice">
                <span>"Volume"</span>
                <input
                    type="number"
                    min="1"
                    max=move || volumes.get().to_string()
                    prop:value=move || (current.get() + 1).to_string()
                    data-test="volume-choice"
                    on:change=open
                />
                <span>{move || format!("of {}", volumes.get())}</span>
            </label>
        </Show>
    }
}

/// Opens a dialog over the page: the browser keeps the focus in it and closes it on
/// Escape.
pub fn show_modal(dialog: &JsValue) {
    if let Ok(show) = Reflect::get(dialog, &"showModal".into())
        && let Some(show) = show.dyn_ref::<Function>()
    {
        // Fails only where it is open already.
        let _ = show.call0(dialog);
    }
}
