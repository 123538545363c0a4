//! The map of abnormality: its button, colours, scale, and how weak it is, from the scores in the
//! pack's own description (`training.lesions.abnormality`).

use leptos::prelude::*;
use serde_json::Value;

use super::Overlay;
use super::messages::Mapped;
use crate::diverging::{self, Scale};
use crate::facts::PackCard;
use crate::panels::device_words;
use crate::state::App;
use crate::text;

/// Where colour begins for a pack whose healthy scans were not measured, robust deviations.
const BEGINS: f64 = 3.0;

/// Area under the curve that a map has to reach to be of any use for finding lesions.
const USEFUL: f64 = 0.7;

/// The end of the scale, times where colour begins.
const REACH: f64 = 3.0;

/// Where colour begins, robust deviations: 99 of 100 places of healthy brains stay below.
pub fn begins(scores: &Value) -> f64 {
    healthy(scores).map_or(BEGINS, |(_, size)| size)
}

/// Healthy scans of the scores, and the size that 99 of 100 of their places stay below in the
/// median scan.
fn healthy(scores: &Value) -> Option<(u64, f64)> {
    let scores = &scores["abnormality"];
    let size = scores["healthy_99"].as_f64().filter(|size| *size > 0.0)?;
    Some((scores["healthy_scans"].as_u64()?, size))
}

/// Red, green, blue, alpha of a deviation, colours multiplied by alpha; none before `begins`.
pub fn colour(deviation: f32, begins: f64) -> [u8; 4] {
    let size = f64::from(deviation.abs());
    if size.is_nan() || size < begins {
        return [0; 4];
    }
    diverging::colour(deviation > 0.0, (size / begins - 1.0) / (REACH - 1.0))
}

/// What the map is, and how weak.
pub fn caution(scores: &Value) -> String {
    let what = "Where this scan differs from what a network without any knowledge of lesions would \
                draw of the same anatomy. A difference is no finding.";
    format!("{what} {}", weakness(&scores["abnormality"]).unwrap_or_else(unmeasured))
}

fn unmeasured() -> String {
    "How well it shows lesions was not measured.".into()
}

fn weakness(scores: &Value) -> Option<String> {
    let number = |name: &str| scores[name].as_f64();
    let best = number("mean_auc")?.max(number("mean_signed_auc").unwrap_or(0.0));
    let useless = if best < USEFUL { " It does not find such lesions." } else { "" };
    // Packs that were scored before hold the blurred grey alone, and nothing of the sign.
    let signed = signed(scores).unwrap_or_default();
    let grey = number("mean_grey_auc")
        .map(|area| format!("the grey alone: {}; ", text::fixed(area, 2)))
        .unwrap_or_default();
    Some(format!(
        "In {} of {} patients with multiple sclerosis it ranked drawn lesions above the rest of the \
         brain with an area under the curve of {}, {} at worst (chance: {}; {grey}the blurred grey: {}).{signed}{useless}",
        text::counted(scores["scans"].as_object()?.len(), "scan", "scans"),
        scores["patients"].as_u64()?,
        text::fixed(number("mean_auc")?, 2),
        text::fixed(number("worst_auc")?, 2),
        text::fixed(0.5, 2),
        text::fixed(number("mean_baseline_auc")?, 2),
    ))
}

/// The same where the colour counts: the side on which such lesions lie.
fn signed(scores: &Value) -> Option<String> {
    let area = |name: &str| Some(text::fixed(scores[name].as_f64()?, 2));
    Some(format!(
        " Where only brighter counts on FLAIR and T2w and only darker on T1w: {} (the grey alone: {}; \
         the blurred grey: {}).",
        area("mean_signed_auc")?,
        area("mean_signed_grey_auc")?,
        area("mean_signed_baseline_auc")?,
    ))
}

/// The button, the scale, the file.
#[component]
pub fn AbnormalityMap(
    /// The page.
    app: App,
    /// Whether the worker is at a question about lesions.
    busy: Memo<bool>,
) -> impl IntoView {
    let lesions = app.lesions;
    let pack = Memo::new(move |_| app.models.pretrained());
    let shown = Memo::new(move |_| lesions.overlay.get() == Overlay::Abnormality);
    let press = move |_| {
        if shown.get_untracked() {
            app.show_overlay(Overlay::Structures);
        } else if lesions.mapped.with_untracked(Option::is_some) {
            app.show_overlay(Overlay::Abnormality);
        } else {
            app.map_abnormality();
        }
    };
    let offered = move |PackCard { scores, .. }: PackCard| {
        let words = caution(&scores);
        view! {
            <section class="facts" data-test="abnormality" data-shown=move || shown.get().to_string()>
                <h3>"Abnormality map"</h3>
                <p class="lesions-caution" role="note" data-test="abnormality-caution">
                    {words}
                </p>
                <button
                    type="button"
                    class="button"
                    data-test="abnormality-show"
                    aria-pressed=move || shown.get().to_string()
                    disabled=move || busy.get() || app.run.with(Option::is_some)
                    on:click=press
                >
                    {move || if shown.get() { "Hide abnormality map" } else { "Show abnormality map" }}
                </button>
                {move || {
                    let mapped = lesions.mapped.get().filter(|_| shown.get());
                    mapped.map(|mapped| view! { <Shown app busy mapped scores=scores.clone() /> })
                }}
            </section>
        }
    };
    move || pack.get().map(offered)
}

/// What goes with the map while it is shown.
#[component]
fn Shown(app: App, busy: Memo<bool>, mapped: Mapped, scores: Value) -> impl IntoView {
    let [x, y, z] = mapped.largest_mm.map(|mm| text::fixed(mm, 0));
    let how = format!(
        "The largest difference, {} deviations, lies at {x}, {y}, {z} mm. The scan was blurred by {} mm \
         to be as smooth as its rendering; their correlation in the brain is {}. {} on {}.",
        text::fixed(mapped.largest, 1),
        text::fixed(mapped.blur_mm, 0),
        text::fixed(mapped.correlation, 2),
        text::duration(mapped.seconds),
        device_words(&mapped.device),
    );
    let begins = mapped.begins;
    let below = match healthy(&scores) {
        Some((scans, _)) => format!(
            "99 of 100 places of the brain in {} stay below it.",
            text::counted(scans as usize, "healthy scan", "healthy scans"),
        ),
        None => "healthy scans were not measured.".to_owned(),
    };
    let caption = format!(
        "Scan against its rendering, in robust standard deviations of the neighbourhood: brighter to the \
         right, darker to the left. Less than {} has no colour: {below}",
        text::fixed(begins, 1),
    );
    let tick = |times: f64| {
        let sign = if times > 0.0 { "+" } else { "\u{2212}" };
        (times / REACH, format!("{sign}{} σ", text::fixed(times.abs() * begins, 1)))
    };
    view! {
        <Scale
            colour=move |place| colour((place * REACH * begins) as f32, begins)
            ticks=[-3.0, -2.0, -1.0, 1.0, 2.0, 3.0].map(tick).to_vec()
            label="Scale of the abnormality map"
            hook="abnormality-legend"
            caption
        />
        <p class="aside" data-test="abnormality-how">{how}</p>
        <button
            type="button"
            class="button quiet"
            data-test="abnormality-largest"
            on:click=move |_| app.view.crosshair_mm.set(mapped.largest_mm)
        >
            "Go to the largest difference"
        </button>
        <button
            type="button"
            class="button quiet"
            data-test="abnormality-save"
            aria-label="Save the abnormality map on the scan's grid (NIfTI)"
            disabled=move || busy.get()
            on:click=move |_| app.save_abnormality_map()
        >
            "Save map"
        </button>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores() -> Value {
        serde_json::json!({ "abnormality": {
            "scans": { "patient07 FLAIR": {}, "patient19 FLAIR": {} }, "patients": 2,
            "mean_auc": 0.614, "worst_auc": 0.488, "mean_baseline_auc": 0.7, "mean_grey_auc": 0.53,
            "healthy_scans": 19, "healthy_99": 2.9,
        } })
    }

    #[test]
    fn colour_begins_where_healthy_brains_end() {
        assert_eq!(begins(&scores()), 2.9);
        assert_eq!(begins(&Value::Null), BEGINS);
        for none in [0.0, 2.8, -2.8, f32::NAN] {
            assert_eq!(colour(none, 2.9), [0; 4], "{none}");
        }
        assert_eq!(colour(8.71, 2.9), diverging::colour(true, 1.0));
        assert_eq!(colour(-30.0, 2.9), diverging::colour(false, 1.0));
        assert!(colour(3.0, 2.9)[3] < colour(6.0, 2.9)[3]);
    }

    #[test]
    fn the_caution_says_the_number() {
        let said = caution(&scores());
        let expected = "In 2 scans of 2 patients with multiple sclerosis it ranked drawn lesions above \
                        the rest of the brain with an area under the curve of 0.61, 0.49 at worst \
                        (chance: 0.50; the grey alone: 0.53; the blurred grey: 0.70). It does not \
                        find such lesions.";
        assert!(said.contains(expected), "{said}");
        let mut both = scores();
        for (name, area) in [("", 0.517), ("_grey", 0.566), ("_baseline", 0.604)] {
            both["abnormality"][format!("mean_signed{name}_auc")] = area.into();
        }
        let signed = "0.70). Where only brighter counts on FLAIR and T2w and only darker on T1w: 0.52 \
                      (the grey alone: 0.57; the blurred grey: 0.60). It does not find such lesions.";
        assert!(caution(&both).contains(signed), "{}", caution(&both));
        both["abnormality"]["mean_signed_auc"] = 0.8.into();
        assert!(!caution(&both).contains("does not find"));
        let mut before = scores();
        before["abnormality"]["mean_grey_auc"] = Value::Null;
        assert!(caution(&before).contains("(chance: 0.50; the blurred grey: 0.70)"));
        assert!(caution(&Value::Null).contains("was not measured"));
    }
}
