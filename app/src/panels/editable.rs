//! A sentence of the report that the reader can change.
//!
//! In the editor, Enter keeps what is typed and Escape leaves it; nothing typed takes
//! the sentence out. The reader's sentences carry a mark, also on paper.

use leptos::html::Textarea;
use leptos::prelude::*;
use prism_core::report::Sentence;

use super::icons::{Icon, icon};
use super::report::{SentenceView, lead_by_key, lead_to};
use crate::report::Place;
use crate::state::App;

/// A sentence, the reader's words for it, or the editor.
#[component]
pub fn EditableSentence(
    /// The page.
    app: App,
    /// Key of the section.
    section: String,
    /// Where in the section, for ids.
    at: usize,
    /// The program's sentence; empty where the reader added it.
    sentence: Sentence,
    /// What an added sentence is kept under.
    #[prop(optional)]
    key: Option<String>,
) -> impl IntoView {
    let reporting = app.reporting;
    let id = StoredValue::new(format!("sentence-{section}-{at}"));
    let place = Place { section, generated: key.unwrap_or_else(|| sentence.text.clone()) };
    let added = place.is_added();
    let undo = if added { "Remove the sentence" } else { "Back to the program's sentence" };
    let place = StoredValue::new(place);
    let sentence = StoredValue::new(sentence);
    let open = Memo::new(move |_| {
        reporting.draft.with(|draft| {
            draft.as_ref().is_some_and(|draft| place.with_value(|place| &draft.place == place))
        })
    });
    let words = Memo::new(move |_| place.with_value(|place| reporting.words(place)));
    view! {
        {move || match (open.get(), words.get()) {
            (true, _) => view! { <Editor app id place /> }.into_any(),
            (false, Some(words)) => {
                view! { <Changed app words sentence=sentence.get_value() /> }.into_any()
            }
            (false, None) => {
                view! { <SentenceView app sentence=sentence.get_value() /> }.into_any()
            }
        }}
        <Show when=move || reporting.editing.get() && !open.get()>
            <button
                type="button"
                class="sentence-tool"
                data-test="edit-sentence"
                id=id.get_value()
                aria-label=move || place.with_value(|place| format!("Edit: {}", place.called()))
                on:click=move |_| place.with_value(|place| reporting.open(place))
            >
                {icon(Icon::Edit)}
            </button>
            <Show when=move || words.with(Option::is_some)>
                <button
                    type="button"
                    class="sentence-tool"
                    data-test="reset-sentence"
                    aria-label=move || {
                        let verb = if added { "Remove" } else { "Back to" };
                        place.with_value(|place| format!("{verb}: {}", place.called()))
                    }
                    title=undo
                    on:click=move |_| {
                        place.with_value(|place| reporting.reset(place));
                        focus_later(id.get_value());
                    }
                >
                    {icon(Icon::Undo)}
                </button>
            </Show>
        </Show>
    }
}

/// The reader's words; a click, Enter or Space leads where the program's sentence led.
#[component]
fn Changed(app: App, words: String, sentence: Sentence) -> impl IntoView {
    let source = StoredValue::new(sentence.origin());
    let leads = source.with_value(Option::is_some);
    let removed = words.is_empty();
    let title = if sentence.text.is_empty() {
        "Added by the reader".to_owned()
    } else {
        format!("The program wrote: {}", sentence.text)
    };
    view! {
        <span
            class="sentence edited"
            class:linked=leads
            class:removed=removed
            role=leads.then_some("button")
            tabindex=leads.then_some("0")
            data-sentence="edited"
            data-structure=sentence.structure.map(|index| index.to_string())
            title=title
            on:keydown=lead_by_key(app, source)
            on:click=move |_| {
                if let Some(source) = source.get_value() {
                    lead_to(app, &source);
                }
            }
        >
            <span class="edited-mark">"edited"</span>
            " "
            {if removed { "sentence taken out".to_owned() } else { words }}
        </span>
    }
}

#[component]
fn Editor(app: App, id: StoredValue<String>, place: StoredValue<Place>) -> impl IntoView {
    let reporting = app.reporting;
    let area = NodeRef::<Textarea>::new();
    // Only the words it opens with: what is typed is the element's own business.
    let words = reporting
        .draft
        .with_untracked(|draft| draft.as_ref().map(|draft| draft.words.clone()))
        .unwrap_or_default();
    Effect::new(move |_| {
        if let Some(area) = area.get() {
            // Fails only for elements that take no focus.
            let _ = area.focus();
        }
    });
    let finish = move |keep: bool| {
        if keep {
            reporting.keep();
        } else {
            reporting.draft.set(None);
        }
        focus_later(id.get_value());
    };
    let keys = move |event: web_sys::KeyboardEvent| {
        let keep = match event.key().as_str() {
            // A word that is still being composed is not finished by this key.
            "Enter" if !event.is_composing() => true,
            "Escape" => false,
            _ => return,
        };
        event.prevent_default();
        event.stop_propagation();
        finish(keep);
    };
    let label = place.with_value(|place| format!("Your words for: {}", place.called()));
    view! {
        <span class="sentence-editor" data-test="sentence-editor">
            <textarea
                node_ref=area
                rows="3"
                data-test="sentence-words"
                aria-label=label
                prop:value=words
                on:input=move |event| {
                    let typed = event_target_value(&event);
                    reporting.draft.update(|draft| {
                        if let Some(draft) = draft {
                            draft.words = typed;
                        }
                    });
                }
                on:keydown=keys
            ></textarea>
            <span class="sentence-editor-tools">
                <button
                    type="button"
                    class="button"
                    data-test="keep-sentence"
                    on:click=move |_| finish(true)
                >
                    "Keep"
                </button>
                <button
                    type="button"
                    class="button quiet"
                    data-test="leave-sentence"
                    on:click=move |_| finish(false)
                >
                    "Cancel"
                </button>
                <span class="sentence-editor-hint">"Nothing typed takes the sentence out."</span>
            </span>
        </span>
    }
}

/// Puts the keyboard's focus on a button that is there after the next drawing.
fn focus_later(id: String) {
    request_animation_frame(move || {
        super::focus(&id);
    });
}
