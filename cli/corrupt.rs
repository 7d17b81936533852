//! `foveate corrupt`: damaged copies of pictures, and what can be done to them.
//!
//! Knows where pictures come from and go to; what is done to them is `foveate-augment`'s.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use foveate_augment::{
    CORRUPTIONS, Corruption, Frost, Job, LISTS, Limits, Outcome as Done, Scale, Severity, Sheet, list, open,
    parse, sheet,
};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::progress::Progress;

/// Failed files that a message names; the rest are counted.
const NAMED: usize = 10;

/// Corrupt pictures: files, folders, or one sheet to look at
///
/// NAME is a corruption of `--list`, several one after another (`a+b`), one drawn at random (`a|b`, or
/// `any:LIST`), each held at a level of its own where it says so (`a@2`). A folder's pictures keep their
/// names, those of its folders too; each draws from the seed and its own name, so the same picture gets
/// the same damage on any number of threads. Transparency is kept; grey pictures come back in colour;
/// more than 8 bits a channel are refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foveate corrupt fog photo.jpg foggy.png --severity 3\n  \
                        foveate corrupt gaussian_blur+jpeg_compression photos/ damaged/ --severity 2.5 --seed 7\n  \
                        foveate corrupt --list\n  foveate corrupt common --sheet photo.jpg sheet.png")]
pub struct Args {
    /// What to do; with --sheet, a list or a corruption to show (all if not given)
    #[arg(required_unless_present_any = ["list", "sheet"])]
    name: Option<String>,
    /// A picture, or a folder of pictures
    #[arg(value_name = "IN", required_unless_present_any = ["list", "sheet"], conflicts_with = "sheet")]
    input: Option<PathBuf>,
    /// A picture, or a folder; never IN itself
    #[arg(value_name = "OUT", required_unless_present_any = ["list", "sheet"], conflicts_with = "sheet")]
    output: Option<PathBuf>,
    /// How strongly: the levels 1 to 5, what lies between them, 0 for nothing
    #[arg(long, value_name = "LEVEL", allow_negative_numbers = true, required_unless_present_any = ["list", "sheet"])]
    severity: Option<f32>,
    /// Which random numbers
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// What the constants' pixel is: native, reference(N) (the shorter side being N), after-resize
    #[arg(long, value_name = "SCALE", default_value_t = Scale::Native)]
    scale: Scale,
    /// Pictures of frost for `frost`, in place of the built-in plates
    #[arg(long, value_name = "DIR")]
    frost: Option<PathBuf>,
    /// Say what there is
    #[arg(long, conflicts_with_all = ["name", "sheet", "severity"])]
    list: bool,
    /// With --list: as JSON
    #[arg(long, requires = "list")]
    json: bool,
    /// One labelled picture of corruptions x severities
    #[arg(long, num_args = 2, value_names = ["IN", "OUT"], conflicts_with = "severity")]
    sheet: Option<Vec<PathBuf>>,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    if args.list {
        return print(&if args.json { described() } else { listed() });
    }
    if let Some([from, to]) = args.sheet.as_deref() {
        return show(args, from, to);
    }
    let (Some(name), Some(from), Some(to)) = (&args.name, &args.input, &args.output) else {
        return Err(Failure::input("NAME, IN and OUT are needed"));
    };
    let corruption = chosen(args, name)?;
    let level = args.severity.unwrap_or_default();
    let severity = Severity::fraction(level / 5.);
    let severity = severity.map_err(|_| Failure::differs("command line", "--severity", "0 to 5", level))?;
    let limits = Limits::default();
    let job = Job { corruption: &*corruption, severity, seed: args.seed, scale: args.scale, limits };
    if from.is_dir() {
        return folder(&job, from, to);
    }
    let inside = to.is_dir().then(|| from.file_name()).flatten().map(|file| to.join(file));
    Ok(job.file(from, inside.as_deref().unwrap_or(to))?)
}

/// The corruption that NAME names.
fn chosen(args: &Args, name: &str) -> Outcome<Box<dyn Corruption>> {
    if let Some(plates) = &args.frost {
        if name != "frost" {
            return Err(Failure::differs("command line", "NAME", "`frost` where --frost is given", name));
        }
        return Ok(Box::new(Frost::from_folder(plates, &Limits::default())?));
    }
    parse(name).map_err(|error| {
        let failure = Failure::from(error);
        if list(name).is_err() {
            return failure;
        }
        failure.help(format!("{name} is a list; any:{name} draws one of it for each picture"))
    })
}

fn folder(job: &Job<'_>, from: &Path, to: &Path) -> Outcome<()> {
    let progress: Mutex<Option<Progress>> = Mutex::new(None);
    let heard = |_: usize, of: usize| {
        if let Ok(mut progress) = progress.lock() {
            progress.get_or_insert_with(|| Progress::of("corrupt", "pictures", of)).advance(1, 0);
        }
    };
    let done = job.folder(from, to, &heard)?;
    if let Ok(Some(progress)) = progress.into_inner() {
        progress.finish(&format!("{} are in {}", done.written, to.display()));
    }
    if !done.passed_over.is_empty() {
        let names = named(done.passed_over.iter().map(|path| path.display().to_string()));
        eprintln!("corrupt: left alone, no pictures by their names: {names}");
    }
    failed(&done, from)
}

/// An error if a picture could not be done.
fn failed(done: &Done, from: &Path) -> Outcome<()> {
    if done.failed.is_empty() {
        return Ok(());
    }
    let all = done.failed.len() + done.written;
    let names = named(done.failed.iter().map(ToString::to_string));
    Err(Failure::input(format!("{} of {all} pictures failed: {names}", done.failed.len())).at(from.display()))
}

/// The first few, and how many more there are.
fn named(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut shown: Vec<_> = names.take(NAMED).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join("\n  ")
}

fn show(args: &Args, from: &Path, to: &Path) -> Outcome<()> {
    let name = args.name.as_deref().unwrap_or("all");
    let (one, many);
    let rows: Vec<&dyn Corruption> = if args.frost.is_none() && list(name).is_ok() {
        many = list(name)?;
        many
    } else {
        one = chosen(args, name)?;
        vec![&*one]
    };
    let picture = open(from, &Limits::default())?;
    let layout = Sheet { seed: args.seed, ..Sheet::default() };
    let out = sheet(&picture.rgb, &rows, &layout);
    out.save(to).map_err(|error| Failure::input(format!("{}: {error}", to.display())))
}

/// A line for each corruption and each list.
fn listed() -> String {
    let wide = CORRUPTIONS.iter().map(|c| c.name().len()).max().unwrap_or(0);
    let line = |c: &&dyn Corruption| format!("{:wide$}  {}\n", c.name(), c.summary());
    let corruptions: String = CORRUPTIONS.iter().map(line).collect();
    let lists = LISTS.iter().map(|(name, names)| format!("{name}: {}\n", names.join(" ")));
    format!(
        "{corruptions}\nLists (any:LIST draws one; `all` is every one above):\n{}",
        lists.collect::<String>()
    )
}

fn described() -> String {
    let one = |c: &&dyn Corruption| json!({"name": c.name(), "summary": c.summary(), "random": c.random()});
    let corruptions: Vec<_> = CORRUPTIONS.iter().map(one).collect();
    let lists: serde_json::Map<_, _> =
        LISTS.iter().map(|(name, names)| ((*name).to_owned(), json!(names))).collect();
    format!("{:#}\n", json!({"corruptions": corruptions, "lists": lists}))
}

/// To standard output; a reader that has heard enough (`| head`) is no fault.
fn print(text: &str) -> Outcome<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::work(error)),
        _ => Ok(()),
    }
}
