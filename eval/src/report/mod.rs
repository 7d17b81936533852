//! What evaluations came to, for people: one HTML file that needs nothing else, Markdown and JSON beside it.
//!
//! Decides what a reader sees first. Every number is the summary's; pictures are made again from the task, with
//! the same draws as when they were asked about. Knows no model.

mod curves;
mod exhibits;
mod figures;
mod gather;
mod lead;
mod markdown;
mod page;
mod sentence;
mod svg;
mod tables;
mod text;
mod training;

pub use exhibits::{Exhibit, Shot};
pub use gather::{Options, Report};
pub use markdown::brief;
pub use training::Training;
