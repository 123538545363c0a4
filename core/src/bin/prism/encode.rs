//! `prism encode`: pooled features (structure and sequence where the encoder has these
//! branches, and fused), the feature maps, and what the pack's heads say of the scan; with
//! `--together` what they say of several sequences of one study.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use prism_core::card::{Reading, reading};
use prism_core::model::Pack;
use prism_core::pipeline::{self, Answer, Devices, OpenedDevice, PooledFeature, Quiet};
use prism_core::volume::Volume;
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use crate::files::{self, ModelArguments, ScanArguments};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scan: ScanArguments,
    /// Further sequences of the same study, on any grid
    #[arg(requires = "together")]
    more: Vec<PathBuf>,
    /// One answer of the pack's heads for all sequences: each goes through the encoder by itself,
    /// whole or, where it is too large for one pass, its middle window, which the answer says; the
    /// heads fuse them. The file then has the pooled features of every scan and no maps, and in
    /// its metadata the sides of the windows (middle_voxels, null for a whole scan)
    #[arg(long, conflicts_with_all = ["series", "volume"])]
    together: bool,
    #[command(flatten)]
    model: ModelArguments,
    /// Where the features go (safetensors); the heads' answers stand in its metadata
    #[arg(short, long)]
    output: PathBuf,
    /// Print the heads' answers as JSON, also of heads that are not shown otherwise as real scans
    /// did not bear them out: these are marked "unscored"
    #[arg(long)]
    json: bool,
}

/// An answer as files and `--json` have it.
#[derive(Serialize)]
struct Marked<'a> {
    #[serde(flatten)]
    answer: &'a Answer,
    /// Whether it is no finding: real scans did not bear out the head.
    unscored: bool,
}

fn marked<'a>(answers: &'a [Answer], pack: &Pack) -> Vec<Marked<'a>> {
    let unscored = |answer: &Answer| !pipeline::measured(pack, &answer.head).told;
    answers.iter().map(|answer| Marked { answer, unscored: unscored(answer) }).collect()
}

/// Name, shape and bytes of a tensor.
type Stored = (String, Vec<usize>, Vec<u8>);

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let pack = arguments.model.pack()?;
    if arguments.together {
        return together(arguments, &pack).await;
    }
    let scan = arguments.scan.load()?;
    let opened = opened(arguments, &pack).await?;
    let model = opened.load(&pack)?;
    let encoding = pipeline::encode(&scan.volume, &model, &pack, &mut Quiet).await?;
    let mut tensors = pooled(&encoding.pooled, "");
    for map in &encoding.maps {
        tensors.push((map.name.clone(), map.shape.to_vec(), bytes(&map.values)));
    }
    let affine = ("affine".to_owned(), serde_json::to_string(&encoding.affine)?);
    write(&arguments.output, &tensors, &pack, &encoding.answers, Some(affine))?;
    let pooled: Vec<String> = encoding
        .pooled
        .iter()
        .map(|feature| format!("{} {} features", feature.values.len(), feature.name))
        .collect();
    if !arguments.json {
        let output = arguments.output.display();
        println!("{output}: {} maps, {}", encoding.maps.len(), pooled.join(", "));
        if !encoding.left_out.is_empty() {
            println!("  too large and left out: {}", encoding.left_out.join(", "));
        }
    }
    print(&encoding.answers, &pack, 1, arguments.json)
}

/// The heads' answers for the sequences of one study.
async fn together(arguments: &Arguments, pack: &Pack) -> Result<(), Box<dyn Error>> {
    let paths = std::iter::once(&arguments.scan.scan).chain(&arguments.more);
    let scans: Vec<Volume> =
        paths.map(|path| Ok(files::load(path)?.volume)).collect::<Result<_, Box<dyn Error>>>()?;
    let scans: Vec<&Volume> = scans.iter().collect();
    let opened = opened(arguments, pack).await?;
    let model = opened.load(pack)?;
    let found = pipeline::answer_together(&scans, &model, pack, &mut Quiet).await?;
    let numbered = found.pooled.iter().enumerate();
    let tensors: Vec<Stored> =
        numbered.flat_map(|(scan, features)| pooled(features, &format!("{scan}."))).collect();
    let read = ("middle_voxels".to_owned(), serde_json::to_string(&found.middles)?);
    write(&arguments.output, &tensors, pack, &found.answers, Some(read))?;
    let part = part(&found.middles).map_or_else(String::new, |part| format!(", {part}"));
    if !arguments.json {
        println!("{}: {} scans together{part}", arguments.output.display(), scans.len());
    }
    print(&found.answers, pack, scans.len(), arguments.json)
}

/// Of what part of the scans the answers are, where some were too large to be read whole.
fn part(middles: &[Option<[usize; 3]>]) -> Option<String> {
    let words = |[x, y, z]: [usize; 3]| format!("the middle {x} x {y} x {z} voxels");
    if let Some(&Some(first)) = middles.first()
        && middles.iter().all(|&middle| middle == Some(first))
    {
        return Some(format!("of {} of each", words(first)));
    }
    let cut = (1..).zip(middles).filter_map(|(scan, &middle)| Some((scan, middle?)));
    let cut: Vec<String> =
        cut.map(|(scan, middle)| format!("{} of scan {scan}", words(middle))).collect();
    (!cut.is_empty()).then(|| format!("of {}", cut.join(", ")))
}

async fn opened(arguments: &Arguments, pack: &Pack) -> Result<OpenedDevice, Box<dyn Error>> {
    Ok(Devices::default().open_for(arguments.model.device, pack).await?)
}

/// Pooled features as `pooled.NAME`, behind what tells the scan.
fn pooled(features: &[PooledFeature], scan: &str) -> Vec<Stored> {
    features
        .iter()
        .map(|feature| {
            let name = format!("{scan}pooled.{}", feature.name);
            (name, vec![feature.values.len()], bytes(&feature.values))
        })
        .collect()
}

fn write(
    path: &Path,
    tensors: &[Stored],
    pack: &Pack,
    answers: &[Answer],
    more: Option<(String, String)>,
) -> Result<(), Box<dyn Error>> {
    let views = tensors
        .iter()
        .map(|(name, shape, data)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let mut metadata = HashMap::from([
        ("pack".to_owned(), pack.info.name.clone()),
        ("sha256".to_owned(), pack.info.sha256.clone()),
    ]);
    metadata.extend(more);
    if !answers.is_empty() {
        metadata.insert("answers".to_owned(), serde_json::to_string(&marked(answers, pack))?);
    }
    files::write(path, &safetensors::serialize(views, Some(metadata))?)
}

/// What the heads say, how well each was measured, and which of them say nothing. What is no
/// finding is not shown, except as JSON.
fn print(answers: &[Answer], pack: &Pack, scans: usize, json: bool) -> Result<(), Box<dyn Error>> {
    let architecture = &pack.info.architecture;
    if json {
        println!("{}", serde_json::to_string_pretty(&marked(answers, pack))?);
    }
    for answer in answers.iter().filter(|_| !json) {
        let measured = pipeline::measured(pack, &answer.head);
        if !measured.told {
            println!("  {}: not shown: {}", answer.head, measured.words);
            continue;
        }
        let shares = architecture.classifies(&answer.head);
        let outputs = answer.outputs.iter().zip(&answer.values);
        let said: Vec<String> =
            outputs.map(|(output, &value)| words(output, value.into(), shares)).collect();
        println!("  {}: {}", answer.head, said.join(", "));
        println!("    {}", measured.words);
    }
    for (head, wanted) in architecture.wanting(scans) {
        let how = if scans == 1 { " (--together)" } else { "" };
        eprintln!(
            "prism: note: the head \"{head}\" wants {wanted} sequences of one study together{how}"
        );
    }
    Ok(())
}

/// An output and its value: a probability in percent, another value in its own unit.
fn words(output: &str, value: f64, share: bool) -> String {
    if share {
        return format!("{output} {:.1} %", 100.0 * value);
    }
    let Reading { name, value, unit } = reading(output, value);
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{name} {value:.decimals$} {unit}").trim_end().to_owned()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_part_of_the_scans_was_read_is_said() {
        let [large, flat] = [Some([96; 3]), Some([96, 96, 32])];
        let said = |middles: &[_]| part(middles).unwrap_or_default();
        assert_eq!(said(&[large, large]), "of the middle 96 x 96 x 96 voxels of each");
        let one = said(&[None, large]);
        assert_eq!(one, "of the middle 96 x 96 x 96 voxels of scan 2");
        assert!(said(&[flat, large]).starts_with("of the middle 96 x 96 x 32 voxels of scan 1, "));
        assert_eq!(part(&[None, None]), None);
    }

    #[test]
    fn values_stand_in_their_own_units() {
        assert_eq!(words("head", 0.714, true), "head 71.4 %");
        // math.exp(6.2) = 492.749, math.exp(2.5) = 12.182
        assert_eq!(words("ln TR / ms", 6.2, false), "TR 493 ms");
        assert_eq!(words("ln TE / ms", 2.5, false), "TE 12.2 ms");
        assert_eq!(words("age_years", 41.34, false), "age_years 41.3");
    }
}
