//! The bootstrap over clusters: answers about one image stand or fall together, so images are drawn, not answers.

use super::Interval;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// How to resample. The same values give the same interval on any number of threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Draws; the ends of an interval wobble by about 1/sqrt of it.
    pub resamples: u64,
    /// As [`super::CONFIDENCE`].
    pub confidence: f64,
    /// Decides the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 2_000, confidence: super::CONFIDENCE, seed: 0 }
    }
}

impl Bootstrap {
    /// The percentile interval (Efron 1979) of a statistic of `clusters` clusters. `statistic` gets how often each was
    /// drawn and is `None` where the draw does not define it (a ratio without a denominator); such draws are left out.
    /// `None` without clusters, or where no draw defines it.
    pub fn interval(
        &self,
        clusters: usize,
        statistic: impl Fn(&[u32]) -> Option<f64> + Sync,
    ) -> Option<Interval> {
        if clusters == 0 {
            return None;
        }
        let draw = |number: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(number);
            let mut times = vec![0; clusters];
            for _ in 0..clusters {
                times[rng.random_range(0..clusters)] += 1;
            }
            statistic(&times)
        };
        let mut values: Vec<f64> =
            (0..self.resamples).into_par_iter().filter_map(draw).filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let tail = (1. - self.confidence) / 2.;
        Some(Interval { low: quantile(&values, tail)?, high: quantile(&values, 1. - tail)? })
    }
}

/// The quantile of sorted values with linear interpolation, numpy's default.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let at = share * (sorted.len().checked_sub(1)?) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(low + (high - low) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_holds_the_mean_and_repeats() {
        let values: Vec<f64> = (0..100).map(|i| f64::from(i % 7)).collect();
        let mean = |times: &[u32]| {
            let sum: f64 = times.iter().zip(&values).map(|(&n, v)| f64::from(n) * v).sum();
            Some(sum / 100.)
        };
        let boot = Bootstrap::default();
        let got = boot.interval(100, mean).unwrap();
        assert!(got.low < 2.95 && got.high > 2.95 && got.high - got.low < 1., "{got:?}");
        assert_eq!(boot.interval(100, mean), Some(got));
        assert_ne!(Bootstrap { seed: 1, ..boot }.interval(100, mean), Some(got));
        assert_eq!(boot.interval(0, mean), None);
        assert_eq!(boot.interval(5, |_| None), None);
    }
}
