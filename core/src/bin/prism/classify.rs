//! `prism classify`: what a classifier of `prism fit-classifier`, or of the page, says of scans.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use prism_core::identify::taught;
use prism_core::identify::{Answer, NamedVector};
use prism_core::model::{Pack, Prism};
use prism_core::pipeline::{self, DeviceChoice, Devices, Quiet};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::Serialize;

use crate::files::{self, ModelArguments};

/// What `prism encode` calls its pooled vectors.
const POOLED: &str = "pooled.";

#[derive(Args)]
pub struct Arguments {
    /// The scans, each as in `prism segment`, or features of `prism encode` (.safetensors)
    #[arg(required = true)]
    scans: Vec<PathBuf>,
    /// The classifier
    #[arg(long)]
    head: PathBuf,
    #[command(flatten)]
    model: ModelArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is said of one scan.
#[derive(Serialize)]
struct Said {
    /// Number of the scan, in the order given.
    scan: usize,
    #[serde(flatten)]
    answer: Answer,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let bytes =
        fs::read(&arguments.head).map_err(|error| files::unreadable(&arguments.head, &error))?;
    let (heads, scores) = taught::read(&bytes)?;
    let mut encoder = Encoder::of(&arguments.model)?;
    heads.check_encoder(&encoder.pack.info.name, &encoder.pack.info.sha256)?;
    let mut said = Vec::new();
    for (scan, path) in arguments.scans.iter().enumerate() {
        let vectors = encoder.vectors(path).await?;
        said.push(Said { scan, answer: taught::answer(&heads, &named(&vectors))? });
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&said)?);
        return Ok(());
    }
    for Said { scan, answer } in &said {
        println!("{:<28} {}", arguments.scans[*scan].display(), answer.words());
    }
    println!("{}", scores.words());
    if let Some(caution) = heads.head(taught::TAUGHT)?.info.caution.as_deref() {
        println!("note: {caution}");
    }
    Ok(())
}

/// Pooled vectors by name.
pub type Vectors = Vec<(String, Vec<f32>)>;

fn named(vectors: &[(String, Vec<f32>)]) -> Vec<NamedVector<'_>> {
    vectors.iter().map(|(name, values)| (name.as_str(), values.as_slice())).collect()
}

/// Encodes scans; the network is built for the first that needs it.
pub struct Encoder {
    pub pack: Pack,
    device: DeviceChoice,
    model: Option<Prism>,
}

impl Encoder {
    /// Of the chosen pack.
    pub fn of(model: &ModelArguments) -> Result<Self, Box<dyn Error>> {
        Ok(Self { pack: model.pack()?, device: model.device, model: None })
    }

    /// The pooled vectors of a scan, or those that `prism encode` wrote.
    pub async fn vectors(&mut self, path: &Path) -> Result<Vectors, Box<dyn Error>> {
        if path.extension().is_some_and(|ending| ending == "safetensors") {
            return self.kept(path);
        }
        let scan = files::load(path)?;
        let model = match self.model.take() {
            Some(model) => model,
            None => {
                let opened = Devices::default().open_for(self.device, &self.pack).await?;
                opened.load(&self.pack)?
            }
        };
        let pooled = pipeline::pooled(&scan.volume, &model, &self.pack, &mut Quiet).await?;
        self.model = Some(model);
        let vectors = pooled.features.into_iter();
        Ok(vectors.map(|feature| (feature.name.to_owned(), feature.values)).collect())
    }

    fn kept(&self, path: &Path) -> Result<Vectors, Box<dyn Error>> {
        let bytes = fs::read(path).map_err(|error| files::unreadable(path, &error))?;
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let of: HashMap<String, String> = header.metadata().clone().unwrap_or_default();
        if of.get("sha256") != Some(&self.pack.info.sha256) {
            return Err(format!(
                "the features are not of the pack \"{}\"; encode the scan with it ({})",
                self.pack.info.name,
                path.display()
            )
            .into());
        }
        let mut found = Vectors::new();
        for (name, view) in SafeTensors::deserialize(&bytes)?.iter() {
            if let (Some(name), Dtype::F32) = (name.strip_prefix(POOLED), view.dtype()) {
                let words = view.data().chunks_exact(4);
                let values = words.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                found.push((name.to_owned(), values.collect()));
            }
        }
        // In the file they lie in no particular order.
        found.sort_by_key(|(name, _)| ORDER.iter().position(|wanted| wanted == name));
        Ok(found)
    }
}

/// The order in which the pipeline gives them.
const ORDER: [&str; 4] = ["structure", "sequence", "fused", "centre"];
