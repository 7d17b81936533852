//! How well scores follow the truth, as metrics of a step; the statistics are [`foveate_eval::stats`]'.

use crate::log::Metrics;
use foveate_eval::stats::{kendall, pearson, rmse, spearman};

type Statistic = fn(&[f64], &[f64]) -> Option<f64>;

const STATISTICS: [(&str, Statistic); 4] =
    [("plcc", pearson), ("srcc", spearman), ("krcc", kendall), ("rmse", rmse)];

/// `PREFIX/plcc`, `/srcc`, `/krcc`, `/rmse` of pairs (said, truth); NaN with fewer than two pairs, and a
/// correlation of 0 where one side is constant.
pub(crate) fn correlations(prefix: &str, pairs: &[(f64, f64)]) -> Metrics {
    let (said, truth): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let mut metrics = Metrics::default();
    for (name, of) in STATISTICS {
        let value = if pairs.len() < 2 { f64::NAN } else { of(&said, &truth).unwrap_or(0.0) };
        metrics.put(format!("{prefix}/{name}"), value);
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_are_those_of_scipy() {
        // scipy 1.17.1: pearsonr, spearmanr, kendalltau of the two columns.
        let pairs = [(1.0, 2.0), (2.0, 1.0), (2.0, 3.0), (4.0, 3.0), (5.0, 5.0), (3.5, 4.0)];
        let metrics = correlations("s", &pairs);
        for (name, expected) in SCIPY {
            let found = metrics.get(&format!("s/{name}")).unwrap();
            assert!((found - expected).abs() < 1e-12, "{name}: {found}, expected {expected}");
        }
        assert_eq!(correlations("s", &[(1.0, 2.0), (1.0, 3.0)]).get("s/plcc"), Some(0.0));
        assert!(correlations("s", &pairs[..1]).get("s/rmse").unwrap().is_nan());
    }

    const SCIPY: [(&str, f64); 4] = [
        ("plcc", 0.802_875_871_743_266),
        ("srcc", 0.779_411_764_705_882_5),
        ("krcc", 0.642_857_142_857_142_9),
        ("rmse", 0.841_625_411_530_173_2),
    ];
}
