//! The only `unsafe` of reading weights: mapping a file into memory.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::{Error, Result};

/// The bytes of the file at `path`.
pub(super) fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path).map_err(Error::io(path))?;
    // SAFETY: the map is read only, and bytes are all it is read as, so any content is valid. A file that
    // another process shortens while it is mapped would end this one with SIGBUS; model directories are
    // written beside their place and renamed, never changed in place.
    unsafe { Mmap::map(&file) }.map_err(Error::io(path))
}
