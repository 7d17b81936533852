//! libjpeg's accurate integer cosine transform (Loeffler, Ligtenberg and Moschytz 1989; 13 bits of fraction, two
//! kept between the passes), eight lanes at a time, with the quantiser between forward and back.

use super::tables::Quantiser;
use crate::fast::{each, made};

type Lanes = [i32; 8];
/// `block[i][lane]`.
type Block = [Lanes; 8];

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
fn forward<const SHIFT: u32>(d: Block) -> Block {
    let (s0, s1, s2, s3) = (add(d[0], d[7]), add(d[1], d[6]), add(d[2], d[5]), add(d[3], d[4]));
    let [o7, o5, o3, o1] = odd([sub(d[3], d[4]), sub(d[2], d[5]), sub(d[1], d[6]), sub(d[0], d[7])]);
    let (t10, t11) = (add(s0, s3), add(s1, s2));
    let (o2, o6) = turn(sub(s0, s3), sub(s1, s2));
    let (o0, o4) = (scale(add(t10, t11), 1 << 13), scale(sub(t10, t11), 1 << 13));
    each([o0, o1, o2, o3, o4, o5, o6, o7], descale::<SHIFT>)
}

#[inline(always)]
fn inverse<const SHIFT: u32>(d: Block) -> Block {
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
    each(d, descale::<SHIFT>)
}

#[inline(always)]
fn transpose(b: Block) -> Block {
    let mut out = b;
    for (i, lanes) in out.iter_mut().enumerate() {
        for (j, lane) in lanes.iter_mut().enumerate() {
            *lane = b[j][i];
        }
    }
    out
}

/// To whole steps, halves away from zero, and back.
#[inline(always)]
fn quantise(mut b: Block, q: &Quantiser) -> Block {
    // libjpeg divides (|c| + 4 step) by 8 step and cuts off. Twice that plus one is odd, so that the reciprocal's
    // rounding can never carry it over a multiple of 16 step.
    for ((lanes, inverse), step) in b.iter_mut().zip(&q.inverse).zip(&q.step) {
        for ((c, inverse), step) in lanes.iter_mut().zip(inverse).zip(step) {
            let level = whole((2 * c.abs() + 1) as f32 * inverse + 0.5);
            *c = c.signum() * level * step;
        }
    }
    b
}

/// A small number of at least zero cut to its whole part, without a cast's check for NaN.
#[inline(always)]
fn whole(x: f32) -> i32 {
    const WHOLE: f32 = 8_388_608.;
    let near = (x + WHOLE) - WHOLE;
    let cut = if near > x { near - 1. } else { near };
    ((cut + WHOLE).to_bits() & 0x007f_ffff) as i32
}

/// Each 8x8 block of a row of blocks (`columns` samples wide) coded and decoded in place.
#[inline(always)]
pub(super) fn code(row: &mut [u8], columns: usize, quantiser: &Quantiser) {
    for left in (0..columns).step_by(8) {
        let mut block = [[0; 8]; 8];
        for (y, line) in row.chunks_exact(columns).enumerate() {
            for (x, v) in line[left..left + 8].iter().enumerate() {
                block[x][y] = i32::from(*v) - 128;
            }
        }
        let frequencies = forward::<15>(transpose(forward::<11>(block)));
        let block = inverse::<18>(transpose(inverse::<11>(quantise(frequencies, quantiser))));
        for (y, line) in row.chunks_exact_mut(columns).enumerate() {
            for (x, v) in line[left..left + 8].iter_mut().enumerate() {
                *v = (block[x][y] + 128).clamp(0, 255) as u8;
            }
        }
    }
}
