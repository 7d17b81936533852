//! What is asked: the task, the part of it, and the kinds of picture.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use foveate_augment::Scale;
use foveate_datasets::Task;
use foveate_eval::Summary;
use foveate_eval::metrics::RunSummary;
use foveate_eval::policy::{Baseline, BaselineKind};
use foveate_eval::settings::TaskSettings;
use foveate_eval::sweep::{Cell, Plan, images};

use crate::failure::{Failure, Outcome};
use crate::hub::{self, Reader};

/// So many questions with the right option in one place are no accident.
const SUSPICIOUS: usize = 12;

/// The options about questions and pictures.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The task: a benchmark, a built-in task, or `data` for imported data
    #[arg(long, value_name = "NAME")]
    task: String,
    /// Where the task's files lie, if it has files: a path, or a name on the hub, ORG/NAME[@SPLIT][:REVISION]
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Part of the task: test or train
    #[arg(long, default_value = "test", value_name = "NAME")]
    split: String,
    /// Corruptions, lists of them (common, extra, all, …) and compositions (a+b), besides clean pictures
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    corruptions: Vec<String>,
    /// Severities of the corruptions, 1 to 5
    #[arg(long, value_delimiter = ',', value_name = "LIST", default_value = "1,3,5")]
    severities: Vec<u8>,
    /// What a constant of the corruptions means on large pictures: native, reference(N) or after-resize
    #[arg(long, value_name = "SCALE", default_value = "native")]
    scale: String,
    /// Corruptions the model was trained on, to tell seen from unseen; else read from the run of the model
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub seen: Vec<String>,
    /// At most this many questions, of pictures drawn by --seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Of drawn tasks, corruptions, sampling, order of options, and the choice of --limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Only part I of N, as in 2/8; parts are put together by laying their records.jsonl end to end
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,
    /// Side of drawn pictures in pixels
    #[arg(long, value_name = "N")]
    size: Option<u32>,
    /// Shuffle options by this seed. Without it they stand as in the benchmark's files, unless the right one
    /// always stands in the same place: then --seed shuffles them
    #[arg(long, value_name = "SEED", conflicts_with = "keep_order")]
    shuffle: Option<u64>,
    /// Keep the options as in the benchmark's files, come what may
    #[arg(long)]
    keep_order: bool,
    /// Whose words the questions are put in, as in official, lmms-eval, vlmevalkit
    #[arg(long, value_name = "NAME")]
    wording: Option<String>,
    /// A summary.json of another model: the errors are also given relative to its (mCE)
    #[arg(long, value_name = "FILE")]
    pub baseline_summary: Option<PathBuf>,
}

/// An open task and what is asked of it.
pub struct Asked {
    task: Box<dyn Task>,
    /// How it was opened.
    pub settings: TaskSettings,
    cells: Vec<Cell>,
    images: Vec<std::ops::Range<usize>>,
    scale: Scale,
    seed: u64,
}

impl Args {
    /// Opens the task; `trained_on` are the corruptions of the model's run, if it is known.
    pub fn open(&self, trained_on: Option<&[String]>, stop: &AtomicBool) -> Outcome<Asked> {
        let seen = if self.seen.is_empty() { trained_on } else { Some(&self.seen[..]) };
        let cells = Cell::all(&self.corruptions, &self.severities, seen)?;
        let scale: Scale = self.scale.parse().map_err(Failure::input)?;
        let shard = self.shard()?;
        let (settings, task) = self.task(stop)?;
        let limit = self.limit.map(|n| n as usize);
        let images = images(task.as_ref(), settings.split()?, limit, self.seed, shard)?;
        Ok(Asked { task, settings, cells, images, scale, seed: self.seed })
    }

    fn task(&self, stop: &AtomicBool) -> Outcome<(TaskSettings, Box<dyn Task>)> {
        let place = |path: &PathBuf| hub::data(&path.to_string_lossy(), Reader::of(&self.task), Some(stop));
        let data = self.data.as_ref().map(place).transpose()?.map(|place| place.path);
        let data = data.map(|data| std::path::absolute(&data).unwrap_or(data));
        let (name, split, wording) = (self.task.clone(), self.split.clone(), self.wording.clone());
        let (seed, size, shuffle) = (self.seed, self.size, self.shuffle);
        let mut settings = TaskSettings { name, split, data, format: None, seed, size, shuffle, wording };
        let task = settings.open()?;
        if shuffle.is_some() || self.keep_order || !one_sided(task.as_ref(), &settings)? {
            return Ok((settings, task));
        }
        settings.shuffle = Some(self.seed);
        let task = settings.open()?;
        if !one_sided(task.as_ref(), &settings)? {
            let say = "the right option always stands in one place, so options are shuffled (--keep-order does not)";
            eprintln!("{:>10} {say}", "note");
        }
        Ok((settings, task))
    }

    /// Part (from 0) and number of parts.
    fn shard(&self) -> Outcome<(usize, usize)> {
        let Some(text) = &self.shard else { return Ok((0, 1)) };
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse::<usize>().ok()?, n.parse().ok()?)));
        match parts {
            Some((i, n)) if 1 <= i && i <= n => Ok((i - 1, n)),
            _ => Err(Failure::differs("command line", "--shard", "I/N with I from 1 to N", text)),
        }
    }
}

/// Whether the right option of every question stands in the same place.
fn one_sided(task: &dyn Task, settings: &TaskSettings) -> Outcome<bool> {
    let split = settings.split()?;
    let mut first = None;
    for index in 0..task.len(split) {
        let sample = task.sample(split, index).map_err(Failure::input)?;
        if sample.choices.len() < 2 {
            return Ok(false);
        }
        match &first {
            None => first = Some(sample.answer),
            Some(answer) if *answer != sample.answer => return Ok(false),
            Some(_) => {}
        }
    }
    Ok(task.len(split) >= SUSPICIOUS)
}

impl Asked {
    /// What is asked.
    pub fn plan(&self) -> Plan<'_> {
        Plan {
            task: self.task.as_ref(),
            split: self.settings.split().unwrap_or(foveate_datasets::Split::Test),
            seed: self.seed,
            scale: self.scale,
            cells: self.cells.clone(),
            images: self.images.clone(),
        }
    }

    /// A baseline that knows which answers occur.
    pub fn baseline(&self, kind: BaselineKind) -> Outcome<Baseline> {
        let split = self.settings.split()?;
        let mut known = Vec::new();
        for index in self.images.iter().flat_map(Clone::clone) {
            let sample = self.task.sample(split, index).map_err(Failure::input)?;
            let family = sample.meta.get("family").and_then(|family| family.as_str()).unwrap_or_default();
            known.push((family.to_owned(), sample.answer));
        }
        Ok(Baseline::new(kind, known))
    }
}

/// Adds errors relative to those of the run of the same task in a stored summary.
pub fn against(mut summary: Summary, file: &Path) -> Outcome<Summary> {
    let text = std::fs::read_to_string(file).map_err(Failure::io(file))?;
    let stored: Summary =
        serde_json::from_str(&text).map_err(|error| Failure::input(error).at(file.display()))?;
    for run in &mut summary.runs {
        let same = |other: &&RunSummary| (&other.task, other.version) == (&run.task, run.version);
        let baseline = stored.runs.iter().find(same).ok_or_else(|| {
            let found: Vec<_> =
                stored.runs.iter().map(|run| format!("{} {}", run.task, run.version)).collect();
            let expected = format!("of task {} {}", run.task, run.version);
            Failure::differs(file.display(), "runs", expected, format!("[{}]", found.join(", ")))
        })?;
        let errors = run.against(baseline).map_err(|why| Failure::input(why).at(file.display()))?;
        run.corruption_errors = Some(errors);
    }
    Ok(summary)
}
