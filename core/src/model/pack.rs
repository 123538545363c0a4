//! Packs: weights and everything needed to use them, in one safetensors file.
//!
//! Convolution and linear weights are int8, symmetric, with one scale per output
//! channel (`NAME` as I8, `NAME.scale` as F32); small tensors are F32. The header's
//! metadata holds one JSON under `prism` ([`PackInfo`]). Nothing is ever filled in:
//! an unknown schema, a missing or extra tensor, a wrong shape or hash is an error.

mod parts;
mod write;

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::{Architecture, HeadConfig, Preprocessing};
use crate::identify::Fits;
use crate::volume::LabelTable;
pub use write::{NamedTensor, Precision, is_quantised, quantise};

/// The schema this version reads.
pub const SCHEMA: u32 = 1;

/// Largest pack in bytes: PRISM-H's encoder in int8 has about 410 MB, and 1.27 GB, more than is
/// read, with a decoder for segmentation.
pub const LARGEST: usize = 1 << 30;

/// A pack cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PackError {
    /// Larger than [`LARGEST`].
    #[error("the pack has {0} bytes, more than the {LARGEST} that are read")]
    TooLarge(usize),
    /// Not a safetensors file.
    #[error("the pack is not a safetensors file: {0}")]
    Container(String),
    /// No `prism` JSON in the header.
    #[error("the file holds no Prism pack: its header has no \"prism\" entry")]
    NoMetadata,
    /// The JSON does not parse.
    #[error("the pack's description cannot be read: {0}")]
    Metadata(String),
    /// Written for another version.
    #[error("the pack has schema {actual}, this version reads schema {SCHEMA}")]
    Schema {
        /// The pack's schema.
        actual: u32,
    },
    /// A network this version cannot build.
    #[error("the pack's network cannot be built: {0}")]
    Architecture(String),
    /// The tensors are not those that were hashed.
    #[error("the pack is damaged: its tensors hash to {actual}, its description says {expected}")]
    Hash {
        /// In the description.
        expected: String,
        /// Of the bytes.
        actual: String,
    },
    /// A tensor the network needs is not there.
    #[error("the pack lacks the tensor {0}")]
    Missing(String),
    /// Tensors the network does not use.
    #[error("the pack holds {} tensor(s) that its network does not use, the first {}", .0.len(), .0.first().map_or("", String::as_str))]
    Extra(Vec<String>),
    /// A tensor of another shape.
    #[error("tensor {name} has shape {actual:?} where the network has {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// The network's.
        expected: Vec<usize>,
        /// The pack's.
        actual: Vec<usize>,
    },
    /// A tensor of another type.
    #[error("tensor {name} has type {actual}, which is neither F32 nor I8 with a scale")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        actual: String,
    },
    /// A weight that is not a number.
    #[error("tensor {0} holds a value that is not a number")]
    NotFinite(String),
}

/// What a pack says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackInfo {
    /// Layout version of this description.
    pub schema: u32,
    /// Short name, as in the file name.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Version of the weights.
    pub version: String,
    /// Geometry.
    pub architecture: Architecture,
    /// From scan to network input.
    pub preprocessing: Preprocessing,
    /// Structures of the segmentation head.
    #[serde(default)]
    pub labels: LabelTable,
    /// Which scans it is for, as [`crate::identify`] tells them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fits: Option<Fits>,
    /// Whether the structures together are one organ, of which a scan holds one: the network
    /// then looks a second time at a window around it, and labels apart from its largest
    /// piece are mistakes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_organ: bool,
    /// Axes (0, 1, 2) of the network's input along which the scan is mirrored: what is decided on is
    /// the mean over all combinations. For a network that was trained with both, and not for sides
    /// of the body. Of a pack for one organ the second look alone is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<usize>,
    /// Data, licences, training.
    #[serde(default)]
    pub provenance: serde_json::Value,
    /// Measured scores.
    #[serde(default)]
    pub scores: serde_json::Value,
    /// SHA-256 of every byte after the header, lower-case hexadecimal.
    pub sha256: String,
}

/// A pack in memory, checked.
#[derive(Clone, Debug)]
pub struct Pack {
    /// The description.
    pub info: PackInfo,
    tensors: BTreeMap<String, Stored>,
}

#[derive(Clone, Debug)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Pack {
    /// Reads and checks a pack.
    ///
    /// # Errors
    /// [`PackError`] naming what is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, PackError> {
        if bytes.len() > LARGEST {
            return Err(PackError::TooLarge(bytes.len()));
        }
        let container =
            |error: safetensors::SafeTensorError| PackError::Container(error.to_string());
        let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(container)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(container)?;
        let json = metadata
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get("prism"))
            .ok_or(PackError::NoMetadata)?;
        let invalid = |error: serde_json::Error| PackError::Metadata(error.to_string());
        let value: serde_json::Value = serde_json::from_str(json).map_err(invalid)?;
        // The schema first: a later one may not parse as this one at all.
        let schema = value.get("schema").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if schema != u64::from(SCHEMA) {
            return Err(PackError::Schema { actual: u32::try_from(schema).unwrap_or(u32::MAX) });
        }
        let info: PackInfo = serde_json::from_value(value).map_err(invalid)?;
        check(&info)?;
        // Eight bytes of length, the header, the tensors.
        let actual = hex(&Sha256::digest(&bytes[8 + header..]));
        if actual != info.sha256 {
            return Err(PackError::Hash { expected: info.sha256, actual });
        }
        let tensors = tensors
            .iter()
            .map(|(name, view)| {
                let stored = Stored {
                    dtype: view.dtype(),
                    shape: view.shape().to_vec(),
                    bytes: view.data().to_vec(),
                };
                (name.to_owned(), stored)
            })
            .collect();
        Ok(Self { info, tensors })
    }

    /// Names and shapes of the tensors, scales left out.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors
            .iter()
            .filter(|(name, _)| !name.ends_with(".scale"))
            .map(|(name, stored)| (name.as_str(), stored.shape.as_slice()))
    }

    /// Number of weights.
    pub fn parameters(&self) -> usize {
        self.tensors().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }
}

fn check(info: &PackInfo) -> Result<(), PackError> {
    let wrong = |what: String| Err(PackError::Architecture(what));
    if let Some(problem) = info.architecture.problem() {
        return wrong(problem);
    }
    let mirrors = &info.mirrors;
    if mirrors.iter().enumerate().any(|(i, axis)| *axis > 2 || mirrors[..i].contains(axis)) {
        return wrong(format!("the axes {mirrors:?} are no different ones of 0, 1, 2"));
    }
    let heads = &info.architecture.heads;
    let segmentations: Vec<usize> = heads.iter().filter_map(HeadConfig::voxel_classes).collect();
    match segmentations[..] {
        [] => {}
        [classes] if !(2..=256).contains(&classes) => {
            return wrong(format!("its segmentation has {classes} classes"));
        }
        [classes] => {
            info.labels.check().map_err(|error| PackError::Metadata(error.to_string()))?;
            let indices: Vec<u8> = info.labels.labels.iter().map(|label| label.index).collect();
            if indices.len() != classes - 1
                || indices.iter().any(|&index| usize::from(index) >= classes)
            {
                return wrong(format!("{classes} classes, {} labels", indices.len()));
            }
        }
        _ => return wrong("more than one segmentation head".into()),
    }
    let levels = info.architecture.encoder.maps().len();
    for head in heads {
        if let HeadConfig::LinearSegmentation { name, maps, .. } = head
            && !(maps.is_sorted_by(|a, b| a < b) && maps.last().is_some_and(|&map| map < levels))
        {
            return wrong(format!("head {name} reads maps {maps:?} of {levels}"));
        }
    }
    let p = &info.preprocessing;
    let multiple = info.architecture.encoder.multiple();
    let smallest = info.architecture.encoder.smallest_side();
    let least = |axis: usize| if p.spacing_mm[axis].is_some() { smallest } else { multiple };
    let wide = |w: usize, axis| w >= least(axis) && w.is_multiple_of(multiple) && w <= 512;
    if p.spacing_mm.iter().flatten().any(|s| !(s.is_finite() && *s >= 0.05 && *s <= 50.0))
        || p.field_mm.is_some_and(|side| !(side.is_finite() && (10.0..=2000.0).contains(&side)))
        || (0..3).any(|axis| !wide(p.window[axis], axis))
        || !(0.0..=0.9).contains(&p.overlap)
    {
        return wrong(format!(
            "spacing {:?} mm, window {:?} voxels, overlap {}",
            p.spacing_mm, p.window, p.overlap
        ));
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hands out a pack's tensors by name and knows at the end which were not asked for.
///
/// Without a pack it hands out zeros and notes what was asked for: that is how the
/// tensors of an architecture are known ([`crate::model::Prism::tensors`]) without
/// stating them a second time.
#[derive(Debug)]
pub struct TensorSource<'a> {
    pack: Option<&'a Pack>,
    left: std::collections::BTreeSet<&'a str>,
    asked: Vec<(String, Vec<usize>)>,
    dtype: DType,
}

impl<'a> TensorSource<'a> {
    /// All tensors of a pack.
    pub fn new(pack: &'a Pack) -> Self {
        let left = pack.tensors.keys().map(String::as_str).collect();
        Self { pack: Some(pack), left, asked: Vec::new(), dtype: DType::F32 }
    }

    /// Zeros under every name.
    pub fn listing() -> TensorSource<'static> {
        let (left, asked) = (Default::default(), Vec::new());
        TensorSource { pack: None, left, asked, dtype: DType::F32 }
    }

    /// Names and shapes that were asked for, in that order.
    pub fn asked(self) -> Vec<(String, Vec<usize>)> {
        self.asked
    }

    /// Precision in which the tensors that follow are kept on the device; vectors always in
    /// single precision.
    pub fn keep_as(&mut self, dtype: DType) {
        self.dtype = dtype;
    }

    /// Takes a tensor, dequantised, onto the device.
    ///
    /// # Errors
    /// [`PackError`] when it is missing, or of another shape or type.
    pub fn take<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        device: &Device,
    ) -> Result<Tensor<D>, PackError> {
        let values = self.values(name, &shape)?;
        Ok(self.bring(values, shape, device))
    }

    /// Values onto the device, kept as [`TensorSource::keep_as`] says.
    fn bring<const D: usize>(
        &self,
        values: Vec<f32>,
        shape: [usize; D],
        device: &Device,
    ) -> Tensor<D> {
        let tensor = Tensor::<D>::from_data(TensorData::new(values, shape), device);
        if D > 1 { tensor.cast(self.dtype) } else { tensor }
    }

    /// Takes a tensor's values, dequantised: `values[o] = q[o] * scale[o]` along the
    /// first axis.
    ///
    /// # Errors
    /// As [`TensorSource::take`].
    pub fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, PackError> {
        let Some(pack) = self.pack else {
            self.asked.push((name.to_owned(), shape.to_vec()));
            return Ok(vec![0.0; shape.iter().product()]);
        };
        let stored = self.stored(pack, name, shape)?;
        let values: Vec<f32> = match stored.dtype {
            Dtype::F32 => floats(&stored.bytes),
            Dtype::I8 => {
                let scales = self.stored(pack, &format!("{name}.scale"), &shape[..1])?;
                if scales.dtype != Dtype::F32 {
                    let actual = format!("{:?}", scales.dtype);
                    return Err(PackError::Type { name: format!("{name}.scale"), actual });
                }
                let per_output = shape[1..].iter().product::<usize>().max(1);
                // Room for all at once: a vector that grows ends up to twice as large, for as
                // long as the tensor lives.
                let mut values = Vec::with_capacity(stored.bytes.len());
                let rows = stored.bytes.chunks_exact(per_output);
                for (scale, row) in floats(&scales.bytes).into_iter().zip(rows) {
                    values.extend(row.iter().map(|&q| f32::from(q.cast_signed()) * scale));
                }
                values
            }
            other => {
                return Err(PackError::Type { name: name.into(), actual: format!("{other:?}") });
            }
        };
        if values.iter().any(|value| !value.is_finite()) {
            return Err(PackError::NotFinite(name.into()));
        }
        Ok(values)
    }

    fn stored(
        &mut self,
        pack: &'a Pack,
        name: &str,
        shape: &[usize],
    ) -> Result<&'a Stored, PackError> {
        let stored = pack.tensors.get(name).ok_or_else(|| PackError::Missing(name.to_owned()))?;
        if stored.shape != shape {
            return Err(PackError::Shape {
                name: name.into(),
                expected: shape.to_vec(),
                actual: stored.shape.clone(),
            });
        }
        self.left.remove(name);
        Ok(stored)
    }

    /// Checks that every tensor was asked for.
    ///
    /// # Errors
    /// [`PackError::Extra`] with those that were not.
    pub fn finish(self) -> Result<(), PackError> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(PackError::Extra(self.left.into_iter().map(str::to_owned).collect()))
        }
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
