//! One person at two times: when, the table of change, the timeline. What lies inside its
//! interval is called no change, in words and in the drawing.

use leptos::prelude::*;
use prism_core::follow_up::change::LIMITS;
use prism_core::follow_up::{Change, changes_csv};
use prism_core::formats::Date;
use prism_core::report::{Course, Timeline};

use super::lesions::LesionChange;
use crate::download;
use crate::state::{App, Tone};
use crate::text;

/// What is said instead of changes where the second scan is older than the first.
const REVERSED: &str = "The second scan is older than the first: open the older one first.";

/// Days of both scans, where both are known.
fn days(dates: &[String; 2]) -> Option<[Date; 2]> {
    let [first, second] = [0, 1].map(|at| dates[at].parse::<Date>().ok());
    Some([first?, second?])
}

/// Whether the second scan is older than the first.
pub(super) fn reversed(dates: &[String; 2]) -> bool {
    days(dates).is_some_and(|[first, second]| first.years_to(second) < 0.0)
}

/// What is said where the series of the opened files are of more than one day, `shown` that of
/// the scan that is shown.
pub(super) fn other_day(
    days: impl Iterator<Item = Option<Date>>,
    shown: Option<Date>,
) -> Option<String> {
    let shown = shown?;
    let other = days.flatten().find(|&day| day != shown)?;
    Some(format!(
        "The opened files hold scans of more than one day. To measure change between them, show \
         the scan of {} and open that of {} here.",
        shown.min(other),
        shown.max(other),
    ))
}

/// The time between the scans.
#[derive(Clone, Debug, Default, PartialEq)]
struct Span {
    /// What stands at each of them.
    times: [String; 2],
    years: Option<f64>,
    /// What is wrong with what was typed.
    problem: Option<&'static str>,
}

impl Span {
    /// From what was typed; years go before dates, unless those say that the second scan is
    /// the older one.
    fn of(years: &str, dates: &[String; 2]) -> Self {
        let times = ["first scan".to_owned(), "second scan".to_owned()];
        let wrong = |problem| Self { times: times.clone(), years: None, problem: Some(problem) };
        if reversed(dates) {
            return wrong(REVERSED);
        }
        let typed = years.trim().replace(',', ".");
        if !typed.is_empty() {
            return match typed.parse().ok().filter(|&years: &f64| years > 0.0 && years.is_finite())
            {
                Some(years) => Self { times, years: Some(years), problem: None },
                None => wrong("The time between the scans is a number of years above 0."),
            };
        }
        let Some([first, second]) = days(dates) else {
            return Self { times, ..Self::default() };
        };
        let years = first.years_to(second);
        if years <= 0.0 {
            return wrong("Both scans are of one day: change is not given a year.");
        }
        Self {
            times: [first, second].map(|day| day.to_string()),
            years: Some(years),
            problem: None,
        }
    }
}

/// Years between the scans, where what was typed says so.
pub(super) fn years(years: &str, dates: &[String; 2]) -> Option<f64> {
    Span::of(years, dates).years
}

/// The rows as what is drawn: those that changed first.
fn timeline(rows: &[Change], span: &Span) -> Timeline {
    let (changed, rest): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.changed);
    let courses = changed.into_iter().chain(rest).map(|row| Course {
        index: row.index,
        name: row.name.clone(),
        millilitres: [row.baseline_ml, row.later_ml],
        intervals: row.intervals_ml,
        interval: row.interval_ml,
        changed: row.changed,
    });
    Timeline { times: span.times.clone(), years: span.years, courses: courses.collect() }
}

/// The change of structures between two scans of one person.
#[component]
pub fn FollowUp(app: App) -> impl IntoView {
    let compare = app.compare;
    let span =
        Memo::new(move |_| Span::of(&compare.years.get(), &compare.dates.map(|date| date.get())));
    let reversed = Memo::new(move |_| compare.is_reversed());
    let drawn = Memo::new(move |_| {
        let rows = compare.rows.get().filter(|_| !reversed.get())?;
        Some(timeline(&rows, &span.get()))
    });
    let save = move |_| {
        let svg = drawn.with_untracked(|drawn| drawn.as_ref().map(Timeline::to_svg));
        if let Some(svg) = svg
            && let Err(message) = download::save_text("timeline.svg", "image/svg+xml", &svg)
        {
            app.notify(Tone::Problem, message);
        }
    };
    let save_table = move |_| {
        let Some(rows) = compare.rows.get_untracked() else { return };
        let years = span.get_untracked().years;
        let rows: Vec<Change> = rows.into_iter().map(|row| row.over(years)).collect();
        let name = format!("{}_change.csv", app.file_stem());
        let saved = download::save_text(&name, "text/csv;charset=utf-8", &changes_csv(&rows));
        if let Err(message) = saved {
            app.notify(Tone::Problem, message);
        }
    };
    view! {
        <section class="facts">
            <h3>"Follow-up of one person"</h3>
            <When app span />
            <button
                type="button"
                class="button"
                data-test="compare-measure"
                disabled=move || compare.busy.with(Option::is_some) || reversed.get()
                on:click=move |_| app.ask_change()
            >
                "Measure change"
            </button>
            {move || {
                let rows = compare.rows.get().filter(|_| !reversed.get());
                rows.map(|rows| view! { <Table app rows years=span.get().years /> })
            }}
            {move || {
                drawn
                    .get()
                    .map(|timeline| {
                        view! {
                            // Names in it are escaped where it is drawn.
                            <div
                                class="compare-timeline"
                                data-test="compare-timeline"
                                inner_html=timeline.to_svg()
                            ></div>
                            <button
                                type="button"
                                class="button quiet"
                                data-test="compare-save-timeline"
                                on:click=save
                            >
                                "Save the timeline (SVG)"
                            </button>
                            <button
                                type="button"
                                class="button quiet"
                                data-test="compare-save-change"
                                on:click=save_table
                            >
                                "Save the changes (CSV)"
                            </button>
                            <LesionChange app />
                        }
                    })
            }}
        </section>
    }
}

/// When the scans were taken.
#[component]
fn When(app: App, span: Memo<Span>) -> impl IntoView {
    let compare = app.compare;
    let date = move |at: usize, words: &'static str| {
        let signal = compare.dates[at];
        view! {
            <label>
                <span>{words}</span>
                <input
                    type="date"
                    data-test=format!("compare-date-{at}")
                    prop:value=move || signal.get()
                    on:input=move |event| signal.set(event_target_value(&event))
                />
            </label>
        }
    };
    view! {
        <div class="compare-row compare-when">
            {date(0, "First scan")} {date(1, "Second scan")} <label>
                <span>"or years between"</span>
                <input
                    type="text"
                    inputmode="decimal"
                    data-test="compare-years"
                    placeholder=move || {
                        span.get().years.map(|years| text::fixed(years, 2)).unwrap_or_default()
                    }
                    prop:value=move || compare.years.get()
                    on:input=move |event| compare.years.set(event_target_value(&event))
                />
            </label>
        </div>
        <p class="aside" data-test="compare-span" role="status">
            {move || span.get().problem}
        </p>
    }
}

/// Volumes and changes in numbers.
#[component]
fn Table(app: App, rows: Vec<Change>, years: Option<f64>) -> impl IntoView {
    let unchanged = rows.iter().filter(|row| !row.changed).count();
    let head = move |words: &'static str| move || text::unit(words, app.compare.unit_assumed.get());
    view! {
        <table class="compare-table" data-test="compare-changes">
            <thead>
                <tr>
                    <th scope="col">"Structure"</th>
                    <th scope="col">{head("First, mL")}</th>
                    <th scope="col">{head("Second, mL")}</th>
                    <th scope="col">{head("Change, mL")}</th>
                    <th scope="col">{if years.is_some() { "% a year" } else { "%" }}</th>
                </tr>
            </thead>
            <tbody>{rows.into_iter().map(|row| line(app, row, years)).collect_view()}</tbody>
        </table>
        <p class="aside" data-test="compare-limits">
            {format!(
                "{}: no change outside the interval that repeated measurements under noise and \
                 small motion give. {LIMITS}",
                text::counted(unchanged, "structure", "structures"),
            )}
        </p>
    }
}

/// A structure's row.
fn line(app: App, row: Change, years: Option<f64>) -> impl IntoView {
    let row = row.over(years);
    let index = row.index;
    let class = if row.changed { "changed" } else { "" };
    let within = |value: f64, half: f64, digits| {
        let sign = if value > 0.0 { "+" } else { "" };
        format!("{sign}{} ± {}", text::fixed(value, digits), text::fixed(half, digits))
    };
    let (percent, half, _) = row.rate();
    view! {
        <tr class=class data-structure=index.to_string() data-changed=row.changed.to_string()>
            <th scope="row">
                <button type="button" class="link" on:click=move |_| app.go_to(index)>
                    {row.name}
                </button>
            </th>
            <td>{text::fixed(row.baseline_ml, 2)}</td>
            <td>{text::fixed(row.later_ml, 2)}</td>
            <td>{within(row.change_ml, row.interval_ml, 2)}</td>
            <td>{if row.changed { within(percent, half, 1) } else { "none".into() }}</td>
        </tr>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_years_go_before_dates_and_order_matters() {
        let dates = ["2019-03-07".to_owned(), "2024-02-29".to_owned()];
        let span = Span::of("", &dates);
        // 1820 days.
        assert!((span.years.unwrap_or(0.0) - 1820.0 / 365.2425).abs() < 1e-9);
        assert_eq!(span.times, dates);
        assert_eq!(Span::of("1,5", &dates).years, Some(1.5));
        assert!(Span::of("soon", &dates).problem.is_some());
        let [first, _] = dates;
        let open = Span::of("", &[first.clone(), String::new()]);
        assert!(open.problem.is_none() && open.years.is_none());
        // The same day is no time, and neither scan is the older one.
        let same = [first.clone(), first];
        let span = Span::of("", &same);
        assert!(span.years.is_none() && span.problem.is_some() && !reversed(&same));
    }

    #[test]
    fn a_study_of_two_days_is_offered_for_a_follow_up() {
        let [old, new] = [Date::new(2019, 3, 7), Date::new(2024, 2, 29)];
        let told = other_day([new, None, old].into_iter(), new).unwrap_or_default();
        assert!(told.contains("scan of 2019-03-07 and open that of 2024-02-29"), "{told}");
        assert_eq!(other_day([new, None, new].into_iter(), new), None);
        assert_eq!(other_day([new, old].into_iter(), None), None);
    }

    #[test]
    fn a_second_scan_that_is_older_is_not_told_as_change() {
        let dates = ["2024-02-29".to_owned(), "2019-03-07".to_owned()];
        assert!(reversed(&dates));
        // Whatever is typed besides.
        for typed in ["", "5"] {
            let span = Span::of(typed, &dates);
            assert_eq!((span.years, span.problem), (None, Some(REVERSED)));
        }
        let [later, earlier] = dates;
        assert!(!reversed(&[earlier, later.clone()]) && !reversed(&[later, String::new()]));
    }
}
