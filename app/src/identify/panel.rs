//! Sequence, body part, plane, skull, age, sex: what the image shows, with probabilities, and
//! which packs fit.

use leptos::prelude::*;
use prism_core::identify::estimate::WAITING;
use prism_core::identify::heads::Answer;
use prism_core::identify::{Estimates, Identification, Route};

use super::{by_hand, candidates, completed, routing};
use crate::panels::pairs;
use crate::state::App;

/// What the scan shows; a button to find out before it is known.
#[component]
pub fn Identified(
    /// The page.
    app: App,
) -> impl IntoView {
    let idle = Memo::new(move |_| {
        app.identifying.found.with(Option::is_none) && app.run.with(Option::is_none)
    });
    view! {
        <Show when=move || idle.get()>
            <button
                type="button"
                class="button"
                data-test="identify"
                on:click=move |_| app.identify(app.wanted_device(), false)
            >
                "Identify this scan"
            </button>
        </Show>
        {move || {
            app.identifying
                .found
                .get()
                .map(|found| {
                    let scan = &found.identification;
                    view! {
                        <section
                            class="facts identified"
                            data-test="identified"
                            data-sequence=given(&scan.sequence)
                            data-sequence-probability=probability(&scan.sequence)
                            data-sequence-by-file=scan.sequence_by_file.clone().unwrap_or_default()
                            data-body-part=given(&scan.body_part)
                            data-plane=scan.plane.words()
                        >
                            <h3>"What the image shows"</h3>
                            {pairs(shown(scan))}
                            {lines(&scan.warnings)}
                        </section>
                        <Packs app />
                        <AgeAndSex app />
                    }
                })
        }}
    }
}

/// Which packs fit, and why the others do not.
#[component]
fn Packs(app: App) -> impl IntoView {
    let listed = move || {
        let found = app.identifying.found.get()?;
        let cards = candidates(app.models);
        let asked = routing(&found, &cards);
        Some(cards.into_iter().zip(asked.packs).collect::<Vec<_>>())
    };
    view! {
        <section class="facts" data-test="routing">
            <h3>"Models"</h3>
            <ul class="routes">
                {move || {
                    listed()
                        .unwrap_or_default()
                        .into_iter()
                        .map(|(card, (title, route))| {
                            let (key, why) = match route {
                                Route::Fits => ("fits", "fits this scan".to_owned()),
                                Route::Unsure(why) => ("unsure", why),
                                Route::No(why) => ("no", why),
                            };
                            let sha256 = card.sha256.clone();
                            let chosen = app.models.card().is_some_and(|c| c.sha256 == sha256);
                            let offer = match key {
                                "fits" if !chosen => Some(("run-fitting", "Run it")),
                                "unsure" => Some(("run-unsure", "Run it all the same")),
                                _ => None,
                            };
                            view! {
                                <li data-route=key>
                                    <span>{format!("{title}: {why}.")}</span>
                                    {offer
                                        .map(|(hook, words)| {
                                            view! {
                                                <button
                                                    type="button"
                                                    class="button quiet"
                                                    data-test=hook
                                                    on:click=move |_| app.run_pack(&sha256)
                                                >
                                                    {words}
                                                </button>
                                            }
                                        })}
                                </li>
                            }
                        })
                        .collect_view()
                }}
            </ul>
            <p class="caution" data-test="started-by-hand">
                {move || {
                    let lesions = app.models.lesions();
                    app.identifying.found.get().map(|found| by_hand(&found, lesions.as_ref()))
                }}
            </p>
        </section>
    }
}

fn given(answer: &Answer) -> String {
    answer.given.clone().unwrap_or_else(|| "unknown".into())
}

/// Of the class that is given, empty where none is.
fn probability(answer: &Answer) -> String {
    answer.probability().map(|p| format!("{p:.4}")).unwrap_or_default()
}

fn shown(scan: &Identification) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("Sequence", scan.sequence_words()),
        ("Body part", scan.body_part.words()),
        ("Plane", scan.plane.words()),
    ];
    rows.extend(scan.skull.as_ref().map(|skull| ("Skull", skull.words())));
    rows
}

fn lines(warnings: &[String]) -> Option<impl IntoView + use<>> {
    let lines = warnings.to_vec();
    (!lines.is_empty()).then(|| {
        view! {
            <ul class="warnings" aria-label="Contradictions" data-test="contradictions">
                {lines.into_iter().map(|line| view! { <li><span>{line}</span></li> }).collect_view()}
            </ul>
        }
    })
}

/// Age and sex; what reads volumes once the last run has measured them.
#[component]
fn AgeAndSex(app: App) -> impl IntoView {
    let shown = move || {
        let found = app.identifying.found.get()?;
        let estimates = app.result.with(|result| match result {
            None => found.estimates.clone(),
            Some(run) => {
                let volumes = run.structures().iter().map(|row| (row.id, row.millilitres));
                completed(&found.estimates, &run.pack.sha256, volumes)
            }
        });
        Some(estimated(&estimates))
    };
    view! { {shown} }
}

/// Age and sex with what is to be known before they are believed.
fn estimated(found: &Estimates) -> impl IntoView + use<> {
    let mut facts = Vec::new();
    facts.extend(found.age.as_ref().map(|age| ("Age", age.words())));
    facts.extend(found.sex.as_ref().map(|sex| ("Sex", sex.words())));
    let cautions: Vec<String> = found
        .age
        .as_ref()
        .and_then(|age| age.caution.clone())
        .into_iter()
        .chain(found.sex.as_ref().and_then(|_| found.sex_caution.clone()))
        .chain(found.waiting.as_ref().map(|_| WAITING.to_owned()))
        .chain(found.refused.clone())
        .collect();
    let sex = found.sex.as_ref();
    view! {
        <section
            class="facts"
            data-test="estimates"
            data-sex=sex.map(given).unwrap_or_default()
            data-sex-probability=sex.map(probability).unwrap_or_default()
        >
            <h3>"Estimates"</h3>
            {pairs(facts)}
            {cautions
                .into_iter()
                .map(|line| view! { <p class="caution">{line}</p> })
                .collect_view()}
        </section>
    }
}
