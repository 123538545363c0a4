//! Signal against noise, and artefacts that show in the background.

use std::f64::consts::{LN_2, PI};

use super::air::FEWEST_AIR_VOXELS;
use super::background::Background;
use super::contrast::Tissues;
use super::quality::{
    Judgement, Measure,
    MeasureGroup::{Artefacts, Signal},
};
use super::statistics::{Histogram, Moments};
use crate::volume::Volume;

/// Fewest 2 x 2 x 2 blocks of foreground for the wavelet estimate.
const FEWEST_BLOCKS: u64 = 500;
/// Median of |x| for a standard normal x.
const NORMAL_MAD: f64 = 0.674_489_750_196_081_7;
/// Mean over deviation from which the air is taken for plain noise; Rayleigh noise has
/// 1.91, and combined coils have more.
const PLAIN_NOISE: f64 = 1.7;
/// Largest share of the signal that a ghost may have in the ACR phantom test.
const GHOST_LIMIT_PERCENT: f64 = 2.5;

/// Signal that noise is compared with, and its name.
fn signal(background: &Background, tissues: &Tissues) -> Result<(f64, &'static str), String> {
    if let Some(reason) = &background.no_zero {
        return Err(reason.clone());
    }
    match &tissues.white {
        Ok(white) => Ok((white.mean(), "cerebral white matter")),
        Err(_) if background.foreground.count > 0 => {
            Ok((background.foreground.mean(), "all voxels above the clip level"))
        }
        Err(_) => Err("the scan holds no signal".into()),
    }
}

/// Noise and signal-to-noise.
pub(super) fn signal_measures(
    volume: &Volume,
    background: &Background,
    tissues: &Tissues,
) -> Vec<Measure> {
    let signal = signal(background, tissues);
    let of = signal.as_ref().map_or("the tissue", |&(_, name)| name);
    let air = background.air.as_ref().map_err(Clone::clone);
    let dietrich = signal.clone().and_then(|(signal, _)| {
        let air = air.clone()?;
        Ok(signal / (air.deviation * (2.0 / (4.0 - PI)).sqrt()))
    });
    let wavelet = wavelet_noise(volume, background);
    let ratio = signal.and_then(|(signal, _)| Ok(signal / wavelet.clone()?));
    vec![
        Measure::new(
            Signal,
            "noise_air",
            "Noise in air",
            ("scan units", 2),
            "Spread of the intensities in the air around the head, where there is no signal.",
            "standard deviation (n - 1) of air at least 6 mm from the head; Henkelman, Med Phys 12, 1985, \
             232-233",
        )
        .result(air.clone().map(|air| air.deviation)),
        Measure::new(
            Signal,
            "snr_dietrich",
            "Signal-to-noise ratio (air)",
            ("", 1),
            &format!(
                "Mean of {of} divided by the noise in air, corrected for the shape of noise in \
                 magnitude images. Higher is better. Parallel imaging and filters make it too high \
                 or too low."
            ),
            "mean(signal) / (sqrt(2 / (4 - pi)) sd(air)); Dietrich et al., J Magn Reson Imaging 26, \
             2007, 375-385, eq. A.12",
        )
        .result(dietrich)
        .judged(
            "good from 5 (Rose, J Opt Soc Am 38, 1948), look below, poor below 3: there magnitude \
             images follow the noise and no longer the signal (Gudbjartsson & Patz, Magn Reson Med \
             34, 1995, 910-914)",
            |snr| match snr {
                _ if snr >= 5.0 => Judgement::Good,
                _ if snr >= 3.0 => Judgement::Look,
                _ => Judgement::Poor,
            },
        ),
        Measure::new(
            Signal,
            "noise_wavelet",
            "Noise inside the head",
            ("scan units", 2),
            "Noise from the finest detail of the image itself, so that it needs no air. \
             Interpolated or filtered scans give too low a value.",
            "median |HHH| / 0.6745 of the Haar wavelet over foreground; Donoho, IEEE Trans Inf \
             Theory 41, 1995, 613-627; for MRI Coupé et al., Med Image Anal 14, 2010, 483-493",
        )
        .result(wavelet),
        Measure::new(
            Signal,
            "snr_wavelet",
            "Signal-to-noise ratio (inside)",
            ("", 1),
            &format!(
                "Mean of {of} divided by the noise inside the head. Higher is better; interpolated \
                 or filtered scans give too high a value."
            ),
            "mean(signal) / (median |HHH| / 0.6745); noise as in Donoho, IEEE Trans Inf Theory 41, 1995, \
             613-627",
        )
        .result(ratio),
        Measure::new(
            Signal,
            "noise_shape",
            "Shape of the noise",
            ("", 2),
            "Mean over spread of the air. Noise of one receiver coil has 1.91, of combined coils \
             more; ghosts and other signal outside the head lower it.",
            "mean(air) / sd(air), for Rayleigh noise sqrt(pi / (4 - pi)) = 1.91; Henkelman, Med \
             Phys 12, 1985, 232-233",
        )
        .result(air.map(|air| air.mean / air.deviation))
        .judged(
            "good from 1.7, look below: pure noise has at least 1.91, and a tenth is left for \
             rounding; below it the air holds something else, or the noise differs from place to \
             place, and ratios to the noise in air are unreliable",
            |shape| if shape >= PLAIN_NOISE { Judgement::Good } else { Judgement::Look },
        ),
    ]
}

/// Noise from the diagonal detail of the Haar wavelet: over blocks of 2 x 2 x 2
/// foreground voxels, the sum with alternating signs divided by sqrt(8), whose
/// deviation is that of the noise; its median absolute value is robust to edges.
fn wavelet_noise(volume: &Volume, background: &Background) -> Result<f64, String> {
    let [nx, ny, nz] = volume.dims;
    let mut histogram = Histogram::new();
    for z in (1..nz).step_by(2) {
        for y in (1..ny).step_by(2) {
            for x in (1..nx).step_by(2) {
                let mut sum = 0.0;
                let mut inside = true;
                for corner in 0..8 {
                    let [i, j, k] = [corner & 1, (corner >> 1) & 1, corner >> 2];
                    let at = (x - i) + nx * ((y - j) + ny * (z - k));
                    inside &= background.is_foreground(at);
                    let sign = if (i + j + k) % 2 == 0 { 1.0 } else { -1.0 };
                    sum += sign * f64::from(volume.data[at]);
                }
                if inside {
                    histogram.push((sum.abs() / 8.0_f64.sqrt()) as f32);
                }
            }
        }
    }
    match histogram.median() {
        Some(median) if histogram.total() >= FEWEST_BLOCKS && median > 0.0 => {
            Ok(median / NORMAL_MAD)
        }
        Some(_) if histogram.total() >= FEWEST_BLOCKS => {
            Err("neighbouring voxels are equal: the scan was enlarged or smoothed".into())
        }
        _ => Err("too little tissue to see its noise".into()),
    }
}

/// Artefacts.
pub(super) fn artefact_measures(volume: &Volume, background: &Background) -> Vec<Measure> {
    let InBackground { energy, outliers, ghost } = in_background(volume, background);
    vec![
        Measure::new(
            Artefacts,
            "efc",
            "Entropy focus criterion",
            ("", 3),
            "How evenly intensity is spread over the image: 0 with all of it in one voxel, 1 when \
             it is the same everywhere. Motion blurs and ghosts, which raises it. Compare only scans \
             of the same protocol; an emptied background lowers it.",
            "-sum(v/b ln(v/b)) / (sqrt(n) ln sqrt(n)), b = sqrt(sum v²); Atkinson et al., IEEE Trans \
             Med Imaging 16, 1997, 903-910, normalised as in MRIQC",
        )
        .result(match &background.no_zero {
            Some(reason) => Err(reason.clone()),
            None => entropy_focus(volume),
        }),
        Measure::new(
            Artefacts,
            "fber",
            "Foreground to background energy",
            ("", 0),
            "Mean squared intensity of the head over that of the air. Higher is better.",
            "E[|v|²] in the head / E[|v|²] in air; Shehzad et al., Preprocessed Connectomes Quality \
             Assessment Protocol, Front Neurosci (abstract), 2015",
        )
        .result(energy),
        Measure::new(
            Artefacts,
            "ghosting",
            "Ghosting",
            ("%", 2),
            "Difference in brightness between the air beside the head along two scan axes, in \
             percent of the signal: motion and flow throw ghosts along one axis only.",
            "100 |mean(air beside, axis a) - mean(air beside, axis b)| / mean(foreground), the \
             largest pair; the percent signal ghosting of the ACR MRI phantom test, along all axes",
        )
        .result(ghost)
        .judged(
            "good up to 2.5 %, look above: the limit of the ACR phantom test, here a guide only",
            |ghost| {
                if ghost <= GHOST_LIMIT_PERCENT { Judgement::Good } else { Judgement::Look }
            },
        ),
        Measure::new(
            Artefacts,
            "background_outliers",
            "Bright air",
            ("%", 2),
            "Share of air that is brighter than noise should be; 0.1 % is expected by chance. \
             Ghosts, wrap-around and objects beside the head raise it.",
            "share of air above the 99.9th percentile of Rayleigh noise of the same median, \
             median sqrt(ln 1000 / ln 2); in the manner of QI1 of Mortamet et al., Magn Reson Med \
             62, 2009, 365-372, without its morphology",
        )
        .result(outliers),
    ]
}

/// Entropy focus criterion over all voxels, of |v|.
fn entropy_focus(volume: &Volume) -> Result<f64, String> {
    let values = || volume.data.iter().map(|&v| f64::from(v).abs()).filter(|v| v.is_finite());
    let energy: f64 = values().map(|v| v * v).sum();
    let count = values().count() as f64;
    if energy <= 0.0 || count < 2.0 {
        return Err("the scan holds no signal".into());
    }
    let norm = energy.sqrt();
    let entropy: f64 = values().filter(|&v| v > 0.0).map(|v| -(v / norm) * (v / norm).ln()).sum();
    Ok(entropy / (count.sqrt() * count.sqrt().ln()))
}

/// What is read from the background in one pass.
struct InBackground {
    energy: Result<f64, String>,
    outliers: Result<f64, String>,
    ghost: Result<f64, String>,
}

fn in_background(volume: &Volume, background: &Background) -> InBackground {
    let air = match &background.air {
        Ok(air) => air,
        Err(reason) => {
            return InBackground {
                energy: Err(reason.clone()),
                outliers: Err(reason.clone()),
                ghost: Err(reason.clone()),
            };
        }
    };
    let limit = air.median * (1000.0_f64.ln() / LN_2).sqrt();
    let beside = beside_head(volume.dims, background);
    let mut head = Moments::default();
    let mut bright = 0_u64;
    let mut along = [Moments::default(); 3];
    let [nx, ny, _] = volume.dims;
    for (at, &value) in volume.data.iter().enumerate() {
        let value = f64::from(value);
        if !value.is_finite() {
            continue;
        }
        if background.is_head(at) {
            head.push(value);
        } else if background.is_air(at) && air.takes(value) {
            bright += u64::from(value > limit);
            let [x, y, z] = [at % nx, at / nx % ny, at / (nx * ny)];
            let crosses = [beside[0][y + ny * z], beside[1][x + nx * z], beside[2][x + nx * y]];
            // Air on the line of one axis only, as the four sides of the phantom.
            if let [true, false, false] | [false, true, false] | [false, false, true] = crosses {
                let axis = crosses.iter().position(|&c| c).unwrap_or(0);
                along[axis].push(value);
            }
        }
    }
    let means: Vec<f64> = along
        .iter()
        .filter(|moments| moments.count >= FEWEST_AIR_VOXELS / 2)
        .map(Moments::mean)
        .collect();
    let span = means.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        - means.iter().copied().fold(f64::INFINITY, f64::min);
    InBackground {
        energy: Ok(head.energy() / air.energy),
        outliers: Ok(100.0 * bright as f64 / air.count as f64),
        ghost: if means.len() < 2 {
            Err("air lies beside the head along one axis only".into())
        } else {
            Ok(100.0 * span / background.foreground.mean())
        },
    }
}

/// For each axis, whether the line along it (by its two other coordinates) crosses
/// the head.
fn beside_head(dims: [usize; 3], background: &Background) -> [Vec<bool>; 3] {
    let [nx, ny, nz] = dims;
    let mut lines = [vec![false; ny * nz], vec![false; nx * nz], vec![false; nx * ny]];
    for z in 0..nz {
        for y in 0..ny {
            let row = nx * (y + ny * z);
            for x in 0..nx {
                if background.is_head(row + x) {
                    lines[0][y + ny * z] = true;
                    lines[1][x + nx * z] = true;
                    lines[2][x + nx * y] = true;
                }
            }
        }
    }
    lines
}
