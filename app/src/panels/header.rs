//! The bar at the top: whose page this is, which scan is open, on what it runs.

use std::sync::Arc;

use leptos::prelude::*;

use super::icons::{Icon, icon};
use super::models::ModelChip;
use super::start::{SampleButton, ScanPickers};
use crate::facts::{DeviceChoice, DeviceKind, DeviceReport};
use crate::protocol::ScanFacts;
use crate::state::App;
use crate::text;

/// The header.
#[component]
pub fn Header(
    /// The page.
    app: App,
) -> impl IntoView {
    let name = move || app.scan.with(|scan| scan.as_ref().map(|scan| scan.series.title.clone()));
    let volume = move || {
        app.scan.with(|scan| {
            let scan = scan.as_ref()?;
            let of = scan.series.volumes;
            (of > 1).then(|| format!("· volume {} of {of}", scan.volume + 1))
        })
    };
    let title = move || match (name(), volume()) {
        (Some(name), Some(volume)) => Some(format!("{name} {volume}")),
        (name, _) => name,
    };
    let offline = app.offline;
    view! {
        <header class="header" class:titled=move || !app.is_empty()>
            <span class="brand">{icon(Icon::Prism)} <span>"Prism"</span></span>
            <span
                class="scan-title"
                title=title
                data-test="scan-title"
                data-dims=move || app.scan.with(|scan| scan.as_ref().map(|s| joined(s.grid.dims)))
                data-spacing=move || app.scan.with(|scan| scan.as_ref().map(spacing))
            >
                <span class="scan-name">{name}</span>
                <span data-test="scan-volume">{volume}</span>
            </span>
            <Show when=move || !app.is_empty()>
                <div class="header-actions">
                    <ScanPickers app classes=("button quiet", "button quiet") />
                    <SampleButton app class="button quiet" />
                </div>
            </Show>
            <span
                class="privacy"
                title=move || offline.get().then_some("This page also opens without a network")
                data-test="privacy"
                data-offline=move || offline.get().to_string()
            >
                {icon(Icon::Lock)}
                <span>"Nothing leaves this device"</span>
            </span>
            <ModelChip app />
            <DeviceChip app />
        </header>
    }
}

/// `176x192x170`: for programs that read the page.
fn joined<T: ToString>(values: [T; 3]) -> String {
    values.map(|value| value.to_string()).join("x")
}

fn spacing(scan: &Arc<ScanFacts>) -> String {
    joined(scan.grid.affine.spacing_mm().map(text::trimmed))
}

/// What runs, in two or three words.
pub fn device_words(device: &DeviceReport) -> String {
    match (device.kind, device.software) {
        (DeviceKind::Gpu, false) => format!("GPU · {}", device.adapter),
        (DeviceKind::Gpu, true) => format!("Software GPU · {}", device.adapter),
        (DeviceKind::Cpu, _) => "CPU".into(),
    }
}

/// The words of a choice of device.
const fn choice_words(choice: DeviceChoice) -> &'static str {
    match choice {
        DeviceChoice::Auto => "Automatic: the GPU where there is one",
        DeviceChoice::Gpu => "GPU, also where it is software",
        DeviceChoice::Cpu => "CPU",
    }
}

/// The chip that names the device; a native choice lies over it.
#[component]
fn DeviceChip(
    /// The page.
    app: App,
) -> impl IntoView {
    let words = move || {
        app.device.with(|device| match device {
            Some(device) => device_words(device),
            None => match app.device_choice.get() {
                DeviceChoice::Auto => "Automatic".to_owned(),
                DeviceChoice::Gpu => "GPU".to_owned(),
                DeviceChoice::Cpu => "CPU".to_owned(),
            },
        })
    };
    let kind = move || {
        app.device.with(|device| {
            device.as_ref().map(|device| match device.kind {
                DeviceKind::Gpu => "gpu",
                DeviceKind::Cpu => "cpu",
            })
        })
    };
    let kind = move || kind().unwrap_or("unknown");
    let software = move || {
        app.device.with(|device| {
            device.as_ref().map(|device| if device.software { "true" } else { "false" })
        })
    };
    let option = move |choice: DeviceChoice| {
        view! {
            <option value=choice.key() selected=move || app.device_choice.get() == choice>
                {choice_words(choice)}
            </option>
        }
    };
    view! {
        <label class="chip">
            {icon(Icon::Chip)}
            <span data-test="device-report" data-kind=kind data-software=software>{words}</span>
            <select
                aria-label=move || format!("Compute on; now: {}", words())
                title="Compute on"
                data-test="device-choice"
                prop:value=move || app.device_choice.get().key()
                on:change=move |event| app.choose_device(DeviceChoice::of(&event_target_value(&event)))
            >
                {option(DeviceChoice::Auto)}
                {option(DeviceChoice::Gpu)}
                {option(DeviceChoice::Cpu)}
            </select>
        </label>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_is_said() {
        let of = |kind, adapter: &str, software| {
            device_words(&DeviceReport {
                kind,
                adapter: adapter.into(),
                software,
                note: None,
                half_precision: false,
            })
        };
        assert_eq!(of(DeviceKind::Gpu, "Radeon 780M", false), "GPU · Radeon 780M");
        assert_eq!(of(DeviceKind::Gpu, "SwiftShader", true), "Software GPU · SwiftShader");
        assert_eq!(of(DeviceKind::Cpu, "CPU", false), "CPU");
    }
}
