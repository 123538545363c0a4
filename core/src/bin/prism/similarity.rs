//! `prism similarity`: where in a scan it looks like at a place of this or another scan.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use prism_core::features::{extract, query, similarity};
use prism_core::formats::nifti::write_volume;
use prism_core::pipeline::{Devices, Quiet};
use serde::Serialize;

use crate::files::{self, ModelArguments, ScanArguments};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scan: ScanArguments,
    /// The scans to search [default: the scan itself]
    #[arg(value_name = "OTHER")]
    others: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArguments,
    /// World point x,y,z in millimetres (RAS+); repeat for several
    #[arg(long, required = true, allow_hyphen_values = true, value_parser = point)]
    at: Vec<[f64; 3]>,
    /// Also write the similarity of every place to the first point (.nii.gz or .nii), of the first OTHER
    #[arg(long, value_parser = files::nifti_path())]
    map: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The best match of one point in one scan.
#[derive(Serialize)]
struct Match {
    /// Number of the searched scan, in the order given.
    scan: usize,
    at_mm: [f64; 3],
    best_mm: [f64; 3],
    /// Mean cosine over the maps.
    score: f32,
}

fn point(text: &str) -> Result<[f64; 3], String> {
    let values: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    let values = values.map_err(|_| "three numbers, as in 12,-20.5,31")?;
    values.try_into().map_err(|_| "three numbers, as in 12,-20.5,31".into())
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let pack = arguments.model.pack()?;
    let scan = arguments.scan.load()?;
    let opened = Devices::default().open_for(arguments.model.device, &pack).await?;
    let model = opened.load(&pack)?;
    let features = extract(&scan.volume, &model, &pack, &mut Quiet).await?;
    let queries = arguments
        .at
        .iter()
        .map(|&at| Ok((at, query(&features, at)?)))
        .collect::<Result<Vec<_>, prism_core::features::FeatureError>>()?;
    let mut matches = Vec::new();
    let itself = arguments.others.is_empty();
    for number in 0..arguments.others.len().max(1) {
        let other = match arguments.others.get(number) {
            None => None,
            Some(path) => {
                let other = files::load(path)?;
                Some(extract(&other.volume, &model, &pack, &mut Quiet).await?)
            }
        };
        let searched = if itself { &features } else { other.as_ref().unwrap_or(&features) };
        for (at_mm, query) in &queries {
            let found = similarity(query, searched)?;
            if let Some(path) = arguments.map.as_ref().filter(|_| matches.is_empty()) {
                files::write(path, &write_volume(&found.map)?)?;
            }
            let (best_mm, score) = (found.best_mm, found.score);
            matches.push(Match { scan: number, at_mm: *at_mm, best_mm, score });
        }
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&matches)?);
        return Ok(());
    }
    for found in matches {
        let [x, y, z] = found.at_mm;
        let [bx, by, bz] = found.best_mm;
        println!(
            "({x:.1}, {y:.1}, {z:.1}) mm: most similar at ({bx:.1}, {by:.1}, {bz:.1}) mm, {:.3}",
            found.score
        );
    }
    Ok(())
}
