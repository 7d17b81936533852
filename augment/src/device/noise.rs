//! Noise, masks and colours.

use super::Plan;
use crate::Dose;
use crate::noise as cpu;
use crate::random::Key;

/// Normals added to each element, times `sigma` greys or a share of the value.
pub(super) fn normal(plan: &mut Plan, dose: &Dose, purpose: &str, sigma: f32, in_proportion: bool) {
    let threads = 3 * plan.pixels();
    let launch = plan.launch("normal_noise", threads, &[]).key(Key::new(dose.seed, purpose));
    launch.of_floats(&[sigma, dose.pixel]).of_ints(&[i32::from(in_proportion)]);
}

pub(crate) fn gaussian(plan: &mut Plan, dose: &Dose) {
    normal(plan, dose, cpu::GAUSSIAN.name, cpu::gaussian_sigma(dose), false);
}

pub(crate) fn speckle(plan: &mut Plan, dose: &Dose) {
    normal(plan, dose, cpu::SPECKLE.name, cpu::speckle_sigma(dose), true);
}

pub(crate) fn impulse(plan: &mut Plan, dose: &Dose) {
    let threads = 3 * plan.pixels();
    let launch = plan.launch("impulse_noise", threads, &[]).key(Key::new(dose.seed, cpu::IMPULSE.name));
    launch.of_floats(&[0., dose.pixel]).of_ints(&[cpu::impulse_below(dose) as i32]);
}

pub(crate) fn shot(plan: &mut Plan, dose: &Dose) {
    let (counts, threads) = (cpu::Counts::of(dose), 3 * plan.pixels());
    let words = |values: &[u32]| values.iter().map(|v| *v as i32).collect::<Vec<_>>();
    let cumulative = plan.ints(words(&counts.cumulative));
    let guide = plan.ints(words(&counts.guide));
    let grey = plan.data(counts.grey);
    let launch = plan.launch("shot_noise", threads, &[cumulative, guide, grey]);
    launch.key(Key::new(dose.seed, cpu::SHOT.name)).of_floats(&[0., dose.pixel]);
}

pub(crate) fn blocks(plan: &mut Plan, dose: &Dose) {
    let threads = 3 * plan.pixels();
    let launch = plan.launch("block_mask", threads, &[]).key(Key::new(dose.seed, crate::mask::BLOCKS.name));
    launch.of_ints(&[crate::mask::side(dose) as i32]).of_floats(&[dose.severity.share()]);
}

pub(crate) fn contrast(plan: &mut Plan, dose: &Dose) {
    let (pixels, keep) = (plan.pixels(), crate::digital::contrast_kept(dose));
    let sums = plan.data(vec![0; 24]);
    let table = plan.scratch(768);
    plan.launch("channel_sums", pixels.div_ceil(1024), &[sums]);
    plan.launch("contrast_table", 768, &[sums, table]).of_floats(&[keep]);
    plan.launch("lookup", 3 * pixels, &[sums, table]);
}

/// Each byte by a table, the same for every channel.
pub(super) fn by_table(plan: &mut Plan, table: [u8; 256]) {
    let (threads, table) = (3 * plan.pixels(), plan.data([table; 3].concat()));
    plan.launch("lookup", threads, &[table, table]);
}

pub(crate) fn brightness(plan: &mut Plan, dose: &Dose) {
    let threads = plan.pixels();
    plan.launch("brightness", threads, &[]).of_floats(&[crate::weather::brightness_added(dose)]);
}

pub(crate) fn saturate(plan: &mut Plan, dose: &Dose) {
    let (threads, (factor, plus)) = (plan.pixels(), crate::digital::saturation(dose));
    plan.launch("saturate_colour", threads, &[]).of_floats(&[factor, plus]);
}
