//! libjpeg's accurate integer cosine transform (Loeffler, Ligtenberg and Moschytz 1989; 13 bits of fraction, two
//! kept between the passes), with the quantiser between forward and back. Sixteen blocks go side by side in loops over
//! blocks, so that every step is the same for all and nothing need be transposed.

use super::tables::Quantiser;
use crate::fast::{each, made};
use pulp::NullaryFnOnce;

/// How many blocks go side by side.
pub(super) const LANES: usize = 16;

/// A number of each block.
type Lanes = [i32; LANES];
/// `blocks[8 y + x][block]`.
type Blocks = [Lanes; 64];

/// Divided by 2^SHIFT, halves upwards.
#[inline(always)]
fn descale<const SHIFT: u32>(v: i32) -> i32 {
    (v + (1 << (SHIFT - 1))) >> SHIFT
}

/// The four odd outputs before scaling; `d` in the order the forward transform has them (3-4, 2-5, 1-6, 0-7).
#[inline(always)]
fn odd(d: [i32; 4]) -> [i32; 4] {
    let (z3, z4) = (d[0] + d[2], d[1] + d[3]);
    let z5 = (z3 + z4) * 9633;
    let (z3, z4) = (z5 - z3 * 16069, z5 - z4 * 3196);
    let (z1, z2) = ((d[0] + d[3]) * -7373, (d[1] + d[2]) * -20995);
    [d[0] * 2446 + z1 + z3, d[1] * 16819 + z2 + z4, d[2] * 25172 + z2 + z3, d[3] * 12299 + z1 + z4]
}

/// `(a, b)` turned by 3π/8.
#[inline(always)]
fn turn(a: i32, b: i32) -> (i32, i32) {
    let both = (a + b) * 4433;
    (both + a * 6270, both - b * 15137)
}

#[inline(always)]
fn forward<const SHIFT: u32>(d: [i32; 8]) -> [i32; 8] {
    let (s0, s1, s2, s3) = (d[0] + d[7], d[1] + d[6], d[2] + d[5], d[3] + d[4]);
    let [o7, o5, o3, o1] = odd([d[3] - d[4], d[2] - d[5], d[1] - d[6], d[0] - d[7]]);
    let (t10, t11) = (s0 + s3, s1 + s2);
    let (o2, o6) = turn(s0 - s3, s1 - s2);
    let (o0, o4) = ((t10 + t11) << 13, (t10 - t11) << 13);
    each([o0, o1, o2, o3, o4, o5, o6, o7], descale::<SHIFT>)
}

#[inline(always)]
fn inverse<const SHIFT: u32>(d: [i32; 8]) -> [i32; 8] {
    let (t3, t2) = turn(d[2], d[6]);
    let (t0, t1) = ((d[0] + d[4]) << 13, (d[0] - d[4]) << 13);
    let (t10, t11, t12, t13) = (t0 + t3, t1 + t2, t1 - t2, t0 - t3);
    let [u0, u1, u2, u3] = odd([d[7], d[5], d[3], d[1]]);
    let out = [t10 + u3, t11 + u2, t12 + u1, t13 + u0, t13 - u0, t12 - u1, t11 - u2, t10 - u3];
    each(out, descale::<SHIFT>)
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

/// Eight samples of a row of each block, four to a word, transformed.
#[inline(always)]
fn rows_forward(words: &[[u32; LANES]; 2], to: &mut [Lanes; 8]) {
    for block in 0..LANES {
        let sample = |x: usize| (words[x / 4][block] >> (8 * (x % 4)) & 0xff) as i32 - 128;
        let out = forward::<11>(made(sample));
        (0..8).for_each(|x| to[x][block] = out[x]);
    }
}

/// Column `x` of each block transformed, quantised and transformed back.
#[inline(always)]
fn columns(blocks: &Blocks, x: usize, quantiser: &Quantiser, to: &mut [Lanes; 8]) {
    let step: [i32; 8] = made(|y| quantiser.step[y][x]);
    let one_over: [f32; 8] = made(|y| quantiser.inverse[y][x]);
    for block in 0..LANES {
        let frequencies = forward::<15>(made(|y| blocks[8 * y + x][block]));
        let out = inverse::<11>(made(|y| quantise(frequencies[y], one_over[y], step[y])));
        (0..8).for_each(|y| to[y][block] = out[y]);
    }
}

/// A row of each block transformed back to eight samples, four to a word.
#[inline(always)]
fn rows_inverse(row: &[Lanes; 8], words: &mut [[u32; LANES]; 2]) {
    for block in 0..LANES {
        let out = each(inverse::<18>(made(|x| row[x][block])), |v| (v + 128).clamp(0, 255) as u32);
        words[0][block] = out[0] | out[1] << 8 | out[2] << 16 | out[3] << 24;
        words[1][block] = out[4] | out[5] << 8 | out[6] << 16 | out[7] << 24;
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
        let mut blocks: Blocks = [[0; LANES]; 64];
        let mut eight = [[0; LANES]; 8];
        for (y, line) in self.row.chunks_exact(self.columns).enumerate() {
            let mut words = [[0; LANES]; 2];
            for (block, samples) in line[self.left..].as_chunks::<8>().0.iter().take(LANES).enumerate() {
                let [a, b, c, d, e, f, g, h] = *samples;
                (words[0][block], words[1][block]) =
                    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            }
            rows_forward(&words, &mut eight);
            blocks[8 * y..8 * y + 8].copy_from_slice(&eight);
        }
        for x in 0..8 {
            columns(&blocks, x, self.quantiser, &mut eight);
            (0..8).for_each(|y| blocks[8 * y + x] = eight[y]);
        }
        for (line, row) in self.row.chunks_exact_mut(self.columns).zip(blocks.as_chunks::<8>().0) {
            let mut words = [[0; LANES]; 2];
            rows_inverse(row, &mut words);
            let to = line[self.left..].as_chunks_mut::<8>().0.iter_mut();
            for (block, samples) in to.take(LANES).enumerate() {
                let ([a, b, c, d], [e, f, g, h]) =
                    (words[0][block].to_le_bytes(), words[1][block].to_le_bytes());
                *samples = [a, b, c, d, e, f, g, h];
            }
        }
    }
}
