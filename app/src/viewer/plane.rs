//! One pane: the element that takes focus, pointers and wheel, and the words around
//! the image. The image itself is on the canvas beneath.

use leptos::html::Div;
use leptos::prelude::*;

use super::captions::Captions;
use super::gestures::{Gestures, hover};
use super::icons::{Glyph, glyph};
use super::shown::Shown;
use super::state::{Layout, Pane};

/// One of the four panes.
#[component]
pub fn PaneView(
    /// State and data.
    shown: Shown,
    /// Which one.
    pane: Pane,
    /// Its element, which the painter measures.
    node: NodeRef<Div>,
    /// Pointers that are down.
    gestures: StoredValue<Gestures>,
) -> impl IntoView {
    let state = shown.state;
    let captions = Memo::new(move |_| Captions::of(&shown, pane));
    let label = move || {
        let captions = captions.get();
        let help = match pane {
            Pane::Plane(_) => "Arrow keys move the crosshair, page up and page down change slice.",
            Pane::Solid => "Arrow keys turn the view.",
        };
        format!("{} {} {}. {help}", captions.name, captions.slice, captions.place)
    };
    let alone = move || state.layout.get() == Layout::Single(pane);
    view! {
        <div
            class="pane"
            class:pane-hidden=move || !state.layout.get().shows(pane)
            class:pane-large=move || state.layout.get().enlarges(pane)
            class:pane-active=move || state.active.get() == pane
            data-pane=pane.key()
            data-test=if pane == Pane::Solid { "solid" } else { "plane" }
            data-slice=move || captions.with(|c| c.slice.clone())
            data-tool=move || format!("{:?}", state.tool.get()).to_lowercase()
            tabindex="0"
            role="application"
            aria-roledescription="image"
            aria-label=label
            node_ref=node
            on:focus=move |_| state.active.set(pane)
            on:pointerdown=move |event| gestures.update_value(|g| g.down(&shown, pane, &event))
            on:pointermove=move |event| gestures.update_value(|g| g.moved(&shown, pane, &event))
            on:pointerup=move |event| gestures.update_value(|g| g.up(&shown, &event))
            on:pointercancel=move |event| gestures.update_value(|g| g.up(&shown, &event))
            on:pointerleave=move |_| hover(&shown, pane, None)
            on:wheel=move |event| gestures.update_value(|g| g.wheel(&shown, pane, &event))
            on:dblclick=move |_| state.reset_pane(pane)
            on:contextmenu=move |event| event.prevent_default()
        >
            <Words captions />
            <button
                type="button"
                class="pane-alone"
                title=move || if alone() { "Show all views" } else { "Show this view alone" }
                aria-label=move || {
                    let name = pane.name();
                    if alone() { "Show all views".into() } else { format!("Show {name} alone") }
                }
                on:pointerdown=|event| event.stop_propagation()
                on:dblclick=|event| event.stop_propagation()
                on:click=move |_| state.layout.update(|layout| *layout = layout.toggled(pane))
            >
                {move || glyph(if alone() { Glyph::Shrink } else { Glyph::Expand })}
            </button>
        </div>
    }
}

/// The words around an image. Screen readers get them from the pane's label.
#[component]
fn Words(captions: Memo<Captions>) -> impl IntoView {
    let letter = move |at: usize| move || captions.with(|c| c.letters[at].clone());
    view! {
        <div class="pane-words" aria-hidden="true">
            <p class="pane-title">
                <span class="pane-name">{move || captions.with(|c| c.name.clone())}</span>
                <span class="pane-slice">{move || captions.with(|c| c.slice.clone())}</span>
                <span class="pane-place">{move || captions.with(|c| c.place.clone())}</span>
            </p>
            <span class="side side-left">{letter(0)}</span>
            <span class="side side-right">{letter(1)}</span>
            <span class="side side-top">{letter(2)}</span>
            <span class="side side-bottom">{letter(3)}</span>
            <div class="pane-scale" hidden=move || captions.with(|c| c.scale.is_none())>
                <i style:width=move || {
                    captions.with(|c| format!("{:.1}px", c.scale.as_ref().map_or(0.0, |s| s.0)))
                }></i>
                <span>
                    {move || captions.with(|c| c.scale.clone().map(|s| s.1).unwrap_or_default())}
                </span>
            </div>
            <p class="pane-sides" hidden=move || captions.with(|c| c.sides[0].is_empty())>
                {move || captions.with(|c| c.sides[0])}
                <span>{move || captions.with(|c| c.sides[1])}</span>
            </p>
        </div>
    }
}
