//! Checkpoint files: PyTorch (zip, legacy, tar) and safetensors, as named tensors.
//!
//! No Python runs and no pickle code is executed: `pytorch-reader` interprets the
//! handful of calls that rebuild tensors and keeps every other call as a name. A file
//! that carries a call which no weights need is refused all the same, because
//! whoever made it meant harm to the next reader.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use pytorch_reader::{DType, PickleValue, PytorchReader};
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use super::ConvertError;

/// Dictionaries that training scripts put the weights in.
const CONTAINERS: [&str; 3] = ["state_dict.", "model_state_dict.", "model."];

/// What wrappers put before every name (`DataParallel`, `torch.compile`).
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// Python modules whose classes training scripts leave in checkpoints.
const HARMLESS: [&str; 7] =
    ["torch", "numpy", "collections", "argparse", "pathlib", "datetime", "_codecs"];

/// Where Python keeps its own types and functions: the name today, and that in old protocols.
const BUILTINS: [&str; 2] = ["builtins", "__builtin__"];

/// What of [`BUILTINS`] is plain data, the old names of int, str and range with them. Nothing
/// else of it is harmless (`eval`, `getattr`).
const PLAIN: [&str; 17] = [
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "long",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
    "unicode",
    "xrange",
];

/// A checkpoint, opened; weights are read one by one.
#[derive(Debug)]
pub struct Checkpoint {
    /// Name of the file, without folders.
    pub file_name: String,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Tensors by name, without containers and wrappers.
    pub tensors: BTreeMap<String, Entry>,
}

/// A tensor of a checkpoint.
#[derive(Debug)]
pub struct Entry {
    /// Its shape.
    pub shape: Vec<usize>,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Pytorch(pytorch_reader::Tensor),
    Safetensors { file: Arc<Vec<u8>>, start: usize, end: usize, element: Dtype },
}

/// How an element lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    Other,
}

impl Checkpoint {
    /// Opens a file of either kind.
    ///
    /// # Errors
    /// [`ConvertError`] when it cannot be read, is neither kind, is cut short, or calls
    /// code.
    pub fn open(path: &Path) -> Result<Self, ConvertError> {
        let unreadable = |error: std::io::Error| ConvertError::Unreadable(error.to_string());
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (sha256, bytes, start) = digest(path).map_err(unreadable)?;
        let named = if is_safetensors(&start) { safetensors(path)? } else { pytorch(path)? };
        if named.is_empty() {
            return Err(ConvertError::Empty);
        }
        Ok(Self { file_name, sha256, bytes, tensors: unwrapped(named)? })
    }
}

impl Entry {
    /// The values as f32.
    ///
    /// # Errors
    /// [`ConvertError`] when they are no floating-point numbers or cannot be read.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>, ConvertError> {
        let bytes = self.bytes(name)?;
        let values = match self.element() {
            Element::F64 => elements(&bytes, |b| f64::from_le_bytes(b) as f32),
            Element::F32 => elements(&bytes, f32::from_le_bytes),
            Element::F16 => elements(&bytes, |b| half::f16::from_le_bytes(b).to_f32()),
            Element::Bf16 => elements(&bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
            _ => return Err(self.wrong_type(name)),
        };
        Ok(values)
    }

    /// The values as integers.
    ///
    /// # Errors
    /// [`ConvertError`] when they are no integers or cannot be read.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, ConvertError> {
        let bytes = self.bytes(name)?;
        match self.element() {
            Element::I64 => Ok(elements(&bytes, i64::from_le_bytes)),
            Element::I32 => Ok(elements(&bytes, |b| i64::from(i32::from_le_bytes(b)))),
            _ => Err(self.wrong_type(name)),
        }
    }

    /// Whether two tensors hold the same values in the same form.
    ///
    /// # Errors
    /// [`ConvertError`] when one cannot be read.
    pub fn same_as(&self, other: &Self, name: &str) -> Result<bool, ConvertError> {
        let alike = self.shape == other.shape && self.element() == other.element();
        Ok(alike && self.bytes(name)? == other.bytes(name)?)
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, ConvertError> {
        let unreadable = |why: String| ConvertError::Tensor { name: name.to_owned(), why };
        match &self.data {
            Data::Pytorch(tensor) => tensor.read().map_err(|error| unreadable(error.to_string())),
            Data::Safetensors { file, start, end, .. } => file
                .get(*start..*end)
                .map(<[u8]>::to_vec)
                .ok_or_else(|| unreadable("the file ends before it".into())),
        }
    }

    fn element(&self) -> Element {
        match &self.data {
            Data::Pytorch(tensor) => match tensor.dtype() {
                DType::F64 => Element::F64,
                DType::F32 => Element::F32,
                DType::F16 => Element::F16,
                DType::BF16 => Element::Bf16,
                DType::I64 => Element::I64,
                DType::I32 => Element::I32,
                _ => Element::Other,
            },
            Data::Safetensors { element, .. } => match element {
                Dtype::F64 => Element::F64,
                Dtype::F32 => Element::F32,
                Dtype::F16 => Element::F16,
                Dtype::BF16 => Element::Bf16,
                Dtype::I64 => Element::I64,
                Dtype::I32 => Element::I32,
                _ => Element::Other,
            },
        }
    }

    fn wrong_type(&self, name: &str) -> ConvertError {
        let actual = match &self.data {
            Data::Pytorch(tensor) => format!("{:?}", tensor.dtype()),
            Data::Safetensors { element, .. } => format!("{element:?}"),
        };
        let why = format!("elements of type {actual} are no weights");
        ConvertError::Tensor { name: name.to_owned(), why }
    }
}

fn elements<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (elements, _) = bytes.as_chunks::<N>();
    elements.iter().map(|&element| value(element)).collect()
}

/// SHA-256, length and first bytes of a file, read in pieces.
fn digest(path: &Path) -> std::io::Result<(String, u64, Vec<u8>)> {
    let mut file = File::open(path)?;
    let (mut hash, mut length) = (Sha256::new(), 0_u64);
    let mut start = Vec::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        if start.is_empty() {
            start = piece[..read.min(16)].to_vec();
        }
        hash.update(&piece[..read]);
        length += read as u64;
    }
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((sha256, length, start))
}

/// Eight bytes of length, then JSON.
fn is_safetensors(start: &[u8]) -> bool {
    start.get(8) == Some(&b'{') && start[4..8] == [0; 4]
}

fn safetensors(path: &Path) -> Result<Vec<(String, Entry)>, ConvertError> {
    let bytes = std::fs::read(path).map_err(|error| ConvertError::Unreadable(error.to_string()))?;
    let file = Arc::new(bytes);
    let invalid = |error: safetensors::SafeTensorError| ConvertError::Container(error.to_string());
    let (header, metadata) = SafeTensors::read_metadata(&file).map_err(invalid)?;
    // Checks that the tensors fill the file; the offsets are then good.
    SafeTensors::deserialize(&file).map_err(invalid)?;
    let entry = |(name, info): (String, &safetensors::tensor::TensorInfo)| {
        let (start, end) = info.data_offsets;
        let (start, end) = (8 + header + start, 8 + header + end);
        let data = Data::Safetensors { file: Arc::clone(&file), start, end, element: info.dtype };
        (name, Entry { shape: info.shape.clone(), data })
    };
    Ok(metadata.tensors().into_iter().map(entry).collect())
}

fn pytorch(path: &Path) -> Result<Vec<(String, Entry)>, ConvertError> {
    let invalid = |error: pytorch_reader::PytorchError| ConvertError::Container(error.to_string());
    let reader = PytorchReader::new(path).map_err(invalid)?;
    let rest = PytorchReader::read_pickle_data(path, None).map_err(invalid)?;
    if let Some(call) = foreign(&rest) {
        return Err(ConvertError::Code(call.to_owned()));
    }
    let entry = |(name, tensor): (String, pytorch_reader::Tensor)| {
        (name, Entry { shape: tensor.shape().to_vec(), data: Data::Pytorch(tensor) })
    };
    Ok(reader.into_tensors().into_iter().map(entry).collect())
}

/// First Python object in a pickle that is neither plain data nor of a harmless module.
fn foreign(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::Unsupported(name) => {
            let harmless = match name.split_once('.') {
                // The reader's own word for a value (a wide integer).
                None => true,
                Some((module, of)) if BUILTINS.contains(&module) => PLAIN.contains(&of),
                Some((module, _)) => HARMLESS.contains(&module),
            };
            (!harmless).then_some(name)
        }
        PickleValue::List(values) => values.iter().find_map(foreign),
        PickleValue::Dict(entries) => entries.values().find_map(foreign),
        _ => None,
    }
}

/// Names without container and wrappers. Where there is a container, what lies beside
/// it (the optimiser's state) is left.
fn unwrapped(named: Vec<(String, Entry)>) -> Result<BTreeMap<String, Entry>, ConvertError> {
    let container =
        CONTAINERS.into_iter().find(|&c| named.iter().any(|(name, _)| name.starts_with(c)));
    let mut tensors = BTreeMap::new();
    for (name, entry) in named {
        let mut short = match container {
            None => name.as_str(),
            Some(container) => match name.strip_prefix(container) {
                Some(short) => short,
                None => continue,
            },
        };
        while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| short.strip_prefix(wrapper)) {
            short = rest;
        }
        if tensors.insert(short.to_owned(), entry).is_some() {
            return Err(ConvertError::Twice(short.to_owned()));
        }
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_python_has_built_in_only_plain_data_is_harmless() {
        let object = |name: &str| PickleValue::Unsupported(name.to_owned());
        for module in BUILTINS {
            for name in PLAIN {
                assert_eq!(foreign(&object(&format!("{module}.{name}"))), None);
            }
            for name in ["eval", "exec", "getattr", "compile", "type", "object", "str.format"] {
                let name = format!("{module}.{name}");
                let within = PickleValue::List(vec![PickleValue::None, object(&name)]);
                assert_eq!(foreign(&within), Some(name.as_str()));
            }
        }
        assert_eq!(foreign(&object("numpy.core.multiarray.scalar")), None);
        assert_eq!(foreign(&object("set.builtins")), Some("set.builtins"));
    }
}
