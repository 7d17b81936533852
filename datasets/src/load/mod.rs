//! Feeding a trainer: mixtures of tasks in a seeded order that can be resumed, and work done ahead of need.

mod mixture;
mod prefetch;
mod shuffle;

pub use mixture::{Cursor, Draw, Mixture, Part};
pub use prefetch::{Lost, Prefetch};
pub(crate) use shuffle::mix;
