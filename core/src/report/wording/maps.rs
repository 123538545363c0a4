//! What the decoder sees of the scan itself: the encoder's maps inside each structure.

use serde::{Deserialize, Serialize};

use super::network::add;
use super::weights::Matrix;

/// Standardised values are cut here, as in training/report/network.py.
const MOST: f32 = 5.0;

/// The encoder's two deepest maps, averaged inside each structure that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StructureMaps {
    /// SHA-256 of the pack whose encoder made them.
    pub pack: String,
    /// Names in that pack's table, each with one value a channel, the finer map's first.
    pub structures: Vec<(String, Vec<f32>)>,
}

/// What a decoder's pack says of the maps that it reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapsInfo {
    /// SHA-256 of the pack whose encoder's maps it was trained on; those of another are left
    /// alone.
    pub pack: String,
    /// Structures by their names in that pack's table.
    pub structures: Vec<String>,
    /// Values of a structure.
    pub channels: usize,
    /// Whether it said more with a scan's maps than without, when it was scored; where not, reports
    /// are worded from the facts alone.
    #[serde(default)]
    pub helps: bool,
}

/// Weights of one memory token a structure.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    /// Mean of each value over training, a row a structure.
    pub mean: Matrix,
    /// Its deviation.
    pub deviation: Matrix,
    /// `[width, channels]`.
    pub project: Matrix,
    /// The structures' embeddings.
    pub structure: Matrix,
}

impl Reader {
    /// Memory rows of the structures that pack and maps share; none of another encoder's maps.
    pub fn tokens(&self, info: &MapsInfo, maps: &StructureMaps) -> Vec<Vec<f32>> {
        if maps.pack != info.pack {
            return Vec::new();
        }
        let structures = info.structures.iter().enumerate();
        structures
            .filter_map(|(row, name)| {
                let (_, values) = maps.structures.iter().find(|(known, _)| known == name)?;
                (values.len() == info.channels).then(|| self.token(row, values))
            })
            .collect()
    }

    fn token(&self, row: usize, values: &[f32]) -> Vec<f32> {
        let scale = self.mean.row(row).iter().zip(self.deviation.row(row));
        let standard: Vec<f32> = values
            .iter()
            .zip(scale)
            .map(|(value, (mean, deviation))| ((value - mean) / deviation).clamp(-MOST, MOST))
            .collect();
        let mut token = self.project.times(&standard);
        add(&mut token, self.structure.row(row));
        token
    }
}
