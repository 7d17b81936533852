//! One kind of picture: its counts, its metrics, and how its answers moved from the clean ones.

use super::run::paired;
use super::{Counts, METRICS, Run, length, mean};
use crate::record::{Record, Verdict};
use crate::stats::{Interval, holm, mcnemar};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a summary says of one kind of picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellSummary {
    /// The corruption, `None` for clean pictures.
    pub corruption: Option<String>,
    /// 0 for clean pictures, else 1 to 5.
    pub severity: u8,
    /// Whether the model was trained on it, where that is known.
    pub seen: Option<bool>,
    /// Outcomes.
    pub counts: Counts,
    /// Wilson's interval of the accuracy.
    pub interval: Option<Interval>,
    /// [`METRICS`] by name, those that are defined.
    pub metrics: BTreeMap<String, f64>,
    /// What changed from the clean pictures; `None` for those, and where there is no pair.
    pub drift: Option<Drift>,
}

/// How answers to the same questions changed from clean to corrupted pictures. Shares are of the pairs of which both
/// answers came.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Pairs.
    pub pairs: usize,
    /// Another answer than before, right or wrong.
    pub flip: f64,
    /// Right before, and not now.
    #[serde(rename = "break")]
    pub broken: f64,
    /// Right now, and not before.
    pub fix: f64,
    /// The share of unparsed responses now, less that before.
    pub unparsed: f64,
    /// The mean length of a response now, over that before; `None` where that was 0.
    pub length: Option<f64>,
    /// McNemar's exact p-value: as many broken as fixed?
    pub p: f64,
    /// The same, for as many cells as there are (Holm).
    pub p_holm: f64,
}

impl CellSummary {
    /// Clean pictures first, where there are any, then every corruption and severity.
    pub fn all(run: &Run) -> Vec<Self> {
        let clean = run.clean();
        let first = (!clean.is_empty()).then(|| Self::of(&clean, &[]));
        let corrupted = run.corrupted();
        let mut cells: Vec<Self> =
            first.into_iter().chain(corrupted.values().map(|records| Self::of(records, &clean))).collect();
        let raw: Vec<f64> = cells.iter().filter_map(|cell| Some(cell.drift?.p)).collect();
        let drifts = cells.iter_mut().filter_map(|cell| cell.drift.as_mut());
        drifts.zip(holm(&raw)).for_each(|(drift, p)| drift.p_holm = p);
        cells
    }

    fn of(records: &[&Record], clean: &[&Record]) -> Self {
        let counts = Counts::of(records);
        let value = |metric: &super::Metric| Some((metric.name.to_owned(), (metric.of)(records)?));
        let first = records.first();
        Self {
            corruption: first.and_then(|record| record.corruption.clone()),
            severity: first.map_or(0, |record| record.severity),
            seen: first.and_then(|record| record.seen),
            counts,
            interval: counts.interval(),
            metrics: METRICS.iter().filter_map(value).collect(),
            drift: Drift::of(clean, records),
        }
    }
}

impl Drift {
    fn of(clean: &[&Record], now: &[&Record]) -> Option<Self> {
        let pairs = paired(clean, now);
        let share = |what: fn(&Record, &Record) -> bool| {
            pairs.iter().filter(|[a, b]| what(a, b)).count() as f64 / pairs.len() as f64
        };
        let (broken, fix) = (share(breaks), share(|a, b| breaks(b, a)));
        let (before, after) = (share(|a, _| unparsed(a)), share(|_, b| unparsed(b)));
        let side = |i: usize| pairs.iter().map(|pair| pair[i]).collect::<Vec<_>>();
        let lengths = mean(&side(0), length).zip(mean(&side(1), length));
        let count = |share: f64| (share * pairs.len() as f64).round() as u64;
        let p = mcnemar(count(broken), count(fix));
        (!pairs.is_empty()).then(|| Self {
            pairs: pairs.len(),
            flip: share(flips),
            broken,
            fix,
            unparsed: after - before,
            length: lengths.filter(|(before, _)| *before > 0.).map(|(before, now)| now / before),
            p,
            p_holm: p,
        })
    }
}

fn unparsed(record: &Record) -> bool {
    record.outcome == Verdict::Unparsed
}

/// Right before, and not now.
pub(super) fn breaks(before: &Record, now: &Record) -> bool {
    before.outcome == Verdict::Right && now.outcome != Verdict::Right
}

/// Another answer: another text, or one that is read where the other is not.
pub(super) fn flips(before: &Record, now: &Record) -> bool {
    before.parsed != now.parsed
}
