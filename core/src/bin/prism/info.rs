//! `prism info`: what a scan says of itself.

use std::error::Error;

use clap::Args;
use prism_core::formats::{Acquisition, Selection, Series, Study};
use prism_core::identify::{fields, geometry};
use serde::Serialize;

use crate::files::ScanArguments;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scan: ScanArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A series, and what is known once its voxels are read.
#[derive(Serialize)]
struct Known<'a> {
    #[serde(flatten)]
    series: &'a Series,
    /// Letters of the directions in which the voxel axes increase.
    orientation: Option<String>,
    /// How the slices lie.
    plane: Option<String>,
    /// Sequence that the fields name.
    sequence_by_fields: Option<&'static str>,
    /// Sequence that the title names: of a NIfTI file its file's name.
    sequence_by_title: Option<&'static str>,
    /// Whether the files do not say how the scan lies in the body, so that sides are assumed.
    sides_assumed: Option<bool>,
    /// What was assumed, repaired or left out.
    warnings: Vec<String>,
    /// Why the voxels cannot be read.
    error: Option<String>,
}

impl<'a> Known<'a> {
    fn of(study: &Study<'_>, series: &'a Series, volume: usize) -> Self {
        let selection = Selection { series: Some(series.key.clone()), volume };
        let sequence_by_fields = fields::stated_sequence(&series.acquisition);
        let sequence_by_title = fields::named_sequence(&series.title);
        match study.load(&selection) {
            Ok(scan) => Self {
                series,
                sequence_by_fields,
                sequence_by_title,
                orientation: Some(scan.volume.affine.orientation()),
                plane: Some(geometry::plane(&scan.volume.affine).words()),
                sides_assumed: Some(scan.sides_assumed),
                warnings: scan.warnings,
                error: None,
            },
            Err(error) => Self {
                series,
                sequence_by_fields,
                sequence_by_title,
                orientation: None,
                plane: None,
                sides_assumed: None,
                warnings: Vec::new(),
                error: Some(error.to_string()),
            },
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let files = arguments.scan.files()?;
    let study = Study::open(&files)?;
    let wanted = arguments.scan.series.as_ref();
    let series = study.series().filter(|series| wanted.is_none_or(|key| series.key == *key));
    let found: Vec<Known<'_>> =
        series.map(|series| Known::of(&study, series, arguments.scan.volume)).collect();
    if found.is_empty() {
        return Err("the study has no such series; `prism info` without --series lists them".into());
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    found.iter().for_each(print);
    Ok(())
}

fn print(known: &Known<'_>) {
    let series = known.series;
    let [x, y, z] = series.dims;
    let [sx, sy, sz] = series.spacing_mm;
    println!("{}", series.title);
    println!("  series       {}", series.key);
    println!("  format       {}", series.format.title());
    println!(
        "  size         {x} x {y} x {z}, {} volume(s), {} file(s)",
        series.volumes, series.files
    );
    if series.unit_stated {
        println!("  spacing      {sx:.3} x {sy:.3} x {sz:.3} mm");
    } else {
        println!("  spacing      not stated ({sx:.3} x {sy:.3} x {sz:.3} if millimetres)");
    }
    if let (Some(orientation), Some(plane)) = (&known.orientation, &known.plane) {
        let assumed = if known.sides_assumed == Some(true) { " (assumed)" } else { "" };
        println!("  orientation  {orientation}, {plane}{assumed}");
    }
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
    text("protocol", &a.protocol_name);
    text("description", &a.description);
    text("body part", &a.body_part);
    text("contrast", &a.contrast_agent);
    text("scanner", &a.manufacturer);
    for warning in &known.warnings {
        println!("  note         {warning}");
    }
    text("unreadable", &known.error);
}
