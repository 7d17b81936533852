//! Signs that a policy earns the perception term (a KL that is maximised and has no bound) instead of
//! answering, in the order in which PAPO's authors saw them: the KL explodes, the upper clip is hit more
//! and more, the entropies of both policies rise, then the reward falls.
//!
//! Each sign compares the mean of the last [`WINDOW`] steps with that of the window before. What is needed
//! is read back from `metrics.jsonl` when a run goes on, so a resumed run sees what the other would have.

use crate::log::Metrics;
use foveate_objectives::{Place, TermSpec};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Steps that are compared with as many before them.
const WINDOW: usize = 10;
/// A KL under this is the early rise that is wanted.
const SMALL: f64 = 0.1;

/// What is done about it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Nothing; the signs are in the metrics.
    Off,
    /// A warning when the KL explodes and another sign is there.
    #[default]
    Warn,
    /// The run stops when the KL explodes and two other signs are there; with one, a warning.
    Stop,
}

/// What a step showed of each quantity.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    kl: f64,
    clip: f64,
    entropy: f64,
    view_entropy: f64,
    reward: f64,
}

/// Watches one term.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The metric of the term's mean value.
    kl: String,
    /// The metric of the view's entropy.
    view_entropy: String,
    seen: VecDeque<Seen>,
}

/// What a watch says of a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Signs(Vec<(&'static str, bool)>);

/// The watch over the first term of a recipe that makes a view's KL grow, if there is one.
pub(crate) fn watch(terms: &[TermSpec]) -> Option<Watch> {
    let grows = |t: &TermSpec| t.term.name == "view-kl" && t.weight < 0.0 && t.place == Place::Loss;
    let index = terms.iter().position(grows)?;
    let before = terms[..index].iter().filter(|t| t.term.name == "view-kl").count();
    let number = if before == 0 { String::new() } else { format!("-{}", before + 1) };
    let view = terms[index].term.settings.get("views")?.get(0)?.as_str()?;
    Some(Watch::new(&format!("term/view-kl{number}"), view))
}

impl Watch {
    /// Watches the term whose metrics begin with `term` on the view `view`.
    pub(crate) fn new(term: &str, view: &str) -> Self {
        Self { kl: format!("{term}/mean"), view_entropy: format!("entropy/{view}"), seen: VecDeque::new() }
    }

    /// Takes in a step; the signs are put into `metrics`.
    pub(crate) fn step(&mut self, metrics: &mut Metrics) -> Signs {
        self.remember(|name| metrics.get(name));
        let signs = self.signs();
        for (name, seen) in &signs.0 {
            metrics.put(format!("hacking/{name}"), f64::from(u8::from(*seen)));
        }
        signs
    }

    /// Takes in what a step of an earlier run left in its metrics.
    pub(crate) fn remember(&mut self, metric: impl Fn(&str) -> Option<f64>) {
        let value = |name: &str| metric(name).filter(|v| v.is_finite());
        let Some(kl) = value(&self.kl) else { return };
        self.seen.push_back(Seen {
            kl,
            clip: value("clip/high").unwrap_or_default(),
            entropy: value("entropy").unwrap_or_default(),
            view_entropy: value(&self.view_entropy).unwrap_or_default(),
            reward: value("reward/mean").unwrap_or_default(),
        });
        while self.seen.len() > 2 * WINDOW {
            self.seen.pop_front();
        }
    }

    fn signs(&self) -> Signs {
        if self.seen.len() < 2 * WINDOW {
            return Signs::default();
        }
        let means = |of: fn(&Seen) -> f64| {
            let mean = |from: usize| self.seen.iter().skip(from).take(WINDOW).map(of).sum::<f64>();
            (mean(0) / WINDOW as f64, mean(WINDOW) / WINDOW as f64)
        };
        let (kl, clip) = (means(|s| s.kl), means(|s| s.clip));
        let (entropy, view) = (means(|s| s.entropy), means(|s| s.view_entropy));
        let reward = means(|s| s.reward);
        Signs(vec![
            ("kl_explodes", kl.1 > SMALL && kl.1 > 2.0 * kl.0),
            ("clip_rises", clip.1 > 0.01 && clip.1 > 1.5 * clip.0),
            ("entropies_rise", entropy.1 > 1.2 * entropy.0 && view.1 > 1.2 * view.0),
            ("reward_falls", reward.1 < reward.0 - 0.1 * reward.0.abs().max(0.1)),
        ])
    }
}

impl Signs {
    /// How many signs there are, where the KL explodes; else 0.
    pub(crate) fn count(&self) -> usize {
        let seen = self.0.iter().filter(|(_, seen)| *seen).count();
        if self.0.first().is_some_and(|(_, explodes)| *explodes) { seen } else { 0 }
    }

    /// The signs in words.
    pub(crate) fn describe(&self) -> String {
        let seen: Vec<_> =
            self.0.iter().filter(|(_, seen)| *seen).map(|(name, _)| name.replace('_', " ")).collect();
        format!("the perception term is being hacked: {}", seen.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 steps of which the last ten have these values in place of 0.1, 0.02, 0.5, 0.6 and 0.7.
    fn after(kl: f64, clip: f64, entropy: f64, view: f64, reward: f64) -> (Signs, Metrics) {
        let mut watch = Watch::new("term/view-kl", "mask");
        let mut last = (Signs::default(), Metrics::default());
        for step in 0..2 * WINDOW {
            let values =
                if step < WINDOW { [0.1, 0.02, 0.5, 0.6, 0.7] } else { [kl, clip, entropy, view, reward] };
            let names = ["term/view-kl/mean", "clip/high", "entropy", "entropy/mask", "reward/mean"];
            let mut metrics = Metrics::default();
            names.iter().zip(values).for_each(|(name, value)| metrics.put(*name, value));
            last = (watch.step(&mut metrics), metrics);
        }
        last
    }

    #[test]
    fn signs_are_told_apart() {
        assert_eq!(after(0.15, 0.02, 0.5, 0.6, 0.7).0.count(), 0);
        // Without the explosion the others mean nothing here.
        assert_eq!(after(0.15, 0.2, 0.9, 0.9, 0.2).0.count(), 0);
        let (signs, metrics) = after(1.0, 0.02, 0.5, 0.6, 0.7);
        assert_eq!((signs.count(), metrics.get("hacking/kl_explodes")), (1, Some(1.0)));
        assert_eq!(after(1.0, 0.2, 0.5, 0.6, 0.7).0.count(), 2);
        // Both entropies, not one.
        assert_eq!(after(1.0, 0.02, 0.9, 0.6, 0.7).0.count(), 1);
        let (signs, _) = after(1.0, 0.2, 0.9, 0.9, 0.2);
        assert_eq!(signs.count(), 4);
        assert!(signs.describe().contains("kl explodes, clip rises, entropies rise, reward falls"));
    }

    #[test]
    fn the_early_rise_of_a_small_kl_is_none() {
        let mut watch = Watch::new("term/view-kl", "mask");
        for step in 0..20 {
            let mut metrics = Metrics::default();
            metrics.put("term/view-kl/mean", 0.001 * f64::from(step));
            assert_eq!(watch.step(&mut metrics).count(), 0);
        }
    }
}
