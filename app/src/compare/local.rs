//! Colours of local change: how much larger or smaller each place is in the second scan,
//! as the worker draws it and the legend says it. The scale is logarithmic, so that twice
//! and half lie equally far from no change.

use leptos::prelude::*;

use crate::diverging::{self, Scale};

/// Changes from which colour may begin: what the first scan against its own repeat shows is
/// left out, and a percent in any case.
const LEAST_PERCENT: (f64, f64) = (1.0, 24.0);

/// Change at the end of the scale, and what is beyond.
const MOST_PERCENT: f64 = 25.0;

/// Percent at the legend's ticks, beside where colour begins.
const TICKS: [f64; 4] = [-20.0, -10.0, 10.0, 25.0];

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
    diverging::colour(log > 0.0, (log.abs() - least) / (most - least))
}

/// Where a logarithm lies on the scale, from -1 to 1.
fn place(log: f64) -> f64 {
    log / logarithm(MOST_PERCENT)
}

/// The scale of the map, in percent; none before the map is there.
#[component]
pub fn Legend(
    /// Change that is noise.
    noise_percent: RwSignal<Option<f64>>,
) -> impl IntoView {
    move || noise_percent.get().map(legend)
}

fn legend(noise: f64) -> impl IntoView {
    let least = begins(noise);
    let apart = |percent: &f64| (percent.abs() - least).abs() > 3.0;
    let ends = [least, 100.0 / (1.0 + least / 100.0) - 100.0];
    let ticks = TICKS.into_iter().filter(apart).chain(ends).map(|percent| {
        let sign = if percent > 0.0 { "+" } else { "\u{2212}" };
        (place(logarithm(percent)), format!("{sign}{:.0} %", percent.abs()))
    });
    let caption = format!(
        "Volume of each place in the second scan against the first. Less than {least:.1} % has no \
         colour: 99 of 100 places of the first scan against its own repeat stay below it.",
    );
    view! {
        <Scale
            colour=move |place| colour((place * logarithm(MOST_PERCENT)).exp() as f32, noise)
            ticks=ticks.collect()
            label="Scale of local change"
            hook="compare-legend"
            caption
        />
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
        assert!((place(logarithm(-20.0)) + 1.0).abs() < 1e-9);
        assert!((place(logarithm(25.0)) - 1.0).abs() < 1e-9);
        assert!(place(0.0).abs() < 1e-9);
    }
}
