//! What the turns before the answers came to.

use super::Heard;
use super::targets::{covers, hull, intersection_over_union, targets};
use crate::log::Metrics;
use foveate_datasets::Sample;
use foveate_vision::grounding::Refusal;

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
    let mut sums = Sums::default();
    let mut refused = [0.0; Refusal::ALL.len()];
    for (sample, heard) in answers {
        sums.answers += 1.0;
        let (targets, hull) = (targets(sample), hull(sample));
        for heard in heard {
            sums.replies += 1.0;
            sums.known += f64::from(u8::from(hull.is_some()));
            let Ok(region) = &heard.region else {
                let place =
                    heard.region.err().and_then(|r| Refusal::ALL.iter().position(|known| *known == r));
                place.into_iter().for_each(|place| refused[place] += 1.0);
                continue;
            };
            sums.valid += 1.0;
            sums.area += region.area;
            if let Some(hull) = hull {
                sums.hit += f64::from(u8::from(covers(region.original, &targets)));
                sums.iou += intersection_over_union(region.original.map(f64::from), hull);
            }
        }
    }
    let share = |sum: f64, of: f64| if of > 0.0 { sum / of } else { 0.0 };
    let mut put = |name: &str, value: f64| metrics.put(format!("{prefix}{name}"), value);
    put("boxes/valid", share(sums.valid, sums.replies));
    put("boxes/area", share(sums.area, sums.valid));
    put("boxes/hit", share(sums.hit, sums.known));
    put("boxes/iou", share(sums.iou, sums.known));
    put("turns/mean", 1.0 + share(sums.replies, sums.answers));
    for (refusal, count) in Refusal::ALL.iter().zip(refused) {
        put(&format!("boxes/refused/{}", refusal.name()), share(count, sums.replies));
    }
}

#[derive(Default)]
struct Sums {
    answers: f64,
    replies: f64,
    /// Replies about samples with targets.
    known: f64,
    valid: f64,
    area: f64,
    hit: f64,
    iou: f64,
}
