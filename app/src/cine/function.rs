//! Tables: the function of the ventricles, each number with its formula; and the phases.

use leptos::prelude::*;
use prism_core::measure::cardiac::Phase;
use prism_core::report::{CinePhaseReport, CineReport, FunctionRow, NOT_USABLE};

use super::Cine;
use crate::actions::sentence;
use crate::download;
use crate::state::{App, Tone};
use crate::text;

/// EDV, ESV, SV, EF and mass; or why there are none.
#[component]
pub fn FunctionTable(
    /// The phases and what was measured of them.
    report: Memo<Option<CineReport>>,
) -> impl IntoView {
    let rows = move || report.with(|r| r.as_ref().map(CineReport::rows).unwrap_or_default());
    let unsure = move || report.with(|r| r.as_ref().is_some_and(|r| !r.unit_stated));
    view! {
        <section class="facts">
            <h3>"Function"</h3>
            {move || {
                let rows = rows();
                if rows.is_empty() {
                    let why = report.with(|r| r.as_ref().and_then(CineReport::no_function));
                    return view! { <p class="aside" data-test="cine-no-function">{why}</p> }
                        .into_any();
                }
                let unsure = unsure();
                view! {
                    <table class="cine-table" data-test="cine-function">
                        <tbody>{rows.into_iter().map(|row| line(row, unsure)).collect_view()}</tbody>
                    </table>
                }
                    .into_any()
            }}
        </section>
    }
}

fn line(row: FunctionRow, unsure: bool) -> impl IntoView {
    let FunctionRow { key, name, value, unit, usable, formula } = row;
    // A percentage does not depend on the unit of length.
    let unit = text::unit(unit, unsure && unit != "%");
    let mark = if usable { "" } else { " (not usable)" };
    let shown = value.map_or_else(
        || "not found".to_owned(),
        |value| format!("{} {unit}{mark}", text::fixed(value, 1)),
    );
    let why = (!usable).then(|| format!("{} ", sentence(NOT_USABLE)));
    view! {
        <tr
            data-row=key
            data-value=value.map(|value| format!("{value:.4}"))
            data-usable=usable.to_string()
        >
            <th scope="row">
                {name} <span class="cine-formula">{why} {text::capitalised(&formula)} "."</span>
            </th>
            <td>{shown}</td>
        </tr>
    }
}

/// Volumes of every phase; a row leads to its phase.
#[component]
pub fn PhaseTable(
    /// The phases.
    cine: Cine,
    /// What was measured of them.
    report: Memo<Option<CineReport>>,
) -> impl IntoView {
    let rows = move || {
        report.with(|report| {
            let Some(report) = report else { return Vec::new() };
            let row = |(at, phase): (usize, &CinePhaseReport)| {
                let usable = [!report.cut, report.right_usable_at(at), !report.cut];
                (phase.clone(), report.event(at), usable)
            };
            report.phases.iter().enumerate().map(row).collect()
        })
    };
    let head = move |words: &'static str| {
        move || text::unit(words, report.with(|r| r.as_ref().is_some_and(|r| !r.unit_stated)))
    };
    view! {
        <details class="cine-phases">
            <summary>"Volumes of each phase"</summary>
            <table class="cine-table" data-test="cine-phase-table">
                <thead>
                    <tr>
                        <th scope="col">"Phase"</th>
                        <th scope="col">{head("LV, mL")}</th>
                        <th scope="col">{head("RV, mL")}</th>
                        <th scope="col">{head("Myocardium, mL")}</th>
                    </tr>
                </thead>
                <tbody>
                    {move || {
                        rows()
                            .into_iter()
                            .map(|(phase, event, usable)| phase_line(cine, phase, event, usable))
                            .collect_view()
                    }}
                </tbody>
            </table>
        </details>
    }
}

/// A row; `usable` is whether left cavity, right cavity and myocardium are to be used in this phase.
fn phase_line(
    cine: Cine,
    phase: CinePhaseReport,
    event: &'static str,
    usable: [bool; 3],
) -> impl IntoView {
    let CinePhaseReport { phase: number, time_ms, volumes, refused, .. } = phase;
    let at = number - 1;
    let mut words = number.to_string();
    if let Some(time) = time_ms {
        words.push_str(&format!(" · {} ms", text::fixed(time, 0)));
    }
    if !event.is_empty() {
        words.push_str(&format!(" · {event}"));
    }
    let cells = match (volumes, refused) {
        (Some(Phase { left_ml, right_ml, myocardium_ml }), _) => [left_ml, right_ml, myocardium_ml]
            .into_iter()
            .zip(usable)
            .map(|(value, usable)| {
                let mark = if usable { "" } else { " (not usable)" };
                let found = value > 0.0;
                let shown = if found {
                    format!("{}{mark}", text::fixed(value, 1))
                } else {
                    "not found".to_owned()
                };
                let value = found.then(|| format!("{value:.4}"));
                view! { <td data-value=value>{shown}</td> }
            })
            .collect_view()
            .into_any(),
        (None, refused) => {
            let why = refused.map_or_else(|| "Not measured yet.".to_owned(), |why| sentence(&why));
            view! { <td colspan="3" class="cine-refused">{why}</td> }.into_any()
        }
    };
    view! {
        <tr data-phase=number.to_string()>
            <th scope="row">
                <button type="button" class="link" on:click=move |_| cine.go_to(at)>
                    {words}
                </button>
            </th>
            {cells}
        </tr>
    }
}

impl App {
    /// Saves what was measured: a line a phase (CSV), or all of it (JSON).
    pub(super) fn save_phases(&self, json: bool) {
        let Some(report) = untrack(|| self.cine.report()) else { return };
        let stem = self.file_stem();
        let saved = if json {
            report
                .to_json()
                .map_err(|error| format!("the phases could not be written ({error})"))
                .and_then(|text| {
                    download::save_text(&format!("{stem}_cine.json"), "application/json", &text)
                })
        } else {
            let name = format!("{stem}_cine.csv");
            download::save_text(&name, "text/csv;charset=utf-8", &report.to_csv())
        };
        if let Err(message) = saved {
            self.notify(Tone::Problem, sentence(&message));
        }
    }
}
