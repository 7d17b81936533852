//! Noise made from its spectrum.

use super::Plan;
use crate::Dose;
use crate::cbar::spectral::{Power, Spectrum, blue as blue_parts, brown, square, turns};

pub(crate) fn blue(plan: &mut Plan, dose: &Dose) {
    let (pixels, (spectrum, threshold)) = (plan.pixels(), blue_parts(dose));
    let noise = plane(plan, &spectrum);
    plan.launch("blue_sample", pixels, &[noise]).of_floats(&[threshold]);
}

pub(crate) fn brownish(plan: &mut Plan, dose: &Dose) {
    let (pixels, (spectra, intensity)) = (plan.pixels(), brown(dose, plan.size));
    let noises = spectra.map(|spectrum| plane(plan, &spectrum));
    plan.launch("brownish", pixels, &noises).of_floats(&[intensity]);
}

/// A plane of mean 0 and deviation 1 with that spectrum.
fn plane(plan: &mut Plan, spectrum: &Spectrum) -> i32 {
    let ((w, h), n) = (plan.size, square(plan.size));
    let (kind, constant) = match spectrum.power {
        Power::Blue(most) => (0, most),
        Power::Brown(side) => (1, side),
    };
    let [waves, other] = [plan.scratch(8 * n * n), plan.scratch(8 * n * n)];
    let launch = plan.launch("spectrum", n * n, &[waves]).key(spectrum.key);
    launch.of_ints(&[n as i32, kind]).of_floats(&[constant]);
    let turns = plan.floats(turns(n).into_iter().flatten());
    for _ in 0..2 {
        plan.launch("bit_reverse", n * n, &[waves, other]).of_ints(&[n as i32, n.trailing_zeros() as i32]);
        for half in (0..n.trailing_zeros()).map(|k| 1 << k) {
            plan.launch("butterflies", n * n / 2, &[other, turns]).of_ints(&[n as i32, half]);
        }
        plan.launch("transpose", n * n, &[other, waves]).of_ints(&[n as i32]);
    }
    let (rows, moments) = (plan.scratch(8 * h), plan.data(vec![0; 16]));
    for moment in 0..2 {
        plan.launch("row_moments", h, &[waves, rows, moments]).of_ints(&[n as i32, moment]);
        plan.launch("whole_moment", 1, &[rows, moments]).of_ints(&[moment]);
    }
    let plane = plan.scratch(4 * w * h);
    plan.launch("standard", w * h, &[waves, moments, plane]).of_ints(&[n as i32]);
    plane
}
