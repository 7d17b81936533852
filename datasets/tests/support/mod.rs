//! Shared by the tests of formats, poison and resume.
#![allow(dead_code)]

use foveate_datasets::prep::{Filter, Hooks, ImportOptions, Report, SourceSpec, import};
use foveate_datasets::{DecodeLimits, Sample};
use std::path::{Path, PathBuf};

pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/datasets")
}

pub fn options(source: &Path, format: &str, out: &Path) -> ImportOptions {
    let source = source.to_str().unwrap().to_owned();
    let spec = SourceSpec { source, format: format.into(), rename: vec![], images: None };
    let filter = Filter::default();
    let (hooks, out) = (vec![], out.to_path_buf());
    ImportOptions { spec, filter, shard: (0, 1), shrink_to: None, validation: 0., hooks, out }
}

/// Imports and checks that no row is lost.
pub fn run(options: &ImportOptions) -> Report {
    let report = import(options, Hooks::default()).unwrap();
    let rejected: u64 = report.rejected.values().sum();
    assert_eq!(
        report.rows_in + report.rows_made,
        report.rows_out + rejected + report.other_shards,
        "{report:?}"
    );
    report
}

/// The lines of `rejects.jsonl`.
pub fn rejects(out: &Path) -> Vec<foveate_datasets::prep::Reject> {
    let text = std::fs::read_to_string(out.join("rejects.jsonl")).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

pub fn image_bytes(sample: &Sample) -> Vec<Vec<u8>> {
    sample.images.iter().map(|i| i.encoded(DecodeLimits::default()).unwrap().to_vec()).collect()
}

/// Everything about a sample that a round trip must keep.
pub fn essence(sample: &Sample) -> String {
    let names: Vec<_> =
        sample.images.iter().map(|i| i.place().rsplit('/').next().unwrap().to_owned()).collect();
    let meta = serde_json::to_string(&sample.meta).unwrap();
    let (id, problem, answer) = (&sample.id, &sample.problem, &sample.answer);
    format!("{id}|{problem}|{answer}|{:?}|{names:?}|{meta}|{:?}", sample.choices, image_bytes(sample))
}
