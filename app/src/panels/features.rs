//! The encoder's features: what the planes show of them, and what each view says.

use leptos::prelude::*;

use super::heads::Heads;
use super::label_scans::LabelScans;
use super::teach::Teach;
use crate::features::{Found, Mode};
use crate::state::App;
use crate::text;

/// The panel.
#[component]
pub fn FeaturesPanel(
    /// The page.
    app: App,
) -> impl IntoView {
    let features = app.features;
    let choice = move |mode: Mode| {
        view! {
            <button
                type="button"
                class="choice"
                data-test=format!("features-{}", mode.key())
                aria-pressed=move || (features.mode.get() == mode).to_string()
                on:click=move |_| app.show_features(mode)
            >
                {mode.title()}
            </button>
        }
    };
    view! {
        <div class="features" data-test="features" data-mode=move || features.mode.get().key()>
            <div class="choices" role="group" aria-label="Shown in the planes">
                {Mode::ALL.map(choice)}
            </div>
            <Busy app />
            {move || match features.mode.get() {
                Mode::Off => view! { <Introduction /> <Heads app /> }.into_any(),
                Mode::Colours => view! { <Colours app /> }.into_any(),
                Mode::Similar => view! { <Similar app /> }.into_any(),
                Mode::Paint => view! { <Teach app /> }.into_any(),
                Mode::Label => view! { <LabelScans app /> }.into_any(),
            }}
        </div>
    }
}

/// What is being computed, and the way out.
#[component]
fn Busy(app: App) -> impl IntoView {
    let busy = app.features.busy;
    view! {
        <p class="features-busy" role="status" aria-live="polite" data-test="features-busy">
            {move || busy.get()}
            <Show when=move || busy.with(Option::is_some)>
                <button type="button" class="button quiet" on:click=move |_| app.cancel_features()>
                    "Cancel"
                </button>
            </Show>
        </p>
    }
}

#[component]
fn Introduction() -> impl IntoView {
    view! {
        <p class="aside">
            "The network describes every place of the scan by some hundred numbers before it names any "
            "structure. They can be seen as colours, searched for places that look alike, taught to name "
            "something new from a few strokes of a brush, or to tell whole scans apart by your labels. Nothing "
            "leaves this device."
        </p>
    }
}

#[component]
fn Colours(app: App) -> impl IntoView {
    let shares = move || {
        app.features.explained.get().map(|shares| {
            let names = ["Red", "Green", "Blue"];
            view! {
                <dl data-test="features-explained">
                    {names
                        .into_iter()
                        .zip(shares)
                        .map(|(name, share)| {
                            view! {
                                <div><dt>{name}</dt><dd>{format!("{}%", text::fixed(100.0 * share, 1))}</dd></div>
                            }
                        })
                        .collect_view()}
                </dl>
            }
        })
    };
    view! {
        <section class="facts">
            <h3>"Share of the variance"</h3>
            {shares}
        </section>
        <p class="aside">
            "Places that look alike to the network have the same colour: the three directions in which its "
            "features vary most over the head. Colours of two scans cannot be compared."
        </p>
    }
}

#[component]
fn Similar(app: App) -> impl IntoView {
    let features = app.features;
    let place = |[x, y, z]: [f64; 3]| {
        format!("{}, {}, {} mm", text::fixed(x, 0), text::fixed(y, 0), text::fixed(z, 0))
    };
    let found = move || {
        features.found.get().map(|Found { best_mm, score, kept }| {
            let of = if kept { "the kept place" } else { "the crosshair" };
            view! {
                <p
                    class="features-found"
                    data-test="similar-found"
                    data-mm=best_mm.map(|mm| format!("{mm:.2}")).join(",")
                    data-score=format!("{score:.3}")
                >
                    {format!("Most like {of}: {}, similarity {}", place(best_mm), text::fixed(score.into(), 2))}
                </p>
                <button
                    type="button"
                    class="button"
                    data-test="similar-go"
                    on:click=move |_| app.view.crosshair_mm.set(best_mm)
                >
                    "Go there"
                </button>
            }
        })
    };
    let searching = move |kept: bool| {
        features.kept.set(Some(kept));
        app.ask_similar();
    };
    view! {
        <p class="aside">
            "Click a place in a plane, or move the crosshair with the arrow keys: the brighter, the more it "
            "looks like there. The blue ring marks the most similar place."
        </p>
        {found}
        <div class="features-row">
            <button
                type="button"
                class="button quiet"
                data-test="similar-keep"
                disabled=move || features.busy.with(Option::is_some)
                on:click=move |_| app.keep_place()
            >
                "Keep this place for another scan"
            </button>
            <Show when=move || features.kept.get().is_some()>
                <label class="check">
                    <input
                        type="checkbox"
                        data-test="similar-kept"
                        prop:checked=move || features.kept.get() == Some(true)
                        on:change=move |event| searching(event_target_checked(&event))
                    />
                    <span>"Look for the kept place"</span>
                </label>
            </Show>
        </div>
    }
}
