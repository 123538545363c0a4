//! The decoder's pack: int8 weights with one scale a row, and its tables, in one
//! safetensors file. Nothing is filled in: what is missing or of another shape is an
//! error.

use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::maps::{MapsInfo, Reader};
use super::network::{Attention, Layer, dot};

/// The schema this version reads.
const SCHEMA: u32 = 1;

/// Largest file in bytes; the pack has half a million.
pub const LARGEST: usize = 8 << 20;

/// A vector of weights.
pub(super) type Vector = Vec<f32>;

/// The decoder's pack cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WordingError {
    /// Too large for a decoder of reports.
    #[error("the file has {0} bytes, more than the {LARGEST} that are read")]
    TooLarge(usize),
    /// Not a safetensors file.
    #[error("the file is not a safetensors file: {0}")]
    Container(String),
    /// No description, or one that does not parse.
    #[error("the description of the report decoder cannot be read: {0}")]
    Description(String),
    /// Written for another version.
    #[error("the report decoder has schema {0}, this version reads schema {SCHEMA}")]
    Schema(u32),
    /// The tensors are not those that were hashed.
    #[error("the report decoder is damaged: its tensors do not match its SHA-256")]
    Hash,
    /// A tensor that is missing or of another shape or type.
    #[error("the report decoder's tensor {0} is missing or of another shape or type")]
    Tensor(String),
}

/// What the pack says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WordingInfo {
    /// Layout version.
    pub schema: u32,
    /// Name for people.
    pub title: String,
    /// Version of the weights.
    pub version: String,
    /// Words; names of structures and measures begin with `n:`.
    pub vocabulary: Vec<String>,
    /// Kinds of findings.
    pub kinds: Vec<String>,
    /// Sides.
    pub sides: Vec<String>,
    /// Sizes and judgements.
    pub sizes: Vec<String>,
    /// Signals.
    pub signals: Vec<String>,
    /// Sections.
    pub sections: Vec<String>,
    /// Channels.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of an attention.
    pub heads: usize,
    /// Channels of the wider block.
    pub hidden: usize,
    /// Most words of a section.
    pub longest: usize,
    /// Most facts of a section.
    pub facts: usize,
    /// The encoder's maps that it reads beside them; `None` where it reads none.
    #[serde(default)]
    pub maps: Option<MapsInfo>,
    /// Data, training.
    #[serde(default)]
    pub provenance: serde_json::Value,
    /// Measured scores.
    #[serde(default)]
    pub scores: serde_json::Value,
    /// SHA-256 of every byte after the header, lower-case hexadecimal.
    pub sha256: String,
}

/// A matrix, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// A matrix of one value.
    #[cfg(test)]
    pub fn filled(rows: usize, columns: usize, value: f32) -> Self {
        Self { columns, values: vec![value; rows * columns] }
    }

    /// A matrix of this shape that says nothing.
    #[cfg(test)]
    pub fn zeroed(&self) -> Self {
        Self { columns: self.columns, values: vec![0.0; self.values.len()] }
    }

    /// The matrix times a column.
    pub fn times(&self, x: &[f32]) -> Vec<f32> {
        self.values.chunks_exact(self.columns).map(|row| dot(row, x)).collect()
    }
}

/// All weights, in floating point.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    pub heads: usize,
    pub token: Matrix,
    pub kind: Matrix,
    pub side: Matrix,
    pub size: Matrix,
    pub signal: Matrix,
    pub section: Matrix,
    pub maps: Option<Reader>,
    pub layers: Vec<Layer>,
    pub norm: (Vector, Vector),
}

/// Reads the pack.
pub(super) fn read(bytes: &[u8]) -> Result<(WordingInfo, Weights), WordingError> {
    if bytes.len() > LARGEST {
        return Err(WordingError::TooLarge(bytes.len()));
    }
    let container =
        |error: safetensors::SafeTensorError| WordingError::Container(error.to_string());
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(container)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(container)?;
    let json = metadata.metadata().as_ref().and_then(|entries| entries.get("prism_wording"));
    let json = json.ok_or_else(|| WordingError::Description("it is not there".into()))?;
    let info: WordingInfo =
        serde_json::from_str(json).map_err(|error| WordingError::Description(error.to_string()))?;
    if info.schema != SCHEMA {
        return Err(WordingError::Schema(info.schema));
    }
    let data = bytes.get(header + 8..).unwrap_or_default();
    let hash: String = Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect();
    if hash != info.sha256 {
        return Err(WordingError::Hash);
    }
    if info.heads == 0 || !info.width.is_multiple_of(info.heads) || info.layers > 16 {
        return Err(WordingError::Description("the sizes do not fit each other".into()));
    }
    let weights = weights(&tensors, &info)?;
    Ok((info, weights))
}

fn weights(tensors: &SafeTensors<'_>, info: &WordingInfo) -> Result<Weights, WordingError> {
    let (width, hidden) = (info.width, info.hidden);
    let matrix = |name: &str, rows: usize, columns: usize| {
        Ok(Matrix { columns, values: values(tensors, name, &[rows, columns])? })
    };
    let norm = |name: &str| {
        let weight = values(tensors, &format!("{name}.weight"), &[width])?;
        Ok((weight, values(tensors, &format!("{name}.bias"), &[width])?))
    };
    let square = |name: &str| matrix(name, width, width);
    let attention = |name: &str| {
        Ok(Attention {
            query: square(&format!("{name}.query.weight"))?,
            key: square(&format!("{name}.key.weight"))?,
            value: square(&format!("{name}.value.weight"))?,
            output: square(&format!("{name}.output.weight"))?,
        })
    };
    let layer = |at: usize| {
        let name = format!("layers.{at}");
        Ok(Layer {
            norms: [
                norm(&format!("{name}.norms.0"))?,
                norm(&format!("{name}.norms.1"))?,
                norm(&format!("{name}.norms.2"))?,
            ],
            words: attention(&format!("{name}.words"))?,
            facts: attention(&format!("{name}.facts"))?,
            widen: matrix(&format!("{name}.widen.weight"), hidden, width)?,
            narrow: matrix(&format!("{name}.narrow.weight"), width, hidden)?,
        })
    };
    let table = |name: &str, rows: &[String]| matrix(name, rows.len(), width);
    let reader = |info: &MapsInfo| -> Result<Reader, WordingError> {
        let (rows, channels) = (info.structures.len(), info.channels);
        Ok(Reader {
            mean: matrix("maps.mean", rows, channels)?,
            deviation: matrix("maps.deviation", rows, channels)?,
            project: matrix("maps.project.weight", width, channels)?,
            structure: matrix("maps.structure.weight", rows, width)?,
        })
    };
    Ok(Weights {
        heads: info.heads,
        token: table("token.weight", &info.vocabulary)?,
        kind: table("fields.kind.weight", &info.kinds)?,
        side: table("fields.side.weight", &info.sides)?,
        size: table("fields.size.weight", &info.sizes)?,
        signal: table("fields.signal.weight", &info.signals)?,
        section: table("section.weight", &info.sections)?,
        maps: info.maps.as_ref().map(reader).transpose()?,
        layers: (0..info.layers).map(layer).collect::<Result<_, WordingError>>()?,
        norm: norm("norm")?,
    })
}

/// A tensor's values: F32, or I8 with a scale for each row.
fn values(
    tensors: &SafeTensors<'_>,
    name: &str,
    shape: &[usize],
) -> Result<Vec<f32>, WordingError> {
    let wrong = || WordingError::Tensor(name.into());
    let tensor = tensors.tensor(name).map_err(|_| wrong())?;
    if tensor.shape() != shape {
        return Err(wrong());
    }
    let floats = |bytes: &[u8]| -> Vec<f32> {
        bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
            .collect()
    };
    let values = match tensor.dtype() {
        Dtype::F32 => floats(tensor.data()),
        Dtype::I8 => {
            let scale = tensors.tensor(&format!("{name}.scale")).map_err(|_| wrong())?;
            let scale = floats(scale.data());
            let columns = shape.iter().skip(1).product::<usize>().max(1);
            if scale.len() != shape[0] {
                return Err(wrong());
            }
            let row = |at: usize| scale[at / columns];
            tensor
                .data()
                .iter()
                .enumerate()
                .map(|(at, byte)| f32::from(byte.cast_signed()) * row(at))
                .collect()
        }
        _ => return Err(wrong()),
    };
    if values.iter().all(|value| value.is_finite()) { Ok(values) } else { Err(wrong()) }
}
