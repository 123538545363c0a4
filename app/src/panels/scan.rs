//! What the files say about the scan: geometry, acquisition, and what was odd.

use leptos::prelude::*;
use prism_core::formats::Acquisition;

use super::icons::{Icon, icon};
use super::series::VolumeChoice;
use crate::identify::Identified;
use crate::protocol::{Grid, ScanFacts};
use crate::state::App;
use crate::text;

/// The panel.
#[component]
pub fn ScanPanel(
    /// The page.
    app: App,
) -> impl IntoView {
    let facts = move || app.scan.get();
    view! {
        {move || {
            facts()
                .map(|scan| {
                    let several = scan.study.len() > 1;
                    let count = scan.study.len();
                    view! {
                        <Show when=move || several>
                            <button
                                type="button"
                                class="button"
                                data-test="choose-series"
                                on:click=move |_| app.choose_again()
                            >
                                {icon(Icon::Stack)}
                                <span>{format!("Choose among {count} series")}</span>
                            </button>
                        </Show>
                        <VolumeChoice app />
                        {warnings(&scan.warnings)}
                        <Identified app />
                        <Facts title="Geometry" rows=geometry(&scan) />
                        <Facts title="Acquisition" rows=acquired(scan.acquisition()) />
                        <Facts title="Files" rows=origin(&scan) />
                    }
                })
        }}
    }
}

fn warnings(warnings: &[String]) -> Option<impl IntoView + use<>> {
    let lines: Vec<String> = warnings.to_vec();
    (!lines.is_empty()).then(|| {
        view! {
            <ul class="warnings" aria-label="Warnings">
                {lines
                    .into_iter()
                    .map(|line| view! { <li>{icon(Icon::Attention)} <span>{line}</span></li> })
                    .collect_view()}
            </ul>
        }
    })
}

/// Names and values under a heading; nothing without values.
#[component]
pub fn Facts(
    /// The heading.
    title: &'static str,
    /// Names and values.
    rows: Vec<(&'static str, String)>,
) -> impl IntoView {
    (!rows.is_empty()).then(|| {
        view! {
            <section class="facts">
                <h3>{title}</h3>
                {pairs(rows)}
            </section>
        }
    })
}

/// Names with their values.
pub fn pairs<N: IntoView + 'static>(rows: Vec<(N, String)>) -> impl IntoView + use<N> {
    view! {
        <dl>
            {rows
                .into_iter()
                .map(|(name, value)| view! { <div><dt>{name}</dt><dd>{value}</dd></div> })
                .collect_view()}
        </dl>
    }
}

fn geometry(scan: &ScanFacts) -> Vec<(&'static str, String)> {
    let Grid { dims, affine } = scan.grid;
    let spacing = affine.spacing_mm();
    let extent = [0, 1, 2].map(|axis| (dims[axis] as f64 * spacing[axis]).round());
    let stated = scan.series.unit_stated;
    let orientation = orientation(&affine.orientation());
    vec![
        ("Size", format!("{} voxels", text::by(dims))),
        ("Spacing", text::spacing(spacing, stated)),
        ("Field of view", format!("{} {}", text::by(extent), text::unit("mm", !stated))),
        ("Orientation", text::unit(&orientation, scan.sides_assumed)),
        ("Obliquity", format!("{}°", text::fixed(affine.obliquity_degrees(), 1))),
        (
            "Values",
            format!(
                "{} to {}",
                text::measured(scan.range.0.into()),
                text::measured(scan.range.1.into())
            ),
        ),
    ]
}

/// `RAS` with its meaning spelt out.
fn orientation(letters: &str) -> String {
    let words: Vec<&str> = letters
        .chars()
        .map(|letter| match letter {
            'R' => "right",
            'L' => "left",
            'A' => "anterior",
            'P' => "posterior",
            'S' => "superior",
            _ => "inferior",
        })
        .collect();
    format!("{letters} ({})", words.join(", "))
}

fn acquired(acquisition: &Acquisition) -> Vec<(&'static str, String)> {
    let number =
        |value: Option<f64>, unit: &str| value.map(|v| format!("{} {unit}", text::trimmed(v)));
    let mut rows: Vec<(&'static str, String)> = [
        ("Sequence", acquisition.sequence_name.clone()),
        ("Description", acquisition.description.clone()),
        ("Protocol", acquisition.protocol_name.clone()),
        ("Study date", acquisition.study_date.map(|date| date.to_string())),
        ("Body part", acquisition.body_part.clone()),
        ("Repetition time", number(acquisition.repetition_time_ms, "ms")),
        ("Echo time", number(acquisition.echo_time_ms, "ms")),
        ("Inversion time", number(acquisition.inversion_time_ms, "ms")),
        ("Flip angle", acquisition.flip_angle_deg.map(|v| format!("{}°", text::trimmed(v)))),
        ("Field strength", number(acquisition.field_strength_t, "T")),
        ("Manufacturer", acquisition.manufacturer.clone()),
        ("Contrast agent", acquisition.contrast_agent.clone()),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| (name, value)))
    .collect();
    if rows.is_empty() {
        rows.push(("Sequence", "not stated in the file".into()));
    }
    rows
}

fn origin(scan: &ScanFacts) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("Series", scan.series.title.clone()),
        ("Format", scan.series.format.title().to_owned()),
        ("Files", text::grouped(scan.series.files as u64)),
    ];
    if scan.series.volumes > 1 {
        rows.push(("Volumes", text::grouped(scan.series.volumes as u64)));
    }
    rows.push(("Read in", text::duration(scan.seconds)));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_spelt_out() {
        assert_eq!(orientation("PIR"), "PIR (posterior, inferior, right)");
    }

    #[test]
    fn unknown_acquisition_is_said() {
        assert_eq!(
            acquired(&Acquisition::default()),
            [("Sequence", "not stated in the file".into())]
        );
        let known = Acquisition { echo_time_ms: Some(2.98), ..Acquisition::default() };
        assert_eq!(acquired(&known), [("Echo time", "2.98 ms".into())]);
    }
}
