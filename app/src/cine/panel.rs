//! The panel of the phases: player, measuring, curve, function, files.

use leptos::prelude::*;
use prism_core::measure::cardiac::check_stack;
use prism_core::report::{CineReport, FRACTION_STANDS, UNIT_ASSUMED, cine_cautions};

use super::curve::Curve;
use super::function::{FunctionTable, PhaseTable};
use super::player::SPEEDS;
use super::{Cine, heart_model};
use crate::actions::sentence;
use crate::panels::{Busy, FilePicker};
use crate::state::App;
use crate::text;

/// The panel.
#[component]
pub fn CinePanel(
    /// The page.
    app: App,
) -> impl IntoView {
    let cine = app.cine;
    cine.keep_playing();
    cine.listen_to_keys();
    Effect::new(move |_| app.open_phases_by_itself());
    let several = Memo::new(move |_| cine.count() > 1);
    let done = move || cine.measured.with(|all| all.iter().filter(|one| one.is_some()).count());
    view! {
        <div
            class="cine"
            data-test="cine"
            data-phases=move || cine.count().to_string()
            data-phase=move || (cine.at.get() + 1).to_string()
            data-playing=move || cine.playing.get().to_string()
            data-measured=move || done().to_string()
        >
            <Show when=move || several.get()>
                <Player cine />
            </Show>
            <Busy words=cine.busy hooks=("cine-busy", "cine-cancel") cancel=move || app.cancel_cine() />
            <Show when=move || several.get()>
                <Measure app />
                <Found app />
            </Show>
            <More app />
        </div>
    }
}

/// Play, speed, and the phase that is shown.
#[component]
fn Player(cine: Cine) -> impl IntoView {
    let scrub = move |event: web_sys::Event| {
        if let Ok(number) = event_target_value(&event).parse::<usize>() {
            cine.go_to(number.saturating_sub(1));
        }
    };
    let hasten = move |event: web_sys::Event| {
        if let Ok(speed) = event_target_value(&event).parse::<u32>() {
            cine.speed.set(speed.clamp(SPEEDS.0, SPEEDS.1));
        }
    };
    let words = move || {
        let at = cine.at.get();
        let place = format!("Phase {} of {}", at + 1, cine.count());
        match cine.times().and_then(|times| times.get(at).copied()) {
            Some(time) => format!("{place} · {} ms", text::fixed(time, 0)),
            None => place,
        }
    };
    view! {
        <div class="cine-player">
            <button
                type="button"
                class="button cine-play"
                data-test="cine-play"
                title="Play or pause (P); one phase back and on (, and .)"
                on:click=move |_| cine.playing.update(|playing| *playing = !*playing)
            >
                {move || if cine.playing.get() { "Pause" } else { "Play" }}
            </button>
            <input
                type="range"
                min="1"
                max=move || cine.count().to_string()
                aria-label="Phase"
                aria-valuetext=words
                data-test="cine-scrub"
                prop:value=move || (cine.at.get() + 1).to_string()
                on:input=scrub
            />
            <output class="cine-phase" data-test="cine-phase">{words}</output>
        </div>
        <label class="cine-row">
            <span>"Speed"</span>
            <input
                type="range"
                min=SPEEDS.0.to_string()
                max=SPEEDS.1.to_string()
                data-test="cine-speed"
                prop:value=move || cine.speed.get().to_string()
                on:input=hasten
            />
            <span class="cine-phase">
                {move || format!("{} a second", text::counted(cine.speed.get() as usize, "phase", "phases"))}
            </span>
        </label>
    }
}

/// The button that measures, or why nothing can be measured.
#[component]
fn Measure(app: App) -> impl IntoView {
    let cine = app.cine;
    let unfit = move || {
        cine.phases.with(|phases| {
            let facts = &phases.as_ref()?.facts;
            let grid = facts.grid;
            let found = check_stack(grid.dims, &grid.affine, facts.unit_stated);
            found.err().map(|error| sentence(&error.to_string()))
        })
    };
    let model = Memo::new(move |_| heart_model(app.models));
    let left = move || cine.measured.with(|all| all.iter().filter(|one| one.is_none()).count());
    view! {
        {move || match (unfit(), model.get()) {
            (Some(why), _) => view! { <p class="caution" data-test="cine-unfit">{why}</p> }.into_any(),
            (None, None) => {
                view! {
                    <p class="caution" data-test="cine-unfit">
                        "There is no model for hearts on this page; drop one onto it to measure."
                    </p>
                }
                    .into_any()
            }
            (None, Some(card)) => {
                view! {
                    <Show when=move || { left() > 0 }>
                        <button
                            type="button"
                            class="button primary"
                            data-test="cine-measure"
                            title=card.title.clone()
                            disabled=move || cine.busy.with(Option::is_some)
                            on:click=move |_| app.measure_phases()
                        >
                            {move || {
                                if left() == cine.count() {
                                    "Measure all phases".to_owned()
                                } else {
                                    format!("Measure the other {}", left())
                                }
                            }}
                        </button>
                    </Show>
                }
                    .into_any()
            }
        }}
    }
}

/// What was found: curve, function, cautions, downloads.
#[component]
fn Found(app: App) -> impl IntoView {
    let cine = app.cine;
    let report = Memo::new(move |_| cine.report());
    let known = Memo::new(move |_| report.with(Option::is_some));
    let cautions = move || {
        let scores = cine.model.with(|model| model.as_ref().map(|card| card.scores.clone()));
        let mut all = report.with(|r| r.as_ref().map(CineReport::cautions).unwrap_or_default());
        all.extend(scores.as_ref().map(cine_cautions).unwrap_or_default());
        all
    };
    let cut = move || report.with(|report| report.as_ref().is_some_and(|r| r.cut).to_string());
    let assumed = move || report.with(|report| report.as_ref().is_some_and(|r| !r.unit_stated));
    view! {
        <Show when=move || known.get()>
            <Curve cine report />
            <Show when=assumed>
                <p class="caution" data-test="cine-unit">{UNIT_ASSUMED} " " {FRACTION_STANDS}</p>
            </Show>
            <FunctionTable report />
            <ul class="cine-cautions" data-test="cine-cautions" data-cut=cut>
                {move || {
                    cautions()
                        .into_iter()
                        .map(|line| view! { <li class="caution">{line}</li> })
                        .collect_view()
                }}
            </ul>
            <PhaseTable cine report />
            <div class="cine-row">
                <button
                    type="button"
                    class="button quiet"
                    data-test="cine-csv"
                    title="Save a line a phase (CSV)"
                    on:click=move |_| app.save_phases(false)
                >
                    "Table"
                </button>
                <button
                    type="button"
                    class="button quiet"
                    data-test="cine-json"
                    title="Save phases and function (JSON)"
                    on:click=move |_| app.save_phases(true)
                >
                    "JSON"
                </button>
            </div>
        </Show>
    }
}

/// Further phases: other scans of the study, other files.
#[component]
fn More(app: App) -> impl IntoView {
    let cine = app.cine;
    // Other series of the study that have the size of the shown one.
    let alike = Memo::new(move |_| {
        app.scan.with(|scan| {
            let Some(scan) = scan.as_ref().filter(|scan| scan.series.volumes == 1) else {
                return 0;
            };
            let same = |other: &&prism_core::formats::Series| {
                other.key != scan.series.key
                    && other.dims == scan.series.dims
                    && other.spacing_mm == scan.series.spacing_mm
            };
            scan.study.iter().filter(same).count()
        })
    });
    let alone = move || cine.count() < 2;
    view! {
        <section class="facts cine-more">
            <h3>"Phases"</h3>
            <Show when=alone>
                <p class="aside">
                    "Two or more phases of one heartbeat, on the same slices, play here and give volumes \
                     over time, ejection fraction and mass. Nothing leaves this device."
                </p>
                <Show when=move || { alike.get() > 0 }>
                    <button
                        type="button"
                        class="button"
                        data-test="cine-alike"
                        disabled=move || cine.busy.with(Option::is_some)
                        on:click=move |_| app.open_phases(Vec::new(), true)
                    >
                        {move || {
                            let others = text::counted(alike.get(), "other scan", "other scans");
                            format!("Take the {others} of this size as phases")
                        }}
                    </button>
                </Show>
            </Show>
            <FilePicker
                app
                hooks=("cine-add", "cine-input")
                label="Add phases from files"
                disabled=Signal::derive(move || cine.busy.with(Option::is_some))
                take=move |files| app.open_phases(files, false)
            />
        </section>
    }
}
