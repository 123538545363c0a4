//! The map of abnormality: the loaded scan against its own rendering.

use std::cell::Cell;
use std::rc::Rc;

use prism_core::formats::nifti::write_volume;
use prism_core::lesions::abnormality;
use prism_core::volume::Volume;
use wasm_bindgen::JsValue;

use super::lesions::{brain_labels, failure};
use super::post::now_ms;
use super::run::PageWatch;
use super::{Failure, Holdings, the_scan};
use crate::facts::DeviceChoice;
use crate::lesions::abnormality::{begins, colour};
use crate::lesions::messages::Mapped;
use crate::protocol::{Grid, RequestId};

/// Computes the map, keeps it and draws it: what goes with it, and its colours.
///
/// # Errors
/// [`Failure`] in one sentence; a map of before is kept then.
pub async fn map(
    holdings: &mut Holdings,
    device: DeviceChoice,
    pack_key: String,
    parts: &[JsValue],
    (id, ending): (RequestId, &Rc<Cell<bool>>),
) -> Result<(Mapped, Vec<u8>), Failure> {
    let begin = now_ms();
    let (scan, _) = the_scan(&holdings.scan)?;
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Looking for structures");
    let known = holdings.labelled.as_ref();
    let engine = &mut holdings.engine;
    let (brain, _) = brain_labels(scan, known, engine, (device, parts.first()), &mut watch).await?;
    let (report, _) = engine.prepare(device, (Some(pack_key.clone()), parts.get(1))).await?;
    let (pack, model) = engine.open(device, (Some(pack_key), parts.get(1))).await?;
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Drawing the scan again");
    let found =
        abnormality(&scan.volume, &brain, model, pack, &mut watch).await.map_err(failure)?;
    let begins = begins(&pack.info.scores);
    let rgba = found.map.data.iter().flat_map(|&value| colour(value, begins)).collect();
    let mapped = Mapped {
        grid: Grid { dims: found.map.dims, affine: found.map.affine },
        begins,
        largest: found.largest.0,
        largest_mm: found.largest.1,
        blur_mm: found.blur_mm,
        correlation: found.correlation,
        device: report,
        seconds: (now_ms() - begin) / 1000.0,
    };
    holdings.lesions.map = Some(found.map);
    Ok((mapped, rgba))
}

/// The file of the map that was drawn last.
///
/// # Errors
/// [`Failure`] when there is none any more.
pub fn file(map: Option<&Volume>) -> Result<Vec<u8>, Failure> {
    let map =
        map.ok_or_else(|| Failure::missing("the map is not there any more; show it again"))?;
    write_volume(map).map_err(|error| Failure::input(error.to_string()))
}
