//! The panel of a second scan: choosing it, ways to see it.

use leptos::prelude::*;

use super::Mode;
use super::follow_up::FollowUp;
use super::local::Legend;
use super::messages::{Kind, Saved};
use super::save::SaveButtons;
use crate::panels::{Busy, FilePicker};
use crate::state::App;
use crate::text;

/// The panel.
#[component]
pub fn ComparePanel(
    /// The page.
    app: App,
) -> impl IntoView {
    let compare = app.compare;
    let aligned = Memo::new(move |_| compare.outcome.with(Option::is_some));
    view! {
        <div class="compare" data-test="compare" data-mode=move || compare.mode.get().key()>
            <Second app />
            <Busy words=compare.busy hooks=("compare-busy", "compare-cancel") cancel=move || app.cancel_comparison() />
            <Show
                when=move || aligned.get()
                fallback=|| {
                    view! {
                        <p class="aside">
                            "Open a second scan of the same or another person, of the same or another "
                            "sequence. It is moved onto this one by the structures that the network finds in "
                            "both, and laid over the planes. Nothing leaves this device."
                        </p>
                    }
                }
            >
                <Ways app />
                <details>
                    <summary data-test="compare-files">"Files"</summary>
                    <SaveButtons app what=Saved::OF_ALIGNMENT.to_vec() />
                </details>
                <Show when=move || !compare.atlas.get()>
                    <FollowUp app />
                </Show>
            </Show>
        </div>
    }
}

/// Which scan, and how far it may be moved.
#[component]
fn Second(app: App) -> impl IntoView {
    let compare = app.compare;
    let kinds = [
        (Kind::Rigid, "rigid", "Same person: turn and shift"),
        (Kind::Affine, "affine", "Affine"),
        (Kind::Deformable, "deformable", "Every place on its own"),
    ];
    let choose = move |event: web_sys::Event| {
        let value = event_target_value(&event);
        if let Some((kind, ..)) = kinds.iter().find(|(_, key, _)| *key == value) {
            compare.kind.set(*kind);
        }
    };
    view! {
        <label class="compare-row">
            <span>"Alignment"</span>
            <select data-test="compare-kind" on:change=choose>
                {kinds
                    .map(|(kind, key, words)| {
                        view! {
                            <option value=key selected=move || compare.kind.get() == kind>
                                {words}
                            </option>
                        }
                    })
                    .collect_view()}
            </select>
        </label>
        <FilePicker
            app
            hooks=("compare-open", "compare-input")
            label="Compare with another scan"
            disabled=Signal::derive(move || {
                compare.busy.with(Option::is_some) || app.run.with(Option::is_some)
            })
            take=move |files| app.compare_with(files)
        />
        <button
            type="button"
            class="button"
            data-test="compare-atlas"
            title="Aligns the MNI152 template with this scan: coordinates under the cursor"
            disabled=move || compare.busy.with(Option::is_some) || app.run.with(Option::is_some)
            on:click=move |_| app.compare_with_atlas()
        >
            "Register to MNI"
        </button>
        {move || {
            compare
                .outcome
                .get()
                .map(|outcome| {
                    let folded = outcome
                        .folded
                        .map_or(
                            String::new(),
                            |share| format!(", {}% of space folded", text::fixed(100.0 * share, 2)),
                        );
                    view! {
                        <p
                            class="aside"
                            data-test="compare-outcome"
                            data-seconds=format!("{:.1}", outcome.seconds)
                            data-before=format!("{:.4}", outcome.differences.0)
                            data-after=format!("{:.4}", outcome.differences.1)
                        >
                            {format!(
                                "{}: aligned in {}{folded}.",
                                compare.name.get().unwrap_or_default(),
                                text::duration(outcome.seconds),
                            )}
                        </p>
                        <p class="aside" role="status" data-test="compare-note">
                            {move || compare.note.get()}
                        </p>
                        {move || {
                            let taken = compare.taken.get();
                            taken.map(|line| view! { <p class="aside" data-test="compare-series">{line}</p> })
                        }}
                    }
                })
        }}
    }
}

/// How the second scan is shown.
#[component]
fn Ways(app: App) -> impl IntoView {
    let compare = app.compare;
    let reversed = Memo::new(move |_| compare.is_reversed());
    Effect::new(move || {
        if reversed.get() && compare.mode.get_untracked() == Mode::Change {
            app.show_comparison(Mode::Off);
        }
    });
    let choice = move |mode: Mode| {
        view! {
            <button
                type="button"
                class="choice"
                // An atlas is nobody's later scan, and an older scan is none.
                hidden=move || mode == Mode::Change && (compare.atlas.get() || reversed.get())
                data-test=format!("compare-{}", mode.key())
                aria-pressed=move || (compare.mode.get() == mode).to_string()
                on:click=move |_| app.show_comparison(mode)
            >
                {mode.title()}
            </button>
        }
    };
    let slide = move |event: web_sys::Event| {
        if let Ok(percent) = event_target_value(&event).parse::<f64>() {
            app.view.overlay_opacity.set((percent / 100.0).clamp(0.0, 1.0));
        }
    };
    view! {
        <div class="choices compare-ways" role="group" aria-label="How the second scan is shown">
            {Mode::ALL.map(choice)}
        </div>
        <Show when=move || matches!(compare.mode.get(), Mode::Blend | Mode::Cells | Mode::Change)>
            <label class="compare-row">
                <span>
                    {move || match compare.mode.get() {
                        Mode::Blend => "First to second",
                        _ => "Strength",
                    }}
                </span>
                <input
                    type="range"
                    min="0"
                    max="100"
                    data-test="compare-blend-slider"
                    prop:value=move || format!("{:.0}", 100.0 * app.view.overlay_opacity.get())
                    on:input=slide
                />
            </label>
        </Show>
        <Show when=move || compare.mode.get() == Mode::Change>
            <Legend noise_percent=compare.noise_percent />
            <SaveButtons app what=vec![Saved::LocalChange] />
        </Show>
    }
}
