//! Files of conversations, one JSON object a line: what `score` and `generate` read.
//!
//! Every row is read, every image decoded and every prompt built once before any work starts, so that
//! the last row's fault shows in seconds, not after hours; patches are made again when their batch runs.
//! Knows no model, only its processor and its number of token ids.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foveate_vision::images::{Limits, Patches, open};
use foveate_vision::processor::{Processor, Prompt};
use foveate_vision::text::{Content, Message};
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::{Failure, Outcome};

/// A longer line is not a conversation, but a file of another kind.
const LONGEST_LINE: u64 = 64 << 20;

/// What ends a turn.
const CLOSING: &str = "<|im_end|>";

/// Patches of the pictures of a batch: questions about one picture share it.
type Pictures = HashMap<PathBuf, Arc<Patches>>;

/// A row as it stands in the file; keys that are not named here are the user's own.
#[derive(Deserialize)]
struct Raw {
    id: Value,
    messages: Vec<Message>,
    completion: Option<Value>,
}

/// A conversation.
pub struct Row {
    line: usize,
    /// A string or number, given back as it came.
    pub id: Value,
    messages: Vec<Message>,
    /// Ids of the completion and the closing token; empty where none is asked for.
    pub completion_ids: Vec<u32>,
    /// Rows with the same number have the same messages.
    pub prompt: usize,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
}

/// The conversations of one file, checked.
pub struct Conversations {
    path: PathBuf,
    /// In the order of the file.
    pub rows: Vec<Row>,
}

/// Whether rows have a completion.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// To be scored.
    Completed,
    /// To be continued.
    Open,
}

impl Conversations {
    /// Reads and checks `path`; token ids must be below `vocab`.
    pub fn read(path: &Path, kind: Kind, processor: &Processor, vocab: usize) -> Outcome<Self> {
        let mut own = Self { path: path.into(), rows: Vec::new() };
        own.read_lines(kind, processor)?;
        if own.rows.is_empty() {
            return Err(Failure::differs(path.display(), "rows", "at least one", 0));
        }
        own.check_ids()?;
        own.number_prompts(processor, vocab)?;
        own.check_completions(processor, vocab)?;
        Ok(own)
    }

    fn read_lines(&mut self, kind: Kind, processor: &Processor) -> Outcome<()> {
        let path = self.path.clone();
        let mut file = BufReader::new(File::open(&path).map_err(Failure::io(&path))?);
        for line in 1.. {
            let mut text = String::new();
            let place = format!("{}:{line}", path.display());
            let read = file.by_ref().take(LONGEST_LINE + 1).read_line(&mut text);
            match read.map_err(|error| Failure::input(error).at(&place))? as u64 {
                0 => break,
                bytes if bytes > LONGEST_LINE => {
                    let most = format!("at most {LONGEST_LINE} bytes long");
                    return Err(Failure::differs(&place, "line", most, "longer"));
                }
                _ if text.trim().is_empty() => continue,
                _ => self.rows.push(parse(&text, line, kind, processor).map_err(|fault| fault.at(&place))?),
            }
        }
        Ok(())
    }

    fn place(&self, row: &Row) -> String {
        format!("{}:{}", self.path.display(), row.line)
    }

    fn check_ids(&self) -> Outcome<()> {
        let mut seen: HashMap<String, &Row> = HashMap::new();
        for row in &self.rows {
            if let Some(first) = seen.insert(row.id.to_string(), row) {
                let found = format!("{}, as on line {}", row.id, first.line);
                return Err(Failure::differs(self.place(row), "id", "there once in the file", found));
            }
        }
        Ok(())
    }

    /// Gives equal messages one number and builds each distinct prompt once.
    fn number_prompts(&mut self, processor: &Processor, vocab: usize) -> Outcome<()> {
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut firsts = Vec::new();
        for (at, row) in self.rows.iter_mut().enumerate() {
            let key = serde_json::to_string(&row.messages).map_err(Failure::work)?;
            row.prompt = *numbers.entry(key).or_insert_with(|| {
                firsts.push(at);
                firsts.len() - 1
            });
        }
        let build = |&at: &usize| {
            let row = &self.rows[at];
            let prompt = self.prompt(row, processor, &self.pictures(&self.rows[at..=at], processor)?)?;
            inside(&prompt.input_ids, "prompt", vocab).map_err(|fault| fault.at(self.place(row)))?;
            Ok(prompt.input_ids.len())
        };
        let tokens: Outcome<Vec<usize>> =
            firsts.par_iter().map(build).collect::<Vec<_>>().into_iter().collect();
        let tokens = tokens?;
        self.rows.iter_mut().for_each(|row| row.prompt_tokens = tokens[row.prompt]);
        Ok(())
    }

    fn check_completions(&self, processor: &Processor, vocab: usize) -> Outcome<()> {
        for row in &self.rows {
            let pictures = [processor.image_token_id, processor.video_token_id];
            if row.completion_ids.iter().any(|id| pictures.contains(id)) {
                let expected = "without <|image_pad|> and <|video_pad|>";
                return Err(Failure::differs(self.place(row), "completion", expected, "with one"));
            }
            inside(&row.completion_ids, "completion", vocab).map_err(|fault| fault.at(self.place(row)))?;
        }
        Ok(())
    }

    /// Decodes the pictures of some rows, each once.
    pub fn pictures(&self, rows: &[Row], processor: &Processor) -> Outcome<Pictures> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let mut wanted: HashMap<&PathBuf, &Row> = HashMap::new();
        for row in rows {
            for path in images(row) {
                wanted.entry(path).or_insert(row);
            }
        }
        let mut wanted: Vec<_> = wanted.into_iter().collect();
        wanted.sort_by_key(|(_, row)| row.line);
        let load = |(path, row): (&PathBuf, &Row)| {
            let picture = open(&folder.join(path), &Limits::default());
            let patches = picture.and_then(|picture| processor.images.patches(&picture));
            let patches = patches.map_err(|error| Failure::from(error).at(self.place(row)))?;
            Ok((path.clone(), Arc::new(patches)))
        };
        wanted.into_par_iter().map(load).collect::<Vec<_>>().into_iter().collect()
    }

    /// The prompt of a row.
    pub fn prompt(&self, row: &Row, processor: &Processor, pictures: &Pictures) -> Outcome<Prompt> {
        let patches: Vec<_> = images(row).filter_map(|path| pictures.get(path).cloned()).collect();
        let prompt = processor.prompt(&row.messages, &patches);
        prompt.map_err(|error| Failure::from(error).at(self.place(row)))
    }

    /// Runs of rows whose tokens, by `cost`, stay within `budget`; a row over it stands alone.
    pub fn batches(&self, budget: usize, cost: impl Fn(&Row, bool) -> usize) -> Vec<Range<usize>> {
        let mut batches: Vec<Range<usize>> = Vec::new();
        let (mut tokens, mut prompts) = (0, Vec::new());
        for (at, row) in self.rows.iter().enumerate() {
            let more = cost(row, !prompts.contains(&row.prompt));
            match batches.last_mut() {
                Some(batch) if tokens + more <= budget => {
                    batch.end = at + 1;
                    tokens += more;
                }
                _ => {
                    batches.push(at..at + 1);
                    prompts.clear();
                    tokens = cost(row, true);
                }
            }
            prompts.push(row.prompt);
        }
        batches
    }
}

fn images(row: &Row) -> impl Iterator<Item = &PathBuf> {
    row.messages.iter().flat_map(|message| &message.content).filter_map(|content| match content {
        Content::Image(path) => path.as_ref(),
        Content::Text(_) => None,
    })
}

fn parse(text: &str, line: usize, kind: Kind, processor: &Processor) -> Outcome<Row> {
    let raw: Raw = serde_json::from_str(text).map_err(|error| Failure::input(said(&error)))?;
    if !(raw.id.is_string() || raw.id.is_number()) {
        return Err(Failure::input(format!("`id` should be a string or a number, but is {}", raw.id)));
    }
    if raw.messages.is_empty() {
        return Err(Failure::input("`messages` should be at least one, but is empty"));
    }
    let contents = raw.messages.iter().flat_map(|message| &message.content);
    if contents.into_iter().any(|content| *content == Content::Image(None)) {
        return Err(Failure::input("content of type `image`: `image` should be a path, but is missing"));
    }
    let completion_ids = match kind {
        Kind::Open => vec![],
        Kind::Completed => completion_ids(raw.completion, processor)?,
    };
    Ok(Row { line, id: raw.id, messages: raw.messages, completion_ids, prompt: 0, prompt_tokens: 0 })
}

/// The text's ids, closed once.
fn completion_ids(completion: Option<Value>, processor: &Processor) -> Outcome<Vec<u32>> {
    let expected = "a text that is not empty";
    let wrong = |found: &str| Failure::input(format!("`completion` should be {expected}, but is {found}"));
    let text = match &completion {
        None => return Err(wrong("missing")),
        Some(Value::String(text)) if text.is_empty() => return Err(wrong("empty")),
        Some(Value::String(text)) => text,
        Some(other) => return Err(wrong(&other.to_string())),
    };
    let closing = processor.tokenizer.id(CLOSING);
    let closing = closing.ok_or_else(|| Failure::input(format!("the tokenizer has no {CLOSING}")))?;
    let mut ids = processor.tokenizer.encode(text)?;
    if ids.last() != Some(&closing) {
        ids.push(closing);
    }
    Ok(ids)
}

/// serde_json's words without its line number, which is 1 for every line of the file.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let cut = text.find(" at line ").unwrap_or(text.len());
    format!("{}, at column {}", &text[..cut], error.column())
}

fn inside(ids: &[u32], field: &str, vocab: usize) -> Outcome<()> {
    match ids.iter().find(|&&id| id as usize >= vocab) {
        None => Ok(()),
        Some(id) => {
            let expected = format!("of token ids below the model's vocabulary of {vocab}");
            Err(Failure::input(format!("`{field}` should be {expected}, but has {id}")))
        }
    }
}
