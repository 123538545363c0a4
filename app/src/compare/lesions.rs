//! Lesions that came, grew or went between two scans of one person.

use leptos::prelude::*;
use prism_core::follow_up::Finding;
use prism_core::follow_up::finding::words;

use super::messages::Saved;
use super::save::SaveButtons;
use crate::state::App;
use crate::text;

/// Asks for them and lists them.
#[component]
pub fn LesionChange(app: App) -> impl IntoView {
    let compare = app.compare;
    view! {
        <button
            type="button"
            class="button"
            data-test="compare-lesions"
            disabled=move || compare.busy.with(Option::is_some)
            on:click=move |_| app.ask_lesion_change()
        >
            "Look for changed lesions"
        </button>
        {move || {
            compare
                .findings
                .get()
                .map(|(findings, largest_null_ml)| {
                    view! {
                        <p data-test="compare-lesion-words">{words(&findings, largest_null_ml)}</p>
                        <Table app findings />
                        <SaveButtons app what=vec![Saved::Lesions] />
                    }
                })
        }}
    }
}

/// Those that lie outside what repeats show.
#[component]
fn Table(app: App, findings: Vec<Finding>) -> impl IntoView {
    let rows: Vec<Finding> = findings.into_iter().filter(|finding| finding.outside).collect();
    let some = !rows.is_empty();
    let line = move |(number, finding): (usize, Finding)| {
        let [place, _] = finding.places_mm;
        view! {
            <tr data-fate=finding.fate.word()>
                <th scope="row">
                    <button
                        type="button"
                        class="link"
                        on:click=move |_| app.view.crosshair_mm.set(place)
                    >
                        {format!("{} {}", number + 1, finding.fate.word())}
                    </button>
                </th>
                <td>{text::fixed(finding.millilitres, 2)}</td>
                <td>{text::fixed(finding.strength, 1)}</td>
            </tr>
        }
    };
    view! {
        <Show when=move || some>
            <table class="compare-table" data-test="compare-lesion-table">
                <thead>
                    <tr>
                        <th scope="col">"Lesion"</th>
                        <th scope="col">
                            {move || text::unit("mL", app.compare.unit_assumed.get())}
                        </th>
                        <th scope="col">"Change of grey, deviations"</th>
                    </tr>
                </thead>
                <tbody>{rows.clone().into_iter().enumerate().map(line).collect_view()}</tbody>
            </table>
        </Show>
    }
}
