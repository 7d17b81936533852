//! `foveate grade`: recorded responses to scores, ours and those of other programs.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use foveate_datasets::prep::records::SourceSpec;
use foveate_datasets::{DataOptions, OpenOptions, Split, Task, open, open_data};
use foveate_eval::metrics::{RunSummary, Summary};
use foveate_eval::policy::Recorded;
use foveate_eval::stats::Bootstrap;
use foveate_eval::{Elsewhere, Record, Records, elsewhere, grade};
use serde::Serialize;

use crate::failure::{Failure, Outcome};

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
    /// A benchmark or built-in task by name, or `data` for any other file or folder
    #[arg(long, value_name = "NAME")]
    task: String,
    /// Where the task's files lie
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The responses, JSON lines
    #[arg(long, value_name = "FILE.jsonl")]
    responses: PathBuf,
    /// Where the results go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The options stood in the order of this seed; without it, in that of the benchmark's own file
    #[arg(long, value_name = "SEED")]
    shuffle: Option<u64>,
    /// Whose words the questions were put in: official, lmms-eval, vlmevalkit
    #[arg(long, value_name = "NAME")]
    prompt: Option<String>,
    /// With --task data: the format, where its columns do not show it (csiq, pipal)
    #[arg(long, value_name = "NAME", default_value = "auto")]
    format: String,
    /// Decides what a built-in task draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// summary.json of another evaluation, for the mean corruption error relative to it
    #[arg(long, value_name = "SUMMARY.json")]
    baseline: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    let recorded = Recorded::read(&args.responses)?;
    let task = args.open()?;
    let records = grade(task.as_ref(), Split::Test, args.seed, &recorded)?;
    args.check_out(&records)?;
    let mut summary = Summary::of(&records, &Bootstrap::default());
    if let Some(path) = &args.baseline {
        relate(&mut summary, path)?;
    }
    let others = elsewhere(task.as_ref(), Split::Test, &records)?;
    fs::create_dir_all(&args.out).map_err(Failure::io(&args.out))?;
    let lines: Vec<String> = records
        .iter()
        .map(|record| serde_json::to_string(record).map_err(Failure::work))
        .collect::<Outcome<_>>()?;
    whole(&args.out.join("records.jsonl"), &(lines.join("\n") + "\n"))?;
    whole(&args.out.join("extractors.json"), &pretty(&others)?)?;
    whole(&args.out.join("summary.json"), &pretty(&summary)?)?;
    for run in &summary.runs {
        tell(run, &others);
    }
    println!("  {:<22}{}", "results", args.out.display());
    Ok(())
}

impl Args {
    fn open(&self) -> Outcome<Box<dyn Task>> {
        let text = |path: &PathBuf| path.display().to_string();
        let task = match (self.task.as_str(), &self.data) {
            ("data", Some(data)) => {
                let spec = SourceSpec { format: self.format.clone(), ..SourceSpec::default() };
                open_data(&DataOptions { test: Some(text(data)), spec, ..DataOptions::default() })
            }
            ("data", None) => return Err(Failure::differs("command line", "--data", "given", "missing")),
            (name, data) => {
                let (data, seed, shuffle) = (data.clone(), self.seed, self.shuffle);
                let wording = self.prompt.clone();
                open(name, &OpenOptions { data, seed, shuffle, wording, ..OpenOptions::default() })
            }
        };
        task.map_err(Failure::input)
    }

    /// Results of the same responses are written anew; those of anything else are left alone.
    fn check_out(&self, records: &[Record]) -> Outcome<()> {
        let path = self.out.join("records.jsonl");
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

/// Adds the corruption errors relative to the stored run of the same task.
fn relate(summary: &mut Summary, path: &Path) -> Outcome<()> {
    let text = fs::read_to_string(path).map_err(Failure::io(path))?;
    let stored: Summary = serde_json::from_str(&text).map_err(|e| Failure::input(e).at(path.display()))?;
    for run in &mut summary.runs {
        let base = stored.runs.iter().find(|base| (&base.task, base.version) == (&run.task, run.version));
        let base = base.ok_or_else(|| {
            let found: Vec<_> =
                stored.runs.iter().map(|run| format!("{} {}", run.task, run.version)).collect();
            let expected = format!("of task {} {}", run.task, run.version);
            Failure::differs(path.display(), "runs", expected, found.join(", "))
        })?;
        let errors = run.against(base).map_err(|e| Failure::input(e).at(path.display()))?;
        run.corruption_errors = Some(errors);
    }
    Ok(())
}

fn pretty(value: &impl Serialize) -> Outcome<String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(Failure::work)
}

/// Writes a file that is whole or not there.
fn whole(path: &Path, text: &str) -> Outcome<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let draft = PathBuf::from(name);
    let mut file = fs::File::create(&draft).map_err(Failure::io(&draft))?;
    file.write_all(text.as_bytes()).map_err(Failure::io(&draft))?;
    file.sync_all().map_err(Failure::io(&draft))?;
    fs::rename(&draft, path).map_err(Failure::io(path))
}

/// What a reader wants first.
fn tell(run: &RunSummary, others: &[Elsewhere]) {
    let counts = run.counts;
    println!("\n  {:<22}{} {} · {}", "task", run.task, run.version, run.model);
    println!(
        "  {:<22}{} right, {} wrong, {} unparsed, {} failed",
        "answers", counts.right, counts.wrong, counts.unparsed, counts.failed
    );
    if let (Some(accuracy), Some(interval)) = (counts.accuracy(), counts.interval()) {
        let ends = format!("{:.1} to {:.1}", 100. * interval.low, 100. * interval.high);
        println!("  {:<22}{:.2} %  (95 %: {ends})", "accuracy", 100. * accuracy);
    }
    if let Some(chance) = run.chance {
        println!("  {:<22}{:.2} %", "blind guessing", 100. * chance);
    }
    for (letter, share) in run.always_letter.iter().filter(|(_, share)| **share > 0.5) {
        println!("  {:<22}{:.2} %: see --shuffle", format!("always {letter}"), 100. * share);
    }
    for score in run.scores.iter().filter(|score| score.name.matches('/').count() < 2) {
        println!("  {:<40}{:.2} %  ({})", score.name, 100. * score.value, score.of);
    }
    for (cell, quality) in &run.quality {
        let show = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
        let (plcc, srcc) = (show(quality.raw.plcc), show(quality.raw.srcc));
        println!("  {:<22}PLCC {plcc}, SRCC {srcc} over {} pictures", cell, quality.pictures);
    }
    for other in others.iter().filter(|other| other.model == run.model) {
        let (Some(accuracy), Some(share)) = (other.accuracy, other.disagreement) else { continue };
        let judge = other.counts.unparsed;
        let asks = if judge > 0 { format!(", {judge} left to its judge") } else { String::new() };
        println!(
            "  {:<22}{:.2} %, another verdict on {:.1} %{asks}",
            format!("as {} scores", other.extractor),
            100. * accuracy,
            100. * share
        );
    }
    if !run.complete {
        println!("  {:<22}incomplete: {} calls have no response and are in no score", "note", counts.failed);
    }
}
