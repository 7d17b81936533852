//! `foveate grade`: recorded responses to scores, ours and those of other programs.

use std::path::PathBuf;

use foveate_eval::metrics::{RunSummary, Summary};
use foveate_eval::policy::Recorded;
use foveate_eval::settings::{Invocation, Settings, TaskSettings, write_json, write_whole};
use foveate_eval::stats::Bootstrap;
use foveate_eval::{Elsewhere, Record, Records, elsewhere, grade};

use crate::eval::{against, command_line};
use crate::failure::{Failure, Outcome};
use crate::hub::{self, Reader};

/// Score recorded responses: no model, no picture
///
/// Reads lines {"id", "response"}; a call that failed is {"id", "response": null, "error": STR} and is
/// never scored as wrong. An id is that of the benchmark's own file. Writes records.jsonl, summary.json
/// (every number, made of the records alone) and extractors.json: what the same responses would have
/// scored in lmms-eval, VLMEvalKit and the authors' scripts, and where those disagree.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  foveate grade --task vstar --data vstar_bench --responses answers.jsonl \
                        --out graded\n  foveate grade --task data --data koniq10k --responses scores.jsonl \
                        --out graded"
)]
pub struct Args {
    /// The task: a benchmark, a built-in task, or `data` for any other file or folder
    #[arg(long, value_name = "NAME")]
    task: String,
    /// Where the task's files lie, if it has files: a path, or a name on the hub, ORG/NAME[@SPLIT][:REVISION]
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// With --task data: the format, where its columns do not show it (csiq, pipal)
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
    /// Part of the task: test or train
    #[arg(long, default_value = "test", value_name = "NAME")]
    split: String,
    /// The responses, JSON lines
    #[arg(long, value_name = "FILE.jsonl")]
    responses: PathBuf,
    /// Where the results go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The options stood in the order of this seed; without it, in that of the benchmark's own file
    #[arg(long, value_name = "SEED")]
    shuffle: Option<u64>,
    /// Whose words the questions were put in, as in official, lmms-eval, vlmevalkit
    #[arg(long, value_name = "NAME")]
    wording: Option<String>,
    /// Decides what a built-in task draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Side of drawn pictures in pixels
    #[arg(long, value_name = "N")]
    size: Option<u32>,
    /// A summary.json of another model: the errors are also given relative to its (mCE)
    #[arg(long, value_name = "FILE")]
    baseline_summary: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    let recorded = Recorded::read(&args.responses)?;
    let settings = args.settings()?;
    let (task, split) = (settings.open()?, settings.split()?);
    let records = grade(task.as_ref(), split, args.seed, &recorded)?;
    args.check_out(&records)?;
    let mut summary = Summary::of(&records, &Bootstrap::default());
    if let Some(file) = &args.baseline_summary {
        summary = against(summary, file)?;
    }
    let others = elsewhere(task.as_ref(), split, &records)?;
    std::fs::create_dir_all(&args.out).map_err(Failure::io(&args.out))?;
    let mut lines = Vec::new();
    for record in &records {
        serde_json::to_writer(&mut lines, record).map_err(Failure::work)?;
        lines.push(b'\n');
    }
    write_whole(&args.out.join(foveate_eval::store::FILE), &lines)?;
    write_json(&args.out.join("extractors.json"), &others)?;
    write_json(&args.out.join("summary.json"), &summary)?;
    let (command, version) = (command_line(), env!("CARGO_PKG_VERSION").into());
    let model = records.first().map(|record| record.model.clone()).unwrap_or_default();
    Settings::note(&args.out, Invocation { command, version, model, task: settings })?;
    for run in &summary.runs {
        tell(run, &others);
    }
    println!("  {:<22}{}", "results", args.out.display());
    Ok(())
}

impl Args {
    fn settings(&self) -> Outcome<TaskSettings> {
        let place = |path: &PathBuf| hub::data(&path.to_string_lossy(), Reader::of(&self.task), None);
        let data = self.data.as_ref().map(place).transpose()?.map(|place| place.path);
        let format = self.format.clone();
        Ok(TaskSettings {
            name: self.task.clone(),
            split: self.split.clone(),
            data,
            format,
            seed: self.seed,
            size: self.size,
            shuffle: self.shuffle,
            wording: self.wording.clone(),
        })
    }

    /// Results of the same responses are written anew; those of anything else are left alone.
    fn check_out(&self, records: &[Record]) -> Outcome<()> {
        let path = self.out.join(foveate_eval::store::FILE);
        if !path.exists() {
            return Ok(());
        }
        let model = records.first().map_or("", |record| record.model.as_str());
        let other = Records::read(&path)?.records.into_iter().find(|record| record.model != model);
        match other {
            Some(other) => {
                let expected = format!("a directory without records or with those of {model}");
                Err(Failure::differs(path.display(), "--out", expected, format!("one of {}", other.model)))
            }
            None => Ok(()),
        }
    }
}

/// What a reader wants first.
fn tell(run: &RunSummary, others: &[Elsewhere]) {
    let (counts, percent) = (run.counts, |share: f64| format!("{:.2} %", 100. * share));
    println!("\n  {:<22}{} {} · {}", "task", run.task, run.version, run.model);
    println!(
        "  {:<22}{} right, {} wrong, {} unparsed, {} failed",
        "answers", counts.right, counts.wrong, counts.unparsed, counts.failed
    );
    if let (Some(accuracy), Some(interval)) = (counts.accuracy(), counts.interval()) {
        let ends = format!("{:.1} to {:.1}", 100. * interval.low, 100. * interval.high);
        println!("  {:<22}{}  (95 %: {ends})", "accuracy", percent(accuracy));
    }
    if let Some(chance) = run.chance {
        println!("  {:<22}{}", "blind guessing", percent(chance));
    }
    for (letter, share) in run.always_letter.iter().filter(|(_, share)| **share > 0.5) {
        println!("  {:<22}{}: see --shuffle", format!("always {letter}"), percent(*share));
    }
    for score in run.scores.iter().filter(|score| score.name.matches('/').count() < 2) {
        println!("  {:<40}{}  ({})", score.name, percent(score.value), score.of);
    }
    for (cell, quality) in &run.quality {
        let show = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
        let (plcc, srcc) = (show(quality.raw.plcc), show(quality.raw.srcc));
        println!("  {cell:<22}PLCC {plcc}, SRCC {srcc} over {} pictures", quality.pictures);
    }
    others.iter().filter(|other| other.model == run.model).for_each(tell_other);
    if !run.complete {
        println!("  {:<22}incomplete: {} calls have no response and are in no score", "note", counts.failed);
    }
}

/// What another program would have said.
fn tell_other(other: &Elsewhere) {
    let (Some(accuracy), Some(share)) = (other.accuracy, other.disagreement) else { return };
    let judge = other.counts.unparsed;
    let asks = if judge > 0 { format!(", {judge} left to its judge") } else { String::new() };
    let name = format!("as {} scores", other.extractor);
    println!("  {name:<26}{:.2} %, another verdict on {:.1} %{asks}", 100. * accuracy, 100. * share);
}
