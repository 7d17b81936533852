//! Where things lie in the cache.
//!
//! ```text
//! CACHE/models--ORG--NAME/blobs/ETAG                 contents, by the hub's mark of them
//! CACHE/models--ORG--NAME/snapshots/COMMIT/FILE   -> a blob
//! CACHE/models--ORG--NAME/refs/REVISION              the commit that a branch or tag was last seen at
//! CACHE/.locks/models--ORG--NAME/ETAG.lock           held while a blob is fetched, here and in Python
//! ```
//!
//! hf-hub knows this layout; this adds what it leaves out: locks, blobs that break off, files that are there.

use std::fs::{File, TryLockError};
use std::path::{Component, Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use crate::{Error, Kind, Name, Observer, Result};

/// The folder of one repository.
#[derive(Debug)]
pub(crate) struct Layout {
    repo: CacheRepo,
    folder: PathBuf,
    locks: PathBuf,
}

impl Layout {
    pub fn new(cache: &Path, name: &Name) -> Self {
        let kind = match name.kind {
            Kind::Model => RepoType::Model,
            Kind::Dataset => RepoType::Dataset,
        };
        let repo = Repo::with_revision(name.id.clone(), kind, name.revision().into());
        let (folder, locks) = (cache.join(repo.folder_name()), cache.join(".locks").join(repo.folder_name()));
        Self { repo: Cache::new(cache.into()).repo(repo), folder, locks }
    }

    /// The repository's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    pub fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// What has come of a blob so far; Python's older name for it.
    pub fn incomplete(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{etag}.incomplete"))
    }

    /// The commit that a revision was last seen at; a commit is its own.
    pub fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.into());
        }
        let text = std::fs::read_to_string(self.folder.join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Remembers that the revision is at `commit`.
    pub fn remember(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let refs = self.folder.join("refs");
        self.repo.create_ref(commit).map_err(Error::io(&refs))
    }

    /// Names of the files that a snapshot has, in order; none where there is no snapshot.
    pub fn files(&self, commit: &str) -> Vec<String> {
        let root = self.snapshot(commit);
        let (mut found, mut open) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = open.pop() {
            for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    open.push(path);
                } else if path.is_file()
                    && let Ok(inner) = path.strip_prefix(&root)
                {
                    let parts = inner.components().map(|part| part.as_os_str().to_string_lossy());
                    found.push(parts.collect::<Vec<_>>().join("/"));
                }
            }
        }
        found.sort();
        found
    }

    /// Puts the blob under the name `file` into a snapshot.
    pub fn point(&self, commit: &str, file: &str, etag: &str) -> Result<()> {
        let pointer = self.snapshot(commit).join(file);
        let parent = pointer.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
        // What is there already leads to a blob of the past, or nowhere.
        match std::fs::remove_file(&pointer) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&pointer)(error)),
            _ => link(&self.blob(etag), &pointer, file.split('/').count() + 1).map_err(Error::io(&pointer)),
        }
    }

    /// Waits until nobody else fetches the blob.
    pub fn lock(&self, etag: &str, observer: &dyn Observer) -> Result<File> {
        std::fs::create_dir_all(&self.locks).map_err(Error::io(&self.locks))?;
        let path = self.locks.join(format!("{etag}.lock"));
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(Error::io(&path))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => observer.note("another process is fetching the same file"),
            Err(TryLockError::Error(error)) => return Err(Error::io(&path)(error)),
        }
        file.lock().map_err(Error::io(&path))?;
        Ok(file)
    }
}

/// A link up `depth` folders to the blobs, so that a cache may be moved.
#[cfg(unix)]
fn link(blob: &Path, pointer: &Path, depth: usize) -> std::io::Result<()> {
    let mut target = PathBuf::from_iter(std::iter::repeat_n("..", depth));
    target.push("blobs");
    target.push(blob.file_name().unwrap_or_default());
    std::os::unix::fs::symlink(target, pointer)
}

/// Links need rights that users of other systems seldom have; Python copies there as well.
#[cfg(not(unix))]
fn link(blob: &Path, pointer: &Path, _depth: usize) -> std::io::Result<()> {
    std::fs::copy(blob, pointer).map(|_| ())
}

/// Whether it is a commit's hash.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a name that a server gave stays inside the folder it is put in.
pub(crate) fn is_inside(file: &str) -> bool {
    let normal = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
    normal && !file.is_empty() && !file.contains(['\\', ':', '\0'])
}
