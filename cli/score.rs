//! `foveate score`: what a model thinks of given answers, token by token.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use foveate_vision::config::Config;
use foveate_vision::models::VisionLanguageModel;
use foveate_vision::pack::PackBuilder;
use foveate_vision::processor::Processor;
use serde::Serialize;
use serde_json::Value;

use crate::conversation::{Conversations, Kind, Row};
use crate::failure::{Failure, Outcome};
use crate::hub::{self, Need};
use crate::output::Output;
use crate::progress::Progress;
use crate::{interrupt, model};

/// Score given answers: log-probability and entropy of every token
///
/// Reads lines {"id", "messages": [{"role", "content": [{"type": "image", "image": PATH}, {"type":
/// "text", "text": STR}]}], "completion": STR}; an image's path is relative to the folder of IN. Writes
/// lines {"id", "prompt_ids", "completion_ids", "logprobs", "entropy"}: natural logarithms at
/// temperature 1, one number for each token of the completion and its closing <|im_end|>. Rows keep
/// their order. All rows are checked before the first is scored.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  foveate score --model runs/quickstart/checkpoints/step-000100 \
                        answers.jsonl --out scores.jsonl")]
pub struct Args {
    /// Conversations with a completion each, JSON lines
    #[arg(value_name = "IN.jsonl")]
    input: PathBuf,
    /// A model: a Hugging Face directory, or a name on the hub, ORG/NAME[@REVISION]
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// An adapter on it (LoRA), of a run that trained one or made by PEFT: a directory, or a name on the hub
    #[arg(long, value_name = "ADAPTER")]
    adapter: Option<PathBuf>,
    /// Where the scores go; OUT.jsonl.part until all are there
    #[arg(long, value_name = "OUT.jsonl")]
    out: PathBuf,
    /// Tokens in one forward pass: memory against speed
    #[arg(long, value_name = "N", default_value_t = 8192)]
    token_budget: usize,
}

#[derive(Serialize)]
struct Scored<'a> {
    id: &'a Value,
    prompt_ids: &'a [u32],
    completion_ids: &'a [u32],
    logprobs: &'a [f32],
    entropy: &'a [f32],
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    let stop = interrupt::listen("the batch at hand is finished and what is done stays")?;
    let dir = hub::model(&args.model, Need::Weights, Some(&stop))?.path;
    let config = Config::from_dir(&dir)?;
    let processor = Processor::from_dir(&dir)?;
    let file = Conversations::read(&args.input, Kind::Completed, &processor, config.text.vocab_size)?;
    let mut out = Output::create(&args.out, &args.input)?;
    let model = model::load(&dir, args.adapter.as_deref(), Some(&stop))?;
    let mut progress = Progress::new("score", file.rows.len());
    let cost = |row: &Row, new: bool| row.completion_ids.len() + if new { row.prompt_tokens } else { 0 };
    for batch in file.batches(args.token_budget, cost) {
        if stop.load(Ordering::Relaxed) {
            return Err(out.stopped());
        }
        let rows = &file.rows[batch];
        score(&file, rows, &model, &processor, &mut out)?;
        out.flush()?;
        progress.advance(rows.len(), rows.iter().map(|row| row.completion_ids.len()).sum());
    }
    out.finish()?;
    progress.finish(&args.out.display().to_string());
    Ok(())
}

/// One forward pass: every distinct prompt once, under it all its completions.
fn score(
    file: &Conversations,
    rows: &[Row],
    model: &VisionLanguageModel,
    processor: &Processor,
    out: &mut Output,
) -> Outcome<()> {
    let pictures = file.pictures(rows, processor)?;
    let mut prompts: Vec<(usize, Vec<u32>)> = Vec::new();
    let (mut builder, mut sequences) = (PackBuilder::new(), vec![0; rows.len()]);
    for first in rows {
        if prompts.iter().any(|(number, _)| *number == first.prompt) {
            continue;
        }
        let prompt = file.prompt(first, processor, &pictures)?;
        let root = builder.root(&prompt)?;
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.prompt == first.prompt) {
            sequences[at] = builder.completion(root, &row.completion_ids)?;
        }
        prompts.push((first.prompt, prompt.input_ids));
    }
    let pack = builder.build()?;
    let scored = model.token_logprobs(&pack, 1.0, None)?;
    let (logp_n, entropy_n) = (scored.logp_n.to_vec1::<f32>()?, scored.entropy_n.to_vec1::<f32>()?);
    for (row, &sequence) in rows.iter().zip(&sequences) {
        let tokens = pack.sequences[sequence].clone();
        let (logprobs, entropy) = (&logp_n[tokens.clone()], &entropy_n[tokens]);
        if let Some(at) = logprobs.iter().chain(entropy).position(|value| !value.is_finite()) {
            let token = at % logprobs.len();
            return Err(Failure::work(format!("row {}: token {token} has no finite score", row.id)));
        }
        let prompt = prompts.iter().find(|(number, _)| *number == row.prompt);
        let prompt_ids = prompt.map_or(&[][..], |(_, ids)| ids);
        let completion_ids = &row.completion_ids;
        out.write(&Scored { id: &row.id, prompt_ids, completion_ids, logprobs, entropy })?;
    }
    Ok(())
}
