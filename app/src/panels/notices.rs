//! One-line messages: calm ones leave by themselves, problems wait to be dismissed.

use leptos::prelude::*;

use super::icons::{Icon, icon};
use crate::state::{App, Tone};

/// The messages, newest last, over the lower edge of the planes.
#[component]
pub fn Notices(
    /// The page.
    app: App,
) -> impl IntoView {
    view! {
        <div class="notices" role="log" aria-live="polite" aria-label="Messages">
            <For each=move || app.notices.get() key=|notice| notice.id let:notice>
                <div
                    class="notice"
                    class:problem=notice.tone == Tone::Problem
                    data-test="notice"
                    data-kind=if notice.tone == Tone::Problem { "error" } else { "info" }
                >
                    {(notice.tone == Tone::Problem).then(|| icon(Icon::Attention))}
                    <p>{notice.text.clone()}</p>
                    <button
                        type="button"
                        class="icon-button"
                        aria-label="Dismiss"
                        on:click=move |_| app.dismiss(notice.id)
                    >
                        {icon(Icon::Close)}
                    </button>
                </div>
            </For>
        </div>
    }
}
