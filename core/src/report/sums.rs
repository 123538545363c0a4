//! Sums over structures that sentences name, with what they add up.

use serde::{Deserialize, Serialize};

use crate::measure::{Region, StructureVolume, Tissue, Totals};

/// Keys of sums.
pub mod keys {
    /// The brain's tissue; of other packs all labelled structures.
    pub const BRAIN: &str = "brain";
    /// Brain, ventricles and fluid.
    pub const INTRACRANIAL: &str = "intracranial";
    /// Ventricles and choroid plexus.
    pub const VENTRICLES: &str = "ventricles";
}

/// A sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    /// Stable name.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// Millilitres.
    pub millilitres: f64,
    /// Indices of the structures it adds up.
    pub structures: Vec<u8>,
}

/// Key of a region's sum.
pub(super) const fn of_region(region: Region) -> Option<&'static str> {
    match region {
        Region::DeepGreyMatter => Some("deep_grey_matter"),
        Region::MedialTemporalLobe => Some("medial_temporal_lobe"),
        Region::PosteriorFossa => Some("posterior_fossa"),
        Region::VentriclesAndFluid => Some(keys::VENTRICLES),
        Region::CerebralHemispheres | Region::Other => None,
    }
}

/// The sums of what was found, in the order of the report.
pub(super) fn sums(rows: &[StructureVolume], totals: &Totals) -> Vec<Sum> {
    let members = |keep: &dyn Fn(&StructureVolume) -> bool| -> Vec<&StructureVolume> {
        rows.iter().filter(|row| row.voxels > 0 && keep(row)).collect()
    };
    let brain = if totals.is_brain { "Brain" } else { "All labelled structures" };
    let in_brain =
        |row: &StructureVolume| !totals.is_brain || row.tissue.is_some_and(Tissue::is_brain);
    let mut all = vec![(keys::BRAIN, brain.to_owned(), members(&in_brain))];
    if totals.icv_millilitres.is_some() {
        let cranium = members(&|row| row.tissue.is_some());
        all.push((keys::INTRACRANIAL, "Intracranial volume".into(), cranium));
    }
    if totals.ventricles_millilitres.is_some() {
        let ventricles = members(&|row| row.tissue == Some(Tissue::Ventricle));
        all.push((keys::VENTRICLES, "Ventricles and choroid plexus".into(), ventricles));
    }
    for region in [Region::DeepGreyMatter, Region::MedialTemporalLobe, Region::PosteriorFossa] {
        if let Some(key) = of_region(region) {
            let here = members(&|row| row.region == region && row.tissue.is_some());
            all.push((key, format!("{}, both sides", region.title()), here));
        }
    }
    all.into_iter()
        .filter(|(_, _, members)| !members.is_empty())
        .map(|(key, name, members)| Sum {
            key: key.into(),
            name,
            millilitres: members.iter().map(|row| row.millilitres).sum(),
            structures: members.iter().map(|row| row.index).collect(),
        })
        .collect()
}
