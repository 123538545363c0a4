//! `prism render`: a scan drawn again by a pack's renderer, as it was or in another style.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use prism_core::formats::nifti::write_volume;
use prism_core::pipeline::{DeviceChoice, Devices, Quiet, Rendered};

use crate::files::{self, ScanArguments};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scan: ScanArguments,
    /// Pack with a renderer (public/packs/pretrained.safetensors, or an import with --renderer)
    #[arg(long)]
    pack: PathBuf,
    /// Draw the anatomy in a style of chance; the same number gives the same style [default: as
    /// the scan is]
    #[arg(long, value_name = "SEED")]
    style: Option<u64>,
    /// auto, gpu or cpu
    #[arg(long, default_value = "auto", value_parser = files::device_choice)]
    device: DeviceChoice,
    /// Where the rendering goes (.nii.gz or .nii), on the network's grid and in its greys
    #[arg(short, long, value_parser = files::nifti_path())]
    output: PathBuf,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let pack = files::read_renderer(&arguments.pack)?;
    let scan = arguments.scan.load()?;
    let opened = Devices::default().open_for(arguments.device, &pack).await?;
    let model = opened.load(&pack)?;
    let drawn =
        Rendered::in_style(&scan.volume, &model, &pack, arguments.style, &mut Quiet).await?;
    files::write(&arguments.output, &write_volume(&drawn.rendering)?)?;
    let style = arguments.style.map_or("as it was".into(), |seed| format!("in style {seed}"));
    println!(
        "{}: drawn again {style}, {} window(s) on {}",
        arguments.output.display(),
        drawn.windows,
        opened.report.adapter,
    );
    Ok(())
}
