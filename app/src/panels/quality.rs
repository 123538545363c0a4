//! Image quality: each measure with its value, what it means, where its formula
//! comes from, and a judgement only where one can be argued.

use leptos::prelude::*;
use prism_core::measure::{Judgement, Measure, MeasureGroup, Quality};
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use super::icons::{Icon, icon};
use crate::state::{App, Tab};
use crate::text;

/// The panel.
#[component]
pub fn QualityPanel(
    /// The page.
    app: App,
) -> impl IntoView {
    // With tissue-based measures once there are labels.
    let quality = Memo::new(move |_| {
        let measured = app.result.with(|result| result.as_ref().map(|r| r.report.quality.clone()));
        measured.or_else(|| app.scan.with(|scan| scan.as_ref().map(|s| s.quality.clone())))
    });
    let waits = move || app.result.with(Option::is_none);
    view! {
        <div data-test="quality">
        {move || quality.get().map(|quality| view! { <Measures quality /> })}
        <Show when=waits>
            <p class="aside">"Contrast between tissues is measured once the scan is segmented."</p>
        </Show>
        <p class="aside">
            "Values are for comparison between scans of the same protocol. A judgement is given only where "
            "its threshold can be argued; open a measure to read it."
        </p>
        </div>
    }
}

/// Opens the panel at a measure.
pub fn show(app: App, key: &str) {
    app.tab.set(Tab::Quality);
    let selector = format!("[data-measure=\"{key}\"]");
    // Once the panel is there.
    request_animation_frame(move || {
        if let Ok(Some(row)) = document().query_selector(&selector) {
            // An attribute of `details`; nothing else can refuse it.
            let _ = row.set_attribute("open", "");
            row.scroll_into_view_with_bool(false);
            if let Ok(Some(summary)) = row.query_selector("summary")
                && let Some(summary) = summary.dyn_ref::<HtmlElement>()
            {
                let _ = summary.focus();
            }
        }
    });
}

#[component]
fn Measures(quality: Quality) -> impl IntoView {
    let Quality { measures, warnings } = quality;
    let warned = !warnings.is_empty();
    let groups = MeasureGroup::ALL
        .into_iter()
        .map(|group| {
            let of: Vec<Measure> = measures.iter().filter(|m| m.group == group).cloned().collect();
            (group, of)
        })
        .filter(|(_, of)| !of.is_empty())
        .collect::<Vec<_>>();
    view! {
        {warned
            .then(|| {
                view! {
                    <ul class="warnings" aria-label="Warnings">
                        {warnings
                            .into_iter()
                            .map(|line| view! { <li>{icon(Icon::Attention)} <span>{line}</span></li> })
                            .collect_view()}
                    </ul>
                }
            })}
        {groups
            .into_iter()
            .map(|(group, of)| {
                view! {
                    <section class="measures">
                        <h3>{group.title()}</h3>
                        {of.into_iter().map(|measure| view! { <MeasureRow measure /> }).collect_view()}
                    </section>
                }
            })
            .collect_view()}
    }
}

#[component]
fn MeasureRow(measure: Measure) -> impl IntoView {
    let value = measure
        .value
        .map_or_else(|| "–".into(), |value| text::fixed(value, usize::from(measure.decimals)));
    let unit = if measure.value.is_some() { measure.unit.clone() } else { String::new() };
    view! {
        <details class="measure" data-measure=measure.key.clone()>
            <summary>
                <span class="measure-name">{measure.name.clone()}</span>
                <span class="measure-value">{value} <span class="unit">{unit}</span></span>
                <span class=format!("judgement {}", judgement_class(measure.judgement))>
                    {judgement_words(measure.judgement)}
                </span>
            </summary>
            <p>{measure.explanation.clone()}</p>
            {(!measure.rule.is_empty()).then(|| view! { <p>{text::capitalised(&measure.rule)}</p> })}
            <p class="source">{measure.source.clone()}</p>
        </details>
    }
}

const fn judgement_class(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Good => "good",
        Judgement::Look => "look",
        Judgement::Poor => "poor",
        Judgement::NoThreshold | Judgement::NotAssessed => "neutral",
    }
}

/// The word beside a measure; nothing where nothing is judged.
const fn judgement_words(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Good => "good",
        Judgement::Look => "have a look",
        Judgement::Poor => "poor",
        Judgement::NoThreshold => "",
        Judgement::NotAssessed => "not assessed",
    }
}
