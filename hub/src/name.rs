//! Which words mean the hub, and what they say.
//!
//! ```text
//! model    = ["hf://" ["models/"]] ORG "/" NAME ["@" REVISION]
//! data set = ["hf://" ["datasets/"]] ORG "/" NAME ["/" PATH] ["@" SPLIT] [":" REVISION]
//! ```
//!
//! A word without `hf://` means the hub only where it cannot mean a file: nothing is there under that path,
//! ORG is no folder that is here, NAME has no ending of a data file, and there is no PATH. So a path with a
//! slip in it is never sent to anybody.

use std::path::Path;

use crate::{Error, Result};

/// Says that a word means the hub.
const SCHEME: &str = "hf://";

/// The hub's own limit.
const LONGEST: usize = 96;

/// Endings of a word that is a file's, not a repository's.
const FILES: [&str; 13] = [
    "parquet",
    "jsonl",
    "ndjson",
    "json",
    "csv",
    "tsv",
    "txt",
    "xlsx",
    "tar",
    "zip",
    "whl",
    "safetensors",
    "toml",
];

/// What a repository holds, in the hub's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A model.
    Model,
    /// A data set.
    Dataset,
}

impl Kind {
    /// The word in the hub's interface.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }

    /// What stands before a repository's name in addresses of its files.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
        }
    }

    /// In messages.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "data set",
        }
    }
}

/// A repository, a revision of it, and what of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// What it holds.
    pub kind: Kind,
    /// `ORG/NAME`.
    pub id: String,
    /// A branch, a tag or a commit; the hub's `main` where nothing is said.
    pub revision: Option<String>,
    /// A file or folder in it.
    pub path: Option<String>,
    /// A split of it.
    pub split: Option<String>,
}

impl Name {
    /// Reads a word that may stand where a model directory may stand; `None` is a path.
    ///
    /// # Errors
    /// A word with `hf://` that has not the form of a model's name.
    pub fn model(word: &str) -> Result<Option<Self>> {
        let Some((said, explicit)) = candidate(word, "models/") else { return Ok(None) };
        let (id, revision) = cut(said, '@');
        let name = Self { kind: Kind::Model, id: id.into(), revision, path: None, split: None };
        name.settle(word, explicit, "hf://ORG/NAME@REVISION")
    }

    /// Reads a word that may stand where a data set may stand; `None` is a path.
    ///
    /// # Errors
    /// A word with `hf://` that has not the form of a data set's name.
    pub fn dataset(word: &str) -> Result<Option<Self>> {
        let Some((said, explicit)) = candidate(word, "datasets/") else { return Ok(None) };
        let (rest, revision) = cut(said, ':');
        let (whole, split) = cut(rest, '@');
        let parts: Vec<&str> = whole.splitn(3, '/').collect();
        let path = parts.get(2).map(|path| path.trim_end_matches('/').to_owned());
        let path = path.filter(|path| !path.is_empty());
        let id = parts[..parts.len().min(2)].join("/");
        let name = Self { kind: Kind::Dataset, id, revision, path, split };
        name.settle(word, explicit, "hf://ORG/NAME/PATH@SPLIT:REVISION")
    }

    /// The same at another revision.
    pub fn at(&self, revision: &str) -> Self {
        Self { revision: Some(revision.into()), ..self.clone() }
    }

    /// The revision that is asked for.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// As a word that [`Name::model`] or [`Name::dataset`] reads.
    pub fn word(&self) -> String {
        let mark = if self.kind == Kind::Model { "@" } else { ":" };
        let part = |mark: &str, part: &Option<String>| match part {
            Some(part) => format!("{mark}{part}"),
            None => String::new(),
        };
        let scheme = if self.path.is_some() { SCHEME } else { "" };
        let (path, split) = (part("/", &self.path), part("@", &self.split));
        format!("{scheme}{}{path}{split}{}", self.id, part(mark, &self.revision))
    }

    /// A wrong word is an error where the hub was named, and a path where it was not.
    fn settle(self, word: &str, explicit: bool, form: &str) -> Result<Option<Self>> {
        match self.fault() {
            None if explicit || self.path.is_none() => Ok(Some(self)),
            Some(fault) if explicit => Err(Error::name(word, format!("{fault}; the form is {form}"))),
            _ => Ok(None),
        }
    }

    fn fault(&self) -> Option<String> {
        let parts: Vec<&str> = self.id.split('/').collect();
        let [org, name] = parts[..] else {
            return Some("a name of the hub has an owner and a name".into());
        };
        if let Some(wrong) = [org, name].into_iter().find(|part| !is_plain(part)) {
            return Some(format!("`{wrong}` is no name the hub gives"));
        }
        if self.id.len() > LONGEST {
            return Some(format!("a name of the hub has at most {LONGEST} characters"));
        }
        let revision = self.revision.as_deref().filter(|revision| !is_revision(revision));
        if let Some(wrong) = revision {
            return Some(format!("`{wrong}` is no revision"));
        }
        let inside = |path: &str| path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if let Some(wrong) = self.path.as_deref().filter(|path| !inside(path)) {
            return Some(format!("`{wrong}` is no path in a repository"));
        }
        let split = self.split.as_deref().filter(|split| split.is_empty() || split.contains('/'));
        split.map(|wrong| format!("`{wrong}` is no split"))
    }
}

/// The part of a word that may name a repository, and whether it surely does; `None` for what is a path.
fn candidate<'a>(word: &'a str, folder: &str) -> Option<(&'a str, bool)> {
    if let Some(said) = word.strip_prefix(SCHEME) {
        return Some((said.strip_prefix(folder).unwrap_or(said), true));
    }
    let (org, _) = word.split_once('/')?;
    let file = FILES.iter().any(|ending| {
        let tail = word.rsplit('.').next().unwrap_or_default();
        tail.split(['@', ':']).next() == Some(ending)
    });
    let here = Path::new(word).exists() || Path::new(org).exists();
    (!file && !here).then_some((word, false))
}

/// Cuts at the first `mark`.
fn cut(text: &str, mark: char) -> (&str, Option<String>) {
    match text.split_once(mark) {
        Some((before, after)) => (before, Some(after.to_owned())),
        None => (text, None),
    }
}

/// One half of a repository's name.
fn is_plain(part: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let edge = |c: char| c == '-' || c == '.';
    !part.is_empty()
        && part.chars().all(known)
        && !part.starts_with(edge)
        && !part.ends_with(edge)
        && !part.contains("--")
        && !part.contains("..")
        && !part.ends_with(".git")
}

/// What git allows, and what is safe as a path below `refs/`.
fn is_revision(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-/+@".contains(c);
    let parts = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    text.chars().all(known) && text.split('/').all(parts) && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(word: &str) -> Option<Name> {
        Name::dataset(word).unwrap()
    }

    #[test]
    fn a_model_has_a_revision_and_a_data_set_a_path_a_split_and_a_revision() {
        let model = Name::model("Qwen/Qwen2.5-VL-3B-Instruct@refs/pr/7").unwrap().unwrap();
        assert_eq!((model.id.as_str(), model.revision()), ("Qwen/Qwen2.5-VL-3B-Instruct", "refs/pr/7"));
        let set = dataset("hf://datasets/org/set/en/dev@train:refs/convert/parquet").unwrap();
        assert_eq!((set.id.as_str(), set.path.as_deref()), ("org/set", Some("en/dev")));
        assert_eq!((set.split.as_deref(), set.revision()), (Some("train"), "refs/convert/parquet"));
        for word in ["a/b", "a/b@train", "a/b@train:v1", "a/b:v1", "hf://a/b/c.parquet", "hf://a/b/c@x:v2"] {
            assert_eq!(dataset(word).unwrap().word(), word);
        }
        assert_eq!(dataset("hf://a/b").unwrap().word(), "a/b");
        assert_eq!(Name::model("a/b@v1").unwrap().unwrap().word(), "a/b@v1");
    }

    #[test]
    fn what_may_be_a_path_is_a_path() {
        for word in ["model", "a/b/c", "./a/b", "../a/b", "/a/b", "a/b.jsonl", "a/b.jsonl@train", "a//b"] {
            assert_eq!(dataset(word), None, "{word}");
        }
        for word in ["C:/x/y", "a/b.git", "a/-b", "a--b/c", "a/b@", "~/models/x", "a/b c", "a/b@../../x"] {
            assert_eq!(Name::model(word).unwrap(), None, "{word}");
        }
        let here = std::env::current_dir().unwrap();
        std::env::set_current_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert_eq!(Name::model("src/nothing").unwrap(), None, "src is a folder here");
        assert_eq!(Name::model("src/lib.rs").unwrap(), None, "a file that is here");
        assert!(Name::model("nowhere/nothing").unwrap().is_some());
        std::env::set_current_dir(here).unwrap();
    }

    #[test]
    fn the_scheme_makes_a_wrong_name_an_error() {
        for word in ["hf://a", "hf://a/b@..", "hf://a/b/c", "hf://a/b@x.lock"] {
            let told = Name::model(word).unwrap_err().to_string();
            assert!(told.contains(word) && told.contains("hf://ORG/NAME@REVISION"), "{told}");
        }
        for word in ["hf://a/b/../c", "hf://a/b@", "hf://a/b@x/y", "hf://a/b:"] {
            assert!(Name::dataset(word).unwrap_err().is_input(), "{word}");
        }
        assert!(Name::model("hf://src/lib.rs").unwrap().is_some(), "said to be the hub's");
    }
}
