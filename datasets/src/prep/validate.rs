//! Validate: what is wrong with each row, nothing written.

use super::check::{self, Filter};
use super::chunks::Chunks;
use super::import::{Hooks, Progress};
use super::measure::Measure;
use super::records::{self, Record, SourceSpec};
use super::reject::{Kind, Reject};
use crate::{DecodeLimits, Result};
use rayon::prelude::*;

/// What a validation saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows read.
    pub rows: u64,
    /// Rows at fault.
    pub bad: u64,
}

/// Checks every row of `spec` and tells each fault to `found`, in the order of the rows. `hooks` may bring a measure,
/// for a limit on tokens, and a progress; its transform and its stop are not used.
///
/// # Errors
/// The source cannot be opened, or the filter cannot be meant.
pub fn validate(
    spec: &SourceSpec,
    filter: &Filter,
    hooks: Hooks,
    mut found: impl FnMut(Reject),
) -> Result<Summary> {
    filter.check()?;
    let mut chunks = Chunks::new(records::open(spec)?, (0, 1));
    let mut summary = Summary::default();
    while let Some(chunk) = chunks.next() {
        let check = |record| match record {
            Ok(record) => fault(&record, filter, hooks.measure),
            Err(reject) => Some(reject),
        };
        summary.rows += chunk.rows;
        for fault in chunk.records.into_par_iter().map(check).collect::<Vec<_>>().into_iter().flatten() {
            summary.bad += fault.rows;
            found(fault);
        }
        if let Some(progress) = hooks.progress {
            progress(Progress { rows: summary.rows, share: chunks.share() });
        }
    }
    Ok(summary)
}

fn fault(record: &Record, filter: &Filter, measure: Option<&dyn Measure>) -> Option<Reject> {
    let checked = match &record.sample {
        Ok(sample) => check::check(sample, filter, DecodeLimits::default())
            .and_then(|_| measure.map_or(Ok(()), |measure| check::tokens(sample, filter, measure))),
        Err(reason) => Err((Kind::Broken, reason.clone())),
    };
    checked.err().map(|(kind, reason)| record.reject(kind, reason))
}
