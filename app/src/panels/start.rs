//! What a person sees first, and the pickers that the header shares with it.

use leptos::html::Input;
use leptos::prelude::*;
use web_sys::HtmlInputElement;

use super::icons::{Icon, icon};
use crate::files;
use crate::state::{App, Tone};

/// The screen without a scan: what to do, in one sentence and three buttons.
#[component]
pub fn Start(
    /// The page.
    app: App,
) -> impl IntoView {
    view! {
        <section class="start" aria-labelledby="start-title">
            <div class="start-text">
                <h1 id="start-title">"Drop an MRI scan"</h1>
                <p class="start-lead">
                    "See its brain structures outlined and measured, and read the report. "
                    "Everything is computed here, on this device."
                </p>
                <div class="start-actions">
                    <FilePicker app kind=Picker::Files class="button primary" label="Open files" />
                    <FilePicker app kind=Picker::Folder class="button" label="Open a folder" />
                    <SampleButton app class="button" />
                </div>
                <p class="start-formats">
                    "NIfTI (.nii, .nii.gz), DICOM as files, folder or zip."
                    <br />
                    "No scan at hand? The sample is a T1-weighted scan of a whole head."
                </p>
            </div>
            <ul class="start-facts">
                <li>
                    {icon(Icon::Lock)}
                    <div>
                        <h2>"Stays on this device"</h2>
                        <p>"No server, no account. The scan is never sent anywhere."</p>
                    </div>
                </li>
                <li>
                    {icon(Icon::Chip)}
                    <div>
                        <h2>"Runs on your graphics card"</h2>
                        <p>"Through WebGPU, or on the processor where there is none."</p>
                    </div>
                </li>
                <li>
                    {icon(Icon::Target)}
                    <div>
                        <h2>"Every sentence has its source"</h2>
                        <p>"From the report back to the number and to the voxels."</p>
                    </div>
                </li>
            </ul>
        </section>
    }
}

/// What a picker picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picker {
    /// One or more files.
    Files,
    /// A folder with everything in it.
    Folder,
}

/// A button that opens the browser's picker.
#[component]
pub fn FilePicker(
    /// The page.
    app: App,
    /// What it picks.
    kind: Picker,
    /// Classes of the button.
    class: &'static str,
    /// Its words.
    label: &'static str,
) -> impl IntoView {
    let input = NodeRef::<Input>::new();
    let picked = move |_| {
        let Some(input) = input.get_untracked() else { return };
        let input: HtmlInputElement = input;
        if let Some(list) = input.files() {
            match files::from_list(&list) {
                Ok(files) => app.open(files),
                Err(error) => app.notify(Tone::Problem, error.to_string()),
            }
        }
        // The same file again is a change, too.
        input.set_value("");
    };
    let sign = match kind {
        Picker::Files => Icon::File,
        Picker::Folder => Icon::Folder,
    };
    let id = match kind {
        Picker::Files => "pick-files",
        Picker::Folder => "pick-folder",
    };
    let hook = match kind {
        Picker::Files => "file-input",
        Picker::Folder => "folder-input",
    };
    Effect::new(move || {
        if let (Some(input), Picker::Folder) = (input.get(), kind) {
            // Not in the typed attributes of the element.
            let _ = input.set_attribute("webkitdirectory", "");
        }
    });
    view! {
        <button
            type="button"
            class=class
            data-test=id
            aria-label=label
            on:click=move |_| {
                if let Some(input) = input.get_untracked() {
                    input.click();
                }
            }
        >
            {icon(sign)}
            <span>{label}</span>
        </button>
        <input
            type="file"
            class="picker"
            data-test=hook
            multiple=true
            tabindex="-1"
            aria-hidden="true"
            node_ref=input
            on:change=picked
        />
    }
}

/// The button that opens the sample scan.
#[component]
pub fn SampleButton(
    /// The page.
    app: App,
    /// Classes of the button.
    class: &'static str,
) -> impl IntoView {
    view! {
        <button
            type="button"
            class=class
            data-test="sample-button"
            aria-label="Try the sample scan"
            on:click=move |_| app.open_sample()
        >
            {icon(Icon::Head)}
            <span>"Try the sample scan"</span>
        </button>
    }
}
