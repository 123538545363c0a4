//! `prism follow-up`: one person at two times.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use prism_core::follow_up::{Change, Lesion, follow_up, local_change, new_lesions};
use prism_core::formats::Scan;
use prism_core::formats::nifti::{write_labels, write_volume};
use prism_core::model::Prism;
use prism_core::pipeline::{Devices, Quiet};
use prism_core::registration::Transform;
use prism_core::report::{Course, Timeline};
use prism_core::volume::{Label, LabelTable};
use serde::Serialize;

use crate::files::{self, ModelArguments};

#[derive(Args)]
pub struct Arguments {
    /// The first scan
    baseline: PathBuf,
    /// The scan of a later time
    follow_up: PathBuf,
    #[command(flatten)]
    model: ModelArguments,
    /// Years between the scans, for change in percent a year [default: between the study
    /// dates, where both scans are DICOM and have one]
    #[arg(long)]
    years: Option<f64>,
    /// Also draw the volumes at both times with their intervals (.svg)
    #[arg(long)]
    timeline: Option<PathBuf>,
    /// Also write the changes as a table
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Also write everything that was found as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also write how much each place grew (above 1) or shrank: determinant of the Jacobian
    /// on the baseline's grid (.nii.gz)
    #[arg(long)]
    jacobian: Option<PathBuf>,
    /// Look for new bright spots and write them on the follow-up's grid (.nii.gz); both
    /// scans must be of one sequence
    #[arg(long)]
    lesions: Option<PathBuf>,
}

#[derive(Serialize)]
struct Summary {
    years: Option<f64>,
    rotation_degrees: f64,
    shift_mm: f64,
    changes: Vec<Change>,
    lesions: Option<Vec<Lesion>>,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let baseline = files::whole_scan(&arguments.baseline).load()?;
    let later = files::whole_scan(&arguments.follow_up).load()?;
    let years = arguments.years.or_else(|| between(&baseline, &later));
    let (baseline, later) = (baseline.volume, later.volume);
    let pack = arguments.model.pack()?;
    let opened = Devices::default().open_for(arguments.model.device, &pack).await?;
    let model = Prism::load(&pack, &opened.device)?;
    let with = (&model, &pack);
    let found = follow_up(&baseline, &later, years, with, &mut Quiet).await?;
    if let Some(path) = &arguments.jacobian {
        let map = local_change([&baseline, &later], Some(found.maps), with, &mut Quiet).await?;
        files::write(path, &write_volume(&map)?)?;
    }
    let mut lesions = None;
    if let Some(path) = &arguments.lesions {
        let spots = new_lesions(&found.scans, &found.labels, &pack.info.labels);
        // From points of the follow-up to those half-way.
        let back = Transform { affine: found.maps[1].inverse()?, deformation: None };
        let mask = back.warp_labels(&spots.mask, later.dims, &later.affine)?;
        files::write(path, &write_labels(&mask, &spot_table())?)?;
        lesions = Some(spots.spots);
    }
    if let Some(path) = &arguments.csv {
        files::write(path, table(&found.changes).as_bytes())?;
    }
    let summary = Summary {
        years,
        rotation_degrees: found.motion.0,
        shift_mm: found.motion.1,
        changes: found.changes,
        lesions,
    };
    if let Some(path) = &arguments.json {
        files::write(path, serde_json::to_string_pretty(&summary)?.as_bytes())?;
    }
    if let Some(path) = &arguments.timeline {
        files::write(path, timeline(&summary).to_svg().as_bytes())?;
    }
    print!("{}", words(&summary));
    Ok(())
}

/// Years between the days of the studies, where both are known and not the same.
fn between(baseline: &Scan, later: &Scan) -> Option<f64> {
    let [first, second] = [baseline, later].map(|scan| scan.series.acquisition.study_date);
    let years = first?.years_to(second?);
    if years < 0.0 {
        eprintln!("prism: note: by their study dates the follow-up is older than the baseline");
    }
    Some(years).filter(|&years| years > 0.0)
}

/// Without dates: who asks for a drawing need not want them in it.
fn timeline(summary: &Summary) -> Timeline {
    let courses = summary.changes.iter().map(|change| Course {
        index: change.index,
        name: change.name.clone(),
        millilitres: [change.baseline_ml, change.later_ml],
        intervals: change.intervals_ml,
        interval: change.interval_ml,
        changed: change.changed,
    });
    let times = ["baseline", "follow-up"].map(Into::into);
    Timeline { times, years: summary.years, courses: courses.collect() }
}

/// What is to be said in a terminal: only what lies outside its interval is a change.
fn words(summary: &Summary) -> String {
    let mut text = String::new();
    let changed: Vec<&Change> = summary.changes.iter().filter(|c| c.changed).collect();
    for change in &changed {
        let rate = change.percent_a_year.map_or(String::new(), |r| format!(", {r:+.1} % a year"));
        let _ = writeln!(
            text,
            "{}: {:.2} to {:.2} mL, {:+.2} mL (interval {:.2} mL), {:+.1} %{rate}",
            change.name,
            change.baseline_ml,
            change.later_ml,
            change.change_ml,
            change.interval_ml,
            change.change_percent,
        );
    }
    let rest = summary.changes.len() - changed.len();
    let _ = writeln!(text, "{rest} structures without a change outside their interval");
    if let Some(spots) = &summary.lesions {
        let all: f64 = spots.iter().map(|spot| spot.millilitres).sum();
        let _ = writeln!(text, "{} new or larger bright spots, {all:.2} mL", spots.len());
    }
    text
}

fn table(changes: &[Change]) -> String {
    let mut text = String::from(
        "id,structure,baseline_ml,follow_up_ml,change_ml,interval_ml,change_percent,percent_a_year,changed\n",
    );
    for c in changes {
        let rate = c.percent_a_year.map_or(String::new(), |rate| format!("{rate:.3}"));
        let _ = writeln!(
            text,
            "{},{},{:.4},{:.4},{:.4},{:.4},{:.3},{rate},{}",
            c.id,
            c.name,
            c.baseline_ml,
            c.later_ml,
            c.change_ml,
            c.interval_ml,
            c.change_percent,
            c.changed
        );
    }
    text
}

fn spot_table() -> LabelTable {
    let label = Label {
        index: 1,
        id: 1,
        name: "new-or-larger".into(),
        color: [230, 159, 0],
        side: None,
        pair: None,
    };
    LabelTable { labels: vec![label] }
}
