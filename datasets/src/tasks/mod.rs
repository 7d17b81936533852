//! The tasks, one module each; [`crate::TASKS`] is their table.

pub(crate) use charts::ENTRY as CHARTS;
pub use data::{DataOptions, Grader, open_data};
pub(crate) use data::{ENTRY as DATA, imported};
pub(crate) use digits::ENTRY as DIGITS;
pub(crate) use easy_vqa::ENTRY as EASY_VQA;
pub(crate) use hr_bench::{ENTRY_4K as HR_BENCH_4K, ENTRY_8K as HR_BENCH_8K};
pub(crate) use mathvista::ENTRY as MATHVISTA;
pub(crate) use mme_realworld::{
    ENTRY as MME_REALWORLD, ENTRY_CN as MME_REALWORLD_CN, ENTRY_LITE as MME_REALWORLD_LITE,
};
pub(crate) use prior::ENTRY as PRIOR;
pub(crate) use quality::ENTRY as QUALITY;
pub(crate) use search::ENTRY as SEARCH;
pub(crate) use shapes::ENTRY as SHAPES;
pub(crate) use vstar::ENTRY as VSTAR;

mod benchmark;
mod charts;
mod data;
mod digits;
mod easy_vqa;
mod hr_bench;
mod mathvista;
mod mme_realworld;
mod prior;
mod quality;
mod search;
mod shapes;
mod vstar;
