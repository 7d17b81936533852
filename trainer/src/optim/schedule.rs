//! The learning rate at each update.

use serde::{Deserialize, Serialize};

/// The shape after warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// Stays at the peak.
    #[default]
    Constant,
    /// Half a cosine from the peak to the floor.
    Cosine,
    /// A straight line from the peak to the floor.
    Linear,
}

/// A learning rate over `total` updates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The shape.
    pub kind: ScheduleKind,
    /// The highest rate.
    pub peak: f64,
    /// The rate at the end, as a share of the peak.
    pub floor: f64,
    /// Updates over which the rate rises in equal steps to the peak.
    pub warmup: u64,
    /// Updates in all.
    pub total: u64,
}

impl Schedule {
    /// The rate of update `step`, counted from 0. The first update of a warm-up has rate `peak / warmup`,
    /// not 0, so that no update is wasted.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let span = self.total.saturating_sub(self.warmup).max(1) as f64;
        let done = ((step - self.warmup) as f64 / span).min(1.0);
        let left = match self.kind {
            ScheduleKind::Constant => return self.peak,
            ScheduleKind::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            ScheduleKind::Linear => 1.0 - done,
        };
        self.peak * (self.floor + (1.0 - self.floor) * left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_in_equal_steps_then_falls_to_the_floor() {
        for kind in [ScheduleKind::Constant, ScheduleKind::Cosine, ScheduleKind::Linear] {
            let s = Schedule { kind, peak: 2.0, floor: 0.25, warmup: 4, total: 104 };
            assert_eq!([0, 1, 2, 3, 4].map(|i| s.at(i)), [0.5, 1.0, 1.5, 2.0, 2.0], "{kind:?}");
            let end = if kind == ScheduleKind::Constant { 2.0 } else { 0.5 };
            assert!((s.at(104) - end).abs() < 1e-12 && (s.at(900) - end).abs() < 1e-12, "{kind:?}");
            assert!((4..104).all(|i| s.at(i) >= s.at(i + 1)), "{kind:?}");
        }
    }

    #[test]
    fn halfway_a_cosine_and_a_line_meet() {
        let at = |kind| Schedule { kind, peak: 1.0, floor: 0.0, warmup: 0, total: 10 }.at(5);
        assert!((at(ScheduleKind::Cosine) - 0.5).abs() < 1e-12);
        assert!((at(ScheduleKind::Linear) - 0.5).abs() < 1e-12);
    }
}
