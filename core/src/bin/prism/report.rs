//! `prism report`: a scan segmented, measured and described.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use prism_core::report::{Report, ReportInput, RunManifest, Wording};

use crate::files::{self, ModelArguments, ScanArguments};
use crate::segment::Finished;
use crate::wording::{self, Told};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scan: ScanArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// Where the report goes: .html, .json for FHIR R4, or plain text for any other ending
    #[arg(short, long)]
    output: PathBuf,
    /// Word the findings with this report decoder; every sentence is checked, and what it
    /// leaves out is said plainly
    #[arg(long, value_name = "PACK")]
    wording: Option<PathBuf>,
    /// Also write the facts that the decoder is told (JSON)
    #[arg(long, hide = true)]
    facts: Option<PathBuf>,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let decoder = arguments.wording.as_deref().map(wording::read).transpose()?;
    let run = Finished::run(&arguments.scan, &arguments.model, false).await?;
    let input = run.report_input();
    let mut report = Report::write(&input);
    if let Some(path) = &arguments.facts {
        let told: Vec<Told> = Wording::told(&report)
            .into_iter()
            .map(|(section, facts)| Told { section, facts })
            .collect();
        files::write(path, serde_json::to_string(&told)?.as_bytes())?;
    }
    if let Some(decoder) = decoder {
        let (worded, count) = decoder.word(&report);
        report = worded;
        println!(
            "decoder: {} of {} facts in {} sentences; {} not shown (fit no wording), {} not shown \
             (no measurement supports them)",
            count.said, count.facts, count.shown, count.unread, count.unsupported
        );
    }
    write(&arguments.output, &report, &input)?;
    run.print(&arguments.output);
    Ok(())
}

/// Writes the report in the format that the path's ending names.
pub fn write(path: &Path, report: &Report, input: &ReportInput) -> Result<(), Box<dyn Error>> {
    let text = match path.extension().and_then(|ending| ending.to_str()) {
        Some("html") => report.to_html(&[]),
        Some("json") => report.to_fhir(&RunManifest::of(input))?,
        _ => report.to_text(),
    };
    files::write(path, text.as_bytes())
}
