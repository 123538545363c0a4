//! `prism cine`: phases of one heartbeat to volumes, ejection fraction and mass.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use prism_core::cine::{Cine, CineError, chambers, phases_of};
use prism_core::formats::{Study, nifti};
use prism_core::model::Prism;
use prism_core::pipeline::{Devices, Quiet};
use prism_core::report::cine_cautions;

use crate::files::{self, ModelArguments};

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
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let pack = arguments.model.pack()?;
    chambers(&pack).map_err(|error| match error {
        CineError::NoHeart(title) => {
            format!("the pack \"{title}\" outlines no heart; name a cardiac pack with --pack")
        }
        other => other.to_string(),
    })?;
    let mut cine = Cine::default();
    let mut notes: Vec<String> = Vec::new();
    for path in &arguments.phases {
        let input = files::whole_scan(path).files()?;
        let study = Study::open(&input)?;
        for phase in phases_of(&study, arguments.series.as_deref())? {
            let scan = study.load(&phase)?;
            notes.extend(scan.warnings.iter().cloned());
            cine.push(scan)?;
        }
    }
    // What is odd about one phase is odd about all.
    notes.sort();
    notes.dedup();
    notes.iter().for_each(|note| eprintln!("prism: note: {note}"));
    let opened = Devices::default().open_for(arguments.model.device, &pack).await?;
    let model = Prism::load(&pack, &opened.device)?;
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
    let report = cine.report();
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
        files::write(path, serde_json::to_string_pretty(&report)?.as_bytes())?;
    }
    print!("{}", report.to_text());
    cine_cautions(&pack.info.scores).iter().for_each(|caution| println!("{caution}"));
    Ok(())
}
