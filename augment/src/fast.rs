//! How the work is spread: rows over threads, loops over the widest registers the machine has. Neither changes
//! a byte of what is computed.

use image::RgbImage;
use pulp::NullaryFnOnce;

/// Runs an expression compiled for AVX-512 or AVX2 where the machine has them, and plainly elsewhere; functions that it
/// calls must be `#[inline(always)]`. The expression is written out for each, as the compiler inlines a closure of any
/// length only into its one caller, and what is not inlined is not compiled for the wider registers.
macro_rules! wide {
    ($work:expr) => {
        match ($crate::fast::Widest::try_new(), $crate::fast::Registers::try_new()) {
            (Some(registers), _) => registers.vectorize(|| $work),
            (None, Some(registers)) => registers.vectorize(|| $work),
            (None, None) => $work,
        }
    };
}

/// [`wide`] for work that is a type with an `#[inline(always)]` call of its own: however long, it is inlined.
pub(crate) fn widest<W: NullaryFnOnce>(work: W) -> W::Output {
    match (Widest::try_new(), Registers::try_new()) {
        (Some(registers), _) => registers.vectorize(work),
        (None, Some(registers)) => registers.vectorize(work),
        (None, None) => work.call(),
    }
}

/// A new image of `image`'s size, each row made by `|y, source row, target row|` on any thread.
macro_rules! rows {
    ($image:expr, |$y:pat_param, $from:pat_param, $to:pat_param| $work:expr) => {{
        use rayon::prelude::*;
        let image: &image::RgbImage = $image;
        let mut out = image::RgbImage::new(image.width(), image.height());
        let stride = 3 * image.width() as usize;
        let pairs = out.par_chunks_mut(stride).zip(image.par_chunks(stride));
        pairs.enumerate().for_each(|(y, (to, from))| {
            let ($y, $from, $to): (u32, &[u8], &mut [u8]) = (y as u32, from, to);
            $crate::fast::wide!($work);
        });
        out
    }};
}

pub(crate) use {rows, wide};

#[cfg(target_arch = "x86_64")]
pub(crate) use pulp::x86::{V3 as Registers, V4 as Widest};

/// Nothing wider than what the compiler uses by itself.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) struct Registers;

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use Registers as Widest;

#[cfg(not(target_arch = "x86_64"))]
impl Registers {
    pub(crate) fn try_new() -> Option<Self> {
        None
    }

    pub(crate) fn vectorize<W: NullaryFnOnce>(self, work: W) -> W::Output {
        work.call()
    }
}

/// A new image whose every byte is `table[channel][byte]`.
pub(crate) fn lookup(image: &RgbImage, table: &[[u8; 256]; 3]) -> RgbImage {
    rows!(image, |_, from, to| {
        for (t, f) in to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0) {
            *t = [table[0][f[0] as usize], table[1][f[1] as usize], table[2][f[2] as usize]];
        }
    })
}

/// An array by index. Unlike `std::array::from_fn` it is always inlined, without which nothing around it vectorises.
#[inline(always)]
pub(crate) fn made<T: Copy + Default, const N: usize>(f: impl Fn(usize) -> T) -> [T; N] {
    let mut out = [T::default(); N];
    for (i, o) in out.iter_mut().enumerate() {
        *o = f(i);
    }
    out
}

/// `f` of each, always inlined.
#[inline(always)]
pub(crate) fn each<S: Copy, T: Copy + Default, const N: usize>(of: [S; N], f: impl Fn(S) -> T) -> [T; N] {
    made(|i| f(of[i]))
}

/// A pixel and the first element after it: four lanes are one register, three are not.
#[inline(always)]
pub(crate) fn four<T: Copy + Default>(row: &[T], at: usize) -> [T; 4] {
    row[at..].first_chunk().copied().unwrap_or_default()
}

/// A grey value as the published code stores it: clipped, then cut off (not rounded).
#[inline(always)]
pub(crate) fn byte(x: f32) -> u8 {
    // Adding 2^23 rounds to a whole number and leaves it in the low bits: a cast checks for NaN and does not
    // vectorise.
    const WHOLE: f32 = 8_388_608.;
    let x = x.clamp(0., 255.);
    let near = (x + WHOLE) - WHOLE;
    let cut = if near > x { near - 1. } else { near };
    (cut + WHOLE).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use super::byte;

    #[test]
    fn bytes_are_clipped_and_cut_off() {
        for i in -2000..20_000 {
            let x = i as f32 / 64.;
            assert_eq!(byte(x), x.clamp(0., 255.) as u8, "{x}");
        }
        assert_eq!(byte(254.999_98), 254);
    }
}
