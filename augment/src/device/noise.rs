//! Noise, masks and colours.

use super::{Buffer, Plan};
use crate::Dose;
use crate::degrade;
use crate::noise as cpu;
use crate::random::Key;

fn normal(plan: &mut Plan, dose: &Dose, purpose: &str, sigma: f32, in_proportion: bool) {
    let threads = 3 * plan.pixels();
    let launch = plan.launch("normal_noise", threads, &[]).key(Key::new(dose.seed, purpose));
    launch.of_floats(&[sigma, dose.pixel]).of_ints(&[i32::from(in_proportion)]);
}

pub(super) fn gaussian(plan: &mut Plan, dose: &Dose) {
    normal(plan, dose, cpu::GAUSSIAN.name, cpu::gaussian_sigma(dose), false);
}

pub(super) fn speckle(plan: &mut Plan, dose: &Dose) {
    normal(plan, dose, cpu::SPECKLE.name, cpu::speckle_sigma(dose), true);
}

pub(super) fn hawkeye(plan: &mut Plan, dose: &Dose) {
    normal(plan, dose, degrade::NOISE.name, degrade::noise_sigma(dose), false);
}

pub(super) fn impulse(plan: &mut Plan, dose: &Dose) {
    let threads = 3 * plan.pixels();
    let launch = plan.launch("impulse_noise", threads, &[]).key(Key::new(dose.seed, cpu::IMPULSE.name));
    launch.of_floats(&[0., dose.pixel]).of_ints(&[cpu::impulse_below(dose) as i32]);
}

pub(super) fn shot(plan: &mut Plan, dose: &Dose) {
    let (counts, threads) = (cpu::Counts::of(dose), 3 * plan.pixels());
    let words = |values: &[u32]| values.iter().map(|v| *v as i32).collect::<Vec<_>>();
    let cumulative = plan.ints(words(&counts.cumulative));
    let guide = plan.ints(words(&counts.guide));
    let grey = plan.buffer(Buffer::Data(counts.grey));
    let launch = plan.launch("shot_noise", threads, &[cumulative, guide, grey]);
    launch.key(Key::new(dose.seed, cpu::SHOT.name)).of_floats(&[0., dose.pixel]);
}

pub(super) fn blocks(plan: &mut Plan, dose: &Dose) {
    let threads = 3 * plan.pixels();
    let launch = plan.launch("block_mask", threads, &[]).key(Key::new(dose.seed, crate::mask::BLOCKS.name));
    launch.of_ints(&[crate::mask::side(dose) as i32]).of_floats(&[dose.severity.share()]);
}

pub(super) fn contrast(plan: &mut Plan, dose: &Dose) {
    let (pixels, keep) = (plan.pixels(), crate::digital::contrast_kept(dose));
    let sums = plan.buffer(Buffer::Data(vec![0; 24]));
    let table = plan.scratch(768);
    plan.launch("channel_sums", pixels.div_ceil(1024), &[sums]);
    plan.launch("contrast_table", 768, &[sums, table]).of_floats(&[keep]);
    plan.launch("lookup", 3 * pixels, &[sums, table]);
}

pub(super) fn darken(plan: &mut Plan, dose: &Dose) {
    let (threads, table) = (3 * plan.pixels(), degrade::darken_table(degrade::darken_factor(dose)));
    let table = plan.buffer(Buffer::Data([table; 3].concat()));
    plan.launch("lookup", threads, &[table, table]);
}

pub(super) fn brightness(plan: &mut Plan, dose: &Dose) {
    let threads = plan.pixels();
    plan.launch("brightness", threads, &[]).of_floats(&[crate::weather::brightness_added(dose)]);
}

pub(super) fn saturate(plan: &mut Plan, dose: &Dose) {
    let (threads, (factor, plus)) = (plan.pixels(), crate::digital::saturation(dose));
    plan.launch("saturate_colour", threads, &[]).of_floats(&[factor, plus]);
}
