//! `prism cine`: phases of one heartbeat to volumes, ejection fraction and mass.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use prism_core::formats::{self, Selection, nifti};
use prism_core::measure::cardiac::{
    Chambers, Implausible, Phase, check_labels, check_stack, function,
};
use prism_core::model::Prism;
use prism_core::pipeline::{self, Devices, Quiet};
use prism_core::report::CineReport;

use crate::files::{self, ModelArguments};

#[derive(Args)]
pub struct Arguments {
    /// Phases in order, a file each, or one 4-D file
    #[arg(required = true)]
    phases: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArguments,
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
    let chambers = Chambers::of(&pack.info.labels).ok_or_else(|| {
        format!(
            "the pack \"{}\" outlines no heart; name a cardiac pack with --pack",
            pack.info.name
        )
    })?;
    let opened = Devices::default().open(arguments.model.device).await?;
    let model = Prism::load(&pack, &opened.device)?;
    if let Some(folder) = &arguments.output {
        std::fs::create_dir_all(folder).map_err(|error| files::unreadable(folder, &error))?;
    }
    let mut report = CineReport { unit_stated: true, phases: Vec::new(), function: None };
    for path in &arguments.phases {
        let input = files::whole_scan(path).files()?;
        let volumes = formats::list(&input)?.iter().map(|series| series.volumes).max().unwrap_or(1);
        for volume in 0..volumes {
            let scan = formats::load(&input, &Selection { series: None, volume })?;
            let number = report.phases.len() + 1;
            let named = |error: Implausible| format!("phase {number}: {error}");
            check_stack(scan.volume.dims, &scan.volume.affine).map_err(named)?;
            let given = (&scan.volume, scan.series.unit_stated);
            let result = pipeline::segment_stated(given, &model, &pack, &mut Quiet).await?;
            check_labels(&result.labels, chambers).map_err(named)?;
            report.unit_stated &= scan.series.unit_stated;
            report.phases.push(Phase::of(&result.labels, chambers));
            if let Some(folder) = &arguments.output {
                let labels = nifti::write_labels(&result.labels, &pack.info.labels)?;
                files::write(&folder.join(format!("phase-{number}.nii.gz")), &labels)?;
            }
        }
    }
    report.function = function(&report.phases);
    if let Some(path) = &arguments.csv {
        files::write(path, report.to_csv().as_bytes())?;
    }
    if let Some(path) = &arguments.json {
        files::write(path, serde_json::to_string_pretty(&report)?.as_bytes())?;
    }
    print!("{}", report.to_text());
    if let Some(known) = known_errors(&pack.info.scores) {
        println!("{known}");
    }
    Ok(())
}

/// How far the pack was from drawn hearts, as its scores say.
fn known_errors(scores: &serde_json::Value) -> Option<String> {
    let function = scores.get("function")?;
    let number = |key: &str| function.get(key)?.as_f64();
    Some(format!(
        "Against hearts drawn by hand ({} patients, not trained on) this pack's ejection fraction is off by \
         {:.1} points on average on the left and {:.1} on the right; its myocardium measures {:.2} times \
         the drawn one.",
        number("patients")?,
        number("Left-Ventricle EF mean absolute error, points")?,
        number("Right-Ventricle EF mean absolute error, points")?,
        number("Myocardium at diastole, predicted / drawn")?
    ))
}
