//! Where the gradient of each weight goes: buckets that are summed one after another, and in each the part
//! of every rank.
//!
//! The last parameters come first, as backward passes reach them first. Buckets and parts are cut at
//! multiples of [`CHUNK`] within a variable, since the norm of a gradient is a sum over such chunks: with
//! any number of ranks it is the same sum.

use crate::optim::CHUNK;
use std::ops::Range;

/// A run of a variable's values in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The variable, by its place among the optimiser's.
    pub slot: usize,
    /// Of its flat values.
    pub values: Range<usize>,
    /// Where they begin in the bucket.
    pub at: usize,
}

/// What is summed in one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub pieces: Vec<Piece>,
    pub len: usize,
    /// By rank.
    pub parts: Vec<Range<usize>>,
}

/// Every value of every variable once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub sizes: Vec<usize>,
    pub buckets: Vec<Bucket>,
}

impl Layout {
    /// Variables of `sizes` values in buckets of about `most` values, for `ranks` ranks.
    pub(crate) fn new(sizes: Vec<usize>, most: usize, ranks: usize) -> Self {
        let (mut buckets, mut open) = (vec![], Bucket::default());
        for (slot, &size) in sizes.iter().enumerate().rev() {
            for start in (0..size).step_by(CHUNK) {
                let values = start..size.min(start + CHUNK);
                if open.len > 0 && open.len + values.len() > most {
                    buckets.push(std::mem::take(&mut open).cut(ranks));
                }
                open.add(slot, values);
            }
        }
        if open.len > 0 {
            buckets.push(open.cut(ranks));
        }
        Self { sizes, buckets }
    }

    /// All of every variable, in the order of the buckets.
    pub(crate) fn whole(&self) -> Vec<(usize, Range<usize>)> {
        let pieces = self.buckets.iter().flat_map(|bucket| &bucket.pieces);
        pieces.map(|piece| (piece.slot, piece.values.clone())).collect()
    }

    /// What of which variable is rank `rank`'s, in the order of the buckets.
    pub(crate) fn owned(&self, rank: usize) -> Vec<(usize, Range<usize>)> {
        let of = |bucket: &Bucket| bucket.within(&bucket.parts[rank]).collect::<Vec<_>>();
        self.buckets.iter().flat_map(of).map(|piece| (piece.slot, piece.values)).collect()
    }
}

impl Bucket {
    fn add(&mut self, slot: usize, values: Range<usize>) {
        let at = self.len;
        self.len += values.len();
        match self.pieces.last_mut() {
            Some(last) if last.slot == slot && last.values.end == values.start => {
                last.values.end = values.end;
            }
            _ => self.pieces.push(Piece { slot, values, at }),
        }
    }

    /// The same with a part for each rank.
    fn cut(mut self, ranks: usize) -> Self {
        let starts = self.pieces.iter().flat_map(|piece| {
            let chunks = piece.values.clone().step_by(CHUNK);
            chunks.map(|start| piece.at + start - piece.values.start)
        });
        let mut cuts: Vec<usize> = starts.collect();
        cuts.push(self.len);
        let nearest = |to: usize| cuts.iter().copied().min_by_key(|&cut| cut.abs_diff(to)).unwrap_or(0);
        let ends: Vec<usize> = (0..=ranks).map(|rank| nearest(self.len * rank / ranks)).collect();
        self.parts = ends.windows(2).map(|pair| pair[0]..pair[1]).collect();
        self
    }

    /// The pieces, or parts of them, that lie in `part` of the bucket.
    pub(crate) fn within(&self, part: &Range<usize>) -> impl Iterator<Item = Piece> + use<'_> {
        let part = part.clone();
        self.pieces.iter().filter_map(move |piece| {
            let start = part.start.max(piece.at);
            let end = part.end.min(piece.at + piece.values.len());
            let first = piece.values.start + start.checked_sub(piece.at)?;
            (start < end).then(|| Piece { slot: piece.slot, values: first..first + end - start, at: start })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_one_ranks_and_cuts_lie_between_chunks() {
        let sizes = vec![5, 3 * CHUNK + 1, 1, 40, 2 * CHUNK, 7];
        for (most, ranks) in [(1, 1), (CHUNK, 2), (2 * CHUNK, 3), (100 * CHUNK, 2), (100 * CHUNK, 8)] {
            let layout = Layout::new(sizes.clone(), most, ranks);
            let mut owners: Vec<Vec<usize>> = sizes.iter().map(|&size| vec![0; size]).collect();
            for rank in 0..ranks {
                for (slot, values) in layout.owned(rank) {
                    let whole =
                        values.start % CHUNK == 0 && (values.end % CHUNK == 0 || values.end == sizes[slot]);
                    assert!(whole, "{slot} {values:?}");
                    owners[slot][values].iter_mut().for_each(|owners| *owners += 1);
                }
            }
            assert!(owners.concat().iter().all(|&owners| owners == 1), "{most} {ranks}");
            let mut ends = layout.buckets.iter().map(|bucket| (bucket.len, bucket.parts.last().unwrap().end));
            assert!(ends.all(|(len, end)| len == end && len <= most.max(CHUNK)));
        }
        // The last variable comes first, and ranks have about as much.
        let layout = Layout::new(vec![64 * CHUNK, 10], usize::MAX, 4);
        assert_eq!(layout.buckets[0].pieces[0].slot, 1);
        let lens: Vec<usize> = layout.buckets[0].parts.iter().map(|part| part.len() / CHUNK).collect();
        assert_eq!(lens, [16, 16, 16, 16]);
    }
}
