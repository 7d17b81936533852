//! Elementary functions of our own, without a branch: loops over them vectorise, and they give the same bits on every
//! machine and on a GPU. `cuda/math.cuh` says the same in C; `tests/device.rs` holds the two together.

use std::f32::consts::{FRAC_PI_2, LN_2, LOG2_E, PI, TAU};

/// ln of a normal positive number, to 2 ulp (Cephes' polynomial).
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    let bits = x.to_bits().wrapping_sub(0x3f35_04f3);
    let e = (bits as i32 >> 23) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.;
    let z = m * m;
    let mut p = 7.037_683_6e-2;
    for c in [
        -1.151_461e-1,
        1.167_699_87e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_7e-1,
        2.000_071_4e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        p = p * m + c;
    }
    m + (m * z * p - 0.5 * z) + e * LN_2
}

/// Sine and cosine of `t` turns, `t` in [0, 1].
#[inline(always)]
pub(crate) fn turn(t: f32) -> (f32, f32) {
    let q = (t * 4. + 0.5) as i32;
    let r = (t * 4. - q as f32) * FRAC_PI_2;
    let z = r * r;
    let s = r + r * z * (-1.666_665_5e-1 + z * (8.332_161e-3 - z * 1.951_529_6e-4));
    let c = 1. - 0.5 * z + z * z * (4.166_664_6e-2 + z * (-1.388_731_6e-3 + z * 2.443_315_7e-5));
    let (s, c) = if q & 1 == 1 { (c, s) } else { (s, c) };
    (if q & 2 == 2 { -s } else { s }, if (q + 1) & 2 == 2 { -c } else { c })
}

/// Sine and cosine; the error grows with the angle, by 1e-7 of it.
#[inline(always)]
pub(crate) fn sin_cos(angle: f32) -> (f32, f32) {
    let t = angle * (1. / TAU);
    turn(t - t.floor())
}

#[inline(always)]
pub(crate) fn sine(angle: f32) -> f32 {
    sin_cos(angle).0
}

#[inline(always)]
pub(crate) fn cosine(angle: f32) -> f32 {
    sin_cos(angle).1
}

/// The angle of (x, y), -π to π, to 2e-6 (a minimax polynomial of the eleventh degree).
#[inline(always)]
pub(crate) fn angle_of(y: f32, x: f32) -> f32 {
    let (wide, high) = (x.abs(), y.abs());
    let a = wide.min(high) / wide.max(high).max(f32::MIN_POSITIVE);
    let s = a * a;
    let mut p = -1.172_12e-2;
    for c in [5.265_332e-2, -1.164_328_7e-1, 1.935_434_6e-1, -3.326_234_7e-1, 9.999_772_6e-1] {
        p = p * s + c;
    }
    let r = if high > wide { FRAC_PI_2 - p * a } else { p * a };
    let r = if x < 0. { PI - r } else { r };
    if y < 0. { -r } else { r }
}

/// 2 to the power of `x`, which is taken to lie within ±126.
#[inline(always)]
fn exp2(x: f32) -> f32 {
    let x = x.clamp(-126., 126.);
    let whole = (x + 0.5).floor();
    let f = x - whole;
    let mut p = 1.540_353e-4;
    for c in [1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 2.402_265e-1, 6.931_472e-1, 1.] {
        p = p * f + c;
    }
    f32::from_bits(((whole as i32 + 127) << 23) as u32) * p
}

/// `x` (at least 0) to the power of `p` (above 0).
#[inline(always)]
pub(crate) fn power(x: f32, p: f32) -> f32 {
    if x < f32::MIN_POSITIVE { 0. } else { exp2(p * (ln(x) * LOG2_E)) }
}

/// The length of (x, y).
#[inline(always)]
pub(crate) fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: the same in 64 bits by the system's library.
    #[test]
    fn elementary_functions_are_right() {
        for i in 1..100_000 {
            let x = i as f32 / 100_000.;
            assert!((ln(x) - x.ln()).abs() <= 3e-7 * (1. + x.ln().abs()), "ln {x}: {} {}", ln(x), x.ln());
            let (s, c) = turn(x);
            let (t, u) = (f64::from(x) * std::f64::consts::TAU).sin_cos();
            assert!((f64::from(s) - t).abs() < 5e-7 && (f64::from(c) - u).abs() < 5e-7, "turn {x}");
            let angle = (x - 0.5) * 600.;
            assert!((f64::from(sine(angle)) - f64::from(angle).sin()).abs() < 6e-5, "sine {angle}");
            let (y, wide) = (t as f32, u as f32 * 3.);
            assert!((angle_of(y, wide) - y.atan2(wide)).abs() < 1e-5, "angle of {wide} {y}");
            let (base, p) = (x * 30., 0.1 + 7. * x);
            let truth = f64::from(base).powf(f64::from(p));
            assert!((f64::from(power(base, p)) / truth - 1.).abs() < 1e-5, "{base} to the power of {p}");
        }
        assert_eq!((power(0., 2.), angle_of(0., 1.), angle_of(0., 0.)), (0., 0., 0.));
    }
}
