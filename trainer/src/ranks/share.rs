//! How the groups of a step are dealt out to ranks.

use crate::data::Source;
use foveate_ranks::Collective;
use std::ops::Range;

/// The groups of a step that are this rank's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// The place of each among all groups of the step, rising.
    pub places: Vec<usize>,
    /// How many groups there are on all ranks.
    pub of: usize,
}

impl Share {
    /// All `n` groups: the share of a process alone.
    pub fn whole(n: usize) -> Self {
        Self { places: (0..n).collect(), of: n }
    }

    /// Deals `units` of things (questions about one image, which share its pass through the tower) out in
    /// turn, so that every mini-batch, which is a run of places, has its part on every rank. The things
    /// that are this rank's, and their places.
    pub fn deal<T: Copy>(ranks: &dyn Collective, units: &[Vec<T>]) -> (Vec<T>, Self) {
        let (mut mine, mut places, mut of) = (vec![], vec![], 0);
        for (n, unit) in units.iter().enumerate() {
            if n % ranks.size() == ranks.rank() {
                mine.extend(unit);
                places.extend(of..of + unit.len());
            }
            of += unit.len();
        }
        (mine, Self { places, of })
    }

    /// Runs of this rank's samples at `indices` in which neighbours about one image are neighbours among all
    /// ranks' as well: such neighbours share a corruption, whoever asks.
    pub(crate) fn runs(&self, source: &Source, indices: &[usize]) -> Vec<Range<usize>> {
        let same = |i: usize| source.about(&indices[i - 1..=i]).len() == 1;
        let apart = |i: &usize| self.places[*i] != self.places[*i - 1] + 1 && same(*i);
        let cuts: Vec<usize> = (1..indices.len()).filter(apart).collect();
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        starts.zip(cuts.iter().copied().chain([indices.len()])).map(|(start, end)| start..end).collect()
    }

    /// Where, among this rank's groups, those of each of `updates` mini-batches stand.
    pub fn mini_batches(&self, updates: usize) -> Vec<Range<usize>> {
        let size = self.of.div_ceil(updates).max(1);
        let at = |place: usize| self.places.partition_point(|&mine| mine < place);
        (0..self.of.div_ceil(size)).map(|mini| at(mini * size)..at((mini + 1) * size)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foveate_ranks::{One, threads};
    use std::time::Duration;

    #[test]
    fn every_group_is_dealt_once_and_mini_batches_are_those_of_one_rank() {
        let units: Vec<Vec<usize>> = vec![vec![0, 1], vec![2], vec![3, 4, 5], vec![6], vec![7, 8]];
        let (all, whole) = Share::deal(&One, &units);
        assert_eq!((all, &whole), ((0..9).collect(), &Share::whole(9)));
        for size in 1..7 {
            let ranks = threads::group(size, Duration::from_secs(1));
            let shares: Vec<_> = ranks.iter().map(|rank| Share::deal(rank, &units)).collect();
            let mut dealt: Vec<usize> = shares.iter().flat_map(|(mine, _)| mine.clone()).collect();
            dealt.sort_unstable();
            assert_eq!(dealt, (0..9).collect::<Vec<_>>());
            for updates in 1..9 {
                for (mini, expected) in whole.mini_batches(updates).into_iter().enumerate() {
                    let of = |share: &Share| share.places[share.mini_batches(updates)[mini].clone()].to_vec();
                    let mut found: Vec<usize> = shares.iter().flat_map(|(_, share)| of(share)).collect();
                    found.sort_unstable();
                    assert_eq!(found, expected.collect::<Vec<_>>(), "{size} ranks, {updates} updates");
                }
            }
        }
    }
}
