//! Contrast between cerebral white matter and cortex, from the labels.

use super::anatomy::{Tissue, anatomy};
use super::background::Background;
use super::quality::{Judgement, Measure, MeasureGroup::Contrast};
use super::statistics::Moments;
use crate::volume::{LabelMap, LabelTable, Volume};

/// Fewest voxels of a tissue from which a mean and a deviation are taken.
const FEWEST_VOXELS: u64 = 100;

const WHITE: u8 = 1;
const GREY: u8 = 2;

/// Intensities of cerebral white matter and cortex.
///
/// Only voxels whose six neighbours are of the same tissue are used, which leaves out
/// partial volume; the cortex is thin, so where fewer than a hundred voxels remain all
/// of the tissue is used.
pub(super) struct Tissues {
    pub(super) white: Result<Moments, String>,
    pub(super) grey: Result<Moments, String>,
}

impl Tissues {
    /// Intensities under labels that lie on the scan's own grid.
    pub(super) fn of(volume: &Volume, labels: Option<(&LabelMap, &LabelTable)>) -> Self {
        let Some((labels, table)) = labels else {
            let reason = "no labels of white and grey matter on this scan";
            return Self { white: Err(reason.into()), grey: Err(reason.into()) };
        };
        let mut class = [0_u8; 256];
        for label in &table.labels {
            class[usize::from(label.index)] = match anatomy(label) {
                Some((_, Tissue::CerebralWhiteMatter)) => WHITE,
                Some((_, Tissue::CerebralCortex)) => GREY,
                _ => 0,
            };
        }
        let [inner, all] = gather(volume, labels, &class);
        let choose = |tissue: u8, name: &str| {
            let at = usize::from(tissue);
            [inner[at], all[at]]
                .into_iter()
                .find(|moments| moments.count >= FEWEST_VOXELS)
                .ok_or_else(|| format!("fewer than a hundred voxels of cerebral {name}"))
        };
        Self { white: choose(WHITE, "white matter"), grey: choose(GREY, "cortex") }
    }

    /// Both tissues, or why not.
    fn both(&self) -> Result<(Moments, Moments), String> {
        Ok((self.white.clone()?, self.grey.clone()?))
    }
}

/// Moments per class of inner voxels and of all voxels.
fn gather(volume: &Volume, labels: &LabelMap, class: &[u8; 256]) -> [[Moments; 3]; 2] {
    let [nx, ny, nz] = volume.dims;
    let mut moments = [[Moments::default(); 3]; 2];
    let of = |at: usize| class[usize::from(labels.data[at])];
    for z in 0..nz {
        for y in 0..ny {
            let row = nx * (y + ny * z);
            for x in 0..nx {
                let at = row + x;
                let tissue = of(at);
                let value = volume.data[at];
                if tissue == 0 || !value.is_finite() {
                    continue;
                }
                moments[1][usize::from(tissue)].push(f64::from(value));
                let same = |inside: bool, neighbour: usize| !inside || of(neighbour) == tissue;
                if same(x > 0, at.wrapping_sub(1))
                    && same(x + 1 < nx, at + 1)
                    && same(y > 0, at.wrapping_sub(nx))
                    && same(y + 1 < ny, at + nx)
                    && same(z > 0, at.wrapping_sub(nx * ny))
                    && same(z + 1 < nz, at + nx * ny)
                {
                    moments[0][usize::from(tissue)].push(f64::from(value));
                }
            }
        }
    }
    moments
}

/// Measures of contrast.
pub(super) fn measures(tissues: &Tissues, background: &Background) -> Vec<Measure> {
    let within = |moments: &Result<Moments, String>| match (&background.no_zero, moments) {
        (Some(reason), _) | (_, Err(reason)) => Err(reason.clone()),
        (None, Ok(moments)) => Ok(moments.mean() / moments.deviation()),
    };
    let both = tissues.both();
    let snr_source = "mean / standard deviation (n - 1) within the tissue, as MRIQC's snr";
    let cnr = both.clone().and_then(|(white, grey)| {
        let air = background.air.as_ref().map_err(Clone::clone)?;
        Ok((white.mean() - grey.mean()).abs() / air.deviation)
    });
    let cjv = both.clone().map(|(white, grey)| {
        (white.deviation() + grey.deviation()) / (white.mean() - grey.mean()).abs()
    });
    let ratio = match (&background.no_zero, both) {
        (Some(reason), _) => Err(reason.clone()),
        (None, both) => both.map(|(white, grey)| white.mean() / grey.mean()),
    };
    vec![
        Measure::new(
            Contrast,
            "snr_white_matter",
            "Evenness of white matter",
            ("", 1),
            "Mean intensity of cerebral white matter divided by its spread. Noise lowers it, and so \
             do shading and lesions.",
            snr_source,
        )
        .result(within(&tissues.white)),
        Measure::new(
            Contrast,
            "snr_grey_matter",
            "Evenness of the cortex",
            ("", 1),
            "Mean intensity of the cerebral cortex divided by its spread; partial volume keeps it low.",
            snr_source,
        )
        .result(within(&tissues.grey)),
        Measure::new(
            Contrast,
            "white_grey_ratio",
            "White to grey ratio",
            ("", 2),
            "Mean intensity of white matter over that of the cortex: above 1 as in T1-weighted, \
             below 1 as in T2-weighted scans.",
            "mean(white matter) / mean(cortex); Salat et al., NeuroImage 48, 2009, 21-28, who give grey \
             over white",
        )
        .result(ratio),
        Measure::new(
            Contrast,
            "cnr",
            "Contrast-to-noise ratio",
            ("", 1),
            "Difference between white matter and cortex in units of the noise in air. Higher is better.",
            "|mean(white) - mean(grey)| / standard deviation of air; Magnotta & Friedman, J Digit \
             Imaging 19, 2006, 140-147",
        )
        .result(cnr)
        .judged(
            "good from 5, look below: a difference of five times the noise is what is needed to \
             tell two tissues apart voxel by voxel (Rose, J Opt Soc Am 38, 1948, 196-208)",
            |cnr| if cnr >= 5.0 { Judgement::Good } else { Judgement::Look },
        ),
        Measure::new(
            Contrast,
            "cjv",
            "Coefficient of joint variation",
            ("", 2),
            "Spread of white matter and cortex against their difference. Motion and shading raise \
             it; sequences with little grey-white contrast have high values by nature.",
            "(sd(white) + sd(grey)) / |mean(white) - mean(grey)|; Ganzetti et al., Front \
             Neuroinform 10, 2016, 10",
        )
        .result(cjv)
        .judged(
            "good below 1, look from 1: there the two tissues overlap within one standard \
             deviation of their means",
            |cjv| if cjv < 1.0 { Judgement::Good } else { Judgement::Look },
        ),
    ]
}
