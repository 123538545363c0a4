//! Lesions in the shown scan and further sequences of its study: never looked for unasked.
//!
//! | file | what |
//! | --- | --- |
//! | `messages` | what is asked of the worker and answered |
//! | `ask` | questions to the worker, and what the page makes of the answers |
//! | `panel` | sequences, the button, what was found |
//! | `rows` | the table of lesions (its order in `table`) |
//! | `caution` | what the pack is known to get wrong |
//! | `abnormality` | the map without labels: colours, scale, how weak it is |

pub mod abnormality;
mod ask;
mod caution;
pub mod messages;
mod panel;
mod rows;
mod table;

use std::rc::Rc;
use std::sync::Arc;

use leptos::prelude::*;
use web_sys::File;

pub use panel::LesionsPanel;

use crate::features::{Features, Mode};
use crate::protocol::RequestId;
use crate::viewer::{ColoursSignal, DisplayColours, DisplayLabels, LabelsSignal};
use messages::{Found, Mapped, Sequence};
use table::Order;

/// What the overlay of the planes shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlay {
    /// Structures, as ever.
    #[default]
    Structures,
    /// Lesions.
    Lesions,
    /// The map of abnormality.
    Abnormality,
}

impl Overlay {
    /// What lies beside a search, in the order of the switch.
    pub const OF_SEARCH: [Self; 2] = [Self::Structures, Self::Lesions];

    /// The word on the switch.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Structures => "Structures",
            Self::Lesions => "Lesions",
            Self::Abnormality => "Abnormality map",
        }
    }

    /// The word in attributes.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Structures => "structures",
            Self::Lesions => "lesions",
            Self::Abnormality => "abnormality",
        }
    }
}

/// What only actions need.
#[derive(Default)]
struct Desk {
    /// The question that the worker is at.
    asking: Option<RequestId>,
    /// Sequences that a restarted worker is given again.
    again: Vec<RequestId>,
    /// Key of the next sequence.
    next_key: u32,
    /// Files of each sequence, by its key.
    files: Vec<(u32, Vec<File>)>,
    /// Keys of the sequences that the worker holds.
    held: Vec<u32>,
    /// Files that are being added.
    adding: Vec<File>,
}

/// Everything the page knows of lesions. `Copy`: a bundle of signals.
#[derive(Clone, Copy)]
pub struct Lesions {
    /// Sequences beside the shown scan.
    pub sequences: RwSignal<Vec<Sequence>>,
    /// What is being computed, as a short sentence.
    pub busy: RwSignal<Option<String>>,
    /// What was found.
    pub found: RwSignal<Option<Arc<Found>>>,
    /// What goes with the map of abnormality.
    pub mapped: RwSignal<Option<Mapped>>,
    /// What the overlay shows.
    pub overlay: RwSignal<Overlay>,
    /// Order of the table.
    order: RwSignal<Order>,
    /// Label indices of what was found.
    map: RwSignal<Option<Rc<DisplayLabels>>, LocalStorage>,
    /// Colours of the map of abnormality.
    colours: RwSignal<Option<Rc<DisplayColours>>, LocalStorage>,
    desk: StoredValue<Desk, LocalStorage>,
}

impl Lesions {
    /// Nothing looked for.
    pub fn new() -> Self {
        Self {
            sequences: RwSignal::new(Vec::new()),
            busy: RwSignal::new(None),
            found: RwSignal::new(None),
            mapped: RwSignal::new(None),
            overlay: RwSignal::new(Overlay::Structures),
            order: RwSignal::new(Order::FIRST),
            map: RwSignal::new_local(None),
            colours: RwSignal::new_local(None),
            desk: StoredValue::new_local(Desk::default()),
        }
    }

    /// The labels that the planes show: lesions, or what else there is. What is painted
    /// comes first.
    pub fn shown_labels(self, features: Features, others: LabelsSignal) -> LabelsSignal {
        Signal::derive_local(move || {
            let lesions =
                self.overlay.get() == Overlay::Lesions && features.mode.get() != Mode::Paint;
            let map = if lesions { self.map.get() } else { None };
            map.or_else(|| others.get())
        })
    }

    /// The colours that the planes show: the map of abnormality where no others are. What is
    /// painted would lie under them.
    pub fn shown_colours(self, features: Features, others: ColoursSignal) -> ColoursSignal {
        Signal::derive_local(move || {
            let ours =
                self.overlay.get() == Overlay::Abnormality && features.mode.get() != Mode::Paint;
            others.get().or_else(|| if ours { self.colours.get() } else { None })
        })
    }
}

impl Default for Lesions {
    fn default() -> Self {
        Self::new()
    }
}
