//! Files to a scan, and what the page needs to show it.

use prism_core::formats::{self, InputFile, Scan, Selection, Series};
use prism_core::measure::quality;
use prism_core::volume::percentile;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::Failure;
use super::half;
use super::post::now_ms;
use crate::protocol::{Grid, ScanFacts};
use crate::text;

/// Most bytes that are read at once; a worker's memory ends at 4 GiB, and unpacked
/// volumes come on top.
const MOST_BYTES: f64 = 2_147_483_648.0;

/// Values that are looked at for the first window; more change nothing visible.
const WINDOW_SAMPLES: usize = 1 << 20;

/// What came of reading.
pub enum Outcome {
    /// One volume.
    Loaded(Box<Loaded>),
    /// Several series, and none was selected.
    Several(Vec<Series>),
}

/// A volume with what is known about it.
pub struct Loaded {
    /// The scan.
    pub scan: Scan,
    /// For the page.
    pub facts: ScanFacts,
}

/// Reads `File` handles and loads one volume of them.
///
/// # Errors
/// [`Failure`] with what is wrong with the files.
pub async fn read(
    handles: &[JsValue],
    selection: Option<Selection>,
    mut progress: impl FnMut(&str, usize, usize),
) -> Result<Outcome, Failure> {
    let started = now_ms();
    let files = contents(handles, &mut progress).await?;
    progress("Reading headers", 0, 0);
    super::post::breathe().await;
    let study = formats::list(&files).map_err(|error| Failure::input(error.to_string()))?;
    let selection = match (selection, study.as_slice()) {
        (Some(selection), _) => selection,
        (None, [_]) => Selection::default(),
        (None, _) => return Ok(Outcome::Several(study)),
    };
    progress("Unpacking voxels", 0, 0);
    super::post::breathe().await;
    let scan =
        formats::load(&files, &selection).map_err(|error| Failure::input(error.to_string()))?;
    drop(files);
    progress("Judging image quality", 0, 0);
    super::post::breathe().await;
    let facts = facts(&scan, study, selection.volume, started);
    Ok(Outcome::Loaded(Box::new(Loaded { scan, facts })))
}

/// Bytes of `File` handles, under the handles' names: paths where they come from several folders.
///
/// # Errors
/// [`Failure`] where they are too many or cannot be read.
pub(super) async fn contents(
    handles: &[JsValue],
    progress: &mut impl FnMut(&str, usize, usize),
) -> Result<Vec<InputFile>, Failure> {
    let total: f64 =
        handles.iter().map(|handle| handle.unchecked_ref::<web_sys::File>().size()).sum();
    if total > MOST_BYTES {
        return Err(Failure::input(format!(
            "these files hold {} together, at most {} can be read at once: choose the folder of one series",
            text::bytes(total),
            text::bytes(MOST_BYTES),
        )));
    }
    let mut files = Vec::with_capacity(handles.len());
    for (at, handle) in handles.iter().enumerate() {
        let file: &web_sys::File = handle.unchecked_ref();
        let buffer = JsFuture::from(file.array_buffer()).await.map_err(|_| {
            Failure::input(
                "a file could not be read: it was moved, changed or is locked; choose it again",
            )
        })?;
        files.push(InputFile {
            name: file.name(),
            bytes: js_sys::Uint8Array::new(&buffer).to_vec(),
        });
        if handles.len() > 1 {
            progress("Reading files", at + 1, handles.len());
        }
    }
    Ok(files)
}

fn facts(scan: &Scan, study: Vec<Series>, volume: usize, started: f64) -> ScanFacts {
    let range = half::range(&scan.volume.data);
    ScanFacts {
        series: scan.series.clone(),
        study,
        volume,
        grid: Grid { dims: scan.volume.dims, affine: scan.volume.affine },
        range,
        window: window(&scan.volume.data, range),
        sides_assumed: scan.sides_assumed,
        warnings: scan.warnings.clone(),
        quality: quality(&scan.volume, None),
        seconds: (now_ms() - started) / 1000.0,
    }
}

/// 1st and 99th percentile of the values above zero, or the whole range where that
/// is no window.
fn window(data: &[f32], range: (f32, f32)) -> (f32, f32) {
    let step = data.len().div_ceil(WINDOW_SAMPLES).max(1);
    let mut values: Vec<f32> = data
        .iter()
        .step_by(step)
        .copied()
        .filter(|value| value.is_finite() && *value > 0.0)
        .collect();
    let low = percentile(&mut values, 1.0);
    let high = percentile(&mut values, 99.0);
    if high > low { (low, high) } else { range }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_leaves_the_air_out() {
        let mut data = vec![0.0; 900];
        data.extend((0..=100).map(|v| v as f32 + 1.0));
        let (low, high) = window(&data, (0.0, 101.0));
        assert!((low - 2.0).abs() < 1e-3 && (high - 100.0).abs() < 1e-3, "{low} {high}");
        assert_eq!(window(&[-2.0, -1.0], (-2.0, -1.0)), (-2.0, -1.0));
    }
}
