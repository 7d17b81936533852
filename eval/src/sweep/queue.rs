//! Prepared questions between those who prepare and those who answer, bounded by what they weigh.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A queue that blocks those who fill it when it is full, and those who empty it when it is empty.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    most: usize,
}

#[derive(Debug)]
struct State<T> {
    /// Weight, cost, item.
    items: VecDeque<(usize, usize, T)>,
    weight: usize,
    closed: bool,
}

impl<T> Queue<T> {
    /// One that holds items of weight `most` together, and always one.
    pub(super) fn new(most: usize) -> Self {
        let state = State { items: VecDeque::new(), weight: 0, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), most }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item when there is room; `false` when nobody will take it any more.
    pub(super) fn push(&self, weight: usize, cost: usize, item: T) -> bool {
        let full = |state: &mut State<T>| {
            !state.closed && !state.items.is_empty() && state.weight + weight > self.most
        };
        let mut state = self.changed.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return false;
        }
        state.weight += weight;
        state.items.push_back((weight, cost, item));
        self.changed.notify_all();
        true
    }

    /// What is ready, at least one item and up to a cost of `budget` together; empty when the queue is closed
    /// and nothing is left.
    pub(super) fn take(&self, budget: usize) -> Vec<T> {
        let waiting = |state: &mut State<T>| state.items.is_empty() && !state.closed;
        let mut state = self.changed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        let (mut taken, mut spent) = (Vec::new(), 0);
        while let Some(&(weight, cost, _)) = state.items.front() {
            if !taken.is_empty() && spent + cost > budget {
                break;
            }
            spent += cost;
            state.weight -= weight;
            taken.extend(state.items.pop_front().map(|(_, _, item)| item));
        }
        self.changed.notify_all();
        taken
    }

    /// No more items will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// No more items will come, and those that are there are not wanted.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.items.clear();
        state.weight = 0;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_arrives_once_whatever_the_bounds() {
        for (most, budget) in [(1, 1), (10, 7), (1000, 1000)] {
            let queue = Queue::new(most);
            let mut got = std::thread::scope(|scope| {
                let taking: Vec<_> = (0..3)
                    .map(|_| {
                        scope.spawn(|| {
                            let more = || Some(queue.take(budget)).filter(|taken| !taken.is_empty());
                            std::iter::from_fn(more).flatten().collect::<Vec<usize>>()
                        })
                    })
                    .collect();
                let pushing: Vec<_> = (0..4)
                    .map(|k| {
                        let queue = &queue;
                        scope.spawn(move || (0..100).for_each(|i| assert!(queue.push(3, 2, k * 100 + i))))
                    })
                    .collect();
                pushing.into_iter().for_each(|thread| thread.join().unwrap());
                queue.close();
                taking.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            got.sort_unstable();
            assert_eq!(got, (0..400).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nobody_waits_for_those_who_left() {
        let queue = Queue::new(1);
        assert!(queue.push(1, 1, ()));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.push(1, 1, ()));
            std::thread::sleep(std::time::Duration::from_millis(20));
            queue.abandon();
            assert!(!waiting.join().unwrap());
        });
        assert!(queue.take(9).is_empty());
    }
}
