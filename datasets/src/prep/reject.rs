//! A row that does not come through, and why.

use serde::{Deserialize, Serialize};

/// Whose decision it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The row cannot be used.
    Broken,
    /// Its id was seen before.
    Duplicate,
    /// A filter that the user set.
    Filtered,
}

/// One line of `rejects.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The file it came from.
    pub file: String,
    /// Zero-based row in that file.
    pub row: u64,
    /// Rows this stands for.
    pub rows: u64,
    /// The row's id, where it got that far.
    pub id: Option<String>,
    /// Whose decision.
    pub kind: Kind,
    /// What is wrong, with the field and the values that differ.
    pub reason: String,
}
