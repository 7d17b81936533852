//! `foveate report`: evaluations and training runs as a page.

use std::path::PathBuf;

use foveate_eval::report::{Options, Report};

use crate::failure::{Failure, Outcome};

/// Show evaluations and training runs
///
/// Reads directories of `foveate eval` and of `foveate train` and writes one HTML file that needs nothing
/// else (no scripts, nothing from the net; light and dark; prints), and beside it the same as Markdown and
/// JSON. Several directories make comparisons: each model with the first on the same task.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foveate report eval/shapes --out report.html\n  \
                        foveate report eval/before eval/after runs/quickstart --out report.html")]
pub struct Args {
    /// Directories of evaluations or of training runs
    #[arg(value_name = "DIR", required = true)]
    places: Vec<PathBuf>,
    /// The page; Markdown and JSON lie beside it
    #[arg(long, value_name = "FILE.html")]
    out: PathBuf,
    /// Failures that are shown with their pictures
    #[arg(long, value_name = "N", default_value_t = Options::default().exhibits)]
    exhibits: usize,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    if args.out.extension().is_none_or(|end| end != "html") {
        return Err(Failure::differs(
            "command line",
            "--out",
            "a file that ends in .html",
            args.out.display(),
        ));
    }
    let options = Options { exhibits: args.exhibits, ..Options::default() };
    let report = Report::of(&args.places, &options)?;
    report.write(&args.out)?;
    report.notes.iter().for_each(|note| eprintln!("{:>10} {note}", "note"));
    println!("{}", args.out.display());
    Ok(())
}
