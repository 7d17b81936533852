//! Rows to samples: what the columns of each published format mean. One table, [`FORMATS`]; a format is a function
//! from columns to a [`Draft`]. Columns that a format does not know go to `meta` as they are.

use crate::read::{Cell, Fields};
use crate::{ImageRef, Sample};
use serde_json::{Map, Value};

mod answer;
mod archive;
mod chat;
mod columns;
mod images;
mod iqa;
mod lettered;
mod mathvista;
mod mme;
mod own;
mod vstar;

pub use images::ImageStore;
pub(crate) use images::roots_for;
pub(crate) use iqa::QUESTION as QUALITY_QUESTION;
pub(crate) use mme::AS_WRITTEN;

/// What is wrong with a row, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The column.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Fault {
    fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "field `{}`: {}", self.field, self.message)
    }
}

/// The result of reading one row.
pub type Mapped<T> = std::result::Result<T, Fault>;

/// A format that people bring.
#[derive(Debug)]
pub struct Format {
    /// The name on the command line.
    pub name: &'static str,
    /// One line for a listing.
    pub summary: &'static str,
    /// The columns by which `auto` knows it: all of them must be there.
    pub signs: &'static [&'static str],
    map: fn(&mut Columns, &ImageStore) -> Mapped<Draft>,
}

/// Every format, in the order in which `auto` tries them.
pub const FORMATS: &[Format] = &[
    Format {
        name: "foveate",
        summary: "what `prep import` writes",
        signs: &["id", "problem", "answer", "meta"],
        map: own::own,
    },
    Format {
        name: "webdataset",
        summary: "WebDataset tar shards",
        signs: &["__key__"],
        map: columns::webdataset,
    },
    Format { name: "verl", summary: "verl parquet", signs: &["prompt", "reward_model"], map: chat::verl },
    Format {
        name: "mme-realworld",
        summary: "MME-RealWorld, official JSON",
        signs: &["Answer choices", "Ground truth"],
        map: mme::official,
    },
    Format {
        name: "mme-realworld-base64",
        summary: "MME-RealWorld as rows with base64 images",
        signs: &["multi-choice options"],
        map: mme::base64,
    },
    Format {
        name: "vstar",
        summary: "V* Bench, the authors' lines: question and options in one text",
        signs: &["text", "label", "question_id"],
        map: vstar::lines,
    },
    Format {
        name: "vstar-choices",
        summary: "V* Bench with a list of choices",
        signs: &["question", "choices", "answer", "question_id"],
        map: vstar::choices,
    },
    Format {
        name: "mathvista",
        summary: "MathVista parquet",
        signs: &["pid", "question_type", "answer_type"],
        map: mathvista::mathvista,
    },
    Format {
        name: "vlmevalkit",
        summary: "VLMEvalKit multiple choice (HR-Bench, V*): a column for each option, base64 images",
        signs: &["question", "A", "B", "answer", "image"],
        map: lettered::vlmevalkit,
    },
    Format {
        name: "q-hawkeye",
        summary: "Q-Hawkeye JSON",
        signs: &["images", "gt_score", "group_id"],
        map: iqa::q_hawkeye,
    },
    Format { name: "deqa", summary: "DeQA-Score JSON", signs: &["image", "gt_score_norm"], map: iqa::deqa },
    Format { name: "trl", summary: "TRL conversational rows", signs: &["prompt"], map: chat::trl },
    Format {
        name: "llava",
        summary: "LLaVA JSON",
        signs: &["conversations", "image"],
        map: chat::conversations,
    },
    Format {
        name: "sharegpt",
        summary: "ShareGPT / LLaMA-Factory",
        signs: &["conversations"],
        map: chat::conversations,
    },
    Format { name: "swift", summary: "ms-swift JSONL", signs: &["messages"], map: chat::conversations },
    Format {
        name: "virl39k",
        summary: "ViRL39K parquet with image paths",
        signs: &["question", "answer", "qid"],
        map: columns::virl39k,
    },
    Format {
        name: "geometry3k",
        summary: "Geometry3K with its options: asked without them, graded as mathematics",
        signs: &["problem", "answer", "choices", "ground_truth"],
        map: columns::geometry3k,
    },
    Format {
        name: "geometry3k-folders",
        summary: "Geometry3K as its authors publish it: a folder a problem, data.json and img_diagram.png",
        signs: &["problem_text", "choices", "answer", "img_diagram.png"],
        map: columns::geometry3k_folders,
    },
    Format {
        name: "easyr1",
        summary: "EasyR1, PAPO: problem, answer, images",
        signs: &["problem", "answer"],
        map: columns::easyr1,
    },
    Format { name: "koniq", summary: "KonIQ-10k CSV", signs: &["image_name", "MOS"], map: iqa::koniq },
    Format { name: "spaq", summary: "SPAQ xlsx", signs: &["Image name", "MOS"], map: iqa::spaq },
    Format { name: "kadid", summary: "KADID-10k CSV", signs: &["dist_img", "dmos"], map: iqa::kadid },
    Format { name: "flive", summary: "FLIVE CSV", signs: &["name", "mos"], map: iqa::flive },
    Format { name: "csiq", summary: "CSIQ text", signs: &["no sign"], map: iqa::csiq },
    Format { name: "pipal", summary: "PIPAL text", signs: &["no sign"], map: iqa::pipal },
];

/// The format called `name`.
pub fn named(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|f| f.name == name)
}

/// The first format whose signs `columns` show.
pub fn detect(columns: &[&str]) -> Option<&'static Format> {
    FORMATS.iter().find(|f| f.signs.iter().all(|sign| columns.contains(sign)))
}

/// A sample whose id is not settled yet.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The source's own id.
    pub id: Option<String>,
    /// As [`Sample::problem`].
    pub problem: String,
    /// As [`Sample::answer`].
    pub answer: String,
    /// As [`Sample::choices`].
    pub choices: Vec<String>,
    /// As [`Sample::images`].
    pub images: Vec<ImageRef>,
    /// What the format adds to `meta`.
    pub meta: Map<String, Value>,
}

impl Format {
    /// Reads a row. `rename` holds `(ours, theirs)` pairs of `--map`; `number` names a row that has no id.
    ///
    /// # Errors
    /// What is wrong with the row.
    pub fn sample(
        &self,
        fields: Fields,
        rename: &[(String, String)],
        store: &ImageStore,
        number: &str,
    ) -> Mapped<Sample> {
        let mut columns = Columns { fields };
        for (ours, theirs) in rename {
            columns.rename(ours, theirs)?;
        }
        let mut draft = (self.map)(&mut columns, store)?;
        let id = draft.id.take().or_else(|| columns.id()).unwrap_or_else(|| number.to_owned());
        let mut meta = columns.rest();
        meta.extend(draft.meta);
        let Draft { problem, answer, choices, images, .. } = draft;
        Ok(Sample { id, problem, answer, choices, images, meta })
    }
}

/// The columns of a row, taken one by one.
#[derive(Debug)]
pub(crate) struct Columns {
    fields: Fields,
}

impl Columns {
    fn rename(&mut self, ours: &str, theirs: &str) -> Mapped<()> {
        if !self.fields.iter().any(|(name, _)| name == theirs) {
            return Err(Fault::new(theirs, format!("is missing (mapped to `{ours}`)")));
        }
        self.fields.retain(|(name, _)| name != ours || name == theirs);
        if let Some(field) = self.fields.iter_mut().find(|(name, _)| name == theirs) {
            field.0 = ours.to_owned();
        }
        Ok(())
    }

    /// Removes and returns a column that is there and not null.
    fn take(&mut self, name: &str) -> Option<Cell> {
        let at = self.fields.iter().position(|(n, _)| n == name)?;
        let (_, cell) = self.fields.remove(at);
        (!cell.is_null()).then_some(cell)
    }

    fn get(&self, name: &str) -> Option<&Cell> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, cell)| cell)
    }

    /// The first of several spellings.
    fn take_any(&mut self, names: &[&str]) -> Option<Cell> {
        names.iter().find_map(|name| self.take(name))
    }

    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(n, cell)| n == name && !cell.is_null())
    }

    /// A column that must hold text which is not blank.
    fn text(&mut self, name: &str) -> Mapped<String> {
        match self.take(name) {
            Some(Cell::Json(Value::String(text))) if !text.trim().is_empty() => Ok(text),
            Some(Cell::Json(Value::String(_))) => Err(Fault::new(name, "is empty")),
            Some(Cell::Json(other)) => {
                Err(Fault::new(name, format!("expected a string, found {}", crate::read::kind(&other))))
            }
            Some(_) => Err(Fault::new(name, "expected a string, found bytes")),
            None => Err(Fault::new(name, "is missing or null")),
        }
    }

    fn id(&mut self) -> Option<String> {
        const NAMES: [&str; 8] =
            ["id", "qid", "question_id", "Question_id", "pid", "uid", "__key__", "index"];
        match self.take_any(&NAMES)? {
            Cell::Json(Value::String(id)) if !id.is_empty() => Some(id),
            Cell::Json(Value::Number(id)) => Some(id.to_string()),
            _ => None,
        }
    }

    /// What nobody took. Bytes cannot be metadata and are left out.
    fn rest(self) -> Map<String, Value> {
        let json = |(name, cell)| match cell {
            Cell::Bytes(_) => None,
            other => Some((name, other.into_json())),
        };
        self.fields.into_iter().filter_map(json).collect()
    }
}
