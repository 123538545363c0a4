//! `prism convert`: a checkpoint of others into a pack.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use prism_core::convert::{self, Checkpoint, ConvertError, Converted, Grid, Mismatch, Wanted};
use prism_core::model::{Pack, Prism};
use prism_core::pipeline::{self, DeviceChoice, Devices, Encoding, Quiet};
use prism_core::volume::{LabelTable, Volume};

use crate::files;

/// Pooled features in int8 must be at least this close to full precision.
const LEAST_COSINE: f64 = 0.999;

#[derive(Args)]
pub struct Arguments {
    /// A PyTorch (.pt, .pth, .ckpt) or safetensors file
    checkpoint: PathBuf,
    /// Where the pack goes (safetensors)
    #[arg(short, long)]
    output: PathBuf,
    /// swin-b, swin-l, swin-h, swin:dim=12,depths=2-2-2-2,heads=3-6-12-24, or compact;
    /// swin also takes merging=repeated (MONAI before 1.5, the default), corners (since) or ordered
    #[arg(long)]
    arch: String,
    /// segmentation, or classification:name=NAME,outputs=A/B/C[,input=structure|sequence|fused]
    /// [,fusion=max|cat:SEQUENCES|trans:HEADS], or regression:...
    #[arg(long = "head")]
    heads: Vec<String>,
    /// Keep the decoder that renders a scan again in another style
    #[arg(long)]
    renderer: bool,
    /// JSON table of the segmentation's labels, in the form packs carry it [default: numbered]
    #[arg(long)]
    labels: Option<PathBuf>,
    /// Millimetres along each axis (1.5,1.5,native; native where a scan keeps its own), or one for
    /// all [default: 1 for swin, 2 for compact]
    #[arg(long, value_name = "X,Y,Z")]
    spacing: Option<String>,
    /// Voxels of a window along each axis (192,192,32), or one for all [default: 96 for swin,
    /// 96,112,96 for compact]
    #[arg(long, value_name = "X,Y,Z")]
    window: Option<String>,
    /// RAS, or slices: in-plane axes as they are, the axis of the thickest slices last
    /// [default: RAS]. What was trained with the slices first, as PRISM's example on ACDC, cannot
    /// be a pack
    #[arg(long)]
    orientation: Option<String>,
    /// zscore (of voxels that are not zero), or percentile:LOW-HIGH (become 0 and 1)
    /// [default: zscore for swin, percentile:0.5-99.5 for compact]
    #[arg(long)]
    intensity: Option<String>,
    /// Short name of the pack [default: the output's]
    #[arg(long)]
    name: Option<String>,
    /// Name for people [default: architecture and file]
    #[arg(long)]
    title: Option<String>,
    /// Licence of the weights, kept in the pack
    #[arg(long)]
    licence: Option<String>,
    /// Tensors that may be missing; they become neutral (a norm's scale 1, everything else 0)
    #[arg(long, value_name = "NAME", num_args = 1..)]
    allow_missing: Vec<String>,
    /// Tensors that may be left over, * for anything; never those that fuse the sequences of a head
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    allow_extra: Vec<String>,
    /// Compare int8 with full precision on the middle of this scan; the pack is written
    /// only when the pooled features agree. Without it the pack says that they were not verified
    #[arg(long, value_name = "SCAN")]
    check: Option<PathBuf>,
    /// Where the comparison runs: auto, gpu or cpu
    #[arg(long, default_value = "auto", value_parser = files::device_choice)]
    device: DeviceChoice,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut checkpoint = Checkpoint::open(&arguments.checkpoint)?;
    let stem = arguments.output.file_stem().ok_or("the output is not a file name")?;
    let name = arguments.name.clone().unwrap_or_else(|| stem.to_string_lossy().into_owned());
    let title = arguments
        .title
        .clone()
        .unwrap_or_else(|| format!("{} from {}", arguments.arch, checkpoint.file_name));
    let labels = match &arguments.labels {
        None => None,
        Some(path) => {
            let json = fs::read(path).map_err(|error| files::unreadable(path, &error))?;
            Some(serde_json::from_slice::<LabelTable>(&json).map_err(|error| {
                format!("the labels are no label table: {error} ({})", path.display())
            })?)
        }
    };
    let wanted = Wanted {
        arch: &arguments.arch,
        heads: &arguments.heads,
        renderer: arguments.renderer,
        labels,
        grid: Grid {
            spacing: arguments.spacing.as_deref(),
            window: arguments.window.as_deref(),
            orientation: arguments.orientation.as_deref(),
            intensity: arguments.intensity.as_deref(),
        },
        name: &name,
        title: &title,
        licence: arguments.licence.as_deref(),
        allow_missing: &arguments.allow_missing,
        allow_extra: &arguments.allow_extra,
    };
    let mut converted = convert::convert(&mut checkpoint, &wanted).inspect_err(|error| {
        if let ConvertError::Mismatch(mismatch) = error {
            list(mismatch);
        }
    })?;
    summary(&converted);
    if !arguments.heads.is_empty() && wanted.grid.assumes() {
        eprintln!(
            "prism: note: the heads are taken to be trained on scans with {}; another one gives wrong \
             answers, and --spacing, --window, --orientation and --intensity say it",
            convert::described(&converted.pack.info.preprocessing)
        );
    }
    if let Some(scan) = &arguments.check {
        compare(&mut converted, scan, arguments.device).await?;
    }
    let bytes = converted.pack.to_bytes()?;
    files::write(&arguments.output, &bytes)?;
    println!(
        "{}: {} weights, {:.1} MB",
        arguments.output.display(),
        converted.pack.parameters(),
        bytes.len() as f64 / 1e6
    );
    if arguments.check.is_none() {
        println!("{}", convert::UNVERIFIED);
    }
    if arguments.licence.is_none() {
        eprintln!("prism: note: no --licence was given; the pack says \"not stated\"");
    }
    Ok(())
}

/// What does not fit, a line a tensor; the error itself is the one line on stderr.
fn list(mismatch: &Mismatch) {
    for (name, shape) in &mismatch.missing {
        println!("missing    {name} {shape:?}");
    }
    for (name, shape) in &mismatch.extra {
        println!("left over  {name} {shape:?}");
    }
    for (name, expected, actual) in &mismatch.reshaped {
        println!("reshaped   {name} {actual:?}, the architecture has {expected:?}");
    }
    let left = |tensors: &str| mismatch.extra.iter().any(|(name, _)| name.starts_with(tensors));
    if left("out.conv.") {
        eprintln!("to keep the out.conv.* head: --head segmentation");
    }
    let fusion = mismatch.fusion.as_ref().map(|fusion| format!("fusion={fusion}"));
    match (left("cls_head."), fusion) {
        (true, fusion) => {
            let fusion = fusion.map_or_else(String::new, |fusion| format!(",{fusion}"));
            eprintln!(
                "to keep the cls_head.* head: --head \
                 classification:name=NAME,outputs=A/B/C{fusion}"
            );
        }
        (false, Some(fusion)) => {
            eprintln!("the head reads several sequences, fused: add {fusion} to its --head");
        }
        (false, None) => {}
    }
    if left("w_mapping.") || left("recon_head.") {
        eprintln!("to keep the decoder that renders: --renderer");
    }
    if !mismatch.allow.is_empty() {
        // In quotes, so that no shell takes the stars for files.
        eprintln!("to leave them out: --allow-extra '{}'", mismatch.allow.join("' '"));
    }
}

fn summary(converted: &Converted) {
    println!("rounding to int8: root mean square relative to the weights', and largest");
    for layer in &converted.layers {
        let (relative, largest) = (100.0 * layer.relative, layer.largest);
        println!("{relative:7.3} %  {largest:9.2e}  {} {:?}", layer.name, layer.shape);
    }
    let worst = converted.layers.iter().map(|layer| layer.relative).fold(0.0, f64::max);
    println!(
        "{} tensors in int8, worst {:.3} %; {} derived buffers checked and left; \
         {} filled, {} left over, as allowed",
        converted.layers.len(),
        100.0 * worst,
        converted.derived,
        converted.filled.len(),
        converted.left.len()
    );
}

/// Runs both precisions over the middle of a scan.
async fn compare(
    converted: &mut Converted,
    scan: &std::path::Path,
    device: DeviceChoice,
) -> Result<(), Box<dyn Error>> {
    let scan = files::load(scan)?;
    let p = &converted.pack.info.preprocessing;
    let own = scan.volume.spacing_mm();
    let window_mm =
        [0, 1, 2].map(|axis| p.window[axis] as f64 * p.spacing_mm[axis].unwrap_or(own[axis]));
    let middle = convert::middle(&scan.volume, window_mm)?;
    let opened = Devices::default().open_for(device, &converted.pack).await?;
    let int8 = encode(&converted.pack, &middle, &opened.device).await?;
    let reference = converted.take_reference()?;
    let full = encode(&reference, &middle, &opened.device).await?;
    let mut least = f64::INFINITY;
    for (int8, full) in int8.pooled.iter().zip(&full.pooled) {
        let name = full.name;
        let cosine = convert::cosine(&int8.values, &full.values);
        least = least.min(cosine);
        println!("pooled {name} feature: cosine similarity of int8 and f32 {cosine:.6}");
    }
    // Not a number fails too.
    if !(least >= LEAST_COSINE && least.is_finite()) {
        return Err(format!(
            "int8 changes the pooled features: cosine similarity {least:.6}, \
             at least {LEAST_COSINE} is wanted; the pack was not written"
        )
        .into());
    }
    converted.verified(least);
    Ok(())
}

async fn encode(
    pack: &Pack,
    scan: &Volume,
    device: &pipeline::Device,
) -> Result<Encoding, Box<dyn Error>> {
    let model = Prism::load(pack, device)?;
    Ok(pipeline::encode(scan, &model, pack, &mut Quiet).await?)
}
