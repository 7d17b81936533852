//! `foveate prep validate`: what is wrong with each row.

use foveate_datasets::prep::validate::validate;
use foveate_datasets::prep::{Hooks, Measure, Reject};

use super::bar::Bar;
use super::filter::FilterArgs;
use super::source::ReadArgs;
use crate::failure::{Failure, Outcome};

/// Say what is wrong with each row; nothing is written
///
/// One line a bad row on standard output: file, row, id, what is wrong. Images are decoded to their last
/// byte, image marks counted, answers looked at, ids compared. With filters, rows outside them are told
/// too. Exit code 2 where a row is at fault.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  foveate prep validate rows.jsonl\n  foveate prep validate data/train.parquet \
                        --model Qwen2.5-VL-7B-Instruct --max-tokens 4096 --json > bad.jsonl"
)]
pub struct Args {
    /// A file, a folder of shards, or either with @SPLIT; what import wrote; or a name on the hub,
    /// ORG/NAME[@SPLIT][:REVISION]
    #[arg(value_name = "SRC")]
    source: String,
    #[command(flatten)]
    read: ReadArgs,
    /// Lines of JSON, as in rejects.jsonl
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    let tokens = args.filter.tokens(None)?;
    let bar = Bar::new("validate");
    let show = |progress| bar.show(progress);
    let hooks = Hooks {
        progress: Some(&show),
        measure: tokens.as_ref().map(|tokens| tokens as &dyn Measure),
        ..Hooks::default()
    };
    let tell = |reject: Reject| match serde_json::to_string(&reject) {
        Ok(json) if args.json => bar.print(&json),
        _ => bar.print(&line(&reject)),
    };
    let spec = args.read.spec(&args.source, None)?;
    let summary = validate(&spec, &args.filter.filter()?, hooks, tell).inspect_err(|_| bar.clear())?;
    bar.finish(summary.rows);
    match summary.bad {
        0 => Ok(()),
        bad => Err(Failure::input(format!("{}: {bad} of {} rows are at fault", spec.source, summary.rows))
            .help("foveate prep import leaves them out and writes them to rejects.jsonl")),
    }
}

/// A reject for people.
pub fn line(reject: &Reject) -> String {
    let rows = match reject.rows {
        1 => format!("row {}", reject.row),
        n => format!("rows {} to {}", reject.row, reject.row + n - 1),
    };
    let id = reject.id.as_ref().map_or(String::new(), |id| format!(" (id {id})"));
    format!("{}, {rows}{id}: {}", reject.file, reject.reason)
}
