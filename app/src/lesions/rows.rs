//! The table of lesions: sorted by a click on a head; a row leads to its lesion.

use leptos::prelude::*;
use prism_core::lesions::Lesion;
use prism_core::volume::Side;

use super::messages::Found;
use super::table::{Column, arranged, kind};
use crate::state::App;
use crate::text;

/// The table; a sentence where there is nothing to list.
#[component]
pub fn Rows(
    /// The page.
    app: App,
    /// What was found.
    found: Found,
) -> impl IntoView {
    if found.lesions.is_empty() {
        return view! { <p class="none" data-test="lesions-none">"Nothing was marked."</p> }
            .into_any();
    }
    let order = app.lesions.order;
    let Found { lesions, table, above, .. } = found;
    let colour = move |class: u8| {
        let [red, green, blue] =
            table.get(above.saturating_add(class)).map_or([128; 3], |label| label.color);
        format!("rgb({red}, {green}, {blue})")
    };
    let head = move |column: Column| {
        let sorted = move || Some(order.get()).filter(|o| o.column == column).map(|o| o.ascending);
        view! {
            <th
                scope="col"
                class:number=column.is_number()
                aria-sort=move || match sorted() {
                    Some(true) => "ascending",
                    Some(false) => "descending",
                    None => "none",
                }
            >
                <button
                    type="button"
                    class="sort"
                    title=format!("Sort by {}", column.key())
                    on:click=move |_| order.update(|order| *order = order.clicked(column))
                >
                    {move || text::unit(column.title(), column.is_measure() && app.unit_assumed())}
                </button>
            </th>
        }
    };
    view! {
        <div class="lesions-scroll">
            <table class="lesions-table" data-test="lesions-table">
                <thead>
                    <tr>{Column::ALL.map(head)}</tr>
                </thead>
                <tbody>
                    {move || {
                        arranged(&lesions, order.get())
                            .into_iter()
                            .map(|lesion| {
                                let colour = colour(lesion.class);
                                row(app, lesion, colour)
                            })
                            .collect_view()
                    }}
                </tbody>
            </table>
        </div>
    }
    .into_any()
}

/// A lesion's row; the whole of it can be clicked, and the number reached by key.
fn row(app: App, lesion: Lesion, colour: String) -> impl IntoView {
    let number = lesion.number;
    let kind = kind(&lesion);
    let side = match lesion.side {
        Some(Side::Left) => "left",
        Some(Side::Right) => "right",
        None => "",
    };
    // The side has a column of its own.
    let region = lesion.region.unwrap_or_default();
    let region = region.strip_prefix(side).map_or(region.as_str(), str::trim).to_owned();
    let label = format!("Go to lesion {number}, {}", lesion.kind);
    let letter = side.chars().next().map(|letter| letter.to_ascii_uppercase());
    view! {
        <tr
            data-lesion=number.to_string()
            data-millilitres=format!("{:.4}", lesion.millilitres)
            on:click=move |_| app.go_to_lesion(number)
        >
            <th scope="row" class="number">
                <button type="button" class="name" aria-label=label>
                    {number}
                </button>
            </th>
            <td>
                <span class="lesions-swatch" style:background=colour aria-hidden="true" />
                {kind}
            </td>
            <td class="number">{text::millilitres(lesion.millilitres)}</td>
            <td class="number">{text::fixed(lesion.diameter_mm, 0)}</td>
            <td>{lesion.place.words()}</td>
            <td>{region}</td>
            <td title=side>{letter}</td>
        </tr>
    }
}
