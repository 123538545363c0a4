//! Architectures as words: `swin-b`, `swin:dim=12,depths=2-2-2-2,heads=3-6-12-24`,
//! `compact`, and heads as `classification:name=contrast,outputs=T1w/T2w`.

use crate::model::config::{Merging, SwinConfig};
use crate::model::{EncoderConfig, Fusion, HeadConfig, PooledHeadConfig, PooledInput};

use super::ConvertError;
use super::checkpoint::Checkpoint;

/// Channels and convolutions of the compact pyramid, as it is trained here.
const COMPACT: ([usize; 5], [usize; 5]) = ([16, 32, 64, 128, 192], [1, 2, 2, 2, 2]);

/// Reads `swin-b`, `swin-l`, `swin-h`, `compact`, or either kind with its geometry:
/// `swin:dim=..,depths=a-b-c-d,heads=a-b-c-d[,window=7][,merging=repeated]`,
/// `compact:channels=a-b-..,convs=a-b-..`.
///
/// # Errors
/// [`ConvertError::Words`] that says what is not understood.
pub fn encoder(words: &str) -> Result<EncoderConfig, ConvertError> {
    let (kind, settings) = words.split_once(':').unwrap_or((words, ""));
    let config = match kind {
        "swin" => {
            let mut swin = SwinConfig { dim: 0, ..published("swin-b")? };
            for (key, value) in pairs(settings)? {
                match key {
                    "dim" => swin.dim = number(value)?,
                    "depths" => swin.depths = four(value)?,
                    "heads" => swin.heads = four(value)?,
                    "window" => swin.window = number(value)?,
                    "merging" => swin.merging = merging(value)?,
                    _ => return Err(unknown(key, "dim, depths, heads, window, merging")),
                }
            }
            if swin.dim == 0 {
                return Err(ConvertError::Words("swin: says no dim".into()));
            }
            EncoderConfig::Swin(swin)
        }
        "compact" => {
            let (mut channels, mut convs) = (COMPACT.0.to_vec(), COMPACT.1.to_vec());
            for (key, value) in pairs(settings)? {
                match key {
                    "channels" => channels = numbers(value)?,
                    "convs" => convs = numbers(value)?,
                    _ => return Err(unknown(key, "channels, convs")),
                }
            }
            EncoderConfig::ResidualPyramid { in_channels: 1, channels, convs }
        }
        _ => {
            let mut swin = published(kind)?;
            for (key, value) in pairs(settings)? {
                match key {
                    "merging" => swin.merging = merging(value)?,
                    _ => return Err(unknown(key, "merging")),
                }
            }
            EncoderConfig::Swin(swin)
        }
    };
    match config.problem() {
        None => Ok(config),
        Some(problem) => Err(ConvertError::Words(format!("the encoder {problem}"))),
    }
}

/// Reads `segmentation[:classes=N]`, or `classification:` or `regression:` with
/// `name=..,outputs=a/b/..[,input=structure|sequence|fused][,fusion=max|cat:N|trans:4]`, the
/// fusion of several sequences in the published code's words: N sequences joined, or a
/// transformer of 4 heads. Classes that are not said are those of the checkpoint's last
/// convolution.
///
/// # Errors
/// [`ConvertError::Words`] that says what is not understood.
pub fn head(words: &str, checkpoint: &Checkpoint) -> Result<HeadConfig, ConvertError> {
    let (kind, settings) = words.split_once(':').unwrap_or((words, ""));
    let settings = pairs(settings)?;
    let get = |wanted: &str| settings.iter().find(|(key, _)| *key == wanted).map(|(_, v)| *v);
    let known: &[&str] =
        if kind == "segmentation" { &["classes"] } else { &["name", "outputs", "input", "fusion"] };
    if let Some((key, _)) = settings.iter().find(|(key, _)| !known.contains(key)) {
        return Err(unknown(key, &known.join(", ")));
    }
    if kind == "segmentation" {
        let classes = match get("classes") {
            Some(classes) => number(classes)?,
            None => ["out.conv.conv.weight", "heads.segmentation.weight"]
                .iter()
                .find_map(|name| checkpoint.tensors.get(*name)?.shape.first().copied())
                .ok_or_else(|| {
                    ConvertError::Words(
                        "the checkpoint has no segmentation head to count classes of".into(),
                    )
                })?,
        };
        return Ok(HeadConfig::Segmentation { name: "segmentation".into(), classes });
    }
    let needs = |key: &str| ConvertError::Words(format!("head {kind} says no {key}"));
    let name = get("name").ok_or_else(|| needs("name"))?;
    // Those of the pretraining, part and meta.
    for layer in [format!("{name}_head"), name.to_owned()] {
        if checkpoint.tensors.contains_key(&format!("{layer}.weight")) {
            return Err(ConvertError::Words(format!(
                "the checkpoint's {layer} is one linear layer, a kind of head that packs do not \
                 have; leave it out (--allow-extra '{layer}.*')"
            )));
        }
    }
    let pooled = PooledHeadConfig {
        name: name.to_owned(),
        outputs: get("outputs")
            .ok_or_else(|| needs("outputs"))?
            .split('/')
            .map(str::to_owned)
            .collect(),
        input: match get("input").unwrap_or("fused") {
            "structure" => PooledInput::Structure,
            "sequence" => PooledInput::Sequence,
            "fused" => PooledInput::Fused,
            other => return Err(unknown(other, "structure, sequence, fused")),
        },
        fusion: get("fusion").map_or(Ok(Fusion::default()), fusion)?,
    };
    match kind {
        "classification" => Ok(HeadConfig::Classification(pooled)),
        "regression" => Ok(HeadConfig::Regression(pooled)),
        _ => Err(unknown(kind, "segmentation, classification, regression")),
    }
}

fn fusion(words: &str) -> Result<Fusion, ConvertError> {
    match words.split_once(':') {
        None if words == "max" => Ok(Fusion::Max),
        Some(("cat", sequences)) => Ok(Fusion::Concatenation { sequences: number(sequences)? }),
        Some(("trans", heads)) => Ok(Fusion::Transformer { heads: number(heads)? }),
        _ => Err(unknown(words, "max, cat:SEQUENCES, trans:HEADS")),
    }
}

/// Names under which the published code keeps a tensor of a classification or regression
/// head: `cls_head.{head}.0`, `.1` and `.4`, without the head's name where there is one head,
/// and `latent_agg` with `cls_token` for the fusion of all.
pub fn published_names(name: &str) -> Vec<String> {
    let Some((head, part)) = name.strip_prefix("heads.").and_then(|rest| rest.split_once('.'))
    else {
        return Vec::new();
    };
    let layer = |index: usize, kind: &str| {
        vec![format!("cls_head.{head}.{index}.{kind}"), format!("cls_head.{index}.{kind}")]
    };
    match part.split_once('.') {
        Some(("hidden", kind)) => layer(0, kind),
        Some(("norm", kind)) => layer(1, kind),
        Some(("output", kind)) => layer(4, kind),
        Some(("fusion", "cls_token")) => vec!["cls_token".into()],
        Some(("fusion", rest)) => vec![format!("latent_agg.{rest}")],
        _ => Vec::new(),
    }
}

/// Whether a published classifier (`MRI_CLS` in main/model/model_ft.py) fuses sequences with this
/// tensor. `latent_agg.0`, which joins structure and sequence in the pretraining, is another.
pub fn fuses(name: &str) -> bool {
    let layer = name.strip_prefix("latent_agg.");
    name == "cls_token"
        || layer.is_some_and(|layer| !layer.starts_with(|first: char| first.is_ascii_digit()))
}

/// How the checkpoint's classifier fuses sequences, as words for `fusion=`: `latent_agg`
/// `[C, N C]` joins N of them, what has more layers is the transformer, which the published code
/// gives four heads. `None` where nothing [`fuses`].
pub fn fusing(checkpoint: &Checkpoint) -> Option<String> {
    if !checkpoint.tensors.keys().any(|name| fuses(name)) {
        return None;
    }
    let shape = checkpoint.tensors.get("latent_agg.weight").map(|entry| entry.shape.as_slice());
    Some(match shape {
        Some(&[outputs, inputs]) if outputs > 0 && inputs.is_multiple_of(outputs) => {
            format!("cat:{}", inputs / outputs)
        }
        Some(_) => "cat:SEQUENCES".into(),
        None => "trans:4".into(),
    })
}

/// The geometry that a Swin checkpoint's own shapes speak of, as words for `--arch`.
pub fn guess(checkpoint: &Checkpoint) -> Option<String> {
    let shape = |name: &str| checkpoint.tensors.get(name).map(|entry| entry.shape.as_slice());
    let dim = *shape("swinViT.patch_embed.proj.weight")?.first()?;
    let block = |stage: usize, i: usize| {
        format!("swinViT.layers{stage}.0.blocks.{i}.attn.relative_position_bias_table")
    };
    let (mut depths, mut heads, mut window) = (Vec::new(), Vec::new(), 7);
    for stage in 1..=SwinConfig::STAGES {
        depths.push((0..64).take_while(|&i| shape(&block(stage, i)).is_some()).count().to_string());
        let [rows, count] = *shape(&block(stage, 0))? else { return None };
        heads.push(count.to_string());
        window = (2..=16).find(|w| (2 * w - 1_usize).pow(3) == rows)?;
    }
    let window = if window == 7 { String::new() } else { format!(",window={window}") };
    Some(format!("swin:dim={dim},depths={},heads={}{window}", depths.join("-"), heads.join("-")))
}

fn published(name: &str) -> Result<SwinConfig, ConvertError> {
    SwinConfig::published(name).ok_or_else(|| {
        unknown(name, "swin-b, swin-l, swin-h, swin:dim=..,depths=..,heads=.., compact")
    })
}

fn merging(value: &str) -> Result<Merging, ConvertError> {
    match value {
        "repeated" => Ok(Merging::Repeated),
        "corners" => Ok(Merging::Corners),
        "ordered" => Ok(Merging::Ordered),
        _ => Err(unknown(value, "repeated (MONAI before 1.5), corners (since), ordered (V2)")),
    }
}

fn unknown(what: &str, known: &str) -> ConvertError {
    ConvertError::Words(format!("\"{what}\" is none of: {known}"))
}

fn pairs(settings: &str) -> Result<Vec<(&str, &str)>, ConvertError> {
    settings
        .split(',')
        .filter(|setting| !setting.is_empty())
        .map(|setting| {
            setting
                .split_once('=')
                .ok_or_else(|| ConvertError::Words(format!("\"{setting}\" is no KEY=VALUE")))
        })
        .collect()
}

fn number(value: &str) -> Result<usize, ConvertError> {
    value.parse().map_err(|_| ConvertError::Words(format!("\"{value}\" is no number")))
}

fn numbers(value: &str) -> Result<Vec<usize>, ConvertError> {
    value.split('-').map(number).collect()
}

fn four(value: &str) -> Result<[usize; 4], ConvertError> {
    numbers(value)?
        .try_into()
        .map_err(|_| ConvertError::Words(format!("\"{value}\" is not four numbers, a-b-c-d")))
}
