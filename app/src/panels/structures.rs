//! The table of structures: volumes, shares, differences between the sides; what is
//! shown in the planes, and the way from a name to its place.

use leptos::prelude::*;
use prism_core::measure::caution::{LEAST_ICC, RATIOS};
use prism_core::measure::{StructureVolume, base_name};
use prism_core::report::sums::keys;
use prism_core::volume::Side;

use super::icons::{Icon, icon};
use super::table::{Column, Order, arranged};
use crate::exports::Download;
use crate::state::App;
use crate::text;

/// The panel.
#[component]
pub fn Structures(
    /// The page.
    app: App,
) -> impl IntoView {
    let known = Memo::new(move |_| app.result.with(Option::is_some));
    view! {
        {move || {
            if known.get() {
                view! { <Summary app /> <Table app /> <Definitions app /> }.into_any()
            } else {
                view! { <NotYet app /> }.into_any()
            }
        }}
    }
}

/// What to do while there is no segmentation.
#[component]
pub fn NotYet(
    /// The page.
    app: App,
) -> impl IntoView {
    view! {
        <div class="empty">
            <p class="empty-title">
                {move || {
                    if app.run.with(Option::is_some) { "The scan is being segmented" } else { "Not segmented yet" }
                }}
            </p>
            <p>
                {move || {
                    if app.run.with(Option::is_some) {
                        "Structures, measures and report appear here when it is done. The planes can be read meanwhile."
                    } else {
                        "Outlines brain structures, measures them and writes the report, on this device."
                    }
                }}
            </p>
        </div>
    }
}

/// The large numbers above the table.
#[component]
fn Summary(app: App) -> impl IntoView {
    let figures = move || {
        app.result.with(|result| {
            let Some(result) = result else { return Vec::new() };
            let totals = &result.report.totals;
            let name = if totals.is_brain { "Brain" } else { "All structures" };
            let mut figures = vec![(
                keys::BRAIN,
                name,
                text::millilitres(totals.brain_millilitres),
                totals.brain_definition.clone(),
            )];
            if let Some(ventricles) = totals.ventricles_millilitres {
                figures.push((
                    keys::VENTRICLES,
                    "Ventricles",
                    text::millilitres(ventricles),
                    "ventricles and choroid plexus".into(),
                ));
            }
            if let Some(icv) = totals.icv_millilitres {
                figures.push((
                    keys::INTRACRANIAL,
                    "Intracranial",
                    text::millilitres(icv),
                    totals.icv_definition.clone(),
                ));
            }
            figures
        })
    };
    let unit = move || text::unit("mL", app.unit_assumed());
    view! {
        <dl class="figures">
            {move || {
                figures()
                    .into_iter()
                    .map(|(key, name, value, definition)| {
                        let lit = move || app.reporting.sum.with(|sum| sum.as_deref() == Some(key));
                        view! {
                            <div class="figure" class:lit=lit title=text::capitalised(&definition)>
                                <dt>{name}</dt>
                                <dd>{value} <span class="unit">{unit}</span></dd>
                            </div>
                        }
                    })
                    .collect_view()
            }}
        </dl>
    }
}

#[component]
fn Table(app: App) -> impl IntoView {
    let order = RwSignal::new(Order { column: Column::Name, ascending: true });
    let query = RwSignal::new(String::new());
    let rows = Memo::new(move |_| {
        app.result.with(|result| {
            result
                .as_ref()
                .map(|r| arranged(r.structures(), order.get(), &query.get()))
                .unwrap_or_default()
        })
    });
    let all_shown = move || app.view.hidden.with(|hidden| hidden.is_empty());
    let toggle_all = move |_| {
        let hide = all_shown();
        app.view.hidden.update(|hidden| {
            hidden.clear();
            if hide {
                app.result.with_untracked(|result| {
                    hidden.extend(
                        result.iter().flat_map(|r| r.structures().iter().map(|row| row.index)),
                    );
                });
            }
        });
    };
    // Structures of the sum that a sentence of the report led to.
    let summed = Memo::new(move |_| {
        let key = app.reporting.sum.get()?;
        app.result.with(|result| {
            let sums = &result.as_ref()?.report.sums;
            sums.iter().find(|sum| sum.key == key).map(|sum| sum.structures.clone())
        })
    });
    // The share is of the brain where a brain was looked for.
    let is_brain = Memo::new(move |_| {
        app.result.with(|result| result.as_ref().is_none_or(|result| result.report.totals.is_brain))
    });
    view! {
        <div class="table-tools">
            <label class="search">
                {icon(Icon::Search)}
                <input
                    type="search"
                    placeholder="Find a structure"
                    aria-label="Find a structure"
                    prop:value=move || query.get()
                    on:input=move |event| query.set(event_target_value(&event))
                />
            </label>
            <button type="button" class="button quiet" data-test="toggle-all" on:click=toggle_all>
                {move || if all_shown() { "Hide all" } else { "Show all" }}
            </button>
            <button
                type="button"
                class="button quiet"
                data-test="table-csv"
                aria-label="Save the table as CSV"
                on:click=move |_| app.save(Download::Table)
            >
                {icon(Icon::Save)}
                <span>"CSV"</span>
            </button>
        </div>
        <table class="structures" data-test="volumes-table" on:mouseleave=move |_| app.view.highlighted.set(None)>
            <thead>
                <tr>
                    <th class="swatch-cell"><span class="unseen">"Shown"</span></th>
                    <Head order column=Column::Name title="Structure" hint="Sort by name" />
                    {move || {
                        let title = text::unit("mL", app.unit_assumed());
                        view! { <Head order column=Column::Volume title hint="Sort by volume" /> }
                    }}
                    {move || {
                        let title = if is_brain.get() { "% brain" } else { "% of all" };
                        view! { <Head order column=Column::Share title hint="Sort by share" /> }
                    }}
                    <Head
                        order
                        column=Column::Asymmetry
                        title="L/R %"
                        hint="Sort by asymmetry; its definition is below the table"
                    />
                </tr>
            </thead>
            <tbody>
                <For each=move || rows.get() key=|row| row.index let:row>
                    <Row app row summed />
                </For>
            </tbody>
        </table>
        <Show when=move || rows.with(Vec::is_empty)>
            <p class="none">"No structure has that name."</p>
        </Show>
    }
}

/// What the sums and columns mean, to be read without a mouse that rests on them.
#[component]
fn Definitions(app: App) -> impl IntoView {
    let terms = move || {
        app.result.with(|result| {
            let Some(result) = result else { return Vec::new() };
            let totals = &result.report.totals;
            let sentence = |words: &str| format!("{}.", text::capitalised(words));
            let asymmetry = "100 (L − R) / mean of both, positive where the left is larger";
            let asymmetry = ("L/R %", sentence(asymmetry));
            let marked = result.structures().iter().any(|row| row.caution.is_some());
            let marked = marked.then(|| {
                let limits = format!(
                    "against outlines drawn by hand, the volumes of this model are less than \
                     {:.2} or more than {:.2} times as large, or their intraclass correlation \
                     is below {:.1}",
                    RATIOS.start(),
                    RATIOS.end(),
                    LEAST_ICC
                );
                ("!", sentence(&limits))
            });
            if !totals.is_brain {
                let all = ("All structures", sentence(&totals.brain_definition));
                return [Some(all), Some(asymmetry), marked].into_iter().flatten().collect();
            }
            let share = "volume in percent of the brain; of ventricles and fluid, which are no \
                         part of it, the ratio to it";
            let mut terms = vec![
                ("Brain", sentence(&totals.brain_definition)),
                ("Intracranial", sentence(&totals.icv_definition)),
                ("% brain", sentence(share)),
                asymmetry,
            ];
            terms.extend(marked);
            terms
        })
    };
    view! {
        <details class="definitions" data-test="terms">
            <summary>"Definitions"</summary>
            <dl>
                {move || {
                    terms()
                        .into_iter()
                        .map(|(name, words)| view! { <div><dt>{name}</dt><dd>{words}</dd></div> })
                        .collect_view()
                }}
            </dl>
        </details>
    }
}

#[component]
fn Head(
    order: RwSignal<Order>,
    column: Column,
    #[prop(into)] title: String,
    hint: &'static str,
) -> impl IntoView {
    let sorted = move || {
        let order = order.get();
        (order.column == column).then_some(order.ascending)
    };
    view! {
        <th
            scope="col"
            class:number=column != Column::Name
            aria-sort=move || match sorted() {
                Some(true) => "ascending",
                Some(false) => "descending",
                None => "none",
            }
        >
            <button type="button" class="sort" title=hint on:click=move |_| order.update(|o| *o = o.clicked(column))>
                <span>{title}</span>
                {move || sorted().map(|up| icon(if up { Icon::Up } else { Icon::Down }))}
            </button>
        </th>
    }
}

#[component]
fn Row(app: App, row: StructureVolume, summed: Memo<Option<Vec<u8>>>) -> impl IntoView {
    let index = row.index;
    let found = row.voxels > 0;
    let name = text::capitalised(base_name(&row.display_name));
    let full_name = text::capitalised(&row.display_name);
    let [red, green, blue] = row.color;
    let shown = move || app.view.hidden.with(|hidden| !hidden.contains(&index));
    let toggle = move |_| {
        app.view.hidden.update(|hidden| {
            if !hidden.remove(&index) {
                hidden.insert(index);
            }
        });
    };
    let side = match row.side {
        Some(Side::Left) => "L",
        Some(Side::Right) => "R",
        None => "",
    };
    let asymmetry = row.asymmetry_percent;
    let caution = row.caution.as_ref().filter(|_| found).map(|known| {
        let words = text::capitalised(&known.words());
        view! {
            <span
                class="volume-caution"
                data-test="volume-caution"
                role="note"
                tabindex="0"
                aria-label=words.clone()
                data-words=words
            >
                "!"
            </span>
        }
    });
    let in_sum = move || summed.with(|all| all.as_ref().is_some_and(|all| all.contains(&index)));
    view! {
        <tr
            data-structure=index.to_string()
            data-summed=move || in_sum().then_some("")
            data-millilitres=format!("{:.4}", row.millilitres)
            class:absent=!found
            class:lit=move || app.view.highlighted.get() == Some(index) || in_sum()
            on:mousemove=move |event| {
                // A table that comes under a resting mouse is no choice.
                let moved = event.movement_x() != 0 || event.movement_y() != 0;
                if moved && app.view.highlighted.get_untracked() != Some(index) {
                    app.view.highlighted.set(Some(index));
                }
            }
            on:focusin=move |_| app.view.highlighted.set(Some(index))
        >
            <td class="swatch-cell">
                <button
                    type="button"
                    class="swatch"
                    role="switch"
                    aria-checked=move || if shown() { "true" } else { "false" }
                    aria-label=format!("Show {}", row.display_name)
                    style:color=format!("rgb({red}, {green}, {blue})")
                    on:click=toggle
                />
            </td>
            <th scope="row">
                <button
                    type="button"
                    class="name"
                    title=full_name
                    disabled=!found
                    on:click=move |_| app.go_to(index)
                >
                    <span>{name}</span>
                    <span class="side-letter">{side}</span>
                </button>
            </th>
            <td class="number">
                {caution}
                {if found { text::millilitres(row.millilitres) } else { "–".into() }}
            </td>
            <td class="number">{if found { text::percent(row.percent_of_brain) } else { "–".into() }}</td>
            <td class="number">{asymmetry.map_or_else(String::new, text::signed_percent)}</td>
        </tr>
    }
}
