//! Looking closer: a model says where in the image the question is about, and is shown that part.
//!
//! A [`Protocol`] has the rules, a [`Dialogue`] is one conversation under them: messages and pictures in, a
//! reply's text in, the next turn out. It runs no model, so whoever can answer messages can follow it: a model
//! of this process, whose tokens are then kept as they are ([`crate::generate::Conversations`]), or a server.
//! Source of the rules: MGPO (arXiv:2507.05920) and its authors' code; docs/methods.md says where this differs.

mod crop;
mod dialogue;
mod frame;
mod note;
mod reply;
mod script;
mod validity;

pub use crop::{Region, crop};
pub use dialogue::{Dialogue, Next, Protocol, Turn};
pub use frame::{Frame, Sizes};
pub use note::note;
pub use reply::{Found, find};
pub use script::{SCRIPTS, Script};
pub use validity::{Refusal, Rules};
