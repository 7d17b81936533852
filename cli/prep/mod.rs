//! `foveate prep`: getting data ready.
//!
//! The data crate knows neither tokenizers nor corruptions; this room hands them to it. What a row is worth is decided
//! there, what is shown here.

mod bar;
mod export;
mod filter;
mod import;
mod sheet;
mod source;
mod stats;
pub mod tokens;
mod validate;
mod views;

use clap::Subcommand;

use crate::failure::Outcome;

/// Get data ready: import, validate, stats, sheet, export
///
/// Reads parquet, JSONL, JSON, CSV, TSV, xlsx, text and tar shards in the formats that training tools use.
/// `foveate help prep COMMAND` has the options of each.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foveate prep validate rows.jsonl\n  foveate prep import \
                        rows.jsonl --out data\n  foveate prep stats data --html stats.html")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// One subcommand, one file.
#[derive(Debug, Subcommand)]
enum Command {
    Import(import::Args),
    Validate(validate::Args),
    Stats(stats::Args),
    Sheet(sheet::Args),
    Export(export::Args),
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    match &args.command {
        Command::Import(args) => import::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Sheet(args) => sheet::run(args),
        Command::Export(args) => export::run(args),
    }
}
