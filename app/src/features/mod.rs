//! What can be done with the encoder's features in the page: see them as colours,
//! find places that look alike, teach a new segmentation with a brush, or a label of
//! whole scans.
//!
//! | file | what |
//! | --- | --- |
//! | `messages` | what is asked of the worker and answered |
//! | `ask` | questions to the worker, and what the page makes of the answers |
//! | `paint` | classes, strokes, undo |
//! | `brush` | which voxels a touch covers |
//! | `examples` | what was painted in earlier scans |
//! | `labels` | labelled scans and the head fitted on them |
//! | `together` | further sequences of the study, for heads that fuse several |

mod ask;
mod brush;
mod examples;
mod labels;
pub mod messages;
mod paint;
mod together;

use std::rc::Rc;

use js_sys::Reflect;
use leptos::prelude::*;
use prism_core::volume::Label;
use wasm_bindgen::JsValue;

use crate::protocol::RequestId;
use crate::viewer::{ColoursSignal, DisplayColours, DisplayLabels, LabelsSignal};
use brush::Stroke;
pub use examples::Kept;
pub use labels::{Labelled, Labels};
use messages::{Fit, Told};
pub use together::Group;

/// What the planes show of the features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: the structures as ever.
    #[default]
    Off,
    /// The principal components as colours.
    Colours,
    /// Places that look like the one at the crosshair.
    Similar,
    /// What was painted.
    Paint,
    /// The structures; the panel labels whole scans.
    Label,
}

impl Mode {
    /// All, in the order of the switch.
    pub const ALL: [Self; 5] = [Self::Off, Self::Colours, Self::Similar, Self::Paint, Self::Label];

    /// The word on the switch.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Off => "Structures",
            Self::Colours => "Colours",
            Self::Similar => "Similar",
            Self::Paint => "Teach",
            Self::Label => "Label",
        }
    }

    /// The word in attributes.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Colours => "colours",
            Self::Similar => "similar",
            Self::Paint => "paint",
            Self::Label => "label",
        }
    }
}

/// The most similar place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// World point (RAS+, mm).
    pub best_mm: [f64; 3],
    /// Mean cosine of the features, at most 1.
    pub score: f32,
    /// Whether the kept place was looked for, not the crosshair's.
    pub kept: bool,
}

/// What only actions need.
#[derive(Default)]
pub struct Desk {
    /// The question that the worker is at.
    asking: Option<RequestId>,
    /// Whether the crosshair moved while it was at one about similarity.
    moved: bool,
    /// The request for the examples of a scan that is about to be replaced.
    taking: Option<RequestId>,
    /// How often what is painted changed, when it was last asked for, and what of it is
    /// among the examples.
    changes: Changes,
    /// What can be taken back, oldest first.
    strokes: Vec<Stroke>,
    /// Last point of the stroke being drawn.
    last_mm: Option<[f64; 3]>,
}

/// Counts changes of what is painted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Changes {
    made: u32,
    asked: u32,
    taken: u32,
}

/// Everything the page knows about features. `Copy`: a bundle of signals.
#[derive(Clone, Copy)]
pub struct Features {
    /// What is shown.
    pub mode: RwSignal<Mode>,
    /// What is being computed, as a short sentence.
    pub busy: RwSignal<Option<String>>,
    /// The principal components.
    pub colours: RwSignal<Option<Rc<DisplayColours>>, LocalStorage>,
    /// Share of the features' variance in red, green and blue.
    pub explained: RwSignal<Option<[f64; 3]>>,
    /// How similar every place is.
    pub heat: RwSignal<Option<Rc<DisplayColours>>, LocalStorage>,
    /// The most similar place.
    pub found: RwSignal<Option<Found>>,
    /// Whether a place is kept for another scan, and whether it is the one looked for.
    pub kept: RwSignal<Option<bool>>,
    /// What the model's own heads say of the scan.
    pub told: RwSignal<Option<Told>>,
    /// Further sequences of its study.
    pub beside: RwSignal<Vec<Group>, LocalStorage>,
    /// What was painted: 0 nothing, else class + 1, the first class is background.
    pub painted: RwSignal<Option<Rc<DisplayLabels>>, LocalStorage>,
    /// The classes; their indices are the painted values.
    pub classes: RwSignal<Vec<Label>>,
    /// Value that the brush paints; 0 erases.
    pub value: RwSignal<u8>,
    /// Diameter of the brush in millimetres.
    pub brush_mm: RwSignal<f64>,
    /// How many strokes can be taken back.
    pub strokes: RwSignal<usize>,
    /// What was painted in this and earlier scans, as the worker gave it.
    pub examples: RwSignal<Vec<Kept>, LocalStorage>,
    /// Scans with a label.
    pub labels: Labels,
    /// The last fit.
    pub fit: RwSignal<Option<Fit>>,
    /// The pack it made, a buffer.
    pub pack: StoredValue<Option<js_sys::ArrayBuffer>, LocalStorage>,
    desk: StoredValue<Desk, LocalStorage>,
}

impl Features {
    /// None yet.
    pub fn new() -> Self {
        let features = Self {
            mode: RwSignal::new(Mode::Off),
            busy: RwSignal::new(None),
            colours: RwSignal::new_local(None),
            explained: RwSignal::new(None),
            heat: RwSignal::new_local(None),
            found: RwSignal::new(None),
            kept: RwSignal::new(None),
            told: RwSignal::new(None),
            beside: RwSignal::new_local(Vec::new()),
            painted: RwSignal::new_local(None),
            classes: RwSignal::new(paint::first_classes()),
            value: RwSignal::new(2),
            brush_mm: RwSignal::new(6.0),
            strokes: RwSignal::new(0),
            examples: RwSignal::new_local(Vec::new()),
            labels: Labels::new(),
            fit: RwSignal::new(None),
            pack: StoredValue::new_local(None),
            desk: StoredValue::new_local(Desk::default()),
        };
        // Tests have no window.
        if cfg!(target_arch = "wasm32") {
            features.warn_before_leaving();
        }
        features
    }

    /// Whether strokes, examples or labelled scans would be lost with the page, which alone holds
    /// them.
    fn would_be_lost(self) -> bool {
        self.strokes.get_untracked() > 0
            || self.examples.with_untracked(|all| !all.is_empty())
            || self.labels.scans.with_untracked(|all| !all.is_empty())
    }

    /// Has the browser ask before the page is left with them.
    fn warn_before_leaving(self) {
        let _ = window_event_listener_untyped("beforeunload", move |event| {
            if self.would_be_lost() {
                event.prevent_default();
                // What older browsers look at.
                let _ = Reflect::set(&event, &"returnValue".into(), &JsValue::TRUE);
            }
        });
    }

    /// The colours that the planes show.
    pub fn shown_colours(self) -> ColoursSignal {
        Signal::derive_local(move || match self.mode.get() {
            Mode::Colours => self.colours.get(),
            Mode::Similar => self.heat.get(),
            Mode::Off | Mode::Paint | Mode::Label => None,
        })
    }

    /// The labels that the planes show: those of the segmentation, or what was painted.
    pub fn shown_labels(
        self,
        labels: RwSignal<Option<Rc<DisplayLabels>>, LocalStorage>,
    ) -> LabelsSignal {
        Signal::derive_local(move || match self.mode.get() {
            Mode::Paint => self.painted.get(),
            _ => labels.get(),
        })
    }

    /// Forgets what an encoder said, when another one is chosen; what was painted stays,
    /// and examples and labelled scans for when the first is chosen again.
    pub fn forget_encoder(self) {
        self.labels.answer.set(None);
        self.told.set(None);
        self.colours.set(None);
        self.explained.set(None);
        self.heat.set(None);
        self.found.set(None);
    }

    /// Forgets what belongs to a scan that is replaced; a kept place, classes, examples and
    /// labelled scans stay.
    pub fn forget_scan(self) {
        self.forget_encoder();
        self.examples.update(|all| all.iter_mut().for_each(|kept| kept.open = false));
        self.labels.close_scan();
        self.beside.set(Vec::new());
        self.painted.set(None);
        self.strokes.set(0);
        self.desk.update_value(|desk| {
            desk.strokes.clear();
            desk.changes = Changes::default();
            desk.last_mm = None;
            desk.moved = false;
        });
    }
}

impl Default for Features {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strokes_are_lost_with_the_page_until_they_are_taken_back() {
        let features = Features::new();
        assert!(!features.would_be_lost());
        features.strokes.set(1);
        assert!(features.would_be_lost());
        features.strokes.set(0);
        assert!(!features.would_be_lost());
    }
}
