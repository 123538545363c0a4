//! `prism report`: a scan segmented, measured and described.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use prism_core::report::{Report, ReportInput, RunManifest};

use crate::files::{self, ModelArguments, ScanArguments};
use crate::segment::Finished;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scan: ScanArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// Where the report goes: .html, .json for FHIR R4, or plain text for any other ending
    #[arg(short, long)]
    output: PathBuf,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let run = Finished::run(&arguments.scan, &arguments.model).await?;
    write(&arguments.output, &run.report_input())?;
    run.print(&arguments.output);
    Ok(())
}

/// Writes the report in the format that the path's ending names.
pub fn write(path: &Path, input: &ReportInput) -> Result<(), Box<dyn Error>> {
    let report = Report::write(input);
    let text = match path.extension().and_then(|ending| ending.to_str()) {
        Some("html") => report.to_html(&[]),
        Some("json") => report.to_fhir(&RunManifest::of(input))?,
        _ => report.to_text(),
    };
    files::write(path, text.as_bytes())
}
