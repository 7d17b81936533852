//! The one place with `unsafe`: a file as memory.
#![allow(unsafe_code)]

use crate::{Error, Result};
use std::fs::File;
use std::path::Path;

/// The bytes of `path`, mapped; pages are read when they are touched.
pub(crate) fn map(path: &Path) -> Result<bytes::Bytes> {
    let file = File::open(path).map_err(Error::io(path))?;
    if file.metadata().map_err(Error::io(path))?.len() == 0 {
        return Ok(bytes::Bytes::new());
    }
    // SAFETY: the map is read-only and lives as long as the `Bytes` that own it. The files it is used for are written
    // beside their place and renamed, so nobody changes one in place; a person who truncates it while it is in use
    // gets a bus error, as with every mapped file.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?;
    Ok(bytes::Bytes::from_owner(map))
}
