//! WebDataset shards `shard-000000.tar`: `<row>.json` and `<row>.<k>.<ending>` for each image.

use super::{ending, stored_images, stored_meta, whole};
use crate::{Error, Result, Sample};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// Writes `samples` into shards of `per_shard` in the folder `out` and returns their paths.
///
/// # Errors
/// A sample is an error, an image cannot be read, or a file not written.
pub fn write(
    samples: impl IntoIterator<Item = Result<Sample>>,
    out: &Path,
    per_shard: usize,
) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(out).map_err(Error::io(out))?;
    let mut samples = samples.into_iter().peekable();
    let mut shards = Vec::new();
    let mut row = 0;
    while samples.peek().is_some() {
        let path = out.join(format!("shard-{:06}.tar", shards.len()));
        whole(&path, |file| {
            let mut tar = Builder::new(file);
            for sample in samples.by_ref().take(per_shard.max(1)) {
                append(&mut tar, &path, row, &sample?)?;
                row += 1;
            }
            tar.finish().map_err(Error::io(&path))
        })?;
        shards.push(path);
    }
    Ok(shards)
}

fn append(tar: &mut Builder<impl Write>, path: &Path, row: u64, sample: &Sample) -> Result<()> {
    let images = stored_images(sample)?;
    let names: Vec<_> = images.iter().map(|(_, name)| name.as_str()).collect();
    let (id, problem, answer) = (&sample.id, &sample.problem, &sample.answer);
    let head = json!({"id": id, "problem": problem, "answer": answer, "image_names": names, "meta": stored_meta(sample)});
    let mut file = |name: String, bytes: &[u8]| {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).map_err(Error::io(path))
    };
    file(format!("{row:08}.json"), head.to_string().as_bytes())?;
    for (k, (bytes, _)) in images.iter().enumerate() {
        file(format!("{row:08}.{k}.{}", ending(bytes)), bytes)?;
    }
    Ok(())
}
