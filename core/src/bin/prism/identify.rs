//! `prism identify`: sequence, body part, plane and skull of a scan, and the pack that fits.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Args;
use prism_core::formats::Scan;
use prism_core::identify::{
    self, Fits, HeadsError, HeadsPack, Identification, NamedVector, Routing, TISSUES, estimate,
};
use prism_core::measure::structures;
use prism_core::model::{Pack, PackError};
use prism_core::pipeline::{self, Devices, PooledFeature, Quiet};
use serde::{Deserialize, Serialize};

use crate::files::{self, ModelArguments, ScanArguments};

/// The heads used unless others are named.
const HEADS: &[u8] = include_bytes!("../../../../public/packs/identify.safetensors");

/// Descriptions of the packs that ship.
const SHIPPED: &str = include_str!("../../../../public/packs/index.json");

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    known: Known,
    /// Folder of packs to choose from [default: those that ship]
    #[arg(long)]
    packs: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which scan, and what to know it by.
#[derive(Args)]
pub struct Known {
    #[command(flatten)]
    scan: ScanArguments,
    #[command(flatten)]
    model: ModelArguments,
    /// Pack of heads [default: identify]
    #[arg(long)]
    heads: Option<PathBuf>,
}

/// A scan that went through the encoder once, and of a whole head through the decoder.
pub struct Seen {
    pub heads: HeadsPack,
    pub pooled: Vec<PooledFeature>,
    pub identification: Identification,
    /// The person's age by the file.
    pub stated_years: Option<f64>,
    /// Numbers of the structures in files and their volumes in mL, where heads read them.
    pub volumes: Vec<(u16, f64)>,
}

impl Known {
    /// Encodes and identifies the scan. With `measured` the decoder's labels are measured, too,
    /// where the head of the sex reads volumes and is asked: of whole heads without skull.
    pub async fn see(&self, measured: bool) -> Result<Seen, Box<dyn Error>> {
        let pack = self.model.pack()?;
        let heads = heads_for(&pack, self.heads.as_deref())?;
        let scan: Scan = self.scan.load()?;
        let opened = Devices::default().open_for(self.model.device, &pack).await?;
        let model = opened.load(&pack)?;
        let pass = pipeline::pooled(&scan.volume, &model, &pack, &mut Quiet).await?;
        let mut pooled = pass.features;
        let mut identification = shown(&heads, &pooled, &scan)?;
        let mut volumes = Vec::new();
        if identification.is_whole_head() {
            let (volume, encoded) = (&scan.volume, pass.encoded);
            let stripped = identification.skull.as_ref().is_some_and(|skull| skull.is("stripped"));
            let tissues = if measured && stripped && estimate::reads_volumes(&heads) {
                let given = (volume, scan.series.unit_stated);
                let found =
                    pipeline::segment_encoded(given, encoded, &model, &pack, &mut Quiet).await?;
                let rows = structures(&found.labels, &pack.info.labels);
                volumes = rows.iter().map(|row| (row.id, row.millilitres)).collect();
                found.tissues
            } else {
                pipeline::tissue_contrast(volume, encoded, &model, &pack, &mut Quiet).await?
            };
            identification = shown_with(&heads, &mut pooled, tissues, &scan)?;
        }
        let stated_years = scan.series.acquisition.age_years;
        Ok(Seen { heads, pooled, identification, stated_years, volumes })
    }
}

/// The heads of a file, or those that ship; they must be the pack's.
pub fn heads_for(pack: &Pack, path: Option<&Path>) -> Result<HeadsPack, Box<dyn Error>> {
    let heads = match path {
        None => HeadsPack::read(HEADS)?,
        Some(path) => {
            HeadsPack::read(&fs::read(path).map_err(|error| files::unreadable(path, &error))?)?
        }
    };
    heads.check_encoder(&pack.info.name, &pack.info.sha256)?;
    heads.check_structures(&pack.info.labels)?;
    Ok(heads)
}

/// What a scan shows, by its pooled features; of a map that was computed from one nothing.
pub fn shown(
    heads: &HeadsPack,
    pooled: &[PooledFeature],
    scan: &Scan,
) -> Result<Identification, HeadsError> {
    let volume = &scan.volume;
    let acquisition = &scan.series.acquisition;
    let found =
        identify::identify(heads, &named(pooled), &volume.affine, volume.dims, acquisition)?;
    Ok(found.unless_computed(volume))
}

/// As [`shown`], with the contrast between the tissues where there is one.
pub fn shown_with(
    heads: &HeadsPack,
    pooled: &mut Vec<PooledFeature>,
    tissues: Option<Vec<f32>>,
    scan: &Scan,
) -> Result<Identification, HeadsError> {
    pooled.extend(tissues.map(|values| PooledFeature { name: TISSUES, values }));
    shown(heads, pooled, scan)
}

/// The vectors by name.
pub fn named(pooled: &[PooledFeature]) -> Vec<NamedVector<'_>> {
    pooled.iter().map(|feature| (feature.name, feature.values.as_slice())).collect()
}

#[derive(Serialize)]
struct Printed<'a> {
    /// The sequence in one name, and that it is by the file where it is.
    sequence_name: String,
    #[serde(flatten)]
    identification: &'a Identification,
    routing: &'a Routing,
    /// Name of the pack that fits.
    fits: Option<&'a str>,
    /// Name of its file.
    file: Option<&'a str>,
}

/// A pack to choose from.
struct Candidate {
    name: String,
    file: String,
    title: String,
    fits: Option<Fits>,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let seen = arguments.known.see(false).await?;
    let packs = match &arguments.packs {
        None => shipped()?,
        Some(folder) => descriptions(folder)?,
    };
    let found = &seen.identification;
    let asked = packs.iter().map(|pack| (pack.title.as_str(), pack.fits.as_ref()));
    let routing = Routing::of(found, asked);
    let best = routing.best().and_then(|at| packs.get(at));
    if arguments.json {
        let printed = Printed {
            sequence_name: found.sequence_name(),
            identification: found,
            routing: &routing,
            fits: best.map(|pack| pack.name.as_str()),
            file: best.map(|pack| pack.file.as_str()),
        };
        println!("{}", serde_json::to_string_pretty(&printed)?);
        return Ok(());
    }
    print(found, &routing);
    if let Some(pack) = best {
        println!("pack         {}", pack.file);
    }
    Ok(())
}

/// What a scan shows and which pack fits, in lines; of what is no scan first that it is none.
pub fn print(found: &Identification, routing: &Routing) {
    let cause = routing.cause.as_ref();
    if cause.is_some() {
        println!("{}", routing.words());
    }
    println!("sequence     {}", found.sequence_words());
    println!("body part    {}", found.body_part.words());
    println!("plane        {}", found.plane.words());
    if let Some(skull) = &found.skull {
        println!("skull        {}", skull.words());
    }
    if cause.is_none() {
        println!("{}", routing.words());
    }
    for warning in found.warnings.iter().filter(|&warning| Some(warning) != cause) {
        println!("note: {warning}");
    }
}

/// The packs that ship and say which scans they are for; the others are started by hand.
fn shipped() -> Result<Vec<Candidate>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Listed {
        file: String,
        title: String,
        fits: Option<Fits>,
    }
    let listed: Vec<Listed> = serde_json::from_str(SHIPPED)?;
    let candidate = |Listed { file, title, fits }: Listed| {
        let name = file.trim_end_matches(".safetensors").to_owned();
        Candidate { name, file, title, fits }
    };
    Ok(listed.into_iter().filter(|one| one.fits.is_some()).map(candidate).collect())
}

/// The packs in a folder, by file name; what is no network is left out.
fn descriptions(folder: &Path) -> Result<Vec<Candidate>, Box<dyn Error>> {
    let unreadable = |error: io::Error| files::unreadable(folder, &error);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(unreadable)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, io::Error>>()
        .map_err(unreadable)?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "safetensors"));
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let bytes = fs::read(&path).map_err(|error| files::unreadable(&path, &error))?;
        match Pack::read(&bytes) {
            Ok(Pack { info, .. }) => found.push(Candidate {
                name: info.name,
                file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                title: info.title,
                fits: info.fits,
            }),
            // Heads, or a report's decoder: of other use.
            Err(PackError::NoMetadata) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heart_finds_its_pack_among_those_that_ship() {
        let packs = shipped().unwrap_or_default();
        let of_heart = |pack: &&Candidate| {
            pack.fits.as_ref().is_some_and(|fits| fits.body_part.iter().any(|part| part == "heart"))
        };
        let found = packs.iter().find(of_heart);
        let names = found.map(|pack| (pack.name.as_str(), pack.file.as_str()));
        assert_eq!(names, Some(("cardiac", "cardiac.safetensors")));
        // Of those that fit a head the brain pack goes first.
        assert_eq!(packs.first().map(|pack| pack.name.as_str()), Some("brain"));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../public/packs");
        assert!(packs.iter().all(|pack| folder.join(&pack.file).is_file()));
    }
}
