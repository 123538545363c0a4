//! The report as plain text, 80 columns wide.

use super::sentence::{Sentence, SentenceKind};
use super::{Report, comparison};

const WIDTH: usize = 80;

/// A unit of length or volume, with that it is assumed where no file states it.
pub(super) fn unit(unit: &str, assumed: bool) -> String {
    if assumed { format!("{unit} (unit assumed)") } else { unit.into() }
}

/// Names of numbers that are no measurement of this scan: limits, and what was marked in the
/// pack's own healthy studies.
const STATED: [&str; 4] = [
    "smallest mark",
    "smallest volume of a side",
    "marked in the median healthy study",
    "marked in the worst healthy study",
];

impl Sentence {
    /// Says behind every number in mL, g or mm that its unit is assumed.
    pub(super) fn assume_unit(&mut self) {
        let mut added = 0;
        for value in &mut self.values {
            value.start += added;
            if STATED.contains(&value.name.as_str())
                || !["mL", "g", "mm"].contains(&value.unit.as_str())
            {
                continue;
            }
            // A unit may stand once behind several numbers, and be marked already.
            let end = value.start + value.written.len();
            let behind = format!(" {}", value.unit);
            let marked = format!(" {}", unit(&value.unit, true));
            let rest = &self.text[end..];
            if rest.starts_with(&behind) && !rest.starts_with(&marked) {
                self.text.replace_range(end..end + behind.len(), &marked);
                added += marked.len() - behind.len();
            }
        }
    }
}

/// Heading of a table of millilitres.
fn heading(text: &mut String, title: &str, assumed: bool) {
    let line = if assumed { format!("{title}: {}", unit("mL", true)) } else { title.into() };
    text.push_str(&format!("\n{line}\n{}\n", "-".repeat(line.chars().count())));
}

impl Report {
    /// Plain text with the sections, then the tables of structures and image quality.
    /// Lines end in a single line feed.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n", self.title, "=".repeat(self.title.chars().count()));
        if let Some(note) = self.note_on_edits() {
            text.push('\n');
            wrap(&mut text, &note);
        }
        for section in &self.sections {
            text.push_str(&format!(
                "\n{}\n{}\n",
                section.title,
                "-".repeat(section.title.chars().count())
            ));
            for sentence in &section.sentences {
                let mark = match sentence.kind {
                    SentenceKind::Plain => "-",
                    SentenceKind::Attention => "!",
                    SentenceKind::Warning => "! Warning:",
                };
                wrap(&mut text, &format!("{mark} {}", sentence.marked()));
            }
        }
        self.structure_table(&mut text);
        self.lesion_table(&mut text);
        self.function_table(&mut text);
        self.change_table(&mut text);
        self.quality_table(&mut text);
        text
    }

    fn structure_table(&self, text: &mut String) {
        if self.structures.is_empty() {
            return;
        }
        heading(text, "Structures", self.unit_assumed);
        let share = if self.totals.is_brain { "% of brain" } else { "% of total" };
        text.push_str(&format!(
            "{:<38} {:>10} {:>11} {:>14}\n",
            "Structure", "mL", share, "L/R index (%)"
        ));
        for row in self.arranged() {
            let asymmetry =
                row.asymmetry_percent.map_or_else(|| "-".to_owned(), |a| format!("{a:+.1}"));
            text.push_str(&format!(
                "{:<38} {:>10.2} {:>11.2} {:>14}\n",
                row.display_name, row.millilitres, row.percent_of_brain, asymmetry
            ));
        }
    }

    fn lesion_table(&self, text: &mut String) {
        let Some(facts) = self.lesions.as_ref().filter(|facts| !facts.lesions.is_empty()) else {
            return;
        };
        heading(text, "Places marked as lesions", self.unit_assumed);
        text.push_str(&format!(
            "{:>3}  {:<22} {:>8} {:>5} {:>6}  {}\n",
            "No.", "Kind", "mL", "mm", "Prob.", "Place"
        ));
        for lesion in &facts.lesions {
            let region = lesion.region.as_ref().map_or(String::new(), |r| format!(", {r}"));
            text.push_str(&format!(
                "{:>3}  {:<22} {:>8.2} {:>5.0} {:>6.2}  {}{region}\n",
                lesion.number,
                lesion.kind,
                lesion.millilitres,
                lesion.diameter_mm,
                lesion.probability,
                lesion.place.words(),
            ));
        }
    }

    fn function_table(&self, text: &mut String) {
        let Some(phases) = self.heart.as_ref().map(|heart| &heart.report) else { return };
        let rows = phases.rows();
        if rows.is_empty() {
            return;
        }
        let width = phases.value_width();
        text.push_str("\nFunction of the heart\n---------------------\n");
        for row in rows {
            let value = phases.value(&row);
            let mark = if row.usable { "" } else { "   not usable" };
            text.push_str(&format!("{:<38} {value:>width$}{mark}\n", row.name));
            wrap(text, &format!("    {}", row.formula));
        }
    }

    fn change_table(&self, text: &mut String) {
        let Some(facts) = &self.comparison else { return };
        let changes = facts.changes.as_deref().filter(|changes| !changes.is_empty());
        let Some(changes) = changes else { return };
        let [first, last] = comparison::scans(facts);
        let assumed = self.unit_assumed || facts.unit_assumed;
        heading(text, &format!("Change {}", comparison::until(facts)), assumed);
        text.push_str(&format!(
            "{:<34} {:>9} {:>9} {:>9} {:>9}\n",
            "Structure (mL)", first, last, "Change", "Interval"
        ));
        for change in changes {
            let [before, after] = comparison::in_time(facts, change);
            text.push_str(&format!(
                "{:<34} {before:>9.2} {after:>9.2} {:>+9.2} {:>9.2}{}\n",
                change.name,
                after - before,
                change.interval_ml,
                if change.changed { "  changed" } else { "" },
            ));
        }
    }

    fn quality_table(&self, text: &mut String) {
        if self.quality.measures.is_empty() {
            return;
        }
        text.push_str("\nMeasures of image quality\n-------------------------\n");
        for measure in &self.quality.measures {
            text.push_str(&format!(
                "{:<38} {:>20}   {}\n",
                measure.name,
                measure.written(),
                measure.judgement.name()
            ));
            if !measure.rule.is_empty() {
                wrap(text, &format!("    {}", measure.rule));
            }
        }
    }
}

/// Adds `line` broken at spaces; continued lines are indented as far as its first word
/// or its mark.
fn wrap(text: &mut String, line: &str) {
    let indent = line.len() - line.trim_start().len();
    let hang = if indent > 0 { indent } else { 2 };
    let mut column = indent;
    text.push_str(&" ".repeat(indent));
    for (at, word) in line.split_whitespace().enumerate() {
        let length = word.chars().count();
        if at > 0 && column + 1 + length > WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(hang));
            column = hang;
        } else if at > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}
