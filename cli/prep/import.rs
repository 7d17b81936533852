//! `foveate prep import`: what people bring, made ready for training.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::AtomicBool;

use foveate_datasets::prep::{Hooks, ImportOptions, Measure, Reject, Report, import};

use super::bar::Bar;
use super::filter::FilterArgs;
use super::source::ReadArgs;
use super::views::{View, ViewArgs, pairs};
use crate::failure::{Failure, Outcome};
use crate::interrupt;

/// Reasons that are shown; all of them are in the file.
const SHOWN: usize = 3;

/// Import data of any known format
///
/// Writes OUT/data.parquet (id, problem, answer, images, meta; Python's datasets decodes the images),
/// rejects.jsonl with every row that did not come through and why, and import.json, in which rows in =
/// rows out + rejects. Every image is decoded to its last byte. Ctrl-C or a kill loses nothing: the same
/// command goes on, to the same files.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foveate prep import geometry3k@train --out data/geometry3k\n  \
                        foveate prep import rows.csv --map problem=question,answer=label,images=file --out data/mine\n  \
                        foveate prep import koniq.csv --images koniq/512x384 --validation 0.1 \
                        --degrade gaussian_noise@4 --degrade gaussian_blur@4 --out data/koniq")]
pub struct Args {
    /// A file, a folder of shards, or either with @SPLIT; what import wrote; or a name on the hub,
    /// ORG/NAME[@SPLIT][:REVISION]
    #[arg(value_name = "SRC")]
    source: String,
    #[command(flatten)]
    read: ReadArgs,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only every N-th row, from the I-th on, as 0/4, 1/4, 2/4, 3/4: for several processes or machines
    #[arg(long, value_name = "I/N", default_value = "0/1")]
    shard: Shard,
    /// Share of the images, by their hash, that go to validation.parquet; both files share none
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    validation: f64,
    /// Scale larger images down to so many pixels; they become PNG
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u64).range(1..))]
    shrink_to: Option<u64>,
    /// Add a damaged copy of each row, as gaussian_noise or gaussian_blur@2+jpeg_compression@4; may be repeated
    #[arg(long, value_name = "CORRUPTION")]
    degrade: Vec<String>,
    #[command(flatten)]
    views: ViewArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    let stop = interrupt::listen("the rows at hand are finished; the same command goes on")?;
    let tokens = args.filter.tokens(Some(&stop))?;
    let views = args.views.views(&args.degrade)?;
    let options = args.options(&views, &stop)?;
    let bar = Bar::new("import");
    let (show, transform) = (|progress| bar.show(progress), |sample| pairs(sample, &views));
    let hooks = Hooks {
        progress: Some(&show),
        measure: tokens.as_ref().map(|tokens| tokens as &dyn Measure),
        transform: if views.is_empty() { None } else { Some(&transform) },
        stop: Some(&stop),
    };
    let report = import(&options, hooks).inspect_err(|_| bar.clear())?;
    bar.finish(report.rows_in);
    said(&report, &args.out)
}

impl Args {
    fn options(&self, views: &[View], stop: &AtomicBool) -> Outcome<ImportOptions> {
        let degrade = views.iter().map(|view| format!("degrade {} seed {}", view.name(), self.views.seed));
        let model = self.filter.model.iter().map(|dir| format!("tokens by {}", dir.display()));
        Ok(ImportOptions {
            spec: self.read.spec(&self.source, Some(stop))?,
            filter: self.filter.filter()?,
            shard: (self.shard.0, self.shard.1),
            shrink_to: self.shrink_to,
            validation: self.validation,
            hooks: degrade.chain(model).collect(),
            out: self.out.clone(),
        })
    }
}

/// What came of it; a failure where nothing came through.
fn said(report: &Report, out: &Path) -> Outcome<()> {
    let rejects: u64 = report.rejected.values().sum();
    let kinds: Vec<_> = report.rejected.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    let line = |name: &str, rows: u64, more: String| {
        println!("  {:<44}{rows:>10} rows{more}", out.join(name).display())
    };
    println!("  {:<44}{:>10} rows as {}", "read", report.rows_in, report.format);
    let made =
        if report.rows_made > 0 { format!(", {} of them made", report.rows_made) } else { String::new() };
    line("data.parquet", report.rows_out - report.rows_validation, made);
    if report.rows_validation > 0 {
        line("validation.parquet", report.rows_validation, String::new());
    }
    line(
        "rejects.jsonl",
        rejects,
        if rejects > 0 { format!(": {}", kinds.join(", ")) } else { String::new() },
    );
    if report.other_shards > 0 {
        println!("  {:<44}{:>10} rows", "of other shards", report.other_shards);
    }
    let reasons = first_reasons(&out.join("rejects.jsonl"))?;
    reasons.iter().for_each(|reason| println!("    {reason}"));
    if rejects > SHOWN as u64 {
        println!("    ...");
    }
    if report.rows_out == 0 && report.rows_in > report.other_shards {
        return Err(Failure::input(format!("{}: not one row came through", out.display())));
    }
    Ok(())
}

fn first_reasons(path: &Path) -> Outcome<Vec<String>> {
    let lines = BufReader::new(File::open(path).map_err(Failure::io(path))?).lines();
    let reason = |line: std::io::Result<String>| {
        let line = line.map_err(Failure::io(path))?;
        let reject: Reject = serde_json::from_str(&line).map_err(Failure::work)?;
        Ok(super::validate::line(&reject))
    };
    lines.take(SHOWN).map(reason).collect()
}

/// `I/N`.
#[derive(Clone, Copy, Debug)]
struct Shard(u64, u64);

impl FromStr for Shard {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let parts = word.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((i, n)) if i < n => Ok(Self(i, n)),
            _ => Err(format!("`{word}` should be I/N with I from 0 to N - 1, as in 0/4")),
        }
    }
}
