//! Coverage: spacing, field of view, and structures that it cuts or that are missing.

use super::quality::{Judgement, Measure, MeasureGroup::Coverage};
use super::structures::StructureVolume;
use crate::volume::Volume;

/// Slice thickness below which volumes of small nuclei are not limited by it.
const THIN_MM: f64 = 1.5;
/// Slice thickness from which fewer than three slices cross the smallest nuclei.
const THICK_MM: f64 = 3.0;

/// Measures of geometry; those of structures only where `rows` is given.
pub(super) fn measures(volume: &Volume, rows: Option<&[StructureVolume]>) -> Vec<Measure> {
    let spacing = volume.spacing_mm();
    let largest = spacing.iter().copied().fold(0.0, f64::max);
    let smallest = spacing.iter().copied().fold(f64::INFINITY, f64::min);
    let brain = rows.is_some_and(|rows| rows.iter().any(|row| row.tissue.is_some()));
    let mut measures = Vec::new();

    let thickness = Measure::new(
        Coverage,
        "largest_spacing",
        "Largest voxel edge",
        ("mm", 2),
        "Distance between voxel centres along the coarsest axis: for scans in slices, the distance \
         between slices. Thin structures blur into their neighbours along it.",
        "Column lengths of the affine (NIfTI-1 standard, method 3)",
    )
    .valued(largest);
    measures.push(if brain {
        thickness.judged(
            "good up to 1.5 mm, look up to 3 mm, poor above, for volumes of small structures: the \
             accumbens and the amygdala are about a centimetre across, so that beyond 3 mm only \
             about three slices cross them",
            |mm| match mm {
                _ if mm <= THIN_MM + 1e-6 => Judgement::Good,
                _ if mm <= THICK_MM + 1e-6 => Judgement::Look,
                _ => Judgement::Poor,
            },
        )
    } else {
        thickness
    });
    measures.push(
        Measure::new(
            Coverage,
            "anisotropy",
            "Anisotropy",
            ("", 2),
            "Largest divided by smallest voxel edge: 1 for cubes; high values look sharp in one plane only.",
            "max(spacing) / min(spacing)",
        )
        .valued(largest / smallest),
    );
    measures.push(
        Measure::new(
            Coverage,
            "voxel_volume",
            "Voxel volume",
            ("mm³", 2),
            "Volume of one voxel: the step in which all volumes are counted.",
            "Absolute determinant of the affine",
        )
        .valued(volume.affine.determinant().abs()),
    );
    for (axis, &(world, _)) in volume.affine.closest_axes().iter().enumerate() {
        let (key, name) = match world {
            0 => ("field_of_view_left_right", "Field of view, left to right"),
            1 => ("field_of_view_front_back", "Field of view, front to back"),
            _ => ("field_of_view_head_foot", "Field of view, head to foot"),
        };
        measures.push(
            Measure::new(
                Coverage,
                key,
                name,
                ("mm", 0),
                "Extent of the scan along the voxel axis nearest to this direction.",
                "Number of voxels times their spacing",
            )
            .valued(volume.dims[axis] as f64 * spacing[axis]),
        );
    }
    measures.extend(structure_measures(rows));
    measures
}

fn structure_measures(rows: Option<&[StructureVolume]>) -> [Measure; 2] {
    let cut = Measure::new(
        Coverage,
        "structures_cut",
        "Structures at the edge",
        ("", 0),
        "Structures with a voxel in the outermost layer of the scan: they are probably cut, and \
         their volumes too small.",
        "Count over the labels",
    );
    let missing = Measure::new(
        Coverage,
        "structures_missing",
        "Structures not found",
        ("", 0),
        "Structures that the pack can label and did not find in this scan.",
        "Count over the label table",
    );
    let Some(rows) = rows else {
        let reason = "no structures were segmented";
        return [cut.not_assessed(reason), missing.not_assessed(reason)];
    };
    let count = |keep: &dyn Fn(&StructureVolume) -> bool| {
        rows.iter().filter(|row| keep(row)).count() as f64
    };
    let any = |count: f64| if count == 0.0 { Judgement::Good } else { Judgement::Look };
    [
        cut.valued(count(&|row| row.edge_voxels > 0))
            .judged("good where no structure touches the edge, look where one does", any),
        missing.valued(count(&|row| row.voxels == 0)).judged(
            "good where every structure of the pack was found, look where one was not",
            any,
        ),
    ]
}
