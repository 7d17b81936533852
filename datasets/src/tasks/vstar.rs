//! `vstar`: V* Bench, 191 questions about small things in large pictures (Wu and Xie 2023).
//!
//! Reads the authors' folders (a picture and a JSON file each; the first option is always the right one), their
//! `test_questions.jsonl`, its parquet mirrors, and VLMEvalKit's TSV. Where a folder has both, the lines decide, since
//! they fix an order of options.

use super::benchmark::{self, Protocol, Wording, by_letter};
use crate::{Error, ImageRef, Result, Sample, TaskEntry};
use serde::Deserialize;
use serde_json::{Map, json};
use std::path::{Path, PathBuf};

/// The line in the table.
pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: PROTOCOL.name,
    summary: "V* Bench: 191 questions about small things in large pictures (its folder, lines, parquet or TSV)",
    needs_data: true,
    open: |options| benchmark::open(&PROTOCOL, options),
};

static PROTOCOL: Protocol = Protocol {
    name: "vstar",
    version: 1,
    formats: &["vstar", "vstar-choices", "vlmevalkit"],
    file: |name| ["vstar", "test_questions", "test_00"].iter().any(|start| name.starts_with(start)),
    folder: Some(folder),
    settle: |_| Ok(()),
    fixed: 0,
    wordings: &[
        Wording { name: "lmms-eval", of: lmms_eval },
        Wording { name: "vlmevalkit", of: benchmark::vlmevalkit },
        // For likelihoods: the options are not shown.
        Wording { name: "official", of: |sample| sample.problem.clone() },
    ],
    grade: by_letter,
};

/// The folders that are scored; `GPT4V-hard` and `OCR` lie beside them and are not.
const CATEGORIES: [&str; 2] = ["direct_attributes", "relative_position"];

fn lmms_eval(sample: &Sample) -> String {
    let options = benchmark::dotted(sample);
    format!("{}\n{options}Answer with the option's letter from the given choices directly.", sample.problem)
}

/// What stands beside a picture.
#[derive(Deserialize)]
struct Annotation {
    question: String,
    options: Vec<String>,
    #[serde(default)]
    target_object: Vec<String>,
    /// x, y, width, height in pixels.
    #[serde(default)]
    bbox: Vec<[f64; 4]>,
}

fn folder(data: &Path) -> Option<Result<Vec<Sample>>> {
    let there: Vec<_> = CATEGORIES.into_iter().filter(|category| data.join(category).is_dir()).collect();
    let lines = data.join("test_questions.jsonl").is_file();
    (!there.is_empty() && !lines).then(|| {
        let mut out = Vec::new();
        for category in there {
            for path in pictures(&data.join(category))? {
                out.push(sample(category, &path)?);
            }
        }
        Ok(out)
    })
}

/// Every file that is no annotation, as the authors' script has it; hidden ones are the system's.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let annotation = path.extension().is_some_and(|ending| ending == "json");
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        out.extend((path.is_file() && !annotation && !hidden).then_some(path));
    }
    out.sort();
    Ok(out)
}

fn sample(category: &str, picture: &Path) -> Result<Sample> {
    let path = picture.with_extension("json");
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let note: Annotation = serde_json::from_str(&text).map_err(|e| Error::file(&path, e))?;
    if note.options.len() < 2 {
        let message = format!("field `options`: {} of them, at least 2 are needed", note.options.len());
        return Err(Error::file(&path, message));
    }
    let name = picture.file_name().unwrap_or_default().to_string_lossy();
    let meta = json!({
        "category": category,
        "image": format!("{category}/{name}"),
        "target_object": note.target_object,
        "bbox": note.bbox,
    });
    let stem = picture.file_stem().unwrap_or_default().to_string_lossy();
    Ok(Sample {
        id: format!("{category}/{stem}"),
        problem: note.question,
        answer: "A".into(),
        choices: note.options,
        images: vec![ImageRef::Path(picture.to_path_buf())],
        meta: meta.as_object().cloned().unwrap_or_else(Map::new),
    })
}
