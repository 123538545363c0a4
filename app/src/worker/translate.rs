//! Core's types in the page's terms (see `facts`).

use prism_core::model::{HeadConfig, Pack, Storage};
use prism_core::pipeline;

use crate::facts::{Answer, DeviceChoice, DeviceKind, DeviceReport, HeadFacts, HeadKind, PackCard};

/// The choice in core's terms.
pub const fn choice(choice: DeviceChoice) -> pipeline::DeviceChoice {
    match choice {
        DeviceChoice::Auto => pipeline::DeviceChoice::Auto,
        DeviceChoice::Gpu => pipeline::DeviceChoice::Gpu,
        DeviceChoice::Cpu => pipeline::DeviceChoice::Cpu,
    }
}

/// The device in use.
pub fn device(report: &pipeline::DeviceReport) -> DeviceReport {
    DeviceReport {
        kind: match report.kind {
            pipeline::DeviceKind::Gpu => DeviceKind::Gpu,
            pipeline::DeviceKind::Cpu => DeviceKind::Cpu,
        },
        adapter: report.adapter.clone(),
        software: report.software,
        note: report.note.clone(),
        half_precision: report.storage == Storage::Half,
    }
}

/// The pack in use, whose file has so many bytes.
pub fn pack(pack: &Pack, bytes: usize) -> PackCard {
    let info = &pack.info;
    PackCard {
        name: info.name.clone(),
        title: info.title.clone(),
        version: info.version.clone(),
        sha256: info.sha256.clone(),
        labels: info.labels.clone(),
        spacing_mm: info.preprocessing.spacing_mm,
        fits: info.fits.clone(),
        provenance: info.provenance.clone(),
        scores: info.scores.clone(),
        parameters: pack.parameters(),
        bytes,
        heads: info.architecture.heads.iter().map(head).collect(),
    }
}

fn head(head: &HeadConfig) -> HeadFacts {
    let (kind, outputs) = match head {
        HeadConfig::Segmentation { classes, .. }
        | HeadConfig::LinearSegmentation { classes, .. } => (HeadKind::Segmentation, *classes),
        HeadConfig::Classification(head) => (HeadKind::Classification, head.outputs.len()),
        HeadConfig::Regression(head) => (HeadKind::Regression, head.outputs.len()),
    };
    HeadFacts { name: head.name().to_owned(), kind, outputs }
}

/// What the pooled heads say.
pub fn answers(answers: &[pipeline::Answer], pack: &Pack) -> Vec<Answer> {
    answers
        .iter()
        .map(|answer| Answer {
            head: answer.head.clone(),
            outputs: answer.outputs.clone(),
            values: answer.values.clone(),
            probabilities: pack.info.architecture.classifies(&answer.head),
            measured: pipeline::measured(pack, &answer.head),
        })
        .collect()
}
