//! Ranks that are threads of one test.

use foveate_ranks::{Collective, threads};
use std::sync::Arc;
use std::time::Duration;

/// Runs `each` on every one of `size` ranks.
pub fn among<T: Send>(size: usize, each: impl Fn(Arc<dyn Collective>) -> T + Sync) -> Vec<T> {
    let ranks = threads::group(size, Duration::from_secs(60));
    std::thread::scope(|scope| {
        let each = &each;
        let run = |rank| scope.spawn(move || each(Arc::new(rank) as Arc<dyn Collective>));
        let all: Vec<_> = ranks.into_iter().map(run).collect();
        all.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}
