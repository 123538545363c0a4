//! `prism fit-classifier`: a head on pooled features from a few labelled scans.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use prism_core::features::teach;
use prism_core::identify::pack::EncoderName;
use prism_core::identify::taught::LabelledScan;
use serde_json::json;

use crate::classify::Encoder;
use crate::files::{self, ModelArguments};

#[derive(Args)]
pub struct Arguments {
    /// The scans, each as in `prism segment`, or features of `prism encode` (.safetensors)
    #[arg(required = true)]
    scans: Vec<PathBuf>,
    /// The label of each scan, in the same order, as in --labels plain plain contrast contrast
    #[arg(long, required = true, num_args = 1..)]
    labels: Vec<String>,
    /// Where the classifier goes (.safetensors)
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    model: ModelArguments,
    /// Also write what was chosen and the scores of scans left out
    #[arg(long)]
    json: Option<PathBuf>,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let (scans, labels) = (&arguments.scans, &arguments.labels);
    if scans.len() != labels.len() {
        let (scans, labels) = (scans.len(), labels.len());
        return Err(format!("{scans} scans and {labels} labels; give each scan one").into());
    }
    let mut encoder = Encoder::of(&arguments.model)?;
    let mut labelled = Vec::with_capacity(scans.len());
    for (path, label) in scans.iter().zip(labels) {
        let vectors = encoder.vectors(path).await?;
        labelled.push(LabelledScan { label: label.trim().to_owned(), vectors });
    }
    let taught = teach(&labelled)?;
    let info = &encoder.pack.info;
    let name = EncoderName { name: info.name.clone(), sha256: info.sha256.clone() };
    files::write(&arguments.output, &taught.to_bytes(name)?)?;
    if let Some(path) = &arguments.json {
        let summary = json!({
            "encoder": { "name": info.name, "sha256": info.sha256 },
            "head": taught.head.info,
            "scores": taught.scores,
        });
        files::write(path, serde_json::to_string_pretty(&summary)?.as_bytes())?;
    }
    println!("{}: {}", arguments.output.display(), taught.scores.choice());
    println!("  {}", taught.scores.words());
    for label in &taught.scores.labels {
        println!("  {:<24} {} of {} recognised", label.label, label.right, label.scans);
    }
    Ok(())
}
