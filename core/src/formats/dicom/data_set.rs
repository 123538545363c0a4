//! Values of a DICOM data set's elements as text and numbers.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_encoding::text::{SpecificCharacterSet, TextCodec};

use super::elements::Encoding;

/// Longest text that is looked at.
const MOST_TEXT: usize = 4096;

/// Value of an element.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Bytes(&'a [u8]),
    /// Items of a sequence.
    Items(Vec<DataSet<'a>>),
    /// Encapsulated pixel data: the offset table, then the fragments.
    Fragments(Vec<&'a [u8]>),
}

/// The wanted elements of a data set, in file order.
#[derive(Debug)]
pub(super) struct DataSet<'a> {
    pub(super) elements: Vec<(Tag, VR, Value<'a>)>,
    pub(super) encoding: Encoding,
}

impl<'a> DataSet<'a> {
    /// The value of an element.
    pub(super) fn value(&self, tag: Tag) -> Option<&Value<'a>> {
        self.elements.iter().find(|(t, ..)| *t == tag).map(|(.., value)| value)
    }

    /// Value representation of an element.
    pub(super) fn vr(&self, tag: Tag) -> Option<VR> {
        self.elements.iter().find(|(t, ..)| *t == tag).map(|&(_, vr, _)| vr)
    }

    /// Whether numbers are big-endian.
    pub(super) fn big_endian(&self) -> bool {
        self.encoding == Encoding::ExplicitBig
    }

    /// Items of a sequence; none where it is missing.
    pub(super) fn items(&self, tag: Tag) -> &[DataSet<'a>] {
        match self.value(tag) {
            Some(Value::Items(items)) => items,
            _ => &[],
        }
    }

    fn bytes(&self, tag: Tag) -> Option<(VR, &'a [u8])> {
        self.elements.iter().find(|(t, ..)| *t == tag).and_then(|(_, vr, value)| match value {
            Value::Bytes(bytes) => Some((*vr, *bytes)),
            _ => None,
        })
    }

    /// Text in the data set's character set, without padding and control characters.
    pub(super) fn text(&self, tag: Tag) -> Option<String> {
        let (_, bytes) = self.bytes(tag)?;
        let bytes = &bytes[..bytes.len().min(MOST_TEXT)];
        let set = self
            .bytes(tags::SPECIFIC_CHARACTER_SET)
            .and_then(|(_, code)| {
                let code = String::from_utf8_lossy(code);
                let first = code.split('\\').map(str::trim).find(|code| !code.is_empty())?;
                SpecificCharacterSet::from_code(first.trim_end_matches('\0'))
            })
            .unwrap_or_default();
        let text =
            set.decode(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned());
        let words: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|w| !w.is_empty())
            .collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// Numbers, whatever they are stored as; those that are no finite numbers are left out.
    pub(super) fn numbers(&self, tag: Tag) -> Vec<f64> {
        let Some((vr, bytes)) = self.bytes(tag) else { return Vec::new() };
        let bytes = &bytes[..bytes.len().min(MOST_TEXT)];
        macro_rules! binary {
            ($number:ty) => {
                bytes
                    .as_chunks::<{ size_of::<$number>() }>()
                    .0
                    .iter()
                    .map(|&number| {
                        if self.big_endian() {
                            <$number>::from_be_bytes(number) as f64
                        } else {
                            <$number>::from_le_bytes(number) as f64
                        }
                    })
                    .filter(|number: &f64| number.is_finite())
                    .collect()
            };
        }
        match vr {
            VR::US => binary!(u16),
            VR::SS => binary!(i16),
            VR::UL => binary!(u32),
            VR::SL => binary!(i32),
            VR::FL => binary!(f32),
            VR::FD => binary!(f64),
            _ => String::from_utf8_lossy(bytes)
                .split('\\')
                .filter_map(|number| number.trim_matches([' ', '\0']).parse().ok())
                .filter(|number: &f64| number.is_finite())
                .collect(),
        }
    }

    /// The first number.
    pub(super) fn number(&self, tag: Tag) -> Option<f64> {
        self.numbers(tag).first().copied()
    }

    /// The first number as a count.
    pub(super) fn count(&self, tag: Tag) -> Option<usize> {
        self.number(tag).filter(|number| *number >= 0.0).map(|number| number as usize)
    }

    /// `N` numbers, where there are as many.
    pub(super) fn vector<const N: usize>(&self, tag: Tag) -> Option<[f64; N]> {
        self.numbers(tag).get(..N)?.try_into().ok()
    }
}
