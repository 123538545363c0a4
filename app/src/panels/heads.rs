//! What the chosen model's own heads say of the whole scan, once it is asked for.

use leptos::prelude::*;

use super::run::answers;
use crate::features::messages::Told;
use crate::state::App;

/// The button and the answers; nothing for a model without such heads.
#[component]
pub fn Heads(
    /// The page.
    app: App,
) -> impl IntoView {
    let card = Memo::new(move |_| app.models.card());
    let offered = Memo::new(move |_| card.with(|card| card.as_ref().is_some_and(|c| c.answers())));
    // Another model may have been chosen while the worker was at the question.
    let told = Memo::new(move |_| {
        let sha256 = card.with(|card| card.as_ref().map(|card| card.sha256.clone()));
        app.features.told.get().filter(|told| Some(&told.pack) == sha256.as_ref())
    });
    view! {
        <Show when=move || offered.get() && told.with(Option::is_none)>
            <div class="features-row">
                <button
                    type="button"
                    class="button"
                    data-test="heads-ask"
                    disabled=move || app.features.busy.with(Option::is_some)
                    on:click=move |_| app.ask_heads()
                >
                    "Ask the model's heads"
                </button>
            </div>
        </Show>
        {move || told.get().map(|told| view! { <Answers told /> })}
    }
}

/// What they say, and why some say nothing.
#[component]
fn Answers(told: Told) -> impl IntoView {
    let wanting = told.wanting.into_iter().map(|(head, wanted)| {
        let head = head.replace('_', " ");
        let words = format!(
            "The head \u{201c}{head}\u{201d} wants {wanted} sequences of one study together: the command \
             prism encode with --together asks it."
        );
        view! { <p class="aside">{words}</p> }
    });
    view! {
        <div data-test="heads-told">
            {answers(&told.answers)}
            {wanting.collect_view()}
        </div>
    }
}
