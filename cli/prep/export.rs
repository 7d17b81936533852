//! `foveate prep export`: imported data in the layouts of other tools.

use std::path::PathBuf;

use clap::ValueEnum;
use foveate_datasets::Split;
use foveate_datasets::prep::export::{Layout, export};

use crate::failure::Outcome;

/// Write imported data as JSONL or WebDataset shards
///
/// Image bytes stay as they are. What is written imports again to the same samples.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foveate prep export data/geometry3k --to jsonl --out edit\n  \
                        foveate prep export data/geometry3k --to webdataset --per-shard 500 --out shards")]
pub struct Args {
    /// Folder that import wrote
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// What to write
    #[arg(long, value_name = "LAYOUT")]
    to: Kind,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Which rows: train for data.parquet, test for validation.parquet
    #[arg(long, value_name = "NAME", default_value = "train")]
    split: Part,
    /// Samples in a shard
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    per_shard: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// data.jsonl and a folder of images
    Jsonl,
    /// shard-000000.tar and so on
    Webdataset,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    /// data.parquet
    Train,
    /// validation.parquet
    Test,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    let layout = match args.to {
        Kind::Jsonl => Layout::Jsonl,
        Kind::Webdataset => Layout::WebDataset(args.per_shard as usize),
    };
    let split = match args.split {
        Part::Train => Split::Train,
        Part::Test => Split::Test,
    };
    let rows = export(&args.folder, split, layout, &args.out)?;
    println!("{rows} rows in {}", args.out.display());
    Ok(())
}
