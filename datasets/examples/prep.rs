//! Import and contact sheets without the command line, for the scripts under tests/golden/datasets and for docs.
//!
//!     prep import SOURCE FORMAT OUT       prep task NAME DATA-or-dash OUT.png

use foveate_datasets::prep::{Filter, Hooks, ImportOptions, SourceSpec, import, sheet};
use foveate_datasets::{OpenOptions, Split, open};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["import", source, format, out] => run_import(source, format, out),
        ["task", name, data, out] => draw_sheet(name, data, out),
        _ => Err("prep import SOURCE FORMAT OUT | prep task NAME DATA OUT.png".into()),
    }
}

fn run_import(source: &str, format: &str, out: &str) -> Result<(), Box<dyn Error>> {
    let spec = SourceSpec { source: source.into(), format: format.into(), rename: vec![], images: None };
    let options = ImportOptions {
        spec,
        filter: Filter::default(),
        shard: (0, 1),
        shrink_to: None,
        validation: 0.,
        out: out.into(),
    };
    let start = Instant::now();
    let report = import(&options, Hooks::default())?;
    println!("{report:#?}\n{:.2} s, peak {} MB", start.elapsed().as_secs_f64(), peak_mb());
    Ok(())
}

/// Peak resident memory, on Linux; 0 elsewhere.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn draw_sheet(name: &str, data: &str, out: &str) -> Result<(), Box<dyn Error>> {
    let data = (data != "-").then(|| data.into());
    let task = open(name, &OpenOptions { data, ..OpenOptions::default() })?;
    // A stride that is no multiple of the questions about one image, so that every family shows.
    let samples: Result<Vec<_>, _> =
        (0..24).map(|i| task.sample(Split::Train, i * 9 % task.len(Split::Train))).collect();
    sheet::sheet(&samples?, 6, 184)?.save(out)?;
    Ok(())
}
