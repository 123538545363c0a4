//! What the labels of a brain pack stand for: region, tissue and a readable name.
//!
//! Packs for the brain carry FreeSurfer ids (FreeSurferColorLUT.txt). An id alone is
//! not enough, because a pack for another body part may number its labels from 1 as
//! well: a label counts as brain anatomy only where id and name agree.

use serde::{Deserialize, Serialize};

use crate::volume::Label;

/// Where a structure is described in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// Cerebral cortex and white matter.
    CerebralHemispheres,
    /// Ventricles, choroid plexus and cerebrospinal fluid.
    VentriclesAndFluid,
    /// Thalamus, basal ganglia, ventral diencephalon.
    DeepGreyMatter,
    /// Hippocampus and amygdala.
    MedialTemporalLobe,
    /// Cerebellum and brainstem.
    PosteriorFossa,
    /// Everything else, and every structure of a pack that is not for the brain.
    Other,
}

impl Region {
    /// All regions in the order of the report.
    pub const ALL: [Self; 6] = [
        Self::CerebralHemispheres,
        Self::VentriclesAndFluid,
        Self::DeepGreyMatter,
        Self::MedialTemporalLobe,
        Self::PosteriorFossa,
        Self::Other,
    ];

    /// Heading in the report.
    pub const fn title(self) -> &'static str {
        match self {
            Self::CerebralHemispheres => "Cerebral hemispheres",
            Self::VentriclesAndFluid => "Ventricles and cerebrospinal fluid",
            Self::DeepGreyMatter => "Deep grey matter",
            Self::MedialTemporalLobe => "Medial temporal lobe",
            Self::PosteriorFossa => "Posterior fossa",
            Self::Other => "Other structures",
        }
    }
}

/// What a structure of the head is made of, as far as volumes and contrast need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tissue {
    /// White matter of the cerebral hemispheres.
    CerebralWhiteMatter,
    /// Cortex of the cerebral hemispheres.
    CerebralCortex,
    /// Any other brain tissue.
    OtherBrain,
    /// Ventricles and choroid plexus.
    Ventricle,
    /// Cerebrospinal fluid outside the ventricles (FreeSurfer id 24).
    Fluid,
}

impl Tissue {
    /// Whether it is part of the brain's own volume (tissue without fluid).
    pub const fn is_brain(self) -> bool {
        matches!(self, Self::CerebralWhiteMatter | Self::CerebralCortex | Self::OtherBrain)
    }
}

/// Region and tissue of a label with a FreeSurfer id, where its name agrees with the
/// id; `None` for every other label.
pub fn anatomy(label: &Label) -> Option<(Region, Tissue)> {
    use Region::{
        CerebralHemispheres, DeepGreyMatter, MedialTemporalLobe, PosteriorFossa, VentriclesAndFluid,
    };
    use Tissue::{CerebralCortex, CerebralWhiteMatter, Fluid, OtherBrain, Ventricle};
    let (words, region, tissue): (&[&str], Region, Tissue) = match label.id {
        2 | 41 => (&["white"], CerebralHemispheres, CerebralWhiteMatter),
        3 | 42 => (&["cortex"], CerebralHemispheres, CerebralCortex),
        77..=82 => (&["hypointens"], CerebralHemispheres, OtherBrain),
        251..=255 => (&["cc", "callosum"], CerebralHemispheres, OtherBrain),
        4 | 5 | 14 | 15 | 43 | 44 | 72 => (&["vent"], VentriclesAndFluid, Ventricle),
        31 | 63 => (&["choroid"], VentriclesAndFluid, Ventricle),
        24 => (&["csf", "fluid"], VentriclesAndFluid, Fluid),
        10 | 49 => (&["thalam"], DeepGreyMatter, OtherBrain),
        11 | 50 => (&["caudate"], DeepGreyMatter, OtherBrain),
        12 | 51 => (&["putamen"], DeepGreyMatter, OtherBrain),
        13 | 52 => (&["pallid"], DeepGreyMatter, OtherBrain),
        26 | 58 => (&["accumb"], DeepGreyMatter, OtherBrain),
        28 | 60 => (&["ventral"], DeepGreyMatter, OtherBrain),
        17 | 53 => (&["hippocamp"], MedialTemporalLobe, OtherBrain),
        18 | 54 => (&["amygdal"], MedialTemporalLobe, OtherBrain),
        7 | 8 | 46 | 47 => (&["cerebell"], PosteriorFossa, OtherBrain),
        16 => (&["stem"], PosteriorFossa, OtherBrain),
        _ => return None,
    };
    let name = label.name.to_lowercase();
    words.iter().any(|word| name.contains(word)).then_some((region, tissue))
}

/// Spellings of the label files and what a reader expects instead, applied in order
/// to the lower-case name.
const READABLE: [(&str, &str); 12] = [
    ("inf lat vent", "inferior lateral ventricle"),
    ("3rd ventricle", "third ventricle"),
    ("4th ventricle", "fourth ventricle"),
    ("5th ventricle", "fifth ventricle"),
    ("thalamus proper", "thalamus"),
    ("ventraldc", "ventral diencephalon"),
    ("ventral dc", "ventral diencephalon"),
    ("cerebellum white", "cerebellar white"),
    ("cerebellum cortex", "cerebellar cortex"),
    ("brain stem", "brainstem"),
    ("wm hypo", "white matter hypo"),
    ("accumbens area", "accumbens"),
];

/// A label's name as prose: `Left-Cerebral-White-Matter` becomes
/// `left cerebral white matter`; abbreviations in capitals (`CSF`, `L1`) stay.
pub fn display_name(name: &str) -> String {
    let is_short = |word: &str| {
        (2..=4).contains(&word.len())
            && word.chars().any(|c| c.is_ascii_uppercase())
            && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    let words: Vec<String> = name
        .split(|c: char| c == '-' || c == '_' || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .map(|word| if is_short(word) { word.to_owned() } else { word.to_lowercase() })
        .collect();
    let mut text = words.join(" ");
    for (from, to) in READABLE {
        // ASCII lower case keeps every byte's place.
        if let Some(at) = text.to_ascii_lowercase().find(from) {
            text.replace_range(at..at + from.len(), to);
        }
    }
    text
}

/// A readable name without its side: `left hippocampus` becomes `hippocampus`.
pub fn base_name(display_name: &str) -> &str {
    ["left ", "right "]
        .iter()
        .find_map(|side| display_name.strip_prefix(side))
        .or_else(|| [" left", " right"].iter().find_map(|side| display_name.strip_suffix(side)))
        .unwrap_or(display_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(id: u16, name: &str) -> Label {
        Label { index: 1, id, name: name.into(), color: [0; 3], side: None, pair: None }
    }

    #[test]
    fn id_and_name_must_agree() {
        assert_eq!(
            anatomy(&label(17, "Left-Hippocampus")),
            Some((Region::MedialTemporalLobe, Tissue::OtherBrain))
        );
        assert_eq!(anatomy(&label(24, "CSF")), Some((Region::VentriclesAndFluid, Tissue::Fluid)));
        // A pack of the abdomen that happens to use the same number.
        assert_eq!(anatomy(&label(17, "Spleen")), None);
        assert_eq!(anatomy(&label(507, "Skull")), None);
    }

    #[test]
    fn names_of_the_colour_table_become_prose() {
        for (name, expected) in [
            ("Left-Cerebral-White-Matter", "left cerebral white matter"),
            ("Right-Inf-Lat-Vent", "right inferior lateral ventricle"),
            ("3rd-Ventricle", "third ventricle"),
            ("Brain-Stem", "brainstem"),
            ("Left-VentralDC", "left ventral diencephalon"),
            ("Left-Thalamus-Proper", "left thalamus"),
            ("Left-Cerebellum-Cortex", "left cerebellar cortex"),
            ("right cerebellum white matter", "right cerebellar white matter"),
            ("CSF", "CSF"),
            ("vertebra_L1", "vertebra L1"),
            ("Right-Accumbens-area", "right accumbens"),
        ] {
            assert_eq!(display_name(name), expected);
        }
        assert_eq!(base_name("left hippocampus"), "hippocampus");
        assert_eq!(base_name("kidney right"), "kidney");
        assert_eq!(base_name("brainstem"), "brainstem");
    }
}
