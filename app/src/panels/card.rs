//! The model card: a plain text beside the pack, in the few forms of Markdown that
//! such cards use (headings, paragraphs, lists, tables, pictures beside it). Everything is set as
//! text; nothing in a card can become markup.

use leptos::prelude::*;

use crate::packs::FOLDER;

/// A block of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A heading.
    Heading(String),
    /// A paragraph.
    Paragraph(String),
    /// Items of a list.
    List(Vec<String>),
    /// Rows of a table, the first its head.
    Table(Vec<Vec<String>>),
    /// A picture that lies beside the card.
    Picture {
        /// What it shows.
        words: String,
        /// Its file's name.
        file: String,
    },
}

/// Reads a card. What is in none of the known forms is a paragraph.
pub fn blocks(card: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut fresh = true;
    for line in card.lines() {
        let line = line.trim_end();
        let bare = line.trim_start();
        if bare.is_empty() {
            fresh = true;
            continue;
        }
        if bare.starts_with('#') {
            blocks.push(Block::Heading(plain(bare.trim_start_matches('#'))));
            fresh = true;
            continue;
        }
        if let Some(picture) = picture(bare) {
            blocks.push(picture);
            fresh = true;
            continue;
        }
        if let Some(inner) = bare.strip_prefix('|') {
            let cells: Vec<String> = inner.trim_end_matches('|').split('|').map(plain).collect();
            let rule = cells.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':')));
            match blocks.last_mut() {
                Some(Block::Table(_)) if rule => {}
                Some(Block::Table(rows)) if !fresh => rows.push(cells),
                _ => blocks.push(Block::Table(vec![cells])),
            }
            fresh = false;
            continue;
        }
        let item = ["- ", "* "].iter().find_map(|mark| bare.strip_prefix(mark));
        match (item, blocks.last_mut()) {
            (Some(item), Some(Block::List(items))) => items.push(plain(item)),
            (Some(item), _) => blocks.push(Block::List(vec![plain(item)])),
            (None, Some(Block::List(items))) if !fresh => extend(items.last_mut(), bare),
            (None, Some(Block::Paragraph(text))) if !fresh => extend(Some(text), bare),
            (None, _) => blocks.push(Block::Paragraph(plain(bare))),
        }
        fresh = false;
    }
    blocks
}

/// A line that is a picture (`![words](file.png)`) of the card's own folder; one from elsewhere is
/// text as any other.
fn picture(line: &str) -> Option<Block> {
    let (words, rest) = line.strip_prefix("![")?.split_once("](")?;
    let file = rest.strip_suffix(')')?;
    let here = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let shown = file.ends_with(".png") && !file.starts_with('.') && file.chars().all(here);
    shown.then(|| Block::Picture { words: plain(words), file: file.into() })
}

fn extend(text: Option<&mut String>, line: &str) {
    if let Some(text) = text {
        text.push(' ');
        text.push_str(&plain(line));
    }
}

/// Without the marks of emphasis and code.
fn plain(text: &str) -> String {
    text.trim().replace("**", "").replace('`', "")
}

/// Shows a card.
#[component]
pub fn Card(
    /// Its text.
    card: String,
) -> impl IntoView {
    let shown = blocks(&card)
        .into_iter()
        .map(|block| match block {
            Block::Heading(text) => view! { <h4>{text}</h4> }.into_any(),
            Block::Paragraph(text) => view! { <p>{text}</p> }.into_any(),
            Block::List(items) => {
                let items = items.into_iter().map(|item| view! { <li>{item}</li> }).collect_view();
                view! { <ul>{items}</ul> }.into_any()
            }
            Block::Table(rows) => view! { <CardTable rows /> }.into_any(),
            Block::Picture { words, file } => {
                view! { <img src=format!("{FOLDER}{file}") alt=words data-test="card-picture" /> }
                    .into_any()
            }
        })
        .collect_view();
    view! {
        <section class="card">
            <h3>"Model card"</h3>
            {shown}
        </section>
    }
}

#[component]
fn CardTable(rows: Vec<Vec<String>>) -> impl IntoView {
    let mut rows = rows.into_iter();
    let head = rows
        .next()
        .unwrap_or_default()
        .into_iter()
        .map(|cell| view! { <th scope="col">{cell}</th> })
        .collect_view();
    let body = rows
        .map(|row| {
            let cells = row.into_iter().map(|cell| view! { <td>{cell}</td> }).collect_view();
            view! { <tr>{cells}</tr> }
        })
        .collect_view();
    view! {
        <table>
            <thead>
                <tr>{head}</tr>
            </thead>
            <tbody>{body}</tbody>
        </table>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_read_in_blocks() {
        let card = "# Brain\n\nTwo lines\nof **one** paragraph.\n\n- first\n  goes on\n- second\n\n\
                    | Structure | Dice |\n| --- | ---: |\n| Thalamus | `0.91` |\n<b>no markup</b>\n";
        assert_eq!(
            blocks(card),
            [
                Block::Heading("Brain".into()),
                Block::Paragraph("Two lines of one paragraph.".into()),
                Block::List(vec!["first goes on".into(), "second".into()]),
                Block::Table(vec![
                    vec!["Structure".into(), "Dice".into()],
                    vec!["Thalamus".into(), "0.91".into()],
                ]),
                Block::Paragraph("<b>no markup</b>".into()),
            ]
        );
    }

    #[test]
    fn pictures_come_from_the_card_s_own_folder() {
        let card = "Worst scan:\n\n![Worst `scan`](brain-worst.png)\nText.";
        assert_eq!(
            blocks(card),
            [
                Block::Paragraph("Worst scan:".into()),
                Block::Picture { words: "Worst scan".into(), file: "brain-worst.png".into() },
                Block::Paragraph("Text.".into()),
            ]
        );
        for elsewhere in [
            "![a](https://example.org/a.png)",
            "![a](//example.org/a.png)",
            "![a](../a.png)",
            "![a](/a.png)",
            "![a](.png)",
            "![a](a.svg)",
            "![a](a.png) and more",
        ] {
            assert_eq!(blocks(elsewhere), [Block::Paragraph(elsewhere.into())]);
        }
    }
}
