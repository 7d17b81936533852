//! Getting data ready: import, validate, stats, sheet. Library functions with progress callbacks; the command line is a
//! thin caller.

pub mod check;
pub mod export;
pub mod import;
pub mod records;
pub mod sheet;
pub mod stats;
pub mod validate;

mod parts;
mod reject;

pub use check::Filter;
pub use import::{Hooks, ImportOptions, Report, import};
pub use records::{Record, SourceSpec};
pub use reject::{Kind, Reject};
