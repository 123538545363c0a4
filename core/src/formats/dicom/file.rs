//! One DICOM file: where its data set begins and how it and its pixels are written.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::DeflateDecoder;

use super::data_set::DataSet;
use super::elements::{self, Encoding, Problem};
use crate::formats::{FormatError, InputFile, gzip};

/// Most bytes a deflated data set may unpack to.
const MOST_INFLATED: u64 = 256 << 20;

/// How pixels are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Raw,
    Rle,
    Jpeg,
    JpegLs,
    Jpeg2000,
    /// No decoder here.
    Unsupported,
}

/// A transfer syntax (PS3.5, chapter 10 and annex A).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    pub(super) uid: String,
    pub(super) encoding: Encoding,
    pub(super) codec: Codec,
    pub(super) encapsulated: bool,
    deflated: bool,
}

impl Syntax {
    fn of(uid: &str) -> Self {
        let (encoding, codec, encapsulated) = match uid {
            "1.2.840.10008.1.2" => (Encoding::ImplicitLittle, Codec::Raw, false),
            "1.2.840.10008.1.2.1" | "1.2.840.10008.1.2.1.99" => {
                (Encoding::ExplicitLittle, Codec::Raw, false)
            }
            "1.2.840.10008.1.2.2" => (Encoding::ExplicitBig, Codec::Raw, false),
            "1.2.840.10008.1.2.1.98" => (Encoding::ExplicitLittle, Codec::Raw, true),
            "1.2.840.10008.1.2.5" => (Encoding::ExplicitLittle, Codec::Rle, true),
            "1.2.840.10008.1.2.4.50"
            | "1.2.840.10008.1.2.4.51"
            | "1.2.840.10008.1.2.4.57"
            | "1.2.840.10008.1.2.4.70" => (Encoding::ExplicitLittle, Codec::Jpeg, true),
            "1.2.840.10008.1.2.4.80" | "1.2.840.10008.1.2.4.81" => {
                (Encoding::ExplicitLittle, Codec::JpegLs, true)
            }
            "1.2.840.10008.1.2.4.90" | "1.2.840.10008.1.2.4.91" => {
                (Encoding::ExplicitLittle, Codec::Jpeg2000, true)
            }
            _ => (Encoding::ExplicitLittle, Codec::Unsupported, true),
        };
        let deflated = uid == "1.2.840.10008.1.2.1.99";
        Self { uid: uid.into(), encoding, codec, encapsulated, deflated }
    }

    /// Whether the file holds the address of its pixels in their place.
    fn on_a_server(&self) -> bool {
        matches!(
            self.uid.as_str(),
            "1.2.840.10008.1.2.4.94"
                | "1.2.840.10008.1.2.4.95"
                | "1.2.840.10008.1.2.4.204"
                | "1.2.840.10008.1.2.4.205"
        )
    }

    /// The error for pixels that cannot be unpacked here.
    pub(super) fn unsupported(&self) -> FormatError {
        let title = match self.uid.as_str() {
            "1.2.840.10008.1.2.4.51" => "JPEG with 12 bits",
            "1.2.840.10008.1.2.4.92" | "1.2.840.10008.1.2.4.93" => {
                "JPEG 2000 with several components"
            }
            "1.2.840.10008.1.2.4.201" | "1.2.840.10008.1.2.4.202" | "1.2.840.10008.1.2.4.203" => {
                "High-Throughput JPEG 2000"
            }
            "1.2.840.10008.1.2.4.110" | "1.2.840.10008.1.2.4.111" | "1.2.840.10008.1.2.4.112" => {
                "JPEG XL"
            }
            uid if uid.starts_with("1.2.840.10008.1.2.4.10") => "MPEG video",
            _ if self.on_a_server() => "references to a server (JPIP)",
            _ => "a rare or private transfer syntax",
        };
        FormatError::TransferSyntax {
            title: title.into(),
            uid: self.uid.clone(),
            advice: "Export the series uncompressed, or convert it first (dcmdjpeg of DCMTK, or gdcmconv --raw).",
        }
    }
}

/// A file's data set, not yet parsed; borrowed unless it had to be inflated.
pub(super) struct Body<'a> {
    pub(super) syntax: Syntax,
    bytes: Cow<'a, [u8]>,
}

impl Body<'_> {
    /// Bytes that inflating took.
    pub(super) fn inflated(&self) -> u64 {
        match &self.bytes {
            Cow::Borrowed(_) => 0,
            Cow::Owned(bytes) => bytes.len() as u64,
        }
    }

    /// Parses the data set.
    ///
    /// # Errors
    /// [`FormatError::Truncated`], [`FormatError::Damaged`].
    pub(super) fn data_set(&self, name: &str) -> Result<DataSet<'_>, FormatError> {
        elements::read(&self.bytes, self.syntax.encoding).map_err(|problem| match problem {
            Problem::Truncated { expected, actual } => {
                FormatError::Truncated { what: "DICOM file", expected, actual, name: name.into() }
            }
            Problem::Malformed(reason) => FormatError::Damaged {
                what: "DICOM file",
                reason: reason.into(),
                name: name.into(),
            },
        })
    }
}

/// Finds the data set: behind preamble and meta group, behind the meta group alone, or from
/// the first byte on (files from before 1993 and some scanners' exports).
///
/// # Errors
/// [`FormatError::Damaged`] and [`FormatError::TooLarge`] for deflated data sets,
/// [`FormatError::TransferSyntax`] for pixels that are not in the file.
pub(super) fn open(file: &InputFile) -> Result<Body<'_>, FormatError> {
    let bytes = file.bytes.as_slice();
    let start = if bytes.get(128..132) == Some(b"DICM") { 132 } else { 0 };
    let (uid, at) = elements::meta(bytes, start);
    let rest = bytes.get(at..).unwrap_or_default();
    let mut syntax = Syntax::of(&uid.unwrap_or_else(|| guess(rest).into()));
    if syntax.on_a_server() {
        return Err(syntax.unsupported());
    }
    if syntax.encoding != Encoding::ExplicitBig && !syntax.deflated {
        // Converters change the syntax in the meta group and not the data set, or the other way
        // round; private syntaxes may be either. The first element shows which it is.
        syntax.encoding = Syntax::of(guess(rest)).encoding;
    }
    if !syntax.deflated {
        return Ok(Body { syntax, bytes: Cow::Borrowed(rest) });
    }
    let most = gzip::most_unpacked(rest.len()).min(MOST_INFLATED);
    let mut inflated = Vec::new();
    DeflateDecoder::new(rest).take(most + 1).read_to_end(&mut inflated).map_err(|error| {
        FormatError::Damaged {
            what: "deflated DICOM file",
            reason: error.to_string(),
            name: file.base_name().into(),
        }
    })?;
    if inflated.len() as u64 > most {
        return Err(FormatError::TooLarge {
            what: "deflated DICOM file",
            expected: format!("{} MiB", MOST_INFLATED >> 20),
            actual: "more".into(),
            name: file.base_name().into(),
        });
    }
    Ok(Body { syntax, bytes: Cow::Owned(inflated) })
}

/// Without a meta group: explicit where two letters stand at the value representation's place.
fn guess(bytes: &[u8]) -> &'static str {
    match bytes.get(4..6) {
        Some([a, b]) if a.is_ascii_uppercase() && b.is_ascii_uppercase() => "1.2.840.10008.1.2.1",
        _ => "1.2.840.10008.1.2",
    }
}
