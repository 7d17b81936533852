//! What a finished run shows of itself: `report.html` in its directory.
//!
//! The curves of every run. A run that made its own small model (the quickstart) also measures it through the
//! evaluation that everybody uses, with records in `RUN/eval`: on the questions of its `[[eval]]`, and once
//! more with closed eyes, to show what the score is worth.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use foveate_augment::Scale;
use foveate_datasets::Split;
use foveate_eval::policy::{Local, Policy, TextOnly, Turns};
use foveate_eval::report::{Options, Report};
use foveate_eval::settings::{Invocation, Settings, TaskSettings, write_json};
use foveate_eval::stats::Bootstrap;
use foveate_eval::sweep::{Cell, Plan, images, run as sweep};
use foveate_eval::{Records, Store, Summary};
use foveate_trainer::recipe::{EvalRecipe, Recipe};
use foveate_trainer::turns::Turns as Conversation;
use foveate_vision::config::Config;

use crate::failure::Outcome;
use crate::progress::Progress;

/// Writes the report of a finished run; where it is.
pub fn write(recipe: &Recipe, checkpoint: &Path, origin: &Path, stop: &AtomicBool) -> Outcome<PathBuf> {
    let out = recipe.out.join("eval");
    if recipe.model.path == Path::new("tiny") && !recipe.eval.is_empty() {
        let adapter = recipe.model.adapts().then_some(checkpoint);
        measure(recipe, (adapter.map_or(checkpoint, |_| origin), adapter), &out, stop)?;
    }
    let page = recipe.out.join("report.html");
    Report::of(std::slice::from_ref(&recipe.out), &Options::default())?.write(&page)?;
    Ok(page)
}

/// A model directory, and the adapter on it where the run trained one.
type Measured<'a> = (&'a Path, Option<&'a Path>);

fn measure(recipe: &Recipe, measured: Measured, out: &Path, stop: &AtomicBool) -> Outcome<()> {
    let model = Local::open(measured.0, recipe.rollout.max_tokens, 0.0)?;
    let model = measured.1.into_iter().try_fold(model, |model, adapter| model.with_adapter(adapter, None))?;
    match &recipe.rollout.turns {
        None => twice(recipe, measured, model, out, stop),
        Some(turns) => {
            let family = Config::from_dir(measured.0)?.family;
            let rules = Conversation::rules(turns, family, &model.processor().images)?;
            twice(recipe, measured, Turns::new(model, rules), out, stop)
        }
    }
}

/// As it is, and with closed eyes.
fn twice<P: Policy + Clone>(
    recipe: &Recipe,
    measured: Measured,
    policy: P,
    out: &Path,
    stop: &AtomicBool,
) -> Outcome<()> {
    let blind = TextOnly::new(policy.clone());
    let mut store = Store::open(out)?;
    for eval in &recipe.eval {
        ask(recipe, eval, measured, &policy, &mut store, out, stop)?;
        ask(recipe, eval, measured, &blind, &mut store, out, stop)?;
    }
    let records: Records = store.finish()?;
    Ok(write_json(&out.join("summary.json"), &Summary::of(&records.sorted(), &Bootstrap::default()))?)
}

/// The questions of one `[[eval]]`, the first ones of the split as in the run itself.
fn ask<P: Policy>(
    recipe: &Recipe,
    eval: &EvalRecipe,
    measured: Measured,
    policy: &P,
    store: &mut Store,
    out: &Path,
    stop: &AtomicBool,
) -> Outcome<()> {
    let data = eval.files(&recipe.data).map(Path::to_path_buf);
    let size = recipe.data.size.filter(|_| eval.task == recipe.data.task);
    let (name, split, seed) = (eval.task.clone(), Split::Test.name().into(), recipe.seed);
    let settings = TaskSettings { name, split, data, format: None, seed, size, shuffle: None, wording: None };
    let task = settings.open()?;
    let seen: Vec<String> = recipe.view.iter().flat_map(|view| view.corruptions.clone()).collect();
    let mut images = images(task.as_ref(), Split::Test, None, seed, (0, 1))?;
    images.retain_mut(|run| {
        run.end = run.end.min(eval.limit);
        run.start < run.end
    });
    let cells = Cell::all(&eval.corruptions, &eval.severities, Some(&seen))?;
    let plan = Plan { task: task.as_ref(), split: Split::Test, seed, scale: Scale::Native, cells, images };
    let command = command(eval, &settings, measured, recipe, policy.name().ends_with("(text only)"));
    let version = env!("CARGO_PKG_VERSION").into();
    Settings::note(
        out,
        Invocation { command, version, model: policy.name().into(), task: settings.clone() },
    )?;
    let mut progress = Progress::new("measure", plan.len());
    let tally = sweep(&plan, policy, store, stop, &mut |_| progress.advance(1, 0))?;
    progress.finish(&format!("{} on {}, {} failed", policy.name(), eval.task, tally.failed));
    Ok(())
}

/// The command that asks the like: `foveate eval` draws its questions from the whole split.
fn command(
    eval: &EvalRecipe,
    task: &TaskSettings,
    (model, adapter): Measured,
    recipe: &Recipe,
    blind: bool,
) -> String {
    let mut words = vec!["foveate eval --task".to_owned(), eval.task.clone()];
    words.extend(task.data.iter().map(|data| format!("--data {}", data.display())));
    words.extend(task.size.map(|size| format!("--size {size}")));
    words.push(format!("--model {}", model.display()));
    words.extend(adapter.map(|adapter| format!("--adapter {}", adapter.display())));
    words.extend(blind.then(|| "--text-only".into()));
    if let Some(turns) = &recipe.rollout.turns {
        words.push(format!("--turns {} --max-turns {}", turns.script, turns.max));
        words.extend((!turns.forced).then(|| "--may-answer".into()));
        words.extend(turns.min_side.map(|side| format!("--min-side {side}")));
        words.extend(turns.frame.map(|frame| format!("--frame {}", frame.name())));
    }
    if !eval.corruptions.is_empty() {
        words.push(format!("--corruptions {}", eval.corruptions.join(",")));
        let levels: Vec<String> = eval.severities.iter().map(ToString::to_string).collect();
        words.push(format!("--severities {}", levels.join(",")));
    }
    words.push(format!("--limit {} --seed {}", eval.limit, recipe.seed));
    words.push(format!("--max-tokens {} --out DIR", recipe.rollout.max_tokens));
    words.join(" ")
}
