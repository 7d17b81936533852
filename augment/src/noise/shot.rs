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

/// For each grey value: the sorted distribution function of its count, and where to begin the search in it.
pub(crate) struct Counts {
    /// `cumulative[start[v] + k]` = 2^32 P(count <= k), the last one saturated.
    pub(crate) cumulative: Vec<u32>,
    /// For each grey value and upper byte of the draw, the first count that can be the answer (as a place in
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
        Self::new(f64::from(photons))
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
        let (mut k, mut log_p, mut sum) = (0., -mean, 0.);
        loop {
            sum += f64::exp(log_p);
            // Beyond eleven standard deviations there is nothing that 32 bits can show.
            let done = k > mean + 11. * mean.sqrt() + 11. || mean == 0.;
            self.cumulative.push(if done {
                u32::MAX
            } else {
                (sum * 4_294_967_296.).min(4_294_967_294.) as u32
            });
            self.grey.push((255. * k / photons).min(255.) as u8);
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
