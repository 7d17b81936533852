//! A seeded permutation of `0..n` that is computed, not stored: a four-round Feistel network over the next even power
//! of two, walked until it lands inside.

/// The image of `index` under the permutation of `0..n` that `key` names. `index` must be below `n`.
pub(super) fn permuted(index: u64, n: u64, key: u64) -> u64 {
    let half = (u64::BITS - n.saturating_sub(1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1 << half) - 1;
    let mut value = index;
    loop {
        let (mut left, mut right) = (value >> half, value & mask);
        for round in 0..4 {
            (left, right) =
                (right, left ^ (mix(right ^ key.rotate_left(round * 16) ^ u64::from(round)) & mask));
        }
        value = left << half | right;
        if value < n {
            return value;
        }
    }
}

/// SplitMix64's finaliser: every bit of the input moves every bit of the output.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_permutation_and_the_key_decides() {
        for n in [1, 2, 3, 7, 64, 1000] {
            let mut all: Vec<_> = (0..n).map(|i| permuted(i, n, 9)).collect();
            let kept = all.clone();
            all.sort_unstable();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
            if n == 1000 {
                assert_ne!(kept, (0..n).map(|i| permuted(i, n, 10)).collect::<Vec<_>>());
                let fixed = kept.iter().enumerate().filter(|(i, v)| *i as u64 == **v).count();
                assert!(fixed < 10, "{fixed} of 1000 stay in place");
            }
        }
    }
}
