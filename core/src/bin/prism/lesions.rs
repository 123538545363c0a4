//! `prism lesions`: what is abnormal in one or several sequences of a brain.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use prism_core::formats::nifti::write_labels;
use prism_core::lesions::{FalseAlarms, Placed, find, lesions_csv, place};
use prism_core::model::Pack;
use prism_core::pipeline::{self, Devices, Quiet};
use prism_core::report::lesion_caution;
use prism_core::volume::Volume;
use serde::Serialize;

use crate::files::{self, BrainArguments, unreadable};

#[derive(Args)]
pub struct Arguments {
    /// Sequences of one study, in any order, any of them missing: T1w, T1w after contrast,
    /// T2w, FLAIR; those that do not lie on the first one are registered to it
    #[arg(required = true)]
    scans: Vec<PathBuf>,
    /// Lesion pack (public/packs/lesions.safetensors)
    #[arg(long)]
    pack: PathBuf,
    #[command(flatten)]
    brain: BrainArguments,
    /// Where the lesions go (.nii.gz or .nii), on the first scan's own grid
    #[arg(short, long, value_parser = files::nifti_path())]
    output: PathBuf,
    /// Also write the table
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A scan that was given, and how far it was moved onto the first one.
#[derive(Serialize)]
struct Sequence {
    file: String,
    moved_mm: Option<f64>,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let pack = read(&arguments.pack)?;
    let brain = arguments.brain.pack()?;
    let (first, others) = arguments.scans.split_first().ok_or("no scan was given")?;
    let mut scans = vec![files::load(first)?.volume];
    let mut sequences = vec![Sequence { file: name(first), moved_mm: None }];
    for (path, placed) in others.iter().zip(placed(&scans[0], others).await?) {
        sequences.push(Sequence { file: name(path), moved_mm: placed.moved_mm });
        scans.push(placed.volume);
    }
    let mut devices = Devices::default();
    let opened = devices.open_for(arguments.brain.device, &brain).await?;
    let model = opened.load(&brain)?;
    let structures = pipeline::segment(&scans[0], &model, &brain, &mut Quiet).await?;
    let opened = devices.open_for(arguments.brain.device, &pack).await?;
    let model = opened.load(&pack)?;
    let regions = (&structures.labels, &brain.info.labels);
    let scans: Vec<&Volume> = scans.iter().collect();
    let found = find(&scans, regions, &model, &pack, &mut Quiet).await?;
    files::write(&arguments.output, &write_labels(&found.labels, &pack.info.labels)?)?;
    if let Some(path) = &arguments.csv {
        files::write(path, lesions_csv(&found.lesions).as_bytes())?;
    }
    let false_alarms = FalseAlarms::of(&pack.info.scores);
    if arguments.json {
        let all = serde_json::json!({
            "summary": found.summary, "lesions": found.lesions, "sequences": sequences,
            "false_alarms": false_alarms, "caution": lesion_caution(false_alarms).text,
        });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    for sequence in &sequences[1..] {
        println!("{}: {}", sequence.file, words(sequence.moved_mm));
    }
    let summary = &found.summary;
    println!("{} lesion(s), {:.2} mL", summary.lesions, summary.millilitres);
    if let Some(probability) = summary.probability {
        println!(
            "probability of any lesion: {probability:.3}, from {:.2} mL weighted by certainty",
            summary.evidence_ml
        );
    }
    let first = if summary.sequences > 1 { " in the first sequence" } else { "" };
    for lesion in &found.lesions {
        println!(
            "{:>3}  {}, {:.2} mL, {:.0} mm, {}{}{}",
            lesion.number,
            lesion.kind,
            lesion.millilitres,
            lesion.diameter_mm,
            lesion.place.words(),
            lesion.region.as_ref().map(|region| format!(", {region}")).unwrap_or_default(),
            lesion.signal.map(|signal| format!(", {}{first}", signal.words())).unwrap_or_default(),
        );
    }
    println!("{}", lesion_caution(false_alarms).text);
    Ok(())
}

/// Reads the lesion pack.
pub fn read(path: &Path) -> Result<Pack, Box<dyn Error>> {
    Ok(Pack::read(&fs::read(path).map_err(|error| unreadable(path, &error))?)?)
}

/// Further sequences on the grid of the first scan.
pub async fn placed(first: &Volume, paths: &[PathBuf]) -> Result<Vec<Placed>, Box<dyn Error>> {
    let mut all = Vec::with_capacity(paths.len());
    for path in paths {
        let scan = files::load(path)?.volume;
        let placed = place(first, &scan, &mut Quiet).await;
        all.push(placed.map_err(|error| format!("{error} ({})", path.display()))?);
    }
    Ok(all)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where a sequence lay.
fn words(moved_mm: Option<f64>) -> String {
    moved_mm.map_or_else(
        || "lies on the first scan".into(),
        |mm| format!("registered to the first scan, moved by {mm:.1} mm"),
    )
}
