//! When a call is made again, and how long is waited before.
//!
//! Knows nothing of HTTP: a call says whether its failure may pass.

use super::Fault;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often and how long.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Calls after the first.
    pub retries: u32,
    /// Wait before the first of them; it doubles each time, up to `longest`.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// From the first call on: no call begins later than this.
    pub deadline: Duration,
}

impl Default for Retry {
    /// Six calls within ten minutes, waiting 0.5 s, 1 s, … between them.
    fn default() -> Self {
        Self {
            retries: 5,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            deadline: Duration::from_secs(600),
        }
    }
}

/// Failures in a row over all workers: a server that is down is not waited for with every question.
#[derive(Debug, Default)]
pub struct Streak(AtomicUsize);

impl Streak {
    /// Questions lost in a row after which each further one is asked once only, until one is answered.
    const LONG: usize = 16;

    fn hopeless(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::LONG
    }
}

impl Retry {
    /// Makes `call` until it succeeds, is refused, or time or tries are used up. `draw` spreads the waits, so
    /// that many workers do not come back at once.
    ///
    /// # Errors
    /// The refusal, or [`Fault::Final`] with what happened last.
    pub fn run<T>(
        &self,
        draw: u64,
        streak: &Streak,
        stop: &AtomicBool,
        mut call: impl FnMut() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let started = Instant::now();
        let mut tries = 0;
        loop {
            let (why, after) = match call() {
                Ok(reply) => {
                    streak.0.store(0, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(Fault::Passing { why, after, .. }) => (why, after),
                Err(other) => return Err(other),
            };
            let wait = after.unwrap_or_else(|| self.wait(tries, draw)).min(self.longest);
            tries += 1;
            let late = started.elapsed() + wait > self.deadline;
            if tries > self.retries || late || streak.hopeless() || stop.load(Ordering::Relaxed) {
                streak.0.fetch_add(1, Ordering::Relaxed);
                let times = if tries == 1 { "once".into() } else { format!("{tries} times") };
                return Err(Fault::Final(format!("{why} (asked {times})")));
            }
            std::thread::sleep(wait);
        }
    }

    /// Between half and the whole of the doubled wait before the call that follows `tries` others.
    pub fn wait(&self, tries: u32, draw: u64) -> Duration {
        let whole = self.first.saturating_mul(1u32 << tries.min(16)).min(self.longest);
        let share = (draw.rotate_left(tries * 11) & 0xffff) as f64 / f64::from(0x1_0000);
        whole.mul_f64(0.5 + 0.5 * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> Retry {
        Retry { first: Duration::from_millis(1), longest: Duration::from_millis(4), ..Retry::default() }
    }

    fn passing() -> Fault {
        Fault::passing("busy".into(), false)
    }

    fn run(retry: &Retry, faults: Vec<Fault>, streak: &Streak) -> (Result<&'static str, Fault>, usize) {
        let mut faults = faults.into_iter();
        let mut calls = 0;
        let result = retry.run(7, streak, &AtomicBool::new(false), || {
            calls += 1;
            faults.next().map_or(Ok("reply"), Err)
        });
        (result, calls)
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_is_refused_is_not() {
        let streak = Streak::default();
        assert_eq!(run(&quick(), vec![passing(), passing()], &streak), (Ok("reply"), 3));
        let (result, calls) = run(&quick(), vec![passing(); 9], &streak);
        assert!(matches!(result, Err(Fault::Final(why)) if why.contains("busy") && why.contains('6')));
        assert_eq!(calls, 6);
        let refused = Fault::Final("too long".into());
        assert_eq!(run(&quick(), vec![refused.clone()], &streak), (Err(refused), 1));
    }

    #[test]
    fn the_deadline_ends_it() {
        let retry = Retry { deadline: Duration::ZERO, ..quick() };
        assert_eq!(run(&retry, vec![passing(); 9], &Streak::default()).1, 1);
    }

    #[test]
    fn a_server_that_is_down_is_not_waited_for_each_time() {
        let streak = Streak::default();
        for _ in 0..Streak::LONG {
            assert_eq!(run(&quick(), vec![passing(); 9], &streak).1, 6);
        }
        assert_eq!(run(&quick(), vec![passing(); 9], &streak).1, 1);
        assert_eq!(run(&quick(), vec![], &streak).1, 1);
        assert_eq!(run(&quick(), vec![passing()], &streak), (Ok("reply"), 2));
    }

    #[test]
    fn waits_double_and_stay_in_bounds() {
        let retry = Retry::default();
        for draw in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            for tries in 0..20 {
                let whole = Duration::from_millis(500 << tries.min(10)).min(Duration::from_secs(30));
                let wait = retry.wait(tries, draw);
                assert!(wait >= whole / 2 && wait <= whole, "{tries}: {wait:?} of {whole:?}");
            }
        }
    }
}
