//! Files of the Hugging Face hub, by name, through the cache that everybody shares.
//!
//! Decides which words mean the hub ([`Name`]), what the environment says of it ([`Settings`]), and how files come
//! here whole: resumed where they broke off, checked against what the hub says of them, never twice
//! ([`Snapshot::fetch`]). Knows neither models nor data sets: which files are wanted is the caller's word.
//!
//! The cache is Python's, down to its locks, so a file that either has fetched serves both. Where things lie
//! in it is the crate hf-hub's to know ([`layout`]). The transfer is our own, as neither line of that crate
//! has what is asked of it here:
//! - 0.5 writes the token to whatever host a file is redirected to, appends a whole file to a part where a
//!   server does not resume, compares neither size nor hash, and knows none of `HF_HUB_OFFLINE`, `HF_TOKEN`
//!   and `HF_HUB_CACHE`;
//! - 1.0 brings an asynchronous runtime and a second HTTP client, and its plain downloads start from zero.

mod download;
mod error;
mod http;
mod layout;
mod listing;
mod name;
mod observer;
mod settings;
mod snapshot;

pub use error::{Error, Reason, Result};
pub use name::{Kind, Name};
pub use observer::{Observer, Silent};
pub use settings::Settings;
pub use snapshot::{Hub, Snapshot};
