//! One person's structures over time, drawn (SVG).
//!
//! A row a structure, each on its own scale: the volume at each time with its interval, and
//! a band around the first volume in which a later one is no change. What lies inside the
//! band is drawn hollow and grey and is said to be no change; colour is for the rest.
//! Colours are attributes, so that the file stands alone and a page may restyle it.

use std::fmt::Write;

use super::html::escape;

/// Measures in units of the drawing.
const WIDTH: f64 = 380.0;
const TOP: f64 = 34.0;
const ROW: f64 = 52.0;
const PLOT: f64 = 24.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 284.0;
const CAP: f64 = 4.0;

/// Vermilion of Okabe and Ito (2008): told apart from grey by all kinds of colour vision.
const CHANGED: &str = "#d55e00";

const CAPTION: [&str; 2] = [
    "Bars: interval of each volume. Band: a later volume inside it is no change.",
    "Each row has its own scale.",
];

/// One structure.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// Its value in the label map.
    pub index: u8,
    /// Name in prose.
    pub name: String,
    /// Volume at each time, millilitres.
    pub millilitres: [f64; 2],
    /// Half of the interval around each, millilitres.
    pub intervals: [f64; 2],
    /// Half of the interval of their difference, millilitres.
    pub interval: f64,
    /// Whether the difference lies outside it.
    pub changed: bool,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// What stands at each time: a date, or a word.
    pub times: [String; 2],
    /// Years between the times, where known.
    pub years: Option<f64>,
    /// What is drawn, from the top.
    pub courses: Vec<Course>,
}

impl Course {
    /// The change in words; none where it lies inside its interval.
    pub fn words(&self, years: Option<f64>) -> String {
        let change = self.millilitres[1] - self.millilitres[0];
        if !self.changed {
            return format!("no change outside ±{:.2} mL", self.interval);
        }
        let percent = |part: f64| 100.0 * part / self.millilitres[0] / years.unwrap_or(1.0);
        let unit = if years.is_some() { "% a year" } else { "%" };
        let (rate, half) = (percent(change), percent(self.interval));
        format!("{change:+.2} mL, {rate:+.1} ± {half:.1} {unit}")
    }

    /// One row whose upper end is at `top`.
    fn draw(&self, top: f64, years: Option<f64>, svg: &mut String) {
        let [before, after] = self.millilitres;
        let (mut low, mut high) = (before - self.interval, before + self.interval);
        for (value, half) in self.millilitres.iter().zip(&self.intervals) {
            low = low.min(value - half);
            high = high.max(value + half);
        }
        let span = (high - low).max(f64::MIN_POSITIVE);
        let plot = top + 20.0;
        let y = |value: f64| plot + PLOT * (high - value) / span;
        let (colour, dashes, fill) =
            if self.changed { (CHANGED, "none", CHANGED) } else { ("currentColor", "2 3", "none") };
        let _ = write!(
            svg,
            "<g class=\"course\" data-structure=\"{}\" data-changed=\"{}\">\
             <text x=\"0\" y=\"{:.1}\">{}</text>\
             <text class=\"words\" x=\"{WIDTH}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>\
             <rect class=\"band\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{}\" height=\"{:.1}\" fill-opacity=\"0.14\"/>\
             <line x1=\"{LEFT}\" y1=\"{:.1}\" x2=\"{RIGHT}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-dasharray=\"{dashes}\"/>",
            self.index,
            self.changed,
            top + 12.0,
            escape(&self.name),
            top + 12.0,
            self.words(years),
            y(before + self.interval),
            RIGHT - LEFT,
            PLOT * 2.0 * self.interval / span,
            y(before),
            y(after),
        );
        for (time, x) in [LEFT, RIGHT].into_iter().enumerate() {
            let (value, half) = (self.millilitres[time], self.intervals[time]);
            // The first volume is no change of its own.
            let (stroke, fill) =
                if time == 0 { ("currentColor", "currentColor") } else { (colour, fill) };
            let (text, anchor) = if time == 0 { (x - 10.0, "end") } else { (x + 10.0, "start") };
            let _ = write!(
                svg,
                "<path d=\"M{a:.1} {high:.1}H{b:.1}M{x} {high:.1}V{low:.1}M{a:.1} {low:.1}H{b:.1}\" stroke=\"{stroke}\" fill=\"none\"/>\
                 <circle cx=\"{x}\" cy=\"{at:.1}\" r=\"3.5\" stroke=\"{stroke}\" fill=\"{fill}\"/>\
                 <text x=\"{text:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{value:.2} mL</text>",
                plot + 0.5 * PLOT + 4.0,
                a = x - CAP,
                b = x + CAP,
                high = y(value + half),
                low = y(value - half),
                at = y(value),
            );
        }
        svg.push_str("</g>");
    }
}

impl Timeline {
    /// In one sentence, for those who do not see it.
    pub fn sentence(&self) -> String {
        let changed: Vec<String> = self
            .courses
            .iter()
            .filter(|course| course.changed)
            .map(|course| format!("{}: {}", course.name, course.words(self.years)))
            .collect();
        let rest = self.courses.len() - changed.len();
        let first =
            if changed.is_empty() { "No structure changed".into() } else { changed.join("; ") };
        format!("{first}. {rest} of {} without a change outside the interval.", self.courses.len())
    }

    /// The drawing, as a file of its own.
    pub fn to_svg(&self) -> String {
        let bottom = TOP + ROW * self.courses.len() as f64;
        let height = bottom + 34.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"11.5\" fill=\"currentColor\">\
             <title>{}</title>",
            escape(&self.sentence())
        );
        for (words, x) in self.times.iter().zip([LEFT, RIGHT]) {
            let _ = write!(
                svg,
                "<text class=\"time\" x=\"{x}\" y=\"12\" text-anchor=\"middle\">{}</text>",
                escape(words)
            );
        }
        if let Some(years) = self.years {
            let _ = write!(
                svg,
                "<text class=\"years\" x=\"{}\" y=\"12\" text-anchor=\"middle\">{years:.2} years</text>",
                0.5 * (LEFT + RIGHT)
            );
        }
        let _ = write!(
            svg,
            "<path d=\"M{LEFT} 17V23M{LEFT} 20H{RIGHT}M{RIGHT} 17V23\" stroke=\"currentColor\" fill=\"none\"/>"
        );
        for (row, course) in self.courses.iter().enumerate() {
            course.draw(TOP + ROW * row as f64, self.years, &mut svg);
        }
        for (line, words) in CAPTION.iter().enumerate() {
            let _ = write!(
                svg,
                "<text class=\"caption\" x=\"0\" y=\"{}\">{words}</text>",
                bottom + 12.0 + 14.0 * line as f64
            );
        }
        svg.push_str("</svg>");
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(after: f64, changed: bool) -> Course {
        Course {
            index: 17,
            name: "Left <hippocampus>".into(),
            millilitres: [4.0, after],
            intervals: [0.1, 0.1],
            interval: 0.2,
            changed,
        }
    }

    #[test]
    fn a_difference_inside_the_interval_is_called_no_change() {
        let inside = course(3.9, false);
        assert_eq!(inside.words(Some(2.0)), "no change outside ±0.20 mL");
        // 4 mL to 3 mL in two years: a quarter, an eighth a year; 0.2 mL are 5 %.
        let outside = course(3.0, true);
        assert_eq!(outside.words(Some(2.0)), "-1.00 mL, -12.5 ± 2.5 % a year");
        assert_eq!(outside.words(None), "-1.00 mL, -25.0 ± 5.0 %");
        let timeline = Timeline { courses: vec![inside], ..Timeline::default() };
        let svg = timeline.to_svg();
        assert!(svg.contains("data-changed=\"false\"") && !svg.contains(CHANGED));
        assert!(timeline.sentence().starts_with("No structure changed"));
    }

    #[test]
    fn names_are_text_and_places_are_to_scale() {
        let times = ["2019-03-07".into(), "a&b".into()];
        let timeline = Timeline { times, years: Some(2.0), courses: vec![course(3.0, true)] };
        let svg = timeline.to_svg();
        assert!(svg.contains("Left &lt;hippocampus&gt;") && !svg.contains("<hippocampus>"));
        assert!(
            svg.contains("2019-03-07") && svg.contains("a&amp;b") && svg.contains("2.00 years")
        );
        // From 4.2 (top of the band) to 2.9 mL (end of the bar) on 24 units from 54: the band
        // is 0.4 / 1.3 of them high; 3 mL lie at 54 + 24 * 1.2 / 1.3.
        assert!(svg.contains("y=\"54.0\" width=\"188\" height=\"7.4\""), "{svg}");
        assert!(svg.contains("cy=\"76.2\""), "{svg}");
    }
}
