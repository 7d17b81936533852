//! The run directory: where things lie, and how a checkpoint comes to be whole or not at all.
//!
//! A checkpoint is written to a sibling directory, synchronised to disk and renamed; only then does
//! `latest` name it, itself written by rename. A kill at any instant leaves the last whole checkpoint.

use crate::{Error, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const RECIPE: &str = "recipe.resolved.toml";
const LATEST: &str = "latest";
const BEST: &str = "best";
const CHECKPOINTS: &str = "checkpoints";

/// A run directory.
#[derive(Debug, Clone)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// Makes a new one at `path` with the recipe it will follow.
    ///
    /// # Errors
    /// A run is there already, or the directory cannot be written.
    pub fn create(path: &Path, recipe: &str) -> Result<Self> {
        let run = Self(path.to_path_buf());
        if run.recipe().exists() {
            let message =
                "should be a new directory, but holds a run: go on with it (--resume) or name another (out)";
            return Err(Error::run(path, message));
        }
        fs::create_dir_all(run.checkpoints()).map_err(Error::io(run.checkpoints()))?;
        replace(&run.recipe(), recipe.as_bytes())?;
        Ok(run)
    }

    /// Opens the run at `path`.
    ///
    /// # Errors
    /// There is no run.
    pub fn open(path: &Path) -> Result<Self> {
        let run = Self(path.to_path_buf());
        if !run.recipe().is_file() {
            return Err(Error::run(path, format!("should hold {RECIPE}, but does not")));
        }
        Ok(run)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The recipe as it was resolved.
    pub fn recipe(&self) -> PathBuf {
        self.0.join(RECIPE)
    }

    /// One line a step.
    pub fn metrics(&self) -> PathBuf {
        self.0.join("metrics.jsonl")
    }

    /// One line an answer.
    pub fn completions(&self) -> PathBuf {
        self.0.join("completions.jsonl")
    }

    /// One line an answer that was measured.
    pub fn evaluations(&self) -> PathBuf {
        self.0.join("evaluations.jsonl")
    }

    /// Where batches go whose loss or gradient was not finite.
    pub fn dumps(&self) -> PathBuf {
        self.0.join("dumps")
    }

    /// The model that a run without a model directory made for itself.
    pub fn start(&self) -> PathBuf {
        self.0.join("start")
    }

    /// The frozen model that terms compare with.
    pub fn reference(&self) -> PathBuf {
        self.0.join("reference")
    }

    /// The weights that a server is told to read.
    pub fn served(&self) -> PathBuf {
        self.0.join("served")
    }

    fn checkpoints(&self) -> PathBuf {
        self.0.join(CHECKPOINTS)
    }

    /// The checkpoint that `latest` names.
    ///
    /// # Errors
    /// `latest` names a directory that is not there.
    pub fn latest(&self) -> Result<Option<PathBuf>> {
        let pointer = self.0.join(LATEST);
        if !pointer.exists() {
            return Ok(None);
        }
        let name = fs::read_to_string(&pointer).map_err(Error::io(&pointer))?;
        let dir = self.0.join(name.trim());
        match dir.is_dir() {
            true => Ok(Some(dir)),
            false => Err(Error::run(pointer, format!("names `{}`, which is not there", name.trim()))),
        }
    }

    /// Writes the checkpoint of `step` with `fill`, makes it the latest and drops all but the `keep`
    /// latest ones and the one of step `best`, which a pointer of that name then names.
    ///
    /// # Errors
    /// Those of `fill` and of the file system; the latest checkpoint is then the one it was.
    pub fn checkpoint(
        &self,
        step: u64,
        keep: usize,
        best: Option<u64>,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let name = step_name(step);
        let dir = self.checkpoints().join(&name);
        self.whole(&dir, fill)?;
        replace(&self.0.join(LATEST), format!("{CHECKPOINTS}/{name}\n").as_bytes())?;
        if let Some(best) = best.map(step_name).filter(|best| self.checkpoints().join(best).is_dir()) {
            replace(&self.0.join(BEST), format!("{CHECKPOINTS}/{best}\n").as_bytes())?;
        }
        sync_dir(&self.0)?;
        self.prune(keep, best)?;
        Ok(dir)
    }

    /// Fills `dir` with `fill` so that it is there whole or not at all; an older one is replaced.
    ///
    /// # Errors
    /// Those of `fill` and of the file system.
    pub fn whole(&self, dir: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        whole(dir, fill)
    }

    fn prune(&self, keep: usize, best: Option<u64>) -> Result<()> {
        let all = fs::read_dir(self.checkpoints()).map_err(Error::io(self.checkpoints()))?;
        let mut steps: Vec<PathBuf> = Vec::new();
        for entry in all {
            let path = entry.map_err(Error::io(self.checkpoints()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("step-") && !name.ends_with(".tmp") {
                steps.push(path);
            }
        }
        steps.sort();
        let old = steps.len().saturating_sub(keep);
        let best = best.map(|step| self.checkpoints().join(step_name(step)));
        steps[..old].iter().filter(|path| best.as_ref() != Some(path)).try_for_each(|path| remove(path))
    }
}

/// Fills `dir` with `fill` so that it is there whole or not at all; an older one is replaced.
///
/// # Errors
/// Those of `fill` and of the file system.
pub fn whole(dir: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let draft = dir.with_extension("tmp");
    remove(&draft)?;
    fs::create_dir_all(&draft).map_err(Error::io(&draft))?;
    fill(&draft)?;
    sync_tree(&draft)?;
    remove(dir)?;
    fs::rename(&draft, dir).map_err(Error::io(dir))?;
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(Path::new(".")))
}

fn step_name(step: u64) -> String {
    format!("step-{step:06}")
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(dir)(e)),
        _ => Ok(()),
    }
}

/// Writes a file beside `path` and renames it there.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let draft = path.with_extension("tmp");
    fs::write(&draft, bytes).map_err(Error::io(&draft))?;
    File::open(&draft).and_then(|f| f.sync_all()).map_err(Error::io(&draft))?;
    fs::rename(&draft, path).map_err(Error::io(path))
}

fn sync_tree(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        match path.is_dir() {
            true => sync_tree(&path)?,
            false => File::open(&path).and_then(|f| f.sync_all()).map_err(Error::io(&path))?,
        }
    }
    sync_dir(dir)
}

/// A rename is on disk when its directory is.
fn sync_dir(dir: &Path) -> Result<()> {
    match cfg!(unix) {
        true => File::open(dir).and_then(|f| f.sync_all()).map_err(Error::io(dir)),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn checkpoints_are_whole_pruned_and_pointed_to() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(&dir.path().join("run"), "seed = 1\n").unwrap();
        assert_eq!(run.latest().unwrap(), None);
        for step in [1, 2, 3] {
            let fill = |d: &Path| fs::write(d.join("x"), b"x").map_err(Error::io(d));
            run.checkpoint(step, 2, Some(1), fill).unwrap();
        }
        assert_eq!(names(&run.checkpoints()), ["step-000001", "step-000002", "step-000003"]);
        let best = fs::read_to_string(dir.path().join("run/best")).unwrap();
        assert_eq!(best, "checkpoints/step-000001\n");
        let broken = run.checkpoint(4, 2, None, |d| {
            fs::write(d.join("half"), b"x").map_err(Error::io(d))?;
            Err(Error::run(d, "killed here"))
        });
        assert!(broken.is_err());
        assert!(run.latest().unwrap().unwrap().ends_with("step-000003"));
        // What a kill left behind does not stand in the way.
        run.checkpoint(4, 2, None, |_| Ok(())).unwrap();
        assert_eq!(names(&run.checkpoints()), ["step-000003", "step-000004"]);
    }

    #[test]
    fn a_run_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        RunDir::create(dir.path(), "").unwrap();
        let message = RunDir::create(dir.path(), "").unwrap_err().to_string();
        assert!(message.contains("--resume"), "{message}");
        assert!(RunDir::open(&dir.path().join("none")).unwrap_err().is_input());
    }
}
