//! How the result came about: device, timings, pack and its model card.

use leptos::prelude::*;
use prism_core::card::{Reading, reading};
use serde_json::Value;

use super::card::Card;
use super::header::device_words;
use super::scan::{Facts, pairs};
use super::side::RunButton;
use crate::facts::{Answer, DeviceReport, PackCard};
use crate::packs::abilities;
use crate::protocol::RunResult;
use crate::state::App;
use crate::text;

/// The panel.
#[component]
pub fn RunPanel(
    /// The page.
    app: App,
) -> impl IntoView {
    view! {
        {move || app.device.get().map(|device| view! { <Facts title="Device" rows=device_rows(&device) /> })}
        {move || {
            app.result
                .get()
                .map(|result| {
                    view! {
                        <TimesTable result=(*result).clone() />
                        {answers(&result.answers)}
                    }
                })
        }}
        {move || app.models.card().or_else(|| app.pack.get()).map(|pack| view! { <Model pack /> })}
        {move || app.card.get().map(|card| view! { <Card card /> })}
        <Show when=move || app.device.with(Option::is_none)>
            <p class="aside">"The device is opened and tested before the first run."</p>
        </Show>
        <label class="check">
            <input
                type="checkbox"
                data-test="automatic"
                prop:checked=move || app.automatic.get()
                on:change=move |event| app.choose_automatic(event_target_checked(&event))
            />
            <span>"Segment a scan when it is opened"</span>
        </label>
        <Show when=move || app.run.with(Option::is_none) && app.result.with(Option::is_some)>
            <RunButton app id="run-again" class="button" words="Segment again" />
        </Show>
    }
}

fn device_rows(device: &DeviceReport) -> Vec<(&'static str, String)> {
    let mut rows = vec![("Runs on", device_words(device))];
    let precision = if device.half_precision {
        "half: 16 bits a number in encoder and decoder"
    } else {
        "single: 32 bits a number"
    };
    rows.push(("Precision", precision.into()));
    rows.push(("Self-test", "passed: a known network gave its known answer".into()));
    if let Some(note) = &device.note {
        rows.push(("Note", text::capitalised(note)));
    }
    rows
}

/// Stages of the run with a bar each.
#[component]
fn TimesTable(result: RunResult) -> impl IntoView {
    let times = &result.times;
    let stages = [
        ("Device and pack", times.open),
        ("Preparing the scan", times.prepare),
        ("Network", times.network),
        ("Labels on the scan's grid", times.labels),
        ("Measures and report", times.measure),
    ];
    let longest = stages.iter().map(|(_, seconds)| *seconds).fold(1e-9, f64::max);
    view! {
        <section
            class="times"
            data-test="timings"
            data-total-ms=format!("{:.0}", times.total * 1000.0)
            data-network-ms=format!("{:.0}", times.network * 1000.0)
        >
            <h3>"Time"</h3>
            <dl>
                {stages
                    .into_iter()
                    .map(|(name, seconds)| {
                        let share = (seconds / longest).clamp(0.0, 1.0);
                        view! {
                            <div class="time">
                                <dt>{name}</dt>
                                <dd>{text::duration(seconds)}</dd>
                                <span class="time-bar" style:transform=format!("scaleX({share:.4})") />
                            </div>
                        }
                    })
                    .collect_view()}
                <div class="time total">
                    <dt>{format!("In all ({})", text::counted(times.windows, "window", "windows"))}</dt>
                    <dd>{text::duration(times.total)}</dd>
                </div>
                <div class="time">
                    <dt>"Memory of the computing part"</dt>
                    <dd>{text::bytes(result.memory_bytes)}</dd>
                </div>
            </dl>
        </section>
    }
}

/// What the heads say that read single answers from the scan, and how well each was measured. What
/// real scans did not bear out is no finding and stays folded.
pub fn answers(answers: &[Answer]) -> impl IntoView + use<> {
    answers
        .iter()
        .map(|answer| {
            let shares = answer.probabilities;
            let rows = answer
                .outputs
                .iter()
                .zip(&answer.values)
                .map(|(output, &value)| answer_row(output, value, shares))
                .collect::<Vec<_>>();
            let values: Vec<String> = answer.values.iter().map(ToString::to_string).collect();
            let list = pairs(rows);
            let words = answer.measured.words.clone();
            let told = if answer.measured.told {
                view! {
                    {list}
                    <p class="aside">{words}</p>
                }
                .into_any()
            } else {
                view! {
                    <p class="aside">{format!("Not shown: {words}.")}</p>
                    <details class="definitions">
                        <summary>"What it says all the same, which is no finding"</summary>
                        {list}
                    </details>
                }
                .into_any()
            };
            view! {
                <section
                    class="facts"
                    data-test="head-answer"
                    data-head=answer.head.clone()
                    data-values=values.join(",")
                >
                    <h3>{text::capitalised(&answer.head.replace('_', " "))}</h3>
                    {told}
                </section>
            }
        })
        .collect_view()
}

/// An output and its value: a probability in percent, another value in its own unit.
fn answer_row(output: &str, value: f32, shares: bool) -> (String, String) {
    let value = f64::from(value);
    if shares {
        return (output.to_owned(), format!("{}%", text::fixed(100.0 * value, 1)));
    }
    let Reading { name, value, unit } = reading(output, value);
    (name, format!("{} {unit}", text::measured(value)).trim_end().to_owned())
}

/// What the pack says of itself.
#[component]
fn Model(pack: PackCard) -> impl IntoView {
    let spacing = text::grid_spacing(pack.spacing_mm);
    let rows = vec![
        ("Pack", pack.title.clone()),
        ("Version", pack.version.clone()),
        ("Gives", abilities(&pack)),
        ("Grid", spacing),
        (
            "Weights",
            format!(
                "{} in {}",
                text::grouped(pack.parameters as u64),
                text::bytes(pack.bytes as f64)
            ),
        ),
        ("SHA-256", pack.sha256.clone()),
    ];
    view! {
        <Facts title="Model" rows />
        {card_section(if pack.imported() { "Not made here" } else { "Training" }, &pack.provenance)}
        {card_section("Measured scores", &pack.scores)}
    }
}

fn card_section(title: &'static str, value: &Value) -> Option<impl IntoView + use<>> {
    let rows = card_rows(value);
    (!rows.is_empty()).then(|| {
        view! {
            <section class="facts">
                <h3>{title}</h3>
                {pairs(rows)}
            </section>
        }
    })
}

/// A JSON object as names and plain texts; nested objects become `outer, inner`.
pub fn card_rows(value: &Value) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    if let Value::Object(entries) = value {
        for (name, value) in entries {
            // A number that counts nothing.
            if let (true, Value::Number(number)) = (name.contains("seed"), value) {
                rows.push((text::capitalised(&name.replace('_', " ")), number.to_string()));
                continue;
            }
            let name = text::capitalised(&name.replace('_', " "));
            match value {
                Value::Null => {}
                Value::Array(items) if items.is_empty() => {}
                Value::Object(_) => rows.extend(
                    card_rows(value)
                        .into_iter()
                        .map(|(inner, text)| (format!("{name}, {}", inner.to_lowercase()), text)),
                ),
                Value::Array(items) => {
                    let line = items.iter().map(card_text).collect::<Vec<_>>().join("; ");
                    rows.push((name, line));
                }
                other => rows.push((name, card_text(other))),
            }
        }
    }
    rows
}

fn card_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => text::grouped(whole),
            (None, Some(value)) => text::measured(value),
            _ => number.to_string(),
        },
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Null => "–".into(),
        Value::Array(items) => items.iter().map(card_text).collect::<Vec<_>>().join(", "),
        Value::Object(entries) => {
            // What it is before what is said of it.
            let (first, rest): (Vec<_>, Vec<_>) =
                entries.iter().partition(|(key, _)| *key == "name");
            let texts = first.into_iter().chain(rest).map(|(_, value)| card_text(value));
            texts.collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::DeviceKind;

    #[test]
    fn probabilities_are_shares_and_values_stand_in_their_own_units() {
        let row = |output, value, shares| {
            let (name, words) = answer_row(output, value, shares);
            format!("{name}: {words}")
        };
        assert_eq!(row("head", 0.745, true), "head: 74.5%");
        assert_eq!(row("age_years", 41.25, false), "age_years: 41.2");
        // math.exp(6.2) = 492.749
        assert_eq!(row("ln TR / ms", 6.2, false), "TR: 493 ms");
    }

    #[test]
    fn half_precision_is_said() {
        for (half_precision, word) in [(true, "half"), (false, "single")] {
            let rows = device_rows(&DeviceReport {
                kind: DeviceKind::Gpu,
                adapter: "Radeon 780M".into(),
                software: false,
                note: None,
                half_precision,
            });
            let row = rows.iter().find(|(name, _)| *name == "Precision");
            assert!(row.is_some_and(|(_, words)| words.starts_with(word)), "{rows:?}");
        }
    }

    #[test]
    fn a_model_card_is_flat_text() {
        let card = serde_json::json!({
            "data": [{ "name": "OASIS", "licence": "CC BY 4.0" }],
            "steps": 24000,
            "mean_dice": { "held_out": 0.8125 },
            "note": "not the published weights",
            "seed": 20261124,
            "comment": null,
        });
        let rows = card_rows(&card);
        let find = |name: &str| rows.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(find("Data"), Some("OASIS, CC BY 4.0"));
        assert_eq!(find("Steps"), Some("24,000"));
        assert_eq!(find("Mean dice, held out"), Some("0.812"));
        assert_eq!(find("Note"), Some("not the published weights"));
        assert_eq!(find("Seed"), Some("20261124"));
        assert_eq!(find("Comment"), None);
    }
}
