//! Collectives over a link between every two ranks.
//!
//! One pattern serves all: whoever needs a part gets it from whoever has it, and sums are taken in the order
//! of the ranks. A rank sends and receives `(size - 1) / size` of a buffer for a reduce-scatter and as much
//! for an all-gather, which is the least there is.

use crate::{Collective, Error, Link, Result};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Ranks over links.
#[derive(Debug)]
pub struct Mesh<L> {
    link: L,
    /// One call at a time: the messages of two would mix.
    turn: Mutex<()>,
}

impl<L: Link> Mesh<L> {
    /// Ranks over `link`.
    pub fn new(link: L) -> Self {
        Self { link, turn: Mutex::new(()) }
    }

    /// What carries its messages.
    pub fn link(&self) -> &L {
        &self.link
    }

    fn others(&self) -> impl Iterator<Item = usize> + Clone {
        let (rank, size) = (self.link.rank(), self.link.size());
        // Each begins with its neighbour, so that not all send to the same rank at once.
        (1..size).map(move |step| (rank + step) % size)
    }

    fn exchange(
        &self,
        call: &str,
        outgoing: &[(usize, &[u8])],
        incoming: &mut [(usize, &mut [u8])],
    ) -> Result<()> {
        if self.link.size() == 1 {
            return Ok(());
        }
        // Receives in the order in which others send: rank - 1 sends here first.
        let (rank, size) = (self.link.rank(), self.link.size());
        incoming.sort_by_key(|(from, _)| (rank + size - *from) % size);
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.link.exchange(call, outgoing, incoming)
    }

    /// Sends `mine` to all and gets from each what it sends, `lens[rank]` bytes.
    fn swap(&self, call: &str, mine: &[u8], lens: &[usize]) -> Result<Vec<Vec<u8>>> {
        let mut all: Vec<Vec<u8>> = lens.iter().map(|&len| vec![0; len]).collect();
        all[self.link.rank()] = mine.to_vec();
        let outgoing: Vec<_> = self.others().map(|to| (to, mine)).collect();
        let rank = self.link.rank();
        let parts = all.iter_mut().enumerate().filter(|(from, _)| *from != rank);
        let mut incoming: Vec<_> = parts.map(|(from, part)| (from, &mut part[..])).collect();
        self.exchange(call, &outgoing, &mut incoming)?;
        Ok(all)
    }

    fn check(&self, call: &str, len: usize, parts: &[Range<usize>]) -> Result<()> {
        let whole = parts.len() == self.link.size() && parts.iter().all(|part| part.end <= len);
        if whole {
            return Ok(());
        }
        Err(Error::Mismatch {
            rank: self.link.rank(),
            what: format!("parts of `{call}`"),
            expected: format!("{} within {len}", self.link.size()),
            found: format!("{parts:?}"),
        })
    }
}

/// Every part of `values` but rank `mine`'s, each with its rank.
fn split<'a>(
    values: &'a mut [f32],
    parts: &[Range<usize>],
    mine: usize,
) -> Result<Vec<(usize, &'a mut [u8])>> {
    let mut order: Vec<usize> = (0..parts.len()).filter(|&r| !parts[r].is_empty()).collect();
    order.sort_by_key(|&r| parts[r].start);
    let (mut rest, mut at, mut found) = (values, 0, vec![]);
    for r in order {
        let Range { start, end } = parts[r].clone();
        if start < at {
            let expected = format!("from {at} on");
            let what = "a part".to_string();
            return Err(Error::Mismatch { rank: r, what, expected, found: format!("from {start} on") });
        }
        let (part, after) = rest.split_at_mut(end - at);
        rest = after;
        if r != mine {
            found.push((r, bytemuck::cast_slice_mut(&mut part[start - at..])));
        }
        at = end;
    }
    Ok(found)
}

impl<L: Link> Collective for Mesh<L> {
    fn rank(&self) -> usize {
        self.link.rank()
    }

    fn size(&self) -> usize {
        self.link.size()
    }

    fn reduce_scatter(&self, values: &mut [f32], parts: &[Range<usize>]) -> Result<()> {
        self.check("reduce-scatter", values.len(), parts)?;
        let (rank, size) = (self.rank(), self.size());
        if size == 1 {
            return Ok(());
        }
        let mine = parts[rank].clone();
        let mut theirs = vec![0.0f32; mine.len() * (size - 1)];
        let others: Vec<usize> = (0..size).filter(|&r| r != rank).collect();
        let outgoing = self.others().filter(|&to| !parts[to].is_empty());
        let outgoing: Vec<_> =
            outgoing.map(|to| (to, bytemuck::cast_slice(&values[parts[to].clone()]))).collect();
        let received = others.iter().copied().zip(theirs.chunks_exact_mut(mine.len().max(1)));
        let mut incoming: Vec<_> =
            received.map(|(from, part)| (from, bytemuck::cast_slice_mut(part))).collect();
        self.exchange("reduce-scatter", &outgoing, &mut incoming)?;
        let own = &mut values[mine];
        if own.is_empty() {
            return Ok(());
        }
        // In the order of the ranks, this one among them.
        let (before, after) = theirs.split_at_mut(rank * own.len());
        if let Some((sum, between)) = before.split_at_mut_checked(own.len()) {
            between.chunks_exact(own.len()).for_each(|part| add(sum, part));
            add(own, sum);
        }
        after.chunks_exact(own.len()).for_each(|part| add(own, part));
        Ok(())
    }

    fn all_gather(&self, values: &mut [f32], parts: &[Range<usize>]) -> Result<()> {
        self.check("all-gather", values.len(), parts)?;
        let mine = values[parts[self.rank()].clone()].to_vec();
        let mine: &[u8] = bytemuck::cast_slice(&mine);
        let outgoing: Vec<_> = self.others().filter(|_| !mine.is_empty()).map(|to| (to, mine)).collect();
        let mut incoming = split(values, parts, self.rank())?;
        self.exchange("all-gather", &outgoing, &mut incoming)
    }

    fn gather(&self, values: &mut [f32], parts: &[Range<usize>], root: usize) -> Result<()> {
        self.check("gather", values.len(), parts)?;
        if self.rank() == root {
            return self.exchange("gather", &[], &mut split(values, parts, root)?);
        }
        let mine = &values[parts[self.rank()].clone()];
        if mine.is_empty() {
            return Ok(());
        }
        self.exchange("gather", &[(root, bytemuck::cast_slice(mine))], &mut [])
    }

    fn all_reduce_f64(&self, values: &mut [f64]) -> Result<()> {
        let mine: Vec<u8> = bytemuck::cast_slice(values).to_vec();
        let all = self.swap("all-reduce", &mine, &vec![mine.len(); self.size()])?;
        for (i, value) in values.iter_mut().enumerate() {
            let mut said =
                all.iter().map(|bytes| bytemuck::pod_read_unaligned::<f64>(&bytes[8 * i..8 * i + 8]));
            let first = said.next().unwrap_or(*value);
            *value = said.fold(first, |sum, theirs| sum + theirs);
        }
        Ok(())
    }

    fn all_gather_bytes(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        let len = (mine.len() as u64).to_le_bytes();
        let lens = self.swap("gather of lengths", &len, &vec![len.len(); self.size()])?;
        let lens: Vec<usize> = lens.iter().map(|len| number(len)).collect();
        self.swap("gather of bytes", mine, &lens)
    }

    fn broadcast(&self, bytes: Vec<u8>, root: usize) -> Result<Vec<u8>> {
        if self.rank() == root {
            let len = (bytes.len() as u64).to_le_bytes();
            let outgoing: Vec<_> = self.others().map(|to| (to, &len[..])).collect();
            self.exchange("broadcast", &outgoing, &mut [])?;
            let outgoing: Vec<_> = self.others().map(|to| (to, &bytes[..])).collect();
            self.exchange("broadcast", &outgoing, &mut [])?;
            return Ok(bytes);
        }
        let mut len = [0; 8];
        self.exchange("broadcast", &[], &mut [(root, &mut len)])?;
        let mut bytes = vec![0; number(&len)];
        self.exchange("broadcast", &[], &mut [(root, &mut bytes)])?;
        Ok(bytes)
    }

    fn abort(&self, why: &str) {
        self.link.abort(why);
    }

    fn lost(&self) -> Option<Error> {
        self.link.lost()
    }
}

fn add(sum: &mut [f32], part: &[f32]) {
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte))
}
