//! Teaching a new segmentation: classes, brush, fit, scores, and what is done with it.

use leptos::prelude::*;
use prism_core::volume::Label;

use crate::features::Kept;
use crate::features::messages::Fit;
use crate::state::App;
use crate::text;
use crate::viewer::Tool;

/// The part of the panel for painting and fitting.
#[component]
pub fn Teach(
    /// The page.
    app: App,
) -> impl IntoView {
    let features = app.features;
    view! {
        <p class="aside">
            "Paint each class in two places at least, a few strokes each, background too: what is around "
            "counts as much as what is wanted. Open another scan to paint there, too: its examples are added. "
            "Keys in a plane: D paints at the crosshair, U takes back, C goes to the next class."
        </p>
        <Classes app />
        <BrushTools app />
        <Examples app />
        <div class="features-row">
            <button
                type="button"
                class="button primary"
                data-test="teach-fit"
                disabled=move || {
                    app.models.chosen.with(|key| features.scans_with_examples(key.as_ref())) == 0
                        || features.busy.with(Option::is_some)
                        || app.reading.with(Option::is_some)
                }
                on:click=move |_| app.ask_fit()
            >
                "Fit"
            </button>
        </div>
        {move || features.fit.get().map(|fit| view! { <Fitted app fit /> })}
    }
}

/// The classes: which one the brush paints, names, colours.
#[component]
fn Classes(app: App) -> impl IntoView {
    let features = app.features;
    let count = Memo::new(move |_| features.classes.with(Vec::len));
    let row = move |value: u8| {
        let class = move || {
            features.classes.with(|classes| classes.iter().find(|c| c.index == value).cloned())
        };
        let name = move || class().map(|class| class.name).unwrap_or_default();
        view! {
            <li class="teach-class">
                <label class="check">
                    <input
                        type="radio"
                        name="teach-class"
                        data-test=format!("teach-class-{value}")
                        aria-label=move || format!("Paint {}", name())
                        prop:checked=move || features.value.get() == value
                        on:change=move |_| features.value.set(value)
                    />
                </label>
                <input
                    type="color"
                    class="teach-colour"
                    aria-label=move || format!("Colour of {}", name())
                    prop:value=move || class().map(|class| hexadecimal(&class)).unwrap_or_default()
                    on:change=move |event| {
                        if let Some(color) = rgb(&event_target_value(&event)) {
                            app.change_class(value, |class| class.color = color);
                        }
                    }
                />
                <input
                    type="text"
                    class="teach-name"
                    maxlength="40"
                    aria-label=format!("Name of class {value}")
                    prop:value=name
                    on:change=move |event| {
                        let name = event_target_value(&event);
                        app.change_class(value, |class| class.name = name.trim().to_owned());
                    }
                />
            </li>
        }
    };
    view! {
        <ul class="teach-classes" aria-label="Classes">
            {move || (1..=count.get() as u8).map(row).collect_view()}
            <li class="teach-class">
                <label class="check">
                    <input
                        type="radio"
                        name="teach-class"
                        data-test="teach-erase"
                        prop:checked=move || features.value.get() == 0
                        on:change=move |_| features.value.set(0)
                    />
                    <span>"Erase"</span>
                </label>
            </li>
        </ul>
        <button
            type="button"
            class="button quiet"
            data-test="teach-add"
            on:click=move |_| app.add_class()
        >
            "Add a class"
        </button>
    }
}

/// Size of the brush, painting without a mouse, undo.
#[component]
fn BrushTools(app: App) -> impl IntoView {
    let features = app.features;
    let brush = move || app.view.tool.get() == Tool::Brush;
    view! {
        <label class="teach-size">
            <span>"Brush"</span>
            <input
                type="range"
                min="1"
                max="30"
                step="1"
                data-test="teach-size"
                prop:value=move || format!("{:.0}", features.brush_mm.get())
                on:input=move |event| {
                    if let Ok(size) = event_target_value(&event).parse::<f64>() {
                        features.brush_mm.set(size.clamp(1.0, 30.0));
                    }
                }
            />
            <span>{move || format!("{:.0} mm", features.brush_mm.get())}</span>
        </label>
        <div class="features-row">
            <button
                type="button"
                class="button quiet"
                data-test="teach-brush"
                aria-pressed=move || brush().to_string()
                on:click=move |_| {
                    app.view.tool.set(if brush() { Tool::Crosshair } else { Tool::Brush });
                }
            >
                "Brush in hand"
            </button>
            <button
                type="button"
                class="button quiet"
                data-test="teach-here"
                on:click=move |_| app.paint_at_crosshair()
            >
                "Paint at the crosshair"
            </button>
            <button
                type="button"
                class="button quiet"
                data-test="teach-undo"
                disabled=move || features.strokes.get() == 0
                on:click=move |_| app.undo_stroke()
            >
                "Undo"
            </button>
        </div>
    }
}

/// The scans that examples are of, each with the way to drop them.
#[component]
fn Examples(app: App) -> impl IntoView {
    let features = app.features;
    let row = move |kept: Kept| {
        let places: usize = kept.examples.places.iter().sum();
        let goes = {
            let kept = kept.clone();
            move || app.models.chosen.with(|key| kept.goes_with(key.as_ref()))
        };
        let scan = if kept.open { "This scan".to_owned() } else { kept.title.clone() };
        let label = format!("Drop the examples of {scan}");
        let id = kept.id;
        view! {
            <li class="teach-class" data-test="teach-scan">
                <span class="teach-scan">
                    {scan}
                    <span class="aside">
                        {format!(
                            " {}, {}",
                            text::counted(places, "place", "places"),
                            text::counted(kept.examples.voxels, "voxel", "voxels"),
                        )}
                        {move || if goes() { "" } else { "; of another model, not used" }}
                    </span>
                </span>
                <button
                    type="button"
                    class="button quiet"
                    data-test="teach-drop"
                    aria-label=label
                    on:click=move |_| app.drop_examples(id)
                >
                    "Drop"
                </button>
            </li>
        }
    };
    let scans = Memo::new(move |_| {
        app.models.chosen.with(|key| features.scans_with_examples(key.as_ref()))
    });
    view! {
        <Show when=move || features.examples.with(|all| !all.is_empty())>
            <p data-test="teach-scans" data-scans=move || scans.get().to_string()>
                {move || format!("Examples of {}", text::counted(scans.get(), "scan", "scans"))}
            </p>
            <ul class="teach-classes" aria-label="Scans with examples">
                {move || features.examples.get().into_iter().map(row).collect_view()}
            </ul>
        </Show>
    }
}

/// How the fit went, and what is done with it.
#[component]
fn Fitted(app: App, fit: Fit) -> impl IntoView {
    let scores = fit
        .classes
        .iter()
        .map(|(name, score)| {
            let score = score.map_or_else(|| "–".into(), percent);
            view! { <div><dt>{name.clone()}</dt><dd>{score}</dd></div> }
        })
        .collect_view();
    view! {
        <section
            class="facts"
            data-test="teach-scores"
            data-folds=fit.folds.to_string()
            data-left-out=if fit.by_scan { "scans" } else { "places" }
        >
            <h3>
                {if fit.by_scan { "Recognised in scans left out" } else { "Recognised in places left out" }}
            </h3>
            <dl>
                {scores}
                {fit.mean.map(|mean| view! { <div><dt>"Mean"</dt><dd>{percent(mean)}</dd></div> })}
            </dl>
            <p class="aside">
                {format!(
                    "Fitted on {} of {}. ",
                    text::counted(fit.voxels, "voxel", "voxels"),
                    text::counted(fit.scans, "scan", "scans"),
                )}
                {fit.note.as_deref().map(crate::actions::sentence)}
            </p>
        </section>
        <div class="features-row">
            <button
                type="button"
                class="button primary"
                data-test="teach-segment"
                disabled=move || app.run.with(Option::is_some)
                on:click=move |_| app.segment_fitted()
            >
                "Segment with it"
            </button>
            <button
                type="button"
                class="button"
                data-test="teach-save"
                on:click=move |_| app.save_fitted()
            >
                "Save as model"
            </button>
            <button
                type="button"
                class="button"
                data-test="teach-keep"
                on:click=move |_| app.keep_fitted()
            >
                "Keep among the models"
            </button>
        </div>
    }
}

fn percent(share: f64) -> String {
    format!("{}%", text::fixed(100.0 * share, 0))
}

fn hexadecimal(class: &Label) -> String {
    let [red, green, blue] = class.color;
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// `#rrggbb` as three bytes.
fn rgb(text: &str) -> Option<[u8; 3]> {
    let value = u32::from_str_radix(text.strip_prefix('#').filter(|d| d.len() == 6)?, 16).ok()?;
    Some([16, 8, 0].map(|shift| (value >> shift) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_back_from_their_digits() {
        assert_eq!(rgb("#e69f00"), Some([230, 159, 0]));
        assert_eq!(rgb("#e69f0"), None);
        assert_eq!(rgb("red"), None);
    }
}
