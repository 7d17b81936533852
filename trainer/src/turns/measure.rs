//! What the turns before the answers came to.

use super::Heard;
use super::targets::{covers, hull, intersection_over_union, targets};
use crate::log::Metrics;
use foveate_datasets::Sample;
use foveate_vision::grounding::Refusal;
use serde::{Deserialize, Serialize};

/// Adds `boxes/valid` (the share of replies with a box that can be shown), `boxes/area` (the mean share of the
/// image in these), `boxes/hit` (the share of replies whose box has the centres of all targets in it) and
/// `boxes/iou` (the mean overlap with the box around them, 0 for no box; both only over samples with targets),
/// `boxes/refused/REASON` (shares of replies) and `turns/mean`. `answers` are samples with what each answer
/// heard.
pub fn measure<'a>(
    metrics: &mut Metrics,
    prefix: &str,
    answers: impl Iterator<Item = (&'a Sample, &'a [Heard])>,
) {
    Looks::of(answers).measure(metrics, prefix);
}

/// Sums over answers, which add over ranks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Looks {
    answers: f64,
    replies: f64,
    /// Replies about samples with targets.
    known: f64,
    valid: f64,
    area: f64,
    hit: f64,
    iou: f64,
    /// By reason.
    refused: [f64; Refusal::ALL.len()],
}

impl Looks {
    pub(crate) fn of<'a>(answers: impl Iterator<Item = (&'a Sample, &'a [Heard])>) -> Self {
        let mut sums = Self::default();
        answers.for_each(|(sample, heard)| sums.add(sample, heard));
        sums
    }

    fn add(&mut self, sample: &Sample, heard: &[Heard]) {
        self.answers += 1.0;
        let (targets, hull) = (targets(sample), hull(sample));
        for heard in heard {
            self.replies += 1.0;
            self.known += f64::from(u8::from(hull.is_some()));
            let Ok(region) = &heard.region else {
                let place =
                    heard.region.err().and_then(|r| Refusal::ALL.iter().position(|known| *known == r));
                place.into_iter().for_each(|place| self.refused[place] += 1.0);
                continue;
            };
            self.valid += 1.0;
            self.area += region.area;
            if let Some(hull) = hull {
                self.hit += f64::from(u8::from(covers(region.original, &targets)));
                self.iou += intersection_over_union(region.original.map(f64::from), hull);
            }
        }
    }

    /// The sums of `self` and `other` together.
    pub(crate) fn plus(self, other: &Self) -> Self {
        let mut refused = self.refused;
        refused.iter_mut().zip(other.refused).for_each(|(sum, more)| *sum += more);
        Self {
            answers: self.answers + other.answers,
            replies: self.replies + other.replies,
            known: self.known + other.known,
            valid: self.valid + other.valid,
            area: self.area + other.area,
            hit: self.hit + other.hit,
            iou: self.iou + other.iou,
            refused,
        }
    }

    /// Adds what [`measure`] does.
    pub(crate) fn measure(&self, metrics: &mut Metrics, prefix: &str) {
        let share = |sum: f64, of: f64| if of > 0.0 { sum / of } else { 0.0 };
        let mut put = |name: &str, value: f64| metrics.put(format!("{prefix}{name}"), value);
        put("boxes/valid", share(self.valid, self.replies));
        put("boxes/area", share(self.area, self.valid));
        put("boxes/hit", share(self.hit, self.known));
        put("boxes/iou", share(self.iou, self.known));
        put("turns/mean", 1.0 + share(self.replies, self.answers));
        for (refusal, count) in Refusal::ALL.iter().zip(self.refused) {
            put(&format!("boxes/refused/{}", refusal.name()), share(count, self.replies));
        }
    }
}
