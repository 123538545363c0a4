//! `prism cine`: phases of one heartbeat to volumes, ejection fraction and mass.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use clap::Args;
use prism_core::cine::{Cine, CineError, chambers, phases_of};
use prism_core::facts;
use prism_core::formats::{Scan, Study, nifti};
use prism_core::measure::{quality, structures};
use prism_core::model::Pack;
use prism_core::pipeline::{DeviceReport, Devices, Quiet};
use prism_core::report::{
    CineReport, HeartFacts, Report, ReportInput, SoftwareFacts, StageTime, cine_cautions,
};

use crate::files::{self, ModelArguments};
use crate::{report, segment};

#[derive(Args)]
pub struct Arguments {
    /// Phases in order: a 4-D file, a file each, or a folder with a DICOM series
    #[arg(required = true)]
    phases: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArguments,
    /// Series of the studies, as `prism info` lists it [default: the one with most phases]
    #[arg(long)]
    series: Option<String>,
    /// Folder for the labels of every phase (phase-1.nii.gz ...)
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Also write a table, a line a phase
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Also write phases and function
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also write the report (.html, .json for FHIR R4, or plain text for any other ending)
    #[arg(long)]
    report: Option<PathBuf>,
}

/// What a report says of phases beside their function.
struct Run<'a> {
    pack: &'a Pack,
    device: &'a DeviceReport,
    /// The first phase; its voxels are those of the report.
    scan: &'a Scan,
    started: &'a str,
    seconds: f64,
}

impl Run<'_> {
    /// Structures and image quality are those of the first phase that was measured.
    fn report_input(&self, cine: &Cine, phases: CineReport) -> ReportInput {
        let table = &self.pack.info.labels;
        let shown = cine.phases().iter().find(|phase| phase.labels.is_some());
        let labels = shown.and_then(|phase| phase.labels.as_ref());
        let volume = shown.map_or(&self.scan.volume, |phase| &phase.volume);
        ReportInput {
            scan: facts::scan(self.scan, 0),
            structures: labels.map(|labels| structures(labels, table)).unwrap_or_default(),
            quality: quality(volume, labels.map(|labels| (labels, table))),
            answers: Vec::new(),
            identified: None,
            lesions: None,
            heart: Some(HeartFacts::of(
                phases,
                facts::pack(&self.pack.info),
                &self.pack.info.scores,
            )),
            comparison: None,
            maps: None,
            pack: facts::pack(&self.pack.info),
            device: facts::device(self.device),
            timings: vec![StageTime { stage: "phases".into(), seconds: self.seconds }],
            software: SoftwareFacts::default(),
            started: self.started.to_owned(),
            warnings: self.scan.warnings.iter().cloned().chain(cine.unlike()).collect(),
        }
    }
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let pack = arguments.model.pack()?;
    chambers(&pack).map_err(|error| match error {
        CineError::NoHeart(title) => {
            format!("the pack \"{title}\" outlines no heart; name a cardiac pack with --pack")
        }
        other => other.to_string(),
    })?;
    let (started, clock) = (segment::utc(SystemTime::now()), Instant::now());
    let mut cine = Cine::default();
    let mut first = None;
    let mut notes: Vec<String> = Vec::new();
    for path in &arguments.phases {
        let input = files::whole_scan(path).files()?;
        let study = Study::open(&input)?;
        for phase in phases_of(&study, arguments.series.as_deref())? {
            let scan = study.load(&phase)?;
            notes.extend(scan.warnings.iter().cloned());
            if arguments.report.is_some() {
                first.get_or_insert_with(|| scan.clone());
            }
            cine.push(scan)?;
        }
    }
    notes.extend(cine.unlike());
    // What is odd about one phase is odd about all.
    notes.sort();
    notes.dedup();
    notes.iter().for_each(|note| eprintln!("prism: note: {note}"));
    let opened = Devices::default().open_for(arguments.model.device, &pack).await?;
    let model = opened.load(&pack)?;
    if let Some(folder) = &arguments.output {
        std::fs::create_dir_all(folder).map_err(|error| files::unreadable(folder, &error))?;
    }
    for at in 0..cine.phases().len() {
        let phase = cine.measure(at, (&model, &pack), &mut Quiet).await?;
        if let (Some(folder), Some(labels)) = (&arguments.output, &phase.labels) {
            let labels = nifti::write_labels(labels, &pack.info.labels)?;
            files::write(&folder.join(format!("phase-{}.nii.gz", at + 1)), &labels)?;
        }
    }
    let report = cine.report(&pack.info.scores);
    // Nothing was found anywhere: that is no result.
    if let Some(reason) = report.phases.first().and_then(|phase| phase.refused.as_ref())
        && report.phases.iter().all(|phase| phase.volumes.is_none())
    {
        return Err(reason.clone().into());
    }
    if let Some(path) = &arguments.csv {
        files::write(path, report.to_csv().as_bytes())?;
    }
    if let Some(path) = &arguments.json {
        files::write(path, report.to_json()?.as_bytes())?;
    }
    if let (Some(path), Some(scan)) = (&arguments.report, &first) {
        let device = &opened.report;
        let seconds = clock.elapsed().as_secs_f64();
        let run = Run { pack: &pack, device, scan, started: &started, seconds };
        let input = run.report_input(&cine, report.clone());
        report::write(path, &Report::write(&input), &input)?;
    }
    print!("{}", report.to_text());
    cine_cautions(&pack.info.scores).iter().for_each(|caution| println!("{caution}"));
    Ok(())
}
