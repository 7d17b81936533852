//! Validate: what is wrong with each row, nothing written.

use super::check::{self, Filter};
use super::records::{self, Record, SourceSpec};
use super::reject::{Kind, Reject};
use crate::{DecodeLimits, Result};
use rayon::prelude::*;
use std::collections::HashSet;

/// Rows checked at a time.
const CHUNK: usize = 256;

/// What a validation saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows read.
    pub rows: u64,
    /// Rows at fault.
    pub bad: u64,
}

/// Checks every row of `spec` and tells each fault to `found`, in the order of the rows.
///
/// # Errors
/// The source cannot be opened.
pub fn validate(spec: &SourceSpec, filter: &Filter, mut found: impl FnMut(Reject)) -> Result<Summary> {
    let mut records = records::open(spec)?;
    let mut summary = Summary::default();
    let mut ids = HashSet::new();
    loop {
        let chunk: Vec<Record> = records.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            return Ok(summary);
        }
        summary.rows += chunk.iter().map(|r| r.count).sum::<u64>();
        let faults: Vec<Option<Reject>> = chunk.par_iter().map(|record| fault(record, filter)).collect();
        for (record, fault) in chunk.iter().zip(faults) {
            let twice = record.sample.as_ref().is_ok_and(|s| !ids.insert(s.id.clone()));
            let fault =
                fault.or_else(|| twice.then(|| record.reject(Kind::Duplicate, "this id was seen before")));
            if let Some(fault) = fault {
                summary.bad += fault.rows;
                found(fault);
            }
        }
    }
}

fn fault(record: &Record, filter: &Filter) -> Option<Reject> {
    let checked = match &record.sample {
        Ok(sample) => check::check(sample, filter, DecodeLimits::default()).map(|_| ()),
        Err(reason) => Err((Kind::Broken, reason.clone())),
    };
    checked.err().map(|(kind, reason)| record.reject(kind, reason))
}
