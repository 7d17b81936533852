//! `foveate eval`: a policy on a task, on clean and corrupted pictures, to records and a summary.

mod asked;
mod policies;

pub use asked::against;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use foveate_eval::elsewhere::note;
use foveate_eval::likelihood::Likeliest;
use foveate_eval::policy::{Endpoint, Local, Pictures, Policy, Recorded, TextOnly, Turns};
use foveate_eval::settings::{Invocation, Settings, write_json};
use foveate_eval::stats::Bootstrap;
use foveate_eval::sweep::{Event, Tally, run as sweep};
use foveate_eval::{Store, Summary, elsewhere, report};
use foveate_vision::grounding::Protocol;

use crate::failure::{Failure, Outcome};
use crate::hub::{self, Need};
use crate::interrupt;
use crate::progress::Progress;

/// Measure a model on a task
///
/// Asks every question of the task about its clean picture and about each corruption of it, and writes to
/// DIR: records.jsonl (a line an answer), summary.json (every number, made of the records alone), eval.json
/// (how to do it again). The policy is a model directory, a server with OpenAI's API, recorded responses or
/// a baseline. A command that was stopped or killed is given again and asks only what is open; calls that
/// failed are open. `foveate report DIR` shows the result.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  foveate eval --task shapes --model runs/quickstart/checkpoints/step-000230 \
                        --corruptions common --severities 1,3,5 --limit 200 --out eval/shapes\n  \
                        foveate eval --task vstar --data vstar_bench --endpoint http://localhost:8000/v1 \
                        --served-model qwen --processor DIR --out eval/vstar\n  \
                        foveate eval --task vstar --data vstar_bench --baseline always-a --out eval/vstar"
)]
pub struct Args {
    #[command(flatten)]
    asked: asked::Args,
    #[command(flatten)]
    policy: policies::Args,
    /// Where records.jsonl, summary.json and eval.json go; more than one model may go to one directory
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    let stop = interrupt::listen("answers that came are kept; the same command goes on")?;
    let stop: &AtomicBool = &stop;
    let asked = args.asked.open(args.policy.trained_on()?.as_deref(), stop)?;
    let mut work =
        Work { args, asked: &asked, stop, store: Store::open(&args.out)?, tally: Tally::default() };
    match args.policy.kind()? {
        policies::Kind::Local(dir) => {
            let place = hub::model(dir, Need::Weights, Some(stop))?;
            let model = Local::open(&place.path, args.policy.max_tokens, args.policy.temperature)?;
            let model = match &place.title {
                Some(title) => model.called(title),
                None => model,
            };
            let model = args.policy.adapter.iter().try_fold(model, |model, word| {
                let place = hub::adapter(word, Some(stop))?;
                Ok::<_, Failure>(model.with_adapter(&place.path, place.title.as_deref())?)
            })?;
            for pixels in args.policy.budgets() {
                let model = pixels.map_or_else(|| Ok(model.clone()), |most| model.with_max_pixels(most))?;
                match args.policy.likelihood {
                    true => work.measure(Likeliest(model), None)?,
                    false => {
                        let protocol = args.policy.protocol(Some(&model.processor().images), stop)?;
                        work.measure(model, protocol)?;
                    }
                }
            }
        }
        policies::Kind::Endpoint(url, name) => {
            for pixels in args.policy.budgets() {
                let options = args.policy.endpoint(url, name, pixels, stop)?;
                let images = match &options.pictures {
                    Pictures::Model(processor) => Some(&processor.images),
                    Pictures::AsTheyAre(_) => None,
                };
                let protocol = args.policy.protocol(images, stop)?;
                work.measure(Endpoint::new(options, stop)?, protocol)?;
            }
        }
        policies::Kind::Responses(file) => work.ask(&Recorded::read(file)?)?,
        policies::Kind::Baseline(kind) => work.ask(&asked.baseline(kind)?)?,
    }
    work.finish()
}

/// What all policies of one command share.
struct Work<'a> {
    args: &'a Args,
    asked: &'a asked::Asked,
    stop: &'a AtomicBool,
    store: Store,
    tally: Tally,
}

impl Work<'_> {
    /// Asks a model, in one turn or by `protocol` in several.
    fn measure<P: Policy>(&mut self, policy: P, protocol: Option<Protocol>) -> Outcome<()> {
        match (protocol, self.args.policy.text_only) {
            (None, false) => self.ask(&policy),
            (None, true) => self.ask(&TextOnly::new(policy)),
            (Some(protocol), false) => self.ask(&Turns::new(policy, protocol)),
            (Some(protocol), true) => self.ask(&TextOnly::new(Turns::new(policy, protocol))),
        }
    }

    /// Asks one policy everything that is open.
    fn ask<P: Policy>(&mut self, policy: &P) -> Outcome<()> {
        if self.tally.stopped {
            return Ok(());
        }
        let (plan, task) = (self.asked.plan(), self.asked.settings.clone());
        let (command, version) = (command_line(), env!("CARGO_PKG_VERSION").into());
        Settings::note(&self.args.out, Invocation { command, version, model: policy.name().into(), task })?;
        let mut progress = Progress::new("eval", plan.len());
        let tally = sweep(&plan, policy, &mut self.store, self.stop, &mut |event| match event {
            Event::Found => progress.skip(),
            Event::Asked(_) => progress.advance(1, 0),
        })?;
        progress.finish(&format!("{} answered before, {} calls failed", tally.found, tally.failed));
        self.tally.found += tally.found;
        self.tally.asked += tally.asked;
        self.tally.failed += tally.failed;
        self.tally.stopped |= tally.stopped;
        Ok(())
    }

    /// Writes the summary and says what came of it.
    fn finish(self) -> Outcome<()> {
        let out = &self.args.out;
        let records = self.store.finish()?;
        if self.tally.stopped {
            let message =
                format!("stopped as asked; {} records are in {}", records.records.len(), out.display());
            return Err(Failure::work(message).help("the same command goes on"));
        }
        let records = records.sorted();
        let summary = Summary::of(&records, &Bootstrap::default());
        let summary = match &self.args.asked.baseline_summary {
            Some(file) => against(summary, file)?,
            None => summary,
        };
        write_json(&out.join("summary.json"), &summary)?;
        let plan = self.asked.plan();
        let others = elsewhere(plan.task, plan.split, &records)?;
        note(out, plan.task.name(), others)?;
        print!("{}", report::brief(&summary));
        println!("\n  {:<22}{}", "records and summary", out.display());
        println!("  {:<22}foveate report {} --out report.html", "to look at them", out.display());
        let (failed, asked) = (self.tally.failed, self.tally.asked);
        if failed > 0 {
            let message = format!("{failed} of {asked} calls failed and are in no score");
            return Err(Failure::work(message).help("the same command asks them again"));
        }
        Ok(())
    }
}

/// The command as a shell would take it.
pub fn command_line() -> String {
    let plain = |word: &String| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c))
    };
    let quote = |word: String| if plain(&word) { word } else { format!("'{}'", word.replace('\'', r"'\''")) };
    let words = std::env::args_os().skip(1).map(|word| quote(word.to_string_lossy().into_owned()));
    std::iter::once("foveate".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}
