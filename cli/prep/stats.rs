//! `foveate prep stats`: what a data set holds.

use std::path::PathBuf;

use foveate_datasets::prep::stats::stats;
use foveate_datasets::prep::{Hooks, Measure};

use super::bar::Bar;
use super::source::ReadArgs;
use super::tokens::PromptTokens;
use crate::failure::{Failure, Outcome};

/// Count what is there: sizes, tokens, answers
///
/// Reads every row, of images the headers only. With --model also the tokens of each image and prompt, as
/// its tokenizer and grid count them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foveate prep stats data/geometry3k\n  foveate prep stats \
                        data/geometry3k --model Qwen2.5-VL-7B-Instruct --html stats.html")]
pub struct Args {
    /// A file, a folder of shards, or either with @SPLIT; what import wrote; or a name on the hub,
    /// ORG/NAME[@SPLIT][:REVISION]
    #[arg(value_name = "SRC")]
    source: String,
    #[command(flatten)]
    read: ReadArgs,
    /// The model that counts tokens: a directory, or a name on the hub
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Also write a page with histograms
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// JSON on standard output instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    let tokens = args.model.as_deref().map(|model| PromptTokens::of(model, None)).transpose()?;
    let spec = args.read.spec(&args.source, None)?;
    let bar = Bar::new("stats");
    let show = |progress| bar.show(progress);
    let measure = tokens.as_ref().map(|tokens| tokens as &dyn Measure);
    let hooks = Hooks { progress: Some(&show), measure, ..Hooks::default() };
    let found = stats(&spec, hooks).inspect_err(|_| bar.clear())?;
    bar.finish(found.rows + found.broken);
    if let Some(path) = &args.html {
        std::fs::write(path, found.html()).map_err(Failure::io(path))?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found).map_err(Failure::work)?);
    } else {
        print!("{}", found.text());
    }
    Ok(())
}
