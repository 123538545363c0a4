//! Labelling whole scans: the label of this one, the scans that have some, the head fitted on
//! them with its score, and what it says of this scan.

use leptos::prelude::*;
use prism_core::identify::taught::LEAST_SCANS;

use crate::actions::sentence;
use crate::features::Labelled;
use crate::features::messages::Taught;
use crate::state::App;
use crate::text;

/// The part of the panel for labels of whole scans.
#[component]
pub fn LabelScans(
    /// The page.
    app: App,
) -> impl IntoView {
    let labels = app.features.labels;
    view! {
        <p class="aside">
            "Give this scan a label, open the next one and label it, too. With two labels and two scans of each "
            "(three are better) a head is fitted here. Scans of one person look alike to the network: label "
            "scans of different people."
        </p>
        <LabelThis app />
        <ul class="teach-classes" aria-label="Labelled scans">
            {move || labels.scans.get().into_iter().map(|scan| view! { <Row app scan /> }).collect_view()}
        </ul>
        <Waiting app />
        {move || labels.head.get().map(|taught| view! { <Head app taught /> })}
    }
}

/// The label that the shown scan gets.
#[component]
fn LabelThis(app: App) -> impl IntoView {
    let labels = app.features.labels;
    let known = move || {
        labels
            .counts()
            .into_iter()
            .map(|(label, _)| view! { <option value=label></option> })
            .collect_view()
    };
    let unable = move || {
        labels.typed.with(|typed| typed.trim().is_empty())
            || app.features.busy.with(Option::is_some)
            || app.reading.with(Option::is_some)
    };
    view! {
        <div class="features-row">
            <input
                type="text"
                class="teach-name"
                list="known-labels"
                maxlength="40"
                autocomplete="off"
                placeholder="post-contrast"
                aria-label="Label of this scan"
                data-test="label-name"
                prop:value=move || labels.typed.get()
                on:input=move |event| labels.typed.set(event_target_value(&event))
                on:keydown=move |event| {
                    if event.key() == "Enter" {
                        app.label_scan();
                    }
                }
            />
            <datalist id="known-labels">{known}</datalist>
            <button
                type="button"
                class="button primary"
                data-test="label-add"
                disabled=unable
                on:click=move |_| app.label_scan()
            >
                "Label this scan"
            </button>
        </div>
    }
}

/// A labelled scan.
#[component]
fn Row(app: App, scan: Labelled) -> impl IntoView {
    let title = if scan.open { "This scan".to_owned() } else { scan.title };
    let words = format!("Take the label of {title} away");
    let id = scan.id;
    view! {
        <li class="teach-class" data-test="label-scan">
            <span class="teach-scan">
                {scan.scan.label} <span class="aside">{format!(" {title}")}</span>
            </span>
            <button
                type="button"
                class="button quiet"
                data-test="label-drop"
                aria-label=words
                disabled=move || app.features.busy.with(Option::is_some)
                on:click=move |_| app.drop_label(id)
            >
                "Drop"
            </button>
        </li>
    }
}

/// What is missing for a fit, and labels that a fit leaves out.
#[component]
fn Waiting(app: App) -> impl IntoView {
    let words = move || {
        let counts = app.features.labels.counts();
        let short = counts.iter().filter(|(_, scans)| *scans < LEAST_SCANS);
        let short: Vec<String> =
            short.map(|(label, _)| format!("\u{201c}{label}\u{201d}")).collect();
        match (counts.len(), short.is_empty()) {
            (0, _) => None,
            (1, true) => Some("A second label is needed.".to_owned()),
            (_, true) => None,
            (_, false) => Some(format!(
                "{} {} a second scan.",
                short.join(", "),
                if short.len() == 1 { "waits for" } else { "wait for" }
            )),
        }
    };
    view! { <p class="aside" data-test="label-waiting">{words}</p> }
}

/// The head: its score, what it says of this scan, the file.
#[component]
fn Head(app: App, taught: Taught) -> impl IntoView {
    let labels = app.features.labels;
    let scores = taught.scores;
    let rows = scores
        .labels
        .iter()
        .map(|label| {
            let right = format!("{} of {}", label.right, label.scans);
            view! { <div><dt>{label.label.clone()}</dt><dd>{right}</dd></div> }
        })
        .collect_view();
    let known = move || labels.scans.with(|all| all.iter().any(|held| held.open));
    let answer = move || {
        labels.answer.get().map(|answer| {
            let shares = answer
                .probabilities
                .iter()
                .map(|(label, share)| {
                    view! { <div><dt>{label.clone()}</dt><dd>{text::fixed(*share, 2)}</dd></div> }
                })
                .collect_view();
            view! {
                <section
                    class="facts"
                    data-test="label-answer"
                    data-given=answer.given.clone()
                    data-probability=answer.probability().map(|share| format!("{share:.4}"))
                >
                    <h3>"Probabilities for this scan"</h3>
                    <dl>{shares}</dl>
                    <Show when=known>
                        <p class="aside">"This scan is labelled: the answer proves nothing."</p>
                    </Show>
                </section>
            }
        })
    };
    let other = move || {
        app.models.chosen.track();
        (!app.head_fits()).then(|| {
            view! { <p class="aside">"The head reads features of another model; choose that one to use it."</p> }
        })
    };
    view! {
        <section
            class="facts"
            data-test="label-scores"
            data-accuracy=format!("{:.4}", scores.accuracy)
            data-inputs=scores.inputs.join("+")
        >
            <h3>"Recognised when left out"</h3>
            <dl>{rows}</dl>
            <p class="aside">
                {sentence(&scores.words())} " " {sentence(&format!("it {}", scores.choice()))}
                " A scan unlike all of these gets one of the labels, too."
            </p>
        </section>
        {answer}
        {other}
        <div class="features-row">
            <button
                type="button"
                class="button"
                data-test="label-save"
                on:click=move |_| app.save_head()
            >
                "Save the head"
            </button>
        </div>
    }
}
