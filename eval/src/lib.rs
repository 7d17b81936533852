//! Policy x task x corruption to records, metrics and reports.
//!
//! A record remembers one answer; every number and every report is made of records alone. To add a metric: a
//! function and a line in [`METRICS`].

mod error;
pub mod policy;
pub mod record;
pub mod report;
pub mod settings;
pub mod store;
pub mod sweep;

pub use error::{Error, Result};
pub use record::{Record, Verdict};
pub use store::{Records, Store};

/// A number made of records.
#[derive(Debug)]
pub struct Metric {
    /// The name in summaries.
    pub name: &'static str,
    /// `None` where the records do not define it.
    pub of: fn(&[Record]) -> Option<f64>,
}

/// Every metric.
pub const METRICS: &[Metric] = &[
    Metric { name: "accuracy", of: |records| share(records, Verdict::Right) },
    Metric { name: "unparsed", of: |records| share(records, Verdict::Unparsed) },
];

/// The share of a verdict among the answers that came.
fn share(records: &[Record], verdict: Verdict) -> Option<f64> {
    let came = records.iter().filter(|record| record.outcome != Verdict::Failed).count();
    let counted = records.iter().filter(|record| record.outcome == verdict).count();
    (came > 0).then(|| counted as f64 / came as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_is_no_wrong_answer() {
        let all = [Verdict::Right, Verdict::Wrong, Verdict::Unparsed, Verdict::Right, Verdict::Failed];
        let records = all.map(|outcome| Record { outcome, ..Record::default() });
        let values: Vec<_> = METRICS.iter().map(|metric| (metric.of)(&records)).collect();
        assert_eq!(values, [Some(0.5), Some(0.25)]);
        assert!(METRICS.iter().all(|metric| (metric.of)(&records[4..]).is_none()));
    }
}
