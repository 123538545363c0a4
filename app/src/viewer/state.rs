//! What is shown and how: a copyable bundle of signals, shared with the page.
//!
//! The page reads and writes these freely (a click in the report sets the crosshair,
//! a hovered table row the highlight); the viewer redraws whatever changed.

use std::collections::BTreeSet;
use std::rc::Rc;

use leptos::prelude::*;

use super::camera::Camera;
use super::data::{Values, ViewerError};
use super::geometry::{Plane, PlaneView};
use super::painter::Painter;
use super::readout::Readout;
use super::standard::StandardSpace;

/// One of the four cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// An orthogonal plane.
    Plane(Plane),
    /// The three-dimensional view.
    Solid,
}

impl Pane {
    /// In reading order.
    pub const ALL: [Self; 4] = [
        Self::Plane(Plane::Axial),
        Self::Plane(Plane::Coronal),
        Self::Plane(Plane::Sagittal),
        Self::Solid,
    ];

    /// Position in per-pane arrays.
    pub const fn at(self) -> usize {
        match self {
            Self::Plane(plane) => plane.at(),
            Self::Solid => 3,
        }
    }

    /// The word in selectors.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Plane(Plane::Axial) => "axial",
            Self::Plane(Plane::Coronal) => "coronal",
            Self::Plane(Plane::Sagittal) => "sagittal",
            Self::Solid => "solid",
        }
    }

    /// Name on the screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plane(Plane::Axial) => "Axial",
            Self::Plane(Plane::Coronal) => "Coronal",
            Self::Plane(Plane::Sagittal) => "Sagittal",
            Self::Solid => "3D",
        }
    }
}

/// Which panes are shown and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Two by two.
    Grid,
    /// One large, the others beside it.
    Large(Pane),
    /// One alone.
    Single(Pane),
}

impl Layout {
    /// Whether a pane is on the screen.
    pub fn shows(self, pane: Pane) -> bool {
        !matches!(self, Self::Single(only) if only != pane)
    }

    /// Whether a pane is the large one.
    pub fn enlarges(self, pane: Pane) -> bool {
        matches!(self, Self::Large(large) | Self::Single(large) if large == pane)
    }

    /// A pane alone, or the four of them when it was alone already.
    pub fn toggled(self, pane: Pane) -> Self {
        if self == Self::Single(pane) { Self::Grid } else { Self::Single(pane) }
    }
}

/// What a drag with the left button, or one finger, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Moves the crosshair.
    Crosshair,
    /// Changes brightness and contrast.
    Window,
    /// Moves the image.
    Pan,
    /// Zooms.
    Zoom,
    /// Paints, where the page listens to [`ViewState::brush`].
    Brush,
}

/// What a key does to the brush, where the page listens to [`ViewState::brush_key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrushKey {
    /// Paints at the crosshair, in the active plane.
    Here,
    /// Takes the last stroke back.
    Undo,
    /// The next class, after the last one the eraser.
    Next,
}

/// Where the brush touches a plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Touch {
    /// The plane.
    pub plane: Plane,
    /// World point (RAS+, mm).
    pub world_mm: [f64; 3],
    /// Whether a stroke begins here.
    pub first: bool,
}

/// Which intensities are drawn from black to white, in scan units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Value of middle grey ("level").
    pub centre: f64,
    /// From black to white; negative never, zero never.
    pub width: f64,
}

impl Window {
    /// The window from black at `low` to white at `high`.
    pub fn between(low: f64, high: f64) -> Self {
        Self { centre: (low + high) / 2.0, width: (high - low).max(f64::MIN_POSITIVE) }
    }

    /// Values of black and white.
    pub fn limits(self) -> (f64, f64) {
        (self.centre - self.width / 2.0, self.centre + self.width / 2.0)
    }

    /// The window after a drag by `pixels`, where 512 pixels span `range`: to the
    /// right wider (less contrast), downwards a higher centre (darker), as is usual
    /// on radiology workstations.
    pub fn dragged(self, pixels: [f64; 2], range: f64) -> Self {
        let step = range / 512.0;
        let width = (self.width + pixels[0] * step).clamp(range / 2000.0, range * 4.0);
        Self { centre: self.centre + pixels[1] * step, width }
    }
}

/// What the three-dimensional pane shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SolidMode {
    /// Surfaces of the visible structures; the projection while there are none.
    Structures,
    /// Maximum-intensity projection of the scan.
    Projection,
}

/// Everything that decides what the panes show. `Copy`: a bundle of signals.
#[derive(Clone, Copy, Debug)]
pub struct ViewState {
    /// World point (RAS+, mm) where the three planes meet.
    pub crosshair_mm: RwSignal<[f64; 3]>,
    /// Whether the crosshair's lines are drawn.
    pub crosshair_shown: RwSignal<bool>,
    /// Zoom and shift of each plane, in the order of [`Plane::ALL`].
    pub planes: RwSignal<[PlaneView; 3]>,
    /// Eye of the three-dimensional pane.
    pub camera: RwSignal<Camera>,
    /// What the three-dimensional pane shows.
    pub solid: RwSignal<SolidMode>,
    /// Brightness and contrast.
    pub window: RwSignal<Window>,
    /// Window that "auto" returns to; the page gives the 1st and 99th percentile.
    pub auto_window: RwSignal<Option<Window>>,
    /// White becomes black.
    pub inverted: RwSignal<bool>,
    /// Whether structures are drawn at all.
    pub overlay_shown: RwSignal<bool>,
    /// 0 to 1.
    pub overlay_opacity: RwSignal<f64>,
    /// Outlines only, instead of filled.
    pub outlines: RwSignal<bool>,
    /// Label indices that are not drawn.
    pub hidden: RwSignal<BTreeSet<u8>>,
    /// Label index that is drawn brighter than the others.
    pub highlighted: RwSignal<Option<u8>>,
    /// Patient's right on the left of the screen.
    pub radiological: RwSignal<bool>,
    /// The files do not say how the scan lies: letters of sides are uncertain.
    pub sides_assumed: RwSignal<bool>,
    /// The files do not state the unit of length: millimetres are uncertain.
    pub unit_assumed: RwSignal<bool>,
    /// Blends thick slices instead of showing each as it was measured.
    pub blended: RwSignal<bool>,
    /// Which panes are shown.
    pub layout: RwSignal<Layout>,
    /// What a plain drag does.
    pub tool: RwSignal<Tool>,
    /// Where the brush is, while it is down.
    pub brush: RwSignal<Option<Touch>>,
    /// The key of the brush that was pressed last; set again for every press.
    pub brush_key: RwSignal<Option<BrushKey>>,
    /// Box of the labels, `[first, end)` along x, y, z, whose indices were changed in
    /// place and are drawn anew.
    pub touched_labels: RwSignal<Option<[[usize; 2]; 3]>>,
    /// Pane that keys act on.
    pub active: RwSignal<Pane>,
    /// Whether the list of keys is open.
    pub help: RwSignal<bool>,
    /// What is under the mouse, while it is over a plane.
    pub hovered: RwSignal<Option<Readout>>,
    /// The values of the scan, where they are at hand.
    pub values: RwSignal<Option<Rc<Values>>, LocalStorage>,
    /// The way to an atlas, once the scan was aligned with it.
    pub standard: RwSignal<Option<Rc<StandardSpace>>, LocalStorage>,
    /// Why nothing is drawn, for the page to say; the viewer says it in place too.
    pub error: RwSignal<Option<ViewerError>>,
    /// The viewer on the page, while there is one; screenshots ask it.
    pub painter: StoredValue<Option<Painter>>,
}

impl ViewState {
    /// The state before a scan is open.
    pub fn new() -> Self {
        Self {
            crosshair_mm: RwSignal::new([0.0; 3]),
            crosshair_shown: RwSignal::new(true),
            planes: RwSignal::new([PlaneView::default(); 3]),
            camera: RwSignal::new(Camera::default()),
            solid: RwSignal::new(SolidMode::Structures),
            window: RwSignal::new(Window::between(0.0, 1.0)),
            auto_window: RwSignal::new(None),
            inverted: RwSignal::new(false),
            overlay_shown: RwSignal::new(true),
            overlay_opacity: RwSignal::new(0.45),
            outlines: RwSignal::new(false),
            hidden: RwSignal::new(BTreeSet::new()),
            highlighted: RwSignal::new(None),
            radiological: RwSignal::new(true),
            sides_assumed: RwSignal::new(false),
            unit_assumed: RwSignal::new(false),
            blended: RwSignal::new(false),
            layout: RwSignal::new(Layout::Grid),
            tool: RwSignal::new(Tool::Crosshair),
            brush: RwSignal::new(None),
            brush_key: RwSignal::new(None),
            touched_labels: RwSignal::new(None),
            active: RwSignal::new(Pane::Plane(Plane::Axial)),
            help: RwSignal::new(false),
            hovered: RwSignal::new(None),
            values: RwSignal::new_local(None),
            standard: RwSignal::new_local(None),
            error: RwSignal::new(None),
            painter: StoredValue::new(None),
        }
    }

    /// Gives the window that "auto" stands for (usually the 1st and 99th percentile,
    /// in scan units) and applies it.
    pub fn set_auto_window(&self, low: f64, high: f64) {
        let window = Window::between(low, high);
        self.auto_window.set(Some(window));
        self.window.set(window);
    }

    /// Returns to the automatic window.
    pub fn reset_window(&self) {
        if let Some(window) = self.auto_window.get_untracked() {
            self.window.set(window);
        }
    }

    /// Shows a pane as a fresh scan would.
    pub fn reset_pane(&self, pane: Pane) {
        match pane {
            Pane::Plane(plane) => {
                self.planes.update(|planes| planes[plane.at()] = PlaneView::default());
            }
            Pane::Solid => self.camera.set(Camera::default()),
        }
    }

    /// Opacity of the structures, 0 while they are switched off.
    pub fn opacity(&self) -> f64 {
        if self.overlay_shown.get() { self.overlay_opacity.get() } else { 0.0 }
    }
}

impl Default for ViewState {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_follows_the_drag() {
        let window = Window::between(0.0, 512.0);
        assert_eq!(window.dragged([10.0, 0.0], 512.0).width, 522.0);
        assert_eq!(window.dragged([0.0, 10.0], 512.0).centre, 266.0);
        assert!(window.dragged([-1e6, 0.0], 512.0).width > 0.0);
        assert_eq!(window.limits(), (0.0, 512.0));
    }

    #[test]
    fn maximising_twice_returns_to_the_grid() {
        let solid = Layout::Grid.toggled(Pane::Solid);
        assert!(solid.shows(Pane::Solid) && !solid.shows(Pane::Plane(Plane::Axial)));
        assert_eq!(solid.toggled(Pane::Solid), Layout::Grid);
    }
}
