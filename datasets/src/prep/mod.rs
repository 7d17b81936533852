//! Getting data ready: import, validate, stats, sheet. Library functions with progress callbacks; the command line is a
//! thin caller.

pub mod check;
pub mod export;
pub mod import;
pub mod measure;
pub mod records;
pub mod sheet;
pub mod stats;
pub mod validate;

mod chunks;
mod language;
mod parts;
mod reject;
mod row;

pub use check::Filter;
pub use import::{Hooks, ImportOptions, Progress, Report, import};
pub use measure::Measure;
pub use records::{Record, SourceSpec};
pub use reject::{Kind, Reject};
