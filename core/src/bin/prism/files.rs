//! Files in and out: scans from a path, packs, whole or nothing on disk.

use std::borrow::Cow;
use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use flate2::read::GzDecoder;
use prism_core::formats::{InputFile, Scan, Selection, Series, Study};
use prism_core::model::Pack;
use prism_core::pipeline::{DeviceChoice, PipelineError};

/// The pack used unless another is named.
const BRAIN: &[u8] = include_bytes!("../../../../public/packs/brain.safetensors");

/// Which scan.
#[derive(Args)]
pub struct ScanArguments {
    /// A NIfTI, NRRD or DICOM file, a folder of DICOM files, or a zip of them; of a .hdr with its
    /// .img, either
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
    /// Reads every file the path names, and those that belong to a NIfTI file.
    pub fn files(&self) -> Result<Vec<InputFile>, Box<dyn Error>> {
        let (folder, paths) = if self.scan.is_dir() {
            let mut paths = Vec::new();
            collect(&self.scan, &mut paths)?;
            paths.sort();
            (self.scan.as_path(), paths)
        } else {
            let folder = self.scan.parent().unwrap_or(Path::new(""));
            (folder, with_companions(&self.scan))
        };
        paths
            .into_iter()
            .map(|path| {
                // With its folders: they say which files belong together.
                let name =
                    path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
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
        Some(path) => read_pack(path),
    }
}

/// Reads a pack.
pub fn read_pack(path: &Path) -> Result<Pack, Box<dyn Error>> {
    Ok(Pack::read(&fs::read(path).map_err(|error| unreadable(path, &error))?)?)
}

/// Reads a pack that can render a scan again; of another one it says so before anything is done
/// with the scan.
pub fn read_renderer(path: &Path) -> Result<Pack, Box<dyn Error>> {
    let pack = read_pack(path)?;
    if pack.info.architecture.renderer.is_none() {
        return Err(PipelineError::NoRenderer(pack.info.name).into());
    }
    Ok(pack)
}

/// A sentence for a file that cannot be read.
pub fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read the file: {error} ({})", path.display())
}

/// A file; of a NIfTI pair header and voxels, in this order; and last the JSON beside NIfTI.
fn with_companions(path: &Path) -> Vec<PathBuf> {
    let mut paths = vec![path.to_owned()];
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let endings = [".nii.gz", ".nii", ".hdr.gz", ".hdr", ".img.gz", ".img"];
    let Some(ending) = endings.into_iter().find(|ending| lower.ends_with(ending)) else {
        return paths;
    };
    let stem = &name[..name.len() - ending.len()];
    let beside = |endings: &[&str]| {
        let mut named = endings.iter().map(|ending| path.with_file_name(format!("{stem}{ending}")));
        named.find(|path| path.is_file())
    };
    if ending.starts_with(".hdr") {
        paths.extend(beside(&[".img", ".img.gz"]));
    } else if ending.starts_with(".img") {
        paths.splice(0..0, beside(&[".hdr", ".hdr.gz"]));
    }
    paths.extend(beside(&[".json"]));
    paths
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

/// Takes the name of a NIfTI file to write, before anything is computed for it.
pub fn nifti_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path: PathBuf| -> Result<PathBuf, String> {
        if ends(&path, ".nii.gz") || ends(&path, ".nii") {
            Ok(path)
        } else {
            Err("a NIfTI file is written: end its name in .nii.gz (compressed) or .nii".into())
        }
    })
}

fn ends(path: &Path, ending: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    name.ends_with(ending)
}

/// The bytes as the file's name wants them: NIfTI comes in gzip, and is plain in a `.nii`.
fn as_named<'a>(path: &Path, bytes: &'a [u8]) -> std::io::Result<Cow<'a, [u8]>> {
    if !ends(path, ".nii") || !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain)?;
    Ok(Cow::Owned(plain))
}

/// Writes a file whole or not at all: beside its place, then renamed. NIfTI in gzip is
/// unpacked for a name that ends in `.nii`.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let failed =
        |error: std::io::Error| format!("cannot write the file: {error} ({})", path.display());
    let name = path.file_name().ok_or("the output is not a file name")?;
    let mut beside = name.to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = path.with_file_name(beside);
    let result = as_named(path, bytes)
        .and_then(|bytes| fs::write(&beside, bytes))
        .and_then(|()| fs::rename(&beside, path));
    if result.is_err() {
        let _ = fs::remove_file(&beside);
    }
    Ok(result.map_err(failed)?)
}

#[cfg(test)]
mod tests {
    use prism_core::formats::nifti::write_volume;
    use prism_core::volume::{Affine, Volume};

    use super::*;

    #[test]
    fn nifti_is_written_as_its_name_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let affine = Affine::from_spacing([1.0, 2.0, 3.0]);
        let volume = Volume::new((0_u8..24).map(f32::from).collect(), [4, 3, 2], affine);
        let packed = write_volume(&volume.expect("a volume")).expect("NIfTI");
        let written = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            write(&path, bytes).expect("a file");
            fs::read(path).expect("the file")
        };
        assert_eq!(written("a.nii.gz", &packed), packed);
        // nifti1.h: the size of the header comes first; voxels begin at 352.
        for name in ["a.nii", "B.NII"] {
            let plain = written(name, &packed);
            assert_eq!((&plain[..4], plain.len()), (&348_i32.to_le_bytes()[..], 352 + 24 * 4));
        }
        assert_eq!(written("table.csv", b"a,b"), b"a,b");
    }

    #[test]
    fn a_pack_without_a_renderer_renders_nothing() {
        let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/model");
        let path = packs.join("tiny.safetensors");
        assert!(read_pack(&path).is_ok());
        let said = read_renderer(&path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains("does not render a scan again"), "{said}");
        let missing = read_renderer(&packs.join("none.safetensors")).err();
        let said = missing.map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains("none.safetensors"), "{said}");
    }

    #[test]
    fn a_pair_and_a_sidecar_come_with_the_file_that_was_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["a.hdr", "a.img", "a.json", "b.hdr.gz", "b.img.gz", "c.nii.gz", "c.json"] {
            fs::write(at(name), b"").expect("a file");
        }
        let pair = ["a.hdr", "a.img", "a.json"].map(at).to_vec();
        assert_eq!(with_companions(&at("a.hdr")), pair);
        assert_eq!(with_companions(&at("a.img")), pair);
        assert_eq!(with_companions(&at("b.img.gz")), ["b.hdr.gz", "b.img.gz"].map(at));
        assert_eq!(with_companions(&at("c.nii.gz")), ["c.nii.gz", "c.json"].map(at));
        assert_eq!(with_companions(&at("c.json")), [at("c.json")]);
        assert_eq!(with_companions(&at("d.nii")), [at("d.nii")]);
    }
}
