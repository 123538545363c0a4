//! Checkpoints of others into packs: PyTorch and safetensors files, checked name by
//! name against the architecture and quantised to int8.
//!
//! Packs keep the checkpoint's own names (see [`crate::model::config`]), so importing
//! is matching and copying. Nothing is guessed: a tensor that is missing, left over or
//! of another shape ends the conversion unless the user names it.

mod checkpoint;
mod compare;
mod derived;
mod geometry;
mod grid;
mod names;

use std::collections::BTreeSet;

use serde_json::json;

pub use checkpoint::{Checkpoint, Entry};
pub use compare::{cosine, middle};
pub use geometry::{encoder, guess, head};
pub use grid::{Grid, described};

use crate::model::pack::{LARGEST, NamedTensor, Precision, SCHEMA, TensorSource, is_quantised};
use crate::model::{Architecture, EncoderConfig, HeadConfig, Pack, PackError, PackInfo};
use crate::model::{Prism, RendererConfig};
use crate::volume::{Label, LabelTable};

/// What a pack says of itself while int8 and full precision were not compared on a scan.
pub const UNVERIFIED: &str = "features not verified (--check SCAN)";

/// A checkpoint that cannot become a pack.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConvertError {
    /// The file cannot be read.
    #[error("cannot read the checkpoint: {0}")]
    Unreadable(String),
    /// Neither PyTorch nor safetensors, or cut short.
    #[error("the checkpoint is damaged or of another format: {0}")]
    Container(String),
    /// The pickle calls something that is not data.
    #[error(
        "the checkpoint calls {0}, which no weights need (it was not run); \
         get it from a source you trust, or save its state_dict alone"
    )]
    Code(String),
    /// No tensors.
    #[error("the checkpoint holds no tensors")]
    Empty,
    /// Two tensors of one name.
    #[error("the checkpoint holds {0} twice")]
    Twice(String),
    /// A tensor that is no weight.
    #[error("tensor {name}: {why}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// An architecture or head that is not understood.
    #[error("{0}")]
    Words(String),
    /// Other tensors than the architecture has.
    #[error("{0}")]
    Mismatch(Box<Mismatch>),
    /// More bytes than packs may have.
    #[error(
        "the pack would have {:.2} GB, and at most {:.2} GB are read: take a smaller network, or leave \
         the decoder out (no --head segmentation)",
        gigabytes(.0), gigabytes(&LARGEST)
    )]
    TooLarge(usize),
    /// The pack cannot be built.
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// How a checkpoint differs from the architecture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Tensors it lacks, with their shapes.
    pub missing: Vec<(String, Vec<usize>)>,
    /// Tensors the architecture does not have, with their shapes.
    pub extra: Vec<(String, Vec<usize>)>,
    /// Tensors of another shape: name, the architecture's, the checkpoint's.
    pub reshaped: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// The geometry its shapes speak of.
    pub guess: Option<String>,
    /// Patterns that allow what is left over, where nothing else is wrong; none for a fusion of
    /// sequences and the heads behind it.
    pub allow: Vec<String>,
    /// How the checkpoint's heads fuse sequences, as words for `fusion=`, where the tensors that
    /// do are left over.
    pub fusion: Option<String>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the checkpoint is not of this architecture: {} tensor(s) missing, {} left over, \
             {} of another shape",
            self.missing.len(),
            self.extra.len(),
            self.reshaped.len()
        )?;
        match &self.guess {
            Some(guess) => write!(f, "; its shapes look like {guess}"),
            None => Ok(()),
        }
    }
}

/// What to make of a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// The architecture in words ([`encoder`]).
    pub arch: &'a str,
    /// Heads in words ([`head`]).
    pub heads: &'a [String],
    /// Whether the decoder that renders a scan again is wanted, too.
    pub renderer: bool,
    /// Labels of the segmentation head; numbered ones without.
    pub labels: Option<LabelTable>,
    /// How scans become the network's input.
    pub grid: Grid<'a>,
    /// Short name of the pack.
    pub name: &'a str,
    /// Name for people.
    pub title: &'a str,
    /// Under which licence the weights may be used.
    pub licence: Option<&'a str>,
    /// Tensors that may be missing.
    pub allow_missing: &'a [String],
    /// Patterns (`*` for anything) of tensors that may be left over.
    pub allow_extra: &'a [String],
}

/// A converted checkpoint.
#[derive(Clone, Debug)]
pub struct Converted {
    /// As it is kept: int8.
    pub pack: Pack,
    /// Rounding of each quantised tensor, in the network's order.
    pub layers: Vec<LayerError>,
    /// Buffers that are derived from the geometry, checked and left.
    pub derived: usize,
    /// Tensors that were missing and allowed to be.
    pub filled: Vec<String>,
    /// Tensors that were left over and allowed to be.
    pub left: Vec<String>,
    tensors: Vec<NamedTensor>,
}

impl Converted {
    /// The same pack in full precision, to compare with. Gives the weights away: for the
    /// largest encoder they are more than a gigabyte.
    ///
    /// # Errors
    /// As [`Pack::build`]; [`PackError::Missing`] the second time.
    pub fn take_reference(&mut self) -> Result<Pack, PackError> {
        if self.tensors.is_empty() {
            return Err(PackError::Missing("(given away already)".into()));
        }
        let tensors = std::mem::take(&mut self.tensors);
        Pack::build(self.pack.info.clone(), tensors, Precision::Float32)
    }

    /// Notes in the pack that int8 was compared with full precision on a scan, and the least
    /// cosine similarity of their pooled features.
    pub fn verified(&mut self, least: f64) {
        self.pack.info.provenance["imported"]["check"] = json!(format!(
            "features of int8 and f32 compared on the middle of one scan: cosine similarity \
             {least:.6} or more"
        ));
    }
}

/// What rounding to int8 does to one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerError {
    /// The tensor.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Root mean square of the rounding over that of the weights.
    pub relative: f64,
    /// Largest rounding.
    pub largest: f64,
}

/// Converts an opened checkpoint.
///
/// # Errors
/// [`ConvertError`].
pub fn convert(checkpoint: &mut Checkpoint, wanted: &Wanted) -> Result<Converted, ConvertError> {
    let encoder = encoder(wanted.arch)?;
    if let EncoderConfig::Swin(_) = encoder {
        names::complete(checkpoint)?;
    }
    let preprocessing = grid::preprocessing(&encoder, &wanted.grid)?;
    let heads =
        wanted.heads.iter().map(|words| head(words, checkpoint)).collect::<Result<Vec<_>, _>>()?;
    // The compact network always has its branches; an encoder of others may not.
    let branches = matches!(encoder, EncoderConfig::ResidualPyramid { .. })
        || checkpoint.tensors.keys().any(|name| name.contains("_disentanglement."));
    let renderer = wanted.renderer.then_some(RendererConfig::Modulated);
    let architecture = Architecture { encoder, branches, heads, renderer };
    let derived = derived::take(checkpoint)?;
    let wanted_tensors = Prism::tensors(&architecture)?;
    fits(&wanted_tensors)?;
    let (tensors, filled, left) = matched(checkpoint, &architecture, wanted_tensors, wanted)?;
    let labels = labels(&architecture, wanted)?;
    let info = PackInfo {
        schema: SCHEMA,
        name: wanted.name.to_owned(),
        title: wanted.title.to_owned(),
        version: checkpoint.sha256.chars().take(8).collect(),
        preprocessing,
        architecture,
        labels,
        fits: None,
        one_organ: false,
        mirrors: Vec::new(),
        provenance: json!({
            "data": [{
                "name": format!("weights of {}", checkpoint.file_name),
                "licence": wanted.licence.unwrap_or("not stated"),
            }],
            "imported": {
                "file": checkpoint.file_name,
                "bytes": checkpoint.bytes,
                "sha256": checkpoint.sha256,
                "architecture": wanted.arch,
                "tool": concat!("prism ", env!("CARGO_PKG_VERSION")),
                "check": UNVERIFIED,
                "filled": filled,
                "left_out": left_out(&left, wanted.allow_extra),
            },
            "note": "imported; neither trained nor tested by this project",
        }),
        scores: json!({}),
        sha256: String::new(),
    };
    let pack = Pack::build(info, tensors.clone(), Precision::Int8)?;
    let layers = rounding(&pack, &tensors)?;
    Ok(Converted { pack, layers, derived, filled, left, tensors })
}

/// The patterns say it shorter than the names: a decoder has dozens.
fn left_out(left: &[String], patterns: &[String]) -> Vec<String> {
    let count = |pattern: &str| left.iter().filter(|name| matches_pattern(pattern, name)).count();
    patterns.iter().map(|pattern| format!("{pattern} ({} tensors)", count(pattern))).collect()
}

/// Bytes of the tensors in a pack, its header left out: int8 with a scale an output, or F32.
fn packed(tensors: &[(String, Vec<usize>)]) -> usize {
    let bytes = |(name, shape): &(String, Vec<usize>)| {
        let values = shape.iter().product::<usize>();
        if is_quantised(name, shape) { values + 4 * shape[0] } else { 4 * values }
    };
    tensors.iter().map(bytes).sum()
}

/// Refuses what could not be read again before any weight is read: rounding takes minutes.
fn fits(tensors: &[(String, Vec<usize>)]) -> Result<(), ConvertError> {
    match packed(tensors) {
        bytes if bytes > LARGEST => Err(ConvertError::TooLarge(bytes)),
        _ => Ok(()),
    }
}

fn gigabytes(bytes: &usize) -> f64 {
    *bytes as f64 / 1e9
}

type Matched = (Vec<NamedTensor>, Vec<String>, Vec<String>);

/// The architecture's tensors out of the checkpoint; which were filled, which left.
fn matched(
    checkpoint: &Checkpoint,
    architecture: &Architecture,
    wanted_tensors: Vec<(String, Vec<usize>)>,
    wanted: &Wanted,
) -> Result<Matched, ConvertError> {
    let mut unused: BTreeSet<&str> = checkpoint.tensors.keys().map(String::as_str).collect();
    let mut mismatch = Mismatch::default();
    let (mut tensors, mut filled) = (Vec::new(), Vec::new());
    let own: BTreeSet<String> = wanted_tensors.iter().map(|(name, _)| family(name)).collect();
    for (name, shape) in wanted_tensors {
        let published = geometry::published_names(&name).into_iter();
        let found = std::iter::once(name.clone())
            .chain(published)
            .find_map(|name| checkpoint.tensors.get_key_value(&name));
        match found {
            Some((stored, entry)) => {
                unused.remove(stored.as_str());
                if entry.shape == shape {
                    let values = entry.floats(&name)?;
                    tensors.push(NamedTensor { name, shape, values });
                } else {
                    mismatch.reshaped.push((name, shape, entry.shape.clone()));
                }
            }
            None if wanted.allow_missing.contains(&name) => {
                // What leaves the network as it is: a norm's scale 1, everything else 0.
                let neutral = if shape.len() == 1 && name.ends_with("weight") { 1.0 } else { 0.0 };
                filled.push(name.clone());
                let values = vec![neutral; shape.iter().product()];
                tensors.push(NamedTensor { name, shape, values });
            }
            None => mismatch.missing.push((name, shape)),
        }
    }
    let allowed =
        |name: &str| wanted.allow_extra.iter().any(|pattern| matches_pattern(pattern, name));
    let (left, extra): (Vec<&str>, Vec<&str>) = unused.into_iter().partition(|name| allowed(name));
    let fusion = geometry::fusing(checkpoint);
    if let Some(fusion) = &fusion
        && left.iter().any(|name| geometry::fuses(name))
    {
        return Err(ConvertError::Words(format!(
            "latent_agg and cls_token fuse the sequences that the heads were trained on, so they \
             cannot be left out; keep them: --head \
             classification:name=NAME,outputs=A/B/C,fusion={fusion}"
        )));
    }
    let fusion_is_extra = extra.iter().any(|name| geometry::fuses(name));
    mismatch.extra = extra
        .into_iter()
        .map(|name| {
            (name.to_owned(), checkpoint.tensors.get(name).map_or(vec![], |e| e.shape.clone()))
        })
        .collect();
    if mismatch != Mismatch::default() {
        if fusion_is_extra {
            mismatch.fusion = fusion;
        }
        if mismatch.reshaped.is_empty() && mismatch.missing.is_empty() {
            // Without the fusion a head would answer wrongly, and silently.
            let kept = |name: &str| {
                fusion_is_extra && (geometry::fuses(name) || name.starts_with("cls_head."))
            };
            let names = mismatch.extra.iter().map(|(name, _)| name.as_str());
            mismatch.allow = patterns(names.filter(|name| !kept(name)), &own);
        } else if let EncoderConfig::Swin(_) = architecture.encoder {
            mismatch.guess = guess(checkpoint);
        }
        return Err(ConvertError::Mismatch(Box::new(mismatch)));
    }
    Ok((tensors, filled, left.into_iter().map(str::to_owned).collect()))
}

/// The part of the network that a tensor belongs to, as a pattern: `decoder*` of
/// `decoder5.conv1.weight`, `out.*` of `out.conv.bias`.
fn family(name: &str) -> String {
    let first = name.split('.').next().unwrap_or(name);
    let stem = first.trim_end_matches(|c: char| c.is_ascii_digit());
    match (stem.len() < first.len(), first.len() < name.len()) {
        (true, _) => format!("{stem}*"),
        (false, true) => format!("{first}.*"),
        (false, false) => name.to_owned(),
    }
}

/// Patterns for tensors that are left over: whole parts of a network, but name by name where
/// the architecture has such a part itself.
fn patterns<'a>(left: impl Iterator<Item = &'a str>, own: &BTreeSet<String>) -> Vec<String> {
    let pattern = |name: &str| {
        let family = family(name);
        if own.contains(&family) { name.to_owned() } else { family }
    };
    left.map(pattern).collect::<BTreeSet<String>>().into_iter().collect()
}

/// Whether a name fits a pattern in which `*` stands for anything.
pub fn matches_pattern(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(start) else { return false };
    name.char_indices()
        .map(|(at, _)| at)
        .chain([name.len()])
        .any(|at| matches_pattern(rest, &name[at..]))
}

/// The user's labels, or as many numbered ones as the segmentation head has classes.
fn labels(architecture: &Architecture, wanted: &Wanted) -> Result<LabelTable, ConvertError> {
    let classes = architecture.heads.iter().find_map(|head| match head {
        HeadConfig::Segmentation { classes, .. } => Some(*classes),
        _ => None,
    });
    match (&wanted.labels, classes) {
        (Some(table), Some(_)) => Ok(table.clone()),
        (Some(_), None) => {
            Err(ConvertError::Words("labels belong to a segmentation head; name one".into()))
        }
        (None, None) => Ok(LabelTable::default()),
        (None, Some(classes)) => {
            let label = |index: u8| Label {
                index,
                id: index.into(),
                name: format!("Class {index}"),
                color: numbered_colour(index),
                side: None,
                pair: None,
            };
            // More than 256 classes are refused with the pack's description.
            let last = u8::try_from(classes.saturating_sub(1)).unwrap_or(u8::MAX);
            Ok(LabelTable { labels: (1..=last).map(label).collect() })
        }
    }
}

/// Hues a golden angle apart, so that neighbours differ.
fn numbered_colour(index: u8) -> [u8; 3] {
    let hue = f64::from(index) * 137.508 % 360.0 / 60.0;
    [5.0, 3.0, 1.0].map(|shift| {
        let k: f64 = (shift + hue) % 6.0;
        (235.0 * (1.0 - 0.75 * k.min(4.0 - k).clamp(0.0, 1.0))) as u8
    })
}

/// Compares the pack's dequantised weights with the checkpoint's.
fn rounding(pack: &Pack, tensors: &[NamedTensor]) -> Result<Vec<LayerError>, ConvertError> {
    let mut source = TensorSource::new(pack);
    let mut layers = Vec::new();
    for tensor in tensors.iter().filter(|tensor| is_quantised(&tensor.name, &tensor.shape)) {
        let rounded = source.values(&tensor.name, &tensor.shape)?;
        let (mut error, mut energy, mut largest) = (0.0, 0.0, 0.0_f64);
        for (&value, &rounded) in tensor.values.iter().zip(&rounded) {
            let difference = f64::from(rounded) - f64::from(value);
            error += difference * difference;
            energy += f64::from(value) * f64::from(value);
            largest = largest.max(difference.abs());
        }
        let relative = if energy > 0.0 { (error / energy).sqrt() } else { 0.0 };
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        layers.push(LayerError { name, shape, relative, largest });
    }
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_known_before_weights_are_read() {
        // 512 * 512 * 27 in int8 with 512 scales, a bias of 512 and a head in F32.
        let tensors = [
            ("decoder1.0.weight".to_owned(), vec![512, 512, 3, 3, 3]),
            ("decoder1.0.projector.bias".to_owned(), vec![512]),
            ("out.conv.conv.weight".to_owned(), vec![3, 512, 1, 1, 1]),
        ];
        assert_eq!(packed(&tensors), 7_077_888 + 2_048 + 2_048 + 6_144);
        assert_eq!(fits(&tensors), Ok(()));
        // Nine times the largest convolution of the largest network's decoder, 127 million weights.
        let large = [("decoder5.weight".to_owned(), vec![9 * 1536, 3072, 3, 3, 3])];
        let refused = fits(&large).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("would have 1.15 GB, and at most 1.07 GB"), "{refused}");
    }
}
