//! `prism fit`: a head from a few labelled scans, the encoder frozen, saved as a pack.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use prism_core::features::{FeatureError, Fitted, Labelled, Naming, extract, fit_scans};
use prism_core::pipeline::{Devices, Quiet};
use prism_core::volume::{Label, LabelMap, LabelTable, Volume, class_color};
use serde_json::json;

use crate::files::{self, ModelArguments};

#[derive(Args)]
pub struct Arguments {
    /// The scans, each as in `prism segment`
    #[arg(required = true)]
    scans: Vec<PathBuf>,
    /// A label map for each scan, in the same order and on the same grid
    #[arg(long, required = true, num_args = 1..)]
    labels: Vec<PathBuf>,
    /// A number in the label maps and its name, as in 17=Left-Hippocampus; repeat for several.
    /// Everything else is background
    #[arg(long = "class", required = true, value_parser = class)]
    classes: Vec<(u16, String)>,
    /// Where the pack goes (.safetensors)
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    model: ModelArguments,
    /// Title of the pack [default: the names of the classes]
    #[arg(long)]
    title: Option<String>,
    /// Also write what was fitted and its cross-validated scores
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Farthest that labels may lie from the voxels of their scan, in voxels.
const MOST_APART: f64 = 0.01;

fn class(text: &str) -> Result<(u16, String), String> {
    let wrong = "a number above 0 and a name, as in 17=Left-Hippocampus";
    let (id, name) = text.split_once('=').ok_or(wrong)?;
    let id = id.trim().parse().ok().filter(|&id| id > 0).ok_or(wrong)?;
    Ok((id, name.trim().to_owned()))
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if arguments.scans.len() != arguments.labels.len() {
        return Err(format!(
            "{} scans and {} label maps; give one label map for each scan",
            arguments.scans.len(),
            arguments.labels.len()
        )
        .into());
    }
    let table = table(&arguments.classes)?;
    let pack = arguments.model.pack()?;
    let opened = Devices::default().open_for(arguments.model.device, &pack).await?;
    let model = opened.load(&pack)?;
    let mut scans = Vec::new();
    for (scan, path) in arguments.scans.iter().zip(&arguments.labels) {
        let scan = files::load(scan)?.volume;
        let labels = files::load(path)?.volume;
        if scan.dims != labels.dims {
            let (scan, labels) = (scan.dims, labels.dims);
            return Err(FeatureError::Grid { labels, scan }.into());
        }
        let apart = scan.affine.voxels_apart(&labels.affine, scan.dims)?;
        if apart > MOST_APART {
            return Err(format!("{} ({})", FeatureError::Place(apart), path.display()).into());
        }
        let features = extract(&scan, &model, &pack, &mut Quiet).await?;
        scans.push((features, chosen(&labels, &table)));
    }
    let examples: Vec<Labelled> =
        scans.iter().map(|(features, labels)| Labelled { features, labels }).collect();
    let fitted = fit_scans(&examples, table.labels.len() + 1).await?;
    let names: Vec<&str> = table.labels.iter().map(|label| label.name.as_str()).collect();
    let title = arguments.title.clone().unwrap_or_else(|| names.join(", "));
    let stem = arguments.output.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let naming = Naming { name: stem, title, labels: table.clone() };
    let result = fitted.to_pack(&pack, naming, examples.len())?;
    files::write(&arguments.output, &result.to_bytes()?)?;
    if let Some(path) = &arguments.json {
        let summary = json!({
            "encoder": { "name": pack.info.name, "sha256": pack.info.sha256 },
            "scans": examples.len(),
            "voxels": fitted.voxels,
            "lambda": fitted.lambda,
            "shift": fitted.shift,
            "classes": names,
            "scores": fitted.scores,
        });
        files::write(path, serde_json::to_string_pretty(&summary)?.as_bytes())?;
    }
    print(arguments, &fitted, &names);
    Ok(())
}

fn print(arguments: &Arguments, fitted: &Fitted, names: &[&str]) {
    println!(
        "{}: fitted on {} voxels of {} scan(s), lambda {}",
        arguments.output.display(),
        fitted.voxels,
        arguments.scans.len(),
        fitted.lambda
    );
    let scores = &fitted.scores;
    for (name, score) in names.iter().zip(scores.classes.iter().skip(1)) {
        if let Some(score) = score {
            println!("  {name:<24} Dice {score:.3} on scans left out");
        }
    }
    if let Some(note) = &scores.note {
        println!("  {note}");
    }
}

fn table(classes: &[(u16, String)]) -> Result<LabelTable, Box<dyn Error>> {
    let labels = classes.iter().zip(1..).map(|((id, name), index)| Label {
        index,
        id: *id,
        name: name.clone(),
        color: class_color(usize::from(index - 1)),
        side: None,
        pair: None,
    });
    let table = LabelTable { labels: labels.collect() };
    table.check()?;
    Ok(table)
}

/// The chosen numbers of a label map as classes.
fn chosen(labels: &Volume, table: &LabelTable) -> LabelMap {
    let class = |value: &f32| {
        let label = table.labels.iter().find(|label| f32::from(label.id) == value.round());
        label.map_or(0, |label| label.index)
    };
    LabelMap {
        data: labels.data.iter().map(class).collect(),
        dims: labels.dims,
        affine: labels.affine,
    }
}
