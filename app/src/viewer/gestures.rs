//! Mouse, pen, touch and wheel: what each means, and its effect on the state.
//!
//! | input | plane | three-dimensional view |
//! | --- | --- | --- |
//! | left drag, one finger | the tool: crosshair, window, pan or zoom | turns (or the tool) |
//! | right drag, shift + left | window: right wider, down darker | the same |
//! | middle drag, space + left | pan | pan |
//! | ctrl + left | zoom | zoom |
//! | wheel | slices | zoom |
//! | ctrl + wheel, pinch on a touchpad | zoom at the cursor | zoom |
//! | two fingers | pan and zoom | pan and zoom |
//! | double click | whole image again | first view again |
//!
//! What an input means is decided by plain functions, tested natively.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, PointerEvent, WheelEvent};

use super::shown::Shown;
use super::state::{Pane, Tool};

/// Inputs and what they do, as the list on the screen shows them.
pub const GESTURES: &[(&str, &str)] = &[
    ("Left drag, one finger", "The chosen tool; in 3D: turn"),
    ("Right drag, Shift + drag", "Window: right wider, down darker"),
    ("Middle drag, Space + drag", "Move the image"),
    ("Ctrl + drag", "Zoom"),
    ("Wheel", "Slices; in 3D: zoom"),
    ("Ctrl + wheel, pinch", "Zoom at the cursor"),
    ("Two fingers", "Move and zoom"),
    ("Double click", "Whole image again"),
];

/// What a drag does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drag {
    /// Moves the crosshair.
    Point,
    /// Changes brightness and contrast.
    Window,
    /// Moves the image.
    Pan,
    /// Zooms around where the drag began.
    Zoom,
    /// Paints.
    Paint,
    /// Turns the three-dimensional view.
    Turn,
}

/// A finger that moved less than this has not moved.
const TAP_PIXELS: f64 = 6.0;

/// Buttons and keys at the start of a drag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Press {
    /// `PointerEvent.button`: 0 left or touch, 1 middle, 2 right.
    pub button: i16,
    /// Shift is held.
    pub shift: bool,
    /// Ctrl or Command is held.
    pub ctrl: bool,
    /// The space bar is held.
    pub space: bool,
}

/// What a press in a pane begins.
pub fn meaning(press: Press, tool: Tool, pane: Pane) -> Option<Drag> {
    match press {
        Press { button: 1, .. } | Press { button: 0, space: true, .. } => Some(Drag::Pan),
        Press { button: 2, .. } | Press { button: 0, shift: true, .. } => Some(Drag::Window),
        Press { button: 0, ctrl: true, .. } => Some(Drag::Zoom),
        Press { button: 0, .. } => Some(match (tool, pane) {
            (Tool::Crosshair | Tool::Brush, Pane::Solid) => Drag::Turn,
            (Tool::Crosshair, Pane::Plane(_)) => Drag::Point,
            (Tool::Window, _) => Drag::Window,
            (Tool::Pan, _) => Drag::Pan,
            (Tool::Zoom, _) => Drag::Zoom,
            (Tool::Brush, Pane::Plane(_)) => Drag::Paint,
        }),
        Press { .. } => None,
    }
}

/// Zoom factor of a vertical drag or a wheel: up enlarges.
fn zoom_factor(down: f64) -> f64 {
    (-down * 0.008).exp()
}

/// Pixels of a wheel event; browsers may count lines or pages instead.
fn wheel_pixels(delta: f64, mode: u32) -> f64 {
    match mode {
        WheelEvent::DOM_DELTA_LINE => delta * 34.0,
        WheelEvent::DOM_DELTA_PAGE => delta * 400.0,
        _ => delta,
    }
}

/// Turns wheel movements into whole slices: a notch of a mouse is one slice, the
/// small movements of a touchpad add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WheelSteps {
    left_over: f64,
}

impl WheelSteps {
    /// Slices for a movement of `pixels`; up is positive (towards the head).
    pub fn push(&mut self, pixels: f64) -> i64 {
        if pixels.abs() >= 60.0 {
            self.left_over = 0.0;
            return -((pixels / 110.0).round() as i64);
        }
        self.left_over += pixels;
        let steps = (self.left_over / 30.0).trunc();
        self.left_over -= steps * 30.0;
        -(steps as i64)
    }
}

/// Pointers that are down, and what they are doing.
#[derive(Clone, Debug, Default)]
pub struct Gestures {
    pointers: Vec<(i32, [f64; 2])>,
    drag: Option<(Pane, Drag)>,
    began: [f64; 2],
    /// A finger that has not moved yet.
    tap: bool,
    /// A stroke of a finger begins with its first movement.
    stroke: bool,
    wheel: WheelSteps,
    /// The space bar is held: the next left drag moves the image.
    pub space: bool,
}

/// Pixel of an event within the pane that listens to it.
fn pixel_of(event: &web_sys::MouseEvent) -> Option<[f64; 2]> {
    let pane = event.current_target()?.dyn_into::<Element>().ok()?;
    let bounds = pane.get_bounding_client_rect();
    Some([
        f64::from(event.client_x()) - bounds.left() - f64::from(pane.client_left()),
        f64::from(event.client_y()) - bounds.top() - f64::from(pane.client_top()),
    ])
}

impl Gestures {
    /// A pointer goes down.
    pub fn down(&mut self, shown: &Shown, pane: Pane, event: &PointerEvent) {
        let Some(pixel) = pixel_of(event) else { return };
        if event.button() == 1 {
            // The browser would start to scroll by itself.
            event.prevent_default();
        }
        if let Some(target) = event.current_target().and_then(|t| t.dyn_into::<Element>().ok()) {
            // Refused only for pointers that are gone already.
            let _gone = target.set_pointer_capture(event.pointer_id());
        }
        shown.state.active.set(pane);
        self.pointers.retain(|(id, _)| *id != event.pointer_id());
        self.pointers.push((event.pointer_id(), pixel));
        self.began = pixel;
        if self.pointers.len() > 1 {
            // A second finger ends what the first began.
            self.drag = None;
            self.tap = false;
            return;
        }
        let press = Press {
            button: event.button(),
            shift: event.shift_key(),
            ctrl: event.ctrl_key() || event.meta_key(),
            space: self.space,
        };
        let drag = meaning(press, shown.state.tool.get_untracked(), pane);
        self.drag = drag.map(|drag| (pane, drag));
        self.tap = event.pointer_type() == "touch";
        self.stroke = self.tap;
        match (drag, pane) {
            // A finger may be the first of two: it points once it moves or lifts.
            (Some(Drag::Point), Pane::Plane(plane)) if !self.tap => shown.point_at(plane, pixel),
            (Some(Drag::Paint), Pane::Plane(plane)) if !self.tap => {
                shown.paint_at(plane, pixel, true);
            }
            (Some(Drag::Turn), _) => shown.turning.set(true),
            _ => {}
        }
        shown.dragging.set(drag.is_some());
    }

    /// A pointer moves.
    pub fn moved(&mut self, shown: &Shown, pane: Pane, event: &PointerEvent) {
        let Some(pixel) = pixel_of(event) else { return };
        if event.pointer_type() != "touch" {
            hover(shown, pane, Some(pixel));
        }
        let id = event.pointer_id();
        let Some(at) = self.pointers.iter().position(|(held, _)| *held == id) else { return };
        let before = self.pointers[at].1;
        self.pointers[at].1 = pixel;
        let by = [pixel[0] - before[0], pixel[1] - before[1]];
        if let [(_, one), (_, two)] = self.pointers[..] {
            let other = if at == 0 { two } else { one };
            let spread = |a: [f64; 2]| f64::hypot(a[0] - other[0], a[1] - other[1]).max(1.0);
            // Each finger moves the image by half its way.
            shown.pan(pane, by.map(|v| v / 2.0));
            let middle = [(pixel[0] + other[0]) / 2.0, (pixel[1] + other[1]) / 2.0];
            shown.zoom(pane, Some(middle), spread(pixel) / spread(before));
            return;
        }
        let Some((pane, drag)) = self.drag else { return };
        let way = f64::hypot(pixel[0] - self.began[0], pixel[1] - self.began[1]);
        self.tap &= way < TAP_PIXELS;
        if self.tap {
            return;
        }
        match (drag, pane) {
            (Drag::Point, Pane::Plane(plane)) => shown.point_at(plane, pixel),
            (Drag::Window, _) => shown.drag_window(by),
            (Drag::Pan, _) => shown.pan(pane, by),
            (Drag::Zoom, _) => shown.zoom(pane, Some(self.began), zoom_factor(by[1])),
            (Drag::Paint, Pane::Plane(plane)) => {
                let first = std::mem::take(&mut self.stroke);
                shown.paint_at(plane, pixel, first);
            }
            (Drag::Turn, _) | (Drag::Point | Drag::Paint, Pane::Solid) => shown.turn(by),
        }
    }

    /// A pointer goes up, or the browser takes it away.
    pub fn up(&mut self, shown: &Shown, event: &PointerEvent) {
        self.pointers.retain(|(id, _)| *id != event.pointer_id());
        match (self.tap, self.drag) {
            (true, Some((Pane::Plane(plane), Drag::Point))) => shown.point_at(plane, self.began),
            (true, Some((Pane::Plane(plane), Drag::Paint))) => {
                shown.paint_at(plane, self.began, true);
            }
            _ => shown.state.brush.set(None),
        }
        self.tap = false;
        self.drag = None;
        if self.pointers.is_empty() {
            shown.turning.set(false);
            shown.dragging.set(false);
        }
    }

    /// The wheel turns over a pane.
    pub fn wheel(&mut self, shown: &Shown, pane: Pane, event: &WheelEvent) {
        event.prevent_default();
        let pixels = wheel_pixels(event.delta_y(), event.delta_mode());
        match pane {
            Pane::Plane(plane) if !event.ctrl_key() && !event.meta_key() => {
                let steps = self.wheel.push(pixels);
                if steps != 0 {
                    shown.step(plane.through(), steps);
                    hover(shown, pane, pixel_of(event));
                }
            }
            _ => shown.zoom(pane, pixel_of(event), zoom_factor(pixels.clamp(-30.0, 30.0))),
        }
    }
}

/// Reads out what lies under the pointer, or nothing when it has left.
pub fn hover(shown: &Shown, pane: Pane, pixel: Option<[f64; 2]>) {
    let readout = untrack(|| match (pane, pixel) {
        (Pane::Plane(plane), Some(pixel)) => {
            let readout = shown.readout(shown.world_at(plane, pixel)?)?;
            readout.voxel.is_some().then_some(readout)
        }
        _ => None,
    });
    if shown.state.hovered.with_untracked(|held| *held != readout) {
        shown.state.hovered.set(readout);
    }
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Plane;
    use super::*;

    const AXIAL: Pane = Pane::Plane(Plane::Axial);

    #[test]
    fn buttons_and_keys_mean_what_the_table_says() {
        let press = |button, shift, ctrl, space| Press { button, shift, ctrl, space };
        let of = |press| meaning(press, Tool::Crosshair, AXIAL);
        assert_eq!(of(press(0, false, false, false)), Some(Drag::Point));
        assert_eq!(of(press(2, false, false, false)), Some(Drag::Window));
        assert_eq!(of(press(0, true, false, false)), Some(Drag::Window));
        assert_eq!(of(press(1, false, false, false)), Some(Drag::Pan));
        assert_eq!(of(press(0, false, false, true)), Some(Drag::Pan));
        assert_eq!(of(press(0, false, true, false)), Some(Drag::Zoom));
        assert_eq!(of(press(3, false, false, false)), None);
    }

    #[test]
    fn the_tool_decides_a_plain_drag() {
        let plain = Press::default();
        assert_eq!(meaning(plain, Tool::Window, AXIAL), Some(Drag::Window));
        assert_eq!(meaning(plain, Tool::Pan, Pane::Solid), Some(Drag::Pan));
        assert_eq!(meaning(plain, Tool::Crosshair, Pane::Solid), Some(Drag::Turn));
    }

    #[test]
    fn a_notch_is_a_slice_and_small_movements_add_up() {
        let mut wheel = WheelSteps::default();
        assert_eq!(wheel.push(100.0), -1);
        assert_eq!(wheel.push(-120.0), 1);
        assert_eq!(wheel.push(-360.0), 3);
        let touchpad: i64 = (0..12).map(|_| wheel.push(-5.0)).sum();
        assert_eq!(touchpad, 2);
        assert_eq!(wheel.push(wheel_pixels(3.0, WheelEvent::DOM_DELTA_LINE)), -1);
    }

    #[test]
    fn upwards_enlarges() {
        assert!(zoom_factor(-10.0) > 1.0 && zoom_factor(10.0) < 1.0);
    }
}
