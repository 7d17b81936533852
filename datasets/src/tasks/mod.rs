//! The tasks, one module each; [`crate::TASKS`] is their table.

pub(crate) use charts::ENTRY as CHARTS;
pub use data::{DataOptions, Grader, open_data};
pub(crate) use data::{ENTRY as DATA, imported};
pub(crate) use digits::ENTRY as DIGITS;
pub(crate) use easy_vqa::ENTRY as EASY_VQA;
pub(crate) use prior::ENTRY as PRIOR;
pub(crate) use quality::ENTRY as QUALITY;
pub(crate) use search::ENTRY as SEARCH;
pub(crate) use shapes::ENTRY as SHAPES;

mod charts;
mod data;
mod digits;
mod easy_vqa;
mod prior;
mod quality;
mod search;
mod shapes;
