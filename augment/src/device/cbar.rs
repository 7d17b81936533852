//! ImageNet-C-bar, besides the noise made from its spectrum.

use super::Plan;
use super::blur::{Side, separable};
use crate::Dose;
use crate::cbar::caustic::{INDEX, Ripples};
use crate::cbar::cutout::Board;
use crate::cbar::perlin::{gradients, perlin_parts};
use crate::cbar::plasma::Plasma;
use crate::cbar::sparkles::{Star, dark_star, stars};
use crate::cbar::waves::{Rings, Wave};
use crate::filter::Border;

pub(crate) fn single_frequency(plan: &mut Plan, dose: &Dose) {
    let (pixels, wave) = (plan.pixels(), Wave::of(dose));
    let parts = [wave.along, wave.down, wave.phase, wave.intensity];
    plan.launch("sine_wave", pixels, &[]).of_floats(&parts);
}

pub(crate) fn concentric(plan: &mut Plan, dose: &Dose) {
    let (pixels, rings) = (plan.pixels(), Rings::of(dose, plan.size));
    let [x, y] = rings.middle;
    let parts = [x, y, rings.lobes, rings.depth, rings.width, rings.intensity];
    plan.launch("rings", pixels, &[]).of_floats(&parts);
}

pub(crate) fn checkerboard(plan: &mut Plan, dose: &Dose) {
    let (pixels, board) = (plan.pixels(), Board::of(dose, plan.size));
    let launch = plan.launch("checkerboard", pixels, &[]).key(board.key);
    launch.of_floats(&[board.sin, board.cos, board.square, board.share]);
}

pub(crate) fn perlin(plan: &mut Plan, dose: &Dose) {
    let (pixels, (cell, alpha, key)) = (plan.pixels(), perlin_parts(dose, plan.size));
    let gradients = plan.floats(gradients(key).into_iter().flatten());
    plan.launch("perlin", pixels, &[gradients]).of_floats(&[cell, alpha]);
}

pub(crate) fn plasma(plan: &mut Plan, dose: &Dose) {
    let (pixels, plasma) = (plan.pixels(), Plasma::of(dose, plan.size));
    let launch = plan.launch("coloured_plasma", pixels, &[]).of_ints(&[plasma.rounds as i32]);
    launch.of_floats(&[plasma.time, plasma.sharpness, plasma.scale, plasma.intensity]);
}

pub(crate) fn sparkles(plan: &mut Plan, dose: &Dose) {
    let stars = stars(dose, plan.size);
    shining(plan, &stars, 1., false);
}

pub(crate) fn inverse(plan: &mut Plan, dose: &Dose) {
    let (star, fall) = dark_star(dose, plan.size);
    shining(plan, &[star], fall, true);
}

fn shining(plan: &mut Plan, stars: &[Star], fall: f32, inverse: bool) {
    let firsts = stars.iter().scan(0, |rays, star| {
        *rays += star.rays.len();
        Some([*rays - star.rays.len(), star.rays.len()])
    });
    let counts = plan.ints(firsts.flatten().map(|n| n as i32));
    let middles = plan.floats(stars.iter().flat_map(|star| [star.x, star.y]));
    let rays = plan.floats(stars.iter().flat_map(|star| star.rays.clone()));
    let pixels = plan.pixels();
    let launch = plan.launch("shine", pixels, &[counts, middles, rays]).of_floats(&[fall]);
    launch.of_ints(&[stars.len() as i32, i32::from(inverse)]);
}

pub(crate) fn caustic(plan: &mut Plan, dose: &Dose) {
    let (pixels, ripples) = (plan.pixels(), Ripples::of(dose, plan.size));
    let (raw, soft) = (plan.scratch(4 * pixels), plan.scratch(4 * pixels));
    plan.launch("caustics", pixels, &[raw]).of_floats(&[ripples.time, ripples.size]);
    let sides = (Side(raw, false), Side(soft, false));
    separable(plan, sides, (&ripples.soft, &ripples.soft), (1, Border::Mirror), 1.);
    plan.launch("refract", pixels, &[soft]).of_floats(&[ripples.lens, ripples.light, INDEX]);
}
