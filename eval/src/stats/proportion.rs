//! The interval of a share.

use super::Interval;
use statrs::distribution::{ContinuousCDF, Normal};

/// Wilson's score interval of `hits` out of `of`, without continuity correction (Wilson 1927); `None` of nothing.
/// statsmodels calls it `proportion_confint(hits, of, 1 - confidence, "wilson")`.
pub fn wilson(hits: usize, of: usize, confidence: f64) -> Option<Interval> {
    if of == 0 {
        return None;
    }
    let z = Normal::standard().inverse_cdf(0.5 + confidence / 2.);
    let (n, share) = (of as f64, hits as f64 / of as f64);
    let middle = (share + z * z / (2. * n)) / (1. + z * z / n);
    let half = z / (1. + z * z / n) * (share * (1. - share) / n + z * z / (4. * n * n)).sqrt();
    Some(Interval { low: (middle - half).max(0.), high: (middle + half).min(1.) })
}
