//! The tasks, one module each; [`crate::TASKS`] is their table.

pub(crate) use easy_vqa::ENTRY as EASY_VQA;
pub(crate) use shapes::ENTRY as SHAPES;

mod easy_vqa;
mod shapes;
