//! Reinforcement-learning objectives: tensors in, scalar out.
//!
//! ```text
//! loss = reduce( surrogate(ratio, advantage) ) + Σᵢ weightᵢ · reduceᵢ(termᵢ)
//! ```
//!
//! A term may stand in the reward instead: then it is taken off before advantages are made.
//! Advantage, ratio, surrogate, reduction and terms are separate values, each a row of one table:
//! [`advantage::ADVANTAGES`], [`ratio::RATIOS`], [`surrogate::SURROGATES`],
//! [`reduction::REDUCTIONS`], [`terms::TERMS`], [`group_weight::GROUP_WEIGHTS`]. A published method is a choice of rows, not code.
//! To add a row: one file, its `mod` line and one line in the table; the laws in `tests/laws/`
//! loop over the tables.
//!
//! Tensors are flat: `_n` is a scored token of the pack, `_s` a sequence, `_g` a rollout of one
//! group. Nothing here is padded, and nothing here knows a model, an image or a tokenizer.

pub mod advantage;
mod batch;
mod diagnostics;
mod error;
pub mod group_weight;
pub mod kl;
mod objective;
pub mod ratio;
pub mod reduction;
mod spec;
mod spread;
pub mod surrogate;
mod table;
pub mod terms;
mod totals;

pub use advantage::{Advantage, Outcome};
pub use batch::{Batch, Branch, Sequences, Signal};
pub use diagnostics::Diagnostics;
pub use error::{Error, Result};
pub use group_weight::GroupWeight;
pub use objective::{Loss, Objective};
pub use ratio::Ratio;
pub use reduction::Reduction;
pub use spec::{Anneal, AnnealShape, ObjectiveSpec, Place, TermSpec};
pub use spread::Spread;
pub use surrogate::Surrogate;
pub use table::{Entry, Named};
pub use terms::Term;
pub use totals::{Count, Scope, Totals};
