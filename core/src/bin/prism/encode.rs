//! `prism encode`: pooled features (structure and sequence where the encoder has these
//! branches, and fused), and the feature maps.

use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use prism_core::pipeline::{self, Devices, Quiet};
use safetensors::tensor::{Dtype, TensorView};

use crate::files::{self, ModelArguments, ScanArguments};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scan: ScanArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// Where the features go (safetensors)
    #[arg(short, long)]
    output: PathBuf,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let pack = arguments.model.pack()?;
    let scan = arguments.scan.load()?;
    let opened = Devices::default().open_for(arguments.model.device, &pack).await?;
    let model = opened.load(&pack)?;
    let encoding = pipeline::encode(&scan.volume, &model, &pack, &mut Quiet).await?;
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = encoding
        .pooled
        .iter()
        .map(|feature| {
            let name = format!("pooled.{}", feature.name);
            (name, vec![feature.values.len()], bytes(&feature.values))
        })
        .collect();
    for map in &encoding.maps {
        tensors.push((map.name.clone(), map.shape.to_vec(), bytes(&map.values)));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, data)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let metadata = HashMap::from([
        ("pack".to_owned(), pack.info.name.clone()),
        ("sha256".to_owned(), pack.info.sha256.clone()),
        ("affine".to_owned(), serde_json::to_string(&encoding.affine)?),
    ]);
    files::write(&arguments.output, &safetensors::serialize(views, Some(metadata))?)?;
    let pooled: Vec<String> = encoding
        .pooled
        .iter()
        .map(|feature| format!("{} {} features", feature.values.len(), feature.name))
        .collect();
    println!("{}: {} maps, {}", arguments.output.display(), encoding.maps.len(), pooled.join(", "));
    if !encoding.left_out.is_empty() {
        println!("  too large and left out: {}", encoding.left_out.join(", "));
    }
    Ok(())
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
