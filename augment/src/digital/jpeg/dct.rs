//! libjpeg's accurate integer cosine transform (Loeffler, Ligtenberg and Moschytz 1989; 13 bits of fraction, two
//! kept between the passes), with the quantiser between forward and back. Sixteen blocks go side by side, so that
//! every step is the same for all lanes and nothing need be transposed.

use super::tables::Quantiser;
use crate::fast::{each, made};
use pulp::NullaryFnOnce;

/// How many blocks go side by side.
pub(super) const LANES: usize = 16;

type Lanes = [i32; LANES];
/// Eight samples along a row or column, each of all blocks.
type Eight = [Lanes; 8];
/// `blocks[8 y + x][block]`.
type Blocks = [Lanes; 64];

#[inline(always)]
fn add(a: Lanes, b: Lanes) -> Lanes {
    made(|i| a[i] + b[i])
}

#[inline(always)]
fn sub(a: Lanes, b: Lanes) -> Lanes {
    made(|i| a[i] - b[i])
}

#[inline(always)]
fn scale(a: Lanes, by: i32) -> Lanes {
    each(a, |v| v * by)
}

/// Divided by 2^SHIFT, halves upwards.
#[inline(always)]
fn descale<const SHIFT: u32>(a: Lanes) -> Lanes {
    each(a, |v| (v + (1 << (SHIFT - 1))) >> SHIFT)
}

/// The four odd outputs before scaling; `d` in the order the forward transform has them (3-4, 2-5, 1-6, 0-7).
#[inline(always)]
fn odd(d: [Lanes; 4]) -> [Lanes; 4] {
    let (z3, z4) = (add(d[0], d[2]), add(d[1], d[3]));
    let z5 = scale(add(z3, z4), 9633);
    let (z3, z4) = (sub(z5, scale(z3, 16069)), sub(z5, scale(z4, 3196)));
    let (z1, z2) = (scale(add(d[0], d[3]), -7373), scale(add(d[1], d[2]), -20995));
    [
        add(scale(d[0], 2446), add(z1, z3)),
        add(scale(d[1], 16819), add(z2, z4)),
        add(scale(d[2], 25172), add(z2, z3)),
        add(scale(d[3], 12299), add(z1, z4)),
    ]
}

/// `(a, b)` turned by 3π/8.
#[inline(always)]
fn turn(a: Lanes, b: Lanes) -> (Lanes, Lanes) {
    let both = scale(add(a, b), 4433);
    (add(both, scale(a, 6270)), sub(both, scale(b, 15137)))
}

#[inline(always)]
fn forward<const SHIFT: u32>(d: Eight) -> Eight {
    let (s0, s1, s2, s3) = (add(d[0], d[7]), add(d[1], d[6]), add(d[2], d[5]), add(d[3], d[4]));
    let [o7, o5, o3, o1] = odd([sub(d[3], d[4]), sub(d[2], d[5]), sub(d[1], d[6]), sub(d[0], d[7])]);
    let (t10, t11) = (add(s0, s3), add(s1, s2));
    let (o2, o6) = turn(sub(s0, s3), sub(s1, s2));
    let (o0, o4) = (scale(add(t10, t11), 1 << 13), scale(sub(t10, t11), 1 << 13));
    each([o0, o1, o2, o3, o4, o5, o6, o7], |lanes| descale::<SHIFT>(lanes))
}

#[inline(always)]
fn inverse<const SHIFT: u32>(d: Eight) -> Eight {
    let (t3, t2) = turn(d[2], d[6]);
    let (t0, t1) = (scale(add(d[0], d[4]), 1 << 13), scale(sub(d[0], d[4]), 1 << 13));
    let (t10, t11, t12, t13) = (add(t0, t3), add(t1, t2), sub(t1, t2), sub(t0, t3));
    let [u0, u1, u2, u3] = odd([d[7], d[5], d[3], d[1]]);
    let d = [
        add(t10, u3),
        add(t11, u2),
        add(t12, u1),
        add(t13, u0),
        sub(t13, u0),
        sub(t12, u1),
        sub(t11, u2),
        sub(t10, u3),
    ];
    each(d, |lanes| descale::<SHIFT>(lanes))
}

/// To whole steps, halves away from zero, and back.
#[inline(always)]
fn quantise(c: i32, inverse: f32, step: i32) -> i32 {
    // libjpeg divides (|c| + 4 step) by 8 step and cuts off. Twice that plus one is odd, so that the reciprocal's
    // rounding can never carry it over a multiple of 16 step.
    let size = whole((2 * c.abs() + 1) as f32 * inverse + 0.5) * step;
    if c < 0 { -size } else { size }
}

/// A small number of at least zero cut to its whole part, without a cast's check for NaN.
#[inline(always)]
fn whole(x: f32) -> i32 {
    const WHOLE: f32 = 8_388_608.;
    let near = (x + WHOLE) - WHOLE;
    let cut = if near > x { near - 1. } else { near };
    ((cut + WHOLE).to_bits() & 0x007f_ffff) as i32
}

/// A transform of each row (`STEP` 1) or column (`STEP` 8) of all blocks. Told by constants which: a function handed
/// over would be called, and what is called is not compiled for the wider registers.
#[inline(always)]
fn pass<const STEP: usize, const BACK: bool, const SHIFT: u32>(blocks: &mut Blocks) {
    for line in 0..8 {
        let first = if STEP == 1 { 8 * line } else { line };
        let samples = made(|i| blocks[first + STEP * i]);
        let out = if BACK { inverse::<SHIFT>(samples) } else { forward::<SHIFT>(samples) };
        for (i, lanes) in out.into_iter().enumerate() {
            blocks[first + STEP * i] = lanes;
        }
    }
}

/// Sixteen blocks side by side (their left edge at `left` of rows of `columns` samples) to be coded and decoded in
/// place.
pub(super) struct Coded<'a> {
    pub(super) row: &'a mut [u8],
    pub(super) columns: usize,
    pub(super) left: usize,
    pub(super) quantiser: &'a Quantiser,
}

/// Not a closure, as one this long would not be inlined into the function that has the wider registers.
impl NullaryFnOnce for Coded<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { row, columns, left, quantiser } = self;
        let mut blocks = [[0; LANES]; 64];
        for (line, blocks) in row.chunks_exact(columns).zip(blocks.as_chunks_mut::<8>().0) {
            // A block's eight samples are one word, so that taking them apart is the same for all blocks.
            let words: [u64; LANES] = each(eights(&line[left..]), |bytes| u64::from_le_bytes(bytes));
            for (x, block) in blocks.iter_mut().enumerate() {
                *block = each(words, |word| (word >> (8 * x) & 0xff) as i32 - 128);
            }
        }
        pass::<1, false, 11>(&mut blocks);
        pass::<8, false, 15>(&mut blocks);
        let steps = quantiser.step.as_flattened().iter().zip(quantiser.inverse.as_flattened());
        for (block, (step, inverse)) in blocks.iter_mut().zip(steps) {
            *block = each(*block, |c| quantise(c, *inverse, *step));
        }
        pass::<8, true, 11>(&mut blocks);
        pass::<1, true, 18>(&mut blocks);
        for (line, blocks) in row.chunks_exact_mut(columns).zip(blocks.as_chunks::<8>().0) {
            let mut words = [0u64; LANES];
            for (x, block) in blocks.iter().enumerate() {
                words = made(|i| words[i] | ((block[i] + 128).clamp(0, 255) as u64) << (8 * x));
            }
            for (to, word) in line[left..].as_chunks_mut::<8>().0.iter_mut().zip(words) {
                *to = word.to_le_bytes();
            }
        }
    }
}

/// The first samples of a row, eight a block; what the row does not have is zero.
#[inline(always)]
fn eights(line: &[u8]) -> [[u8; 8]; LANES] {
    let mut out = [[0; 8]; LANES];
    out.iter_mut().zip(line.as_chunks::<8>().0).for_each(|(o, l)| *o = *l);
    out
}
