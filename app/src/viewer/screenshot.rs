//! A picture of the panes with everything that makes it readable burned in: names,
//! slices, sides, scale, readings, and that it is for research and education only.

use js_sys::{Function, Promise};
use leptos::prelude::*;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, CanvasRenderingContext2d as Pen, HtmlCanvasElement};

use super::captions::{Captions, RESEARCH_ONLY};
use super::painter::Painter;
use super::scene::{Rectangle, Surface};
use super::shown::Shown;
use super::state::{Pane, ViewState};

use super::data::ViewerError;

const FACE: &str = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif";
const INK: &str = "#e8ecf0";
const DIM: &str = "#9aa6b2";

/// A PNG of the panes as they are now.
///
/// # Errors
/// [`ViewerError::Screenshot`] when no viewer is on the page or the browser makes no
/// picture.
pub async fn screenshot(state: ViewState) -> Result<Blob, ViewerError> {
    let painter = state.painter.get_value().ok_or(ViewerError::Screenshot)?;
    let page = compose(painter).ok_or(ViewerError::Screenshot)?;
    let blob = JsFuture::from(encode(&page)).await.map_err(|_| ViewerError::Screenshot)?;
    blob.dyn_into().map_err(|_| ViewerError::Screenshot)
}

fn encode(page: &HtmlCanvasElement) -> Promise {
    Promise::new(&mut |resolve: Function, reject: Function| {
        let done = Closure::once_into_js(move |blob: JsValue| {
            let _called = resolve.call1(&JsValue::NULL, &blob);
        });
        if page.to_blob(done.unchecked_ref()).is_err() {
            let _called = reject.call0(&JsValue::NULL);
        }
    })
}

/// The panes and their words on a canvas of its own.
fn compose(painter: Painter) -> Option<HtmlCanvasElement> {
    // The drawing buffer may be read only in the task that drew it.
    let surface = painter.paint(false)?;
    let source = painter.canvas.get_untracked()?;
    let page = document().create_element("canvas").ok()?.dyn_into::<HtmlCanvasElement>().ok()?;
    let density = surface.density;
    let strip = 30.0 * density;
    let (width, height) = (f64::from(source.width()), f64::from(source.height()));
    page.set_width(width as u32);
    page.set_height((height + strip) as u32);
    let pen = page.get_context("2d").ok()??.dyn_into::<Pen>().ok()?;
    pen.set_fill_style_str("#1b2128");
    pen.fill_rect(0.0, 0.0, width, height + strip);
    pen.draw_image_with_html_canvas_element(&source, 0.0, 0.0).ok()?;
    untrack(|| {
        for pane in Pane::ALL {
            caption(&pen, painter.shown(), pane, &surface, height)?;
        }
        footer(&pen, painter.shown(), density, width, height)
    })?;
    Some(page)
}

fn caption(pen: &Pen, shown: &Shown, pane: Pane, surface: &Surface, height: f64) -> Option<()> {
    let [x, from_bottom, wide, high]: Rectangle = surface.panes[pane.at()];
    if wide < 1 || high < 1 {
        return Some(());
    }
    let unit = surface.density;
    let (left, wide, high) = (f64::from(x), f64::from(wide), f64::from(high));
    let top = height - f64::from(from_bottom) - high;
    let words = Captions::of(shown, pane);
    pen.save();
    pen.set_shadow_color("#000");
    pen.set_shadow_blur(3.0 * unit);

    let text = |style: (&str, f64, &str), align: &str, base: &str, at: [f64; 2], words: &str| {
        let (weight, size, colour) = style;
        pen.set_font(&format!("{weight} {}px {FACE}", size * unit));
        pen.set_fill_style_str(colour);
        pen.set_text_align(align);
        pen.set_text_baseline(base);
        pen.fill_text(words, at[0], at[1]).ok()
    };
    let edge = 10.0 * unit;
    text(("600", 13.0, INK), "left", "top", [left + edge, top + edge], &words.name)?;
    let below = [left + edge, top + edge + 17.0 * unit];
    text(
        ("400", 11.0, DIM),
        "left",
        "top",
        below,
        format!("{}  {}", words.slice, words.place).trim(),
    )?;
    let letter = ("600", 13.0, INK);
    let (middle, centre) = (top + high / 2.0, left + wide / 2.0);
    text(letter, "left", "middle", [left + edge, middle], &words.letters[0])?;
    text(letter, "right", "middle", [left + wide - edge, middle], &words.letters[1])?;
    text(letter, "center", "top", [centre, top + edge], &words.letters[2])?;
    text(letter, "center", "bottom", [centre, top + high - edge], &words.letters[3])?;
    if let Some((length, mm)) = words.scale {
        pen.set_fill_style_str(INK);
        let bar = top + high - edge - 2.0 * unit;
        pen.fill_rect(left + edge, bar, length * unit, 2.0 * unit);
        text(("400", 11.0, INK), "left", "bottom", [left + edge, bar - 4.0 * unit], &mm)?;
    }
    let corner = [left + wide - edge, top + high - edge];
    text(("400", 10.0, DIM), "right", "bottom", corner, &words.sides.concat())?;
    pen.restore();
    Some(())
}

fn footer(pen: &Pen, shown: &Shown, unit: f64, width: f64, top: f64) -> Option<()> {
    let middle = top + 15.0 * unit;
    pen.set_text_baseline("middle");
    pen.set_font(&format!("600 {}px {FACE}", 12.0 * unit));
    pen.set_fill_style_str(INK);
    pen.set_text_align("left");
    pen.fill_text(RESEARCH_ONLY, 10.0 * unit, middle).ok()?;
    let readout = shown.readout(shown.state.crosshair_mm.get())?;
    let window = shown.state.window.get();
    let readings =
        format!("{}   C {:.0}  W {:.0}", readout.position(), window.centre, window.width);
    pen.set_font(&format!("400 {}px {FACE}", 11.0 * unit));
    pen.set_fill_style_str(DIM);
    pen.set_text_align("right");
    pen.fill_text(&readings, width - 10.0 * unit, middle).ok()
}
