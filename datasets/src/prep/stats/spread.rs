//! How numbers are spread: counted exactly, shown in bins.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// How bins are cut, and how their edges are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// A bin for each number.
    Each,
    /// From one power of two to the next.
    Octaves,
    /// Numbers that count tenths: a bin for each below 2, octaves above.
    Tenths,
}

/// Whole numbers and how often each came.
#[derive(Clone, Debug)]
pub struct Spread {
    scale: Scale,
    counts: BTreeMap<u64, u64>,
    total: u64,
}

impl Spread {
    pub(super) fn new(scale: Scale) -> Self {
        Self { scale, counts: BTreeMap::new(), total: 0 }
    }

    pub(super) fn add(&mut self, value: u64) {
        *self.counts.entry(value).or_default() += 1;
        self.total += 1;
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The least number that at least `share` of all do not pass; 0 of nothing.
    pub fn quantile(&self, share: f64) -> u64 {
        let want = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = self.counts.iter().find(|(_, n)| {
            seen += **n;
            seen >= want
        });
        reached.map_or(0, |(value, _)| *value)
    }

    /// The bins that are not empty: lower edge and count.
    pub fn bins(&self) -> BTreeMap<u64, u64> {
        let mut out = BTreeMap::new();
        for (&value, n) in &self.counts {
            let edge = match self.scale {
                Scale::Octaves if value > 0 => 1 << value.ilog2(),
                Scale::Tenths if value >= 20 => 10 << (value / 10).ilog2(),
                _ => value,
            };
            *out.entry(edge).or_default() += n;
        }
        out
    }

    /// A bin's edges, for people.
    pub(super) fn label(&self, edge: u64) -> String {
        match self.scale {
            Scale::Each => self.number(edge),
            Scale::Octaves if edge < 2 => self.number(edge),
            Scale::Tenths if edge < 20 => self.number(edge),
            _ => format!("{} - {}", self.number(edge), self.number(edge.saturating_mul(2) - 1)),
        }
    }

    /// A number as it is meant.
    pub(super) fn number(&self, value: u64) -> String {
        match self.scale {
            Scale::Tenths => format!("{}.{}", value / 10, value % 10),
            _ => value.to_string(),
        }
    }
}

impl Serialize for Spread {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Spread", 6)?;
        out.serialize_field("count", &self.total)?;
        for (name, share) in [("min", 0.), ("median", 0.5), ("p95", 0.95), ("max", 1.)] {
            out.serialize_field(name, &self.quantile(share))?;
        }
        out.serialize_field("bins", &self.bins().into_iter().collect::<Vec<_>>())?;
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_exactly_and_shown_in_bins() {
        let mut spread = Spread::new(Scale::Octaves);
        (1..=100).for_each(|v| spread.add(v));
        let at = |share| spread.quantile(share);
        assert_eq!([at(0.), at(0.5), at(0.95), at(1.)], [1, 50, 95, 100]);
        let bins: Vec<_> = spread.bins().into_iter().collect();
        assert_eq!(bins, [(1, 1), (2, 2), (4, 4), (8, 8), (16, 16), (32, 32), (64, 37)]);
        assert_eq!((spread.label(64), spread.label(1)), ("64 - 127".to_owned(), "1".to_owned()));
        let mut aspect = Spread::new(Scale::Tenths);
        aspect.add(13);
        aspect.add(77);
        assert_eq!(
            aspect.bins().into_keys().map(|b| aspect.label(b)).collect::<Vec<_>>(),
            ["1.3", "4.0 - 7.9"]
        );
        assert_eq!(Spread::new(Scale::Each).quantile(0.5), 0);
    }
}
