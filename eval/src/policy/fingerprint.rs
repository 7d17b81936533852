//! Which weights a directory holds: a digest of their bytes, so that a retrained model at the same path is
//! another model to every record.

use crate::record::digest;
use crate::{Error, Result};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Files that decide what a model answers, by the ends of their names.
const ENDS: [&str; 3] = [".safetensors", ".json", ".jinja"];

/// What a block is read into.
const BLOCK: usize = 1 << 20;

/// Twelve hexadecimal digits that the weights, the configuration and the tokenizer of `dir` decide.
///
/// # Errors
/// A directory that cannot be read or holds none of such files.
pub fn fingerprint(dir: &Path) -> Result<String> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if ENDS.iter().any(|end| name.ends_with(end)) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::differs(dir.display(), "--model", "a model directory", "without such files"));
    }
    let parts: Vec<Result<String>> = files.par_iter().map(|path| of_file(path)).collect();
    Ok(digest(parts.into_iter().collect::<Result<Vec<_>>>()?.join("\n").as_bytes(), 6))
}

fn of_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK]);
    loop {
        match file.read(&mut block).map_err(Error::io(path))? {
            0 => break,
            read => hash.update(&block[..read]),
        }
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let bytes: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{name} {bytes}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_are_another_model() {
        let dir = tempfile::tempdir().unwrap();
        assert!(fingerprint(dir.path()).is_err());
        let write = |bytes: &[u8]| {
            std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
            fingerprint(dir.path()).unwrap()
        };
        let first = write(b"weights");
        assert_eq!(first.len(), 12);
        assert_ne!(first, write(b"weighty"));
        std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
        assert_eq!(first, write(b"weights"));
    }
}
