//! Q-Hawkeye's degradations.

use super::{Plan, blur, geometry, noise as noises};
use crate::Dose;
use crate::degrade as cpu;

pub(crate) fn noise(plan: &mut Plan, dose: &Dose) {
    noises::normal(plan, dose, cpu::NOISE.name, cpu::noise_sigma(dose), false);
}

pub(crate) fn blur(plan: &mut Plan, dose: &Dose) {
    blur::blurred(plan, cpu::blur_sigma(dose) * dose.pixel);
}

pub(crate) fn jpeg(plan: &mut Plan, dose: &Dose) {
    thrice(plan, cpu::jpeg_quality(dose));
}

fn thrice(plan: &mut Plan, quality: u32) {
    plan.chain(3, |plan, _| {
        geometry::coded(plan, quality);
        true
    });
}

pub(crate) fn darken(plan: &mut Plan, dose: &Dose) {
    noises::by_table(plan, cpu::darken_table(cpu::darken_factor(dose)));
}

pub(crate) fn two_stages(plan: &mut Plan, dose: &Dose) {
    let stages = cpu::stages(dose);
    plan.chain(stages.len(), |plan, i| {
        match stages[i] {
            cpu::Stage::Noise(sigma) => noises::normal(plan, dose, cpu::NOISE.name, sigma, false),
            cpu::Stage::Blur(sigma) => blur::blurred(plan, sigma * dose.pixel),
            cpu::Stage::Jpeg(quality) => thrice(plan, quality),
            cpu::Stage::Darken(factor) => noises::by_table(plan, cpu::darken_table(factor)),
        }
        true
    });
}
