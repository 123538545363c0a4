//! What the chosen model's own heads say of the whole scan, or of several sequences of its study
//! together, once it is asked for.

use leptos::prelude::*;

use super::picker::FilePicker;
use super::run::answers;
use crate::features::Group;
use crate::features::messages::Told;
use crate::state::App;
use crate::text;

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
    // What the page's own packs answer (age, sequence) is of one scan each.
    let fuses = Memo::new(move |_| {
        let imported = card.with(|card| card.as_ref().is_some_and(|card| card.imported()));
        let wanting = told.with(|told| {
            told.as_ref().is_some_and(|told| !told.wanting.is_empty() || !told.together.is_empty())
        });
        offered.get() && (imported || wanting)
    });
    // What was said of several sequences is not what is said of one.
    let alone = Memo::new(move |_| {
        told.with(|told| told.as_ref().is_some_and(|told| told.together.is_empty()))
    });
    view! {
        <Show when=move || offered.get() && !alone.get()>
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
        <Show when=move || fuses.get()>
            <Together app />
        </Show>
    }
}

/// The sequences of the study that heads are asked about together.
#[component]
fn Together(app: App) -> impl IntoView {
    let features = app.features;
    let busy = Memo::new(move |_| features.busy.with(Option::is_some));
    let shown = move || app.scan.with(|scan| scan.as_ref().map(|scan| scan.series.title.clone()));
    let row = move |Group { id, title, .. }: Group| {
        let label = format!("Remove {title}");
        view! {
            <li data-test="heads-sequence">
                <span>{title}</span>
                <button
                    type="button"
                    class="button quiet"
                    aria-label=label
                    disabled=move || busy.get()
                    on:click=move |_| {
                        // The button goes with its row.
                        super::focus("heads-sequences");
                        app.remove_beside(id);
                    }
                >
                    "Remove"
                </button>
            </li>
        }
    };
    view! {
        <section class="facts">
            <h3 id="heads-sequences" tabindex="-1">"Sequences of this study"</h3>
            <ul class="lesions-sequences">
                <li>
                    <span>{shown}</span>
                    <span class="aside">"the scan that is shown"</span>
                </li>
                {move || features.beside.get().into_iter().map(row).collect_view()}
            </ul>
            <div class="features-row">
                <FilePicker
                    app
                    hooks=("heads-add", "heads-input")
                    label="Add sequences"
                    disabled=busy
                    take=move |files| app.add_beside(files)
                />
                <button
                    type="button"
                    class="button"
                    data-test="heads-together"
                    disabled=move || busy.get() || features.beside.with(Vec::is_empty)
                    on:click=move |_| app.ask_together()
                >
                    "Ask the heads of all together"
                </button>
            </div>
            <p class="aside">
                "The heads read each sequence by itself, then all of them in the order of this list. A sequence "
                "that is missing is left out, as PRISM does; a head that was trained on a fixed number says how "
                "many it wants."
            </p>
        </section>
    }
}

/// What they say, and why some say nothing.
#[component]
fn Answers(told: Told) -> impl IntoView {
    let read = told.together.len();
    let wanting = told.wanting.into_iter().map(|(head, wanted)| {
        let head = head.replace('_', " ");
        let but =
            if read == 0 { ": add the others below.".to_owned() } else { format!(", not {read}.") };
        let words = format!(
            "The head \u{201c}{head}\u{201d} wants {wanted} sequences of one study together{but}"
        );
        view! { <p class="aside">{words}</p> }
    });
    let together = (read > 0).then(|| {
        let words = format!(
            "Of {} together: {}.",
            text::counted(read, "sequence", "sequences"),
            told.together.join("; ")
        );
        view! { <p class="aside" data-test="heads-read">{words}</p> }
    });
    view! {
        <div data-test="heads-told" data-sequences=read.max(1).to_string()>
            {together}
            {answers(&told.answers)}
            {wanting.collect_view()}
        </div>
    }
}
