//! `data.jsonl` with `images/<row>/<name>` beside it: what EasyR1, TRL and ms-swift users edit by hand.

use super::{line, stored_images, stored_meta, whole};
use crate::{Error, Result, Sample};
use serde_json::json;
use std::path::{Component, Path};

/// Writes `samples` into the folder `out` and returns how many there were.
///
/// # Errors
/// A sample is an error, an image cannot be read, or a file not written.
pub fn write(samples: impl IntoIterator<Item = Result<Sample>>, out: &Path) -> Result<u64> {
    std::fs::create_dir_all(out).map_err(Error::io(out))?;
    let path = out.join("data.jsonl");
    let mut rows = 0;
    whole(&path, |file| {
        for sample in samples {
            let sample = sample?;
            let images = images(&sample, rows, out)?;
            let meta = serde_json::Value::Object(stored_meta(&sample));
            let (id, problem, answer) = (&sample.id, &sample.problem, &sample.answer);
            let row = json!({"id": id, "problem": problem, "answer": answer, "images": images, "meta": meta});
            line(file, &path, &row)?;
            rows += 1;
        }
        Ok(())
    })?;
    Ok(rows)
}

fn images(sample: &Sample, row: u64, out: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for (k, (bytes, name)) in stored_images(sample)?.into_iter().enumerate() {
        // A name from outside never leaves the folder, and two images of a row never share one.
        let plain = matches!(Path::new(&name).components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
        let name = if plain { name } else { format!("image-{k}") };
        let mut relative = format!("images/{row:08}/{name}");
        if names.contains(&relative) {
            relative = format!("images/{row:08}/{k}/{name}");
        }
        let path = out.join(&relative);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        std::fs::write(&path, &bytes[..]).map_err(Error::io(&path))?;
        names.push(relative);
    }
    Ok(names)
}
