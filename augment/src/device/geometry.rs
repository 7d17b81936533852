//! Elastic distortion, large pixels, JPEG.

use super::Plan;
use super::blur::{Side, separable};
use crate::Dose;
use crate::digital as cpu;
use crate::filter::{Border, reduce_taps};
use crate::random::Key;

pub(super) fn elastic(plan: &mut Plan, dose: &Dose) {
    let (pixels, (reach, down, along)) = (plan.pixels(), cpu::elastic_parts(dose, plan.size));
    let fields = cpu::ELASTIC_FIELDS.map(|purpose| {
        let (raw, smooth) = (plan.scratch(4 * pixels), plan.scratch(4 * pixels));
        plan.launch("uniform_field", pixels, &[raw]).key(Key::new(dose.seed, purpose)).of_floats(&[reach]);
        let sides = (Side(raw, false), Side(smooth, false));
        separable(plan, sides, (&down, &along), (1, Border::Mirror), 1.);
        smooth
    });
    plan.launch("warp", pixels, &fields);
}

pub(super) fn pixelate(plan: &mut Plan, dose: &Dose) {
    let (w, h) = plan.size;
    let keep = cpu::pixels_kept(dose);
    let (sw, sh) = (cpu::shrunk(w as u32, keep), cpu::shrunk(h as u32, keep));
    let small = plan.scratch(3 * sw as usize * sh as usize);
    let taps = |from: usize, to: u32| reduce_taps(from as u32, to).into_iter().flatten().collect::<Vec<_>>();
    let (columns, lines) = (plan.ints(taps(w, sw)), plan.ints(taps(h, sh)));
    let launch = plan.launch("box_reduce", 3 * sw as usize * sh as usize, &[small, columns, lines]);
    launch.of_ints(&[sw as i32]);
    let places = |from: u32, to: usize| cpu::nearest(from, to as u32).into_iter().map(|p| p as i32);
    let (columns, lines) = (plan.ints(places(sw, w)), plan.ints(places(sh, h)));
    plan.launch("nearest", 3 * w * h, &[small, columns, lines]).of_ints(&[sw as i32]);
}

pub(super) fn jpeg(plan: &mut Plan, dose: &Dose) {
    let (pixels, quality) = (plan.pixels(), cpu::jpeg_quality(dose));
    let (w, h) = (plan.size.0.next_multiple_of(16), plan.size.1.next_multiple_of(16));
    let (luma, blue, red) = (plan.scratch(w * h), plan.scratch(w * h / 4), plan.scratch(w * h / 4));
    plan.launch("jpeg_luma", w * h, &[luma]).of_ints(&[w as i32]);
    plan.launch("jpeg_chroma", w * h / 4, &[blue, red]).of_ints(&[w as i32 / 2]);
    let [for_luma, for_chroma] = cpu::jpeg_steps(quality).map(|steps| plan.ints(steps.into_iter().flatten()));
    for (plane, steps, columns, lines) in
        [(luma, for_luma, w, h), (blue, for_chroma, w / 2, h / 2), (red, for_chroma, w / 2, h / 2)]
    {
        plan.launch("jpeg_code", columns * lines / 64, &[plane, steps]).of_ints(&[columns as i32]);
    }
    plan.launch("jpeg_rgb", pixels, &[luma, blue, red]).of_ints(&[w as i32]);
}
