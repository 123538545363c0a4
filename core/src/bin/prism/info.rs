//! `prism info`: what a scan says of itself.

use std::error::Error;

use clap::Args;
use prism_core::formats::{self, Acquisition, Series};

use crate::files::ScanArguments;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scan: ScanArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let files = arguments.scan.files()?;
    let all = formats::list(&files)?;
    let wanted = arguments.scan.series.as_ref();
    let series: Vec<&Series> =
        all.iter().filter(|series| wanted.is_none_or(|key| series.key == *key)).collect();
    if series.is_empty() {
        return Err("the study has no such series; `prism info` without --series lists them".into());
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&series)?);
        return Ok(());
    }
    for series in series {
        print(series);
    }
    Ok(())
}

fn print(series: &Series) {
    let [x, y, z] = series.dims;
    let [sx, sy, sz] = series.spacing_mm;
    println!("{}", series.title);
    println!("  series       {}", series.key);
    println!(
        "  size         {x} x {y} x {z}, {} volume(s), {} file(s)",
        series.volumes, series.files
    );
    println!("  spacing      {sx:.3} x {sy:.3} x {sz:.3} mm");
    let a: &Acquisition = &series.acquisition;
    let number = |name: &str, value: Option<f64>, unit: &str| {
        if let Some(value) = value {
            println!("  {name:<12} {value} {unit}");
        }
    };
    number("echo time", a.echo_time_ms, "ms");
    number("repetition", a.repetition_time_ms, "ms");
    number("inversion", a.inversion_time_ms, "ms");
    number("flip angle", a.flip_angle_deg, "degrees");
    number("field", a.field_strength_t, "T");
    let text = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            println!("  {name:<12} {value}");
        }
    };
    text("sequence", &a.sequence_name);
    text("description", &a.description);
    text("body part", &a.body_part);
    text("contrast", &a.contrast_agent);
    text("scanner", &a.manufacturer);
}
