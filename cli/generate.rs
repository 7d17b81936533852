//! `foveate generate`: a model's answers to given conversations.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foveate_trainer::seeds::{Purpose, seed};
use foveate_vision::config::{Config, GenerationConfig};
use foveate_vision::generate::{Generated, Request, Sampling, Stop, generate};
use foveate_vision::processor::Processor;
use serde::Serialize;
use serde_json::Value;

use crate::conversation::{Conversations, Kind, Row};
use crate::failure::{Failure, Outcome};
use crate::hub::{self, Need};
use crate::output::Output;
use crate::progress::Progress;
use crate::{interrupt, model};

/// Answer conversations
///
/// Reads lines {"id", "messages": [{"role", "content": [{"type": "image", "image": PATH}, {"type":
/// "text", "text": STR}]}]}; an image's path is relative to the folder of IN. Writes lines {"id",
/// "index", "completion", "completion_ids", "logprobs", "stop"}: N lines a conversation, in order;
/// log-probabilities are natural, at temperature 1 whatever the sampling, so `foveate score` gives the
/// same; `stop` is "stop" or "length". An answer depends on the model, the conversation, its id, its
/// index and the options alone, not on the other rows. All rows are checked before the first answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foveate generate --model DIR questions.jsonl --out answers.jsonl\n  \
                        foveate generate --model DIR questions.jsonl --out answers.jsonl --n 8 \
                        --temperature 1 --seed 7")]
pub struct Args {
    /// Conversations to continue, JSON lines
    #[arg(value_name = "IN.jsonl")]
    input: PathBuf,
    /// A model: a Hugging Face directory, or a name on the hub, ORG/NAME[@REVISION]
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// An adapter on it (LoRA), of a run that trained one or made by PEFT: a directory, or a name on the hub
    #[arg(long, value_name = "ADAPTER")]
    adapter: Option<PathBuf>,
    /// Where the answers go; OUT.jsonl.part until all are there
    #[arg(long, value_name = "OUT.jsonl")]
    out: PathBuf,
    /// Longest answer in tokens
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// Divides the logits; 0 takes the likeliest token each time
    #[arg(long, value_name = "T", default_value_t = 0.0, allow_negative_numbers = true)]
    temperature: f32,
    /// Answers a conversation; more than one needs a temperature
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    n: u32,
    /// Decides every draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Tokens in one batch, answers counted at their longest: memory against speed
    #[arg(long, value_name = "N", default_value_t = 8192)]
    token_budget: usize,
}

#[derive(Serialize)]
struct Answer<'a> {
    id: &'a Value,
    index: usize,
    completion: String,
    completion_ids: &'a [u32],
    logprobs: &'a [f32],
    stop: &'static str,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    let stop = interrupt::listen("the batch at hand is finished and what is done stays")?;
    args.check()?;
    let dir = hub::model(&args.model, Need::Weights, Some(&stop))?.path;
    let config = Config::from_dir(&dir)?;
    let processor = Processor::from_dir(&dir)?;
    let sampling = args.sampling(&dir, &processor)?;
    let file = Conversations::read(&args.input, Kind::Open, &processor, config.text.vocab_size)?;
    let mut out = Output::create(&args.out, &args.input)?;
    let model = model::load(&dir, args.adapter.as_deref(), Some(&stop))?;
    let mut progress = Progress::new("generate", file.rows.len());
    let longest = args.n as usize * args.max_tokens as usize;
    for batch in file.batches(args.token_budget, |row, _| row.prompt_tokens + longest) {
        if stop.load(Ordering::Relaxed) {
            return Err(out.stopped());
        }
        let rows = &file.rows[batch];
        let groups = generate(&model, &requests(&file, rows, args, &processor)?, &sampling)?;
        for (row, group) in rows.iter().zip(&groups) {
            write(row, group, &processor, &mut out)?;
        }
        out.flush()?;
        progress.advance(rows.len(), groups.iter().flatten().map(|answer| answer.ids.len()).sum());
    }
    out.finish()?;
    progress.finish(&args.out.display().to_string());
    Ok(())
}

impl Args {
    fn check(&self) -> Outcome<()> {
        let wrong = |field, expected: &str, found: String| {
            Err(Failure::differs("command line", field, expected, found))
        };
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return wrong("--temperature", "a number from 0 up", self.temperature.to_string());
        }
        if self.n > 1 && self.temperature == 0.0 {
            return wrong("--temperature", "above 0 for --n above 1, or all answers are equal", "0".into());
        }
        Ok(())
    }

    fn sampling(&self, dir: &Path, processor: &Processor) -> Outcome<Sampling> {
        let generation = GenerationConfig::from_dir(dir)?;
        if generation.eos_token_ids.is_empty() {
            let place = dir.join("generation_config.json");
            return Err(Failure::differs(place.display(), "eos_token_id", "there", "missing"));
        }
        Ok(Sampling {
            max_tokens: self.max_tokens as usize,
            temperature: self.temperature,
            stop_ids: generation.eos_token_ids,
            tokenizer_size: processor.tokenizer.size(),
            ..Sampling::default()
        })
    }
}

fn requests(file: &Conversations, rows: &[Row], args: &Args, processor: &Processor) -> Outcome<Vec<Request>> {
    let pictures = file.pictures(rows, processor)?;
    let request = |row: &Row| {
        let prompt = Arc::new(file.prompt(row, processor, &pictures)?);
        let seed = seed(args.seed, Purpose::Rollout, 0, fingerprint(&row.id.to_string()), 0);
        Ok(Request { prompt, n: args.n as usize, seed })
    };
    rows.iter().map(request).collect()
}

/// FNV-1a of a row's id, so that its draws do not depend on its place in the file.
pub fn fingerprint(id: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    id.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

fn write(row: &Row, group: &[Generated], processor: &Processor, out: &mut Output) -> Outcome<()> {
    for (index, answer) in group.iter().enumerate() {
        out.write(&Answer {
            id: &row.id,
            index,
            completion: processor.tokenizer.decode(&answer.ids, true)?,
            completion_ids: &answer.ids,
            logprobs: &answer.logp_raw,
            stop: match answer.stop {
                Stop::Stop => "stop",
                Stop::Length => "length",
            },
        })?;
    }
    Ok(())
}
