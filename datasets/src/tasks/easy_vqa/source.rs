//! The package's files, from a zip or from a folder, under limits.

use crate::{Error, Result};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// A file of the package may hold this many bytes; its largest has 1.9 MB.
const MAX_FILE: u64 = 64 << 20;
/// All files read may hold this many bytes; the package has 5 MB.
const MAX_TOTAL: u64 = 512 << 20;

/// Where in a package `data` lies, tried in this order.
const ROOTS: [&str; 3] = ["easy_vqa/data", "data", ""];

pub(super) struct Source {
    path: PathBuf,
    root: &'static str,
    archive: Option<ZipArchive<BufReader<File>>>,
    left: u64,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let meta = std::fs::metadata(path).map_err(Error::io(path))?;
        let archive = match meta.is_dir() {
            true => None,
            false => {
                let file = BufReader::new(File::open(path).map_err(Error::io(path))?);
                Some(
                    ZipArchive::new(file)
                        .map_err(|e| Error::file(path, format!("not a wheel (zip): {e}")))?,
                )
            }
        };
        let has = |root: &&&str| match &archive {
            Some(zip) => zip.index_for_name(&join(root, "answers.txt")).is_some(),
            None => path.join(root).join("answers.txt").is_file(),
        };
        let root = ROOTS.iter().find(has).copied();
        let root = root.ok_or_else(|| {
            Error::file(path, "no easy_vqa/data/answers.txt, data/answers.txt or answers.txt")
        })?;
        Ok(Self { path: path.to_path_buf(), root, archive, left: MAX_TOTAL })
    }

    /// How to call a file of the package in a message.
    pub(super) fn place(&self, name: &str) -> String {
        self.path.join(self.root).join(name).display().to_string()
    }

    pub(super) fn text(&mut self, name: &str) -> Result<String> {
        String::from_utf8(self.bytes(name)?)
            .map_err(|e| Error::file(self.place(name), format!("not UTF-8: {e}")))
    }

    pub(super) fn bytes(&mut self, name: &str) -> Result<Vec<u8>> {
        let place = self.place(name);
        let limit = MAX_FILE.min(self.left);
        let mut out = Vec::new();
        let read = match &mut self.archive {
            Some(zip) => {
                let index = zip.index_for_name(&join(self.root, name));
                let index = index.ok_or_else(|| Error::file(&place, "missing from the package"))?;
                let entry = zip.by_index(index).map_err(|e| Error::file(&place, e))?;
                // The size a header claims is not trusted: the reader itself stops at the limit.
                entry.take(limit + 1).read_to_end(&mut out)
            }
            None => File::open(&place).map_err(Error::io(&place))?.take(limit + 1).read_to_end(&mut out),
        };
        read.map_err(Error::io(&place))?;
        if out.len() as u64 > limit {
            return Err(Error::file(&place, format!("unpacks to more than {limit} bytes")));
        }
        self.left -= out.len() as u64;
        Ok(out)
    }
}

fn join(root: &str, name: &str) -> String {
    if root.is_empty() { name.to_owned() } else { format!("{root}/{name}") }
}
