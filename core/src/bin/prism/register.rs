//! `prism register`: one scan onto another, or onto the MNI atlas.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use prism_core::formats::nifti::{write_displacement, write_labels, write_volume};
use prism_core::formats::{self, InputFile, Selection};
use prism_core::pipeline::{Devices, Quiet};
use prism_core::registration::{
    Agreement, Kind, Plan, RegistrationError, Source, Subject, align, itk,
};
use prism_core::volume::{Affine, Label, LabelMap, LabelTable, Volume};
use serde::Serialize;

use crate::files::{self, ModelArguments};

#[derive(Clone, Copy, ValueEnum)]
enum KindArgument {
    /// Turned and shifted: two scans of one head
    Rigid,
    /// Any affine map
    Affine,
    /// Affine, then every place on its own
    Deformable,
}

#[derive(Clone, Copy, ValueEnum)]
enum FeaturesArgument {
    /// Structures the network finds: any sequence onto any other; as mind where it finds
    /// none
    Prism,
    /// MIND-SSC and mutual information of the intensities: any body part
    Mind,
    /// As prism without MIND-SSC inside the structures, for comparison
    Structures,
    /// The encoder's maps alone, as 24 principal components of both scans: any sequence onto
    /// any other, without the decoder
    Encoder,
    /// As encoder, with MIND-SSC beside
    EncoderMind,
    /// Squared difference of the greys after an affine part by mutual information, for
    /// comparison: scans of one sequence
    Greys,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum AtlasArgument {
    /// MNI152, 2009a, symmetric, T1w without skull
    Mni,
}

/// The atlas: public/atlas/README.md.
const MNI: &[u8] = include_bytes!("../../../../public/atlas/mni152_t1_2mm.nii.gz");

/// The template's own 1 mm grid, on which others keep their MNI scans: sides, and where
/// its first voxel lies.
const MNI_GRID: ([usize; 3], [f64; 3]) = ([197, 233, 189], [-98.0, -134.0, -72.0]);

#[derive(Args)]
pub struct Arguments {
    /// The scan that is moved
    moving: PathBuf,
    /// The scan that it is moved onto
    #[arg(required_unless_present = "to", conflicts_with = "to")]
    fixed: Option<PathBuf>,
    /// Move it onto an atlas instead; its grid is that of the template at 1 mm
    #[arg(long, value_enum)]
    to: Option<AtlasArgument>,
    /// Where the moved scan goes (.nii.gz or .nii), on the fixed scan's grid
    #[arg(short, long, value_parser = files::nifti_path())]
    output: PathBuf,
    #[command(flatten)]
    model: ModelArguments,
    /// How far places may move
    #[arg(long, value_enum, default_value = "deformable")]
    kind: KindArgument,
    /// What is aligned
    #[arg(long, value_enum, default_value = "prism")]
    features: FeaturesArgument,
    /// Labels of the moving scan, to carry along
    #[arg(long, requires = "labels_out")]
    labels: Option<PathBuf>,
    /// Where the carried labels go (.nii.gz or .nii), on the fixed scan's grid
    #[arg(long, requires = "labels", value_parser = files::nifti_path())]
    labels_out: Option<PathBuf>,
    /// Also write the displacements, affine part included, as ITK and ANTs do (.nii.gz or .nii)
    #[arg(long, value_parser = files::nifti_path())]
    field: Option<PathBuf>,
    /// Also write the affine part as an ITK transform file
    #[arg(long)]
    affine: Option<PathBuf>,
    /// An ITK transform file from fixed to moving points to start from; a deformable
    /// alignment takes it as its affine part
    #[arg(long)]
    initial: Option<PathBuf>,
    /// Also write what came of it: agreement, seconds, differences, share of folded voxels
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What an alignment came to.
#[derive(Serialize)]
struct Summary {
    /// What drove the alignment.
    features: Source,
    prepare_seconds: f64,
    align_seconds: f64,
    /// Mean squared difference of the features after the affine part, and in the end.
    differences: (f64, f64),
    /// Share of the aligned voxels with a Jacobian determinant not above zero.
    folded: Option<f64>,
    /// How well the two fit in the end.
    agreement: Agreement,
    /// Whether that is too little for scans that show the same.
    failed: bool,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let clock = Instant::now();
    let moving = files::load(&arguments.moving)?.volume;
    let (fixed, (dims, affine)) = onto(arguments)?;
    let start = match &arguments.initial {
        None => None,
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|e| files::unreadable(path, &e))?;
            Some(itk::read_affine(&text)?)
        }
    };
    let labels = arguments.labels.as_deref().map(|path| labels(path, &moving)).transpose()?;
    let [onto, from] = subjects(arguments, &fixed, &moving).await?;
    if arguments.to.is_some() {
        onto.source.check_atlas()?;
    }
    if let Some(note) = note(arguments, onto.source) {
        eprintln!("prism: note: {note}");
    }
    let prepare_seconds = clock.elapsed().as_secs_f64();
    let clock = Instant::now();
    let kind = match arguments.kind {
        KindArgument::Rigid => Kind::Rigid,
        KindArgument::Affine => Kind::Affine,
        KindArgument::Deformable => Kind::Deformable,
    };
    let aligned = align(&onto, &from, Plan { kind, start }, &mut Quiet).await?;
    let summary = Summary {
        features: onto.source,
        prepare_seconds,
        align_seconds: clock.elapsed().as_secs_f64(),
        differences: aligned.differences,
        folded: aligned.transform.deformation.as_ref().map(|d| d.folded()),
        agreement: aligned.agreement,
        failed: aligned.agreement.failed(),
    };
    if let Some(warning) = summary.agreement.warning() {
        if arguments.to.is_some() {
            return Err(RegistrationError::NoHead.into());
        }
        eprintln!("prism: warning: {warning}");
    }
    let transform = &aligned.transform;
    let affine = &affine;
    files::write(&arguments.output, &write_volume(&transform.warp(&moving, dims, affine)?)?)?;
    if let (Some((map, table)), Some(path)) = (&labels, &arguments.labels_out) {
        let carried = transform.warp_labels(map, dims, affine)?;
        files::write(path, &write_labels(&carried, table)?)?;
    }
    if let Some(path) = &arguments.field {
        let field = transform.field(dims, affine)?;
        files::write(path, &write_displacement(&field, dims, affine)?)?;
    }
    if let Some(path) = &arguments.affine {
        files::write(path, itk::write_affine(&transform.affine).as_bytes())?;
    }
    if let Some(path) = &arguments.json {
        files::write(path, serde_json::to_string_pretty(&summary)?.as_bytes())?;
    }
    println!(
        "{}: {}; features differ by {:.3}, after the affine part {:.3}{}; prepare {:.1} s, align \
         {:.1} s",
        arguments.output.display(),
        summary.agreement.words(),
        summary.differences.1,
        summary.differences.0,
        summary.folded.map_or(String::new(), |f| format!(", {:.3} % folded", 100.0 * f)),
        summary.prepare_seconds,
        summary.align_seconds,
    );
    Ok(())
}

/// Sides, and world from voxel.
type Grid = ([usize; 3], Affine);

/// What the scan is moved onto, and the grid of the results.
fn onto(arguments: &Arguments) -> Result<(Volume, Grid), Box<dyn Error>> {
    if let Some(path) = &arguments.fixed {
        let fixed = files::load(path)?.volume;
        let grid = (fixed.dims, fixed.affine);
        return Ok((fixed, grid));
    }
    let file = InputFile { name: "MNI152".into(), bytes: MNI.to_vec() };
    let atlas = formats::load(&[file], &Selection::default())?.volume;
    let mut affine = Affine::from_spacing([1.0; 3]);
    (0..3).for_each(|axis| affine.0[axis][3] = MNI_GRID.1[axis]);
    Ok((atlas, (MNI_GRID.0, affine)))
}

/// The fixed and the moving scan with their features.
async fn subjects(
    arguments: &Arguments,
    fixed: &Volume,
    moving: &Volume,
) -> Result<[Subject; 2], Box<dyn Error>> {
    match arguments.features {
        FeaturesArgument::Prism
        | FeaturesArgument::Structures
        | FeaturesArgument::Encoder
        | FeaturesArgument::EncoderMind => {}
        FeaturesArgument::Mind => {
            return Ok([Subject::by_intensity(fixed)?, Subject::by_intensity(moving)?]);
        }
        FeaturesArgument::Greys => {
            return Ok([Subject::by_greys(fixed)?, Subject::by_greys(moving)?]);
        }
    }
    let pack = arguments.model.pack()?;
    let opened = Devices::default().open_for(arguments.model.device, &pack).await?;
    let model = opened.load(&pack)?;
    let scans = [fixed, moving];
    let both = match arguments.features {
        FeaturesArgument::Encoder | FeaturesArgument::EncoderMind => {
            Subject::by_encoder(scans, &model, &pack, &mut Quiet).await?
        }
        _ => Subject::pair(scans, &model, &pack, &mut Quiet).await?,
    };
    if matches!(arguments.features, FeaturesArgument::Structures | FeaturesArgument::Encoder) {
        return Ok(both.map(Subject::structures_alone));
    }
    Ok(both)
}

/// What is to be said where another source was wanted than was used.
fn note(arguments: &Arguments, used: Source) -> Option<&'static str> {
    match arguments.features {
        FeaturesArgument::Mind => None,
        _ => used.note(),
    }
}

/// Any label image as indices, with a table that leads back to its numbers.
fn labels(path: &Path, scan: &Volume) -> Result<(LabelMap, LabelTable), Box<dyn Error>> {
    let volume = files::load(path)?.volume;
    if volume.dims != scan.dims {
        eprintln!("prism: note: labels and moving scan differ in size; placed by their headers");
    }
    let mut numbers: Vec<u16> = Vec::new();
    let mut ids = Vec::with_capacity(volume.data.len());
    for &value in &volume.data {
        if value.fract() != 0.0 || !(0.0..=65535.0).contains(&value) {
            return Err("the labels hold values that are no whole numbers of 0 to 65535".into());
        }
        ids.push(value as u16);
    }
    numbers.extend(ids.iter().filter(|&&id| id != 0));
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() > usize::from(u8::MAX) {
        return Err(
            format!("{} labels, more than the 255 that can be carried", numbers.len()).into()
        );
    }
    let index = |id: &u16| numbers.binary_search(id).map_or(0, |at| at as u8 + 1);
    let data = ids.iter().map(index).collect();
    let labels = numbers
        .iter()
        .map(|&id| Label {
            index: index(&id),
            id,
            name: id.to_string(),
            color: [0; 3],
            side: None,
            pair: None,
        })
        .collect();
    let map = LabelMap { data, dims: volume.dims, affine: volume.affine };
    Ok((map, LabelTable { labels }))
}
