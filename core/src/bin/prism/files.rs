//! Files in and out: scans from a path, packs, whole or nothing on disk.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use prism_core::formats::{InputFile, Scan, Selection, Series, Study};
use prism_core::model::Pack;
use prism_core::pipeline::DeviceChoice;

/// The pack used unless another is named.
const BRAIN: &[u8] = include_bytes!("../../../../public/packs/brain.safetensors");

/// Which scan.
#[derive(Args)]
pub struct ScanArguments {
    /// A NIfTI, NRRD or DICOM file, a folder of DICOM files, or a zip of them
    pub scan: PathBuf,
    /// Series of a study, as `prism info` lists it
    #[arg(long)]
    pub series: Option<String>,
    /// Volume of a 4-D scan, from 0
    #[arg(long, default_value_t = 0)]
    pub volume: usize,
}

/// Which network, where.
#[derive(Args)]
pub struct ModelArguments {
    /// Pack file [default: the brain pack]
    #[arg(long)]
    pub pack: Option<PathBuf>,
    /// auto, gpu or cpu
    #[arg(long, default_value = "auto", value_parser = device_choice)]
    pub device: DeviceChoice,
}

/// Which network outlines the brain for another one, where both run.
#[derive(Args)]
pub struct BrainArguments {
    /// Pack whose structures say where the brain and its parts are [default: the brain pack]
    #[arg(long)]
    brain: Option<PathBuf>,
    /// auto, gpu or cpu
    #[arg(long, default_value = "auto", value_parser = device_choice)]
    pub device: DeviceChoice,
}

/// Reads `--device`.
pub fn device_choice(text: &str) -> Result<DeviceChoice, String> {
    match text {
        "auto" => Ok(DeviceChoice::Auto),
        "gpu" => Ok(DeviceChoice::Gpu),
        "cpu" => Ok(DeviceChoice::Cpu),
        _ => Err("one of auto, gpu, cpu".into()),
    }
}

impl ScanArguments {
    /// Reads every file the path names.
    pub fn files(&self) -> Result<Vec<InputFile>, Box<dyn Error>> {
        let mut paths = Vec::new();
        collect(&self.scan, &mut paths)?;
        paths.sort();
        paths
            .into_iter()
            .map(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let bytes = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
                Ok(InputFile { name, bytes })
            })
            .collect()
    }

    /// Loads the chosen volume and prints its warnings, and which series it took where nobody
    /// chose among several.
    pub fn load(&self) -> Result<Scan, Box<dyn Error>> {
        self.load_with("--series chooses")
    }

    fn load_with(&self, to_choose: &str) -> Result<Scan, Box<dyn Error>> {
        let selection = Selection { series: self.series.clone(), volume: self.volume };
        let files = self.files()?;
        let study = Study::open(&files)?;
        let series = study.series().count();
        if series > 1 && selection.series.is_none() {
            let Series { key, title, .. } = study.chosen(&selection)?;
            eprintln!("prism: note: {series} series, took {key} ({title}); {to_choose}");
        }
        let scan = study.load(&selection)?;
        for warning in &scan.warnings {
            eprintln!("prism: note: {warning}");
        }
        Ok(scan)
    }
}

/// The scan at a path, its first series and volume.
pub fn whole_scan(path: &Path) -> ScanArguments {
    ScanArguments { scan: path.to_owned(), series: None, volume: 0 }
}

/// Loads the scan at a path of a command that takes several, and prints its warnings.
pub fn load(path: &Path) -> Result<Scan, Box<dyn Error>> {
    whole_scan(path).load_with("give the files of one series to choose another")
}

impl ModelArguments {
    /// Reads the pack.
    pub fn pack(&self) -> Result<Pack, Box<dyn Error>> {
        pack_or_brain(self.pack.as_deref())
    }
}

impl BrainArguments {
    /// Reads the pack that outlines the brain.
    pub fn pack(&self) -> Result<Pack, Box<dyn Error>> {
        pack_or_brain(self.brain.as_deref())
    }
}

fn pack_or_brain(path: Option<&Path>) -> Result<Pack, Box<dyn Error>> {
    match path {
        None => Ok(Pack::read(BRAIN)?),
        Some(path) => {
            let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
            Ok(Pack::read(&bytes)?)
        }
    }
}

/// A sentence for a file that cannot be read.
pub fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read the file: {error} ({})", path.display())
}

fn collect(path: &Path, paths: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(|error| unreadable(path, &error))? {
            collect(&entry?.path(), paths)?;
        }
    } else {
        paths.push(path.to_owned());
    }
    Ok(())
}

/// Writes a file whole or not at all: beside its place, then renamed.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let failed =
        |error: std::io::Error| format!("cannot write the file: {error} ({})", path.display());
    let name = path.file_name().ok_or("the output is not a file name")?;
    let mut beside = name.to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = path.with_file_name(beside);
    let result = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if result.is_err() {
        let _ = fs::remove_file(&beside);
    }
    Ok(result.map_err(failed)?)
}
