//! `prism segment`: the page's main job as a command.

use std::error::Error;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use prism_core::facts::{Run, coarse_borders};
use prism_core::formats::{self, Scan};
use prism_core::identify::geometry::extent_mm;
use prism_core::identify::{Identification, Route, Routing};
use prism_core::measure::cardiac::{Chambers, check_labels, check_stack};
use prism_core::measure::hippocampus;
use prism_core::model::{Pack, Prism};
use prism_core::pipeline::{self, Devices, OpenedDevice, Quiet, Segmentation};
use prism_core::report::{Report, ReportInput, RunManifest, structures_csv};

use crate::files::{self, ModelArguments, ScanArguments};
use crate::{identify, report};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    scan: ScanArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// Where the labels go (.nii.gz or .nii), on the scan's own grid
    #[arg(short, long, value_parser = files::nifti_path())]
    output: PathBuf,
    /// Also write the structures' volumes
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Also write the run's manifest: versions, hashes, device, timings, results
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also write the report (.html, .json for FHIR R4, or plain text for any other ending)
    #[arg(long)]
    report: Option<PathBuf>,
    /// Also say what the scan shows and whether the pack fits, by the same pass of its encoder
    #[arg(long)]
    identify: bool,
    /// Give labels although the scan is none for the pack, or what was found is unlike its organ
    #[arg(long)]
    anyway: bool,
    /// Also write the network's logits (safetensors), to compare with a reference
    #[arg(long, hide = true)]
    logits: Option<PathBuf>,
}

/// A segmented scan and what did it.
pub struct Finished {
    pub pack: Pack,
    pub scan: Scan,
    volume: usize,
    model: Prism,
    pub opened: OpenedDevice,
    pub segmentation: Segmentation,
    identification: Option<Identification>,
    open_seconds: f64,
    started: String,
}

impl Finished {
    /// Opens pack, scan and device, and segments; with `identify` knows what the scan shows.
    /// A scan that is none for the pack is an error.
    pub async fn run(
        scan: &ScanArguments,
        model: &ModelArguments,
        identify: bool,
    ) -> Result<Self, Box<dyn Error>> {
        Self::run_anyway(scan, model, identify, false).await
    }

    /// As [`Finished::run`]; with `anyway` a scan that is none for the pack is a note.
    async fn run_anyway(
        scan: &ScanArguments,
        model: &ModelArguments,
        identify: bool,
        anyway: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let started = utc(SystemTime::now());
        let pack = model.pack()?;
        let heads = identify.then(|| identify::heads_for(&pack, None)).transpose()?;
        let volume = scan.volume;
        let scan = scan.load()?;
        let extent = extent_mm(&scan.volume.affine, scan.volume.dims);
        let fits = pack.info.fits.as_ref();
        let wrong_size = fits.and_then(|fits| fits.wrong_size(extent));
        if let Some(why) = &wrong_size {
            unfit(why, anyway)?;
        }
        let chambers = Chambers::of(&pack.info.labels);
        if chambers.is_some() {
            let found = check_stack(scan.volume.dims, &scan.volume.affine, scan.series.unit_stated);
            believe(found, anyway)?;
        }
        let work = async |model: &Prism| {
            let (mut pooled, mut encoded) = (Vec::new(), None);
            if heads.is_some() {
                let pass = pipeline::pooled(&scan.volume, model, &pack, &mut Quiet).await?;
                (pooled, encoded) = (pass.features, pass.encoded);
            }
            let given = (&scan.volume, scan.series.unit_stated);
            let segmentation =
                pipeline::segment_encoded(given, encoded, model, &pack, &mut Quiet).await?;
            Ok((pooled, segmentation))
        };
        let note = |line: &str| eprintln!("prism: note: {line}");
        let ran =
            pipeline::run_on(&mut Devices::default(), model.device, &pack, work, note).await?;
        let (mut pooled, segmentation) = ran.value;
        if let Some(line) = coarse_borders(&segmentation, &pack) {
            eprintln!("prism: note: {line}");
        }
        if let Some(chambers) = chambers {
            believe(check_labels(&segmentation.labels, chambers), anyway)?;
        }
        if let Some(parts) = hippocampus::Parts::of(&pack.info.labels) {
            believe(hippocampus::check_labels(&segmentation.labels, parts), anyway)?;
        }
        let identification = match &heads {
            None => None,
            Some(heads) => {
                let tissues = segmentation.tissues.clone();
                Some(identify::shown_with(heads, &mut pooled, tissues, &scan)?)
            }
        };
        if let (Some(fits), Some(found)) = (fits, &identification) {
            judge(&fits.route(found), wrong_size.as_deref(), anyway)?;
        }
        Ok(Self {
            pack,
            scan,
            volume,
            model: ran.model,
            opened: ran.opened,
            segmentation,
            identification,
            open_seconds: ran.open_seconds,
            started,
        })
    }

    /// What the report says of it.
    pub fn report_input(&self) -> ReportInput {
        let input = Run {
            scan: &self.scan,
            volume: self.volume,
            pack: &self.pack,
            device: &self.opened.report,
            segmentation: &self.segmentation,
            open_seconds: self.open_seconds,
            started: &self.started,
        }
        .report_input();
        ReportInput { identified: self.identification.clone(), ..input }
    }

    /// Says where the main file went and what took how long.
    pub fn print(&self, output: &Path) {
        let t = &self.segmentation.timings;
        println!(
            "{}: {} window(s) on {}, prepare {:.1} s, network {:.1} s, labels {:.1} s",
            output.display(),
            t.windows,
            self.opened.report.adapter,
            t.prepare_seconds,
            t.network_seconds,
            t.labels_seconds
        );
    }
}

/// Refuses a scan that is none for the pack by what it shows; `told` was said before the run.
fn judge(route: &Route, told: Option<&str>, anyway: bool) -> Result<(), String> {
    match route {
        Route::No(why) if told != Some(why.as_str()) => unfit(why, anyway),
        Route::Unsure(why) => {
            eprintln!("prism: note: it is not known whether this scan is one for the pack: {why}");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// An error where what was found is no organ of the pack, a note where labels are wanted `anyway`.
fn believe<E: Error + 'static>(found: Result<(), E>, anyway: bool) -> Result<(), Box<dyn Error>> {
    match found {
        Err(error) if anyway => {
            eprintln!("prism: note: do not trust these labels: {error}");
            Ok(())
        }
        found => Ok(found?),
    }
}

/// An error for a scan that is none for the pack, a note where labels are wanted `anyway`.
fn unfit(why: &str, anyway: bool) -> Result<(), String> {
    if !anyway {
        return Err(format!(
            "this scan is none for the pack: {why}. Use another pack, or \
             `prism segment --anyway` for labels that are not to be trusted"
        ));
    }
    eprintln!("prism: note: this scan is none for the pack, do not trust its labels: {why}");
    Ok(())
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    // The heads that identify a scan know the brain pack alone.
    let identify = arguments.identify || arguments.model.pack.is_none();
    let Arguments { scan, model, anyway, .. } = arguments;
    let further = [&arguments.csv, &arguments.json, &arguments.report, &arguments.logits];
    for path in std::iter::once(&arguments.output).chain(further.into_iter().flatten()) {
        check_place(path)?;
    }
    let run = Finished::run_anyway(scan, model, identify, *anyway).await?;
    let mut outputs = Outputs::default();
    let labels = &run.segmentation.labels;
    let bytes = formats::nifti::write_labels(labels, &run.pack.info.labels)?;
    files::write(&outputs.add(&arguments.output)?, &bytes)?;
    if arguments.csv.is_some() || arguments.json.is_some() || arguments.report.is_some() {
        let input = run.report_input();
        if let Some(path) = &arguments.csv {
            let table = structures_csv(&input.structures, !input.scan.unit_assumed);
            files::write(&outputs.add(path)?, table.as_bytes())?;
        }
        if let Some(path) = &arguments.json {
            files::write(&outputs.add(path)?, RunManifest::of(&input).to_json()?.as_bytes())?;
        }
        if let Some(path) = &arguments.report {
            report::write(&outputs.add(path)?, &Report::write(&input), &input)?;
        }
    }
    if let Some(path) = &arguments.logits {
        let (values, shape) =
            pipeline::logits(&run.scan.volume, &run.model, &run.pack, &mut Quiet).await?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), &bytes)?;
        files::write(&outputs.add(path)?, &safetensors::serialize([("logits", view)], None)?)?;
    }
    outputs.keep()?;
    if let Some(found) = run.identification.as_ref().filter(|_| arguments.identify) {
        let info = &run.pack.info;
        identify::print(found, &Routing::of(found, [(info.title.as_str(), info.fits.as_ref())]));
    }
    run.print(&arguments.output);
    Ok(())
}

/// Files that come together or not at all: written beside their places, renamed once all are
/// there, removed where that does not come to be.
#[derive(Default)]
struct Outputs(Vec<(PathBuf, PathBuf)>);

impl Outputs {
    /// Where to write what belongs at `path`: under a name with the same ending.
    fn add(&mut self, path: &Path) -> Result<PathBuf, String> {
        let name = path.file_name().ok_or_else(|| unwritable(path, "it names no file"))?;
        let mut beside = OsString::from(format!(".{}.", std::process::id()));
        beside.push(name);
        let beside = path.with_file_name(beside);
        self.0.push((beside.clone(), path.to_owned()));
        Ok(beside)
    }

    /// Renames the files; the first that was added last.
    fn keep(mut self) -> Result<(), String> {
        while let Some((beside, path)) = self.0.last() {
            fs::rename(beside, path).map_err(|error| unwritable(path, error))?;
            self.0.pop();
        }
        Ok(())
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        for (beside, _) in &self.0 {
            // What was not written yet is not there.
            let _ = fs::remove_file(beside);
        }
    }
}

/// Says before anything is computed that a file cannot be written where it is to be.
fn check_place(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(unwritable(path, "there is no such folder; make it first"));
    }
    if path.is_dir() {
        return Err(unwritable(path, "a folder has this name; choose another one"));
    }
    Ok(())
}

fn unwritable(path: &Path, why: impl Display) -> String {
    format!("cannot write the file: {why} ({})", path.display())
}

/// ISO 8601 in UTC, to the second (civil date from days: Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms").
pub fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wrong_body_part_is_an_error_unless_it_is_wanted_anyway() {
        let no = Route::No("it is for head, this is heart".into());
        let said = judge(&no, None, false).unwrap_err();
        assert!(said.contains("this is heart") && said.contains("--anyway"), "{said}");
        assert_eq!(judge(&no, None, true), Ok(()));
        // What was told before the run is not told twice; what is unknown is no error.
        assert_eq!(judge(&no, Some("it is for head, this is heart"), false), Ok(()));
        assert!(judge(&no, Some("it wants a crop"), false).is_err());
        assert_eq!(judge(&Route::Unsure("unknown".into()), None, false), Ok(()));
        assert_eq!(judge(&Route::Fits, None, false), Ok(()));
    }

    #[test]
    fn files_come_together_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let [labels, table] = ["labels.nii.gz", "table.csv"].map(|name| folder.path().join(name));
        let written = || {
            let mut outputs = Outputs::default();
            for (path, bytes) in [(&labels, b"labels"), (&table, b"table ")] {
                let beside = outputs.add(path).expect("a name");
                assert_eq!(beside.extension(), path.extension());
                fs::write(beside, bytes).expect("a file");
            }
            outputs
        };
        let entries = || fs::read_dir(folder.path()).expect("a folder").count();
        drop(written());
        assert_eq!(entries(), 0, "what was not kept is left");
        // The table cannot take its place: no labels come either.
        fs::create_dir(&table).expect("a folder");
        assert!(written().keep().expect_err("a folder is there").contains("table.csv"));
        assert_eq!(entries(), 1, "labels without their table");
        fs::remove_dir(&table).expect("the folder");
        written().keep().expect("both");
        assert_eq!(fs::read(&labels).expect("the labels"), b"labels");
        assert_eq!((fs::read(&table).expect("the table").len(), entries()), (6, 2));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        // date -u -d @N +%FT%TZ
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_510_861, "2026-11-24T09:01:01Z"),
        ] {
            assert_eq!(utc(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}
