//! The viewer: three linked planes and a three-dimensional view.
//!
//! | module | what |
//! | --- | --- |
//! | `data` | what the page hands over, and errors |
//! | `state` | [`ViewState`]: what is shown and how, shared with the page |
//! | `shown` | state and data together, and the moves people make |
//! | `geometry`, `camera` | world, frame, planes, pixels: no browser in it |
//! | `gl`, `shaders`, `scene`, `painter` | WebGL 2: context, programs, drawing, when to draw |
//! | `plane`, `captions`, `toolbar`, `help`, `icons` | what is on the screen besides the image |
//! | `gestures`, `keyboard` | what inputs mean |
//! | `standard` | points of an atlas for those of the scan |
//! | `readout`, `screenshot` | one voxel read out; a picture with everything burned in |
//!
//! One canvas lies beneath all panes, so the scan is on the graphics card once. The
//! look is in `styles/viewer.css`, built on the page's custom properties.

mod camera;
mod captions;
mod data;
mod geometry;
mod gestures;
mod gl;
mod help;
mod icons;
mod keyboard;
mod painter;
mod plane;
mod readout;
mod scene;
mod screenshot;
mod shaders;
mod shown;
mod standard;
mod state;
mod toolbar;

pub use camera::Camera;
pub use captions::RESEARCH_ONLY;
pub use data::{
    ColoursSignal, DisplayColours, DisplayLabels, DisplayVolume, LabelsSignal, Values, ViewerError,
    VolumeSignal,
};
pub use geometry::{Plane, PlaneView};
pub use painter::Painter;
pub use readout::{Readout, Structure};
pub use screenshot::screenshot;
pub use standard::{Displacements, StandardSpace};
pub use state::{BrushKey, Layout, Pane, SolidMode, Tool, Touch, ViewState, Window};

use leptos::ev::{keydown, keyup};
use leptos::html::Section;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, KeyboardEvent, Node};

use gestures::Gestures;
use help::Help;
use plane::PaneView;
use shown::Shown;
use toolbar::{Readings, Toolbar};

/// The planes with their tools and readings.
#[component]
pub fn Viewer(
    /// What is shown and how.
    state: ViewState,
    /// The scan.
    #[prop(into)]
    volume: VolumeSignal,
    /// Its labels.
    #[prop(into)]
    labels: LabelsSignal,
    /// Colours laid over the scan, which take the place of its labels in planes.
    #[prop(into)]
    colours: ColoursSignal,
) -> impl IntoView {
    let shown = Shown::new(state, volume, labels, colours);
    let painter = Painter::new(shown);
    state.painter.set_value(Some(painter));
    on_cleanup(move || {
        let _gone_already = state.painter.try_set_value(None);
    });
    painter.watch();
    let gestures = StoredValue::new(Gestures::default());
    let root = NodeRef::<Section>::new();
    let spoken = RwSignal::new(String::new());
    listen_to_keys(shown, gestures, root, spoken);

    let panes = Pane::ALL.map(|pane| {
        view! { <PaneView shown pane node=painter.panes[pane.at()] gestures /> }
    });
    let layout = move || match state.layout.get() {
        Layout::Grid => "grid",
        Layout::Large(_) => "large",
        Layout::Single(_) => "single",
    };
    let problem = move || {
        state.error.get().map(|error| {
            view! { <p class="viewer-problem" role="alert">{capitalised(&error.to_string())}</p> }
        })
    };
    view! {
        <section class="viewer" aria-label="Image viewer" node_ref=root>
            <Toolbar shown />
            <div class="viewer-stage" data-layout=layout>
                <canvas
                    class="viewer-canvas"
                    aria-hidden="true"
                    node_ref=painter.canvas
                    on:webglcontextlost=move |event: web_sys::Event| {
                        // Without this the browser never gives the context back.
                        event.prevent_default();
                        painter.lost();
                    }
                    on:webglcontextrestored=move |_: web_sys::Event| painter.request()
                ></canvas>
                {panes}
                {problem}
                <Help state />
            </div>
            <Readings shown />
            <p class="viewer-spoken" aria-live="polite">{move || spoken.get()}</p>
        </section>
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Handles keys while the focus is in the viewer or nowhere.
fn listen_to_keys(
    shown: Shown,
    gestures: StoredValue<Gestures>,
    root: NodeRef<Section>,
    spoken: RwSignal<String>,
) {
    let pressed = window_event_listener(keydown, move |event: KeyboardEvent| {
        if event.default_prevented() || event.alt_key() || !is_for_viewer(root, &event) {
            return;
        }
        if event.key() == " " {
            gestures.update_value(|g| g.space = true);
            let on_pane = event.target().and_then(|t| t.dyn_into::<Element>().ok());
            if on_pane.is_some_and(|element| element.class_list().contains("pane")) {
                event.prevent_default();
            }
            return;
        }
        let ctrl = event.ctrl_key() || event.meta_key();
        let Some(command) = keyboard::command(&event.key(), event.shift_key(), ctrl) else {
            return;
        };
        let ready = shown.frame.get_untracked().is_some();
        if !ready && command != keyboard::Command::Close {
            return;
        }
        event.prevent_default();
        keyboard::perform(command, &shown);
        match command {
            keyboard::Command::Pane(_) => focus_active(shown, root),
            _ if keyboard::moves(command) => {
                let crosshair = shown.state.crosshair_mm.get_untracked();
                let readout = untrack(|| shown.readout(crosshair));
                spoken.set(readout.map(|r| r.sentence()).unwrap_or_default());
            }
            _ => {}
        }
    });
    let released = window_event_listener(keyup, move |event: KeyboardEvent| {
        if event.key() == " " {
            gestures.update_value(|g| g.space = false);
        }
    });
    on_cleanup(move || {
        pressed.remove();
        released.remove();
    });
}

/// Whether a key is the viewer's to handle: the focus is on a part of it that takes
/// no such key itself, or on nothing at all.
fn is_for_viewer(root: NodeRef<Section>, event: &KeyboardEvent) -> bool {
    let Some(target) = event.target().and_then(|target| target.dyn_into::<Element>().ok()) else {
        return true;
    };
    let name = target.tag_name().to_lowercase();
    if name == "body" || name == "html" {
        // A dialog keeps its keys also when what had the focus in it is gone.
        return !matches!(document().query_selector("dialog[open]"), Ok(Some(_)));
    }
    let inside = root.get_untracked().is_some_and(|root| root.contains(target.dyn_ref::<Node>()));
    // A slider keeps the keys that move it.
    let letter = event.key().chars().count() == 1 && !event.key().eq(" ");
    inside && (name != "input" || letter)
}

/// Puts the focus on the active pane.
fn focus_active(shown: Shown, root: NodeRef<Section>) {
    let Some(root) = root.get_untracked() else { return };
    let key = shown.state.active.get_untracked().key();
    if let Ok(Some(pane)) = root.query_selector(&format!("[data-pane='{key}']"))
        && let Ok(pane) = pane.dyn_into::<web_sys::HtmlElement>()
    {
        let _unfocusable = pane.focus();
    }
}
