//! A scan drawn again by a pack's renderer, window by window, blended.

use burn::tensor::Tensor;

use super::encode::input_affine;
use super::run::{Pacer, PipelineError, Stage, Watch, prepare_for};
use super::sliding::{Windows, read};
use crate::model::{Pack, Prism, Stopped};
use crate::volume::{Volume, offset};

/// A scan as the network saw it, and as it drew it again; both on the network's grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// What went in: the pack's axes, spacing and intensities.
    pub input: Volume,
    /// What came out, in the same greys.
    pub rendering: Volume,
    /// Windows the network ran over.
    pub windows: usize,
}

/// Renders a scan from its own structure and sequence features, without noise: in windows of
/// the size that the pack was trained at, blended as everywhere.
///
/// # Errors
/// [`PipelineError`].
pub async fn render<W: Watch>(
    scan: &Volume,
    model: &Prism,
    pack: &Pack,
    watch: &mut W,
) -> Result<Rendered, PipelineError> {
    let none = || PipelineError::NoRenderer(pack.info.name.clone());
    let steps = model.renderer_steps().ok_or_else(none)?;
    watch.progress(Stage::Prepare, 0, 1);
    let prepared = prepare_for(scan, pack)?;
    watch.progress(Stage::Prepare, 1, 1);
    watch.breathe().await;
    if watch.cancelled() {
        return Err(Stopped.into());
    }
    let windows = Windows::trained(&prepared, pack);
    let count = windows.count();
    let mut pacer = Pacer::new(watch, count * (model.encoder_steps() + steps));
    let mut blend = windows.blend(model.device());
    let mut data = vec![0.0; prepared.input.len()];
    for index in windows.indices() {
        let input = windows.input(&prepared, index, model.device());
        let features =
            model.encode(input, &mut pacer).await.map_err(|stopped| pacer.reason(stopped))?;
        let drawn = model.render(&features, None, &mut pacer).await;
        let drawn = drawn.map_err(|stopped| pacer.reason(stopped))?.ok_or_else(none)?;
        for (start, piece) in blend.add(index, drawn) {
            put(&mut data, prepared.dims, start, piece).await?;
        }
    }
    let (dims, affine) = (prepared.dims, input_affine(&prepared));
    Ok(Rendered {
        input: Volume { data: prepared.input, dims, affine },
        rendering: Volume { data, dims, affine },
        windows: count,
    })
}

/// Puts a finished piece, `[1, 1, x, y, z]` and z fastest, where it belongs in a grid, x fastest.
async fn put(
    data: &mut [f32],
    dims: [usize; 3],
    start: [usize; 3],
    piece: Tensor<5>,
) -> Result<(), PipelineError> {
    let [_, _, _, ny, nz] = piece.dims();
    for (at, value) in read(piece).await?.into_iter().enumerate() {
        let [x, y, z] = [at / (ny * nz), at / nz % ny, at % nz];
        data[offset(dims, [start[0] + x, start[1] + y, start[2] + z])] = value;
    }
    Ok(())
}
