//! Statistics against scipy and statsmodels (tests/golden/stats/make.py).
#![allow(clippy::unwrap_used)] // tests may panic, also in their helpers

use foveate_eval::stats::{self, Bootstrap, Logistic};
use serde_json::Value;

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/stats/golden.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(what: &str, got: f64, want: f64, within: f64) {
    assert!((got - want).abs() <= within * want.abs().max(1.), "{what}: {got}, the oracle says {want}");
}

#[test]
fn wilson_is_that_of_statsmodels() {
    for case in golden()["wilson"].as_array().unwrap() {
        let case = numbers(case);
        let got = stats::wilson(case[0] as usize, case[1] as usize, case[2]).unwrap();
        close("low", got.low, case[3], 1e-12);
        close("high", got.high, case[4], 1e-12);
    }
    assert_eq!(stats::wilson(0, 0, 0.95), None);
}

#[test]
fn mcnemar_is_that_of_statsmodels() {
    for case in golden()["mcnemar"].as_array().unwrap() {
        let case = numbers(case);
        close("p", stats::mcnemar(case[0] as u64, case[1] as u64), case[2], 1e-11);
    }
}

#[test]
fn holm_is_that_of_statsmodels() {
    for case in golden()["holm"].as_array().unwrap() {
        for (got, want) in stats::holm(&numbers(&case[0])).into_iter().zip(numbers(&case[1])) {
            close("adjusted p", got, want, 1e-12);
        }
    }
}

#[test]
fn correlations_are_those_of_scipy() {
    for case in golden()["correlation"].as_array().unwrap() {
        let (x, y) = (numbers(&case["x"]), numbers(&case["y"]));
        let want = |name: &str| case[name].as_f64().unwrap();
        close("PLCC", stats::pearson(&x, &y).unwrap(), want("pearson"), 1e-12);
        close("SRCC", stats::spearman(&x, &y).unwrap(), want("spearman"), 1e-12);
        close("KRCC", stats::kendall(&x, &y).unwrap(), want("kendall"), 1e-12);
        close("RMSE", stats::rmse(&x, &y).unwrap(), want("rmse"), 1e-12);
        assert_eq!(stats::ranks(&x), numbers(&case["ranks"]));
    }
    for bad in [[1., 1., 1.], [1., f64::NAN, 2.]] {
        assert_eq!(stats::pearson(&bad, &[1., 2., 3.]), None);
    }
    assert_eq!(stats::kendall(&[1., 1.], &[1., 2.]), None);
    assert_eq!(stats::pearson(&[1.], &[1.]), None);
}

#[test]
fn curves_are_fitted_as_scipy_fits_them() {
    for case in golden()["correlation"].as_array().unwrap() {
        let (x, y) = (numbers(&case["x"]), numbers(&case["y"]));
        for (name, curve) in [("four", Logistic::Four), ("five", Logistic::Five)] {
            let want = &case[name];
            if want.is_null() {
                continue;
            }
            let fit = curve.fit(&x, &y).unwrap();
            let cost: f64 = fit.fitted.iter().zip(&y).map(|(f, y)| (f - y).powi(2)).sum();
            close("squared error", cost, want["cost"].as_f64().unwrap(), 1e-8);
            let plcc = stats::pearson(&fit.fitted, &y).unwrap();
            close("fitted PLCC", plcc, want["pearson"].as_f64().unwrap(), 1e-8);
            let rmse = stats::rmse(&fit.fitted, &y).unwrap();
            close("fitted RMSE", rmse, want["rmse"].as_f64().unwrap(), 1e-8);
        }
    }
    assert_eq!(Logistic::Four.fit(&[1., 2., 3.], &[1., 2., 3.]), None, "fewer points than parameters");
    assert_eq!(Logistic::Five.fit(&[1.; 9], &[2.; 9]), None, "nothing to fit along");
}

#[test]
fn a_bootstrap_is_that_of_scipy_within_its_own_noise() {
    let golden = &golden()["bootstrap"];
    let lists = |name: &str| golden[name].as_array().unwrap().iter().map(numbers).collect::<Vec<_>>();
    let (clusters, base) = (lists("clusters"), lists("base"));
    let total = |times: &[u32], of: &[Vec<f64>], value: fn(&[f64]) -> f64| -> f64 {
        times.iter().zip(of).map(|(&n, list)| f64::from(n) * value(list)).sum()
    };
    let sum = |list: &[f64]| list.iter().sum::<f64>();
    let mean =
        |times: &[u32]| Some(total(times, &clusters, sum) / total(times, &clusters, |l| l.len() as f64));
    let ratio = |times: &[u32]| Some(total(times, &clusters, sum) / total(times, &base, sum));
    let boot = Bootstrap { resamples: 4_000, ..Bootstrap::default() };
    for (name, got) in [("mean", boot.interval(80, mean)), ("ratio", boot.interval(80, ratio))] {
        let (want, spread) = (numbers(&golden[name]["interval"]), numbers(&golden[name]["spread"]));
        let got = got.unwrap();
        // Five standard deviations of one run; the oracle is the mean of eight.
        for (got, (want, spread)) in [got.low, got.high].into_iter().zip(want.iter().zip(&spread)) {
            assert!((got - want).abs() < 5. * spread, "{name}: {got}, scipy says {want} ± {spread}");
        }
    }
}
