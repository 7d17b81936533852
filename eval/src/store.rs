//! `records.jsonl`: appended to, never rewritten, and whole after a kill at any moment.
//!
//! A line is complete when its newline is there: what follows the last newline is a line that a kill cut
//! short, and is cut off before anything is appended. A line is handed to the system when it is appended, so
//! that a kill of the process loses no answer; it is put on disk in batches, so that a machine that goes down
//! loses at most the last two seconds. Two lines with one key come from shards laid together or from a failed call that was made again; an answer goes
//! before a failure, and the first answer before a later one.

use crate::record::{Record, Verdict};
use crate::{Error, Result};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The file's name in the directory of an evaluation.
pub const FILE: &str = "records.jsonl";

/// At most so many lines, and so much time, are lost when the machine (not only the process) goes down: putting
/// every line on disk takes milliseconds, more than a small model's answer.
const SYNC_LINES: usize = 256;
pub(crate) const SYNC_EVERY: Duration = Duration::from_secs(2);

/// Records as they are read: one for each key, in the order of their first lines.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// The records.
    pub records: Vec<Record>,
    /// Lines that another line with their key goes before.
    pub superseded: usize,
    places: HashMap<String, usize>,
}

impl Records {
    /// Adds a record; of two with one key the better one stays.
    pub fn add(&mut self, record: Record) {
        match self.places.entry(record.key.clone()) {
            Entry::Vacant(place) => {
                place.insert(self.records.len());
                self.records.push(record);
            }
            Entry::Occupied(place) => {
                self.superseded += 1;
                let first = &mut self.records[*place.get()];
                if first.outcome == Verdict::Failed {
                    *first = record;
                }
            }
        }
    }

    /// The records in the order of their keys: what is made of them does not depend on who answered first.
    pub fn sorted(self) -> Vec<Record> {
        let mut records = self.records;
        records.sort_by(|a, b| a.key.cmp(&b.key));
        records
    }

    /// What is known about a question.
    pub fn get(&self, key: &str) -> Option<&Record> {
        self.places.get(key).map(|&at| &self.records[at])
    }

    /// Whether a question has an answer: a failed call has none.
    pub fn answered(&self, key: &str) -> bool {
        self.get(key).is_some_and(|record| record.outcome != Verdict::Failed)
    }

    /// The keys of all questions that have an answer.
    pub fn keys_answered(&self) -> impl Iterator<Item = String> {
        let answered = self.records.iter().filter(|record| record.outcome != Verdict::Failed);
        answered.map(|record| record.key.clone())
    }

    /// Reads a file of records; a last line without its newline is not read.
    ///
    /// # Errors
    /// The file is missing, or a line is no record, or its key is not that of its question.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self::read_whole_lines(path)?.0)
    }

    /// The records, and where the last whole line ends.
    fn read_whole_lines(path: &Path) -> Result<(Self, u64)> {
        let mut file = BufReader::new(File::open(path).map_err(Error::io(path))?);
        let (mut records, mut end, mut line) = (Self::default(), 0, Vec::new());
        for row in 1.. {
            line.clear();
            let length = file.read_until(b'\n', &mut line).map_err(Error::io(path))?;
            if line.last() != Some(&b'\n') {
                break;
            }
            end += length as u64;
            if !line.trim_ascii().is_empty() {
                records.add(parse(&line, path, row)?);
            }
        }
        Ok((records, end))
    }
}

fn parse(line: &[u8], path: &Path, row: usize) -> Result<Record> {
    let place = format!("{}:{row}", path.display());
    let record: Record = serde_json::from_slice(line)
        .map_err(|e| Error::Line { place: place.clone(), message: e.to_string() })?;
    let key = record.digest();
    if key != record.key {
        return Err(Error::differs(place, "key", format!("{key}, that of its question"), record.key));
    }
    Ok(record)
}

/// The open file, and what it holds already.
#[derive(Debug)]
pub struct Store {
    file: File,
    path: PathBuf,
    records: Records,
    /// Lines that the system has and the disk may not.
    lines: usize,
    synced: Instant,
}

impl Store {
    /// Opens (or makes) `records.jsonl` in `dir` and reads what is there.
    ///
    /// # Errors
    /// As [`Records::read`], and those of the file system.
    pub fn open(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let path = dir.join(FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io(&path))?;
        file.try_lock().map_err(|_| {
            let message = "another `foveate eval` is writing to it; use --shard and another directory each";
            Error::Line { place: path.display().to_string(), message: message.into() }
        })?;
        let (records, end) = Records::read_whole_lines(&path)?;
        file.set_len(end).map_err(Error::io(&path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io(&path))?;
        Ok(Self { file, path, records, lines: 0, synced: Instant::now() })
    }

    /// What the file holds.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Appends a record: whatever becomes of this process, the line is there. It is on disk after
    /// [`Store::settle`].
    ///
    /// # Errors
    /// Those of the file system.
    pub fn append(&mut self, record: Record) -> Result<()> {
        let mut line = serde_json::to_vec(&record)
            .map_err(|e| Error::Io { path: self.path.clone(), source: std::io::Error::other(e) })?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io(&self.path))?;
        self.lines += 1;
        self.records.add(record);
        self.settle()
    }

    /// Puts on disk what has waited long enough, or is enough, for it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn settle(&mut self) -> Result<()> {
        match self.lines >= SYNC_LINES || self.lines > 0 && self.synced.elapsed() >= SYNC_EVERY {
            true => self.sync(),
            false => Ok(()),
        }
    }

    /// Puts everything on disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.path))?;
        self.lines = 0;
        self.synced = Instant::now();
        Ok(())
    }

    /// Everything is put on disk and the records are handed over.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(mut self) -> Result<Records> {
        self.sync()?;
        Ok(self.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sample: &str, outcome: Verdict, response: &str) -> Record {
        let response = Some(response.to_owned());
        let record = Record { sample: sample.into(), outcome, response, ..Record::default() };
        Record { key: record.digest(), ..record }
    }

    #[test]
    fn what_is_appended_is_read_again_and_a_cut_line_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.append(record("a", Verdict::Right, "x")).unwrap();
        store.append(record("b", Verdict::Failed, "")).unwrap();
        assert!(Store::open(dir.path()).is_err(), "two at once");
        drop(store.finish().unwrap());
        let path = dir.path().join(FILE);
        let mut half = fs::read(&path).unwrap();
        half.extend_from_slice(b"{\"key\":\"12");
        fs::write(&path, half).unwrap();

        let mut store = Store::open(dir.path()).unwrap();
        let (a, b) = (record("a", Verdict::Right, "").key, record("b", Verdict::Right, "").key);
        assert!(store.records().answered(&a) && !store.records().answered(&b));
        store.append(record("b", Verdict::Wrong, "y")).unwrap();
        store.append(record("a", Verdict::Wrong, "later")).unwrap();
        store.finish().unwrap();

        let read = Records::read(&path).unwrap();
        assert_eq!((read.records.len(), read.superseded), (2, 2));
        assert_eq!(read.get(&a).unwrap().outcome, Verdict::Right, "the first answer stays");
        assert_eq!(read.get(&b).unwrap().outcome, Verdict::Wrong, "an answer goes before a failure");
    }

    #[test]
    fn a_line_is_there_as_soon_as_it_is_appended() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        for n in 1..4 {
            store.append(record(&n.to_string(), Verdict::Right, "x")).unwrap();
            // What a kill at this moment would leave: nothing of the store is written later.
            assert_eq!(Records::read(&path).unwrap().records.len(), n);
        }
        assert_eq!(store.lines, 3, "not one by one to the disk");
        store.synced -= SYNC_EVERY;
        store.settle().unwrap();
        assert_eq!(store.lines, 0, "but before long");
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let good = serde_json::to_string(&record("a", Verdict::Right, "x")).unwrap();
        for (bad, word) in [("nonsense", ":2"), (&good.replace("\"a\"", "\"b\"")[..], "key")] {
            fs::write(&path, format!("{good}\n{bad}\n")).unwrap();
            let message = Records::read(&path).unwrap_err().to_string();
            assert!(message.contains(word) && message.contains(FILE), "{message}");
        }
    }
}
