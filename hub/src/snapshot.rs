//! The files of a repository at one commit: what there is, and bringing some of it here.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::download::{self, Wanted};
use crate::http::{ATTEMPTS, Http, Meta, passes};
use crate::layout::Layout;
use crate::listing::list;
use crate::{Error, Name, Observer, Reason, Result, Settings};

/// Files that are fetched at a time.
const AT_ONCE: usize = 4;

/// The hub, and the cache of its files.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    http: Http,
}

/// A repository at a commit.
#[derive(Debug)]
pub struct Snapshot<'a> {
    hub: &'a Hub,
    name: Name,
    layout: Layout,
    commit: String,
    files: Vec<String>,
    /// Why the hub is not asked, if it is not.
    reason: Option<Reason>,
}

/// A file that is not here yet.
struct Missing<'a> {
    file: &'a str,
    url: String,
    meta: Meta,
}

impl Hub {
    /// The hub that `settings` say.
    pub fn new(settings: Settings) -> Self {
        let http = Http::new(&settings);
        Self { settings, http }
    }

    /// Finds out which commit `name` means and what it has. Where the hub cannot be reached, a commit that is in
    /// the cache is taken, and `observer` told.
    ///
    /// # Errors
    /// The hub refuses, or is not asked and the cache knows nothing of it.
    pub fn open(&self, name: &Name, observer: &dyn Observer) -> Result<Snapshot<'_>> {
        if self.settings.offline {
            return self.cached(name, Reason::Offline);
        }
        let known = self.cached(name, Reason::CacheOnly).is_ok();
        match list(&self.http, name, if known { 1 } else { ATTEMPTS }) {
            Ok(listing) => {
                let layout = Layout::new(&self.settings.cache, name);
                let (name, commit, files) = (name.clone(), listing.commit, listing.files);
                Ok(Snapshot { hub: self, name, layout, commit, files, reason: None })
            }
            Err(fault) if passes(&fault) => {
                let snapshot = self.cached(name, Reason::Unreachable(fault.to_string()))?;
                let (id, commit) = (&name.id, &snapshot.commit);
                observer.note(&format!("{fault}; taking {id} as it is in the cache, commit {commit}"));
                Ok(snapshot)
            }
            Err(fault) => Err(fault),
        }
    }

    /// What the cache has of `name`; the hub is not asked, now or later.
    ///
    /// # Errors
    /// The cache has nothing of it.
    pub fn cached(&self, name: &Name, reason: Reason) -> Result<Snapshot<'_>> {
        let layout = Layout::new(&self.settings.cache, name);
        let commit = layout.commit(name.revision());
        let files = commit.as_ref().map(|commit| layout.files(commit)).unwrap_or_default();
        match commit {
            Some(commit) if !files.is_empty() => {
                Ok(Snapshot { hub: self, name: name.clone(), layout, commit, files, reason: Some(reason) })
            }
            _ => Err(Error::Absent {
                repo: name.word(),
                missing: format!("revision `{}` is", name.revision()),
                looked: layout.folder().into(),
                reason,
            }),
        }
    }
}

impl Snapshot<'_> {
    /// The commit.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// The name with the commit as its revision: the same files for ever.
    pub fn pinned(&self) -> Name {
        self.name.at(&self.commit)
    }

    /// The folder of the files that are here.
    pub fn dir(&self) -> PathBuf {
        self.layout.snapshot(&self.commit)
    }

    /// Paths of all files in the repository, in order; where the hub is not asked, of those in the cache.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Whether the repository has a file.
    pub fn has(&self, file: &str) -> bool {
        self.files.binary_search_by(|found| found.as_str().cmp(file)).is_ok()
    }

    /// Brings files here that are not.
    ///
    /// # Errors
    /// Those of the network and the disk; a file that there is none of; a file that came damaged.
    pub fn fetch(&self, files: &[&str], observer: &dyn Observer) -> Result<()> {
        let missing: Vec<&str> = files.iter().copied().filter(|file| !self.is_here(file)).collect();
        if let Some(reason) = &self.reason {
            return if missing.is_empty() { Ok(()) } else { Err(self.absent(&missing, reason)) };
        }
        if let Some(file) = missing.iter().find(|file| !self.has(file)) {
            let url = self.hub.http.address(&self.name, &self.commit, file);
            let message = format!("{} {} has no such file", self.name.kind.word(), self.name.id);
            return Err(Error::Refused { url, message });
        }
        if !missing.is_empty() {
            self.bring(&missing, observer)?;
        }
        self.layout.remember(self.name.revision(), &self.commit)
    }

    fn bring(&self, missing: &[&str], observer: &dyn Observer) -> Result<()> {
        let asked = at_once(missing, |file| {
            if observer.stopped() {
                return Err(Error::Stopped);
            }
            let url = self.hub.http.address(&self.name, &self.commit, file);
            let meta = self.hub.http.meta(&url, &self.name)?;
            Ok(Missing { file, url, meta })
        })?;
        let bytes = asked.iter().filter_map(|missing| missing.meta.bytes).sum();
        observer.begin(asked.len(), bytes);
        let brought = at_once(&asked, |missing| self.bring_one(missing, observer));
        observer.end();
        brought.map(|_| ())
    }

    fn bring_one(&self, missing: &Missing, observer: &dyn Observer) -> Result<()> {
        if observer.stopped() {
            return Err(Error::Stopped);
        }
        let Missing { file, url, meta } = missing;
        let (blob, part) = (self.layout.blob(&meta.etag), self.layout.incomplete(&meta.etag));
        let _lock = self.layout.lock(&meta.etag, observer)?;
        // Another process, or another name of the same contents, may have brought it.
        if whole(&blob, meta) {
            observer.advance(meta.bytes.unwrap_or(0));
        } else {
            let wanted = Wanted { name: &self.name, file, url, meta };
            download::fetch(&self.hub.http, &wanted, &part, observer)?;
            std::fs::rename(&part, &blob).map_err(Error::io(&blob))?;
        }
        self.layout.point(&self.commit, file, &meta.etag)
    }

    fn is_here(&self, file: &str) -> bool {
        self.dir().join(file).is_file()
    }

    fn absent(&self, missing: &[&str], reason: &Reason) -> Error {
        let more = match missing.len() {
            1 => "is".into(),
            n => format!("and {} more are", n - 1),
        };
        Error::Absent {
            repo: self.name.word(),
            missing: format!("{} {more}", missing.first().copied().unwrap_or_default()),
            looked: self.dir(),
            reason: reason.clone(),
        }
    }
}

/// Whether a blob is there, in its full length.
fn whole(blob: &Path, meta: &Meta) -> bool {
    std::fs::metadata(blob).is_ok_and(|there| meta.bytes.is_none_or(|bytes| bytes == there.len()))
}

/// Does `work` for all of `things` on a few threads; results in their order, or the first fault in that order.
fn at_once<'a, T: Sync, R: Send>(
    things: &'a [T],
    work: impl Fn(&'a T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(things.len()) {
            scope.spawn(|| {
                while let Some((at, thing)) = take(&next, things) {
                    let result = work(thing);
                    if result.is_err() {
                        next.store(things.len(), Ordering::Relaxed);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn take<'a, T>(next: &AtomicUsize, things: &'a [T]) -> Option<(usize, &'a T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    things.get(at).map(|thing| (at, thing))
}
