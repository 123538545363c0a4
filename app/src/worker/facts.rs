//! A run in the report's own terms.

use prism_core::formats::Scan;
use prism_core::model::{HeadConfig, Pack};
use prism_core::pipeline::{Answer, DeviceKind, DeviceReport, Segmentation};
use prism_core::report::{DeviceFacts, HeadAnswer, PackFacts, ScanFacts, StageTime};

use crate::protocol::PackCard;

/// What the pooled heads say.
pub fn answers(answers: &[Answer], pack: &Pack) -> Vec<HeadAnswer> {
    let classifies = |name: &str| {
        pack.info
            .architecture
            .heads
            .iter()
            .any(|head| matches!(head, HeadConfig::Classification(head) if head.name == name))
    };
    answers
        .iter()
        .map(|answer| HeadAnswer {
            head: answer.head.clone(),
            outputs: answer.outputs.clone(),
            values: answer.values.iter().copied().map(f64::from).collect(),
            probabilities: classifies(&answer.head),
        })
        .collect()
}

/// Now, in ISO 8601, UTC, to the second.
pub fn now() -> String {
    let now: String = js_sys::Date::new_0().to_iso_string().into();
    now.split('.').next().map_or(now.clone(), |seconds| format!("{seconds}Z"))
}

/// Seconds of each stage, in order.
pub fn times(open: f64, run: &Segmentation, measure: f64) -> Vec<StageTime> {
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

/// What is known of the scan; not its file's name.
pub fn scan(scan: &Scan, volume: usize) -> ScanFacts {
    let acquisition = scan.series.acquisition.clone();
    ScanFacts {
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

/// The weights.
pub fn pack(card: &PackCard) -> PackFacts {
    let info = &card.info;
    let text =
        |key: &str| info.provenance.get(key).and_then(|value| value.as_str()).unwrap_or_default();
    let names = info.provenance.get("data").and_then(|data| data.as_array());
    PackFacts {
        name: info.name.clone(),
        title: info.title.clone(),
        version: info.version.clone(),
        sha256: info.sha256.clone(),
        note: text("note").into(),
        trained_on: names
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.get("name").and_then(|name| name.as_str()))
            .map(Into::into)
            .collect(),
    }
}

/// What computed.
pub fn device(device: &DeviceReport) -> DeviceFacts {
    DeviceFacts {
        kind: match device.kind {
            DeviceKind::Gpu => "GPU".into(),
            DeviceKind::Cpu => "CPU".into(),
        },
        adapter: device.adapter.clone(),
        software: device.software,
        fallback: device.note.clone(),
    }
}
