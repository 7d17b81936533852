//! Which token of a packed row sees which.

use std::ops::Range;

use candle_core::{Result, bail};

/// A run of tokens and the segment it continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First row.
    pub start: usize,
    /// Rows.
    pub len: usize,
    /// The segment it continues.
    pub parent: Option<usize>,
}

impl Segment {
    /// Its rows of the pack.
    pub fn tokens(&self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

/// The segments of a packed row: they tile it, parents stand before their children, and the
/// segments of one tree stand together.
#[derive(Clone, Debug)]
pub struct Segments {
    segments: Vec<Segment>,
    roots: Vec<usize>,
}

impl Segments {
    /// Lays segments of the given lengths and parents one after another.
    pub fn new(lens_and_parents: &[(usize, Option<usize>)]) -> Result<Self> {
        let mut segments = Vec::with_capacity(lens_and_parents.len());
        let mut roots = Vec::with_capacity(lens_and_parents.len());
        let mut start = 0;
        for (index, &(len, parent)) in lens_and_parents.iter().enumerate() {
            if len == 0 {
                bail!("segment {index} is empty");
            }
            let root = match parent {
                None => index,
                Some(parent) if parent < index => roots[parent],
                Some(parent) => bail!("segment {index} stands before its parent {parent}"),
            };
            if roots.last().is_some_and(|&last| last > root) {
                bail!("segment {index} stands apart from its tree, whose root is {root}");
            }
            segments.push(Segment { start, len, parent });
            roots.push(root);
            start += len;
        }
        Ok(Self { segments, roots })
    }

    /// One prompt shared by completions.
    pub fn group(prompt: usize, completions: &[usize]) -> Result<Self> {
        let children = completions.iter().map(|&len| (len, Some(0)));
        Self::new(&std::iter::once((prompt, None)).chain(children).collect::<Vec<_>>())
    }

    /// Rows in all.
    pub fn tokens(&self) -> usize {
        self.segments.last().map_or(0, |last| last.tokens().end)
    }

    /// The segments in order.
    pub fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter()
    }

    /// The tokens of all ancestors of a segment, in order, adjacent ranges merged.
    pub(crate) fn context(&self, segment: usize) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut next = self.segments[segment].parent;
        while let Some(index) = next {
            let tokens = self.segments[index].tokens();
            match ranges.last_mut() {
                Some(after) if after.start == tokens.end => after.start = tokens.start,
                _ => ranges.push(tokens),
            }
            next = self.segments[index].parent;
        }
        ranges.reverse();
        ranges
    }

    /// Trees of the forest: ranges of segment indices.
    pub(crate) fn trees(&self) -> Vec<Range<usize>> {
        let mut trees: Vec<Range<usize>> = Vec::new();
        for (index, &root) in self.roots.iter().enumerate() {
            match trees.last_mut() {
                Some(tree) if tree.start == root => tree.end = index + 1,
                _ => trees.push(index..index + 1),
            }
        }
        trees
    }

    pub(crate) fn segment(&self, index: usize) -> Segment {
        self.segments[index]
    }
}
