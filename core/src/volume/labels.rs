//! Label tables: what each index of a [`super::LabelMap`] stands for.

use serde::{Deserialize, Serialize};

/// Side of the body a structure lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The patient's left.
    Left,
    /// The patient's right.
    Right,
}

/// Okabe and Ito's palette, for all kinds of sight.
const CLASS_COLORS: [[u8; 3]; 7] = [
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [213, 94, 0],
    [204, 121, 167],
];

/// Colour of the class in turn, for labels that have none of their own.
pub fn class_color(turn: usize) -> [u8; 3] {
    CLASS_COLORS[turn % CLASS_COLORS.len()]
}

/// One structure of a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Channel of the network and value in a [`super::LabelMap`]; 0 is background.
    pub index: u8,
    /// Number in files: for the brain, the FreeSurfer id.
    pub id: u16,
    /// Name in files: for the brain, the FreeSurfer name.
    pub name: String,
    /// Red, green, blue.
    pub color: [u8; 3],
    /// The side, for paired structures.
    #[serde(default)]
    pub side: Option<Side>,
    /// Index of the same structure on the other side.
    #[serde(default)]
    pub pair: Option<u8>,
}

/// The structures of a pack, in the order of their indices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LabelTable {
    /// Without background.
    pub labels: Vec<Label>,
}

/// A table that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelTableError {
    /// Index 0 is background and takes no label.
    #[error("label \"{0}\" has index 0, which is background")]
    Background(String),
    /// Two labels share an index or an id.
    #[error("labels \"{0}\" and \"{1}\" share an index or an id")]
    Repeated(String, String),
    /// A pair points nowhere, or not back.
    #[error("label \"{name}\" names {pair} as its other side, which does not name it back")]
    Pair {
        /// The label.
        name: String,
        /// Index of the supposed other side.
        pair: u8,
    },
}

impl LabelTable {
    /// The label of an index.
    pub fn get(&self, index: u8) -> Option<&Label> {
        self.labels.iter().find(|label| label.index == index)
    }

    /// Ids by index, 0 where there is no label.
    pub fn ids(&self) -> [u16; 256] {
        let mut ids = [0; 256];
        for label in &self.labels {
            ids[usize::from(label.index)] = label.id;
        }
        ids
    }

    /// Checks that indices and ids are unique and that pairs name each other.
    ///
    /// # Errors
    /// [`LabelTableError`] with the first contradiction.
    pub fn check(&self) -> Result<(), LabelTableError> {
        for (at, label) in self.labels.iter().enumerate() {
            if label.index == 0 {
                return Err(LabelTableError::Background(label.name.clone()));
            }
            if let Some(other) =
                self.labels[..at].iter().find(|o| o.index == label.index || o.id == label.id)
            {
                return Err(LabelTableError::Repeated(other.name.clone(), label.name.clone()));
            }
            if let Some(pair) = label.pair
                && self.get(pair).and_then(|other| other.pair) != Some(label.index)
            {
                return Err(LabelTableError::Pair { name: label.name.clone(), pair });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(index: u8, id: u16, pair: Option<u8>) -> Label {
        Label { index, id, name: format!("structure {id}"), color: [0; 3], side: None, pair }
    }

    #[test]
    fn contradictions_are_named() {
        let table = |labels| LabelTable { labels };
        assert_eq!(table(vec![label(1, 17, Some(2)), label(2, 53, Some(1))]).check(), Ok(()));
        assert_eq!(
            table(vec![label(0, 17, None)]).check(),
            Err(LabelTableError::Background("structure 17".into()))
        );
        assert_eq!(
            table(vec![label(1, 17, None), label(2, 17, None)]).check(),
            Err(LabelTableError::Repeated("structure 17".into(), "structure 17".into()))
        );
        assert_eq!(
            table(vec![label(1, 17, Some(2)), label(2, 53, None)]).check(),
            Err(LabelTableError::Pair { name: "structure 17".into(), pair: 2 })
        );
    }
}
