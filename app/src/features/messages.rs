//! What page and worker say to each other about features (see `protocol`).

use prism_core::identify;
use prism_core::identify::pack::EncoderName;
use prism_core::identify::taught::{LabelledScan, TaughtScores};
use prism_core::volume::LabelTable;
use serde::{Deserialize, Serialize};

use crate::facts;
use crate::protocol::Grid;

/// A place to look for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Place {
    /// A world point (RAS+, mm) of the loaded scan.
    Here([f64; 3]),
    /// The place that was kept, of this or an earlier scan.
    Kept,
}

/// What the page asks. The pack (a `Blob`) is beside each, first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// The principal components of the features as colours.
    Colours,
    /// How much every place looks like this one.
    Similar(Place),
    /// Keep a world point (RAS+, mm) to look for in another scan.
    Keep([f64; 3]),
    /// Give what was painted as examples, for a fit when another scan is open (value u8 a
    /// voxel of the scan beside, 0: nothing, else class + 1).
    Take {
        /// How many classes there are, background counted.
        classes: usize,
    },
    /// Fit a head on what was painted. Beside: as for [`Ask::Take`], no values where nothing
    /// is painted in the loaded scan, then the examples of other scans.
    Fit {
        /// The classes without background, which is class 0.
        table: LabelTable,
    },
    /// Segment the loaded scan with the fitted head beside (a `Blob`); answered as any
    /// segmentation.
    Segment,
    /// Give the pooled features of the loaded scan.
    Pool,
    /// Say what the pack's own heads say of the loaded scan.
    Heads,
    /// Say what they say of the loaded scan and further sequences of its study together. Beside:
    /// the files of the further sequences (`File` handles), one group after the other.
    Together {
        /// How many files each group has.
        groups: Vec<usize>,
    },
    /// Fit a head on whole scans.
    Teach {
        /// At least two of each label.
        scans: Vec<LabelledScan>,
    },
    /// Say which label the loaded scan has by the head beside (a file as a buffer).
    Classify,
}

/// What the worker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Beside: red, green, blue, alpha a voxel, x fastest, colours multiplied by alpha.
    Colours {
        /// Their grid.
        grid: Grid,
        /// Share of the features' variance in red, green and blue.
        explained: [f64; 3],
    },
    /// Beside: a heat map, as the colours.
    Similar {
        /// Its grid.
        grid: Grid,
        /// What was looked for.
        place: Place,
        /// The most similar place (RAS+, mm).
        best_mm: [f64; 3],
        /// Its similarity, at most 1.
        score: f32,
    },
    /// The place is kept.
    Kept,
    /// Beside: the examples, as a file.
    Taken(Examples),
    /// A head is fitted. Beside: the pack as a file, then the examples of the loaded scan,
    /// if there are some, as a file.
    Fitted(Fit),
    /// The pooled features of the loaded scan by name.
    Pooled(Vec<(String, Vec<f32>)>),
    /// What the pack's own heads say.
    Told(Told),
    /// A head on whole scans was fitted, or read from a file. Beside: it as a file.
    Taught(Taught),
    /// What such a head says of the loaded scan.
    Classified(identify::Answer),
}

/// What a pack's own heads say of a scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// SHA-256 of the pack.
    pub pack: String,
    /// The answers, one a head.
    pub answers: Vec<facts::Answer>,
    /// Heads without one: name, and how many sequences of a study it wants together.
    pub wanting: Vec<(String, usize)>,
    /// The sequences they read together, in this order, by their titles; none where they read the
    /// loaded scan alone.
    pub together: Vec<String>,
}

/// What was painted in one scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examples {
    /// How many places of each class, background first.
    pub places: Vec<usize>,
    /// Voxels of the network's grid.
    pub voxels: usize,
}

/// A head on whole scans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taught {
    /// Whose features it reads.
    pub encoder: EncoderName,
    /// Its labels, and how it did on scans left out.
    pub scores: TaughtScores,
}

/// How a fit went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Name and score of each class, background first: the share of its voxels
    /// recognised in what was left out; none where it could not be scored.
    pub classes: Vec<(String, Option<f64>)>,
    /// Mean of the scores that are there.
    pub mean: Option<f64>,
    /// How often something was left out.
    pub folds: usize,
    /// Whether whole scans were left out, not places of one.
    pub by_scan: bool,
    /// Scans it was fitted on.
    pub scans: usize,
    /// Why scores are missing.
    pub note: Option<String>,
    /// Voxels of the network's grid that were painted.
    pub voxels: usize,
    /// Those of the loaded scan.
    pub here: Option<Examples>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{decode, encode};

    #[test]
    fn features_come_back_as_they_went() {
        let vectors = vec![("sequence".to_owned(), vec![0.1, -3.25e-8, f32::MAX])];
        let scans = vec![LabelledScan { label: "post-contrast \"GBCA\"".into(), vectors }];
        let together = Ask::Together { groups: vec![1, 176] };
        for ask in [
            Ask::Teach { scans },
            Ask::Take { classes: 3 },
            Ask::Pool,
            Ask::Heads,
            together,
            Ask::Classify,
        ] {
            let json = encode(&ask).unwrap_or_default();
            assert_eq!(decode::<Ask>(&json), Ok(ask), "{json}");
        }
    }
}
