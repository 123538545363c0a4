//! What a scan shows: one pass of the first pack's encoder, and the heads on it.

use std::cell::Cell;
use std::rc::Rc;

use prism_core::identify::{HeadsPack, NamedVector, estimate, identify};
use prism_core::pipeline::{self, PipelineError};
use wasm_bindgen::JsValue;

use super::run::{PageWatch, bytes_of};
use super::{Failure, Holdings};
use crate::facts::DeviceChoice;
use crate::identify::Found;
use crate::protocol::RequestId;

/// Identifies the loaded scan. Beside the request: the pack whose encoder the heads read,
/// and the heads.
///
/// # Errors
/// [`Failure`] in one sentence.
pub async fn answer(
    holdings: &mut Holdings,
    device: DeviceChoice,
    parts: &[JsValue],
    (id, ending): (RequestId, &Rc<Cell<bool>>),
) -> Result<Found, Failure> {
    let (scan, _) = holdings
        .scan
        .as_ref()
        .ok_or_else(|| Failure::missing("there is no scan to identify; open one first"))?;
    let input = |error: &dyn core::fmt::Display| Failure::input(error.to_string());
    let heads = HeadsPack::read(&bytes_of(parts.get(1)).await?).map_err(|error| input(&error))?;
    let (pack, model) = holdings.engine.open(device, (None, parts.first())).await?;
    heads.check_encoder(&pack.info.name, &pack.info.sha256).map_err(|error| input(&error))?;
    let mut watch = PageWatch::new(id, Rc::clone(ending), "Identifying the scan");
    let volume = &scan.volume;
    let pooled =
        pipeline::pooled(volume, model, pack, &mut watch).await.map_err(|error| match error {
            PipelineError::Cancelled(_) => Failure::Cancelled,
            PipelineError::Device(_) => Failure::device("the graphics card stopped answering"),
            other => input(&other),
        })?;
    let vectors: Vec<NamedVector<'_>> =
        pooled.iter().map(|feature| (feature.name, feature.values.as_slice())).collect();
    let acquisition = &scan.series.acquisition;
    let identification = identify(&heads, &vectors, &volume.affine, volume.dims, acquisition)
        .map_err(|error| input(&error))?;
    let estimates =
        estimate::estimate(&heads, &vectors, &identification).map_err(|error| input(&error))?;
    Ok(Found { identification, estimates })
}
