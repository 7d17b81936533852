//! Blurs.

use super::Plan;
use crate::Dose;
use crate::blur as cpu;
use crate::filter::{Border, Kernel};
use crate::random::Key;

/// Where a pass of a kernel reads or writes: a buffer, and whether it holds bytes.
#[derive(Clone, Copy)]
pub(super) struct Side(pub(super) i32, pub(super) bool);

/// A symmetric kernel down the columns and one along the rows of `channels` interleaved ones; a byte result is
/// `factor` times the sum and a hair more.
pub(super) fn separable(
    plan: &mut Plan,
    (from, to): (Side, Side),
    (down, along): (&Kernel, &Kernel),
    (channels, border): (usize, Border),
    factor: f32,
) {
    let elements = channels * plan.pixels();
    let middle = plan.scratch(4 * elements);
    let passes = [(from, Side(middle, false), down, 0), (Side(middle, false), to, along, 1)];
    for (from, to, kernel, axis) in passes {
        let weights = plan.floats(kernel.0.iter().copied());
        let radius = kernel.0.len() as i32 - 1;
        let launch = plan.launch("filter_axis", elements, &[from.0, to.0, weights]);
        launch.of_floats(&[factor, 0.002]);
        let kind = [Border::Edge, Border::Mirror, Border::Reflect].iter().position(|b| *b == border);
        let kind = kind.unwrap_or(0) as i32;
        launch.of_ints(&[radius, channels as i32, axis, kind, i32::from(from.1), i32::from(to.1)]);
    }
}

fn picture(plan: &mut Plan, kernel: &Kernel, from: i32, to: i32) {
    separable(plan, (Side(from, true), Side(to, true)), (kernel, kernel), (3, Border::Edge), 1.);
}

/// The picture blurred by a Gaussian of so many pixels.
pub(super) fn blurred(plan: &mut Plan, sigma: f32) {
    let (from, to) = (plan.from, plan.to);
    picture(plan, &Kernel::gaussian(sigma, 4.), from, to);
}

pub(crate) fn gaussian(plan: &mut Plan, dose: &Dose) {
    blurred(plan, cpu::gaussian_sigma(dose));
}

pub(crate) fn defocus(plan: &mut Plan, dose: &Dose) {
    let (disk, soft) = cpu::Disk::of(dose);
    let elements = 3 * plan.pixels();
    let sharp = plan.scratch(4 * elements);
    let (runs, [gains, losses]) = (disk.runs(), disk.leaks());
    let counts = [&runs, &gains, &losses].map(|r| r.len() as i32);
    let all =
        runs.into_iter().chain(gains).chain(losses).flat_map(|(y, x, half)| [y, x, half].map(|v| v as i32));
    let runs = plan.ints(all.collect::<Vec<_>>());
    plan.launch("disk_sums", elements, &[sharp, runs]).of_ints(&counts).of_floats(&[disk.leak()]);
    let sides = (Side(sharp, false), Side(plan.to, true));
    separable(plan, sides, (&soft, &soft), (3, Border::Reflect), disk.scale);
}

/// A streak from one buffer to another.
pub(super) fn streak(plan: &mut Plan, (from, to): (Side, Side), channels: usize, streak: &cpu::Streak) {
    let taps = streak.within(plan.size.0, plan.size.1);
    let count = taps.len() as i32;
    let moves = plan.ints(taps.iter().flat_map(|(x, y, _)| [*x as i32, *y as i32]).collect::<Vec<_>>());
    let weights = plan.floats(taps.iter().map(|t| t.2));
    let threads = channels * plan.pixels();
    let launch = plan.launch("streak", threads, &[from.0, to.0, moves, weights]);
    launch.of_ints(&[count, channels as i32, 0, 0, i32::from(from.1), i32::from(to.1)]);
}

pub(crate) fn motion(plan: &mut Plan, dose: &Dose) {
    let sides = (Side(plan.from, true), Side(plan.to, true));
    streak(plan, sides, 3, &cpu::motion_streak(dose));
}

/// Places and weights of lines, as the kernels have them.
pub(super) fn lines(plan: &mut Plan, lines: &[cpu::Line]) -> (i32, i32) {
    let places = plan.ints(lines.iter().flat_map(|l| [l.at as i32, l.next as i32]).collect::<Vec<_>>());
    (places, plan.floats(lines.iter().map(|l| l.part)))
}

pub(crate) fn zoom(plan: &mut Plan, dose: &Dose) {
    zoomed(plan, dose, cpu::Cut::TopLeft);
}

pub(crate) fn zoom_hendrycks(plan: &mut Plan, dose: &Dose) {
    zoomed(plan, dose, cpu::Cut::Middle);
}

fn zoomed(plan: &mut Plan, dose: &Dose, cut: cpu::Cut) {
    let factors = cpu::zoom_factors(dose);
    let ((w, h), elements) = (plan.size, 3 * plan.pixels());
    let all = |n: usize| factors[1..].iter().flat_map(|z| cpu::zoomed(n, *z, cut)).collect::<Vec<_>>();
    let (columns, across) = lines(plan, &all(w));
    let (rows, down) = lines(plan, &all(h));
    let launch = plan.launch("zoom", elements, &[columns, across, rows, down]);
    launch.of_ints(&[factors.len() as i32 - 1]);
}

pub(crate) fn glass(plan: &mut Plan, dose: &Dose) {
    let (kernel, reach, sweeps) = cpu::glass_parts(dose);
    let pixels = plan.pixels();
    let (soft, moved) = (plan.scratch(3 * pixels), plan.scratch(3 * pixels));
    let (from, to) = (plan.from, plan.to);
    picture(plan, &kernel, from, soft);
    let sweeps = if reach == 0 { 0 } else { sweeps };
    let launch = plan.launch("shuffle", pixels, &[soft, moved]).key(Key::new(dose.seed, cpu::GLASS.name));
    launch.of_ints(&[reach as i32, sweeps as i32]).of_floats(&[0., dose.pixel]);
    picture(plan, &kernel, moved, to);
}
