//! Which rows of a batch read which keys together: rows by the trees of the pack that they continue.
//!
//! Knows neither keys nor models. R rows, G trees, N rows of the largest, S tokens of the longest.

use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::Result;
use crate::pack::Pack;

/// A rollout that runs.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The caller's number.
    pub rollout: usize,
    /// M-RoPE position of its first token.
    pub position: u32,
    tree: usize,
    /// Of its tree, 0 where it sees a token and -1e9 where not, `[S]`.
    hidden: Vec<f32>,
}

impl Row {
    /// The rows that continue the sequences of a pack, each of which scores one token, and the tokens of its trees.
    pub(super) fn of(
        pack: &Pack,
        positions_t: &[[u32; 3]],
        rollouts: impl Iterator<Item = usize>,
    ) -> (Vec<Self>, Vec<Range<usize>>) {
        let of_tree = |tree: &Range<usize>| {
            pack.segments.segment(tree.start).start..pack.segments.segment(tree.end - 1).tokens().end
        };
        let forest = pack.segments.trees();
        let trees: Vec<_> = forest.iter().map(of_tree).collect();
        let longest = trees.iter().map(Range::len).max().unwrap_or(0);
        let rows = rollouts.zip(&pack.predictors_n).map(|(rollout, &last)| {
            let last = last as usize;
            let segment = pack.segments.iter().take_while(|segment| segment.start <= last).count() - 1;
            let tree = forest.iter().take_while(|tree| tree.start <= segment).count() - 1;
            let mut hidden = vec![-1e9; longest];
            let own = pack.segments.segment(segment).start..last + 1;
            for seen in pack.segments.context(segment).into_iter().chain(std::iter::once(own)) {
                hidden[seen.start - trees[tree].start..seen.end - trees[tree].start].fill(0.0);
            }
            let position = 1 + positions_t[last].into_iter().max().unwrap_or(0);
            Self { rollout, position, tree, hidden }
        });
        (rows.collect(), trees)
    }

    /// Numbers the trees anew that rows are left of; their old numbers.
    pub(super) fn renumber(rows: &mut [Self]) -> Vec<u32> {
        let mut live: Vec<u32> = rows.iter().map(|row| row.tree as u32).collect();
        live.sort_unstable();
        live.dedup();
        for row in rows {
            row.tree = live.partition_point(|&tree| (tree as usize) < row.tree);
        }
        live
    }
}

/// A place for each row in a grid of trees `[G, N]`.
#[derive(Debug)]
pub(super) struct Places {
    trees: usize,
    most: usize,
    rows: Tensor,
    of_rows: Tensor,
    mask: Option<Tensor>,
}

impl Places {
    pub(super) fn new(rows: &[Row], device: &Device) -> Result<Self> {
        let trees = rows.iter().map(|row| row.tree + 1).max().unwrap_or(0);
        let mut counts = vec![0; trees];
        let mut nth = Vec::with_capacity(rows.len());
        for row in rows {
            nth.push(counts[row.tree]);
            counts[row.tree] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(0);
        let longest = rows.first().map_or(0, |row| row.hidden.len());
        let (mut at, mut mask) = (vec![0u32; trees * most], vec![0.0f32; trees * most * longest]);
        let mut of_rows = Vec::with_capacity(rows.len());
        for (index, (row, nth)) in rows.iter().zip(nth).enumerate() {
            let place = row.tree * most + nth;
            at[place] = index as u32;
            of_rows.push(place as u32);
            mask[place * longest..][..longest].copy_from_slice(&row.hidden);
        }
        let hides = mask.iter().any(|&value| value < 0.0);
        let mask = hides.then(|| Tensor::from_vec(mask, (trees, 1, most, 1, longest), device)).transpose()?;
        let of_rows = Tensor::from_vec(of_rows, rows.len(), device)?;
        Ok(Self { trees, most, rows: Tensor::from_vec(at, trees * most, device)?, of_rows, mask })
    }

    /// G
    pub(super) fn trees(&self) -> usize {
        self.trees
    }

    /// N
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// The row at each place, `[G * N]`; any row where there is none.
    pub(super) fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// The place of each row, `[R]`.
    pub(super) fn of_rows(&self) -> &Tensor {
        &self.of_rows
    }

    /// What hides tokens of the trees from their rows, `[G, 1, N, 1, S]`; `None` where nothing is hidden.
    pub(super) fn mask(&self) -> Option<&Tensor> {
        self.mask.as_ref()
    }

    pub(super) fn device(&self) -> &Device {
        self.rows.device()
    }
}
