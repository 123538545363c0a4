//! `prism abnormality`: where a scan differs from what the pretrained decoder draws of it.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use prism_core::formats::nifti::write_volume;
use prism_core::identify::Route;
use prism_core::lesions::abnormality;
use prism_core::pipeline::{self, Devices, Quiet};
use serde_json::json;

use crate::files::{self, BrainArguments, ScanArguments};
use crate::identify;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scan: ScanArguments,
    /// Pack with a renderer (public/packs/pretrained.safetensors)
    #[arg(long)]
    pack: PathBuf,
    #[command(flatten)]
    brain: BrainArguments,
    /// Where the map goes (.nii.gz or .nii), on the scan's own grid: robust deviations, positive where
    /// the scan is brighter than its rendering, 0 outside the brain
    #[arg(short, long, value_parser = files::nifti_path())]
    output: PathBuf,
    /// Also write the rendering (.nii.gz or .nii), on the network's grid
    #[arg(long, value_parser = files::nifti_path())]
    rendered: Option<PathBuf>,
    /// Compare a scan although it shows no head
    #[arg(long)]
    anyway: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let pack = files::read_renderer(&arguments.pack)?;
    let brain = arguments.brain.pack()?;
    let scan = arguments.scan.load()?;
    let given = (&scan.volume, scan.series.unit_stated);
    let mut devices = Devices::default();
    let opened = devices.open_for(arguments.brain.device, &brain).await?;
    let model = opened.load(&brain)?;
    // The heads that identify a scan know the brain pack that ships alone.
    let heads = identify::heads_for(&brain, None).ok();
    let (mut pooled, mut encoded) = (Vec::new(), None);
    if heads.is_some() {
        let pass = pipeline::pooled(&scan.volume, &model, &brain, &mut Quiet).await?;
        (pooled, encoded) = (pass.features, pass.encoded);
    }
    let structures = pipeline::segment_encoded(given, encoded, &model, &brain, &mut Quiet).await?;
    // Compared are brains; the pack itself was taught every body part.
    if let (Some(heads), Some(fits)) = (&heads, &brain.info.fits) {
        let tissues = structures.tissues.clone();
        match fits.route(&identify::shown_with(heads, &mut pooled, tissues, &scan)?) {
            Route::Fits => {}
            Route::No(why) if !arguments.anyway => {
                return Err(format!(
                    "this scan is not compared: {why}. `prism abnormality --anyway` does it all the same"
                )
                .into());
            }
            Route::No(why) => eprintln!("prism: note: do not trust this map: {why}"),
            Route::Unsure(why) => {
                eprintln!("prism: note: it is not known whether this scan shows a brain: {why}");
            }
        }
    }
    let opened = devices.open_for(arguments.brain.device, &pack).await?;
    let model = opened.load(&pack)?;
    let found = abnormality(&scan.volume, &structures.labels, &model, &pack, &mut Quiet).await?;
    files::write(&arguments.output, &write_volume(&found.map)?)?;
    if let Some(path) = &arguments.rendered {
        files::write(path, &write_volume(&found.rendering)?)?;
    }
    let (largest, place) = found.largest;
    if arguments.json {
        let all = json!({
            "percentile_99": found.high, "largest": largest, "largest_mm": place,
            "blur_mm": found.blur_mm, "correlation": found.correlation, "windows": found.windows,
        });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    println!(
        "{}: {} window(s) on {}; scan blurred by {:.0} mm, correlation with its rendering {:.2}",
        arguments.output.display(),
        found.windows,
        opened.report.adapter,
        found.blur_mm,
        found.correlation,
    );
    let [x, y, z] = place;
    println!(
        "99 of 100 places of the brain differ by less than {:.1} robust deviations, the most by \
         {largest:.1} at ({x:.1}, {y:.1}, {z:.1}) mm; a difference is no finding",
        found.high,
    );
    Ok(())
}
