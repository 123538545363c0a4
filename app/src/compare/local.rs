//! Colours of local change: how much larger or smaller each place is in the second scan,
//! as the worker draws it and the legend says it. The scale is logarithmic, so that twice
//! and half lie equally far from no change.

use leptos::prelude::*;

/// Changes from which colour may begin: what the first scan against its own repeat shows is
/// left out, and a percent in any case.
const LEAST_PERCENT: (f64, f64) = (1.0, 24.0);

/// Change at the end of the scale, and what is beyond.
const MOST_PERCENT: f64 = 25.0;

/// Colours of the ends, larger and smaller: orange and blue, told apart by all kinds of
/// colour vision.
const LARGER: [f64; 3] = [255.0, 148.0, 32.0];
const SMALLER: [f64; 3] = [64.0, 150.0, 255.0];

/// Opacity where colour begins, and at the ends.
const ALPHA: (f64, f64) = (0.35, 1.0);

/// Percent at the legend's ticks, beside where colour begins.
const TICKS: [f64; 4] = [-20.0, -10.0, 10.0, 25.0];

/// Measures of the legend.
const WIDTH: f64 = 360.0;
const STEPS: usize = 72;

fn logarithm(percent: f64) -> f64 {
    (1.0 + percent / 100.0).ln()
}

/// Where colour begins, for a map whose noise is this.
pub fn begins(noise_percent: f64) -> f64 {
    noise_percent.clamp(LEAST_PERCENT.0, LEAST_PERCENT.1)
}

/// Red, green, blue, alpha of a determinant, colours multiplied by alpha; none below the
/// noise.
pub fn colour(determinant: f32, noise_percent: f64) -> [u8; 4] {
    let log = f64::from(determinant).max(f64::MIN_POSITIVE).ln();
    let (least, most) = (logarithm(begins(noise_percent)), logarithm(MOST_PERCENT));
    if determinant.is_nan() || log.abs() < least {
        return [0; 4];
    }
    let share = ((log.abs() - least) / (most - least)).min(1.0);
    let alpha = ALPHA.0 + share * (ALPHA.1 - ALPHA.0);
    let [r, g, b] = if log > 0.0 { LARGER } else { SMALLER };
    [alpha * r, alpha * g, alpha * b, alpha * 255.0].map(|part| part as u8)
}

/// Where a logarithm lies on the legend.
fn place(log: f64) -> f64 {
    0.5 * WIDTH * (1.0 + log / logarithm(MOST_PERCENT))
}

/// The scale of the map, in percent; none before the map is there.
#[component]
pub fn Legend(
    /// Change that is noise.
    noise_percent: RwSignal<Option<f64>>,
) -> impl IntoView {
    move || noise_percent.get().map(|noise| view! { <Scale noise /> })
}

#[component]
fn Scale(noise: f64) -> impl IntoView {
    let least = begins(noise);
    let most = logarithm(MOST_PERCENT);
    let step = 2.0 * most / STEPS as f64;
    let stripes = (0..STEPS).map(|at| {
        let log = (at as f64 + 0.5) * step - most;
        let [r, g, b, a] = colour(log.exp() as f32, noise);
        view! {
            <rect
                x=format!("{:.2}", place(log - 0.5 * step))
                y="0"
                width=format!("{:.2}", WIDTH / STEPS as f64)
                height="12"
                fill=format!("rgb({r} {g} {b})")
                fill-opacity=if a == 0 { "0" } else { "1" }
            ></rect>
        }
    });
    let apart = |percent: &f64| (percent.abs() - least).abs() > 3.0;
    let ends = [least, 100.0 / (1.0 + least / 100.0) - 100.0];
    let ticks: Vec<f64> = TICKS.into_iter().filter(apart).chain(ends).collect();
    let ticks = ticks.into_iter().map(|percent| {
        let x = place(logarithm(percent));
        let anchor = if x < 1.0 {
            "start"
        } else if x > WIDTH - 1.0 {
            "end"
        } else {
            "middle"
        };
        let sign = if percent > 0.0 { "+" } else { "\u{2212}" };
        view! {
            <text x=format!("{x:.1}") y="26" text-anchor=anchor>
                {format!("{sign}{:.0} %", percent.abs())}
            </text>
        }
    });
    view! {
        <figure class="compare-legend" data-test="compare-legend">
            <svg viewBox=format!("0 0 {WIDTH} 30") role="img" aria-label="Scale of local change">
                {stripes.collect_view()}
                {ticks.collect_view()}
            </svg>
            <figcaption class="aside">
                {format!(
                    "Volume of each place in the second scan against the first. Less than \
                     {least:.1} % has no colour: 99 of 100 places of the first scan against its own \
                     repeat stay below it.",
                )}
            </figcaption>
        </figure>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_have_no_colour_and_inverse_ones_are_equally_strong() {
        let colour = |determinant| super::colour(determinant, 5.0);
        for none in [1.0, 1.04, 0.96, f32::NAN] {
            assert_eq!(colour(none), [0; 4], "{none}");
        }
        // Another pair, another noise.
        assert_ne!(super::colour(1.04, 2.0), [0; 4]);
        assert_eq!(super::colour(1.08, 9.0), [0; 4]);
        // 1.25 and 1 / 1.25 are the ends; 2 is beyond.
        assert_eq!(colour(1.2501), [255, 148, 32, 255]);
        assert_eq!(colour(0.7999), [64, 150, 255, 255]);
        assert_eq!(colour(2.0), colour(1.2501));
        let (up, down) = (colour(1.1), colour(1.0 / 1.1));
        assert!(up[3].abs_diff(down[3]) <= 1 && up[3] < 255, "{up:?} {down:?}");
        // Where nothing is left, or space folds: the strongest of the smaller.
        assert_eq!(colour(0.0), [64, 150, 255, 255]);
    }

    #[test]
    fn the_legend_is_logarithmic() {
        assert!((place(logarithm(-20.0))).abs() < 1e-9);
        assert!((place(logarithm(25.0)) - WIDTH).abs() < 1e-9);
        assert!((place(0.0) - 0.5 * WIDTH).abs() < 1e-9);
    }
}
