//! What stands outside an image.

/// How an index outside `0..n` is answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Border {
    /// `a a | a b c | c c`: scipy's `nearest`, OpenCV's `REPLICATE`.
    Edge,
    /// `b a | a b c | c b`: scipy's `reflect`.
    Mirror,
    /// `c b | a b c | b a`: OpenCV's `REFLECT_101`.
    Reflect,
}

impl Border {
    /// The place in `0..n` (`n` at least 1) that stands for `i`.
    #[inline(always)]
    pub(crate) fn at(self, i: i64, n: usize) -> usize {
        let last = n as i64 - 1;
        if (0..=last).contains(&i) {
            return i as usize;
        }
        let folded = |period: i64, back: i64| {
            let i = i.rem_euclid(period.max(1));
            if i > last { back - i } else { i }
        };
        (match self {
            Self::Edge => i.clamp(0, last),
            Self::Mirror => folded(2 * n as i64, 2 * n as i64 - 1),
            Self::Reflect => folded(2 * last, 2 * last),
        }) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::Border::{Edge, Mirror, Reflect};

    #[test]
    fn borders_are_as_drawn() {
        let line = |b: super::Border| (-4..7).map(|i| b.at(i, 3)).collect::<Vec<_>>();
        assert_eq!(line(Edge), [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2]);
        assert_eq!(line(Mirror), [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
        assert_eq!(line(Reflect), [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert!([Edge, Mirror, Reflect].into_iter().all(|b| (-9..9).all(|i| b.at(i, 1) == 0)));
    }
}
