//! The panel of a second scan: choosing it, ways to see it.

use leptos::prelude::*;

use super::Mode;
use super::follow_up::{FollowUp, other_day};
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

/// Whether the atlas fits a scan of this body part, as it was identified, and what is to be
/// known of it.
fn fits_atlas(part: Option<&str>) -> (bool, Option<String>) {
    match part {
        Some("head") => (true, None),
        Some(part) => (false, Some(format!("MNI space is of heads; this scan shows: {part}."))),
        None => {
            let caution = "MNI space is of heads; which body part this scan shows is not known.";
            (true, Some(caution.into()))
        }
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
    let atlas = Memo::new(move |_| {
        app.identifying.found.with(|found| {
            fits_atlas(found.as_ref().and_then(|f| f.identification.body_part.given.as_deref()))
        })
    });
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
        {move || {
            let line = app.scan.with(|scan| {
                let scan = scan.as_deref()?;
                let days = scan.study.iter().map(|series| series.acquisition.study_date);
                other_day(days, scan.acquisition().study_date)
            });
            line.map(|line| view! { <p class="aside" data-test="compare-days">{line}</p> })
        }}
        <button
            type="button"
            class="button"
            data-test="compare-atlas"
            title="Aligns the MNI152 template with this scan: coordinates under the cursor"
            disabled=move || {
                compare.busy.with(Option::is_some) || app.run.with(Option::is_some)
                    || !atlas.with(|(fits, _)| *fits)
            }
            on:click=move |_| app.compare_with_atlas()
        >
            "Register to MNI"
        </button>
        {move || {
            let (_, note) = atlas.get();
            note.map(|note| view! { <p class="aside" data-test="compare-atlas-note">{note}</p> })
        }}
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
                            data-folded=outcome.folded.map(|share| format!("{share:.5}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_atlas_is_offered_for_heads_and_with_a_caution_where_nobody_knows() {
        assert_eq!(fits_atlas(Some("head")), (true, None));
        let (fits, why) = fits_atlas(Some("knee"));
        assert!(!fits && why.is_some_and(|why| why.contains("heads") && why.contains("knee")));
        let (fits, why) = fits_atlas(None);
        assert!(fits && why.is_some_and(|why| why.contains("not known")));
    }
}
