//! ImageNet-C's mean corruption error, with a stored evaluation in the place of AlexNet.

use super::{CellSummary, RunSummary};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Error rates, clean and of each corruption at each severity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors {
    /// Of clean pictures.
    pub clean: f64,
    /// By corruption and severity.
    pub cells: BTreeMap<String, BTreeMap<u8, f64>>,
}

/// What [`Errors::against`] a baseline says: 1 is as bad as it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorruptionErrors {
    /// Who the baseline is.
    pub baseline: String,
    /// The errors of each corruption, summed over severities, over those of the baseline.
    pub ce: BTreeMap<String, f64>,
    /// Their mean.
    pub mce: f64,
    /// The errors beyond the clean one, summed, over those of the baseline; without corruptions that cost the baseline
    /// nothing, where the ratio has no meaning.
    pub relative_ce: BTreeMap<String, f64>,
    /// Their mean.
    pub relative_mce: Option<f64>,
}

impl Errors {
    /// The error rates of a run's cells; `None` without clean pictures or where a cell has no answer.
    pub fn of(cells: &[CellSummary]) -> Option<Self> {
        let mut out = Self::default();
        let mut clean = None;
        for cell in cells {
            let error = 1. - cell.counts.accuracy()?;
            match &cell.corruption {
                None => clean = Some(error),
                Some(name) => {
                    out.cells.entry(name.clone()).or_default().insert(cell.severity, error);
                }
            }
        }
        Some(Self { clean: clean?, ..out })
    }

    /// Corruption errors relative to `baseline` (Hendrycks and Dietterich 2019).
    ///
    /// # Errors
    /// A corruption or severity that the baseline lacks, or one that costs it no error at all.
    pub fn against(&self, baseline: &Self, name: &str) -> Result<CorruptionErrors, String> {
        let (mut ce, mut relative_ce) = (BTreeMap::new(), BTreeMap::new());
        for (corruption, ours) in &self.cells {
            let mut sums = [0.; 4];
            for (severity, error) in ours {
                let theirs = baseline.cells.get(corruption).and_then(|cells| cells.get(severity));
                let theirs = theirs
                    .ok_or_else(|| format!("baseline {name} has no {corruption} at severity {severity}"))?;
                let terms = [*error, *theirs, error - self.clean, theirs - baseline.clean];
                sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            }
            if sums[1] <= 0. {
                return Err(format!(
                    "baseline {name} makes no error under {corruption}: its share is undefined"
                ));
            }
            ce.insert(corruption.clone(), sums[0] / sums[1]);
            if sums[3] > 0. {
                relative_ce.insert(corruption.clone(), sums[2] / sums[3]);
            }
        }
        let mean = |of: &BTreeMap<String, f64>| crate::stats::mean(&of.values().copied().collect::<Vec<_>>());
        let mce = mean(&ce).ok_or_else(|| "there is no corrupted cell".to_owned())?;
        let relative_mce = mean(&relative_ce);
        Ok(CorruptionErrors { baseline: name.to_owned(), ce, mce, relative_ce, relative_mce })
    }
}

impl RunSummary {
    /// Corruption errors relative to the run of the same task in a stored summary.
    ///
    /// # Errors
    /// As [`Errors::against`]; also where either run lacks clean pictures.
    pub fn against(&self, baseline: &Self) -> Result<CorruptionErrors, String> {
        let of = |run: &Self| {
            Errors::of(&run.cells).ok_or_else(|| format!("{} lacks answers to clean pictures", run.model))
        };
        of(self)?.against(&of(baseline)?, &baseline.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(clean: f64, fog: [f64; 2], blur: [f64; 2]) -> Errors {
        let cell = |errors: [f64; 2]| BTreeMap::from([(1, errors[0]), (5, errors[1])]);
        Errors { clean, cells: BTreeMap::from([("fog".into(), cell(fog)), ("blur".into(), cell(blur))]) }
    }

    #[test]
    fn errors_are_over_those_of_the_baseline() {
        let base = errors(0.2, [0.4, 0.6], [0.2, 0.2]);
        let same = base.against(&base, "b").unwrap();
        assert_eq!((same.mce, same.relative_mce), (1., Some(1.)));
        assert!(!same.relative_ce.contains_key("blur"), "blur costs the baseline nothing");
        let ours = errors(0.1, [0.2, 0.3], [0.1, 0.3]).against(&base, "b").unwrap();
        assert!((ours.ce["fog"] - 0.5).abs() < 1e-12 && (ours.ce["blur"] - 1.).abs() < 1e-12);
        assert!((ours.relative_ce["fog"] - 0.5).abs() < 1e-12);
        let less = Errors { clean: 0.2, cells: BTreeMap::from([("fog".into(), BTreeMap::from([(1, 0.4)]))]) };
        let message = base.against(&less, "small").unwrap_err();
        assert!(message.contains("small") && message.contains("blur"), "{message}");
        assert!(ours_at_zero().contains("undefined"));
    }

    fn ours_at_zero() -> String {
        let base = errors(0., [0., 0.], [0.1, 0.1]);
        base.against(&base, "perfect").unwrap_err()
    }
}
