//! The row of tools above the panes, and the line of readings beneath them.

use leptos::prelude::*;

use super::captions::sides;
use super::icons::{Glyph, glyph};
use super::readout::{decimals_for, number};
use super::shown::Shown;
use super::state::{Layout, Pane, SolidMode, Tool, ViewState};

/// Tools, layout, window, sides, structures.
#[component]
pub fn Toolbar(
    /// State and data.
    shown: Shown,
) -> impl IntoView {
    let state = shown.state;
    view! {
        <div class="viewer-tools" role="toolbar" aria-label="Viewer tools">
            <div class="tool-group" role="group" aria-label="Left button">
                <ToolButton state tool=Tool::Crosshair icon=Glyph::Crosshair name="Crosshair" />
                <ToolButton state tool=Tool::Window icon=Glyph::Window name="Window and level" />
                <ToolButton state tool=Tool::Pan icon=Glyph::Pan name="Pan" />
                <ToolButton state tool=Tool::Zoom icon=Glyph::Zoom name="Zoom" />
            </div>
            <div class="tool-group" role="group" aria-label="Layout">
                <Switch
                    name="Four views"
                    icon=Glyph::Grid
                    on=Signal::derive(move || state.layout.get() == Layout::Grid)
                    press=Callback::new(move |()| state.layout.set(Layout::Grid))
                />
                <Switch
                    name="One large view, three beside it"
                    icon=Glyph::Large
                    on=Signal::derive(move || matches!(state.layout.get(), Layout::Large(_)))
                    press=Callback::new(move |()| {
                        state.layout.set(Layout::Large(state.active.get_untracked()));
                    })
                />
                <Switch
                    name="One view"
                    icon=Glyph::Single
                    on=Signal::derive(move || matches!(state.layout.get(), Layout::Single(_)))
                    press=Callback::new(move |()| {
                        state.layout.set(Layout::Single(state.active.get_untracked()));
                    })
                />
                <button
                    type="button"
                    class="tool"
                    title="Whole images again"
                    aria-label="Whole images again"
                    on:click=move |_| Pane::ALL.iter().for_each(|&pane| state.reset_pane(pane))
                >
                    {glyph(Glyph::Reset)}
                </button>
            </div>
            <div class="tool-group" role="group" aria-label="Grey values">
                <button
                    type="button"
                    class="tool tool-text"
                    title="Automatic window (W)"
                    on:click=move |_| state.reset_window()
                >
                    "Auto"
                </button>
                <Switch
                    name="Invert grey values (I)"
                    icon=Glyph::Invert
                    on=Signal::derive(move || state.inverted.get())
                    press=Callback::new(move |()| state.inverted.update(|on| *on = !*on))
                />
                <Show when=move || shown.frame.get().is_some_and(|f| f.thick_axes() != [0.0; 3])>
                    <Switch
                        name="Blend thick slices (B)"
                        icon=Glyph::Slices
                        on=Signal::derive(move || state.blended.get())
                        press=Callback::new(move |()| state.blended.update(|on| *on = !*on))
                    />
                </Show>
            </div>
            <div class="tool-group" role="group" aria-label="Sides">
                <button
                    type="button"
                    class="tool tool-text tool-sides"
                    data-test="convention-toggle"
                    data-convention=move || {
                        if state.radiological.get() { "radiological" } else { "neurological" }
                    }
                    title=move || format!("{} (N)", sides(state.radiological.get()).concat())
                    on:click=move |_| state.radiological.update(|on| *on = !*on)
                >
                    {move || sides(state.radiological.get())[0]}
                </button>
            </div>
            <Show when=move || {
                shown.labels.with(Option::is_some) || shown.colours.with(Option::is_some)
            }>
                <OverlayTools state />
            </Show>
            <div class="tool-group tool-last" role="group" aria-label="Help">
                <button
                    type="button"
                    class="tool tool-text"
                    title="Keys and gestures (H)"
                    aria-label="Keys and gestures"
                    aria-expanded=move || state.help.get().to_string()
                    on:click=move |_| state.help.update(|on| *on = !*on)
                >
                    "?"
                </button>
            </div>
        </div>
    }
}

/// Structures on and off, opacity, outlines, the three-dimensional view.
#[component]
fn OverlayTools(state: ViewState) -> impl IntoView {
    view! {
        <div class="tool-group" role="group" aria-label="Structures">
            <button
                type="button"
                class="tool tool-text"
                title="Structures on and off (O)"
                aria-pressed=move || state.overlay_shown.get().to_string()
                on:click=move |_| state.overlay_shown.update(|on| *on = !*on)
            >
                "Structures"
            </button>
            <input
                type="range"
                class="tool-range"
                data-test="overlay-opacity"
                min="0"
                max="100"
                step="5"
                title="Opacity of the structures ([ and ])"
                aria-label="Opacity of the structures in percent"
                prop:value=move || format!("{:.0}", state.overlay_opacity.get() * 100.0)
                on:input=move |event| {
                    if let Ok(percent) = event_target_value(&event).parse::<f64>() {
                        state.overlay_opacity.set((percent / 100.0).clamp(0.0, 1.0));
                        state.overlay_shown.set(true);
                    }
                }
            />
            <Switch
                name="Outlines only (L)"
                icon=Glyph::Outline
                on=Signal::derive(move || state.outlines.get())
                press=Callback::new(move |()| state.outlines.update(|on| *on = !*on))
            />
            <Switch
                name="Structures in 3D, or the scan\u{2019}s maximum intensity"
                icon=Glyph::Cube
                on=Signal::derive(move || state.solid.get() == SolidMode::Structures)
                press=Callback::new(move |()| {
                    state.solid.update(|mode| {
                        *mode = match *mode {
                            SolidMode::Structures => SolidMode::Projection,
                            SolidMode::Projection => SolidMode::Structures,
                        };
                    });
                })
            />
        </div>
    }
}

/// A button that stays down.
#[component]
fn Switch(name: &'static str, icon: Glyph, on: Signal<bool>, press: Callback<()>) -> impl IntoView {
    view! {
        <button
            type="button"
            class="tool"
            title=name
            aria-label=name
            aria-pressed=move || on.get().to_string()
            on:click=move |_| press.run(())
        >
            {glyph(icon)}
        </button>
    }
}

/// A choice of what the left button does.
#[component]
fn ToolButton(state: ViewState, tool: Tool, icon: Glyph, name: &'static str) -> impl IntoView {
    let on = Signal::derive(move || state.tool.get() == tool);
    view! { <Switch name icon on press=Callback::new(move |()| state.tool.set(tool)) /> }
}

/// What is under the mouse, otherwise at the crosshair; and the window.
#[component]
pub fn Readings(
    /// State and data.
    shown: Shown,
) -> impl IntoView {
    let state = shown.state;
    let hovering = move || state.hovered.with(Option::is_some);
    let readout =
        Memo::new(move |_| state.hovered.get().or_else(|| shown.readout(state.crosshair_mm.get())));
    let text = move |read: fn(&super::Readout) -> String| {
        move || readout.with(|r| r.as_ref().map(read).unwrap_or_default())
    };
    let structure = move || {
        readout.get().and_then(|r| r.structure).map(|structure| {
            let [red, green, blue] = structure.color;
            let colour = format!("rgb({red} {green} {blue})");
            view! {
                <span class="reading-structure">
                    <i style:background-color=colour></i>
                    {structure.name}
                </span>
            }
        })
    };
    let standard = Memo::new(move |_| {
        let world = readout.with(|r| r.as_ref().map(|r| r.world_mm))?;
        state
            .standard
            .with(|space| space.as_ref().map(|space| (space.name, space.point(world), space.way())))
    });
    let in_standard = move || {
        standard.get().map(|(name, point, way)| {
            view! {
                <span
                    class="reading-standard"
                    data-test="standard-readout"
                    data-mm=point.map(|mm| format!("{mm:.2}")).join(",")
                    data-way=way
                    title="Coordinates in the atlas, x to the right, y to the front, z to the head"
                >
                    <i>{name} " "</i>
                    {point.map(|mm| number(mm, 1)).join(", ")}
                    <i>" " {way}</i>
                </span>
            }
        })
    };
    let window = move || {
        let window = state.window.get();
        let decimals = decimals_for(shown.range() / 2000.0);
        format!("C {}  W {}", number(window.centre, decimals), number(window.width, decimals))
    };
    view! {
        <div
            class="viewer-readings"
            aria-hidden="true"
            data-test="cursor-readout"
            data-mm=text(|r| r.world_mm.map(|mm| format!("{mm:.2}")).join(","))
            data-voxel=text(|r| r.voxel.map(|v| v.map(|n| n.to_string()).join(",")).unwrap_or_default())
            data-structure=text(|r| r.structure.as_ref().map(|s| s.name.clone()).unwrap_or_default())
        >
            <span class="reading-of">
                {move || if hovering() { "Cursor" } else { "Crosshair" }}
            </span>
            <span class="reading-place">{text(super::Readout::position)}</span>
            <span class="reading-voxel"><i>"voxel "</i>{text(super::Readout::voxel_text)}</span>
            <span class="reading-value"><i>"value "</i>{text(super::Readout::value_text)}</span>
            {in_standard}
            {structure}
            <span class="reading-window" title="Window: centre and width">{window}</span>
        </div>
    }
}
