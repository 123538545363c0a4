//! What page and worker say to each other about a second scan (see `protocol`).

use prism_core::follow_up::{Change, Finding};
use prism_core::formats::Date;
use prism_core::volume::Affine;
use serde::{Deserialize, Serialize};

use crate::protocol::Grid;

/// How far the second scan may be moved. To see change of one person the least is enough: a
/// follow-up aligns both half-way by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Turned and shifted: the same person.
    #[default]
    Rigid,
    /// Any affine map.
    Affine,
    /// Every place on its own.
    Deformable,
}

impl Kind {
    /// How far the second scan is moved where it may be an atlas: nobody's head, on which
    /// turning and shifting alone would not lay it.
    pub const fn onto(self, atlas: bool) -> Self {
        match self {
            Self::Rigid if atlas => Self::Deformable,
            kind => kind,
        }
    }
}

/// A picture of the second scan on the grid of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Picture {
    /// Its greys.
    Greys,
    /// Its greys in every other cube.
    Checkerboard,
    /// Cubes that were straight before it was deformed.
    Cells,
    /// How much larger or smaller each place is in it (see `local`): computed when it is
    /// first asked for.
    LocalChange,
}

/// What the page asks. The pack (a `Blob`) is beside each, first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// Read the second scan (its `File` handles beside) and align it with the loaded one.
    Align {
        /// How far it may be moved.
        kind: Kind,
        /// Whether it is an atlas, whose points are wanted for those of the loaded scan.
        atlas: bool,
    },
    /// Draw it. Beside a map of local change, second: as for [`Ask::Change`].
    Draw(Picture),
    /// Segment both several times and compare volumes. Beside, second: the heads that
    /// identify a scan.
    Change,
    /// Look for lesions that changed, after [`Ask::Change`]. Beside, second: the lesion pack.
    Lesions {
        /// SHA-256 of the lesion pack.
        pack: String,
    },
    /// Write a file.
    Save(Saved),
}

/// What can be saved of a second scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Saved {
    /// It, on the grid of the first one.
    Warped,
    /// The structures that the network finds in it, carried to the grid of the first one.
    Labels,
    /// The displacements from the first one's points to its own.
    Field,
    /// The affine part of them.
    Affine,
    /// How much each place of the first one grew: computed when it is first asked for.
    LocalChange,
    /// Lesions that changed, on its own grid.
    Lesions,
}

impl Saved {
    /// What is saved of an alignment.
    pub const OF_ALIGNMENT: [Self; 4] = [Self::Warped, Self::Labels, Self::Field, Self::Affine];

    /// The words on its button.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Warped => "Moved scan (NIfTI)",
            Self::Labels => "Its structures, carried (NIfTI)",
            Self::Field => "Displacement field (ITK)",
            Self::Affine => "Affine part (ITK text)",
            Self::LocalChange => "Map of local change (NIfTI)",
            Self::Lesions => "Mask of changed lesions (NIfTI)",
        }
    }

    /// The word in names for tests.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Warped => "warped",
            Self::Labels => "labels",
            Self::Field => "field",
            Self::Affine => "affine",
            Self::LocalChange => "local",
            Self::Lesions => "lesions",
        }
    }

    /// End of the file's name, and its media type.
    pub const fn file(self) -> (&'static str, &'static str) {
        const NIFTI: &str = "application/gzip";
        match self {
            Self::Warped => ("moved.nii.gz", NIFTI),
            Self::Labels => ("moved_structures.nii.gz", NIFTI),
            Self::Field => ("displacement.nii.gz", NIFTI),
            Self::Affine => ("affine.txt", "text/plain;charset=utf-8"),
            Self::LocalChange => ("local_change.nii.gz", NIFTI),
            Self::Lesions => ("changed_lesions.nii.gz", NIFTI),
        }
    }
}

/// What the worker answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Aligned. Beside: its greys, as in [`Answer::Drawn`]; then, where `standard` has a
    /// grid, the displacements on it (f32; x, y, z in mm a voxel).
    Aligned {
        /// Grid of the picture.
        grid: Grid,
        /// Seconds it took.
        seconds: f64,
        /// Mean squared difference of the features after the affine part, and in the end.
        differences: (f64, f64),
        /// Share of places where space folds, for a deformable alignment.
        folded: Option<f64>,
        /// Day of the second scan's study.
        date: Option<Date>,
        /// The way to the atlas.
        standard: Option<Box<Standard>>,
        /// What it was aligned by, a sentence.
        note: String,
        /// Which series of the files it is, where they hold several: a sentence.
        taken: Option<String>,
        /// Whether its files state the unit of length.
        unit_stated: bool,
    },
    /// Beside: red, green, blue, alpha a voxel, x fastest, colours multiplied by alpha.
    Drawn {
        /// Grid of the picture.
        grid: Grid,
        /// Which.
        picture: Picture,
        /// Of local change: below how many percent there is no colour, for either scan
        /// against its own repeats shows as much.
        noise_percent: Option<f64>,
    },
    /// The change of each structure.
    Changed {
        /// In the order of the label table; the time between the scans is the page's.
        rows: Vec<Change>,
    },
    /// Lesions that changed.
    Lesions {
        /// Largest first.
        findings: Vec<Finding>,
        /// Largest spot, millilitres, that the first scan against its own repeats shows.
        largest_null_ml: f64,
    },
    /// Beside: the file.
    Saved(Saved),
}

/// The way from points of the loaded scan to those of an atlas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standard {
    /// After the displacements.
    pub affine: Affine,
    /// Grid of the displacements, where there are any.
    pub grid: Option<Grid>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_is_turned_and_shifted_and_an_atlas_is_deformed() {
        assert_eq!(Kind::default().onto(false), Kind::Rigid);
        assert_eq!(Kind::default().onto(true), Kind::Deformable);
        assert_eq!(Kind::Affine.onto(true), Kind::Affine);
    }
}
