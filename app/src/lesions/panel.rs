//! The panel of lesions: the study's sequences, the button, the answer with what is to be
//! known before it is believed.

use leptos::prelude::*;
use prism_core::lesions::FAR_MM;

use super::Overlay;
use super::abnormality::AbnormalityMap;
use super::caution::{accuracy, caution};
use super::messages::{Found, Sequence};
use super::rows::Rows;
use crate::panels::{Busy, FilePicker, device_words};
use crate::state::App;
use crate::text;

/// The panel.
#[component]
pub fn LesionsPanel(
    /// The page.
    app: App,
) -> impl IntoView {
    let lesions = app.lesions;
    let busy = Memo::new(move |_| lesions.busy.with(Option::is_some));
    let pack = Memo::new(move |_| app.models.lesions());
    view! {
        <div class="lesions" data-test="lesions" data-overlay=move || lesions.overlay.get().key()>
            <Study app busy />
            <button
                type="button"
                class="button primary"
                data-test="lesions-find"
                disabled=move || {
                    busy.get() || pack.with(Option::is_none) || app.run.with(Option::is_some)
                }
                on:click=move |_| app.find_lesions()
            >
                "Find lesions"
            </button>
            <Busy words=lesions.busy hooks=("lesions-busy", "lesions-cancel") cancel=move || app.cancel_lesions() />
            {move || match pack.get() {
                None => {
                    view! {
                        <p class="aside" data-test="lesions-missing">
                            "No model that finds lesions lies beside this page, so there is nothing to run."
                        </p>
                    }
                        .into_any()
                }
                Some(card) => {
                    view! {
                        <p class="lesions-caution" role="note" data-test="lesions-caution">
                            {caution(&card.scores)}
                        </p>
                    }
                        .into_any()
                }
            }}
            {move || lesions.found.get().map(|found| view! { <Answer app found=(*found).clone() /> })}
            <AbnormalityMap app busy />
        </div>
    }
}

/// The shown scan and the sequences beside it.
#[component]
fn Study(app: App, busy: Memo<bool>) -> impl IntoView {
    let lesions = app.lesions;
    let first = move || {
        let title = app.scan.with(|scan| scan.as_ref().map(|scan| scan.series.title.clone()));
        let shows = app
            .identifying
            .found
            .with(|found| found.as_ref().and_then(|f| f.identification.sequence.given.clone()));
        named(shows, title.unwrap_or_default())
    };
    view! {
        <section class="facts">
            <h3>"Sequences of this study"</h3>
            <ul class="lesions-sequences" data-test="lesions-sequences">
                <li>
                    <span>{first}</span>
                    <span class="aside">"the scan that is shown"</span>
                </li>
                <For each=move || lesions.sequences.get() key=|one| one.key let:sequence>
                    <Row app busy sequence />
                </For>
            </ul>
            <FilePicker
                app
                hooks=("lesions-add", "lesions-input")
                label="Add sequences"
                disabled=Signal::derive(move || busy.get() || app.run.with(Option::is_some))
                take=move |files| app.add_sequences(files)
            />
            <p class="aside">
                "T1w, T1w after contrast, T2w, FLAIR of one visit, as many as there are. Those that do not lie on "
                "the shown scan are moved onto it. Of a folder with more series the first six that fit are taken."
            </p>
        </section>
    }
}

fn named(shows: Option<String>, title: String) -> String {
    shows.map_or_else(|| title.clone(), |shows| format!("{shows}: {title}"))
}

#[component]
fn Row(app: App, busy: Memo<bool>, sequence: Sequence) -> impl IntoView {
    let key = sequence.key;
    let (place, moved) = match sequence.moved_mm {
        None => ("lies on it".to_owned(), String::new()),
        Some(mm) => (format!("registered, moved by {} mm", text::fixed(mm, 1)), format!("{mm:.2}")),
    };
    let far = sequence.moved_mm.is_some_and(|mm| mm >= FAR_MM);
    let far = far
        .then_some("further than a head moves within one visit: is it of the same person and day?");
    let place: Vec<String> =
        [Some(place), far.map(str::to_owned), sequence.doubt].into_iter().flatten().collect();
    let place = place.join("; ");
    let label = format!("Remove {}", sequence.title);
    view! {
        <li data-test="lesions-sequence" data-moved=moved>
            <span>{named(sequence.shows, sequence.title)}</span>
            <span class="aside">{place}</span>
            <button
                type="button"
                class="button quiet"
                data-test="lesions-remove"
                aria-label=label
                disabled=move || busy.get()
                on:click=move |_| app.remove_sequence(key)
            >
                "Remove"
            </button>
        </li>
    }
}

/// What was found.
#[component]
fn Answer(app: App, found: Found) -> impl IntoView {
    let summary = &found.summary;
    let probability = summary.probability.map_or_else(|| "–".to_owned(), |p| text::fixed(p, 2));
    let unit = untrack(|| text::unit("mL", app.unit_assumed()));
    let evidence = format!(
        "From {} {unit} weighted by certainty, in {}; {} on {}.",
        text::millilitres(summary.evidence_ml),
        text::counted(summary.sequences, "sequence", "sequences"),
        text::duration(found.seconds),
        device_words(&found.device),
    );
    let kinds = summary
        .by_class
        .iter()
        .map(|(name, ml)| {
            let name = text::capitalised(&name.replace('-', " ").to_lowercase());
            let volume = format!("{} {unit}", text::millilitres(*ml));
            view! { <div><dt>{name}</dt><dd>{volume}</dd></div> }
        })
        .collect_view();
    let known = app.models.lesions().map(|card| accuracy(&card.scores)).unwrap_or_default();
    let none = found.lesions.is_empty();
    let data =
        (summary.lesions.to_string(), format!("{:.4}", summary.millilitres), probability.clone());
    view! {
        <section
            class="facts"
            data-test="lesions-found"
            data-lesions=data.0
            data-millilitres=data.1
            data-probability=data.2
        >
            <dl class="figures">
                <div class="figure">
                    <dt>"Any lesion"</dt>
                    <dd>{probability}</dd>
                </div>
                <div class="figure">
                    <dt>"Lesions"</dt>
                    <dd>{summary.lesions}</dd>
                </div>
                <div class="figure">
                    <dt>"All of them"</dt>
                    <dd>{text::millilitres(summary.millilitres)} <span class="unit">{unit}</span></dd>
                </div>
            </dl>
            <p class="aside" data-test="lesions-evidence">{evidence}</p>
            <dl>{kinds}</dl>
            <Switch app none />
            <Rows app found />
            <Downloads app />
            <ul class="lesions-known">
                {known.into_iter().map(|line| view! { <li>{line}</li> }).collect_view()}
            </ul>
        </section>
    }
}

/// What lies over the planes.
#[component]
fn Switch(app: App, none: bool) -> impl IntoView {
    let choice = move |overlay: Overlay| {
        view! {
            <button
                type="button"
                class="choice"
                data-test=format!("lesions-show-{}", overlay.key())
                disabled=none
                aria-pressed=move || (app.lesions.overlay.get() == overlay).to_string()
                on:click=move |_| app.show_overlay(overlay)
            >
                {overlay.title()}
            </button>
        }
    };
    view! {
        <div class="choices lesions-overlay" role="group" aria-label="What lies over the planes">
            {Overlay::OF_SEARCH.map(choice)}
        </div>
    }
}

#[component]
fn Downloads(app: App) -> impl IntoView {
    view! {
        <div class="lesions-downloads" role="group" aria-label="Save lesions">
            <button
                type="button"
                class="button quiet"
                data-test="lesions-csv"
                aria-label="Save the lesions as a table (CSV)"
                on:click=move |_| app.save_lesion_table()
            >
                "Save table"
            </button>
            <button
                type="button"
                class="button quiet"
                data-test="lesions-mask"
                aria-label="Save the lesions on the scan's grid (NIfTI)"
                disabled=move || app.lesions.busy.with(Option::is_some)
                on:click=move |_| app.save_lesion_mask()
            >
                "Save mask"
            </button>
        </div>
    }
}
