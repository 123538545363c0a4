//! Volumes over the heartbeat as a drawing: one line a structure, the shown phase as a
//! vertical line. A click goes to the nearest phase.
//!
//! The horizontal axis is time where the files state credible times, else the number of
//! the phase: a time is never made up.

use leptos::prelude::*;
use prism_core::measure::cardiac::{Chambers, Phase};
use prism_core::report::CineReport;
use prism_core::volume::LabelTable;
use wasm_bindgen::JsCast;
use web_sys::{Element, MouseEvent};

use super::Cine;
use crate::text;

/// Size of the drawing in its own units, and what the axes take of it: left, top, right,
/// bottom.
const SIZE: [f64; 2] = [352.0, 200.0];
const MARGINS: [f64; 4] = [44.0, 10.0, 10.0, 36.0];

/// What is drawn, without the phase that is shown.
#[derive(Clone, Debug, PartialEq)]
struct Drawing {
    /// Horizontal value of each phase: its time, or its number.
    across: Vec<f64>,
    /// Whether they are times.
    timed: bool,
    /// Whether millilitres are assumed ones.
    assumed: bool,
    /// Left ventricle, right ventricle, myocardium: millilitres of each phase.
    lines: [Vec<Option<f64>>; 3],
    /// Least value at the upper end of the vertical axis, and its step.
    axis: (f64, f64),
    /// End-diastole and end-systole.
    events: Option<(usize, usize)>,
    /// What stands beside the name of each line that is not to be used; such lines are dashed.
    marks: [&'static str; 3],
}

impl Drawing {
    fn of(report: &CineReport) -> Self {
        let times: Option<Vec<f64>> = report.phases.iter().map(|phase| phase.time_ms).collect();
        let timed = times.is_some();
        let numbers = || report.phases.iter().map(|phase| phase.phase as f64).collect();
        let line = |of: fn(&Phase) -> f64| {
            report.phases.iter().map(|phase| phase.volumes.as_ref().map(of)).collect::<Vec<_>>()
        };
        let mut lines = [line(|v| v.left_ml), line(|v| v.right_ml), line(|v| v.myocardium_ml)];
        // What was not found has no volume.
        for value in lines.iter_mut().flatten() {
            *value = value.filter(|millilitres| *millilitres > 0.0);
        }
        let most = lines.iter().flatten().flatten().copied().fold(0.0, f64::max);
        let step = nice_step(most, 4.0);
        let marks = match (report.cut, report.right_usable) {
            (true, _) => [" (not usable)"; 3],
            (false, true) => [""; 3],
            (false, false) => ["", " (usable at end-diastole only)", ""],
        };
        Self {
            marks,
            across: times.unwrap_or_else(numbers),
            timed,
            assumed: !report.unit_stated,
            lines,
            axis: ((most / step).ceil().max(1.0) * step, step),
            events: report.function.as_ref().map(|f| (f.end_diastole, f.end_systole)),
        }
    }

    fn ends(&self) -> (f64, f64) {
        let first = self.across.first().copied().unwrap_or(0.0);
        (first, self.across.last().copied().unwrap_or(first))
    }

    /// Horizontal place of a value.
    fn x(&self, value: f64) -> f64 {
        let (first, last) = self.ends();
        let share = if last > first { (value - first) / (last - first) } else { 0.5 };
        MARGINS[0] + share * (SIZE[0] - MARGINS[0] - MARGINS[2])
    }

    /// Vertical place of millilitres.
    fn y(&self, millilitres: f64) -> f64 {
        let share = millilitres / self.axis.0;
        SIZE[1] - MARGINS[3] - share * (SIZE[1] - MARGINS[1] - MARGINS[3])
    }

    /// The phase nearest to a horizontal place.
    fn nearest(&self, x: f64) -> Option<usize> {
        let far = |at: &usize| (self.x(self.across[*at]) - x).abs();
        (0..self.across.len()).min_by(|a, b| far(a).total_cmp(&far(b)))
    }

    /// A line as a path, interrupted where a phase has no volume.
    fn path(&self, line: &[Option<f64>]) -> String {
        let mut path = String::new();
        let mut open = false;
        for (value, across) in line.iter().zip(&self.across) {
            if let Some(value) = value {
                let letter = if open { 'L' } else { 'M' };
                path.push_str(&format!("{letter}{:.1} {:.1}", self.x(*across), self.y(*value)));
            }
            open = value.is_some();
        }
        path
    }

    /// Values with a mark on the vertical axis.
    fn marks(&self) -> Vec<f64> {
        let count = (self.axis.0 / self.axis.1).round() as usize;
        (0..=count).map(|at| at as f64 * self.axis.1).collect()
    }

    /// Values with a mark on the horizontal axis.
    fn marks_across(&self) -> Vec<f64> {
        let (first, last) = self.ends();
        let step = nice_step(last - first, 5.0).max(if self.timed { 0.0 } else { 1.0 });
        let begin = (first / step).ceil() as i64;
        let end = (last / step).floor() as i64;
        (begin..=end).map(|at| at as f64 * step).collect()
    }
}

/// 1, 2 or 5 times a power of ten: about `wanted` of them make `range`.
fn nice_step(range: f64, wanted: f64) -> f64 {
    let raw = (range / wanted).max(1e-6);
    let power = 10_f64.powf(raw.log10().floor());
    let factor = raw / power;
    let nice = [1.0, 2.0, 5.0].into_iter().find(|&nice| factor <= nice * 1.001).unwrap_or(10.0);
    nice * power
}

/// Colours of left ventricle, right ventricle and myocardium, as in the planes.
fn colours(table: &LabelTable) -> Option<[String; 3]> {
    let chambers = Chambers::of(table)?;
    let colour = |index: u8| {
        let label = table.labels.iter().find(|label| label.index == index)?;
        let [red, green, blue] = label.color;
        Some(format!("rgb({red}, {green}, {blue})"))
    };
    Some([colour(chambers.left)?, colour(chambers.right)?, colour(chambers.myocardium)?])
}

const NAMES: [&str; 3] = ["Left ventricle", "Right ventricle", "Myocardium"];

/// The drawing.
#[component]
pub fn Curve(
    /// The phases.
    cine: Cine,
    /// What was measured of them.
    report: Memo<Option<CineReport>>,
) -> impl IntoView {
    let drawing = Memo::new(move |_| report.with(|report| report.as_ref().map(Drawing::of)));
    let strokes = Memo::new(move |_| {
        cine.model.with(|model| model.as_ref().and_then(|card| colours(&card.labels)))
    });
    let click = move |event: MouseEvent| {
        // A dot or a word may be what was hit.
        let hit = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let Some(element) = hit.and_then(|hit| hit.closest("svg").ok().flatten()) else { return };
        let bounds = element.get_bounding_client_rect();
        let share = (f64::from(event.client_x()) - bounds.left()) / bounds.width().max(1.0);
        let at = drawing.with_untracked(|drawing| drawing.as_ref()?.nearest(share * SIZE[0]));
        if let Some(at) = at {
            cine.go_to(at);
        }
    };
    let current = move || {
        drawing.with(|drawing| {
            let drawing = drawing.as_ref()?;
            Some(drawing.x(*drawing.across.get(cine.at.get())?))
        })
    };
    let legend = move || {
        let marks = drawing.with(|drawing| drawing.as_ref().map(|drawing| drawing.marks))?;
        strokes.get().map(|strokes| {
            NAMES
                .into_iter()
                .zip(strokes)
                .zip(marks)
                .map(|((name, stroke), mark)| {
                    view! {
                        <li>
                            <svg viewBox="0 0 16 8" aria-hidden="true">
                                <path
                                    d="M0 4h16"
                                    stroke=stroke
                                    stroke-width="2"
                                    stroke-dasharray=dashes(mark)
                                />
                            </svg>
                            {name}
                            {mark}
                        </li>
                    }
                })
                .collect_view()
        })
    };
    view! {
        <figure class="cine-curve">
            <svg
                viewBox=format!("0 0 {} {}", SIZE[0], SIZE[1])
                role="img"
                aria-label="Volumes over the phases; the table below has the numbers"
                data-test="cine-curve"
                on:click=click
            >
                {move || drawing.get().map(|drawing| axes(&drawing))}
                {move || {
                    let strokes = strokes.get()?;
                    drawing.get().map(|drawing| lines(&drawing, &strokes))
                }}
                {move || {
                    current()
                        .map(|x| {
                            view! {
                                <line
                                    class="cine-current"
                                    data-test="cine-current"
                                    x1=place(x)
                                    x2=place(x)
                                    y1=place(MARGINS[1])
                                    y2=place(SIZE[1] - MARGINS[3])
                                />
                            }
                        })
                }}
            </svg>
            <figcaption><ul class="cine-legend">{legend}</ul></figcaption>
        </figure>
    }
}

/// Dashes of a line with this mark; a line without one is drawn through.
fn dashes(mark: &str) -> Option<&'static str> {
    (!mark.is_empty()).then_some("3 3")
}

fn place(value: f64) -> String {
    format!("{value:.1}")
}

/// Both axes with their marks and units, and where the heart is at its extremes.
fn axes(drawing: &Drawing) -> impl IntoView + use<> {
    let (left, bottom) = (MARGINS[0], SIZE[1] - MARGINS[3]);
    let marks = drawing
        .marks()
        .into_iter()
        .map(|value| {
            let y = drawing.y(value);
            view! {
                <line class="cine-grid" x1=place(left) x2=place(SIZE[0] - MARGINS[2]) y1=place(y) y2=place(y) />
                <text x=place(left - 6.0) y=place(y + 3.5) text-anchor="end">{text::trimmed(value)}</text>
            }
        })
        .collect_view();
    let marks_across = drawing
        .marks_across()
        .into_iter()
        .map(|value| {
            view! {
                <text x=place(drawing.x(value)) y=place(bottom + 14.0) text-anchor="middle">
                    {text::trimmed(value)}
                </text>
            }
        })
        .collect_view();
    let events = drawing
        .events
        .map(|(diastole, systole)| {
            [(diastole, "ED"), (systole, "ES")]
                .map(|(at, word)| {
                    let value = drawing.lines[0][at].unwrap_or(0.0);
                    let (x, y) = (drawing.x(drawing.across[at]), drawing.y(value));
                    let y = if y > MARGINS[1] + 16.0 { y - 7.0 } else { y + 15.0 };
                    view! {
                        <text class="cine-event" x=place(x) y=place(y) text-anchor="middle">{word}</text>
                    }
                })
                .collect_view()
        });
    let unit = text::unit("mL", drawing.assumed);
    let across = if drawing.timed { "Time, ms" } else { "Phase" };
    let middle = (MARGINS[1] + bottom) / 2.0;
    view! {
        {marks}
        {marks_across}
        {events}
        <text
            class="cine-axis"
            x="10"
            y=place(middle)
            text-anchor="middle"
            transform=format!("rotate(-90 10 {middle:.1})")
        >
            {unit}
        </text>
        <text
            class="cine-axis"
            x=place((left + SIZE[0] - MARGINS[2]) / 2.0)
            y=place(SIZE[1] - 4.0)
            text-anchor="middle"
        >
            {across}
        </text>
    }
}

/// The three lines, with a dot a phase.
fn lines(drawing: &Drawing, strokes: &[String; 3]) -> impl IntoView + use<> {
    drawing
        .lines
        .iter()
        .zip(strokes)
        .zip(drawing.marks)
        .map(|((line, stroke), mark)| {
            let dots = line
                .iter()
                .zip(&drawing.across)
                .filter_map(|(value, across)| value.map(|value| (*across, value)))
                .map(|(across, value)| {
                    view! {
                        <circle
                            cx=place(drawing.x(across))
                            cy=place(drawing.y(value))
                            r="2"
                            fill=stroke.clone()
                        />
                    }
                })
                .collect_view();
            view! {
                <path
                    class="cine-line"
                    d=drawing.path(line)
                    stroke=stroke.clone()
                    stroke-dasharray=dashes(mark)
                />
                {dots}
            }
        })
        .collect_view()
}

#[cfg(test)]
mod tests {
    use prism_core::measure::cardiac::Measured;

    use super::*;

    fn drawing(times: [Option<f64>; 3]) -> Drawing {
        let volumes = |left_ml| {
            Some(Measured::Volumes(Phase { left_ml, right_ml: 90.0, myocardium_ml: 100.0 }))
        };
        let refused = Some(Measured::Refused("no wall".into()));
        let measured = vec![volumes(160.0), refused, volumes(80.0)];
        Drawing::of(&CineReport::of(true, &times, measured, &serde_json::Value::Null))
    }

    #[test]
    fn an_axis_ends_above_the_largest_value() {
        let drawing = drawing([None; 3]);
        assert_eq!(drawing.marks(), [0.0, 50.0, 100.0, 150.0, 200.0]);
        assert_eq!(drawing.marks_across(), [1.0, 2.0, 3.0]);
        assert!((drawing.y(0.0) - 164.0).abs() < 1e-9 && (drawing.y(200.0) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_phase_without_volume_interrupts_the_line() {
        let drawing = drawing([None; 3]);
        assert_eq!(drawing.path(&drawing.lines[0]).matches('M').count(), 2);
        assert_eq!(drawing.events, Some((0, 2)));
    }

    #[test]
    fn a_line_that_is_not_to_be_used_is_dashed() {
        // Scores that do not say do not support the right ventricle.
        assert_eq!(drawing([None; 3]).marks.map(dashes), [None, Some("3 3"), None]);
        let cut = |left_ml, right_ml| {
            Some(Measured::Cut(Phase { left_ml, right_ml, myocardium_ml: 100.0 }))
        };
        let measured = vec![cut(98.0, 40.0), cut(69.0, 0.0)];
        let report = CineReport::of(true, &[None; 2], measured, &serde_json::Value::Null);
        let drawing = Drawing::of(&report);
        assert_eq!(drawing.marks.map(dashes), [Some("3 3"); 3]);
        assert_eq!(drawing.lines[1], [Some(40.0), None]);
    }

    #[test]
    fn times_are_an_axis_where_they_are_stated() {
        let drawing = drawing([Some(10.0), Some(40.0), Some(110.0)]);
        assert!(drawing.timed);
        // A third of the way lies 30 ms on: nearer to the second phase than to the last.
        let x = drawing.x(45.0);
        assert_eq!(drawing.nearest(x), Some(1));
    }

    #[test]
    fn steps_are_round() {
        assert_eq!(nice_step(160.0, 4.0), 50.0);
        assert_eq!(nice_step(800.0, 4.0), 200.0);
        assert_eq!(nice_step(29.0, 5.0), 10.0);
    }
}
