//! Colours over the planes for what has two directions, as the worker draws them and a scale says
//! them: none near the middle, stronger towards both ends.

use leptos::prelude::*;

/// Colours of the ends, more and less: orange and blue, told apart by all kinds of colour
/// vision.
const MORE: [f64; 3] = [255.0, 148.0, 32.0];
const LESS: [f64; 3] = [64.0, 150.0, 255.0];

/// Opacity where colour begins, and at the ends.
const ALPHA: (f64, f64) = (0.35, 1.0);

/// Measures of a scale.
const WIDTH: f64 = 360.0;
const STEPS: usize = 72;

/// Red, green, blue, alpha, colours multiplied by alpha, `share` (0 to 1, what is beyond is 1)
/// of the way from where colour begins to its end.
pub fn colour(more: bool, share: f64) -> [u8; 4] {
    let alpha = ALPHA.0 + share.clamp(0.0, 1.0) * (ALPHA.1 - ALPHA.0);
    let [r, g, b] = if more { MORE } else { LESS };
    [alpha * r, alpha * g, alpha * b, alpha * 255.0].map(|part| part as u8)
}

/// Where a place from -1 to 1 lies on a scale.
fn across(place: f64) -> f64 {
    0.5 * WIDTH * (1.0 + place)
}

/// A scale with its ticks and a sentence.
#[component]
pub fn Scale(
    /// The colour at a place from -1 to 1.
    colour: impl Fn(f64) -> [u8; 4] + 'static,
    /// Places with their words.
    ticks: Vec<(f64, String)>,
    /// What it is the scale of, for who cannot see it.
    label: &'static str,
    /// Its name for tests.
    hook: &'static str,
    /// What is to be known of the colours.
    caption: String,
) -> impl IntoView {
    let step = 2.0 / STEPS as f64;
    let stripes = (0..STEPS).map(|at| {
        let place = (at as f64 + 0.5) * step - 1.0;
        let [r, g, b, a] = colour(place);
        view! {
            <rect
                x=format!("{:.2}", across(place - 0.5 * step))
                y="0"
                width=format!("{:.2}", WIDTH / STEPS as f64)
                height="12"
                fill=format!("rgb({r} {g} {b})")
                fill-opacity=if a == 0 { "0" } else { "1" }
            ></rect>
        }
    });
    let ticks = ticks.into_iter().map(|(place, words)| {
        let x = across(place);
        let anchor = if x < 1.0 {
            "start"
        } else if x > WIDTH - 1.0 {
            "end"
        } else {
            "middle"
        };
        view! {
            <text x=format!("{x:.1}") y="26" text-anchor=anchor>
                {words}
            </text>
        }
    });
    view! {
        <figure class="colour-scale" data-test=hook>
            <svg viewBox=format!("0 0 {WIDTH} 30") role="img" aria-label=label>
                {stripes.collect_view()}
                {ticks.collect_view()}
            </svg>
            <figcaption class="aside">{caption}</figcaption>
        </figure>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_grow_alike_and_end_at_their_colour() {
        assert_eq!(colour(true, 1.0), [255, 148, 32, 255]);
        assert_eq!(colour(false, 7.0), [64, 150, 255, 255]);
        let (more, less) = (colour(true, 0.5), colour(false, 0.5));
        assert!(more[3] == less[3] && colour(true, 0.0)[3] < more[3] && more[3] < 255);
    }

    #[test]
    fn a_scale_has_no_change_in_its_middle() {
        assert!(across(-1.0).abs() < 1e-9 && (across(1.0) - WIDTH).abs() < 1e-9);
        assert!((across(0.0) - 0.5 * WIDTH).abs() < 1e-9);
    }
}
