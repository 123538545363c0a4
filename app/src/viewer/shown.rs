//! What the panes have in common: state, data and sizes, and the moves people make.
//!
//! `Copy`, like [`ViewState`]: every component and event handler takes one along.
//! Gestures and keys both end in the methods here, so neither can do what the other
//! cannot.

use leptos::prelude::*;

use super::data::{ColoursSignal, DisplayLabels, LabelsSignal, VolumeSignal};
use super::geometry::{Frame, Plane, PlaneView, Projection, content_box, fit_scale};
use super::readout::Readout;
use super::state::{Layout, Pane, SolidMode, Touch, ViewState};

/// What the three-dimensional view turns around.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Content {
    /// Part of its grid that holds anything, as fractions of each axis.
    pub bounds: [[f64; 2]; 3],
    /// Frame point in the middle of it.
    pub centre: [f64; 3],
    /// Millimetres that must fit into the pane.
    pub across_mm: f64,
}

/// State, data and pane sizes.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// What is shown and how.
    pub state: ViewState,
    /// The scan.
    pub volume: VolumeSignal,
    /// The labels.
    pub labels: LabelsSignal,
    /// The colours laid over it.
    pub colours: ColoursSignal,
    /// The scan's frame; none without a scan, or with one that cannot be placed.
    pub frame: Memo<Option<Frame>>,
    /// What the three-dimensional view turns around.
    pub content: Memo<Option<Content>>,
    /// Width and height of each pane in CSS pixels, zero while it is not shown.
    pub sizes: RwSignal<[[f64; 2]; 4]>,
    /// Whether a drag is under way, so that speed counts more than sharpness.
    pub dragging: RwSignal<bool>,
    /// Whether it turns the three-dimensional view.
    pub turning: RwSignal<bool>,
}

impl Shown {
    /// Ties state and data together.
    pub fn new(
        state: ViewState,
        volume: VolumeSignal,
        labels: LabelsSignal,
        colours: ColoursSignal,
    ) -> Self {
        let frame = Memo::new(move |_| {
            volume.with(|volume| volume.as_ref().and_then(|v| Frame::new(v.dims, v.affine).ok()))
        });
        let occupied = Memo::new(move |_| labels.with(|labels| labels.as_deref().map(occupied)));
        let content = Memo::new(move |_| {
            let frame = frame.get()?;
            let structures = state.solid.get() == SolidMode::Structures;
            Some(match occupied.get().filter(|_| structures) {
                Some((bounds, corners)) => around_corners(&frame, bounds, corners),
                None => around_scan(&frame),
            })
        });
        let sizes = RwSignal::new([[0.0; 2]; 4]);
        let (dragging, turning) = (RwSignal::new(false), RwSignal::new(false));
        Self { state, volume, labels, colours, frame, content, sizes, dragging, turning }
    }

    /// Pixels and frame of a plane; none while there is no scan or no room.
    pub fn projection(&self, plane: Plane) -> Option<Projection> {
        let frame = self.frame.get()?;
        let size = self.sizes.get()[plane.at()];
        let view = self.state.planes.get()[plane.at()];
        let radiological = self.state.radiological.get();
        let only = self.state.layout.get().enlarges(Pane::Plane(plane)).then_some(plane);
        (size[0] >= 1.0 && size[1] >= 1.0).then(|| Projection {
            plane,
            radiological,
            size,
            scale: fit_scale(size, frame.extent_mm(), only) * view.zoom,
            pan_mm: view.pan_mm,
            centre: frame.centre(),
        })
    }

    /// CSS pixels a millimetre of the three-dimensional view.
    pub fn solid_scale(&self) -> Option<f64> {
        let size = self.sizes.get()[Pane::Solid.at()];
        let fit = size[0].min(size[1]) / self.content.get()?.across_mm.max(1e-6);
        (fit > 0.0).then(|| fit * self.state.camera.get().zoom)
    }

    /// World point under a pixel of a plane.
    pub fn world_at(&self, plane: Plane, pixel: [f64; 2]) -> Option<[f64; 3]> {
        let frame = self.frame.get()?;
        let depth = frame.frame_from_world(self.state.crosshair_mm.get());
        let depth = frame.on_slice(plane.through(), depth);
        Some(frame.world_from_frame(self.projection(plane)?.point(pixel, depth)))
    }

    /// What lies at a world point.
    pub fn readout(&self, world_mm: [f64; 3]) -> Option<Readout> {
        let frame = self.frame.get()?;
        let volume = self.volume.get()?;
        let (values, labels) = (self.state.values.get(), self.labels.get());
        Some(Readout::at(world_mm, (&*volume, values.as_deref()), &frame, labels.as_deref()))
    }

    /// Intensities between black and white of the display copy, in scan units.
    pub fn range(&self) -> f64 {
        self.volume.with(|volume| {
            volume.as_ref().map_or(1.0, |v| f64::from(v.range.1) - f64::from(v.range.0))
        })
    }

    /// Moves the crosshair to a pixel of a plane; the depth stays.
    pub fn point_at(&self, plane: Plane, pixel: [f64; 2]) {
        untrack(|| {
            if let (Some(frame), Some(world)) = (self.frame.get(), self.world_at(plane, pixel)) {
                self.state.crosshair_mm.set(frame.clamped(world));
            }
        });
    }

    /// Puts the brush on a pixel of a plane.
    pub fn paint_at(&self, plane: Plane, pixel: [f64; 2], first: bool) {
        if let Some(world_mm) = untrack(|| self.world_at(plane, pixel)) {
            self.state.brush.set(Some(Touch { plane, world_mm, first }));
        }
    }

    /// Moves the crosshair `by` slices along a frame axis.
    pub fn step(&self, axis: usize, by: i64) {
        untrack(|| {
            if let Some(frame) = self.frame.get() {
                self.state.crosshair_mm.update(|world| *world = frame.stepped(*world, axis, by));
            }
        });
    }

    /// Moves the crosshair by voxels to the right and up on the screen of a plane.
    pub fn nudge(&self, plane: Plane, [right, up]: [i64; 2]) {
        let mirrored = plane.rightward(self.state.radiological.get_untracked()) < 0.0;
        if right != 0 {
            self.step(plane.across(), if mirrored { -right } else { right });
        }
        if up != 0 {
            self.step(plane.upward(), up);
        }
    }

    /// Zooms a pane around a pixel, or around its middle.
    pub fn zoom(&self, pane: Pane, pixel: Option<[f64; 2]>, factor: f64) {
        untrack(|| match pane {
            Pane::Plane(plane) => {
                let Some(projection) = self.projection(plane) else { return };
                let pixel = pixel.unwrap_or(projection.size.map(|side| side / 2.0));
                self.state.planes.update(|planes| {
                    let view = &mut planes[plane.at()];
                    *view = projection.zoomed(*view, pixel, factor);
                });
            }
            Pane::Solid => self.state.camera.update(|camera| *camera = camera.zoomed(factor)),
        });
    }

    /// Moves the image of a pane by pixels to the right and down.
    pub fn pan(&self, pane: Pane, [right, down]: [f64; 2]) {
        untrack(|| match pane {
            Pane::Plane(plane) => {
                let Some(projection) = self.projection(plane) else { return };
                self.state.planes.update(|planes| {
                    let PlaneView { pan_mm, .. } = &mut planes[plane.at()];
                    *pan_mm =
                        [pan_mm[0] + right / projection.scale, pan_mm[1] - down / projection.scale];
                });
            }
            Pane::Solid => {
                let Some(scale) = self.solid_scale() else { return };
                self.state.camera.update(|camera| {
                    camera.pan_mm[0] += right / scale;
                    camera.pan_mm[1] -= down / scale;
                });
            }
        });
    }

    /// Changes the window by a drag of pixels to the right and down.
    pub fn drag_window(&self, pixels: [f64; 2]) {
        let range = untrack(|| self.range());
        self.state.window.update(|window| *window = window.dragged(pixels, range));
    }

    /// Turns the three-dimensional view by a drag.
    pub fn turn(&self, pixels: [f64; 2]) {
        self.state.camera.update(|camera| *camera = camera.dragged(pixels));
    }

    /// Makes a pane the one that keys act on, bringing it to the screen.
    pub fn activate(&self, pane: Pane) {
        self.state.active.set(pane);
        if !self.state.layout.get_untracked().shows(pane) {
            self.state.layout.set(Layout::Single(pane));
        }
    }

    /// Slice number from 1, number of slices, and world position on that axis.
    pub fn slice(&self, plane: Plane) -> Option<(usize, usize, f64)> {
        let frame = self.frame.get()?;
        let axis = plane.through();
        let point = frame.frame_from_world(self.state.crosshair_mm.get());
        let world = frame.world_from_frame(frame.on_slice(axis, point));
        Some((frame.slice(axis, point) + 1, frame.counts[axis], world[axis]))
    }
}

/// Part of the label grid that holds structures, and the world points of its corners.
fn occupied(labels: &DisplayLabels) -> ([[f64; 2]; 3], [[f64; 3]; 8]) {
    let held = labels.indices.length() as usize;
    let bounds = content_box(labels.dims, |at| {
        at < held && u32::try_from(at).is_ok_and(|at| labels.indices.get_index(at) > 0)
    });
    let corners = std::array::from_fn(|corner| {
        labels.affine.apply(
            [0, 1, 2]
                .map(|axis| bounds[axis][(corner >> axis) & 1] * labels.dims[axis] as f64 - 0.5),
        )
    });
    (bounds, corners)
}

/// The structures' box, with room to turn; its own corners are empty.
fn around_corners(frame: &Frame, bounds: [[f64; 2]; 3], corners: [[f64; 3]; 8]) -> Content {
    let corners = corners.map(|world| frame.frame_from_world(world));
    let edge = |axis: usize, pick: fn(f64, f64) -> f64, from: f64| {
        corners.iter().map(|corner| corner[axis]).fold(from, pick)
    };
    let low = [0, 1, 2].map(|axis| edge(axis, f64::min, f64::INFINITY));
    let high = [0, 1, 2].map(|axis| edge(axis, f64::max, f64::NEG_INFINITY));
    let sides = [0, 1, 2].map(|axis| high[axis] - low[axis]);
    let centre = [0, 1, 2].map(|axis| (low[axis] + high[axis]) / 2.0);
    Content { bounds, centre, across_mm: diagonal(sides) * 0.78 }
}

/// The scan's whole field of view; its corners hold air.
fn around_scan(frame: &Frame) -> Content {
    let across_mm = diagonal(frame.extent_mm()) * 0.74;
    Content { bounds: [[0.0, 1.0]; 3], centre: frame.centre(), across_mm }
}

fn diagonal(sides: [f64; 3]) -> f64 {
    sides.iter().map(|side| side * side).sum::<f64>().sqrt()
}
