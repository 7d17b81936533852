//! How well scores follow the truth: Pearson's, Spearman's and Kendall's (tau-b) correlation and the root
//! of the mean squared error, as `scipy.stats` defines them.

use crate::log::Metrics;

/// `PREFIX/plcc`, `/srcc`, `/krcc`, `/rmse` of pairs (said, truth); NaN with fewer than two pairs, and a
/// correlation of 0 where one side is constant.
pub(crate) fn correlations(prefix: &str, pairs: &[(f64, f64)]) -> Metrics {
    let mut metrics = Metrics::default();
    if pairs.len() < 2 {
        let names = ["plcc", "srcc", "krcc", "rmse"];
        names.iter().for_each(|name| metrics.put(format!("{prefix}/{name}"), f64::NAN));
        return metrics;
    }
    let (said, truth): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    metrics.put(format!("{prefix}/plcc"), pearson(&said, &truth));
    metrics.put(format!("{prefix}/srcc"), pearson(&ranks(&said), &ranks(&truth)));
    metrics.put(format!("{prefix}/krcc"), kendall(pairs));
    let squares: f64 = pairs.iter().map(|(s, t)| (s - t).powi(2)).sum();
    metrics.put(format!("{prefix}/rmse"), (squares / pairs.len() as f64).sqrt());
    metrics
}

fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (mx, my) = (mean(x), mean(y));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        (xy, xx, yy) = (xy + (x - mx) * (y - my), xx + (x - mx).powi(2), yy + (y - my).powi(2));
    }
    if xx > 0.0 && yy > 0.0 { xy / (xx * yy).sqrt() } else { 0.0 }
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let mut ranks = vec![0.0; x.len()];
    let mut first = 0;
    for tie in order.chunk_by(|&a, &b| x[a] == x[b]) {
        let rank = first as f64 + (tie.len() as f64 + 1.0) / 2.0;
        tie.iter().for_each(|&i| ranks[i] = rank);
        first += tie.len();
    }
    ranks
}

fn kendall(pairs: &[(f64, f64)]) -> f64 {
    let (mut agree, mut x_untied, mut y_untied) = (0i64, 0i64, 0i64);
    for (i, a) in pairs.iter().enumerate() {
        for b in &pairs[..i] {
            let sign = |u: f64, v: f64| i64::from(u > v) - i64::from(u < v);
            let (x, y) = (sign(a.0, b.0), sign(a.1, b.1));
            agree += x * y;
            x_untied += x * x;
            y_untied += y * y;
        }
    }
    if x_untied > 0 && y_untied > 0 { agree as f64 / (x_untied as f64 * y_untied as f64).sqrt() } else { 0.0 }
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
