//! A scan ready to be aligned: its features, its intensities, where its structures lie.
//!
//! The features of the network are what its decoder makes of the encoder's maps: the
//! probability of each structure at 2 mm, left and right of a pair together (position
//! tells them apart). Of all maps these answer least to the sequence
//! (training/results/brain.json: the labels of one head in T1w, T2w and FLAIR). Inside a
//! structure they say nothing; there MIND-SSC goes on.
//!
//! The encoder's own maps can drive it instead: [`COMPONENTS`] principal components of all
//! maps that are coarser than the scan, the structure branch in place of the deepest one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::RegistrationError;
use super::grid::{FeatureGrid, LANES, MOST_CHANNELS, grown};
use super::mind;
use crate::features::{DenseFeatures, extract_anatomy, shared_components};
use crate::model::Preprocessing;
use crate::model::config::Orientation;
use crate::model::{Pack, Prism};
use crate::pipeline::preprocess::{FOREGROUND, Prepared, prepare};
use crate::pipeline::{Device, PipelineError, Watch, input_affine, logits, prepare_for};
use crate::volume::{IntensityRule, LabelMap, LabelTable, Volume, offset};

/// Fewest voxels of structures that count as found.
const FEWEST_VOXELS: usize = 200;

/// Voxels around the foreground that belong to what is aligned.
const MARGIN: usize = 3;

/// Spacing of the grid without a network, mm: that of the brain pack.
const SPACING_MM: [f64; 3] = [2.0; 3];

/// Channels that the encoder's maps are reduced to; the 12 of MIND-SSC lie beside them.
const COMPONENTS: usize = 24;

/// What drives the alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A network's structures, and MIND-SSC inside them.
    Network,
    /// Components of a network's encoder.
    Encoder,
    /// MIND-SSC of the intensities.
    Mind,
    /// The intensities themselves.
    Greys,
}

impl Source {
    /// What is to be said where the network was wanted and this was used.
    pub const fn note(self) -> Option<&'static str> {
        match self {
            Self::Network | Self::Encoder | Self::Greys => None,
            Self::Mind => Some(
                "the network finds none of its structures in one of the scans, so they were aligned \
                 by their intensities (MIND): look whether they fit",
            ),
        }
    }

    /// Checks that points may be read in the space of an atlas of heads: a network has looked.
    ///
    /// # Errors
    /// [`RegistrationError::NoHead`].
    pub fn check_atlas(self) -> Result<(), RegistrationError> {
        match self {
            Self::Network | Self::Encoder => Ok(()),
            Self::Mind | Self::Greys => Err(RegistrationError::NoHead),
        }
    }
}

/// One scan.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Where the features come from.
    pub source: Source,
    /// Features on the network's grid: structures or components, then MIND-SSC.
    pub features: FeatureGrid,
    /// How many channels are structures or components.
    pub structures: usize,
    /// Intensities in 0..1 on the same grid.
    pub intensity: Volume,
    /// Centre (mm) and voxels of each structure, by class; background first and never there.
    pub landmarks: Vec<Option<([f64; 3], f64)>>,
}

impl Subject {
    /// Through a network with a segmentation head.
    ///
    /// # Errors
    /// [`RegistrationError`]: a pack that does not segment, a scan in which it finds nothing.
    pub async fn through<W: Watch>(
        scan: &Volume,
        model: &Prism,
        pack: &Pack,
        watch: &mut W,
    ) -> Result<Self, RegistrationError> {
        Ok(Self::with_labels(scan, model, pack, watch).await?.0)
    }

    /// As [`Subject::through`], with the labels of the same pass: the likeliest class of each
    /// voxel of the network's grid, islands not removed.
    ///
    /// # Errors
    /// As [`Subject::through`].
    pub async fn with_labels<W: Watch>(
        scan: &Volume,
        model: &Prism,
        pack: &Pack,
        watch: &mut W,
    ) -> Result<(Self, LabelMap), RegistrationError> {
        let (logits, [classes, ..]) = logits(scan, model, pack, watch).await?;
        let prepared = prepare_for(scan, pack).map_err(PipelineError::from)?;
        Self::from_logits(prepared, (&logits, classes), &pack.info.labels)
    }

    /// From logits `[classes, x, y, z]` (z fastest) on the grid of the prepared scan.
    fn from_logits(
        prepared: Prepared,
        (logits, classes): (&[f32], usize),
        table: &LabelTable,
    ) -> Result<(Self, LabelMap), RegistrationError> {
        let affine = input_affine(&prepared);
        let dims = prepared.dims;
        let merged = merged(table, classes);
        let structures = merged.iter().max().map_or(0, |&most| most + 1);
        let channels = (structures + mind::DESCRIPTORS).next_multiple_of(LANES);
        if channels > MOST_CHANNELS {
            return Err(RegistrationError::Channels(channels));
        }
        let voxels = prepared.input.len();
        let patterns = mind::mind_ssc(&prepared.input, dims);
        let mut values = vec![0.0; voxels * channels];
        let mut inside = vec![false; voxels];
        let mut sums = vec![[0.0_f64; 4]; classes];
        let mut row = vec![0.0_f32; classes];
        let mut labels = vec![0_u8; voxels];
        for voxel in 0..voxels {
            let [x, y, z] =
                [voxel % dims[0], voxel / dims[0] % dims[1], voxel / (dims[0] * dims[1])];
            // The network's own order: z fastest.
            let at = (x * dims[1] + y) * dims[2] + z;
            (0..classes).for_each(|class| row[class] = logits[class * voxels + at]);
            softmax(&mut row);
            let likeliest = row.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
            labels[voxel] = likeliest.and_then(|(class, _)| u8::try_from(class).ok()).unwrap_or(0);
            inside[voxel] = row[0] < 0.5;
            let pattern = &patterns[voxel * mind::CHANNELS..][..mind::DESCRIPTORS];
            values[voxel * channels + structures..][..mind::DESCRIPTORS].copy_from_slice(pattern);
            for (class, &probability) in row.iter().enumerate() {
                values[voxel * channels + merged[class]] += probability;
                if probability > 0.5 && class > 0 {
                    let weight = f64::from(probability);
                    for (sum, place) in sums[class].iter_mut().zip([x, y, z]) {
                        *sum += weight * place as f64;
                    }
                    sums[class][3] += weight;
                }
            }
        }
        if inside.iter().filter(|&&inside| inside).count() < FEWEST_VOXELS {
            return Err(RegistrationError::NothingFound);
        }
        let landmarks = sums
            .into_iter()
            .map(|[x, y, z, weight]| {
                (weight > 0.0).then(|| (affine.apply([x, y, z].map(|v| v / weight)), weight))
            })
            .collect();
        let mask = grown(&inside, dims, MARGIN);
        let features = FeatureGrid { values, channels, dims, affine, mask };
        let intensity = Volume { data: prepared.input, dims, affine };
        let labels = LabelMap { data: labels, dims, affine };
        Ok((Self { source: Source::Network, features, structures, intensity, landmarks }, labels))
    }

    /// Two scans through a network; both without it where it finds nothing in one of them,
    /// as [`Subject::source`] then says.
    ///
    /// # Errors
    /// [`RegistrationError`] but [`RegistrationError::NothingFound`].
    pub async fn pair<W: Watch>(
        scans: [&Volume; 2],
        model: &Prism,
        pack: &Pack,
        watch: &mut W,
    ) -> Result<[Self; 2], RegistrationError> {
        let [first, second] = scans;
        let through = async {
            let first = Self::through(first, model, pack, watch).await?;
            Ok::<_, RegistrationError>([first, Self::through(second, model, pack, watch).await?])
        };
        match through.await {
            Err(RegistrationError::NothingFound) => {
                Ok([Self::by_intensity(first)?, Self::by_intensity(second)?])
            }
            found => found,
        }
    }

    /// Two scans by a network's encoder alone, without its decoder: at most 24 principal
    /// components of its maps, fitted on both scans together, each scan's channels brought to
    /// mean 0 and variance 1 over its foreground before; then MIND-SSC. Beyond the foreground
    /// and a margin nothing is aligned.
    ///
    /// # Errors
    /// [`RegistrationError`]: a scan that the encoder cannot read.
    pub async fn by_encoder<W: Watch>(
        scans: [&Volume; 2],
        model: &Prism,
        pack: &Pack,
        watch: &mut W,
    ) -> Result<[Self; 2], RegistrationError> {
        let first = extract_anatomy(scans[0], model, pack, watch).await?;
        let second = extract_anatomy(scans[1], model, pack, watch).await?;
        let [a, b] = shared_components([&first, &second], COMPONENTS)?;
        let first = Self::from_components(scans[0], pack, &first, &a)?;
        drop(a);
        Ok([first, Self::from_components(scans[1], pack, &second, &b)?])
    }

    /// From components `[components, x, y, z]` (z fastest) on the network's grid.
    fn from_components(
        scan: &Volume,
        pack: &Pack,
        maps: &DenseFeatures,
        components: &[f32],
    ) -> Result<Self, RegistrationError> {
        let prepared = prepare_for(scan, pack).map_err(PipelineError::from)?;
        let (dims, affine) = (prepared.dims, input_affine(&prepared));
        let voxels = prepared.input.len();
        let structures = components.len() / voxels.max(1);
        let channels = (structures + mind::DESCRIPTORS).next_multiple_of(LANES);
        let patterns = mind::mind_ssc(&prepared.input, dims);
        let mut values = vec![0.0; voxels * channels];
        let mut inside = vec![false; voxels];
        for at in 0..voxels {
            let [x, y, z] = [at / (dims[1] * dims[2]), at / dims[2] % dims[1], at % dims[2]];
            let voxel = offset(dims, [x, y, z]);
            inside[voxel] = maps.foreground[at];
            let row = &mut values[voxel * channels..][..channels];
            for (component, value) in row[..structures].iter_mut().enumerate() {
                *value = components[component * voxels + at];
            }
            row[structures..][..mind::DESCRIPTORS]
                .copy_from_slice(&patterns[voxel * mind::CHANNELS..][..mind::DESCRIPTORS]);
        }
        let mask = grown(&inside, dims, MARGIN);
        let features = FeatureGrid { values, channels, dims, affine, mask };
        let intensity = Volume { data: prepared.input, dims, affine };
        let landmarks = Vec::new();
        Ok(Self { source: Source::Encoder, features, structures, intensity, landmarks })
    }

    /// Without MIND-SSC, for comparison; a subject without structures or components
    /// stays as it is.
    #[must_use]
    pub fn structures_alone(mut self) -> Self {
        if self.structures > 0 {
            for row in self.features.values.chunks_exact_mut(self.features.channels) {
                row[self.structures..].fill(0.0);
            }
        }
        self
    }

    /// Without a network or patterns: the greys themselves, for comparison between scans of one
    /// sequence.
    ///
    /// # Errors
    /// [`RegistrationError`] for a scan that cannot be brought to 2 mm.
    pub fn by_greys(scan: &Volume) -> Result<Self, RegistrationError> {
        let (intensity, mask) = intensities(scan)?;
        let (dims, affine) = (intensity.dims, intensity.affine);
        let mut values = vec![0.0; intensity.data.len() * LANES];
        for (row, &grey) in values.chunks_exact_mut(LANES).zip(&intensity.data) {
            row[0] = grey;
        }
        let features = FeatureGrid { values, channels: LANES, dims, affine, mask };
        let landmarks = Vec::new();
        Ok(Self { source: Source::Greys, features, structures: 0, intensity, landmarks })
    }

    /// Without a network.
    ///
    /// # Errors
    /// [`RegistrationError`] for a scan that cannot be brought to 2 mm.
    pub fn by_intensity(scan: &Volume) -> Result<Self, RegistrationError> {
        let (intensity, mask) = intensities(scan)?;
        let (dims, affine) = (intensity.dims, intensity.affine);
        let values = mind::mind_ssc(&intensity.data, dims);
        let features = FeatureGrid { values, channels: mind::CHANNELS, dims, affine, mask };
        let landmarks = Vec::new();
        Ok(Self { source: Source::Mind, features, structures: 0, intensity, landmarks })
    }
}

/// The subject of the last scan that went through a network, for scans that are aligned with it
/// one after the other. Whoever replaces the scan drops it.
#[derive(Debug, Default)]
pub struct Kept(Option<(String, Device, Arc<Subject>)>);

impl Kept {
    /// As [`Subject::pair`]; the first scan goes through the network once for each pack and
    /// device.
    ///
    /// # Errors
    /// As [`Subject::pair`].
    pub async fn pair<W: Watch>(
        &mut self,
        [first, second]: [&Volume; 2],
        model: &Prism,
        pack: &Pack,
        watch: &mut W,
    ) -> Result<[Arc<Subject>; 2], RegistrationError> {
        let through = async {
            let first = self.through(first, model, pack, watch).await?;
            let second = Subject::through(second, model, pack, watch).await?;
            Ok::<_, RegistrationError>([first, Arc::new(second)])
        };
        match through.await {
            Err(RegistrationError::NothingFound) => Ok([
                Arc::new(Subject::by_intensity(first)?),
                Arc::new(Subject::by_intensity(second)?),
            ]),
            found => found,
        }
    }

    async fn through<W: Watch>(
        &mut self,
        scan: &Volume,
        model: &Prism,
        pack: &Pack,
        watch: &mut W,
    ) -> Result<Arc<Subject>, RegistrationError> {
        match &self.0 {
            Some((of, on, subject)) if *of == pack.info.sha256 && on == model.device() => {
                return Ok(Arc::clone(subject));
            }
            // The old one first: two would be hundreds of megabytes.
            _ => self.0 = None,
        }
        let subject = Arc::new(Subject::through(scan, model, pack, watch).await?);
        self.0 = Some((pack.info.sha256.clone(), model.device().clone(), Arc::clone(&subject)));
        Ok(subject)
    }
}

/// A scan's intensities in 0..1 at 2 mm, and the voxels at and around its foreground.
///
/// # Errors
/// [`RegistrationError`] for a scan that cannot be brought to 2 mm.
pub fn intensities(scan: &Volume) -> Result<(Volume, Vec<bool>), RegistrationError> {
    let preprocessing = Preprocessing {
        orientation: Orientation::Ras,
        spacing_mm: SPACING_MM.map(Some),
        field_mm: None,
        intensity: IntensityRule::Percentile { low: 0.5, high: 99.5 },
        window: [0; 3],
        overlap: 0.0,
    };
    let prepared = prepare(scan, &preprocessing, 2, LANES).map_err(PipelineError::from)?;
    let (dims, affine) = (prepared.dims, input_affine(&prepared));
    let inside: Vec<bool> = prepared.input.iter().map(|&v| v > FOREGROUND).collect();
    let mask = grown(&inside, dims, MARGIN);
    Ok((Volume { data: prepared.input, dims, affine }, mask))
}

/// Channel of each class: that of the first of a pair.
fn merged(table: &LabelTable, classes: usize) -> Vec<usize> {
    let mut result: Vec<usize> = Vec::with_capacity(classes);
    let mut next = 0;
    for class in 0..classes {
        let pair = u8::try_from(class).ok().and_then(|index| table.get(index)?.pair);
        match pair.map(usize::from).filter(|&pair| pair < class) {
            Some(pair) => result.push(result[pair]),
            None => {
                result.push(next);
                next += 1;
            }
        }
    }
    result
}

fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|value| *value = (*value - most).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|value| *value /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Label;

    #[test]
    fn pairs_share_a_channel() {
        let label = |index: u8, pair| Label {
            index,
            id: u16::from(index),
            name: format!("structure {index}"),
            color: [0; 3],
            side: None,
            pair,
        };
        let labels = vec![label(1, Some(3)), label(2, None), label(3, Some(1)), label(4, None)];
        assert_eq!(merged(&LabelTable { labels }, 5), [0, 1, 2, 1, 3]);
    }

    #[test]
    fn softmax_is_that_of_scipy() {
        // scipy.special.softmax([1, 2, 4])
        let mut row = [1.0, 2.0, 4.0];
        softmax(&mut row);
        for (value, expected) in row.iter().zip([0.042_010_07, 0.114_195_2, 0.843_794_7]) {
            assert!((value - expected).abs() < 1e-6, "{row:?}");
        }
    }
}
