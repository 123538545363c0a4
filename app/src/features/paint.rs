//! Painting: classes, strokes on the scan's own grid, and taking them back.

use std::rc::Rc;

use js_sys::Uint8Array;
use leptos::prelude::*;
use prism_core::volume::{Label, LabelTable, class_color};

use super::brush::{MOST_STROKES, along, bounds, disc};
use super::{Desk, Features, Mode};
use crate::state::App;
use crate::viewer::{BrushKey, DisplayLabels, Pane, Plane, SolidMode, Tool, Touch};

/// Most classes, background counted, that the worker fits.
pub const MOST_CLASSES: usize = 16;

fn class(index: u8, name: String) -> Label {
    let color = match index {
        // Background is blue, where the planes are grey.
        0 | 1 => [110, 130, 225],
        _ => class_color(usize::from(index - 2)),
    };
    Label { index, id: u16::from(index), name, color, side: None, pair: None }
}

/// The value after this one: classes in their order, then 0, which erases.
fn next_value(value: u8, classes: usize) -> u8 {
    if usize::from(value) < classes { value + 1 } else { 0 }
}

/// Background and one class.
pub fn first_classes() -> Vec<Label> {
    vec![class(1, "Background".into()), class(2, "Class 1".into())]
}

impl App {
    /// Listens to the brush. Called once.
    pub fn watch_brush(&self) {
        let app = *self;
        Effect::new(move |_| {
            let touch = app.view.brush.get();
            match touch {
                Some(touch) => app.paint(touch),
                None => app.features.desk.update_value(|desk| desk.last_mm = None),
            }
        });
    }

    /// Listens to the keys of the brush, which mean something while something is taught.
    /// Called once.
    pub fn watch_brush_keys(&self) {
        let app = *self;
        Effect::new(move |_| {
            let Some(key) = app.view.brush_key.get() else { return };
            if app.features.mode.get_untracked() != Mode::Paint {
                return;
            }
            match key {
                BrushKey::Here => app.paint_at_crosshair(),
                BrushKey::Undo => app.undo_stroke(),
                BrushKey::Next => {
                    let classes = app.features.classes.with_untracked(Vec::len);
                    app.features.value.update(|value| *value = next_value(*value, classes));
                }
            }
        });
    }

    /// Shows something else of the features.
    pub fn show_features(&self, mode: Mode) {
        let features = self.features;
        if mode == Mode::Paint {
            self.begin_painting();
        } else if features.mode.get_untracked() == Mode::Paint {
            self.view.solid.set(SolidMode::Structures);
            if self.view.tool.get_untracked() == Tool::Brush {
                self.view.tool.set(Tool::Crosshair);
            }
        }
        features.mode.set(mode);
        if mode != Mode::Off {
            self.view.overlay_shown.set(true);
        }
        match mode {
            Mode::Colours if features.colours.with_untracked(Option::is_none) => self.ask_colours(),
            Mode::Similar => self.ask_similar(),
            Mode::Label => self.teach_or_classify(),
            _ => {}
        }
    }

    fn begin_painting(&self) {
        self.view.tool.set(Tool::Brush);
        // Strokes are flat, there is nothing to see of them in three dimensions.
        self.view.solid.set(SolidMode::Projection);
        if self.features.painted.with_untracked(Option::is_none) {
            self.wipe_painting();
        }
    }

    /// Begins with nothing painted in the shown scan.
    pub(super) fn wipe_painting(&self) {
        let features = self.features;
        features.desk.update_value(|desk| {
            desk.strokes.clear();
            desk.changes = Default::default();
        });
        features.strokes.set(0);
        let Some(scan) = self.scan.get_untracked() else { return };
        let voxels = scan.grid.dims.iter().product::<usize>() as u32;
        features.painted.set(Some(Rc::new(DisplayLabels {
            dims: scan.grid.dims,
            affine: scan.grid.affine,
            indices: Uint8Array::new_with_length(voxels),
            table: LabelTable { labels: features.classes.get_untracked() },
        })));
    }

    /// Paints from the last point of the stroke to this one.
    fn paint(&self, touch: Touch) {
        let features = self.features;
        let Some(painted) = features.painted.get_untracked() else { return };
        let radius = features.brush_mm.get_untracked() / 2.0;
        let last = features.desk.with_value(|desk| desk.last_mm.filter(|_| !touch.first));
        let mut points =
            last.map_or(vec![touch.world_mm], |last| along(last, touch.world_mm, radius));
        points.dedup();
        let mut voxels: Vec<u32> = points
            .into_iter()
            .flat_map(|point| {
                disc(painted.dims, &painted.affine, touch.plane.through(), point, radius)
            })
            .collect();
        voxels.sort_unstable();
        voxels.dedup();
        let value = features.value.get_untracked();
        let changed: Vec<(u32, u8)> = voxels
            .into_iter()
            .map(|voxel| (voxel, painted.indices.get_index(voxel)))
            .filter(|&(_, before)| before != value)
            .collect();
        changed.iter().for_each(|&(voxel, _)| painted.indices.set_index(voxel, value));
        self.touched(&painted, changed.iter().map(|&(voxel, _)| voxel));
        features.desk.update_value(|desk| {
            desk.last_mm = Some(touch.world_mm);
            if touch.first || desk.strokes.is_empty() {
                desk.strokes.push(Vec::new());
                if desk.strokes.len() > MOST_STROKES {
                    desk.strokes.remove(0);
                }
            }
            if let Some(stroke) = desk.strokes.last_mut() {
                stroke.extend(changed);
            }
            desk.changed();
        });
        features.strokes.set(features.desk.with_value(|desk| desk.strokes.len()));
    }

    /// Paints at the crosshair, as one touch in the active plane.
    pub fn paint_at_crosshair(&self) {
        let plane = match self.view.active.get_untracked() {
            Pane::Plane(plane) => plane,
            Pane::Solid => Plane::Axial,
        };
        let world_mm = self.view.crosshair_mm.get_untracked();
        self.paint(Touch { plane, world_mm, first: true });
    }

    /// Takes the last stroke back.
    pub fn undo_stroke(&self) {
        let features = self.features;
        let Some(painted) = features.painted.get_untracked() else { return };
        let stroke = features.desk.try_update_value(|desk| desk.strokes.pop()).flatten();
        let Some(stroke) = stroke else { return };
        features.desk.update_value(Desk::changed);
        // Backwards: a voxel may have changed twice.
        for &(voxel, before) in stroke.iter().rev() {
            painted.indices.set_index(voxel, before);
        }
        self.touched(&painted, stroke.iter().map(|&(voxel, _)| voxel));
        features.strokes.set(features.desk.with_value(|desk| desk.strokes.len()));
    }

    /// Draws changed voxels anew.
    fn touched(&self, painted: &DisplayLabels, voxels: impl Iterator<Item = u32>) {
        let Some(part) = bounds(painted.dims, voxels) else { return };
        // What was not drawn yet is drawn with it.
        let waiting = self.view.touched_labels.get_untracked();
        let part = waiting.map_or(part, |held| {
            [0, 1, 2]
                .map(|axis| [held[axis][0].min(part[axis][0]), held[axis][1].max(part[axis][1])])
        });
        self.view.touched_labels.set(Some(part));
    }

    /// Adds a class and chooses it.
    pub fn add_class(&self) {
        let features = self.features;
        features.classes.update(|classes| {
            if classes.len() < MOST_CLASSES {
                let index = classes.len() as u8 + 1;
                classes.push(class(index, format!("Class {}", index - 1)));
            }
        });
        features.value.set(features.classes.with_untracked(Vec::len) as u8);
        self.show_classes();
    }

    /// Changes a class by its painted value.
    pub fn change_class(&self, value: u8, change: impl FnOnce(&mut Label)) {
        self.features.classes.update(|classes| {
            if let Some(class) = classes.iter_mut().find(|class| class.index == value) {
                change(class);
            }
        });
        self.show_classes();
    }

    /// Gives the painted labels the classes' names and colours.
    fn show_classes(&self) {
        let features = self.features;
        let table = LabelTable { labels: features.classes.get_untracked() };
        features.painted.update(|painted| {
            if let Some(held) = painted {
                *held = Rc::new(DisplayLabels { table, ..DisplayLabels::clone(held) });
            }
        });
    }
}

impl Features {
    /// The classes as the fitted head has them: background has no entry, the others
    /// count from 1.
    pub fn table(self) -> LabelTable {
        let classes = self.classes.get_untracked();
        let fitted = classes.into_iter().skip(1).map(|class| Label {
            index: class.index - 1,
            id: u16::from(class.index - 1),
            ..class
        });
        LabelTable { labels: fitted.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_through_the_classes_and_the_eraser() {
        assert_eq!([0, 1, 2].map(|value| next_value(value, 2)), [1, 2, 0]);
    }

    #[test]
    fn fitted_classes_count_from_one_without_background() {
        let features = Features::new();
        let table = features.table();
        assert_eq!(table.check(), Ok(()));
        let [only] = &table.labels[..] else { unreachable!("one class besides background") };
        assert_eq!((only.index, only.name.as_str()), (1, "Class 1"));
    }
}
