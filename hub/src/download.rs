//! One blob, from wherever it broke off to the last byte, and whether it is what the hub says.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use ureq::Body;
use ureq::http::{Response, StatusCode};

use crate::http::{ATTEMPTS, Http, Meta, passes, transport};
use crate::{Error, Name, Observer, Result};

/// Bytes that are read, hashed and written at a time.
const PIECE: usize = 1 << 20;

/// What is fetched.
pub(crate) struct Wanted<'a> {
    pub name: &'a Name,
    /// In the repository.
    pub file: &'a str,
    pub url: &'a str,
    pub meta: &'a Meta,
}

/// A blob on its way to the disk.
struct Part {
    path: PathBuf,
    file: File,
    /// Of the bytes that are there.
    hash: Sha256,
    bytes: u64,
    /// Whether some of them were there before.
    resumed: bool,
}

/// Fetches into `path`, which may hold the beginning already.
pub(crate) fn fetch(http: &Http, wanted: &Wanted, path: &Path, observer: &dyn Observer) -> Result<()> {
    let mut part = Part::open(path).map_err(Error::io(path))?;
    observer.advance(part.bytes);
    if wanted.meta.bytes.is_some_and(|bytes| part.bytes > bytes) {
        part.restart(observer)?;
    }
    loop {
        complete(http, wanted, &mut part, observer)?;
        match part.check(wanted) {
            Ok(()) => return part.file.sync_all().map_err(Error::io(path)),
            // The beginning may be of another time: once more, from zero.
            Err(_) if part.resumed => part.restart(observer)?,
            Err(fault) => {
                std::fs::remove_file(path).map_err(Error::io(path))?;
                return Err(fault);
            }
        }
    }
}

/// Asks for what is missing until nothing is; gives up after several attempts without a byte.
fn complete(http: &Http, wanted: &Wanted, part: &mut Part, observer: &dyn Observer) -> Result<()> {
    let mut fruitless = 0;
    while wanted.meta.bytes.is_none_or(|bytes| part.bytes < bytes) {
        let before = part.bytes;
        match stretch(http, wanted, part, observer) {
            Ok(()) if wanted.meta.bytes.is_none() => return Ok(()),
            Ok(()) => {}
            Err(fault) if !passes(&fault) => return Err(fault),
            Err(fault) => {
                fruitless = if part.bytes > before { 1 } else { fruitless + 1 };
                if fruitless >= ATTEMPTS {
                    return Err(fault);
                }
                http.wait(fruitless - 1);
            }
        }
    }
    Ok(())
}

/// One answer, as far as it goes.
fn stretch(http: &Http, wanted: &Wanted, part: &mut Part, observer: &dyn Observer) -> Result<()> {
    let answer = http.bytes(wanted.url, wanted.name, part.bytes)?;
    if !continues(&answer, part.bytes) {
        part.restart(observer)?;
    }
    if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        return Err(transport(wanted.url, "the rest of the file was refused"));
    }
    let mut body = answer.into_body().into_with_config().limit(u64::MAX).reader();
    let mut piece = vec![0; PIECE];
    loop {
        if observer.stopped() {
            return Err(Error::Stopped);
        }
        match body.read(&mut piece) {
            Ok(0) => break,
            Ok(bytes) => part.add(&piece[..bytes], observer)?,
            Err(fault) => return Err(transport(wanted.url, fault)),
        }
        if wanted.meta.bytes.is_some_and(|bytes| part.bytes > bytes) {
            break;
        }
    }
    match wanted.meta.bytes {
        Some(bytes) if part.bytes < bytes => {
            Err(transport(wanted.url, format!("the answer ended after {} of {bytes} bytes", part.bytes)))
        }
        _ => Ok(()),
    }
}

/// Whether an answer goes on at `start`. A server that does not resume sends the whole file.
fn continues(answer: &Response<Body>, start: u64) -> bool {
    if start == 0 {
        return answer.status() != StatusCode::RANGE_NOT_SATISFIABLE;
    }
    let range = answer.headers().get("content-range").and_then(|range| range.to_str().ok());
    answer.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {start}-")))
}

impl Part {
    /// Takes up what is there.
    fn open(path: &Path) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let (mut hash, mut piece, mut bytes) = (Sha256::new(), vec![0; PIECE], 0);
        loop {
            match file.read(&mut piece)? {
                0 => break,
                read => {
                    hash.update(&piece[..read]);
                    bytes += read as u64;
                }
            }
        }
        Ok(Self { path: path.into(), file, hash, bytes, resumed: bytes > 0 })
    }

    fn add(&mut self, piece: &[u8], observer: &dyn Observer) -> Result<()> {
        self.file.write_all(piece).map_err(Error::io(&self.path))?;
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
        observer.advance(piece.len() as u64);
        Ok(())
    }

    /// Forgets what is there.
    fn restart(&mut self, observer: &dyn Observer) -> Result<()> {
        observer.retreat(self.bytes);
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(Error::io(&self.path))?;
        (self.hash, self.bytes, self.resumed) = (Sha256::new(), 0, false);
        Ok(())
    }

    /// Compares with what the hub says. A mark of 64 digits is the SHA-256; that of a small file is git's and is
    /// not compared, as mirrors put marks of their own in its place.
    fn check(&self, wanted: &Wanted) -> Result<()> {
        let differs = |field, expected: String, found: String| {
            Err(Error::Damaged { file: wanted.file.into(), field, expected, found })
        };
        if let Some(bytes) = wanted.meta.bytes.filter(|bytes| *bytes != self.bytes) {
            return differs("size in bytes", bytes.to_string(), self.bytes.to_string());
        }
        let found: String = self.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let etag = wanted.meta.etag.to_lowercase();
        let is_hash = etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash && etag != found {
            return differs("sha256", etag, found);
        }
        Ok(())
    }
}
