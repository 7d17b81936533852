//! Random numbers as a function of place: (seed, purpose, row, column) gives the same bits whatever was drawn
//! before, on any thread and on a GPU. `cuda/common.cuh` says the same in C; the tests hold the two together.

use crate::math::{ln, turn};

/// A field of random numbers over rows and columns, for one purpose under one seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key(u64);

/// One row of a [`Key`]'s field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    a: u32,
    b: u32,
}

/// splitmix64's finaliser (Steele, Lea and Flood 2014, Stafford's variant 13).
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Key {
    /// `purpose` keeps the draws of two uses apart; it is hashed (FNV-1a) into the key.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let name = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Self(mix(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ name))
    }

    /// What a kernel on a device begins with.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn row(self, row: u32) -> Row {
        let z = mix(self.0.wrapping_add(u64::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        Row { a: z as u32, b: (z >> 32) as u32 }
    }

    /// A draw that is not one of a field: the `index`-th parameter of the whole image, in [0, 1).
    pub(crate) fn draw(self, index: u32) -> f32 {
        self.row(u32::MAX).uniform(index)
    }

    /// As [`draw`](Self::draw), in `low..high`.
    pub(crate) fn between(self, index: u32, low: f32, high: f32) -> f32 {
        low + (high - low) * self.draw(index)
    }

    /// As [`draw`](Self::draw), one of `0..n`.
    pub(crate) fn pick(self, index: u32, n: u32) -> u32 {
        ((u64::from(self.row(u32::MAX).bits(index)) * u64::from(n)) >> 32) as u32
    }
}

/// The seed of one part of a composition or of one file of a folder.
pub(crate) fn seed_of(seed: u64, part: &str, index: u32) -> u64 {
    mix(Key::new(seed, part).0.wrapping_add(u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

impl Row {
    /// 32 bits: Wellons' three-round integer hash with the second half of the key between the rounds.
    #[inline(always)]
    pub(crate) fn bits(self, column: u32) -> u32 {
        let mut x = column.wrapping_mul(0x9e37_79b9).wrapping_add(self.a);
        x = (x ^ (x >> 17)).wrapping_mul(0xed5a_d4bb);
        x = (x ^ (x >> 11)).wrapping_mul(0xac4c_1b51) ^ self.b;
        x = (x ^ (x >> 15)).wrapping_mul(0x3184_8bab);
        x ^ (x >> 14)
    }

    /// In [0, 1), a multiple of 2^-24.
    #[inline(always)]
    pub(crate) fn uniform(self, column: u32) -> f32 {
        (self.bits(column) >> 8) as f32 * (1. / 16_777_216.)
    }

    /// Fills `out` with standard normals; `out[i]` depends on the row's key and `i` alone.
    #[inline(always)]
    pub(crate) fn normals(self, out: &mut [f32]) {
        let (pairs, rest) = out.as_chunks_mut::<2>();
        for (i, pair) in pairs.iter_mut().enumerate() {
            *pair = self.normal_pair(i as u32);
        }
        for last in rest {
            *last = self.normal_pair(pairs.len() as u32)[0];
        }
    }

    /// Box and Muller's two normals of columns `2 pair` and `2 pair + 1`.
    #[inline(always)]
    pub(crate) fn normal_pair(self, pair: u32) -> [f32; 2] {
        // (0, 1], so that the logarithm is finite.
        let u = ((self.bits(2 * pair) >> 8) + 1) as f32 * (1. / 16_777_216.);
        let (sin, cos) = turn(self.uniform(2 * pair + 1));
        let r = (-2. * ln(u)).sqrt();
        [r * cos, r * sin]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_the_moments_of_the_normal() {
        let mut n = vec![0.; 1 << 20];
        Key::new(1, "test").row(0).normals(&mut n);
        let moment = |k: i32| n.iter().map(|x| f64::from(*x).powi(k)).sum::<f64>() / n.len() as f64;
        for (k, truth, error) in [(1, 0., 0.003), (2, 1., 0.005), (3, 0., 0.012), (4, 3., 0.03)] {
            assert!((moment(k) - truth).abs() < error, "moment {k}: {}", moment(k));
        }
        let lag = |d: usize| n.windows(d + 1).map(|w| f64::from(w[0] * w[d])).sum::<f64>() / n.len() as f64;
        assert!((1..8).all(|d| lag(d).abs() < 0.004), "neighbours correlate");
    }

    #[test]
    fn bits_are_even_over_rows_columns_and_seeds() {
        let mut ones = [0u32; 32];
        for seed in 0..64 {
            for row in 0..64 {
                let r = Key::new(seed, "even").row(row);
                (0..64).for_each(|x| (0..32).for_each(|b| ones[b] += r.bits(x) >> b & 1));
            }
        }
        // 2^18 draws: five standard errors are 1280.
        assert!(ones.iter().all(|n| n.abs_diff(1 << 17) < 1280), "{ones:?}");
    }

    #[test]
    fn purpose_and_seed_part_the_draws() {
        let a = Key::new(1, "a").row(3).bits(4);
        assert_ne!(a, Key::new(1, "b").row(3).bits(4));
        assert_ne!(a, Key::new(2, "a").row(3).bits(4));
        assert_eq!(a, Key::new(1, "a").row(3).bits(4));
    }
}
