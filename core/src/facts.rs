//! A finished run in the report's own terms: the step from the pipeline to the report.

use web_time::Instant;

use crate::card;
use crate::formats::Scan;
use crate::measure::{quality, structures};
use crate::model::{Pack, PackInfo, Storage};
use crate::pipeline::{self, Answer, DeviceKind, DeviceReport, Segmentation};
use crate::report::{
    DeviceFacts, HeadAnswer, PackFacts, ReportInput, ScanFacts, SideAgreement, SideErrors,
    SoftwareFacts, StageTime, StructureMaps,
};

/// A finished run.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The scan.
    pub scan: &'a Scan,
    /// Which volume of a 4-D scan.
    pub volume: usize,
    /// The weights.
    pub pack: &'a Pack,
    /// What computed.
    pub device: &'a DeviceReport,
    /// The result.
    pub segmentation: &'a Segmentation,
    /// Seconds to open the device and load the model.
    pub open_seconds: f64,
    /// Start of the run, ISO 8601, UTC.
    pub started: &'a str,
}

impl Run<'_> {
    /// Measures the structures and the scan, and gathers what a report says of the run.
    pub fn report_input(&self) -> ReportInput {
        let clock = Instant::now();
        let table = &self.pack.info.labels;
        let labels = &self.segmentation.labels;
        let mut structures = structures(labels, table);
        structures.iter_mut().for_each(|row| row.judge(&self.pack.info.scores));
        let quality = quality(&self.scan.volume, Some((labels, table)));
        ReportInput {
            scan: scan(self.scan, self.volume),
            structures,
            quality,
            answers: answers(&self.segmentation.answers, self.pack),
            identified: None,
            lesions: None,
            heart: None,
            comparison: None,
            maps: maps(self.segmentation, &self.pack.info),
            pack: pack(&self.pack.info),
            device: device(self.device),
            timings: times(self.open_seconds, self.segmentation, clock.elapsed().as_secs_f64()),
            software: SoftwareFacts::default(),
            started: self.started.to_owned(),
            warnings: self
                .scan
                .warnings
                .iter()
                .cloned()
                .chain(coarse_borders(self.segmentation, self.pack))
                .collect(),
        }
    }
}

/// What to know of a run in several windows: its borders between structures are coarser.
pub fn coarse_borders(run: &Segmentation, pack: &Pack) -> Option<String> {
    run.coarse_borders.then(|| {
        let spacing: Vec<f64> = pack.info.preprocessing.spacing_mm.into_iter().flatten().collect();
        let coarsest = spacing.into_iter().reduce(f64::max);
        let grid = coarsest.map_or(String::new(), |mm| format!(" of {mm} mm"));
        format!(
            "The network ran in {} windows, not in one pass: borders between structures lie on \
             its own grid{grid} and were not decided on the scan's.",
            run.timings.windows
        )
    })
}

fn answers(answers: &[Answer], pack: &Pack) -> Vec<HeadAnswer> {
    answers
        .iter()
        .map(|answer| HeadAnswer {
            head: answer.head.clone(),
            outputs: answer.outputs.clone(),
            values: answer.values.iter().copied().map(f64::from).collect(),
            probabilities: pack.info.architecture.classifies(&answer.head),
            unscored: !pipeline::measured(pack, &answer.head).told,
        })
        .collect()
}

fn times(open: f64, run: &Segmentation, measure: f64) -> Vec<StageTime> {
    [
        ("open", open),
        ("prepare", run.timings.prepare_seconds),
        ("network", run.timings.network_seconds),
        ("labels", run.timings.labels_seconds),
        ("measure", measure),
    ]
    .map(|(stage, seconds)| StageTime { stage: stage.into(), seconds })
    .to_vec()
}

/// What is known of the scan; never its file's name.
pub fn scan(scan: &Scan, volume: usize) -> ScanFacts {
    let acquisition = scan.series.acquisition.clone();
    ScanFacts {
        unit_assumed: !scan.series.unit_stated,
        volumes: scan.series.volumes,
        volume,
        echo_time_ms: acquisition.echo_time_ms,
        repetition_time_ms: acquisition.repetition_time_ms,
        inversion_time_ms: acquisition.inversion_time_ms,
        flip_angle_deg: acquisition.flip_angle_deg,
        field_strength_t: acquisition.field_strength_t,
        sequence_name: acquisition.sequence_name,
        description: acquisition.description,
        body_part: acquisition.body_part,
        manufacturer: acquisition.manufacturer,
        contrast_agent: acquisition.contrast_agent,
        ..ScanFacts::of_grid(scan.series.format.title(), scan.volume.dims, &scan.volume.affine)
    }
}

/// The encoder's maps inside each structure, by the structure's name.
fn maps(run: &Segmentation, info: &PackInfo) -> Option<StructureMaps> {
    let named = |(index, values): &(u8, Vec<f32>)| {
        // JSON has no other numbers.
        let finite = values.iter().all(|value| value.is_finite());
        let label = info.labels.get(*index).filter(|_| finite)?;
        Some((label.name.clone(), values.clone()))
    };
    let structures = run.structure_maps.as_ref()?.iter().filter_map(named).collect();
    Some(StructureMaps { pack: info.sha256.clone(), structures })
}

/// What a report says of a pack.
pub fn pack(info: &PackInfo) -> PackFacts {
    let text = |key: &str| info.provenance.get(key).and_then(|v| v.as_str()).unwrap_or_default();
    PackFacts {
        name: info.name.clone(),
        title: info.title.clone(),
        version: info.version.clone(),
        sha256: info.sha256.clone(),
        note: text("note").into(),
        trained_on: card::trained_on(&info.provenance),
        sides: SideAgreement::of(&info.scores),
        side_errors: SideErrors::of(&info.scores),
    }
}

/// What a report says of the device.
pub fn device(device: &DeviceReport) -> DeviceFacts {
    DeviceFacts {
        kind: match device.kind {
            DeviceKind::Gpu => "GPU".into(),
            DeviceKind::Cpu => "CPU".into(),
        },
        adapter: device.adapter.clone(),
        software: device.software,
        half_precision: device.storage == Storage::Half,
        fallback: device.note.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{self, InputFile, Selection};
    use crate::pipeline::Timings;
    use crate::volume::{Affine, LabelMap};

    const TINY: &[u8] = include_bytes!("../../tests/golden/model/tiny.safetensors");

    #[test]
    fn half_precision_is_a_fact_of_the_device() {
        for (storage, half) in [(Storage::Single, false), (Storage::Half, true)] {
            let report = DeviceReport {
                kind: DeviceKind::Gpu,
                adapter: "Example 4090".into(),
                software: false,
                note: None,
                storage,
            };
            assert_eq!(device(&report).half_precision, half);
        }
    }

    #[test]
    fn what_the_pack_s_scores_say_comes_with_volumes_and_answers() {
        const SCAN: &[u8] = include_bytes!("../../tests/golden/formats/nifti1_type_i16/scan.nii");
        let mut pack = Pack::read(TINY).unwrap();
        pack.info.scores = serde_json::json!({
            "subjects": 8,
            "structures": { "B": { "volume_ratio": 1.7 }, "C": { "volume_ratio": 1.0 } },
            "heads": { "age": { "scans": 48, "error": 5.0, "error_of_mean": 7.5 } },
        });
        let file = InputFile { name: "scan.nii".into(), bytes: SCAN.to_vec() };
        let scan = formats::load(&[file], &Selection::default()).unwrap();
        let answer = |head: &str| Answer {
            head: head.into(),
            outputs: vec!["output".into()],
            values: vec![1.0],
        };
        let segmentation = Segmentation {
            labels: LabelMap {
                data: vec![3; scan.volume.data.len()],
                dims: scan.volume.dims,
                affine: scan.volume.affine,
            },
            answers: vec![answer("age"), answer("contrast")],
            tissues: None,
            structure_maps: None,
            island_voxels: 0,
            coarse_borders: false,
            timings: Timings::default(),
        };
        let device = DeviceReport {
            kind: DeviceKind::Cpu,
            adapter: "CPU".into(),
            software: false,
            note: None,
            storage: Storage::Single,
        };
        let input = Run {
            scan: &scan,
            volume: 0,
            pack: &pack,
            device: &device,
            segmentation: &segmentation,
            open_seconds: 0.0,
            started: "2026-01-31T12:00:00Z",
        }
        .report_input();
        let marked = input.structures.iter().filter(|row| row.caution.is_some());
        assert_eq!(marked.map(|row| row.index).collect::<Vec<_>>(), [3]);
        let unscored: Vec<bool> = input.answers.iter().map(|answer| answer.unscored).collect();
        assert_eq!(unscored, [false, true]);
    }

    #[test]
    fn a_run_in_windows_says_that_its_borders_are_coarser() {
        let pack = Pack::read(TINY).unwrap();
        let affine = Affine::from_spacing([1.0; 3]);
        let mut run = Segmentation {
            labels: LabelMap { data: vec![0], dims: [1; 3], affine },
            answers: Vec::new(),
            tissues: None,
            structure_maps: None,
            island_voxels: 0,
            coarse_borders: false,
            timings: Timings { windows: 8, ..Timings::default() },
        };
        assert_eq!(coarse_borders(&run, &pack), None);
        run.coarse_borders = true;
        let line = coarse_borders(&run, &pack).unwrap();
        assert!(line.contains("8 windows") && line.ends_with('.'), "{line}");
    }
}
