//! Building and writing packs: the same rules as `training/quantise.py` and
//! `training/pack.py`, which write the packs that ship.

use std::collections::{BTreeMap, HashMap};

use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};
use sha2::{Digest, Sha256};

use super::{Pack, PackError, PackInfo, Stored, check, hex};
use crate::model::Prism;

/// Smaller tensors stay F32.
const SMALLEST_QUANTISED: usize = 1024;

/// Segmentation heads: of packs made here, and of MONAI's SwinUNETR.
const SEGMENTATION: [&str; 2] = ["heads.segmentation.", "out.conv."];

/// A tensor by name, in full precision.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Its name in the pack.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, last axis fastest.
    pub values: Vec<f32>,
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// As packs ship: int8 where [`is_quantised`], F32 elsewhere.
    Int8,
    /// Everything F32, to compare with.
    Float32,
}

/// Whether a pack stores this tensor as int8: at least two axes and 1024 values, and
/// not the segmentation head, whose rounding would move the border between classes.
pub fn is_quantised(name: &str, shape: &[usize]) -> bool {
    shape.len() >= 2
        && shape.iter().product::<usize>() >= SMALLEST_QUANTISED
        && !SEGMENTATION.iter().any(|head| name.starts_with(head))
}

/// Symmetric int8 with one scale per output (first axis): `scale = max |row| / 127`,
/// `q = round(row / scale)`, halves to even; a row of zeros has scale 1.
pub fn quantise(values: &[f32], outputs: usize) -> (Vec<i8>, Vec<f32>) {
    let per_output = (values.len() / outputs.max(1)).max(1);
    let mut quantised = Vec::with_capacity(values.len());
    let mut scales = Vec::with_capacity(outputs);
    for row in values.chunks_exact(per_output) {
        let peak = row.iter().fold(0.0_f32, |peak, value| peak.max(value.abs()));
        let scale = if peak > 0.0 { peak / 127.0 } else { 1.0 };
        scales.push(scale);
        quantised.extend(
            row.iter().map(|value| (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8),
        );
    }
    (quantised, scales)
}

impl Pack {
    /// A pack in memory. `info.sha256` is set here, whatever it held.
    ///
    /// # Errors
    /// [`PackError`] when the description contradicts itself, a value is not a finite
    /// number, or values and shape of a tensor disagree.
    pub fn build(
        info: PackInfo,
        tensors: Vec<NamedTensor>,
        precision: Precision,
    ) -> Result<Self, PackError> {
        check(&info)?;
        let mut stored = BTreeMap::new();
        for NamedTensor { name, shape, values } in tensors {
            if values.len() != shape.iter().product::<usize>() {
                let actual = vec![values.len()];
                return Err(PackError::Shape { name, expected: shape, actual });
            }
            if values.iter().any(|value| !value.is_finite()) {
                return Err(PackError::NotFinite(name));
            }
            if precision == Precision::Int8 && is_quantised(&name, &shape) {
                let (quantised, scales) = quantise(&values, shape[0]);
                stored.insert(format!("{name}.scale"), floats(vec![shape[0]], &scales));
                let bytes = quantised.into_iter().map(i8::cast_unsigned).collect();
                stored.insert(name, Stored { dtype: Dtype::I8, shape, bytes });
            } else {
                stored.insert(name, floats(shape, &values));
            }
        }
        let mut pack = Self { info, tensors: stored };
        pack.seal()?;
        Ok(pack)
    }

    /// A pack with the same encoder and other heads: `tensors` come, all F32, and of its
    /// own stay those that the new architecture wants. `info.sha256` is set here.
    ///
    /// # Errors
    /// As [`Pack::build`].
    pub fn with_heads(&self, info: PackInfo, tensors: Vec<NamedTensor>) -> Result<Self, PackError> {
        let mut pack = Self::build(info, tensors, Precision::Float32)?;
        for (name, _) in Prism::tensors(&pack.info.architecture)? {
            for name in [format!("{name}.scale"), name] {
                if let (false, Some(stored)) =
                    (pack.tensors.contains_key(&name), self.tensors.get(&name))
                {
                    pack.tensors.insert(name, stored.clone());
                }
            }
        }
        pack.seal()?;
        Ok(pack)
    }

    /// Sets `info.sha256` to that of the tensors.
    fn seal(&mut self) -> Result<(), PackError> {
        let bytes = serialise(&self.tensors, None)?;
        self.info.sha256 = hex(&Sha256::digest(&bytes[data_start(&bytes)..]));
        Ok(())
    }

    /// The pack as a file, which [`Pack::read`] reads.
    ///
    /// # Errors
    /// [`PackError::Container`] or [`PackError::Metadata`] when it cannot be written,
    /// [`PackError::TooLarge`] when it could not be read again.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PackError> {
        let json = serde_json::to_string(&self.info)
            .map_err(|error| PackError::Metadata(error.to_string()))?;
        let bytes = serialise(&self.tensors, Some(HashMap::from([("prism".to_owned(), json)])))?;
        if bytes.len() > super::LARGEST {
            return Err(PackError::TooLarge(bytes.len()));
        }
        Ok(bytes)
    }
}

fn floats(shape: Vec<usize>, values: &[f32]) -> Stored {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Stored { dtype: Dtype::F32, shape, bytes }
}

fn serialise(
    tensors: &BTreeMap<String, Stored>,
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>, PackError> {
    let container = |error: safetensors::SafeTensorError| PackError::Container(error.to_string());
    let views = tensors
        .iter()
        .map(|(name, t)| Ok((name, TensorView::new(t.dtype, t.shape.clone(), &t.bytes)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(container)?;
    serialize(views, metadata).map_err(container)
}

/// First byte after a safetensors header: eight bytes of length, then the header.
fn data_start(bytes: &[u8]) -> usize {
    let length = bytes.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length));
    usize::try_from(length).unwrap_or(0).saturating_add(8).min(bytes.len())
}
