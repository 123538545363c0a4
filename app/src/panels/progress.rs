//! What takes time: what is being done, how far it is, how long it has taken, and
//! the way out.

use std::time::Duration;

use leptos::prelude::*;

use super::icons::{Icon, icon};
use crate::actions::now_ms;
use crate::state::{App, Progress};
use crate::text;

/// Ids of elements that take the focus from Cancel: the first that is there when a run ends.
const AFTER_RUN: &[&str] = &["run-first", "run-again", "panel"];

/// None does: the page has changed.
const NOTHING: &[&str] = &[];

/// The line for reading files and the line for a run, whichever there is.
#[component]
pub fn ProgressLines(
    /// The page.
    app: App,
) -> impl IntoView {
    view! {
        <ProgressLine
            progress=app.reading
            label="Opening"
            role="reading"
            after=NOTHING
            cancel=move || app.cancel_reading()
        />
        <ProgressLine
            progress=app.run
            label="Segmentation"
            role="running"
            after=AFTER_RUN
            cancel=move || app.cancel_run()
        />
    }
}

/// One line of progress; nothing while there is none.
#[component]
fn ProgressLine(
    /// What is shown.
    progress: RwSignal<Option<Progress>>,
    /// What it belongs to.
    label: &'static str,
    /// For tests and styles.
    role: &'static str,
    /// Elements of which the first that is there takes the focus from Cancel in the end.
    after: &'static [&'static str],
    /// Ends it.
    cancel: impl Fn() + Copy + Send + 'static,
) -> impl IntoView {
    let active = Memo::new(move |_| progress.with(Option::is_some));
    view! {
        {move || active.get().then(|| view! { <ActiveLine progress label role after cancel /> })}
    }
}

#[component]
fn ActiveLine(
    progress: RwSignal<Option<Progress>>,
    label: &'static str,
    role: &'static str,
    after: &'static [&'static str],
    cancel: impl Fn() + Copy + Send + 'static,
) -> impl IntoView {
    let id = format!("cancel-{role}");
    super::hand_on_focus(id.clone(), after);
    let cancelling = move || progress.with(|p| p.as_ref().is_some_and(|p| p.cancelling));
    // As often as the words change: every change is drawn while the device computes.
    let now = RwSignal::new(now_ms());
    let tick = move || now.set(now_ms());
    if let Ok(clock) = set_interval_with_handle(tick, Duration::from_secs(1)) {
        on_cleanup(move || clock.clear());
    }
    let stage = move || {
        progress.with(|progress| {
            progress.as_ref().map(|p| if p.cancelling { "Ending".into() } else { p.stage.clone() })
        })
    };
    let elapsed = move || {
        let started = progress.with(|progress| progress.as_ref().map_or(0.0, |p| p.started_ms));
        text::elapsed((now.get() - started) / 1000.0)
    };
    let steps = move || {
        progress.with(|progress| {
            progress.as_ref().filter(|p| p.total > 1).map(|p| format!("{} of {}", p.done, p.total))
        })
    };
    let share = Memo::new(move |_| {
        progress
            .with(|p| p.as_ref().filter(|p| p.total > 0).map(|p| p.done as f64 / p.total as f64))
    });
    view! {
        <div class="progress" data-role=role>
            <div
                class="progress-bar"
                class:unknown=move || share.get().is_none()
                role="progressbar"
                data-test="progress"
                data-stage=stage
                data-done=move || progress.with(|p| p.as_ref().map(|p| p.done.to_string()))
                data-total=move || progress.with(|p| p.as_ref().map(|p| p.total.to_string()))
                aria-label=label
                aria-valuemin="0"
                aria-valuemax="100"
                aria-valuenow=move || share.get().map(|share| format!("{:.0}", share * 100.0))
            >
                <span style:transform=move || format!("scaleX({:.4})", share.get().unwrap_or(0.25)) />
            </div>
            <p class="progress-text">
                <span class="progress-stage" role="status" aria-live="polite">{stage}</span>
                <span class="progress-steps">{steps}</span>
                <span class="progress-time">{elapsed}</span>
            </p>
            <button
                type="button"
                class="button quiet"
                id=id
                data-test="cancel-button"
                // A disabled element loses the focus before it can be handed on.
                aria-disabled=move || cancelling().then_some("true")
                on:click=move |_| {
                    if !untrack(cancelling) {
                        cancel();
                    }
                }
            >
                {icon(Icon::Close)}
                <span>"Cancel"</span>
            </button>
        </div>
    }
}
