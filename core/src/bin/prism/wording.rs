//! `prism wording`: the report decoder on facts in a file, to be scored.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use prism_core::report::wording::Claim;
use prism_core::report::{StructureMaps, Wording};
use serde::{Deserialize, Serialize};

use crate::files;

#[derive(Args)]
pub struct Arguments {
    /// Sections and facts, as `prism report --facts` writes them
    facts: PathBuf,
    /// The decoder's pack
    #[arg(long)]
    pack: PathBuf,
    /// Where the sentences go (JSON)
    #[arg(short, long)]
    output: PathBuf,
}

/// The facts of a section.
#[derive(Serialize, Deserialize)]
pub struct Told {
    pub section: String,
    pub facts: Vec<Claim>,
    /// The scan's maps, for a decoder that reads them.
    #[serde(default)]
    pub maps: Option<StructureMaps>,
}

#[derive(Serialize)]
struct Written {
    section: String,
    facts: Vec<Claim>,
    sentences: Vec<Sentence>,
}

#[derive(Serialize)]
struct Sentence {
    text: String,
    claims: Option<Vec<Claim>>,
}

pub fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let bytes =
        fs::read(&arguments.facts).map_err(|error| files::unreadable(&arguments.facts, &error))?;
    let told: Vec<Told> = serde_json::from_slice(&bytes)?;
    let wording = read(&arguments.pack)?;
    let written: Vec<Written> = told
        .into_iter()
        .map(|Told { section, facts, maps }| {
            let sentences = wording
                .write(&section, &facts, maps.as_ref())
                .into_iter()
                .map(|tokens| Sentence { text: tokens.join(" "), claims: wording.claims(&tokens) })
                .collect();
            Written { section, facts, sentences }
        })
        .collect();
    files::write(&arguments.output, serde_json::to_string(&written)?.as_bytes())?;
    println!("{}: {} sections", arguments.output.display(), written.len());
    Ok(())
}

/// Reads the decoder's pack.
pub fn read(path: &std::path::Path) -> Result<Wording, Box<dyn Error>> {
    let bytes = fs::read(path).map_err(|error| files::unreadable(path, &error))?;
    Ok(Wording::read(&bytes)?)
}
