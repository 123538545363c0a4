//! What the tests write reports from.

use crate::identify::geometry::Direction;
use crate::identify::heads::Answer;
use crate::identify::{Identification, Plane};
use crate::lesions::{FalseAlarms, Lesion, Place, Summary};
use crate::measure::cardiac::{Measured, Phase};
use crate::measure::{quality, structures};
use crate::report::{
    ChangeFacts, CineReport, ComparisonFacts, DeviceFacts, HeadAnswer, HeartFacts,
    LesionChangeFacts, LesionFacts, PackFacts, ReportInput, ScanFacts, SequenceFacts,
    SoftwareFacts, StageTime,
};
use crate::volume::{Affine, Label, LabelMap, LabelTable, Side, Volume};

pub const HOSTILE: &str = "t1 <script>alert('x')</script> \"&\u{7}";

fn label(index: u8, id: u16, name: &str, pair: u8) -> Label {
    let side = match (pair, name.starts_with("Left")) {
        (0, _) => None,
        (_, true) => Some(Side::Left),
        (_, false) => Some(Side::Right),
    };
    Label { index, id, name: name.into(), color: [9, 8, 7], side, pair: (pair > 0).then_some(pair) }
}

/// Boxes 10 deep and 10 high in a grid of 1 mm; the lengths along x are in [`lengths`].
fn table() -> LabelTable {
    LabelTable {
        labels: vec![
            label(1, 2, "Left-Cerebral-White-Matter", 2),
            label(2, 41, "Right-Cerebral-White-Matter", 1),
            label(3, 17, "Left-Hippocampus", 4),
            label(4, 53, "Right-Hippocampus", 3),
            label(5, 18, "Left-Amygdala", 6),
            label(6, 54, "Right-Amygdala", 5),
            label(7, 4, "Left-Lateral-Ventricle", 8),
            label(8, 43, "Right-Lateral-Ventricle", 7),
            label(9, 14, "3rd-Ventricle", 0),
            label(10, 24, "CSF", 0),
            label(11, 16, "Brain-Stem", 0),
            label(12, 10, "Left-Thalamus", 13),
            label(13, 49, "Right-Thalamus", 12),
        ],
    }
}

/// Length along x of each label in 0.1 mL; labels 6, 12 and 13 are missing.
const LENGTHS: [(u8, usize); 10] =
    [(1, 100), (2, 98), (3, 20), (4, 16), (5, 9), (7, 4), (8, 3), (9, 6), (10, 40), (11, 22)];

fn labels() -> LabelMap {
    let dims = [330, 12, 12];
    let mut data = Vec::new();
    for z in 0..12 {
        for y in 0..12 {
            let mut row = vec![0; 330];
            if (1..11).contains(&y) && (1..11).contains(&z) {
                let mut x = 5;
                for (index, length) in LENGTHS {
                    row[x..x + length].fill(index);
                    x += length;
                }
                // The brainstem reaches the upper side of the grid with one voxel.
            }
            if y == 1 && z == 11 {
                row[310] = 11;
            }
            data.extend(row);
        }
    }
    LabelMap { data, dims, affine: Affine::from_spacing([1.0; 3]) }
}

pub fn input() -> ReportInput {
    let (labels, table) = (labels(), table());
    let data = labels.data.iter().map(|&label| 40.0 * f32::from(label)).collect();
    let volume = Volume { data, dims: labels.dims, affine: labels.affine };
    ReportInput {
        scan: ScanFacts {
            volumes: 4,
            volume: 1,
            echo_time_ms: Some(2.98),
            repetition_time_ms: Some(2300.0),
            field_strength_t: Some(3.0),
            description: Some(HOSTILE.into()),
            ..ScanFacts::of_grid("NIfTI-1", labels.dims, &labels.affine)
        },
        structures: structures(&labels, &table),
        quality: quality(&volume, Some((&labels, &table))),
        answers: vec![HeadAnswer {
            head: "sequence".into(),
            outputs: vec!["T1w".into(), "T2w".into()],
            values: vec![0.931, 0.069],
            probabilities: true,
            unscored: false,
        }],
        identified: None,
        lesions: None,
        heart: None,
        comparison: None,
        maps: None,
        pack: PackFacts {
            name: "brain".into(),
            title: "Brain, any contrast (2 mm)".into(),
            version: "0.3".into(),
            sha256: "0123456789abcdef0123".into(),
            note: "not the published PRISM weights".into(),
            trained_on: vec!["label maps".into(), "synthetic contrasts".into()],
            sides: None,
            side_errors: None,
        },
        device: DeviceFacts {
            kind: "GPU".into(),
            adapter: "Example 4090".into(),
            software: true,
            half_precision: false,
            fallback: None,
        },
        timings: vec![
            StageTime { stage: "prepare".into(), seconds: 0.25 },
            StageTime { stage: "network".into(), seconds: 1.5 },
        ],
        software: SoftwareFacts { name: "Prism".into(), version: "0.1.0".into(), build: None },
        started: "2026-01-31T12:00:00Z".into(),
        warnings: vec![
            "2 slices are missing & were skipped".into(),
            "Left out: the file is damaged. File: DOE^JANE.dcm".into(),
        ],
    }
}

fn lesion(number: usize, millilitres: f64, side: Side, place: Place) -> Lesion {
    Lesion {
        number,
        kind: "white matter lesion".into(),
        class: 1,
        millilitres,
        diameter_mm: 12.0 / number as f64,
        place,
        region: Some(format!("{} cerebral white matter", side_word(side))),
        side: Some(side),
        probability: 0.75,
        centre_mm: [1.0, 2.0, 3.0],
        voxel: [1, 2, 3],
        inside_mm: [1.0, 2.0, 3.0],
        signal: None,
        oedema_ml: None,
    }
}

fn side_word(side: Side) -> &'static str {
    if side == Side::Left { "left" } else { "right" }
}

/// Seven marks, together 2.8 mL.
pub fn marks() -> LesionFacts {
    let lesions: Vec<Lesion> = (1..=7)
        .map(|number| {
            let side = if number % 2 == 1 { Side::Left } else { Side::Right };
            let place = if number < 4 { Place::Periventricular } else { Place::Deep };
            lesion(number, 0.1 * (8 - number) as f64, side, place)
        })
        .collect();
    LesionFacts {
        summary: Summary {
            lesions: 7,
            millilitres: 2.8,
            by_class: vec![("White-matter-lesion".into(), 2.8), ("Mass".into(), 0.0)],
            evidence_ml: 1.5,
            probability: Some(0.9123),
            sequences: 2,
        },
        lesions,
        sequences: vec![SequenceFacts { name: "FLAIR".into(), moved_mm: Some(2.25) }],
        false_alarms: Some(FalseAlarms {
            studies: 20,
            marked: 16,
            median_ml: 0.13,
            largest_ml: 12.5,
        }),
        pack: PackFacts { name: "lesions".into(), version: "0.1.0".into(), ..PackFacts::default() },
    }
}

/// Patient 1 of ACDC as drawn, by numpy; see `measure::cardiac::function`.
fn beat() -> HeartFacts {
    let phase = |left_ml, right_ml, myocardium_ml| {
        Some(Measured::Volumes(Phase { left_ml, right_ml, myocardium_ml }))
    };
    let measured = vec![
        phase(272.34, 128.7675, 151.38),
        Some(Measured::Refused("no wall".into())),
        phase(207.9225, 54.8775, 179.775),
    ];
    let scores = serde_json::json!({
        "structures": {
            "Right-Ventricle": { "dice": 0.82, "worst": 0.51 }, "Left-Ventricle": { "dice": 0.93 },
        },
        "function": { "Right-Ventricle EF mean absolute error, points": 14.4 },
    });
    let report = CineReport::of(false, &[None, None, None], measured, &scores);
    HeartFacts::of(report, PackFacts { name: "cardiac".into(), ..PackFacts::default() }, &scores)
}

pub fn second_scan() -> ComparisonFacts {
    let change = |index, name: &str, after, changed| ChangeFacts {
        index,
        name: name.into(),
        millilitres: [2.0, after],
        interval_ml: 0.2,
        changed,
    };
    ComparisonFacts {
        years: Some(2.0),
        earlier: false,
        unit_assumed: false,
        changes: Some(vec![
            change(3, "left hippocampus", 1.5, true),
            change(4, "right hippocampus", 1.9, false),
        ]),
        atlas: false,
        lesions: Some(LesionChangeFacts {
            changed: vec![("new".into(), 2, 0.75)],
            smaller: 3,
            largest_null_ml: 0.03,
        }),
    }
}

fn seen() -> Identification {
    let answer = |given: Option<&str>, likely: &str| Answer {
        given: given.map(Into::into),
        probabilities: vec![(likely.into(), 0.75)],
        distance: None,
        most_distance: None,
    };
    Identification {
        sequence: answer(Some("T1w"), "T1w"),
        sequence_note: None,
        sequence_by_file: None,
        body_part: answer(None, "head"),
        skull: None,
        plane: Plane { direction: Direction::Coronal, tilt_degrees: 12.0 },
        extent_mm: [100.0; 3],
        stack: None,
        warnings: vec!["The file says T2w.".into()],
    }
}

/// With lesions, a second scan and what the image shows.
pub fn full_input() -> ReportInput {
    ReportInput {
        identified: Some(seen()),
        lesions: Some(marks()),
        comparison: Some(second_scan()),
        ..input()
    }
}

/// Another pack's structures, and the heart over three phases.
pub fn heart_input() -> ReportInput {
    let mut input = ReportInput { heart: Some(beat()), ..input() };
    for row in &mut input.structures {
        (row.tissue, row.region) = (None, crate::measure::Region::Other);
        row.percent_of_icv = None;
    }
    input
}
