//! Statistics on slices of numbers: intervals, tests, correlations, fits.
//!
//! Knows nothing of records, tasks or models. Every function states its source; `tests/golden/stats` holds what scipy
//! and statsmodels say to the same numbers.

mod bootstrap;
mod correlation;
mod logistic;
mod proportion;
mod tests_of;

pub use bootstrap::Bootstrap;
pub use correlation::{kendall, pearson, ranks, rmse, spearman};
pub use logistic::{Fit, Logistic};
pub use proportion::wilson;
pub use tests_of::{holm, mcnemar};

use serde::{Deserialize, Serialize};

/// The confidence of every interval that a summary states.
pub const CONFIDENCE: f64 = 0.95;

/// Where a number lies, as far as the data say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
