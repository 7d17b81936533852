//! Policy x task x corruption to records, metrics and reports.
//!
//! A record remembers one answer; every number and every report is made of records alone.

pub mod elsewhere;
mod error;
pub mod extract;
mod grade;
pub mod likelihood;
pub mod metrics;
pub mod policy;
pub mod record;
pub mod report;
pub mod server;
pub mod settings;
pub mod stats;
pub mod store;
pub mod sweep;

pub use elsewhere::{Disagreement, Elsewhere, elsewhere};
pub use error::{Error, Result};
pub use grade::grade;
pub use metrics::{METRICS, Metric, Summary};
pub use record::{Record, Verdict};
pub use store::{Records, Store};
