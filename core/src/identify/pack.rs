//! A pack of heads: small models on another pack's encoder, in one safetensors file.
//!
//! The header's metadata holds one JSON under `prism_heads` ([`HeadsInfo`]). It names the
//! encoder by name and SHA-256: heads read numbers that mean nothing of any other, so
//! another one is an error. Nothing is filled in: a missing or extra tensor, a wrong shape
//! or hash is an error, too.

mod write;

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::heads::{Head, HeadInfo, HeadKind};
use super::volumes;
use crate::volume::LabelTable;
pub use write::LinearHead;

/// The layout that this version reads.
pub const SCHEMA: u64 = 1;

/// Largest file in bytes.
pub const LARGEST: usize = 64 << 20;

/// Heads cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HeadsError {
    /// Not a file of heads.
    #[error("the file holds no heads of Prism: {0}")]
    Container(String),
    /// The description cannot be read.
    #[error("the heads' description cannot be read: {0}")]
    Metadata(String),
    /// Written for another version.
    #[error("the heads have schema {0}, this version reads schema {SCHEMA}")]
    Schema(u64),
    /// Not the bytes that were hashed.
    #[error("the heads are damaged: their tensors hash to {actual}, not {expected}")]
    Hash {
        /// In the description.
        expected: String,
        /// Of the bytes.
        actual: String,
    },
    /// A tensor is missing, left over, of another shape or type, or holds no numbers.
    #[error("the heads' tensor {name}: {problem}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Trained on the features of another encoder.
    #[error(
        "the heads \"{heads}\" belong to the encoder of {expected}, not to {actual}; use the pack they name, or heads fitted on this one"
    )]
    Encoder {
        /// Name of the heads.
        heads: String,
        /// Name and SHA-256 of their encoder's pack.
        expected: String,
        /// Of the one that is there.
        actual: String,
    },
    /// There is no head of this name.
    #[error("the pack of heads has none called \"{0}\"")]
    Missing(String),
    /// The encoder gives no such vector.
    #[error("the head \"{head}\" reads {expected}, which the encoder does not give")]
    Vector {
        /// The head.
        head: String,
        /// What it reads.
        expected: String,
    },
    /// A head reads the volume of a structure that the pack does not label.
    #[error(
        "the head \"{head}\" reads the volume of structure {id}, which the pack does not label; use the pack that the heads name"
    )]
    Structure {
        /// The head.
        head: String,
        /// Number of the structure in files.
        id: u16,
    },
    /// A head that gives a number was asked for a class, or the other way round.
    #[error("the head \"{0}\" does not give what it was asked for")]
    Kind(String),
}

/// The pack whose encoder the heads read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderName {
    /// Name of the pack.
    pub name: String,
    /// SHA-256 of its tensors.
    pub sha256: String,
}

/// What a pack of heads says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadsInfo {
    /// Layout version.
    pub schema: u64,
    /// Short name.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// Version of the weights.
    pub version: String,
    /// Whose encoder they read.
    pub encoder: EncoderName,
    /// From this longest side of the field of view on, in mm, a head is a whole one.
    pub whole_head_mm: f64,
    /// The heads.
    pub heads: Vec<HeadInfo>,
    /// Data, licences, training.
    #[serde(default)]
    pub provenance: serde_json::Value,
    /// Measured scores.
    #[serde(default)]
    pub scores: serde_json::Value,
    /// SHA-256 of every byte after the header.
    pub sha256: String,
}

/// Heads in memory, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadsPack {
    /// The description.
    pub info: HeadsInfo,
    heads: Vec<Head>,
}

impl HeadsPack {
    /// Reads and checks a pack of heads.
    ///
    /// # Errors
    /// [`HeadsError`] naming what is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, HeadsError> {
        let container = |error: String| HeadsError::Container(error);
        if bytes.len() > LARGEST {
            return Err(container(format!("{} bytes are more than {LARGEST}", bytes.len())));
        }
        let (header, metadata) =
            SafeTensors::read_metadata(bytes).map_err(|error| container(error.to_string()))?;
        let json = metadata
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get("prism_heads"))
            .ok_or_else(|| container("its header has no \"prism_heads\" entry".into()))?;
        let invalid = |error: serde_json::Error| HeadsError::Metadata(error.to_string());
        let value: serde_json::Value = serde_json::from_str(json).map_err(invalid)?;
        let schema = value.get("schema").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if schema != SCHEMA {
            return Err(HeadsError::Schema(schema));
        }
        let info: HeadsInfo = serde_json::from_value(value).map_err(invalid)?;
        let digest = Sha256::digest(&bytes[8 + header..]);
        let actual: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if actual != info.sha256 {
            return Err(HeadsError::Hash { expected: info.sha256, actual });
        }
        let mut tensors = Tensors::of(bytes)?;
        let heads = info
            .heads
            .iter()
            .map(|head| tensors.head(head))
            .collect::<Result<Vec<_>, HeadsError>>()?;
        tensors.finish()?;
        Ok(Self { info, heads })
    }

    /// The head of a name.
    ///
    /// # Errors
    /// [`HeadsError::Missing`].
    pub fn head(&self, name: &str) -> Result<&Head, HeadsError> {
        let found = self.heads.iter().find(|head| head.info.name == name);
        found.ok_or_else(|| HeadsError::Missing(name.to_owned()))
    }

    /// Checks that a pack's encoder is the one whose features the heads know.
    ///
    /// # Errors
    /// [`HeadsError::Encoder`].
    pub fn check_encoder(&self, name: &str, sha256: &str) -> Result<(), HeadsError> {
        let wanted = &self.info.encoder;
        if wanted.sha256 == sha256 {
            return Ok(());
        }
        let short =
            |name: &str, sha: &str| format!("\"{name}\" ({})", sha.get(..12).unwrap_or(sha));
        Err(HeadsError::Encoder {
            heads: self.info.name.clone(),
            expected: short(&wanted.name, &wanted.sha256),
            actual: short(name, sha256),
        })
    }

    /// Checks that a pack labels the structures whose volumes heads read.
    ///
    /// # Errors
    /// [`HeadsError::Structure`].
    pub fn check_structures(&self, table: &LabelTable) -> Result<(), HeadsError> {
        for Head { info, .. } in &self.heads {
            let labelled = |id: u16| table.labels.iter().any(|label| label.id == id);
            if let Some(id) = volumes::structures(info).into_iter().find(|&id| !labelled(id)) {
                return Err(HeadsError::Structure { head: info.name.clone(), id });
            }
        }
        Ok(())
    }
}

/// Tensors by name with their shapes, taken one by one.
struct Tensors(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Tensors {
    fn of(bytes: &[u8]) -> Result<Self, HeadsError> {
        let found = SafeTensors::deserialize(bytes)
            .map_err(|error| HeadsError::Container(error.to_string()))?;
        let mut all = BTreeMap::new();
        for (name, view) in found.iter() {
            let wrong = |problem: &str| HeadsError::Tensor {
                name: name.to_owned(),
                problem: problem.to_owned(),
            };
            if view.dtype() != Dtype::F32 {
                return Err(wrong("is not F32"));
            }
            let values: Vec<f32> = view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            if values.iter().any(|value| !value.is_finite()) {
                return Err(wrong("holds a value that is not a number"));
            }
            all.insert(name.to_owned(), (view.shape().to_vec(), values));
        }
        Ok(Self(all))
    }

    /// Takes a tensor; a `None` in the shape may be any number.
    fn take(
        &mut self,
        name: &str,
        expected: &[Option<usize>],
    ) -> Result<(Vec<usize>, Vec<f32>), HeadsError> {
        let wrong = |problem: String| HeadsError::Tensor { name: name.to_owned(), problem };
        let (shape, values) = self.0.remove(name).ok_or_else(|| wrong("is missing".into()))?;
        let fits = shape.len() == expected.len()
            && shape.iter().zip(expected).all(|(&side, want)| want.is_none_or(|w| w == side));
        if fits { Ok((shape, values)) } else { Err(wrong(format!("has shape {shape:?}"))) }
    }

    fn head(&mut self, info: &HeadInfo) -> Result<Head, HeadsError> {
        let name = |part: &str| format!("heads.{}.{part}", info.name);
        let outputs = info.outputs.len();
        let (shape, weight) = self.take(&name("weight"), &[Some(outputs), None])?;
        let inputs = shape[1];
        volumes::check(info, inputs)?;
        let (_, bias) = self.take(&name("bias"), &[Some(outputs)])?;
        let (_, mean) = self.take(&name("mean"), &[Some(inputs)])?;
        let (_, deviation) = self.take(&name("deviation"), &[Some(inputs)])?;
        if deviation.iter().any(|&value| value <= 0.0) {
            let problem = "holds a deviation that is not above zero".into();
            return Err(HeadsError::Tensor { name: name("deviation"), problem });
        }
        let judges = matches!(info.kind, HeadKind::Classification { most_distance: Some(_), .. });
        let (whitening, centres) = if judges {
            let (shape, whitening) = self.take(&name("whitening"), &[None, Some(inputs)])?;
            let (_, centres) = self.take(&name("centres"), &[None, Some(shape[0])])?;
            (whitening, centres)
        } else {
            (Vec::new(), Vec::new())
        };
        Ok(Head { info: info.clone(), weight, bias, mean, deviation, whitening, centres })
    }

    fn finish(self) -> Result<(), HeadsError> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(HeadsError::Tensor { name, problem: "belongs to no head".into() }),
        }
    }
}
