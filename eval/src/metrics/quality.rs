//! Image quality: how well the scores that a model gives follow those of people.

use super::Run;
use crate::record::{Record, Verdict};
use crate::stats::{Logistic, kendall, pearson, rmse, spearman};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The key of `meta` under which a set's published score stands: the sign of such a task.
const SCORE: &str = "score";

/// Scores of a model beside those of people, in one kind of picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Pictures with a score that could be read.
    pub pictures: usize,
    /// Pictures that were answered without one: they are in no number here.
    pub unparsed: usize,
    /// Of the scores as they were given. RMSE is on the scale of the answers, 1 to 5.
    pub raw: Agreement,
    /// After VQEG's four-parameter curve was fitted; `None` where the fit does not end.
    pub fitted_four: Option<Agreement>,
    /// After the five-parameter curve was fitted.
    pub fitted_five: Option<Agreement>,
}

/// How well numbers follow numbers; `None` where one side does not vary.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Pearson's correlation.
    pub plcc: Option<f64>,
    /// Spearman's.
    pub srcc: Option<f64>,
    /// Kendall's tau-b.
    pub krcc: Option<f64>,
    /// The root of the mean squared difference.
    pub rmse: Option<f64>,
}

impl Agreement {
    /// Of a model's scores and those of people.
    pub fn of(said: &[f64], want: &[f64]) -> Self {
        Self {
            plcc: pearson(said, want),
            srcc: spearman(said, want),
            krcc: kendall(said, want),
            rmse: rmse(said, want),
        }
    }
}

impl Quality {
    /// By kind of picture, for a run on a task of image quality; empty for any other.
    pub fn of(run: &Run) -> BTreeMap<String, Self> {
        let mut cells: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
        for record in run.records.iter().filter(|record| is_quality(record)) {
            cells.entry(record.cell()).or_default().push(record);
        }
        cells.into_iter().filter_map(|(name, records)| Some((name, Self::of_cell(&records)?))).collect()
    }

    fn of_cell(records: &[&Record]) -> Option<Self> {
        let came = records.iter().filter(|record| record.outcome != Verdict::Failed);
        let pair = |record: &&&Record| {
            Some((record.parsed.as_ref()?.parse::<f64>().ok()?, record.answer.parse::<f64>().ok()?))
        };
        let (said, want): (Vec<f64>, Vec<f64>) = came.clone().filter_map(|record| pair(&record)).unzip();
        let fitted = |curve: Logistic| curve.fit(&said, &want).map(|fit| Agreement::of(&fit.fitted, &want));
        (!said.is_empty()).then(|| Self {
            pictures: said.len(),
            unparsed: came.count() - said.len(),
            raw: Agreement::of(&said, &want),
            fitted_four: fitted(Logistic::Four),
            fitted_five: fitted(Logistic::Five),
        })
    }
}

fn is_quality(record: &Record) -> bool {
    record.task == "quality" || record.meta.get(SCORE).is_some_and(serde_json::Value::is_number)
}
