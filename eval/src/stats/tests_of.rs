//! Tests: is a difference more than chance, and are many.

use statrs::function::factorial::ln_factorial;

/// The exact two-sided p-value of McNemar's test on the discordant pairs: `b` right before and wrong after, `c` the
/// other way round. Under no difference either is binomial with p = 1/2; the tail is summed, not approximated.
pub fn mcnemar(b: u64, c: u64) -> f64 {
    let (n, few) = (b + c, b.min(c));
    let ln_half = -std::f64::consts::LN_2;
    let term = |k: u64| (ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k) + n as f64 * ln_half).exp();
    (2. * (0..=few).map(term).sum::<f64>()).min(1.)
}

/// p-values adjusted for having made all these tests (Holm 1979), in the order given. Reject where the adjusted value
/// is below the level; the chance of any false rejection is then below it.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    let mut adjusted = vec![1.; p.len()];
    let mut floor = 0f64;
    for (rank, &i) in order.iter().enumerate() {
        floor = floor.max((p.len() - rank) as f64 * p[i]).min(1.);
        adjusted[i] = floor;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pair_that_differs_is_no_evidence() {
        assert_eq!(mcnemar(0, 0), 1.);
        assert_eq!(mcnemar(7, 7), 1.);
        assert!((mcnemar(0, 5) - 2. / 32.).abs() < 1e-15);
        assert_eq!(mcnemar(3, 9), mcnemar(9, 3));
    }

    #[test]
    fn holm_keeps_the_order_and_stops_at_one() {
        assert_eq!(holm(&[]), [0f64; 0]);
        assert_eq!(holm(&[0.5, 0.01, 0.5]), [1., 0.03, 1.]);
    }
}
