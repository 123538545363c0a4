//! `prism`: the page's pipeline as a command.
//!
//! Exit code 0, or one line on stderr and another code. Files are written beside
//! their target and renamed, so nothing half-written is left.

mod abnormality;
mod cine;
mod classify;
mod convert;
mod encode;
mod estimate;
mod files;
mod fit;
mod fit_classifier;
mod follow_up;
mod identify;
mod info;
mod lesions;
mod register;
mod render;
mod report;
mod segment;
mod similarity;
mod wording;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

/// Exit code of a command line that cannot be understood.
const WRONG_ARGUMENTS: u8 = 2;

/// Analyses MRI scans on this machine. Research and education only, not a medical device.
#[derive(Parser)]
#[command(name = "prism", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Outline the structures in a scan
    Segment(segment::Arguments),
    /// Measure the heart over the phases of a heartbeat
    Cine(cine::Arguments),
    /// Print what a scan says of itself
    Info(info::Arguments),
    /// Segment and measure a scan and write the report
    Report(report::Arguments),
    /// Find lesions in one or several sequences of a brain
    Lesions(lesions::Arguments),
    /// Map where a scan differs from what the pretrained decoder draws of it
    Abnormality(abnormality::Arguments),
    /// Draw a scan again with a pack's renderer, as it was or in another style
    Render(render::Arguments),
    /// Write the encoder's features of a scan
    Encode(encode::Arguments),
    /// Make a pack of a PyTorch or safetensors checkpoint
    Convert(convert::Arguments),
    /// Find the place that looks most like a given one, in the same or another scan
    Similarity(similarity::Arguments),
    /// Move one scan onto another
    Register(register::Arguments),
    /// Compare two scans of one person: change of each structure, new bright spots
    FollowUp(follow_up::Arguments),
    /// Word facts from a file with the report decoder
    #[command(hide = true)]
    Wording(wording::Arguments),
    /// Fit a segmentation on a few labelled scans and save it as a pack
    Fit(fit::Arguments),
    /// Fit a classifier on a few whole scans with a label each
    FitClassifier(fit_classifier::Arguments),
    /// Say which of the labels of a fitted classifier scans have
    Classify(classify::Arguments),
    /// Say which sequence and body part a scan shows, and which pack fits it
    Identify(identify::Arguments),
    /// Estimate age and sex from a T1w scan without skull
    Estimate(estimate::Arguments),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error)
            if error.use_stderr()
                && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            let text = error.to_string();
            // Up to the first empty line; usage and advice follow it.
            let words = text.lines().take_while(|line| !line.trim().is_empty());
            let words: Vec<&str> = words.flat_map(str::split_whitespace).collect();
            let words = words.join(" ");
            let words = words.strip_prefix("error: ").unwrap_or(&words);
            eprintln!("prism: {words} (`prism --help`)");
            return ExitCode::from(WRONG_ARGUMENTS);
        }
        // Help and version are no errors.
        Err(error) => error.exit(),
    };
    let result = match arguments.command {
        Command::Segment(arguments) => pollster::block_on(segment::run(&arguments)),
        Command::Cine(arguments) => pollster::block_on(cine::run(&arguments)),
        Command::Info(arguments) => info::run(&arguments),
        Command::Report(arguments) => pollster::block_on(report::run(&arguments)),
        Command::Lesions(arguments) => pollster::block_on(lesions::run(&arguments)),
        Command::Abnormality(arguments) => pollster::block_on(abnormality::run(&arguments)),
        Command::Render(arguments) => pollster::block_on(render::run(&arguments)),
        Command::Encode(arguments) => pollster::block_on(encode::run(&arguments)),
        Command::Convert(arguments) => pollster::block_on(convert::run(&arguments)),
        Command::Similarity(arguments) => pollster::block_on(similarity::run(&arguments)),
        Command::Register(arguments) => pollster::block_on(register::run(&arguments)),
        Command::FollowUp(arguments) => pollster::block_on(follow_up::run(&arguments)),
        Command::Wording(arguments) => wording::run(&arguments),
        Command::Fit(arguments) => pollster::block_on(fit::run(&arguments)),
        Command::FitClassifier(arguments) => pollster::block_on(fit_classifier::run(&arguments)),
        Command::Classify(arguments) => pollster::block_on(classify::run(&arguments)),
        Command::Identify(arguments) => pollster::block_on(identify::run(&arguments)),
        Command::Estimate(arguments) => pollster::block_on(estimate::run(&arguments)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = error.to_string();
            eprintln!("prism: {}", text.lines().next().unwrap_or("failed"));
            ExitCode::FAILURE
        }
    }
}
