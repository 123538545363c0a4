//! A second scan beside the shown one: aligned in the worker, laid over the planes,
//! compared structure by structure.
//!
//! | file | what |
//! | --- | --- |
//! | `messages` | what is asked of the worker and answered |
//! | `ask` | questions to the worker, and what the page makes of the answers |
//! | `panel` | what the person sees and presses |
//! | `follow_up` | one person at two times: dates, the table of change, the timeline |
//! | `lesions` | lesions that changed between them |
//! | `save` | files of what was computed |
//! | `local` | colours of local change, and their legend |

mod ask;
mod follow_up;
mod lesions;
pub mod local;
pub mod messages;
mod panel;
mod save;

use std::rc::Rc;

use leptos::leptos_dom::helpers::IntervalHandle;
use leptos::prelude::*;
use prism_core::report::{ChangeFacts, ComparisonFacts};

pub use panel::ComparePanel;
use prism_core::follow_up::{Change, ChangedLesions, Finding};

use crate::features::Features;
use crate::protocol::RequestId;
use crate::viewer::{ColoursSignal, DisplayColours};
use messages::{Kind, Picture};

/// How the second scan is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Not.
    #[default]
    Off,
    /// Through the first one, by a slider.
    Blend,
    /// In every other cube.
    Checkerboard,
    /// In turn with the first one.
    Flicker,
    /// The deformation, by cubes that were straight.
    Cells,
    /// How much larger or smaller each place is in the second scan, by colours.
    Change,
}

impl Mode {
    /// All, in the order of the switch.
    pub const ALL: [Self; 6] =
        [Self::Off, Self::Blend, Self::Checkerboard, Self::Flicker, Self::Cells, Self::Change];

    /// The word on the switch.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Off => "First scan",
            Self::Blend => "Blend",
            Self::Checkerboard => "Checkers",
            Self::Flicker => "Flicker",
            Self::Cells => "Grid",
            Self::Change => "Change",
        }
    }

    /// The word in attributes.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Blend => "blend",
            Self::Checkerboard => "checkerboard",
            Self::Flicker => "flicker",
            Self::Cells => "cells",
            Self::Change => "change",
        }
    }

    /// The picture it needs.
    pub const fn picture(self) -> Option<Picture> {
        match self {
            Self::Off => None,
            Self::Blend | Self::Flicker => Some(Picture::Greys),
            Self::Checkerboard => Some(Picture::Checkerboard),
            Self::Cells => Some(Picture::Cells),
            Self::Change => Some(Picture::LocalChange),
        }
    }
}

/// How an alignment went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Seconds it took.
    pub seconds: f64,
    /// Difference of the features after the affine part, and in the end.
    pub differences: (f64, f64),
    /// Share of places where space folds.
    pub folded: Option<f64>,
}

/// What only actions need.
#[derive(Default)]
struct Desk {
    /// The question that the worker is at.
    asking: Option<RequestId>,
    /// Opacity of the overlay before a second scan was laid over.
    opacity: Option<f64>,
    /// The clock of the flicker.
    flicker: Option<IntervalHandle>,
}

/// Everything the page knows of the second scan. `Copy`: a bundle of signals.
#[derive(Clone, Copy)]
pub struct Compare {
    /// How it is shown.
    pub mode: RwSignal<Mode>,
    /// How far it may be moved.
    pub kind: RwSignal<Kind>,
    /// Its file's name.
    pub name: RwSignal<Option<String>>,
    /// What is being computed, as a short sentence.
    pub busy: RwSignal<Option<String>>,
    /// How the alignment went.
    pub outcome: RwSignal<Option<Outcome>>,
    /// Whether the second scan is the atlas.
    pub atlas: RwSignal<bool>,
    /// Days of both scans: of their studies, or as typed.
    pub dates: [RwSignal<String>; 2],
    /// Years between the scans, as typed; they go before the dates.
    pub years: RwSignal<String>,
    /// The change of each structure.
    pub rows: RwSignal<Option<Vec<Change>>>,
    /// Lesions that changed, and the largest spot that repeats show, millilitres.
    pub findings: RwSignal<Option<(Vec<Finding>, f64)>>,
    /// Percent of local change that is noise, once the map was drawn.
    pub noise_percent: RwSignal<Option<f64>>,
    /// What is to be known of how it was aligned.
    pub note: RwSignal<Option<String>>,
    /// Which series of its files it is, where they hold several: a sentence.
    pub taken: RwSignal<Option<String>>,
    /// Whether the files of one of the scans do not state the unit of length.
    pub unit_assumed: RwSignal<bool>,
    /// The picture, and which it is.
    picture: RwSignal<Option<(Picture, Rc<DisplayColours>)>, LocalStorage>,
    desk: StoredValue<Desk, LocalStorage>,
}

impl Compare {
    /// No second scan.
    pub fn new() -> Self {
        Self {
            mode: RwSignal::new(Mode::Off),
            kind: RwSignal::new(Kind::default()),
            name: RwSignal::new(None),
            busy: RwSignal::new(None),
            outcome: RwSignal::new(None),
            atlas: RwSignal::new(false),
            dates: [(); 2].map(|()| RwSignal::new(String::new())),
            years: RwSignal::new(String::new()),
            rows: RwSignal::new(None),
            findings: RwSignal::new(None),
            noise_percent: RwSignal::new(None),
            note: RwSignal::new(None),
            taken: RwSignal::new(None),
            unit_assumed: RwSignal::new(false),
            picture: RwSignal::new_local(None),
            desk: StoredValue::new_local(Desk::default()),
        }
    }

    /// Whether the second scan is older than the first: change would be told against the
    /// direction of time.
    pub fn is_reversed(self) -> bool {
        follow_up::reversed(&self.dates.map(|date| date.get()))
    }

    /// What a report says of the second scan; `None` where none is aligned, or one that is
    /// older than the first.
    pub fn facts(self) -> Option<ComparisonFacts> {
        self.outcome.get()?;
        if self.is_reversed() {
            return None;
        }
        let rows = self.rows.get();
        Some(ComparisonFacts {
            years: follow_up::years(&self.years.get(), &self.dates.map(|date| date.get())),
            changes: rows.map(|rows| rows.into_iter().map(ChangeFacts::from).collect()),
            earlier: false,
            atlas: self.atlas.get(),
            unit_assumed: self.unit_assumed.get(),
            lesions: self
                .findings
                .get()
                .map(|(findings, null)| ChangedLesions::of(&findings, null).into()),
        })
    }

    /// The colours that the planes show: the second scan's, or those of the features.
    pub fn shown_colours(self, features: Features) -> ColoursSignal {
        let others = features.shown_colours();
        Signal::derive_local(move || match self.mode.get().picture() {
            None => others.get(),
            Some(wanted) => self.picture.with(|known| {
                known.as_ref().filter(|(which, _)| *which == wanted).map(|(_, shown)| shown.clone())
            }),
        })
    }
}

impl Default for Compare {
    fn default() -> Self {
        Self::new()
    }
}
