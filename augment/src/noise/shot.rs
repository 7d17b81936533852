//! Poisson noise by inverting the distribution function, one table for each of the 256 grey values.

use super::Grain;
use crate::Dose;
use crate::entry::Entry;
use crate::fast::rows;
use crate::random::Key;
use image::RgbImage;

pub(crate) const SHOT: Entry = Entry {
    name: "shot_noise",
    summary: "photon noise: each channel a Poisson count of 60 to 3 photons at white (ImageNet-C)",
    random: true,
    render: shot,
    kernels: crate::device::noise::shot,
};

fn shot(image: &RgbImage, dose: &Dose) -> RgbImage {
    let counts = Counts::of(dose);
    let (key, grain) = (Key::new(dose.seed, SHOT.name), Grain(dose.pixel));
    rows!(image, |y, from, to| {
        let row = key.row(grain.cell(y));
        for (i, (t, v)) in to.iter_mut().zip(from).enumerate() {
            let column = if grain.0 <= 1. { i as u32 } else { 3 * grain.cell(i as u32 / 3) + i as u32 % 3 };
            *t = counts.grey(*v, row.bits(column));
        }
    })
}

/// More photons than these make less noise than greys can show, and ever longer tables.
const MOST: f64 = 65_536.;

/// ln k!, k at least 1, by Stirling's series.
fn ln_factorial(k: f64) -> f64 {
    k * k.ln() - k + 0.5 * (std::f64::consts::TAU * k).ln() + 1. / (12. * k) - 1. / (360. * k * k * k)
}

/// For each grey value: the sorted distribution function of its count, and where to begin the search in it.
pub(crate) struct Counts {
    /// Of each grey value's possible results in order, 2^32 times the probability of one as great at most, the last one
    /// saturated.
    pub(crate) cumulative: Vec<u32>,
    /// For each grey value and upper byte of the draw, the first result that can be the answer (as a place in
    /// `cumulative`).
    pub(crate) guide: Vec<u32>,
    /// The grey value of each place in `cumulative`.
    pub(crate) grey: Vec<u8>,
}

impl Counts {
    pub(crate) fn of(dose: &Dose) -> Self {
        // Photons at white; the identity would need infinitely many, so below level 1 the noise's variance is
        // interpolated and not the count.
        let photons = 1. / dose.severity.constant(0., [60., 25., 12., 5., 3.].map(f32::recip));
        Self::new(f64::from(photons).min(MOST))
    }

    fn new(photons: f64) -> Self {
        let mut counts =
            Self { cumulative: Vec::new(), guide: Vec::with_capacity(1 << 16), grey: Vec::new() };
        for value in 0..256 {
            counts.add(f64::from(value) / 255. * photons, photons);
        }
        counts
    }

    fn add(&mut self, mean: f64, photons: f64) {
        let start = self.cumulative.len();
        // Beyond eleven standard deviations there is nothing that 32 bits can show.
        let reach = 11. * mean.sqrt() + 11.;
        let mut k = (mean - reach).max(0.).floor();
        let (mut log_p, mut sum) = (if k == 0. { -mean } else { k * mean.ln() - mean - ln_factorial(k) }, 0.);
        loop {
            sum += f64::exp(log_p);
            let done = k > mean + reach || mean == 0.;
            let below = if done { u32::MAX } else { (sum * 4_294_967_296.).min(4_294_967_294.) as u32 };
            let grey = (255. * k / photons).min(255.) as u8;
            // Counts of one grey are one place.
            if self.grey[start..].last() == Some(&grey) {
                self.cumulative.pop();
            } else {
                self.grey.push(grey);
            }
            self.cumulative.push(below);
            if done {
                break;
            }
            k += 1.;
            log_p += (mean / k).ln();
        }
        for upper in 0..256u32 {
            let first = self.cumulative[start..].partition_point(|&c| c < upper << 24);
            self.guide.push((start + first) as u32);
        }
    }

    #[inline(always)]
    fn grey(&self, value: u8, bits: u32) -> u8 {
        let mut place = self.guide[usize::from(value) << 8 | (bits >> 24) as usize] as usize;
        while self.cumulative[place] < bits {
            place += 1;
        }
        self.grey[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Corruption, Severity};
    use image::Rgb;

    /// Mean and variance of `255 min(N / 12, 1)` cut off to whole greys, N Poisson of mean `12 v / 255`.
    fn truth(value: u8) -> (f64, f64) {
        let mean = 12. * f64::from(value) / 255.;
        let mut p = (-mean).exp();
        let (mut first, mut second) = (0., 0.);
        for k in 0..200 {
            let grey = (255. * f64::from(k) / 12.).min(255.).floor();
            first += p * grey;
            second += p * grey * grey;
            p *= mean / f64::from(k + 1);
        }
        (first, second - first * first)
    }

    /// Oracle: the sum of the probabilities themselves, counted from zero.
    #[test]
    fn many_photons_are_poisson_too() {
        let (photons, value) = (9000., 200u8);
        let counts = Counts::new(photons);
        let mean = photons * f64::from(value) / 255.;
        let (mut p_log, mut below) = (-mean, [0f64; 256]);
        for k in 0..20_000 {
            below[(255. * f64::from(k) / photons).min(255.) as usize] += p_log.exp();
            p_log += (mean / f64::from(k + 1)).ln();
        }
        for (bits, share) in [(1u32 << 30, 0.25), (1 << 31, 0.5), (3 << 30, 0.75), (4_290_000_000, 0.99884)] {
            let grey = usize::from(counts.grey(value, bits));
            let up_to = |grey: usize| below[..grey].iter().sum::<f64>();
            assert!(up_to(grey) < share + 1e-6 && up_to(grey + 1) > share - 1e-6, "{bits}: {grey}");
        }
        assert!(counts.cumulative.len() < 256 * 64);
    }

    #[test]
    fn counts_are_poisson() {
        for value in [0, 1, 40, 128, 255] {
            let image = RgbImage::from_pixel(256, 256, Rgb([value; 3]));
            let out = SHOT.apply(&image, Severity::LEVELS[2], 1);
            let n = out.len() as f64;
            let mean = out.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
            let variance = out.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
            let (m, v) = truth(value);
            assert!((mean - m).abs() <= 4. * (v / n).sqrt(), "{value}: mean {mean} {m}");
            assert!((variance - v).abs() <= 0.03 * v, "{value}: variance {variance} {v}");
        }
    }
}
