//! When to draw: at most once a frame, and only after something changed.
//!
//! The painter owns the canvas and its context. A context that the browser takes
//! away is opened again when it comes back, and everything is uploaded anew.

use std::time::Duration;

use leptos::html::{Canvas, Div};
use leptos::leptos_dom::helpers::{TimeoutHandle, set_timeout_with_handle};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{HtmlCanvasElement, ResizeObserver};

use super::data::ViewerError;
use super::gl::Gpu;
use super::scene::{Scene, Surface};
use super::shown::Shown;

/// Crosshair colour where the page names none.
const ACCENT: [f32; 3] = [0.42, 0.72, 0.95];
/// Share of the pixels, along a side, that a processor draws during a drag.
const HASTE: f64 = 0.6;
/// How long the dear three-dimensional view waits for quiet on a processor.
const QUIET: Duration = Duration::from_millis(140);

/// Draws the panes on their canvas. `Copy`, like the signals it watches.
#[derive(Clone, Copy, Debug)]
pub struct Painter {
    shown: Shown,
    /// The canvas beneath the panes.
    pub canvas: NodeRef<Canvas>,
    /// The panes, which say where to draw.
    pub panes: [NodeRef<Div>; 4],
    scene: StoredValue<Option<Scene>, LocalStorage>,
    pending: StoredValue<bool>,
    quiet: StoredValue<Option<TimeoutHandle>>,
    draws: StoredValue<u32>,
}

impl Painter {
    /// A painter that has drawn nothing yet.
    pub fn new(shown: Shown) -> Self {
        Self {
            shown,
            canvas: NodeRef::new(),
            panes: [(); 4].map(|()| NodeRef::new()),
            scene: StoredValue::new_local(None),
            pending: StoredValue::new(false),
            quiet: StoredValue::new(None),
            draws: StoredValue::new(0),
        }
    }

    /// What is drawn.
    pub const fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Draws whenever something that is shown changes. Called once, by the component.
    pub fn watch(self) {
        let Shown { state, volume, labels, colours, frame, dragging, turning, .. } = self.shown;
        Effect::new(move |_| {
            volume.track();
            labels.track();
            colours.track();
            state.touched_labels.track();
            frame.track();
            dragging.track();
            turning.track();
            state.crosshair_mm.track();
            state.crosshair_shown.track();
            state.planes.track();
            state.camera.track();
            state.solid.track();
            state.window.track();
            state.inverted.track();
            state.overlay_shown.track();
            state.overlay_opacity.track();
            state.outlines.track();
            state.hidden.track();
            state.highlighted.track();
            state.radiological.track();
            state.blended.track();
            state.layout.track();
            self.request();
        });
        let observer = StoredValue::new_local(None::<(ResizeObserver, Closure<dyn FnMut()>)>);
        let canvas = self.canvas;
        Effect::new(move |_| {
            let Some(canvas) = canvas.get() else { return };
            let resized = Closure::<dyn FnMut()>::new(move || self.request());
            if let Ok(watching) = ResizeObserver::new(resized.as_ref().unchecked_ref()) {
                watching.observe(&canvas);
                observer.set_value(Some((watching, resized)));
            }
        });
        on_cleanup(move || {
            observer.try_update_value(|held| {
                if let Some((watching, _)) = held.take() {
                    watching.disconnect();
                }
            });
        });
    }

    /// Draws in the next frame.
    pub fn request(self) {
        if self.pending.try_get_value() != Some(false) {
            return;
        }
        self.pending.set_value(true);
        request_animation_frame(move || {
            // Nothing is left to draw on when the viewer has gone meanwhile.
            if self.pending.try_set_value(false).is_none() {
                self.paint(true);
            }
        });
    }

    /// Draws now. With `postpone`, a processor that draws may leave the
    /// three-dimensional view for a quiet moment.
    pub fn paint(self, postpone: bool) -> Option<Surface> {
        let canvas = self.canvas.try_get_untracked().flatten()?;
        let state = self.shown.state;
        let outcome = self.scene.try_update_value(|held| {
            if held.is_none() {
                *held = Some(Scene::new(Gpu::open(&canvas)?));
            }
            let Some(scene) = held else { return Err(ViewerError::NoWebGl2) };
            let surface = self.measure(&canvas, scene.gpu.software, postpone);
            scene.draw(&self.shown, &surface).map(|stale| (surface, stale))
        })?;
        let error = outcome.as_ref().err().cloned();
        if state.error.with_untracked(|held| *held != error) {
            state.error.set(error);
        }
        let (surface, stale) = outcome.ok()?;
        let draws = self.draws.get_value().wrapping_add(1);
        self.draws.set_value(draws);
        // For whoever wants to know whether the planes rest.
        let _unset = canvas.set_attribute("data-draws", &draws.to_string());
        if stale {
            self.paint_when_quiet();
        }
        Some(surface)
    }

    fn paint_when_quiet(self) {
        if let Some(handle) = self.quiet.get_value() {
            handle.clear();
        }
        let again = move || {
            self.paint(false);
        };
        self.quiet.set_value(set_timeout_with_handle(again, QUIET).ok());
    }

    /// The browser took the context away.
    pub fn lost(self) {
        self.scene.set_value(None);
        self.shown.state.error.set(Some(ViewerError::ContextLost));
    }

    /// Whether the processor does the drawing.
    pub fn software(self) -> bool {
        self.scene.with_value(|scene| scene.as_ref().is_some_and(|scene| scene.gpu.software))
    }

    /// Fits the canvas to its element and finds the panes on it.
    fn measure(self, canvas: &HtmlCanvasElement, software: bool, postpone: bool) -> Surface {
        let bounds = canvas.get_bounding_client_rect();
        let ratio = window().device_pixel_ratio();
        // Pixels beyond these are dear and not seen.
        let sharp = ratio.clamp(0.5, if software { 1.0 } else { 2.5 });
        let hasty = software && self.shown.dragging.get_untracked();
        let density = if hasty { sharp * HASTE } else { sharp };
        let [width, height] =
            [bounds.width(), bounds.height()].map(|side| (side * density).round().max(1.0));
        if canvas.width() != width as u32 || canvas.height() != height as u32 {
            canvas.set_width(width as u32);
            canvas.set_height(height as u32);
        }
        let mut sizes = [[0.0; 2]; 4];
        let mut panes = [[0; 4]; 4];
        for (at, pane) in self.panes.iter().enumerate() {
            let Some(pane) = pane.get_untracked() else { continue };
            let edge = f64::from(pane.client_left());
            let (wide, high) = (f64::from(pane.client_width()), f64::from(pane.client_height()));
            let inside = pane.get_bounding_client_rect();
            let left = (inside.left() + edge - bounds.left()) * density;
            let top = (inside.top() + f64::from(pane.client_top()) - bounds.top()) * density;
            let [x, right] = [left, left + wide * density].map(|v| v.round() as i32);
            let [upper, lower] = [top, top + high * density].map(|v| v.round() as i32);
            sizes[at] = [wide, high];
            panes[at] = [x, height as i32 - lower, right - x, lower - upper];
        }
        if self.shown.sizes.get_untracked() != sizes {
            self.shown.sizes.set(sizes);
        }
        let hurried = self.shown.turning.get_untracked();
        let postpone = postpone && software;
        Surface { panes, density, sharp, accent: accent(canvas), hurried, postpone }
    }
}

/// The page's accent colour, if it is written as six hexadecimal digits.
fn accent(canvas: &HtmlCanvasElement) -> [f32; 3] {
    let style = window().get_computed_style(canvas).ok().flatten();
    let value = style.and_then(|style| style.get_property_value("--accent").ok());
    value.as_deref().and_then(parse_hex).unwrap_or(ACCENT)
}

/// `#rrggbb` as fractions of 1.
fn parse_hex(text: &str) -> Option<[f32; 3]> {
    let digits = text.trim().strip_prefix('#').filter(|digits| digits.len() == 6)?;
    let value = u32::from_str_radix(digits, 16).ok()?;
    Some([16, 8, 0].map(|shift| ((value >> shift) & 0xff) as f32 / 255.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_colours() {
        assert_eq!(parse_hex(" #ff0033"), Some([1.0, 0.0, 0.2]));
        assert_eq!(parse_hex("oklch(0.7 0.1 230)"), None);
        assert_eq!(parse_hex("#fff"), None);
    }
}
