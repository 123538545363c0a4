//! `prism report`: a scan segmented, measured and described.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use prism_core::facts;
use prism_core::lesions::{FalseAlarms, find};
use prism_core::model::Pack;
use prism_core::pipeline::Quiet;
use prism_core::report::{LesionFacts, Report, ReportInput, RunManifest, SequenceFacts, Wording};
use prism_core::volume::Volume;

use crate::files::{self, ModelArguments, ScanArguments};
use crate::lesions;
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
    /// Word the regions of the brain, the impression and image quality with this report
    /// decoder; every sentence is checked, and what it leaves out is said plainly, as is all
    /// else: the heart, lesions and a second scan
    #[arg(long, value_name = "PACK")]
    wording: Option<PathBuf>,
    /// Also look for lesions with this pack (public/packs/lesions.safetensors)
    #[arg(long, value_name = "PACK")]
    lesions: Option<PathBuf>,
    /// Further sequences of the same visit to look for lesions in
    #[arg(long, value_name = "SCAN", num_args = 1.., requires = "lesions")]
    sequences: Vec<PathBuf>,
    /// Also write the plain report, in the same run
    #[arg(long, hide = true)]
    plain: Option<PathBuf>,
    /// Also write the facts that the decoder is told (JSON)
    #[arg(long, hide = true)]
    facts: Option<PathBuf>,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let decoder = arguments.wording.as_deref().map(wording::read).transpose()?;
    let pack = arguments.lesions.as_deref().map(lesions::read).transpose()?;
    // The heads that identify a scan know the brain pack alone.
    let identify = arguments.model.pack.is_none();
    let run = Finished::run(&arguments.scan, &arguments.model, identify).await?;
    let mut input = run.report_input();
    if let Some(pack) = &pack {
        input.lesions = Some(marked(&run, pack, &arguments.sequences).await?);
    }
    let mut report = Report::write(&input);
    if let Some(path) = &arguments.facts {
        let told: Vec<Told> = Wording::told(&report)
            .into_iter()
            .map(|(section, facts)| Told { section, facts, maps: report.maps.clone() })
            .collect();
        files::write(path, serde_json::to_string(&told)?.as_bytes())?;
    }
    if let Some(path) = &arguments.plain {
        write(path, &report, &input)?;
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

/// Looks for lesions in the scan and further sequences of its visit.
async fn marked(
    run: &Finished,
    pack: &Pack,
    paths: &[PathBuf],
) -> Result<LesionFacts, Box<dyn Error>> {
    let first = &run.scan.volume;
    let placed = lesions::placed(first, paths).await?;
    let scans: Vec<&Volume> =
        std::iter::once(first).chain(placed.iter().map(|placed| &placed.volume)).collect();
    let model = run.opened.load(pack)?;
    let regions = (&run.segmentation.labels, &run.pack.info.labels);
    let found = find(&scans, regions, &model, pack, &mut Quiet).await?;
    // Names of files often hold names of patients.
    let sequences = placed.iter().enumerate().map(|(at, placed)| SequenceFacts {
        name: format!("sequence {}", at + 2),
        moved_mm: placed.moved_mm,
    });
    Ok(LesionFacts {
        lesions: found.lesions,
        summary: found.summary,
        sequences: sequences.collect(),
        false_alarms: FalseAlarms::of(&pack.info.scores),
        pack: facts::pack(&pack.info),
    })
}

/// Writes the report in the format that the path's ending names.
pub fn write(path: &Path, report: &Report, input: &ReportInput) -> Result<(), Box<dyn Error>> {
    let text = match path.extension().and_then(|ending| ending.to_str()) {
        Some("html") => report.to_html(&[]),
        Some("json") => report.to_fhir(&RunManifest::of(input).with_wording_of(report))?,
        _ => report.to_text(),
    };
    files::write(path, text.as_bytes())
}
