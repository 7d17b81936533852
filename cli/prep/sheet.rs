//! `foveate prep sheet`: pictures with their questions, to look at.

use std::path::PathBuf;

use foveate_datasets::prep::Hooks;
use foveate_datasets::prep::sheet::{Tile, pick, sheet};
use foveate_datasets::{OpenOptions, Sample, Split, TASKS, open};

use super::bar::Bar;
use super::source::ReadArgs;
use super::views::{View, ViewArgs};
use crate::failure::{Failure, Outcome};
use crate::hub::{self, Reader};

/// Draw a contact sheet: pictures, questions, answers
///
/// Rows are drawn at random from all of SRC, the same for the same seed. With --view each picture is
/// followed by a damaged or masked copy. --task shows a built-in task instead of a source.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "foveate prep sheet <SRC|--task NAME> --out <PNG> [OPTIONS]",
    after_help = "Examples:\n  foveate prep sheet data/geometry3k --out sheet.png\n  foveate prep sheet \
                  data/koniq --view block_mask@3 --view gaussian_blur --out views.png\n  foveate prep sheet \
                  --task search --out search.png"
)]
pub struct Args {
    /// A file, a folder of shards, or either with @SPLIT; what import wrote; or a name on the hub,
    /// ORG/NAME[@SPLIT][:REVISION]
    #[arg(value_name = "SRC", required_unless_present = "task")]
    source: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
    /// A built-in task, or with --data any task
    #[arg(long, value_name = "NAME", conflicts_with = "source", value_parser = tasks())]
    task: Option<String>,
    /// Where the files of --task lie
    #[arg(long, value_name = "PATH", requires = "task")]
    data: Option<PathBuf>,
    /// PNG, JPEG, WebP or BMP, by its ending
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How many samples
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// Pictures in a row; 6, or as many as a sample has with its views
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    columns: Option<u32>,
    /// Side of a picture on the sheet in pixels
    #[arg(long, value_name = "N", default_value_t = 184, value_parser = clap::value_parser!(u32).range(16..=4096))]
    side: u32,
    /// Show a damaged copy beside each picture, as block_mask@3; may be repeated
    #[arg(long, value_name = "CORRUPTION")]
    view: Vec<String>,
    #[command(flatten)]
    views: ViewArgs,
}

fn tasks() -> clap::builder::PossibleValuesParser {
    let all = TASKS.iter().map(|task| clap::builder::PossibleValue::new(task.name).help(task.summary));
    clap::builder::PossibleValuesParser::new(all)
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    let views = args.views.views(&args.view)?;
    let samples = args.samples()?;
    if samples.is_empty() {
        return Err(Failure::input("not one row can be read; foveate prep validate says why"));
    }
    let tiles: Vec<Tile> = samples.iter().flat_map(|sample| tiles(sample, &views)).collect();
    let columns = args.columns.unwrap_or(if views.is_empty() { 6 } else { 1 + views.len() as u32 });
    let drawn = sheet(&tiles, columns, args.side)?;
    drawn.save(&args.out).map_err(|error| Failure::input(error).at(args.out.display()))?;
    println!("{} samples in {} ({}x{})", samples.len(), args.out.display(), drawn.width(), drawn.height());
    Ok(())
}

impl Args {
    fn samples(&self) -> Outcome<Vec<Sample>> {
        match &self.task {
            Some(name) => self.of_task(name),
            None => self.of_source(self.source.as_deref().unwrap_or_default()),
        }
    }

    fn of_task(&self, name: &str) -> Outcome<Vec<Sample>> {
        let place = |path: &PathBuf| hub::data(&path.to_string_lossy(), Reader::of(name), None);
        let data = self.data.as_ref().map(place).transpose()?.map(|place| place.path);
        let options = OpenOptions { data, seed: self.views.seed, ..OpenOptions::default() };
        let task = open(name, &options)?;
        let len = task.len(Split::Train);
        // A stride that is no multiple of the questions about one image, so that every family shows.
        let samples = (0..len.min(self.count as usize)).map(|i| task.sample(Split::Train, i * 9 % len));
        Ok(samples.collect::<Result<_, _>>()?)
    }

    fn of_source(&self, source: &str) -> Outcome<Vec<Sample>> {
        let spec = self.read.spec(source, None)?;
        let bar = Bar::new("sheet");
        let show = |progress| bar.show(progress);
        let hooks = Hooks { progress: Some(&show), ..Hooks::default() };
        let picked = pick(&spec, self.count as usize, self.views.seed, hooks);
        bar.clear();
        Ok(picked?)
    }
}

/// A sample's tiles, each picture followed by its views.
fn tiles(sample: &Sample, views: &[View]) -> Vec<Tile> {
    let mut out = Vec::new();
    for (k, tile) in Tile::of(sample).into_iter().enumerate() {
        let image = tile.image.clone();
        out.push(tile);
        for view in views {
            let image = image.as_ref().map(|image| view.of(image, &sample.id, k));
            out.push(Tile { image, text: view.name(), answer: String::new() });
        }
    }
    out
}
