//! Which files of a repository are data.
//!
//! As for a folder of this disk: files of one ending in one folder, with a split those whose names begin with it, or
//! those in a folder called so. Rows in text point to images in files of their own, and these come too.

use std::collections::BTreeMap;

use foveate_datasets::read::{ENDINGS, NOTES};
use foveate_hub::{Name, Reason, Snapshot};

use super::bar::Bar;
use super::{Place, Stop, of_word, open};
use crate::failure::{Failure, Outcome};

/// Who reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reader {
    /// Rows in any format: a folder with its split.
    Rows,
    /// A benchmark, which knows its own files in the folder that it is given.
    Benchmark,
}

impl Reader {
    /// The reader of a task.
    pub fn of(task: &str) -> Self {
        if task == "data" { Self::Rows } else { Self::Benchmark }
    }
}

/// Endings whose rows hold their images.
const WHOLE: [&str; 2] = ["parquet", "tar"];

/// Endings of images, and of what images are packed in.
const IMAGES: [&str; 12] =
    ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "zip", "tar", "gz", "tgz"];

/// Folders that are named where a choice cannot be made.
const SHOWN: usize = 8;

/// What is read of a repository.
#[derive(Debug, PartialEq)]
struct Chosen {
    /// To fetch.
    files: Vec<String>,
    /// To read: a path in the repository, and a split.
    source: String,
}

/// Where data lie: a path as it is, or what a name on the hub says.
pub fn data(word: &str, reader: Reader, stop: Stop) -> Outcome<Place> {
    let Some(name) = Name::dataset(word)? else { return Ok(Place::path(word)) };
    let (hub, bar) = (open()?, Bar::new(&name.id, stop));
    let snapshot = hub.open(&name, &bar).map_err(of_word(word))?;
    bring(word, &name, &snapshot, reader, &bar)
}

/// As [`data`], of what is in the cache alone.
pub fn data_here(word: &str, reader: Reader) -> Outcome<Place> {
    let Some(name) = Name::dataset(word)? else { return Ok(Place::path(word)) };
    let (hub, bar) = (open()?, Bar::new(&name.id, None));
    let snapshot = hub.cached(&name, Reason::CacheOnly).map_err(of_word(word))?;
    bring(word, &name, &snapshot, reader, &bar)
}

fn bring(word: &str, name: &Name, snapshot: &Snapshot, reader: Reader, bar: &Bar) -> Outcome<Place> {
    let chosen = choose(snapshot.files(), name, reader);
    let chosen = chosen.map_err(|message| Failure::input(format!("{word}: {message}")))?;
    let files: Vec<&str> = chosen.files.iter().map(String::as_str).collect();
    snapshot.fetch(&files, bar).map_err(of_word(word))?;
    let path = match chosen.source.as_str() {
        "" => snapshot.dir(),
        split if split.starts_with('@') => format!("{}{split}", snapshot.dir().display()).into(),
        inner => snapshot.dir().join(inner),
    };
    let title = name.id.rsplit('/').next().map(str::to_owned);
    Ok(Place { path, pinned: Some(snapshot.pinned().word()), title })
}

/// A file in its folder.
#[derive(Clone, Copy)]
struct Entry<'a> {
    path: &'a str,
    folder: &'a str,
    file: &'a str,
    ending: &'a str,
}

impl<'a> Entry<'a> {
    fn of(path: &'a str) -> Self {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
        Self { path, folder, file, ending }
    }

    /// Whether the file's name begins with a split's.
    fn starts(&self, split: Option<&str>) -> bool {
        split.is_none_or(|split| self.file.starts_with(split))
    }

    /// Whether its folder is called as a split is.
    fn lies_in(&self, split: Option<&str>) -> bool {
        split.is_some_and(|split| self.folder.rsplit('/').next() == Some(split))
    }

    fn is_image(&self) -> bool {
        IMAGES.contains(&self.ending.to_lowercase().as_str())
    }
}

/// Decides on `files` of a repository; the error says what there is instead.
fn choose(files: &[String], name: &Name, reader: Reader) -> Result<Chosen, String> {
    let (path, split) = (name.path.as_deref(), name.split.as_deref());
    if let Some(file) = path.filter(|path| files.iter().any(|file| file == path)) {
        let entry = Entry::of(file);
        return Ok(Chosen { files: with_images(entry, vec![file], files, false), source: file.into() });
    }
    let scope = path.map_or(String::new(), |path| format!("{path}/"));
    let inside = files.iter().filter(|file| file.starts_with(&scope)).map(|file| Entry::of(file));
    let tables = inside.filter(|entry| ENDINGS.contains(&entry.ending) && !NOTES.contains(&entry.file));
    let tables: Vec<Entry> = tables.collect();
    for ending in ENDINGS {
        let mut folders: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
        let fits = |entry: &&Entry| entry.ending == ending && (entry.starts(split) || entry.lies_in(split));
        tables.iter().filter(fits).for_each(|entry| folders.entry(entry.folder).or_default().push(*entry));
        if folders.is_empty() {
            continue;
        }
        let (folder, entries) = one(&folders, scope.trim_end_matches('/'), name)?;
        return Ok(chosen(folder, entries, files, name, reader));
    }
    let what = split.map_or(String::new(), |split| format!(" of split `{split}`"));
    let there: Vec<&str> = tables.iter().map(|entry| entry.path).take(SHOWN).collect();
    let there = if there.is_empty() { "none at all".into() } else { there.join(", ") };
    Err(format!("no file{what} that can be read as rows; there are {there}"))
}

/// The folder that was named, else its `data`, else the only one.
fn one<'a, 'f>(
    folders: &'f BTreeMap<&'a str, Vec<Entry<'a>>>,
    scope: &str,
    name: &Name,
) -> Result<(&'a str, &'f [Entry<'a>]), String> {
    let data = if scope.is_empty() { "data".to_owned() } else { format!("{scope}/data") };
    for wanted in [scope, data.as_str()] {
        if let Some((folder, entries)) = folders.get_key_value(wanted) {
            return Ok((folder, entries));
        }
    }
    if let [(folder, entries)] = folders.iter().collect::<Vec<_>>()[..] {
        return Ok((folder, entries));
    }
    let there: Vec<&str> = folders.keys().copied().take(SHOWN).collect();
    let more = if folders.len() > SHOWN { ", …" } else { "" };
    let split = name.split.as_ref().map_or(String::new(), |split| format!("@{split}"));
    let example = format!("hf://{}/{}{split}", name.id, there.first().unwrap_or(&""));
    Err(format!("more than one folder has rows ({}{more}): say which, as in {example}", there.join(", ")))
}

fn chosen(folder: &str, entries: &[Entry], files: &[String], name: &Name, reader: Reader) -> Chosen {
    let split = name.split.as_deref();
    // A folder called as the split is has all of its files read, whatever their names.
    let prefix = split.filter(|_| !entries.iter().all(|entry| entry.lies_in(split)));
    let entries: Vec<Entry> = entries.iter().copied().filter(|entry| entry.starts(prefix)).collect();
    let whole = reader == Reader::Benchmark && split.is_none() && name.path.is_none();
    let tables: Vec<&str> = entries.iter().map(|entry| entry.path).collect();
    let files = match entries.first() {
        Some(first) => with_images(*first, tables, files, whole),
        None => vec![],
    };
    let source = match (prefix, &entries[..]) {
        _ if whole => String::new(),
        (Some(_), [only]) => only.path.to_owned(),
        (Some(split), _) => format!("{folder}@{split}"),
        (None, _) => folder.to_owned(),
    };
    Chosen { files, source }
}

/// Tables with the images that their rows point to. A benchmark's folder may say more beside its images.
fn with_images(first: Entry, tables: Vec<&str>, files: &[String], whole: bool) -> Vec<String> {
    let mut all: Vec<String> = tables.into_iter().map(str::to_owned).collect();
    if WHOLE.contains(&first.ending) {
        return all;
    }
    for entry in files.iter().map(|file| Entry::of(file)) {
        let said = whole && entry.ending == "json" && !NOTES.contains(&entry.file);
        if (entry.is_image() || said) && !all.iter().any(|file| file == entry.path) {
            all.push(entry.path.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(files: &[&str], word: &str, reader: Reader) -> Result<(Vec<String>, String), String> {
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        let name = Name::dataset(word).unwrap().unwrap();
        choose(&files, &name, reader).map(|chosen| (chosen.files, chosen.source))
    }

    fn rows(files: &[&str], word: &str) -> Result<(Vec<String>, String), String> {
        chosen(files, word, Reader::Rows)
    }

    const SHARDS: [&str; 5] = [
        "README.md",
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "dataset_infos.json",
    ];

    #[test]
    fn a_split_is_the_beginning_of_a_name_or_a_folder() {
        let train = rows(&SHARDS, "o/s@train").unwrap();
        assert_eq!(train, (vec![SHARDS[2].into(), SHARDS[3].into()], "data@train".into()));
        assert_eq!(rows(&SHARDS, "o/s@test").unwrap(), (vec![SHARDS[1].into()], SHARDS[1].into()));
        assert_eq!(
            rows(&SHARDS, "o/s").unwrap(),
            (SHARDS[1..4].iter().map(|s| s.to_string()).collect(), "data".into())
        );
        let folders = ["train/0000.parquet", "train/0001.parquet", "val/0000.parquet"];
        assert_eq!(rows(&folders, "o/s@train").unwrap().1, "train");
        assert_eq!(rows(&["train.parquet", "test.parquet"], "o/s@train").unwrap().1, "train.parquet");
        assert_eq!(rows(&["train-0.jsonl", "train-1.jsonl"], "o/s@train").unwrap().1, "@train");
        let told = rows(&SHARDS, "o/s@dev").unwrap_err();
        assert!(told.contains("split `dev`") && told.contains(SHARDS[1]), "{told}");
    }

    #[test]
    fn a_choice_that_is_none_is_left_to_the_user() {
        let files = ["en/train-0.parquet", "en/test-0.parquet", "zh/train-0.parquet"];
        let told = rows(&files, "o/s@train").unwrap_err();
        assert!(told.contains("en, zh") && told.contains("hf://o/s/en@train"), "{told}");
        assert_eq!(rows(&files, "hf://o/s/en@train").unwrap().1, files[0]);
        assert_eq!(rows(&files, "hf://o/s/en").unwrap().1, "en");
        assert_eq!(rows(&files, "hf://o/s/zh/train-0.parquet").unwrap().1, files[2]);
        assert!(rows(&["README.md"], "o/s").unwrap_err().contains("none at all"));
    }

    #[test]
    fn rows_in_text_bring_their_images_and_no_weights() {
        let files = ["a/1.JPG", "images.zip", "model.bin", "rows.jsonl", "a/1.json"];
        let (mut all, source) = rows(&files, "o/s").unwrap();
        all.sort();
        assert_eq!(
            (all, source.as_str()),
            (vec!["a/1.JPG".into(), "images.zip".into(), "rows.jsonl".into()], "")
        );
        let (all, source) = chosen(&files, "o/s", Reader::Benchmark).unwrap();
        assert_eq!((all.len(), source.as_str()), (4, ""), "its own notes beside its images: {all:?}");
        let parquet = ["images.zip", "rows.parquet"];
        assert_eq!(rows(&parquet, "o/s").unwrap().0, ["rows.parquet"]);
    }
}
