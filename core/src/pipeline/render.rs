//! A scan drawn again by a pack's renderer, window by window, blended.

use std::f64::consts::TAU;

use burn::tensor::{Tensor, TensorData};

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
    Rendered::in_style(scan, model, pack, None, watch).await
}

impl Rendered {
    /// As [`render`], with a style: the seed of the noise, one for all windows.
    ///
    /// # Errors
    /// [`PipelineError`].
    pub async fn in_style<W: Watch>(
        scan: &Volume,
        model: &Prism,
        pack: &Pack,
        style: Option<u64>,
        watch: &mut W,
    ) -> Result<Self, PipelineError> {
        drawn(scan, model, pack, style, watch).await
    }
}

async fn drawn<W: Watch>(
    scan: &Volume,
    model: &Prism,
    pack: &Pack,
    style: Option<u64>,
    watch: &mut W,
) -> Result<Rendered, PipelineError> {
    let none = || PipelineError::NoRenderer(pack.info.name.clone());
    let steps = model.renderer_steps().ok_or_else(none)?;
    let length = model.style().ok_or_else(none)?;
    let style = style.map(|seed| {
        let values = TensorData::new(noise(seed, length), [1, length]);
        Tensor::<2>::from_data(values, model.device())
    });
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
        let drawn = model.render(&features, style.clone(), &mut pacer).await;
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

/// Standard normal values of a seed: splitmix64, then Box and Muller's transform.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        // In (0, 1], of which there is a logarithm.
        (((z ^ z >> 31) >> 11) + 1) as f64 / (1_u64 << 53) as f64
    };
    (0..count)
        .map(|_| {
            let (length, angle) = (uniform(), TAU * uniform());
            ((-2.0 * length.ln()).sqrt() * angle.cos()) as f32
        })
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_standard_normal_noise_of_its_own() {
        let values = noise(7, 20_000);
        let mean = values.iter().sum::<f32>() / 20_000.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 20_000.0;
        // Four standard errors.
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
        // Of a normal distribution 95.45 % lie within two standard deviations.
        let within = values.iter().filter(|v| v.abs() < 2.0).count() as f32 / 20_000.0;
        assert!((within - 0.9545).abs() < 0.006, "{within}");
        assert_eq!(noise(7, 9), values[..9]);
        assert_ne!(noise(8, 9), values[..9]);
    }
}
