//! `prism estimate`: age and sex from a T1w scan without skull, with the interval.

use std::error::Error;

use clap::Args;
use prism_core::identify::estimate;

use crate::identify::{Known, named};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    known: Known,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let seen = arguments.known.see(true).await?;
    let vectors = named(&seen.pooled);
    let found = estimate::estimate(&seen.heads, &vectors, &seen.identification, seen.stated_years)?
        .with_volumes(&seen.volumes)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    if let Some(age) = &found.age {
        println!("age          {}", age.words());
        if let Some(caution) = &age.caution {
            println!("note: {caution}");
        }
    }
    if let Some(sex) = &found.sex {
        println!("sex          {}", sex.words());
        if let Some(caution) = &found.sex_caution {
            println!("note: {caution}");
        }
    }
    if let Some(refused) = &found.refused {
        println!("{refused}");
    }
    Ok(())
}
