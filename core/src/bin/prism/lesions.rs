//! `prism lesions`: what is abnormal in one or several sequences of a brain.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use prism_core::formats::nifti::write_labels;
use prism_core::formats::{FormatError, InputFile, Scan, Selection, Series, Study};
use prism_core::identify::geometry::extent_mm;
use prism_core::identify::{Fits, HeadsPack, Identification, Route};
use prism_core::lesions::{
    FalseAlarms, LesionError, MOST_SEQUENCES, Placed, find, finest_first, left_by_header,
    lesions_csv, place, taken,
};
use prism_core::model::{Pack, Prism};
use prism_core::pipeline::{self, Devices, Pooled, Quiet};
use prism_core::report::lesion_caution;
use prism_core::volume::{LabelMap, Volume};
use serde::Serialize;

pub use crate::files::read_pack as read;
use crate::files::{self, BrainArguments};
use crate::identify;

#[derive(Args)]
pub struct Arguments {
    /// Sequences of one study, in any order, any of them missing: T1w, T1w after contrast,
    /// T2w, FLAIR; those that do not lie on the first one are registered to it. Of a study with
    /// several series those of a head are taken that are T1w, T2w, PD or FLAIR, the finest first
    #[arg(required = true)]
    scans: Vec<PathBuf>,
    /// Lesion pack (public/packs/lesions.safetensors)
    #[arg(long)]
    pack: PathBuf,
    #[command(flatten)]
    brain: BrainArguments,
    /// Where the lesions go (.nii.gz or .nii), on the first scan's own grid
    #[arg(short, long, value_parser = files::nifti_path())]
    output: PathBuf,
    /// Also write the table
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Series of one study, as `prism info` lists them, instead of those that fit; the first one's
    /// grid is that of the answer. Can be repeated
    #[arg(long)]
    series: Vec<String>,
    /// Look in scans that were named although they are none for the pack
    #[arg(long)]
    anyway: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A scan that was taken, and how far it was moved onto the first one.
#[derive(Serialize)]
struct Sequence {
    file: String,
    shows: Option<String>,
    moved_mm: Option<f64>,
}

/// A series that was not.
#[derive(Serialize)]
struct LeftOut {
    file: String,
    why: String,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let pack = read(&arguments.pack)?;
    let brain = arguments.brain.pack()?;
    let contents: Vec<Vec<InputFile>> = arguments
        .scans
        .iter()
        .map(|path| files::whole_scan(path).files())
        .collect::<Result<_, _>>()?;
    let studies: Vec<Study<'_>> =
        contents.iter().map(|files| Study::open(files)).collect::<Result<_, _>>()?;
    let mut offers = offers(arguments, &studies)?;
    read_named(&mut offers)?;
    let mut devices = Devices::default();
    let opened = devices.open_for(arguments.brain.device, &brain).await?;
    let mut taking = Taking {
        // The heads that identify a scan know the brain pack that ships alone.
        heads: identify::heads_for(&brain, None).ok(),
        model: opened.load(&brain)?,
        brain: &brain,
        fits: pack.info.fits.as_ref(),
        anyway: arguments.anyway,
        structures: None,
        scans: Vec::new(),
        sequences: Vec::new(),
        left_out: Vec::new(),
    };
    for offer in &mut offers {
        taking.ask(offer).await?;
    }
    let Taking { structures, scans, sequences, left_out, .. } = taking;
    let lines: Vec<String> =
        left_out.iter().map(|LeftOut { file, why }| format!("{file} ({why})")).collect();
    let Some(structures) = structures else {
        return Err(format!("no series is one to look for lesions in: {}", lines.join("; ")).into());
    };
    lines.iter().for_each(|line| eprintln!("prism: note: left out: {line}"));
    let opened = devices.open_for(arguments.brain.device, &pack).await?;
    let model = opened.load(&pack)?;
    let regions = (&structures, &brain.info.labels);
    let scans: Vec<&Volume> = scans.iter().collect();
    let found = find(&scans, regions, &model, &pack, &mut Quiet).await?;
    files::write(&arguments.output, &write_labels(&found.labels, &pack.info.labels)?)?;
    if let Some(path) = &arguments.csv {
        files::write(path, lesions_csv(&found.lesions).as_bytes())?;
    }
    let false_alarms = FalseAlarms::of(&pack.info.scores);
    if arguments.json {
        let all = serde_json::json!({
            "summary": found.summary, "lesions": found.lesions, "sequences": sequences,
            "left_out": left_out,
            "false_alarms": false_alarms, "caution": lesion_caution(false_alarms).text,
        });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    for sequence in &sequences[1..] {
        println!("{}: {}", sequence.file, words(sequence.moved_mm));
    }
    let summary = &found.summary;
    println!("{} lesion(s), {:.2} mL", summary.lesions, summary.millilitres);
    if let Some(probability) = summary.probability {
        println!(
            "probability of any lesion: {probability:.3}, from {:.2} mL weighted by certainty",
            summary.evidence_ml
        );
    }
    let first = if summary.sequences > 1 { " in the first sequence" } else { "" };
    for lesion in &found.lesions {
        println!(
            "{:>3}  {}, {:.2} mL, {:.0} mm, {}{}{}{}",
            lesion.number,
            lesion.kind,
            lesion.millilitres,
            lesion.diameter_mm,
            lesion.place.words(),
            lesion.region.as_ref().map(|region| format!(", {region}")).unwrap_or_default(),
            lesion.signal.map(|signal| format!(", {}{first}", signal.words())).unwrap_or_default(),
            lesion.oedema_words().map(|words| format!(", {words}")).unwrap_or_default(),
        );
    }
    println!("{}", lesion_caution(false_alarms).text);
    Ok(())
}

/// A series to look in.
struct Offer<'a> {
    study: &'a Study<'a>,
    series: &'a Series,
    name: String,
    /// Whether it was named, by its file or by `--series`.
    named: bool,
    /// What was read of it and is not taken yet.
    scan: Option<Scan>,
}

impl Offer<'_> {
    /// Its scan, read now where it was not before.
    fn scan(&mut self) -> Result<Scan, FormatError> {
        match self.scan.take() {
            Some(scan) => Ok(scan),
            None => self.study.load(&selection(&self.series.key)),
        }
    }
}

/// Reads what was named: what is broken is said before a device is opened for it.
fn read_named(offers: &mut [Offer<'_>]) -> Result<(), FormatError> {
    for offer in offers.iter_mut().filter(|offer| offer.named) {
        offer.scan = Some(offer.scan()?);
    }
    Ok(())
}

/// The series to ask, in the order in which they are taken.
fn offers<'a>(
    arguments: &Arguments,
    studies: &'a [Study<'a>],
) -> Result<Vec<Offer<'a>>, Box<dyn Error>> {
    let mut offers = Vec::new();
    if !arguments.series.is_empty() {
        let [study] = studies else {
            return Err("--series chooses among the series of one study: give one path".into());
        };
        for key in &arguments.series {
            let series = study.chosen(&selection(key))?;
            let name = series.title.clone();
            offers.push(Offer { study, series, name, named: true, scan: None });
        }
        return Ok(offers);
    }
    for (path, study) in arguments.scans.iter().zip(studies) {
        let series = finest_first(study.series());
        let named = series.len() == 1;
        offers.extend(series.into_iter().map(|series| {
            let name = if named { name(path) } else { series.title.clone() };
            Offer { study, series, name, named, scan: None }
        }));
    }
    Ok(offers)
}

fn selection(key: &str) -> Selection {
    Selection { series: Some(key.to_owned()), volume: 0 }
}

/// Why a series is not taken.
enum Refusal {
    /// It is none for the pack.
    Unfit(String),
    /// Something else about it.
    Other(String),
    /// Nothing about it: no other would run.
    Failed(Box<dyn Error>),
}

impl<E: Error + 'static> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// What was taken so far, and what it is judged by.
struct Taking<'a> {
    heads: Option<HeadsPack>,
    model: Prism,
    brain: &'a Pack,
    fits: Option<&'a Fits>,
    anyway: bool,
    /// Of the first scan.
    structures: Option<LabelMap>,
    scans: Vec<Volume>,
    sequences: Vec<Sequence>,
    left_out: Vec<LeftOut>,
}

impl Taking<'_> {
    /// Takes a series, or leaves it out where nobody named it.
    async fn ask(&mut self, offer: &mut Offer<'_>) -> Result<(), Box<dyn Error>> {
        let result = self.take(offer).await;
        let name = &offer.name;
        match result {
            Ok(()) => {}
            Err(Refusal::Failed(error)) => return Err(error),
            Err(Refusal::Unfit(why)) if offer.named => {
                return Err(format!(
                    "this scan is none for the pack: {why} ({name}). Leave it out, or use \
                     `prism lesions --anyway` for marks that are not to be trusted"
                )
                .into());
            }
            Err(Refusal::Other(why)) if offer.named => return Err(format!("{why} ({name})").into()),
            Err(Refusal::Unfit(why) | Refusal::Other(why)) => {
                self.left_out.push(LeftOut { file: name.clone(), why });
            }
        }
        Ok(())
    }

    async fn take(&mut self, offer: &mut Offer<'_>) -> Result<(), Refusal> {
        let (series, named) = (offer.series, offer.named);
        if !named && self.scans.len() >= MOST_SEQUENCES {
            return Err(Refusal::Other(format!("at most {MOST_SEQUENCES} are taken at once")));
        }
        if let Some(why) = left_by_header(series).filter(|_| !named) {
            return Err(Refusal::Other(why));
        }
        let scan = offer.scan().map_err(|error| Refusal::Other(error.to_string()))?;
        let name = &offer.name;
        // What is too small needs no network.
        let extent = extent_mm(&scan.volume.affine, scan.volume.dims);
        let wrong_size = self.fits.and_then(|fits| fits.wrong_size(extent));
        self.judge(wrong_size.clone().map_or(Route::Fits, Route::No), offer)?;
        let (found, structures) = self.see(&scan).await?;
        if let Some(found) = &found {
            let route = taken(self.fits, found, &scan.series.acquisition);
            // What was told before is not told twice.
            if wrong_size.is_none_or(|why| route != Route::No(why)) {
                self.judge(route, offer)?;
            }
        }
        let shows = found.and_then(|found| found.sequence_by_file.or(found.sequence.given));
        let mut moved_mm = None;
        let volume = match self.scans.first() {
            None => scan.volume,
            Some(first) => {
                let placed = match place(first, &scan.volume, &mut Quiet).await {
                    Ok(placed) => placed,
                    Err(LesionError::Pipeline(error)) => return Err(error.into()),
                    Err(error) => return Err(Refusal::Other(error.to_string())),
                };
                note_far(&placed, name);
                moved_mm = placed.moved_mm;
                placed.volume
            }
        };
        if let Some(twin) = self.scans.iter().position(|taken| taken.data == volume.data) {
            // It would count twice and say nothing new.
            let why = format!("it is the same scan as {}", self.sequences[twin].file);
            self.left_out.push(LeftOut { file: name.clone(), why });
            return Ok(());
        }
        for warning in &scan.warnings {
            eprintln!("prism: note: {warning}");
        }
        if structures.is_some() {
            self.structures = structures;
        }
        self.scans.push(volume);
        self.sequences.push(Sequence { file: name.clone(), shows, moved_mm });
        Ok(())
    }

    /// What a scan shows, if that can be known; of the first one also its structures.
    async fn see(
        &self,
        scan: &Scan,
    ) -> Result<(Option<Identification>, Option<LabelMap>), Refusal> {
        let (volume, model, brain) = (&scan.volume, &self.model, self.brain);
        let Some(heads) = &self.heads else {
            let given = (volume, scan.series.unit_stated);
            let structures = if self.scans.is_empty() {
                Some(pipeline::segment_stated(given, model, brain, &mut Quiet).await?.labels)
            } else {
                None
            };
            return Ok((None, structures));
        };
        let pass = pipeline::pooled(volume, model, brain, &mut Quiet).await?;
        let Pooled { features: mut pooled, encoded, .. } = pass;
        if self.scans.is_empty() {
            let given = (volume, scan.series.unit_stated);
            let segmented =
                pipeline::segment_encoded(given, encoded, model, brain, &mut Quiet).await?;
            let found = identify::shown_with(heads, &mut pooled, segmented.tissues, scan)?;
            return Ok((Some(found), Some(segmented.labels)));
        }
        let mut found = identify::shown(heads, &pooled, scan)?;
        if found.is_whole_head() {
            let tissues =
                pipeline::tissue_contrast(volume, encoded, model, brain, &mut Quiet).await?;
            found = identify::shown_with(heads, &mut pooled, tissues, scan)?;
        }
        Ok((Some(found), None))
    }

    /// Refuses what is none for the pack, but what was named where it is wanted `anyway`.
    fn judge(&self, route: Route, offer: &Offer<'_>) -> Result<(), Refusal> {
        let name = &offer.name;
        match route {
            Route::Fits => {}
            Route::Unsure(why) => {
                eprintln!("prism: note: it is not known whether {name} is one for the pack: {why}");
            }
            Route::No(why) if offer.named && self.anyway => {
                eprintln!(
                    "prism: note: {name} is none for the pack, do not trust its marks: {why}"
                );
            }
            Route::No(why) => return Err(Refusal::Unfit(why)),
        }
        Ok(())
    }
}

/// Says where a sequence was moved further than a head moves within one visit.
fn note_far(placed: &Placed, name: &str) {
    if let Some(mm) = placed.moved_mm.filter(|_| placed.is_far()) {
        eprintln!(
            "prism: note: {name} was moved by {mm:.0} mm onto the first scan, further than a head \
             moves within one visit: is it of the same person and day?"
        );
    }
}

/// Further sequences on the grid of the first scan.
pub async fn placed(first: &Volume, paths: &[PathBuf]) -> Result<Vec<Placed>, Box<dyn Error>> {
    let mut all = Vec::with_capacity(paths.len());
    for path in paths {
        let scan = files::load(path)?.volume;
        let placed = place(first, &scan, &mut Quiet).await;
        let placed = placed.map_err(|error| format!("{error} ({})", path.display()))?;
        note_far(&placed, &name(path));
        all.push(placed);
    }
    Ok(all)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where a sequence lay.
fn words(moved_mm: Option<f64>) -> String {
    moved_mm.map_or_else(
        || "lies on the first scan".into(),
        |mm| format!("registered to the first scan, moved by {mm:.1} mm"),
    )
}

#[cfg(test)]
mod tests {
    use prism_core::formats::nifti::write_volume;
    use prism_core::volume::Affine;

    use super::*;

    #[test]
    fn a_named_scan_is_read_once() {
        let affine = Affine::from_spacing([1.0, 2.0, 3.0]);
        let volume = Volume::new((0_u8..24).map(f32::from).collect(), [4, 3, 2], affine);
        let bytes = write_volume(&volume.expect("a volume")).expect("NIfTI");
        let files = [InputFile { name: "a.nii.gz".into(), bytes }];
        let study = Study::open(&files).expect("a study");
        let series = study.series().next().expect("a series");
        let offer = |named| Offer { study: &study, series, name: "a".into(), named, scan: None };
        let mut offers = [offer(true), offer(false)];
        read_named(&mut offers).expect("a scan");
        assert!(offers[1].scan.is_none());
        // What was read is what is taken: a mark in it is still there.
        offers[0].scan.as_mut().expect("a scan").volume.data[0] = 99.0;
        let taken = offers.each_mut().map(|offer| offer.scan().expect("a scan").volume.data[0]);
        assert_eq!(taken, [99.0, 0.0]);
        assert!(offers[0].scan.is_none());
    }
}
