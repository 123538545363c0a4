//! `prism follow-up`: one person at two times.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use clap::Args;
use prism_core::facts::Run;
use prism_core::follow_up::change::LIMITS;
use prism_core::follow_up::{
    Change, ChangedLesions, Fate, Finding, FollowUp, LesionChange, changes_csv, find_lesion_change,
    follow_up, local_change,
};
use prism_core::formats::nifti::{write_labels, write_volume};
use prism_core::formats::{Date, Scan};
use prism_core::identify::HeadsPack;
use prism_core::model::{Pack, Prism};
use prism_core::pipeline::{self, DeviceReport, Devices, OpenedDevice, Quiet};
use prism_core::registration::Transform;
use prism_core::report::{ChangeFacts, ComparisonFacts, Course, Report, ReportInput, Timeline};
use prism_core::volume::{LabelTable, Volume};
use serde::Serialize;

use crate::files::{self, ModelArguments};
use crate::identify::{heads_for, shown_with};
use crate::{report, segment};

#[derive(Args)]
pub struct Arguments {
    /// The first scan; where both scans are DICOM, their study dates say which is the first
    baseline: PathBuf,
    /// The scan of a later time
    follow_up: PathBuf,
    #[command(flatten)]
    model: ModelArguments,
    /// Years between the scans, for change in percent a year [default: between the study
    /// dates, where both scans are DICOM and have one]
    #[arg(long)]
    years: Option<f64>,
    /// Also draw the volumes at both times with their intervals (.svg)
    #[arg(long)]
    timeline: Option<PathBuf>,
    /// Also write the changes as a table
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Also write everything that was found as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also write the report of the later scan, compared with the earlier one (.html, .json
    /// for FHIR R4, or plain text for any other ending)
    #[arg(long)]
    report: Option<PathBuf>,
    /// Also write how much each place grew (above 1) or shrank: determinant of the Jacobian
    /// on the baseline's grid (.nii.gz or .nii)
    #[arg(long, value_parser = files::nifti_path())]
    jacobian: Option<PathBuf>,
    /// Look for lesions that are new (1), enlarged (2) or shrunken (3) and write them on the
    /// follow-up's grid (.nii.gz or .nii)
    #[arg(long, requires = "lesion_pack", value_parser = files::nifti_path())]
    lesions: Option<PathBuf>,
    /// Lesion pack (public/packs/lesions.safetensors)
    #[arg(long, requires = "lesions")]
    lesion_pack: Option<PathBuf>,
}

#[derive(Serialize)]
struct Summary {
    years: Option<f64>,
    rotation_degrees: f64,
    shift_mm: f64,
    changes: Vec<Change>,
    lesions: Option<LesionSummary>,
    /// What either scan against its own repeats stays below in 99 of 100 places of
    /// the map of local change, percent.
    local_noise_percent: Option<f64>,
}

#[derive(Serialize)]
struct LesionSummary {
    findings: Vec<Finding>,
    largest_null_ml: f64,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let started = segment::utc(SystemTime::now());
    let given = [files::load(&arguments.baseline)?, files::load(&arguments.follow_up)?];
    let dates = [0, 1].map(|at| given[at].series.acquisition.study_date);
    let ([baseline, later], between) = in_time(given, dates);
    let years = arguments.years.or(between);
    let pack = arguments.model.pack()?;
    let clock = Instant::now();
    let opened = Devices::default().open_for(arguments.model.device, &pack).await?;
    let model = opened.load(&pack)?;
    let open_seconds = clock.elapsed().as_secs_f64();
    let with = (&model, &pack);
    // Heads of another pack know nothing of this one.
    let heads = heads_for(&pack, None).ok();
    let scans = [&baseline.volume, &later.volume];
    let found = follow_up(scans, years, with, heads.as_ref(), &mut Quiet).await?;
    let mut local_noise_percent = None;
    if let Some(path) = &arguments.jacobian {
        let local = local_change(scans, Some(found.maps), with, heads.as_ref(), &mut Quiet).await?;
        files::write(path, &write_volume(&local.map)?)?;
        local_noise_percent = Some(100.0 * (local.noise - 1.0));
    }
    let mut lesions = None;
    if let (Some(path), Some(with)) = (&arguments.lesions, &arguments.lesion_pack) {
        lesions = Some(look(scans, &found, &pack.info.labels, &opened, (path, with)).await?);
    }
    if let Some(path) = &arguments.csv {
        files::write(path, changes_csv(&found.changes).as_bytes())?;
    }
    let summary = Summary {
        years,
        rotation_degrees: found.motion.0,
        shift_mm: found.motion.1,
        changes: found.changes,
        lesions: lesions.as_ref().map(|found| LesionSummary {
            findings: found.findings.clone(),
            largest_null_ml: found.largest_null_ml,
        }),
        local_noise_percent,
    };
    if let Some(path) = &arguments.json {
        files::write(path, serde_json::to_string_pretty(&summary)?.as_bytes())?;
    }
    if let Some(path) = &arguments.timeline {
        files::write(path, timeline(&summary).to_svg().as_bytes())?;
    }
    if let Some(path) = &arguments.report {
        let device = (&opened.report, open_seconds);
        let alone = alone(&later, with, heads.as_ref(), device, &started).await?;
        let unit_assumed = !baseline.series.unit_stated;
        let comparison = Some(comparison(&summary, lesions.as_ref(), unit_assumed));
        let input = ReportInput { comparison, ..alone };
        report::write(path, &Report::write(&input), &input)?;
    }
    print!("{}", words(&summary));
    if let Some(lesions) = &lesions {
        println!("{}", lesions.words());
    }
    Ok(())
}

/// Looks for changed lesions and writes them on the follow-up's grid.
async fn look(
    scans: [&Volume; 2],
    found: &FollowUp,
    table: &LabelTable,
    opened: &OpenedDevice,
    (out, pack): (&Path, &Path),
) -> Result<LesionChange, Box<dyn Error>> {
    let pack = Pack::read(&fs::read(pack).map_err(|error| files::unreadable(pack, &error))?)?;
    let model = opened.load(&pack)?;
    let lesions = find_lesion_change(scans, found, table, (&model, &pack), &mut Quiet).await?;
    // From points of the follow-up to those half-way.
    let back = Transform { affine: found.maps[1].inverse()?, deformation: None };
    let mask = back.warp_labels(&lesions.mask, scans[1].dims, &scans[1].affine)?;
    files::write(out, &write_labels(&mask, &Fate::table())?)?;
    Ok(lesions)
}

/// What a report says of one scan alone, on its own grid; heads and segmentation share one
/// pass of the encoder.
async fn alone(
    scan: &Scan,
    (model, pack): (&Prism, &Pack),
    heads: Option<&HeadsPack>,
    (device, open_seconds): (&DeviceReport, f64),
    started: &str,
) -> Result<ReportInput, Box<dyn Error>> {
    let (mut pooled, mut encoded) = (Vec::new(), None);
    if heads.is_some() {
        let pass = pipeline::pooled(&scan.volume, model, pack, &mut Quiet).await?;
        (pooled, encoded) = (pass.features, pass.encoded);
    }
    let given = (&scan.volume, scan.series.unit_stated);
    let found = pipeline::segment_encoded(given, encoded, model, pack, &mut Quiet).await?;
    let identified = match heads {
        Some(heads) => Some(shown_with(heads, &mut pooled, found.tissues.clone(), scan)?),
        None => None,
    };
    let segmentation = &found;
    let run = Run { scan, volume: 0, pack, device, segmentation, open_seconds, started };
    Ok(ReportInput { identified, ..run.report_input() })
}

/// What the report of the later scan says of the earlier one.
fn comparison(
    summary: &Summary,
    lesions: Option<&LesionChange>,
    unit_assumed: bool,
) -> ComparisonFacts {
    let changes = summary.changes.iter().cloned().map(|change| {
        let mut facts = ChangeFacts::from(change);
        // The scan of the report goes first.
        facts.millilitres.reverse();
        facts
    });
    let told =
        |found: &LesionChange| ChangedLesions::of(&found.findings, found.largest_null_ml).into();
    ComparisonFacts {
        years: summary.years,
        earlier: true,
        changes: Some(changes.collect()),
        atlas: false,
        unit_assumed,
        lesions: lesions.map(told),
    }
}

/// The earlier scan first, and years between the days of the studies where both are known and
/// not the same. Where they do not say, the order is the one given.
fn in_time<T>([first, second]: [T; 2], dates: [Option<Date>; 2]) -> ([T; 2], Option<f64>) {
    let [Some(day), Some(other)] = dates else { return ([first, second], None) };
    let years = day.years_to(other);
    if years < 0.0 {
        eprintln!(
            "prism: note: by their study dates the second scan is the older one; it is taken as \
             the baseline, and the first one as its follow-up"
        );
        return ([second, first], Some(-years));
    }
    ([first, second], Some(years).filter(|&years| years > 0.0))
}

/// Without dates: who asks for a drawing need not want them in it.
fn timeline(summary: &Summary) -> Timeline {
    let courses = summary.changes.iter().map(|change| Course {
        index: change.index,
        name: change.name.clone(),
        millilitres: [change.baseline_ml, change.later_ml],
        intervals: change.intervals_ml,
        interval: change.interval_ml,
        changed: change.changed,
    });
    let times = ["baseline", "follow-up"].map(Into::into);
    Timeline { times, years: summary.years, courses: courses.collect() }
}

/// What is to be said in a terminal: only what lies outside its interval is a change, and of
/// local change only what lies beyond its noise.
fn words(summary: &Summary) -> String {
    let mut text = String::new();
    let changed: Vec<&Change> = summary.changes.iter().filter(|c| c.changed).collect();
    for change in &changed {
        let (percent, interval, unit) = change.rate();
        let _ = writeln!(
            text,
            "{}: {:.2} to {:.2} mL, {:+.2} ± {:.2} mL, {percent:+.1} ± {interval:.1} {unit}",
            change.name, change.baseline_ml, change.later_ml, change.change_ml, change.interval_ml,
        );
    }
    let rest = summary.changes.len() - changed.len();
    let _ = writeln!(text, "{rest} structures without a change outside their interval. {LIMITS}");
    if let Some(noise) = summary.local_noise_percent {
        let _ = writeln!(
            text,
            "local change: less than {noise:.1} % is noise; 99 of 100 places of the baseline against \
             its own repeats stay below it"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_scan_goes_first() {
        let day = |year| Date::new(year, 3, 7);
        let (scans, years) = in_time(["new", "old"], [day(2021), day(2019)]);
        assert_eq!(scans, ["old", "new"]);
        // 731 days, one of them that of a leap year.
        assert!(years.is_some_and(|years| (years - 731.0 / 365.2425).abs() < 1e-9), "{years:?}");
        assert_eq!(in_time(["old", "new"], [day(2019), day(2021)]), (["old", "new"], years));
        // Dates that say nothing leave the order as it is.
        for dates in [[day(2021), day(2021)], [day(2021), None], [None, None]] {
            assert_eq!(in_time(["a", "b"], dates), (["a", "b"], None));
        }
    }

    #[test]
    fn the_report_is_that_of_the_later_scan() {
        let change = Change {
            index: 3,
            id: 17,
            name: "left hippocampus".into(),
            baseline_ml: 2.0,
            later_ml: 1.5,
            change_ml: -0.5,
            interval_ml: 0.2,
            intervals_ml: [0.1, 0.1],
            change_percent: -25.0,
            interval_percent: 10.0,
            percent_a_year: None,
            interval_percent_a_year: None,
            changed: true,
        };
        let summary = Summary {
            years: Some(2.0),
            rotation_degrees: 0.0,
            shift_mm: 0.0,
            changes: vec![change],
            lesions: None,
            local_noise_percent: None,
        };
        assert!(!words(&summary).contains("local change"));
        let facts = comparison(&summary, None, false);
        assert!(facts.earlier && facts.years == Some(2.0));
        let changes = facts.changes.unwrap_or_default();
        assert_eq!(changes[0].millilitres, [1.5, 2.0]);

        let said = words(&Summary { local_noise_percent: Some(31.46), ..summary });
        assert!(said.starts_with("left hippocampus: 2.00 to 1.50 mL, -0.50 ± 0.20 mL"), "{said}");
        assert!(said.contains("0 structures without a change") && said.contains(LIMITS), "{said}");
        assert!(said.contains("less than 31.5 % is noise"), "{said}");
    }
}
