//! Colours of local change: how much larger or smaller each place is in the second scan,
//! as the worker draws it and the legend says it. The scale is logarithmic, so that twice
//! and half lie equally far from no change.

use leptos::prelude::*;

use crate::diverging::{self, Scale};

/// Change from which colour may begin where there is less noise.
const LEAST_PERCENT: f64 = 1.0;

/// Change at the end of the scale, and what is beyond; with much noise, this many times it.
const MOST_PERCENT: f64 = 25.0;
const MOST_OF_NOISE: f64 = 1.5;

/// Percent at the legend's ticks, beside where colour begins and ends.
const TICKS: [f64; 2] = [-10.0, 10.0];

fn logarithm(percent: f64) -> f64 {
    (1.0 + percent / 100.0).ln()
}

/// Where colour begins, for a map whose noise is this: what a scan against its own
/// repeats shows has none.
pub fn begins(noise_percent: f64) -> f64 {
    noise_percent.max(LEAST_PERCENT)
}

/// Where the scale ends, always beyond where colour begins.
fn ends(noise_percent: f64) -> f64 {
    f64::max(MOST_PERCENT, MOST_OF_NOISE * noise_percent)
}

/// The fall that is as far from no change as a rise, in percent.
fn inverse(percent: f64) -> f64 {
    100.0 / (1.0 + percent / 100.0) - 100.0
}

/// Red, green, blue, alpha of a determinant, colours multiplied by alpha; none below the
/// noise.
pub fn colour(determinant: f32, noise_percent: f64) -> [u8; 4] {
    let log = f64::from(determinant).max(f64::MIN_POSITIVE).ln();
    let (least, most) = (logarithm(begins(noise_percent)), logarithm(ends(noise_percent)));
    if determinant.is_nan() || log.abs() < least {
        return [0; 4];
    }
    diverging::colour(log > 0.0, (log.abs() - least) / (most - least))
}

/// Percent with a place from -1 to 1, for the legend: where colour begins and ends, and what
/// lies apart from both.
fn ticks(noise: f64) -> Vec<(f64, f64)> {
    let named = [begins(noise), ends(noise)];
    let apart = |percent: &f64| named.iter().all(|named| (percent.abs() - named.abs()).abs() > 3.0);
    let between = TICKS.into_iter().filter(apart);
    let all = between.chain(named).chain(named.map(inverse));
    all.map(|percent| (percent, logarithm(percent) / logarithm(ends(noise)))).collect()
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
    let ticks = ticks(noise).into_iter().map(|(percent, place)| {
        let sign = if percent > 0.0 { "+" } else { "\u{2212}" };
        (place, format!("{sign}{:.0} %", percent.abs()))
    });
    let caption = format!(
        "Volume of each place in the second scan against the first. Less than {least:.1} % has no \
         colour: 99 of 100 places of either scan against its own repeats stay below it.",
    );
    view! {
        <Scale
            colour=move |place| colour((place * logarithm(ends(noise))).exp() as f32, noise)
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
    fn changes_inside_a_large_noise_have_no_colour() {
        let colour = |determinant| super::colour(determinant, 30.0);
        // 1 / 1.3 is 0.769.
        for none in [1.26, 1.29, 0.775] {
            assert_eq!(colour(none), [0; 4], "{none}");
        }
        assert_ne!(colour(1.31), [0; 4]);
        assert_ne!(colour(0.765), [0; 4]);
        // The scale ends at 45 %.
        assert_eq!(colour(1.4501), [255, 148, 32, 255]);
        assert_ne!(colour(1.43), colour(1.4501));
    }

    #[test]
    fn the_legend_is_logarithmic_and_names_where_colour_begins_and_ends() {
        let at = |noise: f64| -> Vec<(i32, i32)> {
            let rounded = |(percent, place): (f64, f64)| {
                (percent.round() as i32, (1000.0 * place).round() as i32)
            };
            ticks(noise).into_iter().map(rounded).collect()
        };
        // ln 1.1, ln 1.05 over ln 1.25; and ln 1.1, ln 1.3 over ln 1.45.
        let little = [(-10, -472), (10, 427), (5, 219), (25, 1000), (-5, -219), (-20, -1000)];
        assert_eq!(at(5.0), little);
        let much = [(-10, -284), (10, 257), (30, 706), (45, 1000), (-23, -706), (-31, -1000)];
        assert_eq!(at(30.0), much);
    }
}
