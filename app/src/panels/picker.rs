//! The browser's picker behind a button, and the line of what takes time with its way out.

use leptos::html::Input;
use leptos::prelude::*;
use web_sys::{File, HtmlInputElement};

use super::icons::{Icon, icon};
use crate::files;
use crate::state::{App, Tone};

/// A button that opens the browser's picker.
#[component]
pub fn FilePicker(
    /// The page.
    app: App,
    /// Names of the button and of its input for tests.
    hooks: (&'static str, &'static str),
    /// Classes of the button.
    #[prop(default = "button")]
    class: &'static str,
    /// Its words.
    label: &'static str,
    /// Its sign.
    #[prop(optional)]
    sign: Option<Icon>,
    /// A folder with everything in it, instead of files.
    #[prop(optional)]
    folder: bool,
    /// Endings that are offered; all where it says nothing.
    #[prop(optional)]
    accept: &'static str,
    /// When nothing can be picked.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// What is done with the files.
    take: impl Fn(Vec<File>) + 'static,
) -> impl IntoView {
    let input = NodeRef::<Input>::new();
    let picked = move |_| {
        let Some(input) = input.get_untracked() else { return };
        let input: HtmlInputElement = input;
        if let Some(list) = input.files() {
            match files::from_list(&list) {
                Ok(files) => take(files),
                Err(error) => app.notify(Tone::Problem, error.to_string()),
            }
        }
        // The same file again is a change, too.
        input.set_value("");
    };
    Effect::new(move || {
        if let (Some(input), true) = (input.get(), folder) {
            // Not in the typed attributes of the element.
            let _ = input.set_attribute("webkitdirectory", "");
        }
    });
    view! {
        <button
            type="button"
            class=class
            data-test=hooks.0
            aria-label=label
            disabled=move || disabled.get()
            on:click=move |_| {
                if let Some(input) = input.get_untracked() {
                    input.click();
                }
            }
        >
            {sign.map(icon)}
            <span>{label}</span>
        </button>
        <input
            type="file"
            class="picker"
            accept=accept
            data-test=hooks.1
            multiple=true
            tabindex="-1"
            aria-hidden="true"
            node_ref=input
            on:change=picked
        />
    }
}

/// What is being done, with "Cancel" while it is.
#[component]
pub fn Busy(
    /// The words; none while nothing is done.
    words: RwSignal<Option<String>>,
    /// Names of the line and of its button for tests.
    hooks: (&'static str, &'static str),
    /// What ends it.
    cancel: impl Fn() + Clone + Send + Sync + 'static,
) -> impl IntoView {
    let working = Memo::new(move |_| words.with(Option::is_some));
    view! {
        <p class="busy" role="status" aria-live="polite" data-test=hooks.0>
            {move || words.get()}
            <Show when=move || working.get()>
                <button
                    type="button"
                    class="button quiet"
                    data-test=hooks.1
                    on:click={
                        let cancel = cancel.clone();
                        move |_| cancel()
                    }
                >
                    "Cancel"
                </button>
            </Show>
        </p>
    }
}
