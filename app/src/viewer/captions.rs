//! The words around an image: name, slice, sides, scale. The same for the screen and
//! for screenshots, so that neither can be unlabelled.

use leptos::prelude::*;

use super::geometry::{Plane, direction_letters, scale_bar_mm, side_letter};
use super::shown::Shown;
use super::state::{Pane, SolidMode};
use crate::text;

/// The strip that stays in sight, and in every picture that leaves the page.
pub const RESEARCH_ONLY: &str = "Research and education only, not a medical device";

/// Words around one pane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Captions {
    /// `Axial`.
    pub name: String,
    /// `91 / 182`; empty where there are no slices.
    pub slice: String,
    /// `S 12.3 mm`, or what the three-dimensional view shows.
    pub place: String,
    /// Letters at the left, right, top and bottom edge; `R?` where sides are assumed.
    pub letters: [String; 4],
    /// The convention, and which side is which, in words; empty where left and right
    /// are not across.
    pub sides: [&'static str; 2],
    /// Length of the scale bar in CSS pixels, and in words.
    pub scale: Option<(f64, String)>,
}

/// Words for the convention of planes that have left and right across.
pub const fn sides(radiological: bool) -> [&'static str; 2] {
    if radiological {
        ["Radiological", ": patient\u{2019}s right is on the left"]
    } else {
        ["Neurological", ": patient\u{2019}s right is on the right"]
    }
}

/// Letters of a side, with a question mark where the files do not say how the scan lies.
fn side(letters: impl Into<String>, assumed: bool) -> String {
    let mut letters = letters.into();
    if assumed {
        letters.push('?');
    }
    letters
}

impl Captions {
    /// Words around a pane; changes with everything they name.
    pub fn of(shown: &Shown, pane: Pane) -> Self {
        let name = pane.name().to_owned();
        match pane {
            Pane::Plane(plane) => Self { name, ..Self::of_plane(shown, plane) },
            Pane::Solid => Self { name, ..Self::of_solid(shown) },
        }
    }

    fn of_plane(shown: &Shown, plane: Plane) -> Self {
        let radiological = shown.state.radiological.get();
        let assumed = shown.state.sides_assumed.get();
        let letters = plane.letters(radiological).map(|letter| side(letter, assumed));
        let (slice, place) = shown.slice(plane).map_or_else(Default::default, |(at, of, mm)| {
            let letter = side(side_letter(plane.through(), mm), assumed);
            (format!("{at} / {of}"), format!("{letter} {:.1} mm", mm.abs()))
        });
        let sides = match (plane, sides(radiological)) {
            (Plane::Sagittal, _) => [""; 2],
            (_, [convention, _]) if assumed => [convention, ": sides are assumed"],
            (_, sides) => sides,
        };
        let unit_assumed = shown.state.unit_assumed.get();
        let scale = shown.projection(plane).map(|p| bar(p.size[0], p.scale, unit_assumed));
        Self { name: String::new(), slice, place, letters, sides, scale }
    }

    fn of_solid(shown: &Shown) -> Self {
        let axes = shown.state.camera.get().axes();
        let assumed = shown.state.sides_assumed.get();
        let towards = |v: [f64; 3]| side(direction_letters(v), assumed);
        let opposite = |v: [f64; 3]| towards(v.map(|c| -c));
        let letters =
            [opposite(axes.right), towards(axes.right), towards(axes.up), opposite(axes.up)];
        let structures =
            shown.labels.with(Option::is_some) && shown.state.solid.get() == SolidMode::Structures;
        let place = if structures { "structures" } else { "maximum intensity, dimmed by depth" };
        let width = shown.sizes.get()[Pane::Solid.at()][0];
        let unit_assumed = shown.state.unit_assumed.get();
        let scale = shown.solid_scale().map(|scale| bar(width, scale, unit_assumed));
        Self { place: place.into(), letters, scale, ..Self::default() }
    }
}

fn bar(width: f64, scale: f64, assumed: bool) -> (f64, String) {
    let mm = scale_bar_mm(width, scale);
    let words = if mm >= 10.0 { format!("{} cm", mm / 10.0) } else { format!("{mm} mm") };
    (mm * scale, text::unit(&words, assumed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_and_scale_say_what_is_assumed() {
        let letters = |assumed| Plane::Axial.letters(true).map(|letter| side(letter, assumed));
        assert_eq!(letters(false), ["R", "L", "A", "P"]);
        assert_eq!(letters(true), ["R?", "L?", "A?", "P?"]);
        assert_eq!(side(direction_letters([-0.9, 0.43, 0.0]), true), "LA?");
        assert_eq!(bar(500.0, 2.0, false), (100.0, "5 cm".to_owned()));
        assert_eq!(bar(500.0, 100.0, true), (100.0, "1 mm (assumed)".to_owned()));
    }
}
