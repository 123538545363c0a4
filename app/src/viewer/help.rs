//! The list of keys and gestures, made from the tables that handle them.

use leptos::html::Button;
use leptos::prelude::*;

use super::gestures::GESTURES;
use super::keyboard::BINDINGS;
use super::state::ViewState;

/// The list, while it is open.
#[component]
pub fn Help(
    /// State of the viewer.
    state: ViewState,
) -> impl IntoView {
    view! { <Show when=move || state.help.get()><Sheet state /></Show> }
}

#[component]
fn Sheet(state: ViewState) -> impl IntoView {
    let close = NodeRef::<Button>::new();
    Effect::new(move |_| {
        if let Some(button) = close.get() {
            let _unfocusable = button.focus();
        }
    });
    let rows = |lines: Vec<(&'static str, &'static str)>| {
        lines
            .into_iter()
            .map(|(shown, does)| view! { <div><dt><kbd>{shown}</kbd></dt><dd>{does}</dd></div> })
            .collect_view()
    };
    let keys = BINDINGS.iter().filter(|b| !b.does.is_empty()).map(|b| (b.shown, b.does)).collect();
    view! {
        <div class="viewer-help" role="dialog" aria-label="Keys and gestures">
            <header>
                <h2>"Keys and gestures"</h2>
                <button
                    type="button"
                    class="tool tool-text"
                    node_ref=close
                    on:click=move |_| state.help.set(false)
                >
                    "Close"
                </button>
            </header>
            <div class="viewer-help-lists">
                <section><h3>"Keys"</h3><dl>{rows(keys)}</dl></section>
                <section><h3>"Mouse and touch"</h3><dl>{rows(GESTURES.to_vec())}</dl></section>
            </div>
        </div>
    }
}
