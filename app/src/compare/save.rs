//! Files of what was computed of a second scan.

use leptos::prelude::*;

use super::messages::Saved;
use crate::state::App;

/// Buttons that save.
#[component]
pub fn SaveButtons(
    /// The page.
    app: App,
    /// What each saves.
    what: Vec<Saved>,
) -> impl IntoView {
    let busy = app.compare.busy;
    let button = move |what: Saved| {
        view! {
            <button
                type="button"
                class="button quiet"
                data-test=format!("compare-save-{}", what.key())
                disabled=move || busy.with(Option::is_some)
                on:click=move |_| app.save_of_comparison(what)
            >
                {what.title()}
            </button>
        }
    };
    view! { <div class="choices">{what.into_iter().map(button).collect_view()}</div> }
}
