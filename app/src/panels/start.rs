//! What a person sees first, and the pickers that the header shares with it.

use leptos::prelude::*;

use super::icons::{Icon, icon};
use super::picker::FilePicker;
use crate::state::App;

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
                    <ScanPickers app classes=("button primary", "button") />
                    <SampleButton app class="button" />
                </div>
                <p class="start-formats">
                    "NIfTI (.nii, .nii.gz), NRRD, DICOM as files, folder or zip."
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

/// The two pickers of scans.
#[component]
pub fn ScanPickers(
    /// The page.
    app: App,
    /// Classes of the buttons: of files, of a folder.
    classes: (&'static str, &'static str),
) -> impl IntoView {
    view! {
        <FilePicker
            app
            hooks=("pick-files", "file-input")
            class=classes.0
            label="Open files"
            sign=Icon::File
            take=move |files| app.open(files)
        />
        <FilePicker
            app
            hooks=("pick-folder", "folder-input")
            class=classes.1
            label="Open a folder"
            sign=Icon::Folder
            folder=true
            take=move |files| app.open(files)
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
