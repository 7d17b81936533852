//! Elastic distortion, large pixels, JPEG.

use super::Plan;
use super::blur::{Side, separable};
use crate::Dose;
use crate::digital as cpu;
use crate::filter::{Border, box_taps};
use crate::random::Key;

pub(crate) fn elastic(plan: &mut Plan, dose: &Dose) {
    pulled(plan, &cpu::Sheet::of(dose, plan.size), dose.seed);
}

pub(crate) fn elastic_hendrycks(plan: &mut Plan, dose: &Dose) {
    let (skewed, sheet) = cpu::hendrycks(dose, plan.size);
    plan.chain(2, |plan, step| {
        if step == 0 {
            let pixels = plan.pixels();
            plan.launch("affine", pixels, &[]).of_floats(&skewed);
        } else {
            pulled(plan, &sheet, dose.seed);
        }
        true
    });
}

fn pulled(plan: &mut Plan, sheet: &cpu::Sheet, seed: u64) {
    let pixels = plan.pixels();
    let fields = cpu::ELASTIC_FIELDS.map(|purpose| {
        let (raw, smooth) = (plan.scratch(4 * pixels), plan.scratch(4 * pixels));
        let launch = plan.launch("uniform_field", pixels, &[raw]).key(Key::new(seed, purpose));
        launch.of_floats(&[sheet.reach]);
        let sides = (Side(raw, false), Side(smooth, false));
        separable(plan, sides, (&sheet.down, &sheet.along), (1, Border::Mirror), 1.);
        smooth
    });
    plan.launch("warp", pixels, &fields);
}

/// The picture shrunk by the box filter to a size; the buffer it is in.
pub(super) fn reduced(plan: &mut Plan, (w, h): (u32, u32)) -> i32 {
    let small = plan.scratch(3 * w as usize * h as usize);
    boxed(plan, (plan.from, small), plan.size, (w as usize, h as usize));
    small
}

fn boxed(plan: &mut Plan, (from, to): (i32, i32), size: (usize, usize), (w, h): (usize, usize)) {
    let taps = |from: usize, to: usize| box_taps(from as u32, to as u32).into_iter().flatten();
    let (columns, lines) = (plan.ints(taps(size.0, w)), plan.ints(taps(size.1, h)));
    let launch = plan.launch("box_resize", 3 * w * h, &[to, columns, lines]).between(from, to);
    launch.of_size(size.0, size.1).of_ints(&[w as i32]);
}

fn pixels_kept(plan: &Plan, dose: &Dose) -> (u32, u32) {
    let keep = cpu::pixels_kept(dose);
    (cpu::shrunk(plan.size.0 as u32, keep), cpu::shrunk(plan.size.1 as u32, keep))
}

pub(crate) fn pixelate(plan: &mut Plan, dose: &Dose) {
    let ((w, h), (sw, sh)) = (plan.size, pixels_kept(plan, dose));
    let small = reduced(plan, (sw, sh));
    let places = |from: u32, to: usize| cpu::nearest(from, to as u32).into_iter().map(|p| p as i32);
    let (columns, lines) = (plan.ints(places(sw, w)), plan.ints(places(sh, h)));
    plan.launch("nearest", 3 * w * h, &[small, columns, lines]).of_ints(&[sw as i32]);
}

pub(crate) fn pixelate_hendrycks(plan: &mut Plan, dose: &Dose) {
    let (sw, sh) = pixels_kept(plan, dose);
    let small = reduced(plan, (sw, sh));
    boxed(plan, (small, plan.to), (sw as usize, sh as usize), plan.size);
}

pub(crate) fn jpeg(plan: &mut Plan, dose: &Dose) {
    coded(plan, cpu::jpeg_quality(dose));
}

/// JPEG's loss at a quality.
pub(super) fn coded(plan: &mut Plan, quality: u32) {
    let pixels = plan.pixels();
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
