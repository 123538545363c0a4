//! The report: sentences whose numbers lead back to what they were read from.

use leptos::prelude::*;
use prism_core::report::{Edits, Report, Sentence, SentenceKind, Source};

use super::editable::EditableSentence;
use super::icons::{Icon, icon};
use super::structures::NotYet;
use crate::exports::Download;
use crate::report::Place;
use crate::state::{App, Tab};
use crate::text;

/// The panel.
#[component]
pub fn ReportPanel(
    /// The page.
    app: App,
) -> impl IntoView {
    let report = Memo::new(move |_| app.result.get().map(|result| app.worded_report(&result)));
    view! {
        {move || match report.get() {
            Some(report) => view! { <Written app report /> }.into_any(),
            None => view! { <NotYet app /> }.into_any(),
        }}
    }
}

#[component]
fn Written(app: App, report: Report) -> impl IntoView {
    let title = text::capitalised(&report.title);
    let sections = report
        .sections
        .iter()
        .map(|section| {
            let sentences = section.sentences.clone();
            view! {
                <section data-section=section.key.clone()>
                    <h3>{section.title.clone()}</h3>
                    <p>
                        {sentences
                            .into_iter()
                            .enumerate()
                            .map(|(at, sentence)| {
                                if Edits::is_fixed(&sentence.text) {
                                    return view! { <SentenceView app sentence />" " }.into_any();
                                }
                                let section = section.key.clone();
                                view! { <EditableSentence app section at sentence />" " }.into_any()
                            })
                            .collect_view()}
                        <Added app section=section.key.clone() />
                    </p>
                </section>
            }
        })
        .collect_view();
    let reporting = app.reporting;
    let report = StoredValue::new(report);
    let note = Memo::new(move |_| {
        report
            .with_value(|report| reporting.edits.with(|edits| edits.apply(report).note_on_edits()))
    });
    view! {
        <div class="report-tools">
            <button
                type="button"
                class="button quiet"
                data-test="edit-report"
                aria-pressed=move || if reporting.editing.get() { "true" } else { "false" }
                on:click=move |_| {
                    reporting.keep();
                    reporting.editing.update(|editing| *editing = !*editing);
                }
            >
                {icon(Icon::Edit)}
                <span>"Edit"</span>
            </button>
            <button
                type="button"
                class="button quiet"
                data-test="print-button"
                on:click=move |_| {
                    reporting.keep();
                    // A browser that cannot print has nothing to say about it.
                    let _ = window().print();
                }
            >
                {icon(Icon::Print)}
                <span>"Print"</span>
            </button>
            <button
                type="button"
                class="button quiet"
                data-test="save-report"
                on:click=move |_| app.save(Download::Report)
            >
                {icon(Icon::Save)}
                <span>"Save as a page"</span>
            </button>
            <button
                type="button"
                class="button quiet"
                data-test="save-text"
                on:click=move |_| app.save(Download::Text)
            >
                {icon(Icon::Save)}
                <span>"Save as text"</span>
            </button>
        </div>
        <Wordings app />
        <article class="report" data-test="report">
            <h2>{title}</h2>
            {move || {
                note.get().map(|note| view! { <p class="edits-note" data-test="edits-note">{note}</p> })
            }}
            {sections}
            <Displaced app report />
        </article>
    }
}

/// The sentences that the reader added to a section, and the way to add one.
#[component]
fn Added(app: App, section: String) -> impl IntoView {
    let reporting = app.reporting;
    let section = StoredValue::new(section);
    let keys = Memo::new(move |_| section.with_value(|section| reporting.added(section)));
    view! {
        <For each=move || keys.get() key=|key| key.clone() let:key>
            <EditableSentence
                app
                section=section.get_value()
                at=added_at(&key)
                sentence=Sentence::default()
                key
            />
            " "
        </For>
        <Show when=move || reporting.editing.get()>
            <button
                type="button"
                class="sentence-tool add-sentence"
                data-test="add-sentence"
                on:click=move |_| section.with_value(|section| reporting.add(section))
            >
                "Add a sentence"
            </button>
        </Show>
    }
}

/// The reader's words whose sentence the report does not have any more.
#[component]
fn Displaced(app: App, report: StoredValue<Report>) -> impl IntoView {
    let reporting = app.reporting;
    let displaced = Memo::new(move |_| {
        report.with_value(|report| {
            reporting.edits.with(|edits| {
                let section = edits.displaced_section(report)?;
                let places = edits.displaced(report).filter(|(.., words)| !words.is_empty());
                let places = places.map(|(section, generated, _)| Place {
                    section: section.to_owned(),
                    generated: generated.to_owned(),
                });
                Some((section, places.collect::<Vec<_>>()))
            })
        })
    });
    move || {
        let (section, places) = displaced.get()?;
        let mut sentences = section.sentences.into_iter();
        let why = sentences.next().map(|sentence| sentence.text);
        let sentences = places
            .into_iter()
            .zip(sentences)
            .enumerate()
            .map(|(at, (Place { section, generated: key }, sentence))| {
                let at = FIRST_DISPLACED + at;
                view! { <EditableSentence app section at sentence key />" " }
            })
            .collect_view();
        Some(view! {
            <section data-section=section.key data-test="displaced">
                <h3>{section.title}</h3>
                <p>{why}</p>
                <p>{sentences}</p>
            </section>
        })
    }
}

/// The number in the id of the first sentence without a place: behind those that were added.
const FIRST_DISPLACED: usize = 1_000_000;

/// The number in the id of an added sentence: behind those of the program.
fn added_at(key: &str) -> usize {
    let digits = key.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.parse::<usize>().unwrap_or(0).saturating_add(1000)
}

/// The choice of wording.
#[component]
fn Wordings(app: App) -> impl IntoView {
    let generated = app.reporting.generated;
    let choice = move |value: bool, word: &'static str, hook: &'static str| {
        view! {
            <button
                type="button"
                class="button quiet"
                data-test=hook
                aria-pressed=move || if generated.get() == value { "true" } else { "false" }
                on:click=move |_| app.choose_wording(value)
            >
                {word}
            </button>
        }
    };
    view! {
        <div class="report-wording" role="group" aria-label="Wording">
            <span>"Wording"</span>
            {choice(false, "Plain", "wording-plain")}
            {choice(true, "Generated", "wording-generated")}
        </div>
        <div class="report-wording">
            <p class="edits-note" data-test="wording-why">
                "Plain sentences are the default, because they say everything: the small network \
                 that words the generated ones leaves out some of what it is told, which is then \
                 said plainly. How much, and what else is known of it: "
                <a
                    href="./packs/report.md"
                    target="_blank"
                    rel="noopener"
                    data-test="wording-card"
                >
                    "its card"
                </a>
                "."
            </p>
        </div>
        <Show when=move || generated.get()>
            <p class="edits-note" data-test="wording-note">
                "Worded by a small network from the measurements. Every sentence was checked \
                 against them; what it leaves out is said plainly, and no number is lost."
            </p>
        </Show>
    }
}

/// A sentence. Its numbers are buttons; a click on its words does what its first
/// source does, and so do its first words by key where no number leads there.
#[component]
pub fn SentenceView(
    /// The page.
    app: App,
    /// The program's sentence.
    sentence: Sentence,
) -> impl IntoView {
    let source = StoredValue::new(sentence.origin());
    let about = sentence.structure;
    let class = match sentence.kind {
        SentenceKind::Plain => "sentence",
        SentenceKind::Attention => "sentence attention",
        SentenceKind::Warning => "sentence warning",
    };
    let parts = parts(&sentence);
    let leading = source.with_value(|source| leading_words(&parts, source.as_ref()));
    let parts = parts
        .into_iter()
        .enumerate()
        .map(|(at, part)| match part {
            Part::Words(words) if leading == Some(at) => view! {
                <span role="button" tabindex="0" on:keydown=lead_by_key(app, source)>
                    {words}
                </span>
            }
            .into_any(),
            Part::Words(words) => words.into_any(),
            Part::Number { written, hint, source: Some(source) } => view! {
                <button
                    type="button"
                    class="source-link"
                    title=hint
                    on:click=move |event| {
                        event.stop_propagation();
                        lead_to(app, &source);
                    }
                >
                    {written}
                </button>
            }
            .into_any(),
            Part::Number { written, hint, source: None } => {
                view! { <span title=hint>{written}</span> }.into_any()
            }
        })
        .collect_view();
    view! {
        <span
            class=class
            class:linked=source.with_value(Option::is_some)
            class:lit=move || about.is_some() && app.view.highlighted.get() == about
            data-sentence=""
            data-structure=about.map(|index| index.to_string())
            data-measure=sentence.measure.clone()
            data-source=source.with_value(|source| source.as_ref().map(Source::anchor))
            on:click=move |_| {
                if let Some(source) = source.get_value() {
                    lead_to(app, &source);
                }
            }
        >
            {parts}
        </span>
    }
}

/// What Enter and Space do on words that lead somewhere: as a click. A real button would not
/// break over lines as a sentence does.
pub fn lead_by_key(
    app: App,
    source: StoredValue<Option<Source>>,
) -> impl Fn(web_sys::KeyboardEvent) + Copy + 'static {
    move |event: web_sys::KeyboardEvent| {
        if !matches!(event.key().as_str(), "Enter" | " ") {
            return;
        }
        if let Some(source) = source.get_value() {
            // Space would scroll the panel.
            event.prevent_default();
            lead_to(app, &source);
        }
    }
}

/// Leads to what a sentence or a number was read from: the crosshair into a structure or a
/// lesion, or the panel that has it.
pub fn lead_to(app: App, source: &Source) {
    app.reporting.sum.set(None);
    match source {
        Source::Structure(index) => app.go_to(*index),
        Source::Measure(key) => super::quality::show(app, key),
        Source::Lesion(number) => app.go_to_lesion(*number),
        Source::Sum(key) => {
            app.view.highlighted.set(None);
            app.reporting.sum.set(Some(key.clone()));
            open(app, Tab::Structures, "[data-summed]");
        }
        Source::Structures => open(app, Tab::Structures, "[data-test=volumes-table]"),
        Source::Quality => open(app, Tab::Quality, "[data-test=quality]"),
        Source::Scan => open(app, Tab::Scan, "#panel"),
        Source::Run => open(app, Tab::Run, "#panel"),
        Source::Lesions => open(app, Tab::Lesions, "[data-test=lesions]"),
        Source::Function(key) => {
            let row = format!("[data-row=\"{key}\"]");
            open(app, Tab::Cine, if key.is_empty() { "#panel" } else { &row });
        }
        Source::Change(index) => {
            app.go_to(*index);
            let row = format!("[data-test=compare-changes] [data-structure=\"{index}\"]");
            open(app, Tab::Compare, &row);
        }
        Source::Comparison => open(app, Tab::Compare, "#panel"),
    }
}

/// Opens a panel at a place.
fn open(app: App, tab: Tab, selector: &str) {
    if !untrack(|| app.offers(tab)) {
        return;
    }
    app.tab.set(tab);
    let selector = selector.to_owned();
    // Once the panel is there.
    request_animation_frame(move || {
        if let Ok(Some(place)) = document().query_selector(&selector) {
            place.scroll_into_view_with_bool(true);
        }
    });
}

/// A piece of a sentence.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// Words between numbers.
    Words(String),
    /// A number of the sentence.
    Number {
        /// The digits.
        written: String,
        /// The value in full.
        hint: String,
        /// Where it came from.
        source: Option<Source>,
    },
}

/// Cuts a sentence at its numbers. Places that do not fit the text are left as words.
fn parts(sentence: &Sentence) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    for value in &sentence.values {
        let end = value.start.saturating_add(value.written.len());
        if value.start < at || sentence.text.get(value.start..end) != Some(value.written.as_str()) {
            continue;
        }
        if let Some(words) = sentence.text.get(at..value.start).filter(|words| !words.is_empty()) {
            parts.push(Part::Words(words.into()));
        }
        let source = sentence.origin_of(value);
        let hint = format!(
            "{} {} {}",
            text::capitalised(&value.name),
            text::measured(value.value),
            value.unit
        );
        parts.push(Part::Number {
            written: value.written.clone(),
            hint: hint.trim_end().into(),
            source,
        });
        at = end;
    }
    if let Some(words) = sentence.text.get(at..).filter(|words| !words.is_empty()) {
        parts.push(Part::Words(words.into()));
    }
    parts
}

/// The words that lead to the sentence's own source without a mouse: its first ones, unless a
/// number of it, which is a button, leads there.
fn leading_words(parts: &[Part], source: Option<&Source>) -> Option<usize> {
    source?;
    let leads = |part: &Part| match part {
        Part::Number { source: of, .. } => of.as_ref() == source,
        Part::Words(_) => false,
    };
    if parts.iter().any(leads) {
        return None;
    }
    parts.iter().position(|part| matches!(part, Part::Words(_)))
}

#[cfg(test)]
mod tests {
    use prism_core::report::Value;

    use super::*;

    fn value(written: &str, start: usize, structure: Option<u8>) -> Value {
        Value {
            name: "volume".into(),
            value: written.parse().unwrap_or(f64::NAN),
            unit: "mL".into(),
            written: written.into(),
            start,
            structure,
            source: None,
        }
    }

    #[test]
    fn sentences_are_cut_at_their_numbers() {
        let sentence = Sentence {
            text: "Left 3.5 mL, right 3.25 mL.".into(),
            structure: Some(7),
            values: vec![value("3.5", 5, Some(7)), value("3.25", 19, Some(8))],
            ..Sentence::default()
        };
        let parts = parts(&sentence);
        let text: String = parts
            .iter()
            .map(|part| match part {
                Part::Words(words) => words.as_str(),
                Part::Number { written, .. } => written.as_str(),
            })
            .collect();
        assert_eq!(text, sentence.text);
        let sources: Vec<_> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Number { source, .. } => source.clone(),
                Part::Words(_) => None,
            })
            .collect();
        assert_eq!(sources, [Source::Structure(7), Source::Structure(8)]);
    }

    #[test]
    fn places_that_do_not_fit_are_words() {
        let sentence = Sentence {
            text: "Größe 3 mL".into(),
            values: vec![value("3", 4, None), value("9", 900, None)],
            ..Sentence::default()
        };
        assert_eq!(parts(&sentence), [Part::Words("Größe 3 mL".into())]);
    }

    #[test]
    fn words_lead_where_no_number_does() {
        let leading =
            |sentence: &Sentence| leading_words(&parts(sentence), sentence.origin().as_ref());
        let mut sentence = Sentence {
            text: "Left 3.5 mL.".into(),
            values: vec![value("3.5", 5, Some(7))],
            ..Sentence::default()
        };
        assert_eq!(leading(&sentence), None, "the number leads there");
        sentence.source = Some(Source::Quality);
        assert_eq!(leading(&sentence), Some(0), "the number leads elsewhere");
        sentence.values.clear();
        assert_eq!(leading(&sentence), Some(0), "there is no number");
        sentence.source = None;
        assert_eq!(leading(&sentence), None, "there is no source");
    }

    #[test]
    fn a_measure_is_a_source_too() {
        let sentence = Sentence { measure: Some("cjv".into()), ..Sentence::default() };
        assert_eq!(sentence.origin(), Some(Source::Measure("cjv".into())));
    }
}
