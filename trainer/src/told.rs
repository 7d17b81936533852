//! What a step's answers came to, as numbers that ranks tell each other: credits and metrics are made of
//! these alone, so that all ranks make the same ones.

use crate::correlation::correlations;
use crate::log::{Metrics, moments};
use crate::rollout::{Group, Rollout};
use foveate_datasets::{Outcome as Verdict, grade};
use foveate_objectives::Outcome;
use serde::{Deserialize, Serialize};

/// What is known of a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Told {
    /// What its answers are worth to the advantage, penalties taken off.
    pub outcomes: Vec<Outcome>,
    /// What terms in the reward took off each answer, where there are such terms.
    pub penalties: Vec<f64>,
    /// The true answer, where it is a number.
    truth: Option<f64>,
    answers: Vec<Answer>,
}

/// What is known of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answer {
    total: f64,
    parts: Vec<(String, Option<f64>)>,
    broken: bool,
    verdict: Verdict,
    tokens: usize,
    finished: bool,
}

impl From<&Rollout> for Answer {
    fn from(rollout: &Rollout) -> Self {
        let parts = rollout.scored.parts.iter();
        Self {
            total: rollout.scored.total,
            parts: parts.map(|(name, value)| (name.to_string(), *value)).collect(),
            broken: rollout.scored.is_broken(),
            verdict: rollout.grade.outcome,
            tokens: rollout.ids.len(),
            finished: rollout.finished,
        }
    }
}

impl Told {
    /// Of `group`, from each of whose answers `penalties` (if there are any) are taken off.
    pub(crate) fn of(group: &Group, penalties: Vec<f64>) -> Self {
        let mut outcomes = group.outcomes();
        outcomes.iter_mut().zip(&penalties).for_each(|(outcome, penalty)| outcome.reward -= penalty);
        let truth = grade::number::parse(&group.sample.answer);
        Self { outcomes, penalties, truth, answers: group.rollouts.iter().map(Answer::from).collect() }
    }

    /// Whether statistics of the group mean nothing.
    pub(crate) fn is_broken(&self) -> bool {
        self.answers.iter().any(|a| a.broken) || self.penalties.iter().any(|p| !p.is_finite())
    }
}

/// What the answers of a step came to.
pub(crate) fn describe(groups: &[Told], credits: &[Vec<f64>]) -> Metrics {
    let answers = || groups.iter().flat_map(|g| &g.answers);
    let n = answers().count().max(1) as f64;
    let share = |count: usize| count as f64 / n;
    let mut metrics = Metrics::default();
    let scored: Vec<f64> = answers().map(|a| a.total).filter(|r| !r.is_nan()).collect();
    let (mean, std) = moments(&scored);
    metrics.put("reward/mean", mean);
    metrics.put("reward/std", std);
    let names = answers().next().map(|a| a.parts.iter().map(|(name, _)| name).collect::<Vec<_>>());
    for (part, name) in names.unwrap_or_default().into_iter().enumerate() {
        let values: Vec<f64> = answers().filter_map(|a| a.parts[part].1).collect();
        metrics.put(format!("reward/{name}"), moments(&values).0);
    }
    metrics.put("reward/unscored", share(answers().filter(|a| a.total.is_nan()).count()));
    let of = |verdict: Verdict| answers().filter(|a| a.verdict == verdict).count();
    metrics.put("accuracy", share(of(Verdict::Right)));
    metrics.put("unparsed", share(of(Verdict::Unparsed)));
    if let Some(pairs) = scores(groups) {
        metrics.extend(correlations("score", &pairs));
    }
    let silent = credits.iter().filter(|c| c.iter().all(|a| *a == 0.0)).count();
    metrics.put("groups/silent", silent as f64 / groups.len().max(1) as f64);
    let tokens: Vec<f64> = answers().map(|a| a.tokens as f64).collect();
    metrics.put("tokens/generated", tokens.iter().sum());
    metrics.put("length/mean", moments(&tokens).0);
    metrics.put("length/max", tokens.iter().copied().fold(0.0, f64::max));
    metrics.put("length/cut", share(answers().filter(|a| !a.finished).count()));
    metrics
}

/// What was said and what is true, where both are numbers; `None` where no answer is to be a number.
fn scores(groups: &[Told]) -> Option<Vec<(f64, f64)>> {
    let (mut pairs, mut numeric) = (Vec::new(), false);
    for group in groups {
        let Some(truth) = group.truth else { continue };
        numeric = true;
        let said = group.outcomes.iter().map(|o| o.value);
        pairs.extend(said.filter(|v| v.is_finite()).map(|value| (value, truth)));
    }
    numeric.then_some(pairs)
}
